"""Compute when a card is due. Rules D50 and D84."""

from __future__ import annotations

from typing import Final

from schemas.base import MINUTE_MS, Instant
from schemas.plans import Card, CardOrigin
from schemas.reference import Plan
from services.continuity.activities.calendars import compute_local_instant, get_local_day
from services.continuity.activities.impact_analysis import STRIKE_FLAG
from services.continuity.state import ContinuityState

_STRIKE_DAY_STARTS_MIN: Final = 6 * 60


def compute_card_due(state: ContinuityState, plan: Plan, card: Card, since: Instant) -> Instant:
    """Return when a card is due; `since` is the start of its delay, unless its origin is a day.

    A forecast threshold without a forecast counts from `since`, and is never before it.
    """
    start = find_card_origin(state, plan, card, since)
    delay = card.t_min * MINUTE_MS
    return start + (max(delay, 0) if card.origin is CardOrigin.FORECAST_THRESHOLD else delay)


def find_card_origin(state: ContinuityState, plan: Plan, card: Card, since: Instant) -> Instant:
    """Return the start of `t_min` of a card.

    This is `since`, 06:00 on the strike day that the notice names, or the next time of day that
    the card names.
    """
    if card.origin is CardOrigin.LOCAL_TIME and card.local_min is not None:
        return _find_next_local_time(since, card.local_min)
    if card.origin is not CardOrigin.STRIKE_DAY and (
        plan.card_origin is None or card.phase is not None
    ):
        return since
    notice = state.dependencies.get(STRIKE_FLAG)
    if notice is None or notice.speaks_of is None:
        return since
    return compute_local_instant(get_local_day(notice.speaks_of), _STRIKE_DAY_STARTS_MIN)


def _find_next_local_time(after: Instant, minute: int) -> Instant:
    """Return the first instant from `after` on with this minute of a local day."""
    day = get_local_day(after)
    today = compute_local_instant(day, minute)
    return today if today >= after else compute_local_instant(day + 1, minute)
