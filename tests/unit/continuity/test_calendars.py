"""Open hours run in real time on the Paris calendar, over both clock changes (D43)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base import HOUR_MS, MINUTE_MS
from schemas.reference import Calendar
from services.continuity.activities.calendars import (
    DayWindow,
    OpenHours,
    compile_open_hours,
    compute_local_instant,
    get_local_day,
)
from tests.shipped import territory
from tests.unit.continuity.world import at, clock

OFFICE = OpenHours(frozenset({1, 2, 3, 4, 5}), 8 * 60, 18 * 60)
NIGHTS = OpenHours(frozenset(range(1, 8)), 0, 6 * 60)


def test_two_hours_that_begin_before_closing_end_the_next_working_day() -> None:
    friday = at("2027-02-12 17:00")
    assert OFFICE.advance(friday, 2 * HOUR_MS) == at("2027-02-15 09:00")
    assert OFFICE.compute_elapsed_ms(friday, at("2027-02-15 09:00")) == 2 * HOUR_MS


def test_night_hours_do_not_count() -> None:
    assert OFFICE.compute_elapsed_ms(at("2027-02-11 19:00"), at("2027-02-12 07:00")) == 0
    assert not OFFICE.is_open(at("2027-02-11 18:00"))
    assert OFFICE.is_open(at("2027-02-11 17:59"))


@pytest.mark.parametrize(
    ("day", "hours"), [("2027-03-28", 5), ("2027-10-31", 7), ("2027-03-27", 6)]
)
def test_the_nights_of_the_clock_changes_have_five_and_seven_hours_before_six(
    day: str, hours: int
) -> None:
    midnight = at(f"{day} 00:00")
    assert NIGHTS.compute_elapsed_ms(midnight, at(f"{day} 12:00")) == hours * HOUR_MS
    assert clock(NIGHTS.advance(midnight, hours * HOUR_MS)) == "06:00"


def test_calendar_edges_are_the_next_opening_or_closing() -> None:
    assert OFFICE.next_edge(at("2027-02-11 07:00")) == at("2027-02-11 08:00")
    assert OFFICE.next_edge(at("2027-02-11 08:00")) == at("2027-02-11 18:00")
    assert OFFICE.next_edge(at("2027-02-12 18:00")) == at("2027-02-15 08:00")


def test_holidays_close_only_the_calendars_that_name_them() -> None:
    school = Calendar(
        id="s",
        weekdays=(1, 2, 3, 4, 5),
        open_min=420,
        close_min=840,
        closed_on_holidays=True,
        closed_in_school_holidays=True,
    )
    hours = compile_open_hours(school, ("2027-05-06",), (("2027-02-15", "2027-02-19"),))
    assert hours is not None
    assert not hours.is_open(at("2027-05-06 10:00"))
    assert not hours.is_open(at("2027-02-19 10:00"))
    assert hours.is_open(at("2027-02-22 10:00"))
    office = school.model_copy(
        update={"closed_in_school_holidays": False, "closed_on_holidays": False}
    )
    other = compile_open_hours(office, ("2027-05-06",), (("2027-02-15", "2027-02-19"),))
    assert other is not None
    assert other.is_open(at("2027-05-06 10:00"))


def test_a_calendar_without_opening_hours_never_reaches_a_limit() -> None:
    never = OpenHours(frozenset(), 0, 60)
    assert never.advance(at("2027-02-11 09:00"), 1) is None
    assert never.next_edge(at("2027-02-11 09:00")) is None


def test_the_continuous_calendar_of_the_territory_has_no_hours() -> None:
    policy = territory().policy
    made = {
        c.id: compile_open_hours(c, policy.holidays, policy.school_holidays)
        for c in policy.calendars
    }
    assert made["continu"] is None
    assert made["bureau"] == OFFICE


@given(st.integers(0, 500 * 24 * 60), st.integers(1, 40 * 60))
def test_advance_is_the_inverse_of_elapsed(start_min: int, open_min: int) -> None:
    start = at("2026-12-01 00:00") + start_min * MINUTE_MS
    end = OFFICE.advance(start, open_min * MINUTE_MS)
    assert end is not None
    assert OFFICE.compute_elapsed_ms(start, end) == open_min * MINUTE_MS
    assert OFFICE.compute_elapsed_ms(start, end - 1) < open_min * MINUTE_MS


@pytest.mark.parametrize(
    ("span", "holidays", "first", "last"),
    [
        ((12, 3), (), 10, 23),
        ((3, 12), (), 10, 23),
        ((12, 3), ("2027-02-24",), 9, 22),
    ],
    ids=["as written", "other order", "holiday"],
)
def test_the_payroll_window_counts_working_days_to_the_end_of_the_month(
    span: tuple[int, int], holidays: tuple[str, ...], first: int, last: int
) -> None:
    """10 February leaves 12 working days, Tuesday the 23rd leaves 3; a holiday is none."""
    days_off = frozenset(get_local_day(at(f"{day} 12:00")) for day in holidays)
    payroll = DayWindow(working_days_left=span, holidays=days_off)
    window_days = [
        day
        for day in range(1, 29)
        if payroll.holds_on(get_local_day(at(f"2027-02-{day:02} 12:00")))
    ]
    assert window_days == list(range(first, last + 1))


def test_a_window_of_days_opens_and_closes_at_local_midnight() -> None:
    benefits = DayWindow(days_of_month=frozenset([*range(20, 32), 1, 2, 3, 4, 5]))
    assert benefits.next_edge(at("2027-05-18 12:00")) == at("2027-05-20 00:00")
    assert benefits.next_edge(at("2027-05-25 12:00")) == at("2027-06-06 00:00")


def test_local_days_and_instants_agree() -> None:
    for text in ("2027-02-11 00:00", "2027-03-28 00:00", "2027-10-31 00:00"):
        assert compute_local_instant(get_local_day(at(text)), 0) == at(text)
