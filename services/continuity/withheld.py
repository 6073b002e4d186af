"""Repeat the demands that planned works or inhibition withheld, once the incident calls people.

Only what still stands is demanded: the gravest alarm of each running clock, a forecast breach, a
plan or a stand-down that nobody has decided, an open proposal of reassignments. Rules D64 and D65.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from schemas.base import Instant
from schemas.continuity import ActivityRow, ClockRow
from schemas.words import ClockState, PlanState
from services.continuity.activities.alarms import (
    DueAlarm,
    build_attention,
    demand_forecast_attention,
)
from services.continuity.activities.capacity import assess_site_loss
from services.continuity.decision import ContinuityDecision
from services.continuity.plans.plans import demand_plan_attention
from services.continuity.reassignment.orders import demand_proposal_attention, find_open_proposal
from services.continuity.state import NO_LOCAL_CLOCKS, find_worst_cause

MOST_REPEATED: Final = 300
"""Most alarms of one incident that are demanded again: a Transaction holds 256 KiB."""


def repeat_withheld_demands(
    draft: ContinuityDecision, incidents: Collection[str], since: Instant
) -> None:
    """Repeat the demands that were withheld until `since` and still stand.

    `incidents` are an incident and those merged into it.
    """
    rows = sorted(draft.state.activities.values(), key=lambda row: (row.criticality, row.id))
    alarms = [(row, alarm) for row in rows for alarm in _list_alarms_of_territory(row, incidents)]
    alarms += [(row, alarm) for row in rows for alarm in _list_local_alarms(draft, row, incidents)]
    draft.emit(*(build_attention(draft, row, alarm) for row, alarm in alarms[:MOST_REPEATED]))
    for row in rows:
        if row.incident in incidents and row.forecast_breach_at is not None:
            demand_forecast_attention(draft, row)
    for _, plan in sorted(draft.state.plans.items()):
        if plan.incident not in incidents or (plan.proposed_at or 0) >= since:
            continue
        if plan.state is PlanState.PROPOSED or plan.proposed_level is not None:
            demand_plan_attention(draft, plan, "plan_proposed")
        if plan.stand_down_proposed:
            demand_plan_attention(draft, plan, "stand_down_proposed")
    proposal = find_open_proposal(draft.state)
    if (
        proposal is not None
        and proposal.incident in incidents
        and proposal.count_undecided_lines() > 0
    ):
        demand_proposal_attention(draft, proposal)


def _find_gravest_alarm(clocks: Sequence[ClockRow]) -> tuple[ClockRow, int] | None:
    """Return the last clock with an alarm (DMIA after RTO), and its highest percentage."""
    raised = [clock for clock in clocks if clock.state is ClockState.RUNNING and clock.alarms]
    return (raised[-1], max(raised[-1].alarms)) if raised else None


def _list_alarms_of_territory(row: ActivityRow, incidents: Collection[str]) -> Iterator[DueAlarm]:
    gravest = _find_gravest_alarm((row.rto, row.dmia)) if row.incident in incidents else None
    if gravest is None or (limit_at := gravest[0].deadline) is None:
        return
    clock, pct = gravest
    yield DueAlarm(clock.base, pct, limit_at, None, (), row.incident, clock.started_at)


def _list_local_alarms(
    draft: ContinuityDecision, row: ActivityRow, incidents: Collection[str]
) -> Iterator[DueAlarm]:
    need = draft.bia.needs.get(row.id)
    if need is None or need.local is None:
        return
    for site, local in sorted(draft.state.local.get(row.id, NO_LOCAL_CLOCKS).items()):
        gravest = _find_gravest_alarm(local.clocks)
        if gravest is None or (limit_at := gravest[0].deadline) is None:
            continue
        clock, pct = gravest
        _, causes, kitchen = assess_site_loss(draft.state, need, site, draft.now)
        source = find_worst_cause(causes) if kitchen is None else kitchen
        if source is not None and source.incident in incidents:
            yield DueAlarm(clock.base, pct, limit_at, site, (), source.incident, clock.started_at)
