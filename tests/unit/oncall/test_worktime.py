"""Limits of working time on the rota (D39)."""

from __future__ import annotations

from schemas.base import HOUR_MS
from schemas.oncall import DutyRow
from schemas.reference import WorkingTime
from services.oncall.schedule import Schedule
from services.oncall.worktime import compute_work, find_breaches, is_rested, merge_spans
from tests.unit.oncall.rotas import at, calendar, roster

RULES = WorkingTime(
    day_h=10,
    week_h=48,
    daily_rest_h=11,
    weekly_rest_h=35,
    standby_roles=("astreinte_technique",),
    call_out_h=1,
)
CELL = "cellule_si"


def planned(*shifts: tuple[str, str, str], role: str = CELL) -> Schedule:
    rows: tuple[DutyRow, ...] = (calendar(*shifts, role=role),) if shifts else ()
    return Schedule(roster({CELL: (None, None), "astreinte_technique": ("a", None)}), rows)


def broken(rota: Schedule, person: str = "a") -> list[tuple[str, float]]:
    work = compute_work(rota, RULES, at("2027-03-01T00:00"), at("2027-03-29T00:00"))
    return [
        (b.limit, round(b.hours, 1)) for b in find_breaches(person, work.get(person, []), RULES)
    ]


def week(first: int, last: int, begins: str, ends: str) -> list[tuple[str, str, str]]:
    return [
        ("a", f"2027-03-{day:02d}T{begins}", f"2027-03-{day:02d}T{ends}")
        for day in range(first, last + 1)
    ]


def test_a_plain_week_breaks_nothing() -> None:
    assert broken(planned(*week(1, 5, "08:00", "17:00"))) == []


def test_eleven_hours_in_a_day_are_one_too_many() -> None:
    assert broken(planned(("a", "2027-03-01T08:00", "2027-03-01T19:00"))) == [("day", 11.0)]


def test_six_long_days_are_more_than_a_week_may_hold() -> None:
    assert ("week", 57.0) in broken(planned(*week(1, 6, "08:00", "17:30")))


def test_a_night_between_two_days_needs_eleven_hours() -> None:
    assert broken(
        planned(
            ("a", "2027-03-01T12:00", "2027-03-01T22:00"),
            ("a", "2027-03-02T08:00", "2027-03-02T12:00"),
        )
    ) == [("daily_rest", 10.0)]


def test_a_week_needs_35_hours_without_work() -> None:
    assert ("weekly_rest", 16.0) in broken(planned(*week(1, 7, "08:00", "16:00")))
    assert broken(planned(*week(2, 5, "08:00", "16:00"))) == []


def test_on_call_at_home_is_no_work_and_a_call_out_is() -> None:
    rota = planned(("a", "2027-03-01T08:00", "2027-03-08T08:00"), role="astreinte_technique")
    assert broken(rota) == []
    called = compute_work(
        rota,
        RULES,
        at("2027-03-01T00:00"),
        at("2027-03-09T00:00"),
        {"a": [at("2027-03-02T03:00"), at("2027-03-02T10:00")]},
    )
    assert [(b.limit, b.hours) for b in find_breaches("a", called["a"], RULES)] == [
        ("daily_rest", 6.0)
    ]


def test_a_person_called_out_at_night_is_rested_eleven_hours_later() -> None:
    work = [(at("2027-03-02T03:00"), at("2027-03-02T04:00"))]
    assert not is_rested(work, RULES, at("2027-03-02T14:59"))
    assert is_rested(work, RULES, at("2027-03-02T15:00"))
    assert is_rested(work, RULES, at("2027-03-02T02:00")), "what has not begun tires nobody"


def test_a_static_role_plans_no_hours() -> None:
    assert compute_work(Schedule(roster({CELL: ("a", None)})), RULES, 0, HOUR_MS) == {}


def test_a_roster_entry_outside_a_calendar_counts_no_hours() -> None:
    rota = Schedule(
        roster({CELL: ("b", None)}),
        (calendar(("a", "2027-03-01T08:00", "2027-03-01T17:00"), role=CELL),),
    )
    assert set(compute_work(rota, RULES, at("2027-03-01T00:00"), at("2027-03-29T00:00"))) == {"a"}


def test_a_day_has_25_hours_in_october() -> None:
    assert broken_in_october() == [("day", 25.0), ("week", 169.0), ("weekly_rest", 0.0)]


def broken_in_october() -> list[tuple[str, float]]:
    rota = planned(("a", "2027-10-25T00:00", "2027-11-01T00:00"))
    work = compute_work(rota, RULES, at("2027-10-25T00:00"), at("2027-11-01T00:00"))["a"]
    breaches = [(b.limit, b.hours) for b in find_breaches("a", work, RULES)]
    return [max(x for x in breaches if x[0] == limit) for limit in ("day", "week", "weekly_rest")]


def test_touching_spans_are_one() -> None:
    assert merge_spans([(3, 4), (0, 2), (2, 3), (9, 9)]) == [(0, 4)]
