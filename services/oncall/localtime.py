"""Local days and minutes of the territory (Europe/Paris) as instants, right on the nights when the clocks change."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from schemas.base import Instant

PARIS: Final = ZoneInfo("Europe/Paris")


@lru_cache(maxsize=4096)
def instant(day: date, minute: int) -> Instant:
    """`minute` after local midnight of that day; 1440 is 24:00, the midnight that ends it. One that does not exist that night is the same
    distance after the change (02:30 → 03:30); of one that exists twice it is the first (RFC 5545 3.3.5).
    """
    days_on, minute = divmod(minute, 1440)
    local = datetime.combine(day + timedelta(days=days_on), time(minute // 60, minute % 60), PARIS)
    return int(local.timestamp() * 1000)


def local_day(at: Instant) -> date:
    """Local date."""
    return datetime.fromtimestamp(at / 1000, PARIS).date()


def next_at(minute: int, after: Instant) -> Instant:
    """The first local `minute` of a day that comes after `after`."""
    day = local_day(after)
    while (found := instant(day, minute)) <= after:
        day += timedelta(days=1)
    return found


def inside(window: tuple[int, int], at: Instant) -> bool:
    """`at` lies in the daily local window [from, to), which runs over midnight when `to` ≤ `from`."""
    return any(start <= at < end for start, end in around(window, at))


def around(window: tuple[int, int], at: Instant) -> tuple[tuple[Instant, Instant], ...]:
    """The windows that begin on the local day of `at`, on the day before and on the day after."""
    today = local_day(at)
    return tuple(window_of(window, today + timedelta(days=n)) for n in (-1, 0, 1))


def window_of(window: tuple[int, int], day: date) -> tuple[Instant, Instant]:
    """The window that begins on this local day."""
    start, end = window
    return instant(day, start), instant(day if end > start else day + timedelta(days=1), end)


def days(start: Instant, end: Instant) -> list[date]:
    """Local days from the day before `start` to the day of `end`: every daily thing that can touch the span begins on one of them."""
    first, last = local_day(start) - timedelta(days=1), local_day(end)
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
