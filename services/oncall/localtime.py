"""Convert local days and minutes (Europe/Paris) to instants.

Correct on the nights when the clocks change.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from schemas.base import Instant

PARIS: Final = ZoneInfo("Europe/Paris")


@lru_cache(maxsize=4096)
def to_instant(day: date, minute: int) -> Instant:
    """Return the instant of `minute` after local midnight; 1440 is the midnight that ends the day.

    A time skipped by the clock change is as long after the change (02:30 → 03:30). A time that
    exists twice means the first (RFC 5545 3.3.5).
    """
    days_on, minute = divmod(minute, 1440)
    local = datetime.combine(day + timedelta(days=days_on), time(minute // 60, minute % 60), PARIS)
    return int(local.timestamp() * 1000)


def local_day(at: Instant) -> date:
    """Return the local date of an instant."""
    return datetime.fromtimestamp(at / 1000, PARIS).date()


def next_local_minute(minute: int, after: Instant) -> Instant:
    """Return the first instant after `after` at this local `minute`."""
    day = local_day(after)
    while (instant := to_instant(day, minute)) <= after:
        day += timedelta(days=1)
    return instant


def is_inside_window(window: tuple[int, int], at: Instant) -> bool:
    """Return whether `at` lies in the daily local window [from, to).

    It spans midnight if `to` ≤ `from`.
    """
    return any(start <= at < end for start, end in windows_around(window, at))


def windows_around(window: tuple[int, int], at: Instant) -> tuple[tuple[Instant, Instant], ...]:
    """Return the windows that begin on the day before `at`, its local day and the day after."""
    today = local_day(at)
    return tuple(window_on_day(window, today + timedelta(days=n)) for n in (-1, 0, 1))


def window_on_day(window: tuple[int, int], day: date) -> tuple[Instant, Instant]:
    """Return the window that begins on this local day."""
    start, end = window
    return to_instant(day, start), to_instant(day if end > start else day + timedelta(days=1), end)


def list_local_days(start: Instant, end: Instant) -> list[date]:
    """List the local days from the day before `start` to the day of `end`.

    Every daily window that touches the span begins on one of them.
    """
    first, last = local_day(start) - timedelta(days=1), local_day(end)
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
