"""SMS, typed lines and poster forms get sender, site and certainty; no number is stored."""

from __future__ import annotations

import time
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2 as httpx
import orjson
import pytest

from schemas.people.directory import Contact
from schemas.people.replies import TEXT_PART_PREFIX, WAITING_REPLY_PREFIX
from services.intake.dead_letters.dead_letter_store import RefusedMessage
from services.intake.field.phone_numbers import REFRESH_INTERVAL_S
from services.intake.field.site_codes import SiteCodes
from services.runtime.http.problems import ProblemError
from services.runtime.identity.accounts import create_principal
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Scope
from tests.unit.delivery.test_returns import Answers
from tests.unit.intake.conftest import Door, report
from tests.unit.intake.machines.test_machines import offered_again

NUMBER, UNVERIFIED = "+33612345678", "+33699999999"
SITES = "site_id,name,code\nclg-1,Collège,117\nclg-2,Collège,118\n"


class MemoryDirectory:
    """Stands for the directory of the only realm."""

    home_realm = "92"

    def __init__(self) -> None:
        self.contacts: dict[str, Contact] = {}

    def of(self, realm: str) -> MemoryDirectory:  # noqa: ARG002
        return self

    def realms(self) -> list[str]:
        return ["92"]

    def ids(self) -> list[str]:
        return list(self.contacts)

    async def get(self, person: str) -> Contact | None:
        return self.contacts.get(person)


@pytest.fixture
async def field(tmp_path: Path) -> AsyncIterator[Door]:
    """Build a front with two sites, a verified person `p-1` and an unverified number of `p-2`."""
    territory = tmp_path / "92"
    territory.mkdir()
    (territory / "sites.csv").write_text(SITES, encoding="utf-8")
    door = Door(tmp_path / "data", territory=territory, unknown_per_window=3)
    directory = MemoryDirectory()
    directory.contacts["p-1"] = contact("p-1", NUMBER, verified=True)
    directory.contacts["p-2"] = contact("p-2", UNVERIFIED, verified=False)
    door.intake.sms._people._directory = directory
    await appoint(door, **{"p-1": ["clg-1"]})
    yield door
    await door.close()


async def appoint(door: Door, **managers: list[str]) -> None:
    """Make the console say which sites these people manage."""

    async def ask(path: str, _timeout_s: float) -> Any:
        return {"version": "v1", "managers": managers if path.endswith("=92") else {}}

    await door.intake.managers.renew(ask)


def contact(person: str, number: str, *, verified: bool, site: str | None = None) -> Contact:
    point = {"channel": "sms", "address": number, "verified_at": 1 if verified else None}
    return Contact.model_validate({"person": person, "site": site, "points": [point]})


async def source(door: Door, dialect: str, name: str = "passerelle", **record: Any) -> str:
    async with await door.as_(Role.ADMIN) as http:
        made = await http.post("/api/v1/sources", json={"name": name, "dialect": dialect} | record)
    assert made.status_code == 201, made.text
    return str(made.json()["key"])


async def sms(
    door: Door, key: str, words: str, number: str = NUMBER, **more: Any
) -> httpx.Response:
    async with door.client() as http:
        return await http.post(
            f"/webhooks/sms?token={key}", json={"from": number, "text": words, **more}
        )


def told(door: Door) -> list[tuple[str, str | None, str, str]]:
    return [
        (m.type.value, m.site_id, m.certainty.value, m.source) for _, m, _ in door.inputs.appended
    ]


GATEWAYS = {
    "form": (
        "application/x-www-form-urlencoded",
        urlencode({"From": "0033612345678", "Body": "117 ELEC", "MessageSid": "SM1"}),
    ),
    "flat": (
        "application/json",
        orjson.dumps({"msisdn": "33612345678", "text": "117 ELEC", "messageId": "0A"}),
    ),
    "results": (
        "application/json",
        orjson.dumps(
            {"results": [{"from": "33612345678", "cleanText": "117 ELEC", "messageId": "i-1"}]}
        ),
    ),
    "payload": (
        "application/json",
        orjson.dumps(
            {
                "event": "sms:received",
                "payload": {"phoneNumber": "06 12 34 56 78", "message": "117 ELEC"},
            }
        ),
    ),
    "nested": (
        "application/json",
        orjson.dumps(
            {"data": {"payload": {"from": {"phone_number": NUMBER}, "text": "117 ELEC", "id": "t"}}}
        ),
    ),
    "smsmode": (
        "application/json",
        orjson.dumps(
            {
                "messageId": "m-9",
                "direction": "MO",
                "from": "33612345678",
                "recipient": {"to": "38000"},
                "body": {"text": "117 ELEC"},
            }
        ),
    ),
    "octopush": (
        "application/json",
        orjson.dumps(
            {
                "message_id": "sms_5fa275dbf21dc",
                "number": NUMBER,
                "text": "117 ELEC",
                "sim_card_number": "12345",
                "reception_date": "2027-02-11 10:11:45",
            }
        ),
    ),
    "list": (
        "application/json",
        orjson.dumps([{"originator": NUMBER, "body": "117 ELEC", "id": 7}]),
    ),
}


@pytest.mark.parametrize("gateway", sorted(GATEWAYS))
async def test_common_gateways_are_understood_and_a_message_counts_once(
    field: Door, gateway: str
) -> None:
    key = await source(field, "sms")
    kind, body = GATEWAYS[gateway]
    async with field.client(**{"X-Token": key, "Content-Type": kind}) as http:
        for _ in range(2):
            answer = await http.post("/webhooks/sms", content=body)
            assert answer.status_code == 200, answer.text
    assert told(field) == [("outage_power", "clg-1", "confirmed", "site_manager")]


