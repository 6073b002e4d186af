"""Compute legal limits: hours, days, working days and months of the territory's calendar. Pure.

Hours run through nights and days off. A limit in days, working days or months ends with its last
local day; the day when it begins does not count. Rules D43 and D92.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Collection
from datetime import date, timedelta
from typing import Final

from schemas.base import HOUR_MS, Instant
from schemas.crisis.obligations import LimitUnit, ObligationLimit
from services.oncall.localtime import local_day, to_instant

LAST_MINUTE: Final = 24 * 60 - 1
"""Local minute at which a day of a limit ends, so that texts show the right day."""
_SATURDAY: Final = 6


def compute_limit(limit: ObligationLimit, start: Instant, holidays: Collection[str]) -> Instant:
    """Return when a limit ends that begins at `start`."""
    day, amount = local_day(start), limit.amount
    match limit.unit:
        case LimitUnit.HOURS:
            return start + amount * HOUR_MS
        case LimitUnit.DAYS:
            end = day + timedelta(days=amount)
        case LimitUnit.WORKING_DAYS:
            end = _add_working_days(day, amount, holidays)
        case LimitUnit.MONTHS:
            end = _add_months(day, amount)
    return to_instant(end, LAST_MINUTE)


def list_steps(start: Instant, end: Instant) -> tuple[Instant, Instant, Instant]:
    """Return the times of both reminders, at half and at 80 % of a limit, and the limit."""
    span = end - start
    return start + span // 2, start + span * 4 // 5, end


def _add_working_days(day: date, amount: int, holidays: Collection[str]) -> date:
    while amount > 0:
        day += timedelta(days=1)
        if day.isoweekday() < _SATURDAY and day.isoformat() not in holidays:
            amount -= 1
    return day


def _add_months(day: date, amount: int) -> date:
    """Return the same day of a later month, or the last day of a shorter one."""
    years, month = divmod(day.month - 1 + amount, 12)
    year, month = day.year + years, month + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))
