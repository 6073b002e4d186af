"""Running clocks, as screens tell them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.console.continuity.clocks import ClockBar, RunningClock
from services.console.i18n import get_translator

AT = datetime(2027, 2, 11, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("rto_over", "words", "name"),
    [
        (False, "RTO dépassé", "délai de reprise (RTO)"),
        (True, "DMIA dépassée", "durée maximale d’interruption (DMIA)"),
    ],
)
def test_the_exceeded_limit_has_the_right_gender_and_a_name(
    rto_over: bool, words: str, name: str
) -> None:
    clock = RunningClock(
        "COM-01",
        "Communication de crise",
        "Communication",
        1,
        None,
        4.0,
        32.0,
        AT,
        AT,
        AT + timedelta(minutes=30),
        rto_over,
        False,
        None,
        None,
        ClockBar(at=100.0, tick=50.0, tone="over", forecast=False, frozen_at=AT, until=None),
    )
    _ = get_translator("fr")
    assert f"{_(clock.next_base)} {_(clock.passed_word)}" == words
    assert _(clock.next_base_name) == name