async def test_messages_from_the_field_become_reports(field: Door) -> None:
    key = await source(field, "sms")
    for n, words in enumerate(
        ("117 Électricité", "RAS 118", "STOP 117", "stop 117 élec", "999 eau")
    ):
        assert (await sms(field, key, words, id=n)).status_code == 200
    assert [(t, s) for t, s, *_ in told(field)] == [
        ("outage_power", "clg-1"),
        ("info", "clg-2"),
        ("reopening", "clg-1"),
        ("reopening", "clg-1"),
        ("outage_water", "999"),
    ]
    assert [[x.value for x in m.lifts] for _, m, _ in field.inputs.appended[2:4]] == [
        [],
        ["outage_power"],
    ]


async def test_a_person_with_an_account_speaks_as_that_and_for_its_sites_only(field: Door) -> None:
    key = await source(field, "sms")
    account = create_principal(Role.SITE_MANAGER, scope=Scope(sites=("clg-2",))).model_copy(
        update={"person": "p-1"}
    )
    await field.intake.access.put(account)
    assert (await sms(field, key, "RAS")).status_code == 200
    refused = await sms(field, key, "117 ELEC")
    assert (refused.status_code, refused.json()["code"]) == (403, "out_of_scope")
    assert told(field) == [("info", "clg-2", "confirmed", "site_manager")]
    assert field.inputs.appended[0][1].source_key == account.id


@pytest.mark.parametrize(("place", "kind"), [("clg-1", "site_manager"), ("clg-2", "agent")])
async def test_a_person_speaks_of_another_place_of_work_as_any_agent(
    field: Door, place: str, kind: str
) -> None:
    key = await source(field, "sms")
    field.intake.sms._people._directory.contacts["p-1"] = contact(
        "p-1", NUMBER, verified=True, site="clg-1"
    )  # type: ignore[attr-defined]
    number = {"clg-1": "117", "clg-2": "118"}[place]
    assert (await sms(field, key, f"{number} FEU")).status_code == 200
    assert told(field) == [("fire", place, "confirmed", kind)]


@pytest.mark.parametrize(
    ("managed", "line", "kind"),
    [
        (["clg-1"], "117 FEU", "site_manager"),
        (["clg-1"], "118 FEU", "agent"),
        (["clg-1", "clg-2"], "118 FEU", "site_manager"),
        ([], "117 FEU", "agent"),
        ([], "FEU", "agent"),
    ],
)
async def test_a_person_without_an_account_is_a_manager_by_the_roster_alone(
    field: Door, managed: list[str], line: str, kind: str
) -> None:
    """An agent spoke as the manager, so the manager heard of no order to leave."""
    key = await source(field, "sms")
    await appoint(field, **({"p-1": managed} if managed else {}))
    field.intake.sms._people._directory.contacts["p-1"] = contact(
        "p-1", NUMBER, verified=True, site="clg-1"
    )  # type: ignore[attr-defined]
    assert (await sms(field, key, line)).status_code == 200
    assert [reporter for *_, reporter in told(field)] == [kind]


async def test_managers_stay_known_while_the_console_is_away(field: Door) -> None:
    async def away(*_: Any) -> Any:
        raise TimeoutError

    await field.intake.managers.renew(away)
    assert field.intake.managers.find_sites("92", "p-1") == ("clg-1",)
    assert field.intake.managers.find_sites("93", "p-1") == ()


async def test_a_closed_account_is_unknown_by_telephone_too(field: Door) -> None:
    """The number reported for every site, like that of a person without an account."""
    key = await source(field, "sms")
    account = create_principal(Role.SITE_MANAGER, scope=Scope(sites=("clg-2",))).model_copy(
        update={"person": "p-1"}
    )
    await field.intake.access.put(account)
    await field.intake.access.set_enabled(account.id, enabled=False)
    assert (await sms(field, key, "117 ELEC", id=1)).status_code == 200
    another = create_principal(Role.TECHNICIAN).model_copy(update={"person": "p-1"})
    await field.intake.access.put(another)
    assert (await sms(field, key, "117 ELEC", id=2)).status_code == 200
    assert [certainty for *_, certainty, _ in told(field)] == ["unconfirmed", "confirmed"]
    assert field.inputs.appended[1][1].source_key == another.id


@pytest.mark.parametrize(
    ("scope", "place"), [(None, "clg-1"), (("clg-1", "clg-2"), "clg-1"), (("clg-2",), "clg-2")]
)
async def test_a_line_without_a_site_is_about_the_sender_s_place_of_work(
    field: Door, scope: tuple[str, ...] | None, place: str
) -> None:
    """Without an account, or with one for several sites; an account for one site speaks of that one."""
    key = await source(field, "sms")
    field.intake.sms._people._directory.contacts["p-1"] = contact(
        "p-1", NUMBER, verified=True, site="clg-1"
    )  # type: ignore[attr-defined]
    if scope is not None:
        await field.intake.access.put(
            create_principal(Role.SITE_MANAGER, scope=Scope(sites=scope)).model_copy(
                update={"person": "p-1"}
            )
        )
    for n, words in enumerate(("RAS", "STOP", "118 ELEC")):
        assert (await sms(field, key, words, id=n)).status_code == 200
    assert [(t, s) for t, s, *_ in told(field)] == [
        ("info", place),
        ("reopening", place),
        ("outage_power", "clg-2"),
    ]


