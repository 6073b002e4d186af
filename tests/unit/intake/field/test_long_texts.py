"""The parts of a long text become one report, in any order and after any loss."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest

from schemas.people.replies import (
    ARRIVED_TEXT_KEPT_MS,
    TEXT_PART_PREFIX,
    TEXT_PART_WAIT_MS,
    name_text_part,
)
from schemas.words import MsgType
from services.intake.field.arrived_texts import ArrivedPart, join_parts
from services.runtime.http.sms_text import encode_text
from services.runtime.kafka.clients import BrokerAway
from services.runtime.secrets.vault import TextItem
from tests.unit.delivery.test_returns import Answers
from tests.unit.intake.conftest import Door
from tests.unit.intake.field.test_arrived_texts import list_readings, make_reader, now_ms
from tests.unit.intake.field.test_field import NUMBER, field, told

__all__ = ["field"]
STRANGER = "+33600000000"
GAS = "Fuite de gaz au collège, les élèves sont dehors, trois blessés "
REST = "près de la cantine, code 117, nous attendons les secours"


def build_parts(
    words: Sequence[bytes | str],
    *,
    number: str = NUMBER,
    reference: str = "38000:udh0-77",
    coding: int | Sequence[int] = 3,
    at: int | None = None,
    is_answer: bool = False,
) -> list[tuple[str, TextItem]]:
    """Return the stored parts of a text, as delivery keeps them."""
    made = []
    for n, part in enumerate(words, 1):
        octets = part.encode("latin-1") if isinstance(part, str) else part
        fields = {
            "from": number,
            "reference": reference,
            "number": n,
            "total": len(words),
            "octets": octets.hex(),
            "data_coding": coding if isinstance(coding, int) else coding[n - 1],
            "at": (now_ms() if at is None else at) + n,
            "realms": [],
            "is_answer": is_answer and n == 1,
        }
        made.append((name_text_part(number, reference, n, octets.hex(), ()), TextItem(fields)))
    return made


def read_all(parts: Sequence[tuple[str, TextItem]]) -> list[str]:
    return [text.words for text in join_parts(ArrivedPart(id, i.fields) for id, i in parts)]


def descriptions(door: Door) -> list[tuple[MsgType, str | None, tuple[str, ...]]]:
    return [(m.msg_type, m.site_id, m.references) for _, m, _ in door.inputs.appended]


async def read_description(door: Door, number: int) -> str:
    """Return the words of a report from `texts`."""
    item = await door.intake.vault.texts.get(door.inputs.appended[number][1].text_id or "")
    assert item is not None
    return str(item.fields["description"])


# ── joining ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_parts_are_joined_in_any_order_of_arrival(order: tuple[int, ...]) -> None:
    parts = build_parts(["un ", "deux ", "trois"])
    moved = [(parts[n][0], TextItem(parts[n][1].fields | {"at": at})) for at, n in enumerate(order)]
    assert read_all(moved) == ["un deux trois"]


def test_parts_of_two_senders_references_and_codes_never_mix() -> None:
    texts = [
        build_parts(["a1 ", "a2"], at=0),
        build_parts(["b1 ", "b2"], at=1, number=STRANGER),
        build_parts(["c1 ", "c2"], at=2, reference="38000:udh0-78"),
        build_parts(["d1 ", "d2"], at=3, reference="38000:sar-77"),
    ]
    parts = list(itertools.chain(*texts))
    random.Random(7).shuffle(parts)
    assert sorted(read_all(parts)) == ["a1 a2", "b1 b2", "c1 c2", "d1 d2"]


def test_a_reference_that_a_handset_uses_again_begins_another_text() -> None:
    first, second = build_parts(["a1 ", "a2"], at=0), build_parts(["b1 ", "b2"], at=10)
    assert read_all([*first, *second]) == ["a1 a2", "b1 b2"]
    hours_later = build_parts(["c1 ", "c2"], at=ARRIVED_TEXT_KEPT_MS + 1)
    assert read_all([first[0], hours_later[1]]) == [
        "a1  […] [SMS incomplet]",
        "[suite d’un SMS] c2 [SMS incomplet]",
    ]


def test_missing_parts_leave_a_mark_where_they_were() -> None:
    parts = build_parts(["un", "deux", "trois", "quatre"])
    assert read_all([parts[0], parts[2]]) == ["un […] trois […] [SMS incomplet]"]
    assert read_all(parts[2:]) == ["[suite d’un SMS] troisquatre [SMS incomplet]"]


@pytest.mark.parametrize(
    "words", ["é" * 80 + "🔥" * 60, "à l’école " * 20, "[€] " * 70, "🏫" * 100]
)
def test_a_character_that_spans_two_parts_is_read(words: str) -> None:
    """Cut after any number of octets, as handsets cut surrogate pairs and escapes."""
    encoded = encode_text(words)
    coding = 8 if encoded.alphabet == "ucs2" else 0
    for size in (131, 132, 133, 134):
        cuts = [encoded.whole[at : at + size] for at in range(0, len(encoded.whole), size)]
        assert read_all(build_parts(cuts, coding=coding)) == [words]


def test_each_part_has_its_own_alphabet() -> None:
    parts = build_parts([b"Fum\x05e ", "à l’étage".encode("utf-16-be")], coding=(0, 8))
    assert read_all(parts) == ["Fumée à l’étage"]


# ── reading ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_whole_text_is_one_report_with_all_its_words(field: Door) -> None:
    texts = Answers(build_parts(["117 ELEC panne dans tout le bâtiment ", "et aussi au gymnase"]))
    for _ in range(2):
        await make_reader(field, texts).read()
    assert [t for t, *_ in told(field)] == ["outage_power"]
    assert await read_description(field, 0) == (
        "117 ELEC panne dans tout le bâtiment et aussi au gymnase"
    )
    assert await list_readings(field) == [("report", False)]
    assert not [id for id, item in texts.items() if "octets" in item.fields]


async def test_a_part_without_danger_waits_for_the_others_a_minute_at_most(field: Door) -> None:
    texts = Answers(build_parts(["117 ELEC panne dans tout le bâtiment ", "et au gymnase"])[:1])
    reader = make_reader(field, texts)
    await reader.read()
    assert told(field) == []
    reader = make_reader(field, texts, TEXT_PART_WAIT_MS + 1000)
    for _ in range(2):
        await reader.read()
    assert [t for t, *_ in told(field)] == ["outage_power"]
    assert (await read_description(field, 0)).endswith("bâtiment  […] [SMS incomplet]")


async def test_a_part_that_comes_late_completes_the_report(field: Door) -> None:
    parts = build_parts(["117 ELEC panne dans tout le bâtiment ", "et au gymnase"])
    texts = Answers(parts[:1])
    reader = make_reader(field, texts, TEXT_PART_WAIT_MS + 1000)
    await reader.read()
    texts.setdefault(*parts[1])
    await reader.read()
    first, second = (m for _, m, _ in field.inputs.appended)
    assert (second.msg_type, second.references) == (MsgType.UPDATE, (first.report_id,))
    assert (await read_description(field, 1)).endswith("bâtiment et au gymnase")


@pytest.mark.parametrize("number", [NUMBER, STRANGER])
async def test_danger_in_one_part_is_reported_at_once_and_the_rest_completes_it(
    field: Door, number: str
) -> None:
    parts = build_parts([GAS, REST], number=number)
    texts = Answers(parts[:1])
    reader = make_reader(field, texts)
    for _ in range(2):
        await reader.read()
    assert [site for _, site, *_ in told(field)] == [None]
    assert await list_readings(field) == [], "nobody is asked for what the next part says"
    texts.setdefault(*parts[1])
    await reader.read()
    first, second = (m for _, m, _ in field.inputs.appended)
    assert (first.type, second.type) == ("gas_leak", "gas_leak")
    assert (second.msg_type, second.references) == (MsgType.UPDATE, (first.report_id,))
    assert await read_description(field, 1) == GAS + REST
    assert len(await list_readings(field)) == (number == NUMBER)


async def test_a_danger_without_its_rest_is_answered_after_the_wait(field: Door) -> None:
    texts = Answers(build_parts([GAS, REST])[:1])
    await make_reader(field, texts).read()
    reader = make_reader(field, texts, TEXT_PART_WAIT_MS + 1000)
    for _ in range(2):
        await reader.read()
    assert [m for m, *_ in descriptions(field)] == [MsgType.ALERT, MsgType.UPDATE]
    assert await list_readings(field) == [("place_missing", True)]
    make_reader(field, texts, ARRIVED_TEXT_KEPT_MS + 1000)
    await reader.read()
    assert not [id for id, item in texts.items() if "octets" in item.fields]


async def test_the_rest_alone_is_no_answer_and_no_keyword_but_kept(field: Door) -> None:
    for reference, rest in (("a", "2 ou 3 minutes"), ("b", "117 ELEC"), ("c", "FAIT 2")):
        texts = Answers(build_parts(["1 je pars", rest], reference=reference)[1:])
        await make_reader(field, texts, TEXT_PART_WAIT_MS + 1000).read()
    assert told(field) == []
    assert await list_readings(field) == [("not_understood", True)] * 3
    assert field.intake.refused._queue.qsize() == 3


async def test_an_answer_in_several_parts_reports_danger_alone(field: Door) -> None:
    texts = Answers(build_parts(["1 j’arrive".replace("’", "'"), ", 10 minutes"], is_answer=True))
    await make_reader(field, texts).read()
    assert told(field) == []
    fire = build_parts(["oui, ", "et il y a le feu"], is_answer=True, reference="b")
    await make_reader(field, Answers(fire)).read()
    assert [t for t, *_ in told(field)] == ["fire"]


async def test_an_interrupted_erasure_reads_no_part_alone(field: Door) -> None:
    class Interrupted(Answers):
        erasures = 0

        async def erase(self, id: str) -> None:
            self.erasures += 1
            if self.erasures == 2:
                raise BrokerAway("away")
            await super().erase(id)

    texts = Interrupted(build_parts(["117 ELEC panne ", "au gymnase"]))
    reader = make_reader(field, texts, TEXT_PART_WAIT_MS + 1000)
    with pytest.raises(BrokerAway):
        await reader.read()
    for _ in range(2):
        await reader.read()
    assert [t for t, *_ in told(field)] == ["outage_power"]
    assert field.intake.refused._queue.qsize() == 0
    assert not [id for id, item in texts.items() if "octets" in item.fields]


async def test_the_ids_of_joined_parts_are_erased_after_their_time(field: Door) -> None:
    texts = Answers(build_parts(["117 ELEC ", "au gymnase"]))
    await make_reader(field, texts).read()
    assert len(texts) == 3
    assert all(id.startswith(TEXT_PART_PREFIX) for id in texts)
    await make_reader(field, texts, ARRIVED_TEXT_KEPT_MS + 60_000).read()
    assert not texts
