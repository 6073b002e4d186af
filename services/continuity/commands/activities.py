"""Decisions about activities: strategies, declared states, age of data, arbitration.

Rules D41, D44, D46, D51.
"""

from __future__ import annotations

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
from schemas.ranks import STRATEGIST
from schemas.words import ClockBase, SiteStatus
from services.continuity.activities.assessment import (
    NOTHING,
    Change,
    active_strategies,
    settle,
    tried,
)
from services.continuity.activities.capacity import assess
from services.continuity.activities.impact_analysis import Need
from services.continuity.activities.metrics import tell_metrics
from services.continuity.activities.reasons import began
from services.continuity.decision import Draft
from services.continuity.reassignment.orders import review
from services.continuity.refusal import Refused, Result, must_decide, reasoned

PLACE_LOST: Final = "system:fallback"
"""Author of the end of a strategy that lost its fallback site."""
_OUT: Final = frozenset((SiteStatus.CLOSED, SiteStatus.EVACUATED, SiteStatus.SHELTERING))


def _need(draft: Draft, activity: str) -> Need:
    need = draft.bia.needs.get(activity)
    if need is None:
        raise Refused(404, "unknown_activity", activity=activity)
    return need


def activate_strategy(draft: Draft, command: cmd.ActivateStrategy) -> Result:
    """Activate a strategy of an activity.

    Strategies follow the listed order; another order needs `force` and a reason. A fallback site
    must be sound and have enough desks. Rule D51.
    """
    need = _need(draft, command.activity)
    must_decide(command, STRATEGIST)
    listed = need.activity.strategies
    name = next((s for s in listed if s == command.strategy), None) or next(
        (s for s in listed if s.split(":")[0] == command.strategy), None
    )
    if name is None:
        raise Refused(404, "unknown_strategy", activity=need.id, strategy=command.strategy)
    active = active_strategies(draft.state, need.id)
    spent = tried(draft.state, need.id, began(assess(draft.state, need, draft.now), draft.now))
    if any(s.strategy == name for s in active):
        raise Refused(409, "already", activity=need.id, strategy=name)
    skipped = next((s for s in listed[: listed.index(name)] if s not in spent), None)
    if skipped is not None:
        if not command.force:
            raise Refused(409, "strategy_order", activity=need.id, strategy=name, first=skipped)
        reasoned(command)
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
    draft.record(StrategyChanged(row=row))
    review(draft)  # the desks that it holds are taken now
    return _settled(draft, need, {"strategy": row.id, "name": name})


def _check_fallback(draft: Draft, site: str, desks: int | None) -> None:
    """Refuse a fallback site that is lost, exposed or full.

    It must not be out or of unknown status, not exposed during a flood, and must have free desks as
    a host, those of reassigned agents deducted. Rule D51.
    """
    place, state = draft.bia.sites.get(site), draft.state
    if place is None:
        raise Refused(404, "unknown_site", site=site)
    heard = state.sites.get(site)
    if heard is not None and (heard.status in _OUT or heard.status is SiteStatus.UNKNOWN):
        raise Refused(409, "fallback_out", site=site, site_status=heard.status.value)
    if place.flood_exposure != "non" and any(
        i.open and i.kind == "flood" for i in state.incidents.values()
    ):
        raise Refused(409, "fallback_exposed", site=site, exposure=place.flood_exposure)
    taken = sum(
        s.desks or 0 for s in state.strategies.values() if s.state == "active" and s.site == site
    )
    taken += sum(row.count for row in state.moved.values() if row.place == site != row.site)
    if taken + (desks or 0) > place.places:
        raise Refused(409, "fallback_full", site=site, desks=place.places, taken=taken)


def end_strategy(draft: Draft, command: cmd.EndStrategy) -> Result:
    """End a strategy; from now on the computed capacity counts again."""
    row = draft.state.strategies.get(command.strategy)
    if row is None:
        raise Refused(404, "unknown_strategy", strategy=command.strategy)
    must_decide(command, STRATEGIST)
    if row.state == "ended":
        raise Refused(409, "already", strategy=row.id)
    _end(draft, row, draft.now, command.author)
    review(draft)
    if (
        row.activity not in draft.bia.needs
    ):  # newer reference data dropped the activity: its strategy still frees its desks
        return {"strategy": row.id, "activity": row.activity}
    return _settled(draft, _need(draft, row.activity), {"strategy": row.id})


