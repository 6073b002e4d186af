"""The organiser of an exercise sees the coming steps and the progress of the players."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.console.exercises.player_screen import announcements, list_coming_deadlines
from services.console.i18n import get_translator
from services.console.incidents.escalation_page import EscalationStep, EscalationView
from services.console.resources import Notification
from services.messages import MessageNames
from tests.shipped import territory

NAMES = MessageNames.of(territory().sections)
AT = datetime(2027, 2, 11, 9, tzinfo=UTC)


def ladder(positive: int, cycle: int = 1) -> EscalationView:
    rung = EscalationStep(
        3, cycle, AT, None, "waiting", 7, positive, 5, "SMS", 1, [], [], 1, "soon"
    )
    return EscalationView(
        "e",
        "N3",
        "running",
        AT,
        [],
        rung,
        AT + timedelta(minutes=5),
        None,
        [],
        [],
        positive,
        7,
        [],
        None,
        "r",
    )


@pytest.mark.parametrize(
    ("positive", "said"), [(0, "0 réponse sur 7"), (1, "1 réponse sur 7"), (2, "2 réponses sur 7")]
)
def test_the_next_step_counts_its_answers_in_plain_words(positive: int, said: str) -> None:
    (first,) = list_coming_deadlines(ladder(positive), [], [], [], AT, get_translator("fr"))
    assert first.why == said


def test_the_next_step_shows_its_cycle_from_the_second_on() -> None:
    step_labels = [
        list_coming_deadlines(ladder(0, cycle), [], [], [], AT, get_translator("fr"))[0].what
        for cycle in (1, 2)
    ]
    assert step_labels == ["vague 3 de l’escalade N3", "cycle 2, vague 3 de l’escalade N3"]


def call() -> Notification:
    fields: dict[str, Any] = dict.fromkeys(Notification.model_fields, None) | {
        "id": "n",
        "realm": "92~ex-1",
        "level": 3,
        "role": "cellule_com",
        "person_token": "p",
        "channels": [],
        "state": "planned",
        "template": "incident_wave",
        "values": {
            "number": "1",
            "kind": "power",
            "commune": "92050",
            "places": "92050",
            "since": 1_802_335_200_000,
        },
        "answer_expected": True,
        "danger": False,
        "planned_at": AT,
        "ack_by": AT + timedelta(minutes=10),
        "attempts": [],
        "possible_duplicate": False,
        "bundle_count": 0,
    }
    return Notification.model_construct(**fields)


def test_an_organiser_reads_the_texts_that_announce_and_end_an_exercise() -> None:
    start, wave, end = announcements(
        "92~ex-1", "Grande coupure", call(), NAMES, AT, get_translator("fr")
    )
    assert start.text.startswith('EXERCICE Vigie : début de l\'exercice "Grande coupure".')
    assert wave.text.startswith(
        "EXERCICE EXERCICE EXERCICE, Vigie N3 : Coupure d'électricité, Nanterre, depuis "
    )
    assert "Rejoignez la cellule de crise avant 10:10." in wave.text
    assert end.text.startswith('EXERCICE Vigie : FIN DE L\'EXERCICE "Grande coupure" à 10:00.')


def test_an_exercise_without_a_call_announces_its_start_and_end_alone() -> None:
    assert len(announcements("92~ex-1", "S04", None, NAMES, AT, get_translator("en"))) == 2
