"""When an interrupted activity is expected back, and whether that is after its DMIA: « rupture prévue » (D45)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from schemas.base import Instant
from services.continuity.activities.capacity import Onset, left_with
from services.continuity.activities.impact_analysis import Need


def expected_back(need: Need, acting: list[Onset]) -> Instant | None:
    """When capacity is expected to reach the MBCO again: the latest end among the causes that must end for it *(decided)*.

    Where some of these have no announced end, the latest announced one: it cannot be back before. None: nothing is announced.
    """
    ends = sorted({onset.end for onset in acting if onset.end is not None})
    if not ends:
        return None

    def back_by(end: Instant) -> bool:
        return left_with(need, [o for o in acting if o.end is None or o.end > end]) >= need.minimum

    first = bisect_left(ends, True, key=back_by)
    return ends[min(first, len(ends) - 1)]


def latest(ends: Sequence[Instant | None]) -> Instant | None:
    """The latest announced end of causes each of which would be enough (one site)."""
    return max((end for end in ends if end is not None), default=None)


def breach(expected: Instant | None, limit_at: Instant | None, now: Instant) -> Instant | None:
    """The limit, if the expected end is after it and it has not passed yet."""
    if expected is None or limit_at is None or limit_at <= now or expected <= limit_at:
        return None
    return limit_at
