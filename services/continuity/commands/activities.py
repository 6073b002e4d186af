"""Decisions about activities: strategies, declared states, age of data, arbitration.

Rules D41, D44, D46, D51.
"""

from typing import Final

from schemas import commands as cmd
from schemas.alerts import AttentionRequested
from schemas.base import Instant
from schemas.continuity import (
    ActivityDeclared,
    AlarmArbitrated,
    AlarmRaised,
    AlarmRow,
    StrategyChanged,
    StrategyRow,
)
from schemas.ranks import STRATEGY_ROLE
from schemas.words import ClockBase, SiteStatus
from services.continuity.activities.assessment import (
    NO_CHANGE,
    ActivityChange,
    find_tried_strategies,
    list_active_strategies,
    settle_activity,
)
from services.continuity.activities.capacity import assess_capacity
from services.continuity.activities.impact_analysis import ActivityNeed
from services.continuity.activities.metrics import record_changed_metrics
from services.continuity.activities.reasons import find_start
from services.continuity.decision import ContinuityDecision, require_role
from services.continuity.reassignment.orders import schedule_review
from services.continuity.reassignment.site_conditions import find_ordered_sites
from services.runtime.decider.command_checks import get_row, require_reason
from services.runtime.decider.protocol import CommandResult, RefusedCommand

LOST_SITE_AUTHOR: Final = "system:fallback"
"""Author of the end of a strategy that lost its fallback site."""
_OUT_STATUSES: Final = frozenset((SiteStatus.CLOSED, SiteStatus.EVACUATED, SiteStatus.SHELTERING))


def activate_strategy(draft: ContinuityDecision, command: cmd.ActivateStrategy) -> CommandResult:
    """Activate a strategy of an activity.

    Strategies follow the listed order; another order needs `force` and a reason. A fallback site
    must be sound and have enough desks. Rule D51.
    """
    need = get_row(draft.bia.needs, command.activity, "activity_not_found")
    require_role(command, STRATEGY_ROLE)
    strategies = need.activity.strategies
    name = next((s for s in strategies if s == command.strategy), None) or next(
        (s for s in strategies if s.split(":")[0] == command.strategy), None
    )
    if name is None:
        raise RefusedCommand(404, "strategy_not_found", activity=need.id, strategy=command.strategy)
    active = list_active_strategies(draft.state, need.id)
    spent_strategies = find_tried_strategies(
        draft.state, need.id, find_start(assess_capacity(draft.state, need, draft.now), draft.now)
    )
    if any(s.strategy == name for s in active):
        raise RefusedCommand(409, "already", activity=need.id, strategy=name)
    skipped_strategy = next(
        (s for s in strategies[: strategies.index(name)] if s not in spent_strategies), None
    )
    if skipped_strategy is not None:
        if not command.force:
            raise RefusedCommand(
                409, "strategy_order", activity=need.id, strategy=name, first=skipped_strategy
            )
        require_reason(command)
    if command.site is not None:
        _check_fallback(draft, command.site, command.desks)
    number = 1 + sum(s.activity == need.id for s in draft.state.strategies.values())
    row = StrategyRow(
        id=f"{need.id}/{number}",
        activity=need.id,
        strategy=name,
        state="active",
        expected_capacity_pct=command.expected_capacity_pct,
        site=command.site,
        desks=command.desks,
        started_at=draft.now,
        started_by=command.author,
        reason=command.reason,
    )
    draft.emit(StrategyChanged(row=row))
    schedule_review(draft)  # the desks that it holds are taken now
    return _settle_and_answer(draft, need, {"strategy": row.id, "name": name})


def _check_fallback(draft: ContinuityDecision, site: str, desks: int | None) -> None:
    """Refuse a fallback site that is lost, exposed or full.

    It must not be out or of unknown status, not exposed during a flood, not in the area of an order
    to leave or to shelter (D102), and must have free desks as a host, those of reassigned agents
    deducted. Rule D51.
    """
    place, state = draft.bia.sites.get(site), draft.state
    if place is None:
        raise RefusedCommand(404, "site_not_found", site=site)
    site_state = state.sites.get(site)
    if site_state is not None and (
        site_state.status in _OUT_STATUSES or site_state.status is SiteStatus.UNKNOWN
    ):
        raise RefusedCommand(409, "fallback_out", site=site, site_status=site_state.status.value)
    if place.flood_exposure != "non" and any(
        i.open and i.kind == "flood" for i in state.incidents.values()
    ):
        raise RefusedCommand(409, "fallback_exposed", site=site, exposure=place.flood_exposure)
    if site in find_ordered_sites(state):
        raise RefusedCommand(409, "fallback_ordered", site=site)
    occupied_desks = sum(
        s.desks or 0 for s in state.strategies.values() if s.state == "active" and s.site == site
    )
    occupied_desks += sum(
        row.count for row in state.moved.values() if row.place == site != row.site
    )
    if occupied_desks + (desks or 0) > place.places:
        raise RefusedCommand(
            409, "fallback_full", site=site, desks=place.places, taken=occupied_desks
        )


