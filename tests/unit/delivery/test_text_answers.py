"""Senders of texts get an answer: the report that was read, or how to write one. Rule D100."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from schemas.catalogue.event_types import EVENT_TYPES, endangers_people
from schemas.delivery import NotificationRow, TextRead
from schemas.people.replies import TEXT_ANSWERS, TextReading, cut_own_answer
from schemas.words import Channel, EventType, NotificationState
from services.delivery.channels.sms.origin import choose_sms_text
from services.delivery.replies.answers import ANSWERS_PER_HOUR, MAX_AGE_MS
from services.messages import MessageNames, compose_message, load_phrases
from services.runtime.http.sms_text import count_septets
from tests.shipped import territory
from tests.unit.delivery.desk import Desk, desk

ONE_SEGMENT = 160


def read(d: Desk, text: str = "t1", **changes: Any) -> list[NotificationRow]:
    """Tell delivery of a text; return all answers so far."""
    fields: dict[str, Any] = {
        "text": text,
        "person": "dgs",
        "channel": Channel.SMS,
        "reading": TextReading.REPORT,
        "type": EventType.FIRE,
        "site": "clg-0922629H",
        "danger": True,
        "sent_at": d.now,
    }
    d.tell(TextRead(**fields | changes))
    answers = frozenset(TEXT_ANSWERS.values())
    return [row for row in d.state.notifications.values() if row.template in answers]


def compose_sms(row: NotificationRow, lang: str = "fr") -> str:
    names = MessageNames.of(territory().sections)
    return choose_sms_text(compose_message(row, names, load_phrases(lang), None), answerable=True)


def test_a_danger_is_confirmed_with_its_site_and_18() -> None:
    (row,) = read(desk())
    assert compose_sms(row) == (
        "Vigie : signalement reçu : incendie, Collège Jean Mermoz. Si ce n'est pas fait, "
        "appelez le 18 ou le 112."
    ).replace("ç", "c")
    assert compose_sms(row, "en") == (
        "Vigie: report received: fire, Collège Jean Mermoz. If not yet done, call 18 or 112."
    )
    assert (row.channels, row.incident, row.answer_expected) == ((Channel.SMS,), None, False)


def test_without_danger_nothing_is_asked() -> None:
    (row,) = read(desk(), danger=False, type=EventType.OUTAGE_POWER)
    assert compose_sms(row).endswith(": coupure d'électricité, Collège Jean Mermoz.")


def test_a_missing_place_is_asked_for() -> None:
    (row,) = read(desk(), reading=TextReading.PLACE_MISSING, site=None)
    assert compose_sms(row).endswith("Quel site ? Envoyez son nom ou son numéro.")


def test_a_text_that_was_not_understood_gets_the_form_once_a_day() -> None:
    d = desk()
    for n in range(5):
        rows = read(d, f"t{n}", reading=TextReading.NOT_UNDERSTOOD, type=None, site=None)
    assert len(rows) == 1
    assert "117 FEU" in compose_sms(rows[0])
    assert len(read(d, "t9")) == 2, "a report is still answered"


def test_a_text_is_answered_once() -> None:
    d = desk()
    read(d)
    assert len(read(d)) == 1
    assert len(read(d, "t2")) == 2


def test_answers_to_a_person_are_limited_within_the_hour() -> None:
    d = desk()
    for n in range(ANSWERS_PER_HOUR + 3):
        rows = read(d, f"t{n}")
    assert len(rows) == ANSWERS_PER_HOUR
    assert len(read(d, "other", person="president")) == ANSWERS_PER_HOUR + 1
    d.wait(3600)
    assert len(read(d, "later")) == ANSWERS_PER_HOUR + 2


def test_an_old_text_gets_no_answer() -> None:
    d = desk()
    assert read(d, sent_at=d.now - MAX_AGE_MS - 1) == []


@pytest.mark.parametrize("danger", [True, False])
def test_only_danger_passes_a_hold(danger: bool) -> None:
    d = desk()
    d.hold(3600)
    assert [bool(row.attempts) for row in read(d, danger=danger)] == [danger]


def test_an_exercise_calls_no_person() -> None:
    d = Desk(realm="92~ex-1")
    (row,) = read(d)
    assert d.claim(id=row.id) is None
    assert row.state is NotificationState.PLANNED


def test_each_answer_about_danger_fits_one_segment_at_nearly_every_site() -> None:
    (row,) = read(desk())
    types = [t for t in EVENT_TYPES if EVENT_TYPES[t].sms_words and endangers_people(t, 5)]
    sites = list(MessageNames.of(territory().sections).sites)
    long = [
        site
        for site, type in product(sites, types)
        if count_septets(
            compose_sms(row.model_copy(update={"values": {"event": type.value, "site": site}}))
        )
        > ONE_SEGMENT
    ]
    assert len(set(long)) <= 4, "four names of 253 have more than 60 letters"


@pytest.mark.parametrize("lang", ["fr", "en"])
@pytest.mark.parametrize("reading", list(TextReading))
def test_our_answers_are_recognised_when_they_come_back(reading: TextReading, lang: str) -> None:
    (row,) = read(desk(), reading=reading)
    text = compose_sms(row, lang)
    assert count_septets(text) <= ONE_SEGMENT
    assert cut_own_answer(f"Je suis absent. {text}") == "Je suis absent."
