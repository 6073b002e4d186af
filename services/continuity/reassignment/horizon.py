"""Compute when agents start work elsewhere and when they are expected back. Rule D80.

The start is the next opening of the work; the end is the announced end of the causes at a site.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from schemas.base import MINUTE_MS, Instant
from schemas.continuity import CauseHeard
from schemas.reassignment import LineRow, SiteCondition, Situation
from services.continuity.activities.capacity import forecast_cause_end
from services.continuity.activities.impact_analysis import ImpactAnalysis
from services.continuity.state import ContinuityState

TELEWORK: Final = "telework"


class LineTimes(NamedTuple):
    """Start of a line, and its expected end; None: unknown."""

    starts_at: Instant
    ends_at: Instant | None


def find_announced_end(
    state: ContinuityState, causes: Iterable[CauseHeard], now: Instant
) -> Instant | None:
    """Return the latest announced end of these causes; None if one of them has no announced end."""
    ends = [forecast_cause_end(state, cause, now) for cause in causes if cause.loss_pct]
    announced_ends = [end for end in ends if end is not None]
    return max(announced_ends) if announced_ends and len(announced_ends) == len(ends) else None


def find_opening(bia: ImpactAnalysis, activity: str, now: Instant) -> Instant:
    """Return when the work of an activity continues: now, or at its next opening."""
    need = bia.needs.get(activity)
    hours = None if need is None else need.work_hours
    if hours is None or hours.is_open(now):
        return now
    return hours.next_edge(now) or now


def list_openings(bia: ImpactAnalysis, now: Instant) -> dict[str, Instant]:
    """Return the next opening of each activity that is closed now."""
    openings = {activity: find_opening(bia, activity, now) for activity in sorted(bia.needs)}
    return {activity: opens for activity, opens in openings.items() if opens > now}


def compute_line_times(state: ContinuityState, line: LineRow, now: Instant) -> LineTimes:
    """Return from when and until when the agents of a line work elsewhere."""
    assert state.bia is not None
    site_state = state.sites.get(line.need_site or line.site)
    end = None if site_state is None else find_announced_end(state, site_state.causes, now)
    return LineTimes(find_opening(state.bia, line.need_activity or line.activity, now), end)


def is_too_late(situation: Situation, condition: SiteCondition | None, line: LineRow) -> bool:
    """Check whether the site of the work is back before the agents of a line would be at work."""
    if condition is None or condition.ends_at is None or situation.at is None:
        return False
    left_min = (condition.ends_at - situation.at) / MINUTE_MS
    opens = situation.opens.get(line.need_activity or line.activity, situation.at)
    if line.place == line.site:
        on_the_way = 0
    else:
        on_the_way = (
            situation.home_min if line.place == TELEWORK else line.minutes + situation.setup_min
        )
    return on_the_way > left_min or opens >= condition.ends_at