def end_strategy(draft: ContinuityDecision, command: cmd.EndStrategy) -> CommandResult:
    """End a strategy; from now on the computed capacity counts again."""
    row = get_row(draft.state.strategies, command.strategy, "strategy_not_found")
    require_role(command, STRATEGY_ROLE)
    if row.state == "ended":
        raise RefusedCommand(409, "already", strategy=row.id)
    _end_strategy(draft, row, draft.now, command.author)
    schedule_review(draft)
    if (
        row.activity not in draft.bia.needs
    ):  # newer reference data dropped the activity: its strategy still frees its desks
        return {"strategy": row.id, "activity": row.activity}
    return _settle_and_answer(
        draft, get_row(draft.bia.needs, row.activity, "activity_not_found"), {"strategy": row.id}
    )


def _end_strategy(draft: ContinuityDecision, row: StrategyRow, at: Instant, by: str) -> None:
    draft.emit(
        StrategyChanged(
            row=row.model_copy(update={"state": "ended", "ended_at": at, "ended_by": by})
        )
    )


def end_strategies_of_lost_sites(draft: ContinuityDecision) -> set[str]:
    """End each strategy with a lost fallback site; return the activities that lose it.

    A site is lost if it is out, from the start of that status, or if the reference data dropped it.
    The clocks of the activities run from then. A site of unknown status keeps its strategy (D40).
    Rule D51.
    """
    lost_activities = set()
    for row in sorted(draft.state.strategies.values(), key=lambda row: row.id):
        if row.state != "active" or row.site is None:
            continue
        site_state = draft.state.sites.get(row.site)
        if site_state is not None and site_state.status in _OUT_STATUSES:
            _end_strategy(
                draft, row, min(max(site_state.since, row.started_at), draft.now), LOST_SITE_AUTHOR
            )
        elif row.site not in draft.bia.sites:
            _end_strategy(draft, row, draft.now, LOST_SITE_AUTHOR)
        else:
            continue
        lost_activities.add(row.activity)
    return lost_activities


def declare_activity(draft: ContinuityDecision, command: cmd.DeclareActivity) -> CommandResult:
    """Set or withdraw the state that a person declares.

    It overrides the computed state until it is withdrawn; both stay visible. A clock that it stops
    ends at the declared time. Rule D41.
    """
    need = get_row(draft.bia.needs, command.activity, "activity_not_found")
    require_role(command, STRATEGY_ROLE)
    declaration = draft.state.declared.get(need.id)
    if (None if declaration is None else declaration.state) is command.state:
        raise RefusedCommand(409, "already", activity=need.id)
    at = draft.now if command.occurred_at is None else min(command.occurred_at, draft.now)
    draft.emit(
        ActivityDeclared(
            activity=need.id,
            state=command.state,
            author=command.author,
            occurred_at=at,
            reason=command.reason,
        )
    )
    return _settle_and_answer(draft, need, {}, ActivityChange(back_at=at))


def _settle_and_answer(
    draft: ContinuityDecision,
    need: ActivityNeed,
    result: CommandResult,
    change: ActivityChange = NO_CHANGE,
) -> CommandResult:
    settle_activity(draft, need.id, change)
    record_changed_metrics(draft)
    row = draft.state.activities[need.id]
    return {
        "activity": need.id,
        "state": row.state.value,
        "capacity_pct": row.capacity_pct,
        **result,
    }


def declare_data_age(draft: ContinuityDecision, command: cmd.DeclareDataAge) -> CommandResult:
    """Record the age of restored data; age beyond the PDMA raises an alarm and a re-entry (D46)."""
    need = get_row(draft.bia.needs, command.activity, "activity_not_found")
    require_role(command, STRATEGY_ROLE)
    is_lost = command.age_h > need.activity.pdma_h
    if is_lost:
        row = draft.state.activities[need.id]
        alarm = AlarmRow(
            id=draft.derive(f"alarm/{need.id}//pdma", 0),
            activity=need.id,
            pole=row.pole,
            base=ClockBase.PDMA,
            pct=round(command.age_h * 100 / need.activity.pdma_h) if need.activity.pdma_h else 100,
            raised_at=draft.now,
            limit_at=draft.now,
            to=(STRATEGY_ROLE,),
            incident=row.incident,
            path=row.path[0] if row.path else (),
            demands="reentry",
        )
        attention = AttentionRequested(
            code="reentry",
            roles=alarm.to,
            pole=row.pole,
            activity=need.id,
            base="pdma",
            incident=row.incident,
        )
        draft.emit(AlarmRaised(row=alarm), attention)
    return {
        "activity": need.id,
        "age_h": command.age_h,
        "pdma_h": need.activity.pdma_h,
        "lost": is_lost,
    }


def arbitrate_alarm(draft: ContinuityDecision, command: cmd.ArbitrateAlarm) -> CommandResult:
    """Answer the arbitration that 100 % of an RTO demands; the reason is its text. Rule D44."""
    row = get_row(draft.state.alarms, command.alarm, "alarm_not_found")
    require_role(command, STRATEGY_ROLE)
    arbitration = {
        "arbitrated_at": draft.now,
        "arbitrated_by": command.author,
        "reason": require_reason(command),
    }
    draft.emit(AlarmArbitrated(row=row.model_copy(update=arbitration)))
    return {"alarm": row.id, "activity": row.activity}