@pytest.mark.parametrize("number", [UNVERIFIED, "+33600000000"])
async def test_a_number_that_is_not_verified_enters_unconfirmed_and_not_often(
    field: Door, number: str
) -> None:
    key = await source(field, "sms")
    statuses = [
        (await sms(field, key, f"117 {w}", number, id=w)).status_code
        for w in ("ELEC", "EAU", "TEL", "SI", "GAZ", "FEU")
    ]
    assert statuses == [200, 200, 200, 503, 200, 200], "danger to people has room of its own"
    assert {(c, s) for *_, c, s in told(field)} == {("unconfirmed", "public")}


async def test_many_of_unknown_numbers_in_one_request_are_all_taken_in_time(field: Door) -> None:
    key, limits = await source(field, "sms"), field.intake.sms._limits
    many = [
        {"from": f"+3360000000{n}", "text": f"117 {word}", "id": n}
        for n, word in enumerate(("ELEC", "EAU", "TEL", "SI", "CHAUF"))
    ]
    async with field.client() as http:
        assert (await http.post(f"/webhooks/sms?token={key}", json=many)).status_code == 503
        limits._clock = lambda: time.time() + limits._window_s
        assert (await http.post(f"/webhooks/sms?token={key}", json=many)).status_code == 200
    assert len(told(field)) == 5


async def test_an_erased_person_is_a_stranger_at_once(field: Door) -> None:
    key = await source(field, "sms")
    assert (await sms(field, key, "117 ELEC")).status_code == 200
    field.intake.sms._people._directory.contacts.clear()  # type: ignore[attr-defined]
    assert (await sms(field, key, "118 ELEC")).status_code == 200
    assert [c for *_, c, _ in told(field)] == ["confirmed", "unconfirmed"]


async def test_an_answer_to_a_call_is_no_report_and_waits_for_delivery(field: Door) -> None:
    key = await source(field, "sms")
    assert (await sms(field, key, "1 j'arrive")).status_code == 200
    assert (await sms(field, key, "2", number="+33600000000")).status_code == 200, (
        "delivery knows whom it called"
    )
    texts = field.intake.vault.texts
    waiting_replies = [
        item.fields
        for id in texts._recent
        if (item := await texts.get(id)) is not None and id.startswith(WAITING_REPLY_PREFIX)
    ]
    assert [(f["from"], f["words"]) for f in waiting_replies] == [
        (NUMBER, "1 j'arrive"),
        ("+33600000000", "2"),
    ]
    assert abs(waiting_replies[0]["at"] - time.time() * 1000) < 60_000
    assert told(field) == []


@pytest.mark.parametrize(
    ("words", "number", "waits"),
    [
        ("j’arrive", NUMBER, True),
        ("bonjour à tous", UNVERIFIED, True),
        ("👍", NUMBER, True),
        ("117 COURANT COUPE", NUMBER, True),
        ("117 panne", NUMBER, True),
        ("RAS 117", NUMBER, False),
        ("117 COURANT COUPE", UNVERIFIED, True),
        ("j’arrive", "+33600000000", False),
        ("117 COURANT COUPE", "+33600000000", False),
        ("En congé. Vigie : signalement reçu : incendie. Quel site ?", NUMBER, False),
    ],
)
async def test_messages_of_possibly_called_people_wait_for_delivery_and_a_person(
    field: Door, words: str, number: str, waits: bool
) -> None:
    key = await source(field, "sms")
    refused_messages: list[RefusedMessage] = []
    field.intake.refused.keep = refused_messages.append  # type: ignore[method-assign]
    answer = await sms(field, key, words, number)
    texts = field.intake.vault.texts
    is_line = "117" in words and "panne" not in words
    assert ([id for id in texts._recent if id.startswith(WAITING_REPLY_PREFIX)] != []) is waits
    assert answer.status_code == (200 if is_line else 422)
    assert len(refused_messages) == (0 if is_line else 1)


@pytest.mark.parametrize(
    ("number", "certainty"), [(NUMBER, "confirmed"), ("+33600000000", "unconfirmed")]
)
async def test_danger_in_free_words_is_a_report_without_a_place(
    field: Door, number: str, certainty: str
) -> None:
    key = await source(field, "sms")
    for _ in range(2):
        assert (await sms(field, key, "il y a le feu au collège", number, id=1)).status_code == 200
    assert [told_report[:3] for told_report in told(field)] == [("fire", None, certainty)]
    texts = field.intake.vault.texts
    report_text = await texts.get(field.inputs.appended[0][1].text_id or "")
    assert report_text is not None
    assert report_text.fields["description"] == "il y a le feu au collège"
    waiting_replies = [id for id in texts._recent if id.startswith(WAITING_REPLY_PREFIX)]
    assert len(waiting_replies) == (number == NUMBER), "strangers get no answer"


async def test_free_words_without_danger_wait_for_a_person(field: Door) -> None:
    key = await source(field, "sms")
    refused_messages: list[RefusedMessage] = []
    field.intake.refused.keep = refused_messages.append  # type: ignore[method-assign]
    assert (await sms(field, key, "il n’y a pas de feu")).status_code == 422
    assert len(refused_messages) == 1
    assert told(field) == []


async def test_an_answer_that_its_gateway_posts_again_is_of_when_it_came_first(field: Door) -> None:
    key = await source(field, "sms")
    texts = field.intake.vault.texts
    answers = [(await sms(field, key, words, id=words)).status_code for words in ("1", "2", "1")]
    waiting_replies = [
        item.fields
        for id in texts._recent
        if (item := await texts.get(id)) is not None and id.startswith(WAITING_REPLY_PREFIX)
    ]
    assert answers == [200] * 3
    assert [f["words"] for f in sorted(waiting_replies, key=lambda f: f["at"])] == ["1", "2"]


