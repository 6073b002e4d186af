"""A plan that rests on old data says so (D48)."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from schemas import reference as ref
from schemas.base import DAY_MS
from schemas.oncall import Reach, ReachRow
from schemas.words import Channel
from services.console.continuity.queries import list_outdated_foundations
from services.console.read_model.reference_index import IndexedReference
from services.oncall.schedule import PARIS
from tests.shipped import territory

SHIPPED = territory()
REFERENCE = IndexedReference("r", sections=SHIPPED.sections)
PUBLISHED = int(datetime(2026, 11, 24, 8, tzinfo=PARIS).timestamp() * 1000)


def _at(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=PARIS).timestamp() * 1000)


@pytest.mark.parametrize(("day", "old"), [("2027-11-24T23:59", []), ("2027-11-25T00:00", ["bia"])])
def test_a_bia_of_more_than_twelve_months_is_old(day: str, old: list[str]) -> None:
    assert list_outdated_foundations(REFERENCE, {}, _at(day) - DAY_MS, _at(day)) == old


@pytest.mark.parametrize(("age_ms", "old"), [(90 * DAY_MS, []), (90 * DAY_MS + 1, ["directory"])])
def test_a_directory_unproved_for_ninety_days_is_old(age_ms: int, old: list[str]) -> None:
    assert list_outdated_foundations(REFERENCE, {}, PUBLISHED, PUBLISHED + age_ms) == old


def test_one_proved_channel_keeps_the_directory_fresh() -> None:
    now = PUBLISHED + 120 * DAY_MS
    reach_by_person = {
        "dgs": ReachRow(id="dgs", points=(Reach(channel=Channel.SMS, verified_at=now - DAY_MS),))
    }
    assert list_outdated_foundations(REFERENCE, reach_by_person, PUBLISHED, now) == []


def test_activities_carry_the_day_of_the_analysis_if_known() -> None:
    (activities,) = [s for s in SHIPPED.sections if isinstance(s, ref.Activities)]
    assert activities.assessed_on == date(2026, 11, 24)
    undated = IndexedReference("r", sections=(activities.model_copy(update={"assessed_on": None}),))
    assert list_outdated_foundations(undated, {}, None, _at("2040-01-01")) == []
