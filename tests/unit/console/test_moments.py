"""A time outside the calendar is shown as the nearest one inside it.

A single report of such a time must not break the pages of all readers.
"""

from __future__ import annotations

from datetime import datetime

import pytest

from schemas.base import END_OF_TIME
from services.console.logbook.facts.base import format_local_time
from services.console.resource_base import format_iso, to_datetime
from services.console.web import times


@pytest.mark.parametrize("at", [END_OF_TIME - 1, END_OF_TIME + 4 * 3_600_000, 2**62])
def test_a_value_for_never_is_the_last_day(at: int) -> None:
    assert format_iso(to_datetime(at)).startswith("9999-12-31T22:59:59")
    assert times.format_minute(times.of(at)) == "9999-12-31T23:59:59"
    assert format_local_time(at) == "31/12 23:59"


def test_a_time_before_the_calendar_is_its_first_day() -> None:
    assert times.to_paris(to_datetime(-(2**62))).year == 1


def test_other_times_stay_unchanged() -> None:
    assert format_iso(to_datetime(1_800_000_000_123)) == "2027-01-15T08:00:00.123Z"
    assert format_iso(to_datetime(-86_400_000)) == "1969-12-31T00:00:00Z"


@pytest.mark.parametrize(
    ("day", "lang", "words"),
    [
        ("2026-12-01T17:00:00+01:00", "fr", "mardi 1er décembre 2026"),
        ("2026-11-30T23:30:00+00:00", "fr", "mardi 1er décembre 2026"),
        ("2026-12-11T17:00:00+01:00", "fr", "vendredi 11 décembre 2026"),
        ("2026-12-01T17:00:00+01:00", "en", "Tuesday 1 December 2026"),
    ],
)
def test_the_first_of_a_month_is_an_ordinal_in_french(day: str, lang: str, words: str) -> None:
    assert times.day_long(datetime.fromisoformat(day), lang) == words


@pytest.mark.parametrize(
    ("at", "text"),
    [
        ("2027-02-11T08:16:00+00:00", "09:16"),
        ("2027-02-10T23:30:00+00:00", "00:30"),
        ("2027-02-11T23:30:00+00:00", "ven. 12/02"),
        ("2027-02-10T08:16:00+00:00", "mer. 10/02"),
        ("2026-07-01T08:16:00+00:00", "01/07/2026"),
        ("2027-10-01T08:16:00+00:00", "01/10/2027"),
    ],
)
def test_a_time_of_another_day_in_paris_shows_its_day_and_a_far_one_its_year(
    at: str, text: str
) -> None:
    """D60: 23:30 UTC is the next day in Paris; 1 July alone could be the next one."""
    now = datetime.fromisoformat("2027-02-11T10:00:00+00:00")
    assert times.hm_day(datetime.fromisoformat(at), now, "fr") == text


@pytest.mark.parametrize(
    ("at", "text"),
    [("2027-01-14T23:00:00+00:00", "15/01"), ("2027-01-15T00:00:00+00:00", "01:00")],
)
def test_the_mark_of_midnight_on_an_axis_is_the_day_that_begins(at: str, text: str) -> None:
    assert times.label_tick(datetime.fromisoformat(at)) == text
