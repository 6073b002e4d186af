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