def _end(draft: Draft, row: StrategyRow, at: Instant, by: str) -> None:
    draft.record(
        StrategyChanged(
            row=row.model_copy(update={"state": "ended", "ended_at": at, "ended_by": by})
        )
    )


def end_lost(draft: Draft) -> set[str]:
    """End each strategy with a lost fallback site; return the activities that lose it.

    A site is lost if it is out, from the start of that status, or if the reference data dropped it.
    The clocks of the activities run from then. A site of unknown status keeps its strategy (D40).
    Rule D51.
    """
    lost = set()
    for row in sorted(draft.state.strategies.values(), key=lambda row: row.id):
        if row.state != "active" or row.site is None:
            continue
        heard = draft.state.sites.get(row.site)
        if heard is not None and heard.status in _OUT:
            _end(draft, row, min(max(heard.since, row.started_at), draft.now), PLACE_LOST)
        elif row.site not in draft.bia.sites:
            _end(draft, row, draft.now, PLACE_LOST)
        else:
            continue
        lost.add(row.activity)
    return lost


def declare_activity(draft: Draft, command: cmd.DeclareActivity) -> Result:
    """Set or withdraw the state that a person declares.

    It overrides the computed state until it is withdrawn; both stay visible. A clock that it stops
    ends at the declared time. Rule D41.
    """
    need = _need(draft, command.activity)
    must_decide(command, STRATEGIST)
    said = draft.state.declared.get(need.id)
    if (None if said is None else said.state) is command.state:
        raise Refused(409, "already", activity=need.id)
    at = draft.now if command.occurred_at is None else min(command.occurred_at, draft.now)
    draft.record(
        ActivityDeclared(
            activity=need.id,
            state=command.state,
            author=command.author,
            occurred_at=at,
            reason=command.reason,
        )
    )
    return _settled(draft, need, {}, Change(back_at=at))


def _settled(draft: Draft, need: Need, result: Result, change: Change = NOTHING) -> Result:
    settle(draft, need.id, change)
    tell_metrics(draft)
    row = draft.state.activities[need.id]
    return {
        "activity": need.id,
        "state": row.state.value,
        "capacity_pct": row.capacity_pct,
        **result,
    }


def declare_data_age(draft: Draft, command: cmd.DeclareDataAge) -> Result:
    """Record the age of restored data; age beyond the PDMA raises an alarm and a re-entry (D46)."""
    need = _need(draft, command.activity)
    must_decide(command, STRATEGIST)
    lost = command.age_h > need.activity.pdma_h
    if lost:
        row = draft.state.activities[need.id]
        alarm = AlarmRow(
            id=draft.derive(f"alarm/{need.id}//pdma", 0),
            activity=need.id,
            pole=row.pole,
            base=ClockBase.PDMA,
            pct=round(command.age_h * 100 / need.activity.pdma_h) if need.activity.pdma_h else 100,
            raised_at=draft.now,
            limit_at=draft.now,
            to=(STRATEGIST,),
            incident=row.incident,
            path=row.path[0] if row.path else (),
            demands="reentry",
        )
        asked = AttentionRequested(
            code="reentry",
            roles=alarm.to,
            pole=row.pole,
            activity=need.id,
            base="pdma",
            incident=row.incident,
        )
        draft.record(AlarmRaised(row=alarm), asked)
    return {
        "activity": need.id,
        "age_h": command.age_h,
        "pdma_h": need.activity.pdma_h,
        "lost": lost,
    }


def arbitrate_alarm(draft: Draft, command: cmd.ArbitrateAlarm) -> Result:
    """Answer the arbitration that 100 % of an RTO demands; the reason is its text. Rule D44."""
    row = draft.state.alarms.get(command.alarm)
    if row is None:
        raise Refused(404, "unknown_alarm", alarm=command.alarm)
    must_decide(command, STRATEGIST)
    answered = {
        "arbitrated_at": draft.now,
        "arbitrated_by": command.author,
        "reason": reasoned(command),
    }
    draft.record(AlarmArbitrated(row=row.model_copy(update=answered)))
    return {"alarm": row.id, "activity": row.activity}