async def test_two_gateways_that_number_their_messages_alike_lose_none(field: Door) -> None:
    keys = [await source(field, "sms", name) for name in ("modem-1", "modem-2")]
    for key, words in zip(keys, ("117 ELEC", "118 EAU"), strict=True):
        for _ in range(2):
            assert (await sms(field, key, words, id=1)).status_code == 200
    assert [t for t, *_ in told(field)] == ["outage_power", "outage_water"]


@pytest.mark.parametrize("number", [NUMBER, "+33600000001"])
async def test_messages_under_an_id_that_a_gateway_used_before_are_not_lost(
    field: Door, number: str
) -> None:
    """A modem numbers from 1 again after its restart, a telephone as gateway for each number."""
    key = await source(field, "sms")
    for words, sender in (
        ("117 ELEC", number),
        ("117 FEU", number),
        ("118 FEU", "+33600000002"),
        ("118 FEU", "+33600000002"),
    ):
        assert (await sms(field, key, words, sender, id=1)).status_code == 200
    assert [(t, s) for t, s, *_ in told(field)] == [
        ("outage_power", "clg-1"),
        ("fire", "clg-1"),
        ("fire", "clg-2"),
    ]


async def test_answers_under_an_id_that_a_gateway_used_before_are_not_lost(field: Door) -> None:
    key, texts = await source(field, "sms"), field.intake.vault.texts
    for number in (NUMBER, UNVERIFIED, UNVERIFIED):
        assert (await sms(field, key, "1", number, id=1)).status_code == 200
    waiting_replies = [id for id in texts._recent if id.startswith(WAITING_REPLY_PREFIX)]
    assert len(waiting_replies) == 2


async def post_parts(
    door: Door, key: str, parts: Iterable[tuple[int, str]], **numbers: str
) -> list[int]:
    """Post the parts of a long text as Vonage does; return the answers."""
    answers = []
    for part, text in parts:
        message = {"msisdn": "33612345678", "concat": "true", "concat-total": "2", "text": text}
        message |= {"concat-part": str(part), "messageId": f"{part}-{text}"} | numbers
        async with door.client() as http:
            answer = await http.post(f"/webhooks/sms?token={key}", content=urlencode(message))
        answers.append(answer.status_code)
    return answers


async def read_parts(door: Door) -> None:
    """Read the stored parts, with a store that lists its memory."""
    texts = door.intake.vault.texts
    ids = [id for id in texts._recent if id.startswith(TEXT_PART_PREFIX)]
    items = {id: item for id in ids if (item := await texts.get(id)) is not None}
    reader = door.intake.arrived_texts
    reader._texts = Answers(items)
    await reader.read()


async def test_a_long_sms_in_parts_is_one_report_of_its_gateway(field: Door) -> None:
    key = await source(field, "sms")
    first, rest = "117 ELEC dans tout le bâtiment, ", "2 salles ont encore du courant"
    parts = [(2, rest), (1, first), (2, rest)]
    assert await post_parts(field, key, parts, **{"concat-ref": "71"}) == [200] * 3
    assert told(field) == []
    for _ in range(2):
        await read_parts(field)
    assert [t for t, *_ in told(field)] == ["outage_power"]
    item = await field.intake.vault.texts.get(field.inputs.appended[0][1].text_id or "")
    assert item is not None
    assert item.fields["description"] == first + rest


async def test_an_answer_in_the_first_part_goes_to_delivery_at_once(field: Door) -> None:
    key, texts = await source(field, "sms"), field.intake.vault.texts
    parts = ((1, "1 j’arrive"), (2, "2 collègues aussi"))
    assert await post_parts(field, key, parts, **{"concat-ref": "71"}) == [200, 200]
    await read_parts(field)
    waiting = [
        item.fields["words"]
        for id in texts._recent
        if id.startswith(WAITING_REPLY_PREFIX) and (item := await texts.get(id)) is not None
    ]
    assert waiting == ["1 j’arrive"]
    assert told(field) == []


async def test_the_rest_of_a_long_sms_without_a_reference_is_no_report_but_kept(
    field: Door,
) -> None:
    key = await source(field, "sms")
    refused_messages: list[RefusedMessage] = []
    field.intake.refused.keep = refused_messages.append  # type: ignore[method-assign]
    parts = ((1, "117 ELEC dans tout le bâtiment"), (2, "2 salles ont encore du courant"))
    assert await post_parts(field, key, parts) == [200, 422]
    assert [t for t, *_ in told(field)] == ["outage_power"]
    assert [orjson.loads(k.body)[0]["text"] for k in refused_messages] == [parts[1][1]]


async def test_unverified_numbers_of_called_people_may_answer_as_often_as_others(
    field: Door,
) -> None:
    key = await source(field, "sms")
    assert [(await sms(field, key, "1", UNVERIFIED, id=n)).status_code for n in range(5)] == [
        200
    ] * 5


async def test_a_number_that_changed_hands_reports_for_its_new_holder(field: Door) -> None:
    key = await source(field, "sms")
    people = field.intake.sms._people
    people._monotonic = lambda: people._read_at + REFRESH_INTERVAL_S
    contacts = people._directory.contacts  # type: ignore[attr-defined]
    assert (await sms(field, key, "117 ELEC", id=1)).status_code == 200
    contacts["p-3"] = contacts.pop("p-1").model_copy(update={"person": "p-3"})
    assert (await sms(field, key, "118 ELEC", id=2)).status_code == 200
    assert [c for *_, c, _ in told(field)] == ["confirmed", "confirmed"]


