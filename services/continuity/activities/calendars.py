"""Compute open hours, local days and payroll windows on the Europe/Paris calendar. Rule D43.

All durations are real time in ms: the night of 28 March has 23 hours, and an opening from 02:00 to
04:00 in that night lasts one hour.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from schemas.base import HOUR_MS, Instant
from schemas.reference import Calendar

PARIS: Final = ZoneInfo("Europe/Paris")
_WHOLE_DAY_MIN: Final = 24 * 60
_WEEK: Final = 7
_HORIZON_DAYS: Final = 800
"""Days searched for the next opening; beyond them a calendar counts as closed for ever."""


def get_local_day(at: Instant) -> int:
    """Return the local date of an instant as a proleptic ordinal."""
    return _compute_local_day(at // HOUR_MS)


@lru_cache(maxsize=4096)
def _compute_local_day(hour: int) -> int:
    """Return the local date of an hour since the epoch; Paris is whole hours away from UTC."""
    return datetime.fromtimestamp(hour * 3600, PARIS).toordinal()


@lru_cache(maxsize=8192)
def compute_local_instant(day: int, minute: int) -> Instant:
    """Return the instant of a local wall-clock time.

    Minute 1440 is the next midnight. A time that a clock change skips is read as one hour later.
    """
    wall = datetime.fromordinal(day) + timedelta(minutes=minute)
    return int(wall.replace(tzinfo=PARIS).timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class OpenHours:
    """Open hours of a calendar."""

    weekdays: frozenset[int]
    """From 1 (Monday) to 7 (Sunday)."""
    open_min: int
    close_min: int
    closed_days: frozenset[int] = frozenset()
    """Ordinals of the holidays on which it is closed."""
    closed_spans: tuple[tuple[int, int], ...] = ()
    """First and last ordinal of each school holiday in which it is closed."""

    def opens_on(self, day: int) -> bool:
        """Check whether it opens at all on this local day."""
        weekday = (day - 1) % 7 + 1  # ordinal 1 was a Monday
        return (
            weekday in self.weekdays
            and day not in self.closed_days
            and not any(a <= day <= b for a, b in self.closed_spans)
        )

    def spans(self, since: Instant) -> Iterator[tuple[Instant, Instant]]:
        """Yield the open intervals that end after `since`, in order, within the horizon."""
        first = get_local_day(since)
        for week in range(first, first + _HORIZON_DAYS, _WEEK):
            for span in _list_open_spans(self, week):
                if span[1] > since:
                    yield span

    def compute_elapsed_ms(self, start: Instant, end: Instant) -> int:
        """Sum the open ms in [start, end)."""
        total = 0
        if end <= start:
            return total
        for opens, closes in self.spans(start):
            if opens >= end:
                break
            total += min(closes, end) - max(opens, start)
        return total

    def advance(self, start: Instant, ms: int) -> Instant | None:
        """Return the instant when `ms` open ms have passed since `start`; None: never."""
        if ms <= 0:
            return start
        for opens, closes in self.spans(start):
            begin = max(opens, start)
            if closes - begin >= ms:
                return begin + ms
            ms -= closes - begin
        return None

    def is_open(self, at: Instant) -> bool:
        """Check whether the instant lies inside the open hours."""
        opens, _ = next(self.spans(at), (at + 1, at))
        return opens <= at

    def next_edge(self, at: Instant) -> Instant | None:
        """Return the next opening or closing after `at`."""
        for opens, closes in self.spans(at):
            return opens if opens > at else closes
        return None


@lru_cache(maxsize=4096)
def _list_open_spans(hours: OpenHours, first: int) -> tuple[tuple[Instant, Instant], ...]:
    """Return the open intervals of the seven days that begin with `first`."""
    return tuple(
        (compute_local_instant(day, hours.open_min), compute_local_instant(day, hours.close_min))
        for day in range(first, first + _WEEK)
        if hours.opens_on(day)
    )


def compile_open_hours(
    calendar: Calendar, holidays: tuple[str, ...], school_holidays: tuple[tuple[str, str], ...]
) -> OpenHours | None:
    """Return the open hours of a calendar of the reference data; None if it never closes."""
    days = (
        frozenset(date.fromisoformat(d).toordinal() for d in holidays)
        if calendar.closed_on_holidays
        else frozenset()
    )
    spans = (
        tuple(
            (date.fromisoformat(a).toordinal(), date.fromisoformat(b).toordinal())
            for a, b in school_holidays
        )
        if calendar.closed_in_school_holidays
        else ()
    )
    always = (
        set(calendar.weekdays) >= set(range(1, 8))
        and calendar.open_min <= 0
        and calendar.close_min >= _WHOLE_DAY_MIN
    )
    if always and not days and not spans:
        return None
    return OpenHours(
        frozenset(calendar.weekdays), calendar.open_min, calendar.close_min, days, spans
    )


@dataclass(frozen=True, slots=True)
class DayWindow:
    """Days when a shorter limit holds.

    Either days of the month, or a span of working days before the end of the month.
    """

    days_of_month: frozenset[int] = frozenset()
    working_days_left: tuple[int, int] | None = None
    """(most, least) working days left in the month; (12, 3) is « J-12 à J-3 »."""
    holidays: frozenset[int] = frozenset()

    def holds_on(self, day: int) -> bool:
        """Check whether the window holds on this local day."""
        if date.fromordinal(day).day in self.days_of_month:
            return True
        if self.working_days_left is None:
            return False
        most, least = max(self.working_days_left), min(self.working_days_left)
        return least <= self._working_days_after(day) <= most

    def _working_days_after(self, day: int) -> int:
        month, count = date.fromordinal(day).month, 0
        while date.fromordinal(day := day + 1).month == month:
            count += (day - 1) % 7 < 5 and day not in self.holidays
        return count

    def next_edge(self, at: Instant) -> Instant:
        """Return the next local midnight after `at` that opens or closes the window.

        It is 62 days ahead at the latest.
        """
        today = get_local_day(at)
        now = self.holds_on(today)
        day = next((d for d in range(today + 1, today + 62) if self.holds_on(d) != now), today + 62)
        return compute_local_instant(day, 0)
