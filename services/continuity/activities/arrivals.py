"""Count arrived agents of other sites as capacity of the work that they do. Rule D81."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.reassignment import LineState, ReassignmentRow
from services.continuity.activities.capacity import CapacityAssessment
from services.continuity.activities.impact_analysis import ActivityNeed
from services.continuity.decision import ContinuityDecision


def add_arrived_agents(need: ActivityNeed, assessment: CapacityAssessment, arrived: int) -> int:
    """Return the points of an activity with the agents that have arrived.

    They count as a share of the staff that 100 % need. Systems and suppliers bound the result as
    before.
    """
    gained = need.whole * arrived // max(need.activity.staff, 1)
    return min(assessment.points_of_sites + gained, assessment.ceiling)


def schedule_settlement(draft: ContinuityDecision, rows: Iterable[ReassignmentRow]) -> None:
    """Settle each activity that these agents worked or work for, in the next step."""
    for activity in sorted({row.worked_activity for row in rows}):
        if activity in draft.bia.needs:
            draft.arm_settlement(activity)


def select_arrived_lines(rows: Iterable[ReassignmentRow]) -> list[ReassignmentRow]:
    """Select the lines with agents at work."""
    return [row for row in rows if row.state is LineState.ARRIVED]