async def test_answers_of_strangers_are_counted(field: Door) -> None:
    key = await source(field, "sms")
    status_codes = [
        (await sms(field, key, "1", number=f"+3360000000{n}")).status_code for n in range(5)
    ]
    assert (status_codes[0], status_codes[-1]) == (200, 503)


@pytest.mark.parametrize(
    ("number", "certainty"), [(NUMBER, "confirmed"), ("+33600000000", "unconfirmed")]
)
async def test_a_refused_form_is_replayed_as_a_form(
    field: Door, number: str, certainty: str
) -> None:
    key = await source(field, "sms")
    refused_messages: list[RefusedMessage] = []
    field.intake.refused.keep = refused_messages.append  # type: ignore[method-assign]
    form = urlencode({"From": number, "Body": "bonjour à tous", "date": "2026-11-25T08:00:00Z"})
    headers = {"content-type": "application/x-www-form-urlencoded"}
    async with field.client(**headers) as http:
        assert (await http.post(f"/webhooks/sms?token={key}", content=form)).status_code == 422
        (letter,) = refused_messages
        assert (await http.post(f"/webhooks/sms?token={key}", content=letter.body)).json()[
            "errors"
        ][0]["field"] == "text", "as it came"
        mended = letter.body.replace("bonjour à tous".encode(), b"117 ELEC")
        for _ in range(2):
            assert (
                await http.post(f"/webhooks/sms?token={key}", content=mended)
            ).status_code == 200
    assert [c for *_, c, _ in told(field)] == [certainty], "once, by whoever wrote it"
    assert field.inputs.appended[0][1].occurred_at == 1_795_593_600_000


async def test_only_the_refused_message_of_several_is_kept(field: Door) -> None:
    key = await source(field, "sms")
    refused_messages: list[RefusedMessage] = []
    field.intake.refused.keep = refused_messages.append  # type: ignore[method-assign]
    two = {"results": [{"from": NUMBER, "text": "117 ELEC"}, {"from": NUMBER, "text": "bonjour"}]}
    async with field.client() as http:
        assert (await http.post(f"/webhooks/sms?token={key}", json=two)).status_code == 200
    (letter,) = refused_messages
    assert [m["text"] for m in orjson.loads(letter.body)] == ["bonjour"]


@pytest.mark.parametrize(
    ("whole", "bare", "type"),
    [("VIGIE 117 ELEC", "117 ELEC", "outage_power"), ("STOP 117", "117", "reopening")],
)
async def test_the_keyword_of_a_shared_number_is_removed_from_the_line(
    field: Door, whole: str, bare: str, type: str
) -> None:
    key = await source(field, "sms")
    one = {"from": NUMBER, "text": whole, "cleanText": bare, "messageId": "m"}
    async with field.client() as http:
        answer = await http.post("/webhooks/sms", params={"token": key}, json={"results": [one]})
    assert (answer.status_code, [t for t, *_ in told(field)]) == (200, [type])


async def test_receipts_of_a_gateway_are_no_reports(field: Door) -> None:
    key = await source(field, "sms")
    receipt_body = {
        "data": {
            "event_type": "message.finalized",
            "payload": {
                "direction": "outbound",
                "from": {"phone_number": NUMBER},
                "text": "117 ELEC",
                "id": "o",
            },
        }
    }
    async with field.client() as http:
        answer = await http.post("/webhooks/sms", params={"token": key}, json=receipt_body)
    assert (answer.status_code, answer.json(), told(field)) == (200, {"messages": 0}, [])


def make_octopush_receipt(status: str, id: str = "sms_5fa275dbf21dc") -> dict[str, Any]:
    return {
        "channel": "sms",
        "message_id": id,
        "number": NUMBER,
        "status": status,
        "delivery_date": "2027-02-11 10:11:45",
        "meta_data": {},
    }


async def test_receipts_of_an_account_wait_for_delivery_without_the_number(field: Door) -> None:
    key = await source(field, "sms")
    async with field.client() as http:
        for status in ("ACK", "UNKNOWN_DELIVERY", "DELIVERED", "DELIVERED", "BLACKLISTED_NUMBER"):
            body = make_octopush_receipt(status)
            answer = await http.post("/webhooks/sms", params={"token": key}, json=body)
            assert (answer.status_code, answer.json()) == (200, {"messages": 1})
    receipts = await list_waiting(field)
    assert [(f["receipt"], f["state"], f["error"]) for f in receipts] == [
        ("sms_5fa275dbf21dc", "received", None),
        ("sms_5fa275dbf21dc", "failed", "blacklisted_number"),
    ]
    assert NUMBER not in str(receipts)
    assert told(field) == []


async def test_two_replies_to_one_message_of_octopush_are_two(field: Door) -> None:
    """Both carry the ticket of the message that they answer."""
    key = await source(field, "sms")
    async with field.client() as http:
        for words, at in (("1", "10:11:45"), ("2", "10:12:10"), ("2", "10:12:10")):
            body = {
                "message_id": "sms_5fa275dbf21dc",
                "number": NUMBER,
                "text": words,
                "sim_card_number": "12345",
                "reception_date": f"2027-02-11 {at}",
            }
            answer = await http.post("/webhooks/sms", params={"token": key}, json=body)
            assert answer.status_code == 200
    assert [f["words"] for f in await list_waiting(field)] == ["1", "2"]


async def list_waiting(field: Door) -> list[dict[str, Any]]:
    """Return the texts that wait for delivery, in order."""
    texts = field.intake.vault.texts
    text_items = [(id, await texts.get(id)) for id in texts._recent]
    return [
        item.fields
        for id, item in text_items
        if item is not None and id.startswith(WAITING_REPLY_PREFIX)
    ]


