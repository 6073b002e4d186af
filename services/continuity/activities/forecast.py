"""Forecast when an interrupted activity is back, and whether that breaches its DMIA. Rule D45."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from schemas.base import Instant
from services.continuity.activities.capacity import CapacityOnset, compute_points_left
from services.continuity.activities.impact_analysis import ActivityNeed


def forecast_restoration(need: ActivityNeed, acting: list[CapacityOnset]) -> Instant | None:
    """Return the instant when capacity is expected to reach the MBCO again.

    It is the latest end among the causes that must end for it. If some of these have no announced
    end, it is the latest announced one, because the activity cannot be back before *(decided)*.
    None: no end is announced.
    """
    ends = sorted({onset.end for onset in acting if onset.end is not None})
    if not ends:
        return None

    def back_by(end: Instant) -> bool:
        return (
            compute_points_left(need, [o for o in acting if o.end is None or o.end > end])
            >= need.minimum
        )

    first = bisect_left(ends, True, key=back_by)
    return ends[min(first, len(ends) - 1)]


def find_latest_end(ends: Sequence[Instant | None]) -> Instant | None:
    """Return the latest announced end; each cause alone stops the one site."""
    return max((end for end in ends if end is not None), default=None)


def find_breach(expected: Instant | None, limit_at: Instant | None, now: Instant) -> Instant | None:
    """Return the limit if the expected end lies after it and it has not passed yet."""
    if expected is None or limit_at is None or limit_at <= now or expected <= limit_at:
        return None
    return limit_at
