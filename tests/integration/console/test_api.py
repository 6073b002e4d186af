"""The HTTP contract on a real store with rows from real logs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from schemas.crisis.contingency import (
    ContingencyChanged,
    ContingencyRow,
    GainRow,
    GapRow,
    LossRow,
    PresentRow,
)
from schemas.reports import ReportReceived
from schemas.runtime import InputRefused
from services.intake.integrations.cap.message import read_message
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Scope
from services.runtime.process.settings import Settings
from services.runtime.secrets.local_secrets import build_header
from services.territory import Territory
from tests.integration.console import crisis
from tests.integration.console.conftest import appending, projecting, until
from tests.integration.console.crisis import INCIDENT, LADDER, MINUTE, NOTIFICATION, START
from tests.integration.console.serving import Served, served
from tests.integration.console.test_attacks import code_of, cookies_of, log_in, sent
from tests.integration.console.test_projection import a_realm, play


class Asking:
    """GETs in one realm as one principal."""

    def __init__(self, served: Served, realm: str, headers: dict[str, str]) -> None:
        self.served, self.realm, self.headers = served, realm, headers

    async def __call__(self, path: str, code: int = 200, lang: str = "fr", **query: Any) -> Any:
        answer = await self.served.http.get(
            f"/api/v1/{path}",
            params={"realm": self.realm, **query},
            headers={**self.headers, "Accept-Language": lang},
        )
        assert answer.status_code == code, answer.text[:500]
        return answer.json()


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def ask(console_settings: Settings, territory: Territory) -> AsyncIterator[Asking]:
    """Request a crisis in a realm of its own, as an observer."""
    realm = a_realm()
    async with appending(console_settings.kafka) as writer:
        await play(writer, realm, territory)
    async with projecting(console_settings), served(console_settings) as console:
        asking = Asking(console, realm, await console.as_role(Role.OBSERVER))

        async def there() -> bool:
            overview = await asking("overview")
            counts = overview["counts"]
            return bool(
                counts["notifications"] == 1
                and counts["plans_proposed"] == 1
                and counts["reports"] == 2
            )

        await until(there)
        yield asking


async def test_an_incident_is_given_out_as_cap(ask: Asking) -> None:
    answer = await ask.served.http.get(
        f"/api/v1/incidents/{INCIDENT}/cap", params={"realm": ask.realm}, headers=ask.headers
    )
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/cap+xml")
    message, _ = read_message(answer.content)
    assert (
        message.status,
        message.identity.sender,
        message.identity.identifier.startswith(f"{INCIDENT}."),
    ) == ("Test", "vigie.92", True)
    again = await ask.served.http.get(
        f"/api/v1/incidents/{INCIDENT}/cap", params={"realm": ask.realm}, headers=ask.headers
    )
    assert again.content == answer.content
    assert message.type == "Update"
    assert message.references[0].identifier.startswith(f"{INCIDENT}.")
    assert all(r.sent_at <= message.identity.sent_at for r in message.references)
    missing = await ask.served.http.get(
        "/api/v1/incidents/nope/cap", params={"realm": ask.realm}, headers=ask.headers
    )
    assert missing.status_code == 404


async def test_an_incident_has_the_shape_that_clients_rely_on(ask: Asking) -> None:
    incident = await ask(f"incidents/{INCIDENT}")
    promised = {
        "id",
        "realm",
        "title",
        "kind",
        "state",
        "level",
        "severity",
        "certainty",
        "opened_at",
        "updated_at",
        "version",
        "sites",
        "members",
        "communes",
        "cause",
        "reports",
        "escalation",
        "plans",
        "why",
    }
    assert promised <= incident.keys()
    assert incident["opened_at"] == "2027-02-11T08:40:00Z"
    assert incident["members"] == 2
    assert incident["cause"] == {"key": "power:92050", "kind": "power"}
    assert (
        incident["escalation"] | {"next_at": "2027-02-11T08:52:00Z", "ladder": "N2", "wave": 1}
        == incident["escalation"]
    )
    assert incident["why"][0]["text"] == "incidents ouverts\u00a0: 1 (≥ 1)"


async def test_titles_and_reasons_come_in_the_readers_language(ask: Asking) -> None:
    french, english = (
        await ask(f"incidents/{INCIDENT}"),
        await ask(f"incidents/{INCIDENT}", lang="en"),
    )
    assert french["title"] != english["title"]
    assert english["title"].endswith("Nanterre")


async def test_lists_filter_and_page_by_cursor(ask: Asking) -> None:
    closed = await ask("sites", status="closed")
    assert [s["id"] for s in closed["items"]] == ["cen-1", "pmi-04"]
    site_ids, cursor = [], None
    while True:
        page = await ask("sites", limit=100, **({"cursor": cursor} if cursor else {}))
        site_ids += [s["id"] for s in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(site_ids) == len(set(site_ids)) == 253
    assert (
        await ask(
            "incidents", type="outage_power", status="open,acknowledged", level="N2", q="nanterre"
        )
    )["items"][0]["id"] == INCIDENT
    assert (await ask("incidents", level="3"))["items"] == []
    assert (await ask("sites", cursor="bogus", code=422))["code"] == "cursor_invalid"


async def test_a_filter_with_an_unknown_value_is_refused(ask: Asking) -> None:
    for path, name in (
        ("sites", "status"),
        ("incidents", "status"),
        ("tasks", "state"),
        ("notifications", "state"),
        ("escalations", "state"),
        ("plans", "state"),
        ("activities", "state"),
        ("maintenance", "state"),
        ("leases", "state"),
        ("reassignments", "state"),
        ("log", "kind"),
    ):
        (fault,) = (await ask(path, **{name: "ferme"}, code=422))["errors"]
        assert fault["field"] == f"query.{name}.0", path


@pytest.mark.parametrize("path", ["sites", "incidents/nope", "stream", "sites?status=ferme"])
async def test_head_is_get_without_its_body(ask: Asking, path: str) -> None:
    request_options = {
        "url": f"/api/v1/{path}{'&' if '?' in path else '?'}realm={ask.realm}",
        "headers": ask.headers,
    }
    head = await ask.served.http.head(**request_options)
    assert head.content == b""
    if path != "stream":
        answer = await ask.served.http.get(**request_options)
        assert (head.status_code, head.headers["content-type"]) == (
            answer.status_code,
            answer.headers["content-type"],
        )


async def test_two_times_are_compared(ask: Asking) -> None:
    then, later = "2027-02-11T09:41:00+01:00", "2027-02-11T10:40:00+01:00"
    comparison = await ask("changes", since=then, as_of=later)
    changes = {(c["collection"], c["id"]): (c["before"], c["after"]) for c in comparison["items"]}
    assert changes["levels", "territory"] == ("N1", "N2")
    assert changes["incidents", INCIDENT] == ("open N1", "open N2")
    assert changes["sites", "cen-1"] == ("normal", "closed")
    assert ("sites", "pmi-04") not in changes
    assert changes["plans", "PT-ELEC"] == ("valid", "proposed")
    assert (await ask("changes", since=later, as_of=later))["items"] == []
    whole = await ask("changes", since="2020-01-01T00:00:00Z")
    assert whole["since"] == "2027-02-11T08:40:00Z"
    assert (await ask("changes", since="hier", code=422))["errors"][0]["field"] == "since"


async def test_every_read_answers_as_of_a_time(ask: Asking) -> None:
    then = "2027-02-11T09:41:00+01:00"
    assert (await ask(f"incidents/{INCIDENT}", as_of=then))["level"] == 1
    assert (await ask("overview", as_of=then))["sites"]["closed"] == 1
    assert (await ask("notifications", as_of=then))["items"] == []
    assert (await ask("sites/cen-1", as_of=then))["status"] == "normal"
    assert (await ask("plans/PT-ELEC", as_of=then))["state"] == "valid"
    assert (await ask("log", as_of=then))["items"][0]["recorded_at"] == "2027-02-11T08:40:00Z"
    before = await ask("incidents", as_of="2020-01-01T00:00:00Z", code=404)
    assert before["code"] == "realm_not_begun"
    assert (await ask("incidents", as_of="yesterday", code=422))["errors"][0]["field"] == "as_of"


async def test_the_rest_of_the_picture(ask: Asking) -> None:
    assert (await ask("activities/CPL-01"))["mtpd"]["deadline"] == "2027-02-11T09:42:00Z"
    assert len((await ask("activities"))["items"]) == 55
    poles = (await ask("poles"))["items"]
    assert poles[0]["sites_total"] > 0
    assert {p["id"]: p["level"] for p in poles if p["level"]} == {"solidarites": 2}, (
        "of pmi-04; cen-1 is of several pôles"
    )
    assert [p["level"] for p in (await ask("overview"))["poles"]] == [p["level"] for p in poles]
    assert [
        x["level"] for x in (await ask("levels"))["items"] if x["id"] == "pole:solidarites"
    ] == [2]
    assert {p["id"]: p["activities_below"] for p in poles if p["capacity_pct"] < 100} == {
        "commande_logistique": 1
    }
    assert all(p["mbco_pct"] > 0 for p in poles)
    communes = await ask("communes")
    assert len(communes["items"]) == 36
    assert all(c["path"].startswith("M") for c in communes["items"])
    assert (await ask("levels"))["items"][0]["level"] == 2
    assert (await ask(f"escalations/{LADDER}"))["waves"][0]["roles"] == ["astreinte_direction"]
    assert (await ask(f"notifications/{NOTIFICATION}"))["person_token"] == "p-1"
    assert (await ask("tasks"))["items"][0]["kind"] == "verify_site"
    assert [len((await ask("tasks", overdue=late))["items"]) for late in ("true", "false")] == [
        1,
        0,
    ]
    assert (await ask("overview"))["counts"]["tasks_overdue"] == 1
    assert (await ask("reports/r-1"))["state"] == "applied"
    assert (await ask(f"incidents/{INCIDENT}/explain"))["correlation"][0]["reports"] == [
        "r-1",
        "r-2",
    ]
    lines = (await ask(f"incidents/{INCIDENT}/timeline"))["items"]
    assert {line["incident"] for line in lines} == {INCIDENT}
    assert (await ask("reference"))["version"]
    assert (await ask("sending/hold"))["held"] is False
    assert ask.realm in {r["name"] for r in (await ask("realms"))["items"]}


async def test_a_missing_resource_is_a_problem_document(ask: Asking) -> None:
    for path in (
        "incidents/nope",
        "sites/nope",
        "plans/nope",
        "reports/nope",
        "escalations/nope",
        "commands/nope",
    ):
        problem = await ask(path, code=404)
        assert problem["status"] == 404
        assert problem["type"].startswith("urn:vigie:problem:")
    for realm in ("92~ex-never-opened", "not a realm"):
        assert (await ask("sites", code=404, realm=realm))["code"] == "realm_unknown"


async def test_a_report_to_a_realm_that_was_never_opened_was_refused(
    ask: Asking, console_settings: Settings
) -> None:
    refused = InputRefused(
        input_id="r-nope",
        input_type=ReportReceived.wire_type(),
        code="realm_unknown",
        detail="not open here",
    )
    http, source = ask.served.http, await ask.served.as_role(Role.SOURCE)
    me = ask.served.access.bearer(source["Authorization"].split()[1])
    assert me is not None
    async with appending(console_settings.kafka) as writer:
        await writer.append("alerts", "92~ex-nope", refused, at=START, source=f"/{me.id}")

    async def told() -> bool:
        return (
            await http.get("/api/v1/reports/r-nope", params={"realm": "92~ex-nope"}, headers=source)
        ).status_code == 200

    await until(told)
    report_row = await ask("reports/r-nope", realm="92~ex-nope")
    assert (report_row["state"], report_row["reason"]) == ("refused", "realm_unknown")
    assert (await ask("reports/r-other-nope", realm="92~ex-nope", code=404))[
        "code"
    ] == "realm_unknown"


async def test_rights_follow_the_role(ask: Asking, console_settings: Settings) -> None:
    realm, console = ask.realm, ask.served
    own = crisis.report("r-own", "pmi-04", START + MINUTE, source_key="placeholder")
    async with appending(console_settings.kafka) as writer:
        kiosk = await console.as_role(Role.KIOSK)
        source = await console.as_role(Role.SOURCE)
        mine = console.access.bearer(source["Authorization"].split()[1])
        assert mine is not None
        row = own.row.model_copy(update={"source_key": mine.id})
        await writer.append(
            "alerts",
            realm,
            own.model_copy(update={"row": row}),
            crisis.report("r-other", "pmi-04", START + MINUTE),
            at=START + MINUTE,
        )

        async def status(path: str, headers: dict[str, str]) -> int:
            return (
                await console.http.get(f"/api/v1/{path}", params={"realm": realm}, headers=headers)
            ).status_code

        async def projected() -> bool:
            return await status("reports/r-own", source) == 200

        await until(projected)
        assert await status("sites", kiosk) == 200
        assert await status("log", kiosk) == 403
        assert await status("notifications", kiosk) == 403
        assert await status("sites", source) == 403
        assert await status("reports/r-other", source) == 404
        assert await status("sites", {}) == 401
        elsewhere = await console.as_role(Role.OBSERVER, scope=Scope(realms=("92",)))
        assert await status("sites", elsewhere) == 403


GAINS = (
    GainRow(kind="agent", what="egoutier", u1=-8, u2=0, u3=0, agents=-1, kept=1, losses=1),
    GainRow(kind="site", what="site_central", u1=-4, u2=0, u3=0, agents=-1, kept=0, losses=1),
    GainRow(kind="generator", what="cen-5", u1=0, u2=0, u3=-10, agents=-10, kept=0, losses=1),
)


def _ranking(id: str, present: PresentRow | None, reference: str = "v") -> ContingencyChanged:
    loss = LossRow(
        sites=("cen-4",),
        u1=104,
        u2=0,
        u3=0,
        gaps=(
            GapRow(site="cen-4", activity="TIM-01", metier="egoutier", count=3, missing="people"),
        ),
    )
    worst = (loss,) if present is None or present.sites_hit else ()
    return ContingencyChanged(
        row=ContingencyRow(
            id=id,
            n=1,
            lost="people",
            reference=reference,
            losses=253,
            unmet=26,
            worst=worst,
            computed_at=START,
            present=present,
            gains=GAINS,
        )
    )


async def test_losses_are_ranked_from_a_crisis_as_long_as_it_lasts(
    console_settings: Settings, territory: Territory
) -> None:
    realm, crisis_now = (
        a_realm(),
        PresentRow(stamp="r:1", number=2, sites_hit=1, held=40, elapsed_h=1.5, u1=8, u2=0, u3=0),
    )
    over = crisis_now.model_copy(update={"stamp": "r:over", "sites_hit": 0, "held": 0})
    async with (
        appending(console_settings.kafka) as writer,
        projecting(console_settings),
        served(console_settings) as console,
    ):
        ask = Asking(console, realm, await console.as_role(Role.OBSERVER))
        await writer.open(realm, territory, START)
        await writer.append(
            "continuity",
            realm,
            _ranking("n1-people", None),
            _ranking("now-n1-people", crisis_now),
            at=START,
        )

        async def ids(**query: str) -> list[str]:
            return [row["id"] for row in (await ask("contingency", **query))["items"]]

        async def both() -> bool:
            answer = await console.http.get(
                "/api/v1/contingency", params={"realm": realm}, headers=ask.headers
            )
            return answer.status_code == 200 and len(answer.json()["items"]) == 2

        await until(both)
        assert await ids() == ["now-n1-people", "n1-people"]
        assert (await ids(**{"from": "present"}), await ids(**{"from": "quiet"})) == (
            ["now-n1-people"],
            ["n1-people"],
        )
        row = (await ask("contingency"))["items"][0]
        assert (row["present"]["number"], row["present"]["held"], row["present"]["u1"]) == (
            2,
            40,
            8,
        )
        browser = sent(cookies_of(await log_in(console, await code_of(console))))
        console.http.cookies.clear()
        page = (
            await console.http.get("/prevoyance", params={"realm": realm}, headers=browser)
        ).text
        assert "Depuis la crise en cours\u00a0: Un site perdu avec ses agents" in page
        assert "40 agents déjà réaffectés" in page
        assert "agent formé\u00a0: égoutier" in page
        assert "égoutier\u00a0: <b>3</b>" in page
        assert "site de repli, site central" in page
        assert row["worst"][0]["gaps"][0]["metier_name"] == "égoutier"
        english = (await ask("contingency", lang="en"))["items"][0]
        assert (english["worst"][0]["gaps"][0]["metier_name"], english["gains"][0]["name"]) == (
            "sewer worker",
            "sewer worker",
        )
        assert [(g["kind"], g["what"], g["agents"], g["kept"]) for g in row["gains"]] == [
            ("agent", "egoutier", -1, 1),
            ("site", "site_central", -1, 0),
            ("generator", "cen-5", -10, 0),
        ]

        await writer.append("continuity", realm, _ranking("now-n1-people", over), at=START + MINUTE)

        async def quiet() -> bool:
            return await ids() == ["n1-people"]

        await until(quiet)
        page = (
            await console.http.get("/prevoyance", params={"realm": realm}, headers=browser)
        ).text
        assert "Un site perdu avec ses agents" in page
        assert "Depuis la crise en cours\u00a0:" not in page


async def test_an_exercise_shows_the_quiet_day_of_the_live_realm(
    console_settings: Settings, territory: Territory
) -> None:
    """The planner ignores simulated realms; a quiet day depends on the reference version only."""
    live, exercise = "75", "75~ex-1"
    crisis_now = PresentRow(
        stamp="r:1", number=2, sites_hit=1, held=40, elapsed_h=1.5, u1=8, u2=0, u3=0
    )
    async with (
        appending(console_settings.kafka) as writer,
        projecting(console_settings),
        served(console_settings) as console,
    ):
        ask = Asking(console, exercise, await console.as_role(Role.OBSERVER))
        await writer.open(exercise, territory, START)

        async def answered() -> bool:
            return (
                await console.http.get(
                    "/api/v1/contingency", params={"realm": exercise}, headers=ask.headers
                )
            ).status_code == 200

        await until(answered)
        assert (await ask("contingency"))["items"] == [], "there is no live realm"
        await writer.open(live, territory, START)
        rows = (
            _ranking("n1-building", None, "another version"),
            _ranking("now-n1-people", crisis_now, territory.version),
            _ranking("n1-people", None, territory.version),
        )
        await writer.append("continuity", live, *rows, at=START)

        async def shown() -> bool:
            return bool((await ask("contingency"))["items"])

        await until(shown)
        (row,) = (await ask("contingency"))["items"]
        assert (row["id"], row["realm"], row["worst"][0]["sites"]) == (
            "n1-people",
            exercise,
            ["cen-4"],
        )
        browser = sent(cookies_of(await log_in(console, await code_of(console))))
        console.http.cookies.clear()
        page = (
            await console.http.get("/prevoyance", params={"realm": exercise}, headers=browser)
        ).text
        assert "le classement est celui du réel" in page
        assert "Un site perdu avec ses agents" in page


async def test_probes_and_documents_need_no_login_and_counters_need_their_token(
    ask: Asking, console_settings: Settings
) -> None:
    http = ask.served.http
    assert (await http.get("/livez")).status_code == 200
    ready = await http.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ok"})
    assert (await http.get("/metrics")).status_code == 401
    counted = await http.get("/metrics", headers=build_header(console_settings.data.secrets))
    assert "vigie_http_seconds" in counted.text
    assert (await http.get("/openapi.json")).json()["openapi"].startswith("3.1")
    assert (await http.get("/asyncapi.json")).json()["asyncapi"].startswith("3")


async def test_levels_of_the_poles_follow_every_incident_also_when_they_were_just_read(
    console_settings: Settings, territory: Territory
) -> None:
    realm = a_realm()
    async with (
        appending(console_settings.kafka) as writer,
        projecting(console_settings),
        served(console_settings) as console,
    ):
        ask = Asking(console, realm, await console.as_role(Role.OBSERVER))
        await writer.open(realm, territory, START)
        for n, (change, row) in enumerate(
            (
                ("opened", {"level": 1}),
                ("changed", {"level": 3}),
                ("resolved", {"level": 3, "state": "closed"}),
            )
        ):
            at = START + n * MINUTE
            await writer.append(
                "alerts", realm, crisis.incident(at, ("pmi-04",), change, **row), at=at
            )
            expected_levels = {} if change == "resolved" else {"solidarites": row["level"]}

            async def told(expected_levels: dict[str, Any] = expected_levels) -> bool:
                answer = await console.http.get(
                    "/api/v1/poles", params={"realm": realm}, headers=ask.headers
                )
                return (
                    answer.status_code == 200
                    and {p["id"]: p["level"] for p in answer.json()["items"] if p["level"]}
                    == expected_levels
                )

            await until(told)
            assert {
                p["id"]: p["level"] for p in (await ask("overview"))["poles"] if p["level"]
            } == expected_levels
