"""Assess one activity: state (D41), clocks (D42), forecast (D45) and path (D47).

Call `settle_activity` after every change that touches an activity, and at the instants that its
clocks name (`ClockRow.next_at`). It records facts only if something changed. Arrived agents of
other sites count as capacity of the work that they do. Rule D81.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any, Final

from schemas.base import Instant
from schemas.continuity import (
    ActivityChanged,
    ActivityDeclared,
    ActivityRow,
    ClockRow,
    LocalClockChanged,
    StrategyRow,
)
from schemas.reassignment import LineState, ReassignmentRow
from schemas.words import ActivityState, ClockState
from services.continuity.activities.alarms import DueAlarm, demand_forecast_attention, raise_alarms
from services.continuity.activities.calendars import get_local_day
from services.continuity.activities.capacity import (
    CapacityAssessment,
    CapacityOnset,
    assess_capacity,
    find_fall_below_minimum,
    find_last_restoration,
    list_onsets,
    list_true_flags,
)
from services.continuity.activities.clocks import (
    InterruptionChange,
    compute_limits,
    find_breach,
    forecast_restoration,
    read_clocks,
)
from services.continuity.activities.impact_analysis import FULL_SHARE, ActivityNeed
from services.continuity.activities.local_clocks import find_next_local_change, update_local_clocks
from services.continuity.activities.metrics import note_changed_metrics
from services.continuity.activities.reasons import build_paths, find_start, list_reasons
from services.continuity.deadlines import ActivityDue
from services.continuity.decision import DROPPED_AUTHOR, ContinuityDecision
from services.continuity.state import NO_LOCAL_CLOCKS, ContinuityState

_TROUBLE_CLEARED: Final[dict[str, Any]] = {
    "state": ActivityState.NOMINAL,
    "declared": None,
    "declared_by": None,
    "computed": ActivityState.NOMINAL,
    "capacity_pct": 100.0,
    "computed_pct": 100.0,
    "arrived": 0,
    "local_running": 0,
    "forecast_breach_at": None,
    "expected_end": None,
    "incident": None,
    "path": (),
    "path_more": 0,
    "why": (),
}
_DISRUPTED_STATES: Final = frozenset((ActivityState.INTERRUPTED, ActivityState.RESTORED))


def add_arrived_agents(
    need: ActivityNeed, assessment: CapacityAssessment, arrived_agents: int
) -> int:
    """Return the points of an activity with the agents that have arrived.

    They count as a share of the staff that 100 % need. Systems and suppliers bound the result as
    before.
    """
    points = need.whole * arrived_agents // max(need.activity.staff, 1)
    return min(assessment.points_of_sites + points, assessment.ceiling)


def schedule_settlement(draft: ContinuityDecision, rows: Iterable[ReassignmentRow]) -> None:
    """Settle each activity that these agents worked or work for, in the next step."""
    for activity in sorted({row.worked_activity for row in rows}):
        if activity in draft.bia.needs:
            draft.arm_settlement(activity)


def select_arrived_lines(rows: Iterable[ReassignmentRow]) -> list[ReassignmentRow]:
    """Select the lines with agents at work."""
    return [row for row in rows if row.state is LineState.ARRIVED]


@dataclass(frozen=True, slots=True)
class ActivityChange:
    """Changes since the activity was last settled that matter to its clocks."""

    back_at: Instant | None = None
    """Time when the ended causes ended or the declared restoration took place; None: now."""
    sites: frozenset[str] = frozenset()
    """Sites with local clocks to read again, beside those that are due."""
    anew: bool = False
    """Reads every clock, because the reference data changed."""


NO_CHANGE: Final = ActivityChange()


def settle_activity(
    draft: ContinuityDecision, activity: str, change: ActivityChange = NO_CHANGE
) -> None:
    """Record the activity's row if it changed, the alarms that are due, and its next deadline."""
    need, now, state = draft.bia.needs[activity], draft.now, draft.state
    before = state.activities.get(activity)
    alike = (need.id,) if state.dependencies else need.profile
    assessment = draft.compute_once(("assess", *alike), lambda: assess_capacity(state, need, now))
    strategies = list_active_strategies(state, activity)
    arrived_agents = state.arrivals.get(activity, 0)
    if strategies:
        points = max(
            assessment.points,
            *(_convert_to_points(need, s.expected_capacity_pct) for s in strategies),
        )
    else:
        points = (
            add_arrived_agents(need, assessment, arrived_agents)
            if arrived_agents
            else assessment.points
        )
    activity_state = _compute_state(need, points, assessment, before)
    declaration = state.declared.get(activity)
    current = (
        activity_state if declaration is None or declaration.state is None else declaration.state
    )
    out = current is ActivityState.INTERRUPTED
    acting = (
        draft.compute_once(("onsets", *alike), lambda: list_onsets(state, need, now)) if out else []
    )
    back_at = now if change.back_at is None else min(change.back_at, now)
    day = get_local_day(now) if need.windows else 0
    limits = compute_limits(
        need, day, list_true_flags(state.dependencies, need, now) if need.by_flag else ()
    )
    all_back_at = (
        max(back_at, find_last_restoration(state, need, now))
        if declaration is None
        and not out
        and (before is not None and before.rto.state is ClockState.RUNNING)
        else back_at
    )
    interruption_change = InterruptionChange(
        _find_interruption_start(draft, need, acting, declaration) if out else None,
        all_back_at,
        change.anew,
    )
    rto, dmia, due_alarms = read_clocks(
        need, limits, (before.rto, before.dmia) if before else None, interruption_change, now
    )
    local = update_local_clocks(draft, need, change.sites, back_at, anew=change.anew)
    end = forecast_restoration(need, acting)
    since = _find_state_start(before, current, rto, assessment, now)
    through, incident = build_paths(need, assessment, strategies), assessment.incident
    row = ActivityRow(
        id=activity,
        pole=need.activity.pole,
        criticality=need.activity.criticality,
        state=current,
        computed=activity_state,
        declared=None if declaration is None else declaration.state,
        declared_by=None if declaration is None else declaration.author,
        capacity_pct=need.percent(points),
        computed_pct=need.percent(assessment.points),
        arrived=arrived_agents,
        mbco_pct=need.activity.mbco_pct,
        since=since,
        rto=rto,
        dmia=dmia,
        local_running=(before.local_running if before else 0) + local.running,
        forecast_breach_at=find_breach(end, dmia.deadline, now),
        expected_end=end,
        incident=incident,
        path=through,
        path_more=assessment.hits - len(assessment.worst),
        strategies=tuple(s.strategy for s in strategies),
        next_strategy=choose_next_strategy(
            need, find_tried_strategies(state, need.id, find_start(assessment, now)), strategies
        ),
        why=list_reasons(need, assessment, strategies, declaration, since),
    )
    if row != before:
        draft.emit(ActivityChanged(row=row))
        note_changed_metrics(draft, before, row)
    draft.emit(*local.facts())
    if due_alarms or local.due_alarms:
        head = through[0] if through else ()
        mine = (
            DueAlarm(base, pct, limit_at, None, head, incident, rto.started_at)
            for base, pct, limit_at in due_alarms
        )
        raise_alarms(draft, row, [*mine, *local.due_alarms])
    if row.forecast_breach_at is not None and (before is None or before.forecast_breach_at is None):
        demand_forecast_attention(draft, row)
    draft.arm(ActivityDue(activity), _compute_next_due(draft.state, need, row, out, now))


