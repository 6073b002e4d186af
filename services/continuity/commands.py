"""Decisions of people about plans, cards, strategies and activities (D41, D44, D46, D49–D52).

Each function records what the decision changes and ends with `CommandApplied`, or raises `Refused`: the decider's own refusal with
HTTP status, a stable code and values for the sentence. A refused command changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from schemas import commands as cmd
from schemas.alerts import AttentionRequested
from schemas.base import Command
from schemas.continuity import (
    ActivityDeclared,
    AlarmArbitrated,
    AlarmRaised,
    AlarmRow,
    CardRow,
    PlanRow,
    StrategyChanged,
    StrategyRow,
)
from schemas.ranks import may_act, may_decide
from schemas.runtime import CommandApplied, CommandRefused
from schemas.words import CardState, ClockBase, PlanState, SiteStatus
from services.continuity.activities import active_strategies, settle
from services.continuity.bia import Need
from services.continuity.cards import find_card, fresh_cards, is_open, with_card
from services.continuity.metrics import tell_metrics
from services.continuity.plans import ACTIVE, put, review_stand_down, stand_down_holds
from services.continuity.state import Draft

Scalar = str | int | float | bool | None
Result = dict[str, Scalar]
STRATEGIST: Final = "directeur_pole"
"""D51: strategies and declared states belong to this role or above."""
_ARBITER: Final = "directeur_pole"
_OUT: Final = frozenset((SiteStatus.CLOSED, SiteStatus.EVACUATED, SiteStatus.SHELTERING))
_REENTRY_ROLE: Final = "directeur_pole"


class Refused(Exception):
    """A decision that cannot be taken as asked."""

    def __init__(self, status: Literal[403, 404, 409, 412], code: str, **values: Scalar) -> None:
        super().__init__(code)
        self.status: Literal[403, 404, 409, 412] = status
        self.code, self.values = code, values


# ── checks ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _plan(draft: Draft, id: str, expected: int | None = None) -> PlanRow:
    row = draft.state.plans.get(id)
    if row is None or id not in draft.bia.plans:
        raise Refused(404, "unknown_plan", plan=id)
    if expected is not None and expected != row.version:
        raise Refused(412, "version_mismatch", expected=expected, version=row.version)
    return row


def _decider(command: Command, needed: str) -> None:
    if not may_decide(command.role, needed):
        raise Refused(403, "role_too_low", role=command.role, needed=needed)


def _reasoned(command: Command) -> str:
    if not command.reason:
        raise Refused(409, "reason_needed")
    return command.reason


def _decided(draft: Draft, row: PlanRow, command: Command, **changes: Any) -> PlanRow:
    """The row after a decision; counts it (If-Match)."""
    decided = {"decided_at": draft.now, "decided_by": command.author, "decided_reason": command.reason, "version": row.version + 1}
    return row.model_copy(update=decided | changes)


def _about(row: PlanRow) -> Result:
    return {"plan": row.id, "state": row.state.value, "level": row.level, "version": row.version}


# ── plans ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def activate_plan(draft: Draft, command: cmd.ActivatePlan) -> Result:
    """D49. Also a plan that nothing proposed, and a higher level of an active one. Cards count from the trigger, not from now (D50)."""
    row = _plan(draft, command.plan, command.expected)
    plan = draft.bia.plans[row.id]
    _decider(command, row.decides)
    asked = max(row.level, row.proposed_level or 0)
    level = asked if command.level is None else int(command.level)
    if row.state in ACTIVE and level <= row.level:
        raise Refused(409, "already", plan=row.id, level=row.level)
    since = (
        row.trigger_since if row.trigger_since is not None and row.state not in (PlanState.LIFTED, PlanState.RETEX_CLOSED) else draft.now
    )
    cards = row.cards if row.state in ACTIVE else fresh_cards(draft.state, plan, since)
    active = _decided(
        draft, row, command, state=PlanState.PARTLY_ACTIVE if level < asked else PlanState.ACTIVE, level=level,
        proposed_level=asked if level < asked else None, incident=command.incident or row.incident, trigger_since=since, cards=cards,
        postponed_until=None, stand_down_since=None, stand_down_at=None, stand_down_proposed=False,
    )  # fmt: skip
    put(draft, active, "activated")
    review_stand_down(draft, draft.state.plans[row.id])
    return _about(draft.state.plans[row.id])


def refuse_plan(draft: Draft, command: cmd.RefusePlan) -> Result:
    """D49. With a reason. Of an active plan: refuses the higher level that is proposed."""
    row = _plan(draft, command.plan, command.expected)
    _decider(command, row.decides)
    reason_given = _reasoned(command)
    if row.state in ACTIVE and row.proposed_level is not None:
        refused = _decided(draft, row, command, proposed_level=None, state=PlanState.ACTIVE, decided_at=row.decided_at)
    elif row.state in (PlanState.PROPOSED, PlanState.POSTPONED):
        refused = _decided(draft, row, command, state=PlanState.REFUSED, postponed_until=None, decided_reason=reason_given)
    else:
        raise Refused(409, "not_proposed", plan=row.id, state=row.state.value)
    put(draft, refused, "refused")
    return _about(refused)


def postpone_plan(draft: Draft, command: cmd.PostponePlan) -> Result:
    """D49. With a reason; the proposal returns at `until`, or at a higher level before."""
    row = _plan(draft, command.plan, command.expected)
    _decider(command, row.decides)
    _reasoned(command)
    if row.state not in (PlanState.PROPOSED, PlanState.POSTPONED):
        raise Refused(409, "not_proposed", plan=row.id, state=row.state.value)
    if command.until <= draft.now:
        raise Refused(409, "until_past", until=command.until)
    postponed = _decided(draft, row, command, state=PlanState.POSTPONED, postponed_until=command.until)
    put(draft, postponed, "postponed")
    return _about(postponed)


def stand_down_plan(draft: Draft, command: cmd.StandDownPlan) -> Result:
    """D52. By a pilot of the level, or whoever may decide the plan; before its condition has held only with `force` and a reason."""
    row = _plan(draft, command.plan, command.expected)
    plan = draft.bia.plans[row.id]
    if command.role not in draft.bia.pilots(draft.state.level):
        _decider(command, row.decides)
    if row.state not in ACTIVE:
        raise Refused(409, "not_active", plan=row.id, state=row.state.value)
    if plan.stand_down is not None and not row.stand_down_proposed:
        if not command.force:
            raise Refused(409, "stand_down_not_held", plan=row.id, holds=stand_down_holds(plan, row, draft.state), at=row.stand_down_at)
        _reasoned(command)
    lifted = _decided(
        draft,
        row,
        command,
        state=PlanState.LIFTED,
        proposed_level=None,
        stand_down_proposed=False,
        stand_down_since=None,
        stand_down_at=None,
    )
    put(draft, lifted, "stood_down")
    return _about(lifted)


def tick_box(draft: Draft, command: cmd.TickBox) -> Result:
    """D52: a named person's word about a manual condition."""
    row = _plan(draft, command.plan)
    _decider(command, row.decides)
    if command.box >= len(row.boxes):
        raise Refused(404, "unknown_box", plan=row.id, box=command.box)
    by, at = (command.author, draft.now) if command.ticked else (None, None)
    boxes = tuple(box.model_copy(update={"by": by, "at": at}) if n == command.box else box for n, box in enumerate(row.boxes))
    put(draft, row.model_copy(update={"boxes": boxes}), "box")
    review_stand_down(draft, draft.state.plans[row.id])
    return {**_about(draft.state.plans[row.id]), "box": command.box, "ticked": command.ticked}


