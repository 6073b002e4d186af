"""Texts that a provider gave to delivery are reports like those that a gateway posts."""

from __future__ import annotations

import time
from typing import Any

import pytest

from schemas.people.replies import (
    ARRIVED_TEXT_KEPT_MS,
    ARRIVED_TEXT_PREFIX,
    WAITING_REPLY_PREFIX,
)
from services.intake.field.arrived_texts import GIVE_UP_MS, ArrivedTextReader
from services.runtime.secrets.vault import TextItem
from tests.unit.delivery.test_returns import Answers
from tests.unit.intake.conftest import Door
from tests.unit.intake.field.test_field import NUMBER, field, told

__all__ = ["field"]
STRANGER = "+33600000000"
NAME = f"{ARRIVED_TEXT_PREFIX}a"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def make_reader(door: Door, texts: Answers, later_ms: int = 0) -> ArrivedTextReader:
    reader = door.intake.arrived_texts
    reader._texts = texts
    reader._clock = lambda: time.time() + later_ms / 1000
    return reader


def store(texts: Answers, words: str, number: str = NUMBER, id: str = NAME, **more: Any) -> None:
    fields = {"from": number, "words": words, "at": now_ms(), "realms": []} | more
    texts[id] = TextItem(fields)


async def list_readings(door: Door) -> list[tuple[str | None, bool]]:
    """Return the readings that wait for delivery, and whether they may be about a call."""
    texts = door.intake.vault.texts
    items = [
        await texts.get(id) for id in list(texts._recent) if id.startswith(WAITING_REPLY_PREFIX)
    ]
    fields = [item.fields for item in items if item is not None]
    return [(one.get("reading"), bool(one.get("may_answer"))) for one in fields]


async def test_a_text_is_one_report_of_its_person_with_one_answer(field: Door) -> None:
    texts, at = Answers(), now_ms()
    for _ in range(2):  # the erasure was lost, or two fronts read it
        store(texts, "117 FEU", at=at)
        await make_reader(field, texts).read()
    fires = {id for id, _, _ in field.inputs.appended}
    assert len(fires) == 1
    assert told(field)[0] == ("fire", "clg-1", "confirmed", "site_manager")
    assert await list_readings(field) == [("report", False)]
    assert texts[NAME].fields == {"at": at}, "neither number nor words are kept"


@pytest.mark.parametrize(
    ("words", "reports"),
    [
        ("2 blessés au gymnase", 1),
        ("oui, et il y a le feu", 1),
        ("FAIT 2 évacuation", 0),
        ("2 désolé, pas de feu ici", 0),
        ("1 j’arrive", 0),
        ("ok j’arrive pour l’incendie", 0),
        ("oui je viens pour le confinement", 0),
        ("oui bien reçu évacuation", 0),
        ("oui mais le feu gagne la cuisine", 1),
        ("oui le feu gagne la cuisine", 1),
        ("ok venez vite pour un blessé", 1),
        ("oui envoyez les secours pour le blessé", 1),
        ("1 25", 0),
        ("ok 117 ELEC", 0),
    ],
)
async def test_an_answer_to_a_call_reports_danger_alone(
    field: Door, words: str, reports: int
) -> None:
    texts = Answers()
    store(texts, words, is_answer=True)
    await make_reader(field, texts).read()
    assert len(told(field)) == reports
    assert await list_readings(field) == [("place_missing", False)] * reports
    assert "words" not in texts[NAME].fields


async def test_words_that_are_no_report_are_kept_as_refused_and_get_the_form(field: Door) -> None:
    texts = Answers()
    store(texts, "qui est là ?")
    await make_reader(field, texts).read()
    assert told(field) == []
    assert await list_readings(field) == [("not_understood", True)]
    letter = field.intake.refused._queue.get_nowait()
    assert (letter.principal.id, letter.problem.code) == ("provider.sms", "invalid")
    assert NUMBER.encode() not in letter.body
    assert "words" not in texts[NAME].fields


async def test_an_answer_that_delivery_did_not_know_goes_back_to_it(field: Door) -> None:
    texts = Answers()
    store(texts, "1")
    await make_reader(field, texts).read()
    assert await list_readings(field) == [(None, False)]


async def test_strangers_have_the_limits_of_a_gateway_and_a_text_beyond_them_waits(
    field: Door,
) -> None:
    texts = Answers()
    for number in range(4):
        store(texts, f"117 ELEC {number}", STRANGER, f"{NAME}{number}", at=now_ms() + number)
    reader = make_reader(field, texts)
    await reader.read()
    assert [certainty for _, _, certainty, _ in told(field)] == ["unconfirmed"] * 3
    assert [id for id, item in texts.items() if "words" in item.fields] == [f"{NAME}3"]
    assert await list_readings(field) == []
    make_reader(field, texts, GIVE_UP_MS + 60_000)
    await reader.read()
    assert not [id for id, item in texts.items() if "words" in item.fields]
    assert field.intake.refused._queue.qsize() == 1


async def test_the_id_of_a_read_text_is_erased_after_its_time(field: Door) -> None:
    texts = Answers()
    texts[f"{NAME}1"] = TextItem({"at": now_ms() - ARRIVED_TEXT_KEPT_MS - 1})
    texts[f"{NAME}2"] = TextItem({"at": now_ms()})
    await make_reader(field, texts).read()
    assert list(texts) == [f"{NAME}2"]
