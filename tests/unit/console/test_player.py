"""The page of who runs an exercise: what comes next and how far the players are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.console.i18n import translator
from services.console.pages.ladder import Ladder, Rung
from services.console.pages.player import coming

AT = datetime(2027, 2, 11, 9, tzinfo=UTC)


def ladder(positive: int, cycle: int = 1) -> Ladder:
    rung = Rung(3, cycle, AT, None, "waiting", 7, positive, 5, "SMS", 1, [], [], 1, "soon")
    return Ladder("e", "N3", "running", AT, [], rung, AT + timedelta(minutes=5), [], [], positive, 7, None, "r")


@pytest.mark.parametrize(("positive", "said"), [(0, "0 réponse sur 7"), (1, "1 réponse sur 7"), (2, "2 réponses sur 7")])
def test_the_answers_of_the_next_rung_are_counted_in_words(positive: int, said: str) -> None:
    (first,) = coming(ladder(positive), [], [], [], AT, translator("fr"))
    assert first.why == said


def test_the_next_rung_says_its_cycle_from_the_second_on() -> None:
    told = [coming(ladder(0, cycle), [], [], [], AT, translator("fr"))[0].what for cycle in (1, 2)]
    assert told == ["vague 3 de l’échelle N3", "cycle 2, vague 3 de l’échelle N3"]