def end_dropped_activities(draft: ContinuityDecision) -> None:
    """End the trouble of activities that new reference data dropped: nobody could end it.

    Their clocks stop now, and so do those of their sites; a declared state is withdrawn.
    """
    for id in sorted(draft.state.activities.keys() - draft.bia.needs.keys()):
        if (declaration := draft.state.declared.get(id)) is not None:
            withdrawal = {"state": None, "author": DROPPED_AUTHOR, "occurred_at": draft.now}
            draft.emit(declaration.model_copy(update=withdrawal | {"reason": None}))
        row = draft.state.activities[id]
        ended_row = row.model_copy(
            update=_TROUBLE_CLEARED
            | {
                "since": row.since if row.state is ActivityState.NOMINAL else draft.now,
                "rto": _stop_clock(row.rto, draft.now),
                "dmia": _stop_clock(row.dmia, draft.now),
            }
        )
        if ended_row != row:
            draft.emit(ActivityChanged(row=ended_row))
        local_rows = draft.state.local.get(id, NO_LOCAL_CLOCKS)
        for local_row in (local_rows[site] for site in sorted(local_rows)):
            clocks = tuple(_stop_clock(clock, draft.now) for clock in local_row.clocks)
            if clocks != local_row.clocks:
                changes = {"clocks": clocks, "forecast_breach_at": None, "next_at": None}
                draft.emit(LocalClockChanged(row=local_row.model_copy(update=changes)))