async def test_no_number_is_stored_or_logged(
    field: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    key = await source(field, "sms")
    refused_messages: list[RefusedMessage] = []
    field.intake.refused.keep = refused_messages.append  # type: ignore[method-assign]
    assert (await sms(field, key, "117 ELEC")).status_code == 200
    assert (await sms(field, key, "bonjour à tous")).status_code == 422
    raw = await field.intake.vault.texts.get(f"report-{field.inputs.appended[0][1].report_id}")
    assert raw is not None
    assert raw.raw is not None
    everything = (
        orjson.dumps([m.model_dump(mode="json") for _, m, _ in field.inputs.appended])
        + raw.raw
        + b"".join(k.body for k in refused_messages)
    )
    assert b"117 ELEC" in raw.raw
    assert b"bonjour" in refused_messages[0].body
    for part in ("612345678", "345678"):
        assert part.encode() not in everything
        assert part not in capsys.readouterr().err


async def test_a_gateway_without_a_key_is_a_stranger_and_nothing_comes_of_it(field: Door) -> None:
    assert (await sms(field, "nobody", "117 ELEC")).status_code == 401
    assert told(field) == []


async def test_the_cell_types_a_line_for_a_caller(field: Door) -> None:
    async with await field.as_(Role.CELL) as http:
        for _ in range(2):
            answer = await http.post(
                "/api/v1/reports:line",
                json={"text": "117 eau partielle", "poste": "4"},
                headers={"Idempotency-Key": "call-1"},
            )
            assert answer.status_code == 202, answer.text
        assert answer.headers["idempotency-replayed"] == "true"
        unclear = await http.post("/api/v1/reports:line", json={"text": "eau"})
        assert (unclear.status_code, unclear.json()["errors"][0]["code"]) == (422, "site")
    async with await field.as_(Role.SITE_MANAGER) as http:
        assert (
            await http.post("/api/v1/reports:line", json={"text": "117 eau"})
        ).status_code == 403
    assert told(field) == [("outage_water", "clg-1", "confirmed", "agent")]


async def test_a_typed_line_about_an_unknown_site_is_refused_on_request(field: Door) -> None:
    async with await field.as_(Role.CELL) as http:
        line = {"text": "999 ELEC", "known_site": True}
        refused = await http.post("/api/v1/reports:line", json=line)
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "unknown_site")
        assert (
            await http.post("/api/v1/reports:line", json=line | {"text": "zzz-9 ELEC"})
        ).status_code == 422
        assert (
            await http.post("/api/v1/reports:line", json=line | {"known_site": False})
        ).status_code == 202
        assert (
            await http.post("/api/v1/reports:line", json=line | {"text": "117 ELEC"})
        ).status_code == 202
    assert [site for _, site, *_ in told(field)] == ["999", "clg-1"]


async def test_another_line_under_the_same_key_is_refused_as_another_report_is(field: Door) -> None:
    """It was answered with the receipt of the first, and lost."""
    async with await field.as_(Role.CELL) as http:
        responses = [
            await http.post(
                "/api/v1/reports:line", json={"text": words}, headers={"Idempotency-Key": "call-1"}
            )
            for words in ("117 ELEC", "117 ELEC", "118 ELEC")
        ]
    assert [a.status_code for a in responses] == [202, 202, 422]
    assert responses[2].json()["code"] == "key_reused"
    assert [s for _, s, *_ in told(field)] == ["clg-1"]


async def test_a_line_in_an_exercise_without_a_time_is_of_the_exercise_s_time(field: Door) -> None:
    """Only the log of an exercise knows it: the door's own clock had dated it."""
    realm, occurred_at = "92~ex-7", "2027-02-11T08:40:00+00:00"
    async with await field.as_(Role.CELL) as http:
        for n, when in enumerate(({}, {"occurred_at": occurred_at})):
            line = {"text": "117 ELEC", "realm": realm} | when
            for _ in range(2):
                assert (
                    await http.post(
                        "/api/v1/reports:line", json=line, headers={"Idempotency-Key": f"call-{n}"}
                    )
                ).status_code == 202
    assert [(r, m.occurred_at) for r, m, _ in field.inputs.appended] == [
        (realm, None),
        (realm, 1_802_335_200_000),
    ]


async def test_a_line_and_a_poster_that_are_offered_again_are_of_when_they_came(
    field: Door,
) -> None:
    came = 1_795_000_000_000
    key = await source(field, "poster", site="clg-2")
    async with await field.as_(Role.CELL) as http:
        assert (await http.post("/api/v1/reports:line", json={"text": "eau"})).status_code == 422
        wrong = {"type": "outage_water", "severity": 9}
        assert (
            await http.post(
                "/webhooks/poster", params={"token": key}, json=wrong, headers={"Authorization": ""}
            )
        ).status_code == 422
    for body in ({"text": "117 eau"}, wrong | {"severity": 3}):
        refused_message = field.intake.refused._queue.get_nowait()
        assert (
            await offered_again(field, refused_message, orjson.dumps(body), came)
        ).status_code == 202
    assert [m.occurred_at for _, m, _ in field.inputs.appended] == [came] * 2


async def test_a_byte_order_mark_is_no_part_of_a_body(field: Door) -> None:
    """Editors and shells of Windows write one."""
    bodies = {
        "/api/v1/sources": {
            "name": "affiche",
            "dialect": "poster",
            "site": "clg-2",
            "key": "k" * 20,
        },
        "/api/v1/reports:line": {"text": "117 eau"},
        "/webhooks/poster?token=" + "k" * 20: {"type": "outage_water", "severity": 3},
        "/api/v1/reports": report(),
    }
    async with await field.as_(Role.ADMIN) as http:
        for path, body in bodies.items():
            headers = {"content-type": "application/json"} | (
                {"Authorization": ""} if "poster" in path else {}
            )
            answer = await http.post(path, content=BOM_UTF8 + orjson.dumps(body), headers=headers)
            assert answer.status_code in (201, 202), answer.text


