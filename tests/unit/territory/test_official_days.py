"""Official holidays: read strictly, in Paris days, and merged without losing the past."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import holidays
import pytest

from services.territory.official_days import (
    DaysOff,
    OfficialDaysInvalid,
    merge_days,
    read_public_days,
    read_school_days,
)

TODAY = date(2026, 11, 29)


def public(year: int, **changes: str) -> bytes:
    days = {
        day.isoformat(): name for day, name in holidays.country_holidays("FR", years=year).items()
    }
    return json.dumps(days | changes).encode()


def row(description: str, start: str, end: str, **changes: Any) -> dict[str, Any]:
    return {
        "description": description,
        "population": "-",
        "start_date": start,
        "end_date": end,
        "location": "Versailles",
        "zones": "Zone C",
        "annee_scolaire": "2026-2027",
    } | changes


SCHOOL = [
    row("Vacances de la Toussaint", "2026-10-16T22:00:00+00:00", "2026-11-01T23:00:00+00:00"),
    row("Vacances de Noël", "2026-12-18T23:00:00+00:00", "2027-01-03T23:00:00+00:00"),
    row("Vacances d’hiver", "2027-02-06T00:00:00+01:00", "2027-02-22T00:00:00+01:00"),
    row("Vacances de printemps", "2027-04-03T00:00:00+02:00", "2027-04-19T00:00:00+02:00"),
    row("Début des vacances d’été", "2027-07-03T00:00:00+02:00", "2027-07-03T00:00:00+02:00"),
]


def school(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps({"total_count": len(rows), "results": rows}, ensure_ascii=False).encode()


def read(rows: list[dict[str, Any]]) -> tuple[tuple[str, str], ...]:
    return read_school_days(school(rows), "C", "Versailles", TODAY)


def test_school_holidays_end_on_the_day_before_the_return_in_paris_days() -> None:
    assert read(SCHOOL) == (
        ("2026-12-19", "2027-01-03"),
        ("2027-02-06", "2027-02-21"),
        ("2027-04-03", "2027-04-18"),
        ("2027-07-03", "2027-08-31"),
    )


def test_rows_of_other_zones_places_and_of_teachers_do_not_count() -> None:
    odd = [
        row("Zone A", "2027-03-01T00:00:00+01:00", "2027-03-08T00:00:00+01:00", zones="Zone A"),
        row(
            "Créteil", "2027-03-01T00:00:00+01:00", "2027-03-08T00:00:00+01:00", location="Créteil"
        ),
        row(
            "Prérentrée",
            "2027-03-01T00:00:00+01:00",
            "2027-03-08T00:00:00+01:00",
            population="Enseignants",
        ),
    ]
    twice = [one | {"population": "Élèves"} for one in SCHOOL]
    assert read([*SCHOOL, *odd, *twice]) == read(SCHOOL)


def test_records_that_touch_are_one_holiday() -> None:
    """Autumn in three records: one inside another, one that begins the day after."""
    parts = [
        row("Noël", "2026-12-18T23:00:00+00:00", "2027-01-01T23:00:00+00:00"),
        row("Noël", "2026-12-20T23:00:00+00:00", "2026-12-24T23:00:00+00:00"),
        row("Noël", "2027-01-02T00:00:00+01:00", "2027-01-04T00:00:00+01:00"),
    ]
    assert read([*SCHOOL[2:], *parts]) == read(SCHOOL)


def test_a_school_year_with_fewer_than_four_holidays_ahead_is_refused() -> None:
    with pytest.raises(OfficialDaysInvalid, match="only 3 ahead"):
        read([SCHOOL[0], *SCHOOL[2:]])


@pytest.mark.parametrize(("day", "accepted"), [("2027-06-18", True), ("2027-06-16", False)])
def test_a_holiday_lasts_at_most_75_days_after_its_first(day: str, *, accepted: bool) -> None:
    """A summer without an end, or with one before its begin, lasts to 31 August."""
    summer = row("Été", f"{day}T00:00:00+02:00", "2027-01-01T00:00:00+01:00")
    rows = [*SCHOOL[:4], summer]
    if accepted:
        assert read(rows)[-1] == (day, "2027-08-31")
    else:
        with pytest.raises(OfficialDaysInvalid, match="is no holiday"):
            read(rows)


def test_a_holiday_under_way_is_read_and_kept() -> None:
    autumn = row("Toussaint", "2027-10-23T00:00:00+02:00", "2027-11-08T00:00:00+01:00")
    rows = school([*SCHOOL, autumn])

    def read_first(today: date) -> tuple[str, str]:
        return read_school_days(rows, "C", "Versailles", today)[0]

    assert read_first(date(2027, 1, 3)) == ("2026-12-19", "2027-01-03"), "its last day"
    assert read_first(date(2027, 1, 4)) == ("2027-02-06", "2027-02-21")


@pytest.mark.parametrize(
    "change",
    [
        {"start_date": None},
        {"start_date": "demain"},
        {"end_date": "2028-01-01T00:00:00+01:00"},
        {"zones": 3},
    ],
    ids=str,
)
def test_a_record_that_is_not_understood_spoils_the_file(change: dict[str, Any]) -> None:
    with pytest.raises(OfficialDaysInvalid):
        read([*SCHOOL[:3], SCHOOL[3] | change, SCHOOL[4]])


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"results": 3}', b'{"results": []}', b"<a>"]
)
def test_another_file_is_refused(content: bytes) -> None:
    with pytest.raises(OfficialDaysInvalid):
        read_school_days(content, "C", "Versailles", TODAY)
    with pytest.raises(OfficialDaysInvalid):
        read_public_days(content)


def test_public_holidays_are_checked_against_the_law() -> None:
    assert len(read_public_days(public(2027))) == 11
    with pytest.raises(OfficialDaysInvalid, match="2027-03-01"):
        read_public_days(public(2027, **{"2027-03-01": "Fête du lundi"}))
    short = json.dumps({"2027-01-01": "1er janvier"}).encode()
    with pytest.raises(OfficialDaysInvalid, match="2027-07-14"):
        read_public_days(short)


def test_the_past_stays_and_the_future_is_replaced() -> None:
    earlier_days = DaysOff(
        ("2025-12-25", "2027-05-02"), (("2026-10-17", "2026-11-01"), ("2027-02-13", "2027-02-28"))
    )
    official_days = DaysOff(read_public_days(public(2027)), read(SCHOOL))
    after = merge_days(earlier_days, official_days, TODAY)
    assert after.public[0] == "2025-12-25"
    assert "2027-05-02" not in after.public
    assert after.school[0] == ("2026-10-17", "2026-11-01")
    assert ("2027-02-13", "2027-02-28") not in after.school
    assert merge_days(after, official_days, TODAY) == after


def test_a_holiday_under_way_is_replaced_and_one_that_is_over_stays() -> None:
    wrong = ("2026-12-12", "2027-01-03")
    official_days = DaysOff((), read(SCHOOL))
    during = merge_days(DaysOff((), (wrong,)), official_days, date(2027, 1, 3))
    assert wrong not in during.school, "its last day is today"
    assert wrong in merge_days(DaysOff((), (wrong,)), official_days, date(2027, 1, 4)).school


def test_days_that_no_file_speaks_of_stay() -> None:
    """A closing day of last week was erased, and so were the holidays of the year after."""
    earlier_days = DaysOff(
        ("2026-11-13", "2026-12-04", "2028-05-01"), (("2027-10-23", "2027-11-07"),)
    )
    official_days = DaysOff(read_public_days(public(2026)), read(SCHOOL))
    after = merge_days(earlier_days, official_days, TODAY)
    assert "2026-11-13" in after.public, "the past of a year that a file speaks of"
    assert "2026-12-04" not in after.public
    assert "2028-05-01" in after.public
    assert after.school[-1] == ("2027-10-23", "2027-11-07")