# ── cards ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _card(draft: Draft, command: cmd.StartCard | cmd.CompleteCard | cmd.SkipCard, state: CardState, reason: str | None = None) -> Result:
    row = _plan(draft, command.plan)
    card = find_card(row, command.card)
    if card is None:
        raise Refused(404, "unknown_card", plan=row.id, card=command.card)
    if not may_act(command.role):
        raise Refused(403, "not_allowed", role=command.role)
    if row.state not in ACTIVE:
        raise Refused(409, "not_active", plan=row.id, state=row.state.value)
    if card.state is state or not is_open(card):
        raise Refused(409, "already", card=card.id, state=card.state.value)
    overdue = card.overdue and state is CardState.DOING
    done: CardRow = card.model_copy(update={"state": state, "by": command.author, "at": draft.now, "overdue": overdue, "reason": reason})
    put(draft, with_card(row, done), "card")
    return {"plan": row.id, "card": card.id, "state": state.value, "late_ms": max(draft.now - card.due_at, 0)}


def start_card(draft: Draft, command: cmd.StartCard) -> Result:
    """Somebody is on it; it may still become overdue."""
    return _card(draft, command, CardState.DOING)


def complete_card(draft: Draft, command: cmd.CompleteCard) -> Result:
    """Done, early or late."""
    return _card(draft, command, CardState.DONE)