def _stop_clock(clock: ClockRow, now: Instant) -> ClockRow:
    """Return a running clock as stopped; another one stays as it is."""
    if clock.state is not ClockState.RUNNING:
        return clock
    changes = {"state": ClockState.STOPPED, "stopped_at": now, "deadline": None, "ticking": False}
    return clock.model_copy(update=changes | {"next_at": None})


def _convert_to_points(need: ActivityNeed, pct: float) -> int:
    return round(pct * 100) * (need.whole // FULL_SHARE)


def _compute_state(
    need: ActivityNeed, points: int, assessment: CapacityAssessment, before: ActivityRow | None
) -> ActivityState:
    """Compute the state from the points with strategies and the assessment without them.

    RESTORED lasts until nothing hits the activity any more. Rule D41.
    """
    if points < need.minimum:
        return ActivityState.INTERRUPTED
    if not assessment.hits:
        return ActivityState.NOMINAL
    if before is not None and before.computed in _DISRUPTED_STATES:
        return ActivityState.RESTORED
    return ActivityState.DEGRADED if assessment.points < need.whole else ActivityState.THREATENED


def _find_interruption_start(
    draft: ContinuityDecision,
    need: ActivityNeed,
    acting: list[CapacityOnset],
    declaration: ActivityDeclared | None,
) -> Instant:
    """Return the start of the interruption.

    This is the declared time if a person declared it, else the time of the cause, but never before
    the end of the last strategy or declaration.
    """
    if declaration is not None:
        return declaration.occurred_at
    fell = find_fall_below_minimum(need, acting)
    return max(
        draft.now if fell is None else min(fell, draft.now), draft.state.floors.get(need.id, 0)
    )


def _find_state_start(
    before: ActivityRow | None,
    current: ActivityState,
    rto: ClockRow,
    assessment: CapacityAssessment,
    now: Instant,
) -> Instant:
    if current is ActivityState.INTERRUPTED and rto.started_at is not None:
        return rto.pauses[-1][1] if rto.pauses else rto.started_at
    if before is not None and before.state is current:
        return before.since
    if (
        before is not None
        and before.state is ActivityState.INTERRUPTED
        and rto.stopped_at is not None
    ):
        return rto.stopped_at
    if before is not None and before.state is not ActivityState.NOMINAL:
        return now
    return find_start(assessment, now)


def _compute_next_due(
    state: ContinuityState, need: ActivityNeed, row: ActivityRow, out: bool, now: Instant
) -> Instant | None:
    """Return the next instant when time alone changes this activity.

    It is later than now, so that a bounded step continues. An expected end that has passed does not
    count (D17).
    """
    instants = [
        at
        for at in (
            row.rto.next_at,
            row.dmia.next_at,
            find_next_local_change(state, need.id),
            row.expected_end,
        )
        if at is not None
    ]
    if out and need.windows and (row.rto.next_at is not None or row.dmia.next_at is not None):
        instants += [window.next_edge(now) for window, _ in need.windows]
    return max(min(instants), now + 1) if instants else None


def list_active_strategies(state: ContinuityState, activity: str) -> list[StrategyRow]:
    """List the active strategies of an activity in the order of activation."""
    if not state.strategies:
        return []
    return sorted(
        (s for s in state.strategies.values() if s.activity == activity and s.state == "active"),
        key=lambda s: (s.started_at, s.id),
    )


def find_tried_strategies(state: ContinuityState, activity: str, since: Instant) -> set[str]:
    """Return the strategies that started at or after `since`, and those that are still active."""
    return {
        s.strategy
        for s in state.strategies.values()
        if s.activity == activity and (s.state == "active" or s.started_at >= since)
    }


def choose_next_strategy(
    need: ActivityNeed, spent_strategies: Container[str], active: Iterable[StrategyRow]
) -> str | None:
    """Return the next strategy to try.

    This is the first listed one that was not tried for the present trouble. When all were tried, it
    is the first that is not active. Rule D51.
    """
    strategies, active_ids = need.activity.strategies, {s.strategy for s in active}
    return next((s for s in strategies if s not in spent_strategies), None) or next(
        (s for s in strategies if s not in active_ids), None
    )


def list_activities_of_site(draft: ContinuityDecision, site: str) -> tuple[str, ...]:
    """Return the activities that count this site, by id."""
    place = draft.bia.sites.get(site)
    return () if place is None else draft.bia.by_kind.get(place.kind, ())