async def test_a_poster_speaks_of_its_site_unconfirmed_and_its_key_does_nothing_else(
    field: Door,
) -> None:
    key = await source(field, "poster", site="clg-2")
    report = {
        "type": "outage_water",
        "severity": 3,
        "site_id": "clg-1",
        "certainty": "confirmed",
        "realm": "92~ex-1",
        "description": "fuite au 2e",
    }
    async with field.client(**{"X-Token": key}) as http:
        for _ in range(2):
            answer = await http.post(
                "/webhooks/poster", json=report, headers={"Idempotency-Key": "k"}
            )
            assert (answer.status_code, set(answer.json())) == (202, {"report_id"})
    async with field.client(Authorization=f"Bearer {key}") as http:
        assert (await http.post("/api/v1/reports", json=report)).status_code == 403
        assert (
            await http.post("/webhooks/generic/passerelle", json={"title": "x"})
        ).status_code == 403
        assert (await http.get("/api/v1/sources")).status_code == 403
    assert told(field) == [("outage_water", "clg-2", "unconfirmed", "public")]
    assert field.inputs.appended[0][0] == "92"


@pytest.fixture
async def street(tmp_path: Path) -> AsyncIterator[Door]:
    """Build a front with the default limits."""
    territory = tmp_path / "92"
    territory.mkdir()
    (territory / "sites.csv").write_text(SITES, encoding="utf-8")
    door = Door(tmp_path / "data", territory=territory)
    door.intake.sms._people._directory = MemoryDirectory()
    yield door
    await door.close()


async def scan(
    door: Door, key: str, type: str, address: str, severity: int = 2, **more: Any
) -> httpx.Response:
    """Post the form of a poster from an address."""
    transport = httpx.ASGITransport(door.intake.front, client=(address, 40_000))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://vigie", headers={"X-Token": key}
    ) as http:
        return await http.post("/webhooks/poster", json={"type": type, "severity": severity} | more)


async def test_a_report_at_a_poster_that_waited_is_dated_by_the_server_s_clock(field: Door) -> None:
    """D7: the phone of a passer-by is an hour slow, and had no network for ten minutes."""
    key, now = await source(field, "poster", site="clg-2"), time.time()
    stated = datetime.fromtimestamp(now - 4_200, UTC).isoformat()
    report = {"type": "fire", "severity": 4, "occurred_at": stated, "description": "fumée"}
    headers = {"Idempotency-Key": "k", "Vigie-Filled-Ago": "600000"}
    async with field.client(**{"X-Token": key}) as http:
        assert (await http.post("/webhooks/poster", json=report, headers=headers)).is_success
    message = field.inputs.appended[-1][1]
    assert message.occurred_at is not None
    assert abs(message.occurred_at - (now - 600) * 1000) < 60_000
    assert message.text_id is not None
    item = await field.intake.vault.texts.get(message.text_id)
    assert item is not None
    assert "horloge de l’appareil fausse" in item.fields["description"]


async def test_forty_reports_of_a_stranger_at_a_poster_block_no_fire_report(street: Door) -> None:
    key = await source(street, "poster", site="clg-2")
    for n in range(40):
        answer = await scan(street, key, "fire", "198.51.100.7", 5, description=f"farce {n}")
        assert answer.status_code == 202, answer.text
    assert len(street.inputs.appended) == 3, "its repetitions are only counted"
    fire = await scan(street, key, "fire", "192.0.2.9", 5, description="le gymnase brûle")
    assert fire.status_code == 202
    assert len(street.inputs.appended) == 4


async def test_a_full_poster_accepts_the_first_report_of_a_sender_and_any_new_danger(
    street: Door,
) -> None:
    key = await source(street, "poster", site="clg-2")
    for n in range(40):
        await scan(street, key, "fire", f"198.51.{n}.7", 5)
    assert len(street.inputs.appended) == 40
    assert (await scan(street, key, "fire", "192.0.2.9", 5)).status_code == 202, (
        "the first of a sender"
    )
    assert len(street.inputs.appended) == 41
    repeated = await scan(street, key, "fire", "192.0.2.9", 5, description="encore")
    assert (repeated.status_code, len(street.inputs.appended)) == (202, 41)
    assert repeated.json()["report_id"] == street.inputs.appended[-1][1].report_id
    assert (await scan(street, key, "gas_leak", "192.0.2.9", 5)).status_code == 202, (
        "nobody told of gas"
    )
    assert told(street)[-1][0] == "gas_leak"
    assert (await scan(street, key, "outage_water", "203.0.113.1")).status_code == 429


async def test_counted_messages_are_reported_with_the_next_of_their_kind(street: Door) -> None:
    key, limits, now = (
        await source(street, "poster", site="clg-2"),
        street.intake.sms._limits,
        1_000.0,
    )
    limits._clock = lambda: now
    for n in range(15):
        await scan(street, key, "fire", "198.51.100.7", 5, description=f"n° {n}")
    assert len(street.inputs.appended) == 3
    now += 61.0
    await scan(street, key, "fire", "198.51.100.7", 5, description="toujours")
    assert len(street.inputs.appended) == 4
    item = await street.intake.vault.texts.get(street.inputs.appended[-1][1].text_id or "")
    assert item is not None
    assert (
        item.fields["description"]
        == "toujours\n12 autres messages semblables ont été reçus auparavant."
    )