def skip_card(draft: Draft, command: cmd.SkipCard) -> Result:
    """Not applicable, with a reason."""
    return _card(draft, command, CardState.NOT_APPLICABLE, _reasoned(command))


# ── activities ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _need(draft: Draft, activity: str) -> Need:
    need = draft.bia.needs.get(activity)
    if need is None:
        raise Refused(404, "unknown_activity", activity=activity)
    return need


def activate_strategy(draft: Draft, command: cmd.ActivateStrategy) -> Result:
    """D51: in the order listed, or with `force` and a reason; a fallback site must be sound and have the places."""
    need = _need(draft, command.activity)
    _decider(command, STRATEGIST)
    listed = need.activity.strategies
    name = next((s for s in listed if s == command.strategy), None) or next(
        (s for s in listed if s.split(":")[0] == command.strategy), None
    )
    if name is None:
        raise Refused(404, "unknown_strategy", activity=need.id, strategy=command.strategy)
    active = active_strategies(draft.state, need.id)
    tried = {s.strategy for s in draft.state.strategies.values() if s.activity == need.id}
    if any(s.strategy == name for s in active):
        raise Refused(409, "already", activity=need.id, strategy=name)
    skipped = next((s for s in listed[: listed.index(name)] if s not in tried), None)
    if skipped is not None:
        if not command.force:
            raise Refused(409, "strategy_order", activity=need.id, strategy=name, first=skipped)
        _reasoned(command)
    if command.site is not None:
        _check_fallback(draft, command.site, command.desks)
    number = 1 + sum(s.activity == need.id for s in draft.state.strategies.values())
    row = StrategyRow(
        id=f"{need.id}/{number}", activity=need.id, strategy=name, state="active", expected_capacity_pct=command.expected_capacity_pct,
        site=command.site, desks=command.desks, started_at=draft.now, started_by=command.author, reason=command.reason,
    )  # fmt: skip
    draft.record(StrategyChanged(row=row))
    return _settled(draft, need, {"strategy": row.id, "name": name})


def _check_fallback(draft: Draft, site: str, desks: int | None) -> None:
    """D51: never an out or unknown site, in a flood never an exposed one, never above the declared desks."""
    place, state = draft.bia.sites.get(site), draft.state
    if place is None:
        raise Refused(404, "unknown_site", site=site)
    heard = state.sites.get(site)
    if heard is not None and (heard.status in _OUT or heard.status is SiteStatus.UNKNOWN):
        raise Refused(409, "fallback_out", site=site, site_status=heard.status.value)
    if place.flood_exposure != "non" and any(i.open and i.kind == "flood" for i in state.incidents.values()):
        raise Refused(409, "fallback_exposed", site=site, exposure=place.flood_exposure)
    taken = sum(s.desks or 0 for s in state.strategies.values() if s.state == "active" and s.site == site)
    if taken + (desks or 0) > place.desks:
        raise Refused(409, "fallback_full", site=site, desks=place.desks, taken=taken)


def end_strategy(draft: Draft, command: cmd.EndStrategy) -> Result:
    """The strategy is over; without it the computed capacity counts again, from now."""
    row = draft.state.strategies.get(command.strategy)
    if row is None:
        raise Refused(404, "unknown_strategy", strategy=command.strategy)
    need = _need(draft, row.activity)
    _decider(command, STRATEGIST)
    if row.state == "ended":
        raise Refused(409, "already", strategy=row.id)
    draft.record(StrategyChanged(row=row.model_copy(update={"state": "ended", "ended_at": draft.now, "ended_by": command.author})))
    return _settled(draft, need, {"strategy": row.id})


