"""The own effect of a cause is evaluated once per version of the cause."""

from __future__ import annotations

import pytest

from schemas.base import copy_with
from schemas.crisis.causes import Cause
from schemas.words import EventType
from services.alerts.causes import cause_impact
from services.alerts.causes.cause_impact import CauseImpactCache
from tests.shipped import territory

SITE = next(s for s in territory().sites if not s.generator)
POWERED = next(s for s in territory().sites if s.generator)


def cause(id: str = "c1", loss_pct: float = 100.0, at: str = SITE.id) -> Cause:
    return Cause(
        id=id,
        key=f"{at}|outage_power",
        site=at,
        type=EventType.OUTAGE_POWER,
        incident="i1",
        severity=3,
        loss_pct=loss_pct,
        since=0,
        last_at=0,
        known_at=0,
    )


def test_an_unchanged_cause_is_not_evaluated_again() -> None:
    causes, one = CauseImpactCache([]), cause()
    assert causes.of("92", SITE.id, SITE, [one])[0] is causes.of("92", SITE.id, SITE, [one])[0]


def test_only_the_changed_cause_is_evaluated_again() -> None:
    causes, one, other = CauseImpactCache([]), cause(), cause("c2")
    before = causes.of("92", SITE.id, SITE, [one, other])
    after = causes.of("92", SITE.id, SITE, [copy_with(one, {"loss_pct": 20.0}), other])
    assert (before[0].loss, after[0].loss, after[0].row.loss_pct) == (100.0, 20.0, 20.0)
    assert after[1] is before[1]


def test_causes_of_one_id_in_two_realms_keep_their_own_values() -> None:
    causes = CauseImpactCache([])
    for loss in (100.0, 20.0, 100.0):
        assert (
            causes.of(f"92~test-{loss:.0f}", SITE.id, SITE, [cause(loss_pct=loss)])[0].loss == loss
        )
    assert causes.of("92", POWERED.id, POWERED, [cause(at=POWERED.id)])[0].marks == (
        "cause:outage_power",
        "hit",
    )


def test_a_version_with_another_rule_of_presence_counts_by_its_own() -> None:
    short = copy_with(
        cause(), {"type": EventType.STAFF_SHORTAGE, "loss_pct": None, "persons": None}
    )
    one, other = CauseImpactCache([]), CauseImpactCache([100.0])
    assert "staff:100.0" not in one.of("92", SITE.id, SITE, [short])[0].marks
    assert "staff:100.0" in other.of("92", SITE.id, SITE, [short])[0].marks


def test_the_number_of_remembered_sites_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cause_impact, "_CACHED_SITES", 2)
    causes, one = CauseImpactCache([]), cause()
    first = causes.of("92", "a", SITE, [one])[0]
    assert causes.of("92", "a", SITE, [one])[0] is first
    for site in ("b", "c"):
        causes.of("92", site, SITE, [one])
    assert causes.of("92", "a", SITE, [one])[0] is not first