async def test_a_sender_at_a_poster_waits_for_itself_alone(street: Door) -> None:
    key = await source(street, "poster", site="clg-2")
    answers = [
        await scan(street, key, "outage_water", f"198.51.100.{n}", description=str(n))
        for n in range(4)
    ]
    assert [a.status_code for a in answers] == [202, 202, 202, 429], "a /24 is one sender"
    assert 0 < int(answers[3].headers["retry-after"]) <= 600
    assert (await scan(street, key, "outage_water", "192.0.2.9")).status_code == 202


async def test_the_same_form_sent_again_counts_once(street: Door) -> None:
    key = await source(street, "poster", site="clg-2")
    transport = httpx.ASGITransport(street.intake.front)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://vigie", headers={"X-Token": key}
    ) as http:
        for _ in range(9):
            body = {"type": "outage_water", "severity": 2}
            answer = await http.post(
                "/webhooks/poster", json=body, headers={"Idempotency-Key": "one"}
            )
            assert answer.status_code == 202
    assert len(street.inputs.appended) == 1


async def test_another_form_under_the_same_key_is_refused_and_kept(street: Door) -> None:
    """A fire was answered with the receipt of the water cut before it, and lost."""
    key = await source(street, "poster", site="clg-2")
    forms = (
        {"type": "outage_water", "severity": 2, "occurred_at": "2027-02-11T09:40:00+01:00"},
        {"type": "fire", "severity": 5},
        {"type": "outage_water", "severity": 2, "occurred_at": "2027-02-11T09:41:00+01:00"},
    )
    async with street.client(**{"X-Token": key, "Idempotency-Key": "one"}) as http:
        answers = [await http.post("/webhooks/poster", json=form) for form in forms]
    assert [a.status_code for a in answers] == [202, 422, 202]
    assert answers[1].json()["code"] == "key_reused"
    assert answers[2].json() == answers[0].json()
    assert told(street) == [("outage_water", "clg-2", "unconfirmed", "public")]
    assert b"fire" in street.intake.refused._queue.get_nowait().body


async def test_messages_of_one_unknown_number_block_no_fire_report_of_another(street: Door) -> None:
    key = await source(street, "sms")
    statuses = [
        (await sms(street, key, f"117 FEU {n}", "+33600000001", id=n)).status_code
        for n in range(39)
    ]
    assert set(statuses) == {200}
    assert len(street.inputs.appended) == 3
    assert (await sms(street, key, "117 FEU", "+33600000002", id="x")).status_code == 200
    assert len(street.inputs.appended) == 4
    calm = [
        (await sms(street, key, f"117 ELEC {n}", "+33600000003", id=f"c{n}")).status_code
        for n in range(4)
    ]
    assert calm == [200, 200, 200, 503]
    assert (await sms(street, key, "118 EAU", "+33600000004", id="y")).status_code == 200


async def test_a_poster_needs_a_site(field: Door) -> None:
    async with await field.as_(Role.ADMIN) as http:
        refused = await http.post("/api/v1/sources", json={"name": "mur", "dialect": "poster"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "site")


def test_codes_follow_the_territory_s_file(tmp_path: Path) -> None:
    places, file = SiteCodes(tmp_path), tmp_path / "sites.csv"
    assert places.site_of("117", ()) == "117", "no file, no code: a person links the report"
    file.write_text(SITES, encoding="utf-8")
    assert (
        places.site_of("117", ()),
        places.site_of("CLG-2", ()),
        places.site_of("CLG-9", ()),
    ) == ("clg-1", "clg-2", "clg-9")
    file.write_text(SITES.replace("117", "200"), encoding="utf-8")
    import os

    os.utime(file, (time.time() + 5, time.time() + 5))
    assert places.site_of("200", ()) == "clg-1"
    assert places.site_of(None, ("clg-2",)) == "clg-2"
    with pytest.raises(ProblemError):
        places.site_of(None, ("clg-1", "clg-2"))


# ── danger without a site ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("words", ["FEU", "feu au secours", "eau DANGER", "gaz partout"])
async def test_danger_by_sms_without_a_site_is_accepted(field: Door, words: str) -> None:
    """It was refused: the gateway told its sender nothing, and the fire lay among refused words."""
    key = await source(field, "sms")
    for number in (NUMBER, "+33600000009"):
        assert (await sms(field, key, words, number)).status_code == 200
    assert [(site, certainty) for _, site, certainty, _ in told(field)] == [
        (None, "confirmed"),
        (None, "unconfirmed"),
    ]
    assert (await sms(field, key, "eau coupee", "+33600000008")).status_code == 422


async def test_a_manager_of_two_sites_in_danger_needs_no_code(field: Door) -> None:
    account = create_principal(Role.SITE_MANAGER, scope=Scope(sites=("clg-1", "clg-2"))).model_copy(
        update={"person": "p-1"}
    )
    await field.intake.access.add_account(account, "ext")
    key = await source(field, "sms")
    assert (await sms(field, key, "FEU")).status_code == 200
    assert (await sms(field, key, "EAU", id="2")).status_code == 422
    assert [(type, site) for type, site, *_ in told(field)] == [("fire", None)]


async def test_a_typed_line_of_danger_without_a_site_names_the_doubt(field: Door) -> None:
    async with await field.as_(Role.CELL) as http:
        answer = await http.post("/api/v1/reports:line", json={"text": "FEU", "known_site": True})
    assert answer.status_code == 202
    assert [w["code"] for w in answer.json()["warnings"]] == ["missing"]