def declare_activity(draft: Draft, command: cmd.DeclareActivity) -> Result:
    """D41: a named person's word wins over the computed state until it is withdrawn; both stay visible."""
    need = _need(draft, command.activity)
    _decider(command, STRATEGIST)
    said = draft.state.declared.get(need.id)
    if (None if said is None else said.state) is command.state:
        raise Refused(409, "already", activity=need.id)
    at = draft.now if command.occurred_at is None else min(command.occurred_at, draft.now)
    draft.record(ActivityDeclared(activity=need.id, state=command.state, author=command.author, occurred_at=at))
    return _settled(draft, need, {})


def _settled(draft: Draft, need: Need, result: Result) -> Result:
    settle(draft, need.id)
    tell_metrics(draft)
    row = draft.state.activities[need.id]
    return {"activity": need.id, "state": row.state.value, "capacity_pct": row.capacity_pct, **result}


def declare_data_age(draft: Draft, command: cmd.DeclareDataAge) -> Result:
    """D46: older data than the PDMA allows raise an alarm and ask for their re-entry."""
    need = _need(draft, command.activity)
    _decider(command, STRATEGIST)
    lost = command.age_h > need.activity.pdma_h
    if lost:
        row = draft.state.activities[need.id]
        alarm = AlarmRow(
            id=draft.derive(f"alarm/{need.id}//pdma", 0), activity=need.id, pole=row.pole, base=ClockBase.PDMA,
            pct=round(command.age_h * 100 / need.activity.pdma_h) if need.activity.pdma_h else 100, raised_at=draft.now, limit_at=draft.now,
            to=(_REENTRY_ROLE,), incident=row.incident, path=row.path[0] if row.path else (), demands="reentry",
        )  # fmt: skip
        asked = AttentionRequested(code="reentry", roles=alarm.to, pole=row.pole, activity=need.id, base="pdma", incident=row.incident)
        draft.record(AlarmRaised(row=alarm), asked)
    return {"activity": need.id, "age_h": command.age_h, "pdma_h": need.activity.pdma_h, "lost": lost}


def arbitrate_alarm(draft: Draft, command: cmd.ArbitrateAlarm) -> Result:
    """D44: the line that 100 % of an RTO demands; its text is the reason."""
    row = draft.state.alarms.get(command.alarm)
    if row is None:
        raise Refused(404, "unknown_alarm", alarm=command.alarm)
    _decider(command, _ARBITER)
    answered = {"arbitrated_at": draft.now, "arbitrated_by": command.author, "reason": _reasoned(command)}
    draft.record(AlarmArbitrated(row=row.model_copy(update=answered)))
    return {"alarm": row.id, "activity": row.activity}


HANDLERS: Final[Mapping[type[Command], Callable[[Draft, Any], Result]]] = {
    cmd.ActivatePlan: activate_plan, cmd.RefusePlan: refuse_plan, cmd.PostponePlan: postpone_plan, cmd.StandDownPlan: stand_down_plan,
    cmd.TickBox: tick_box, cmd.StartCard: start_card, cmd.CompleteCard: complete_card, cmd.SkipCard: skip_card,
    cmd.ActivateStrategy: activate_strategy, cmd.EndStrategy: end_strategy, cmd.DeclareActivity: declare_activity,
    cmd.DeclareDataAge: declare_data_age, cmd.ArbitrateAlarm: arbitrate_alarm,
}  # fmt: skip
"""Every command that continuity takes."""


def carry_out(draft: Draft, command: Command, id: str) -> None:
    """Record the decision and its answer. A refusal leaves only the answer, with the draft as it was."""
    facts, state = len(draft.facts), draft.state
    name = type(command).__name__
    try:
        if draft.state.bia is None:
            raise Refused(409, "no_reference")
        result = HANDLERS[type(command)](draft, command)
    except Refused as no:
        draft.withdraw(facts, state)
        draft.record(CommandRefused(command_id=id, command=name, status=no.status, code=no.code, values=no.values))
        return
    draft.record(CommandApplied(command_id=id, command=name, result=result))
