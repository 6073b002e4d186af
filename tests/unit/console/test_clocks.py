"""Running clocks, as screens tell them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.console.continuity.clocks import ClockBar, RunningClock
from services.console.i18n import get_translator
from tests.unit.console.held import browsing
from tests.unit.console.test_every_screen import MINUTE, NOW, crisis, incident, shown

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


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (NOW + 90 * MINUTE, "Hypothèse : rétablissement à"),
        (NOW - 90 * MINUTE, "heure dépassée"),
    ],
)
async def test_an_announced_end_that_has_passed_is_no_hypothesis(end: int, words: str) -> None:
    """Two days after the announced end the page of activities still counted on it."""
    realm_state = crisis()
    realm_state.put("incidents", incident(estimated_end=end))
    browser, _ = browsing(realm_state)
    page = await shown(browser, "/activites")
    assert words in page
    assert page.count("Hypothèse") == (end > NOW)
