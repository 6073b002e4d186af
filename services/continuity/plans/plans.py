"""Plans: proposed when a trigger holds, until a person decides; stand-down proposed when its condition has held (D48, D49, D52).

A proposal is (plan, level, incident) once. Nothing that alerts hears of comes from here, so the loop between the two ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from schemas.alerts import AttentionRequested, TriggerRow, Why
from schemas.base import DAY_MS, MINUTE_MS, Instant
from schemas.continuity import Box, PlanChanged, PlanRow, TriggerHeard
from schemas.predicates import AllOf, AnyOf, Manual, Measured, Not, Predicate, has_box, manual
from schemas.reference import Plan
from schemas.words import ACTIVATED, SHELVED, PlanState
from services.continuity.decision import Draft
from services.continuity.plans.cards import (
    carried_cards,
    chase,
    fresh_cards,
    moved_cards,
    next_card_at,
)
from services.continuity.state import State

STAND_DOWN: Final = "stand-down"
"""A trigger `<plan>:stand-down` says whether the measured part of the plan's stand-down condition holds."""
_REFUSED_FOR_MS: Final = DAY_MS
"""D49: a refused proposal returns after this time, or at a higher level before."""
AUTO: Final = "system:plan"
"""Author of an activation that no person decided."""
DROPPED: Final = "system:reference"
"""Author of the end of a plan that new reference data no longer have."""
DECIDABLE: Final = frozenset((PlanState.PROPOSED, PlanState.POSTPONED, PlanState.REFUSED))
"""Of a life that has begun and is not decided, or was refused."""
NOT_RECOVERING: Final[dict[str, Any]] = {
    "stand_down_proposed": False,
    "stand_down_since": None,
    "stand_down_at": None,
    "resumes_partly": False,
}
_OVER: Final[dict[str, Any]] = {"proposed_level": None, "postponed_until": None, **NOT_RECOVERING}
_NOT_REFUSED: Final[dict[str, Any]] = {
    "refused_level": None,
    "refused_incident_level": None,
    "returns_at": None,
}
_RESTING: Final = SHELVED | {PlanState.LIFTED, PlanState.RETEX_CLOSED}


def key_of(plan: str) -> str:
    """Key of the deadline of a plan: a card, the end of a postponement, the hold of a stand-down."""
    return f"plan:{plan}"


def list_plans(draft: Draft, before: Mapping[str, Plan]) -> None:
    """Bring every row in line with the reference data that have just come into force, by id; `before`: the plans until then.

    A plan without a row gets one. A running one takes the new pôle, deciding role, boxes and cards; what was ticked or done stays with the words that
    it was said of. One that the data no longer have is over: nobody could see it, work on its cards or decide about it.
    """
    for plan in sorted(draft.bia.plans.values(), key=lambda p: p.id):
        row = draft.state.plans.get(plan.id)
        if row is None:
            put(
                draft,
                PlanRow(
                    id=plan.id,
                    pole=plan.pole,
                    state=plan.shelf,
                    decides=plan.decides,
                    boxes=boxes_of(plan),
                ),
                "listed",
            )
            continue
        ticked = {box.text: box for box in row.boxes}
        boxes = tuple(ticked.get(box.text, box) for box in boxes_of(plan))
        cards = carried_cards(draft.state, before.get(plan.id), plan, row, draft.now)
        state = plan.shelf if row.state in SHELVED else row.state
        changes = {
            "pole": plan.pole,
            "state": state,
            "decides": plan.decides,
            "boxes": boxes,
            "cards": cards,
        }
        if (made := row.model_copy(update=changes)) != row:
            put(draft, made, "listed")
        review_stand_down(draft, draft.state.plans[plan.id])
    for id in sorted(draft.state.plans.keys() - draft.bia.plans.keys()):
        if (row := draft.state.plans[id]).state not in _RESTING:
            put(
                draft,
                row.model_copy(
                    update={
                        "state": PlanState.LIFTED,
                        **_OVER,
                        "decided_at": draft.now,
                        "decided_by": DROPPED,
                    }
                ),
                "dropped",
            )


def follow_day(draft: Draft) -> None:
    """A notice names its day, or another one: cards of a life that has begun and that count from that day have their times by it (D50)."""
    for plan in sorted(draft.bia.plans.values(), key=lambda p: p.id):
        row = draft.state.plans[plan.id]
        if plan.card_origin is None or row.state in _RESTING:
            continue
        cards = moved_cards(draft.state, plan, row, draft.now)
        if cards != row.cards:
            put(draft, row.model_copy(update={"cards": cards}), "moved")


def put(draft: Draft, row: PlanRow, change: str) -> None:
    """Record a plan's row, chase its cards and arm its next deadline."""
    if row.state in ACTIVATED:
        row = chase(draft, row)
    draft.record(PlanChanged(row=row, change=change))
    draft.arm(key_of(row.id), _next_due(row))


def _next_due(row: PlanRow) -> Instant | None:
    instants = [row.postponed_until] if row.state is PlanState.POSTPONED else []
    instants += [row.returns_at] if row.state is PlanState.REFUSED else []
    if row.state in ACTIVATED:
        instants += [next_card_at(row), None if row.stand_down_proposed else row.stand_down_at]
    return min((at for at in instants if at is not None), default=None)


# ── triggers ───────────────────────────────────────────────────────────────────────────────────────────────────────


def on_trigger(draft: Draft, row: TriggerRow) -> None:
    """A trigger holds or was released."""
    heard = TriggerHeard(
        trigger=row.id,
        plan=row.plan,
        level=row.level,
        held=row.state == "held",
        since=row.since,
        incident=row.incident,
    )
    before = draft.state.triggers.get(row.id)
    if heard != before:
        draft.record(heard)
    if draft.state.bia is None:
        return
    plan, current = draft.bia.plans.get(row.plan), draft.state.plans.get(row.plan)
    if plan is None or current is None:
        return
    if row.id.endswith(f":{STAND_DOWN}"):
        review_stand_down(draft, current)
    elif heard.held:
        again = before is not None and before.held and before.since == heard.since
        _held(draft, plan, current, row, again=again)
    elif current.trigger_held and level_held(draft.state, row.plan) is None:
        put(draft, current.model_copy(update={"trigger_held": False}), "released")


def level_held(state: State, plan: str) -> int | None:
    """The highest level that its triggers ask for now; None: none of them holds."""
    held = (
        t.level
        for id, t in state.triggers.items()
        if t.held and t.plan == plan and not id.endswith(f":{STAND_DOWN}")
    )
    return max(held, default=None)


def _held(draft: Draft, plan: Plan, current: PlanRow, trigger: TriggerRow, *, again: bool) -> None:
    """`again`: it has held all the time, only what is known of it has changed."""
    if plan.shelf is not PlanState.VALID:  # D48: only valid plans are proposed
        return
    higher = trigger.level > current.level
    match current.state:
        case PlanState.PROPOSED | PlanState.POSTPONED if higher:
            put(draft, _proposal(draft, plan, current, trigger, first=False), "raised")
            _ask(draft, draft.state.plans[plan.id], "plan_proposed")
        case PlanState.REFUSED if (
            higher or _new_facts(current, trigger, draft.now) or _of_another(current, trigger)
        ):
            _propose(draft, plan, current, trigger)
        case state if (
            state in ACTIVATED
            and trigger.level > max(current.level, current.proposed_level or 0)
            and not again
        ):
            raised = current.model_copy(
                update={"proposed_level": trigger.level, "why": _reasons(current.why, trigger.why)}
            )
            put(draft, raised, "raised")
            _decided_by(draft, plan, raised)
        case state if state in _RESTING and (
            current.decided_at is None or trigger.since > current.decided_at
        ):
            _propose(draft, plan, current, trigger)
        case state if state not in _RESTING:
            changes = {
                "trigger_held": True,
                "incident": current.incident or trigger.incident,
                "why": _reasons(current.why, trigger.why),
            }
            known = current.model_copy(update=changes)
            if known != current:
                put(draft, known, "held")


def _new_facts(current: PlanRow, trigger: TriggerRow, now: Instant) -> bool:
    """D49: facts that the refusal did not know, and a day has passed."""
    if current.decided_at is None or now < current.decided_at + _REFUSED_FOR_MS:
        return False
    known = {report for why in current.why for report in why.reports}
    return trigger.since > current.decided_at or any(
        report not in known for why in trigger.why for report in why.reports
    )


def refused_now(draft: Draft, row: PlanRow) -> dict[str, Any]:
    """Return what a refusal keeps: the levels above which the plan returns, and when it does anyway (D49)."""
    return {
        "refused_level": draft.state.level,
        "refused_incident_level": _incident_level(draft, row),
        "returns_at": draft.now + _REFUSED_FOR_MS,
    }


def _incident_level(draft: Draft, row: PlanRow) -> int:
    heard = draft.state.incidents.get(row.incident or "")
    return 0 if heard is None else heard.level


def return_refused(draft: Draft) -> None:
    """Propose again what was refused at a lower level of the territory or of its incident, if its trigger holds (D49)."""
    if draft.state.bia is None:
        return
    for row in sorted(draft.state.plans.values(), key=lambda row: row.id):
        if row.state is not PlanState.REFUSED or row.refused_level is None:
            continue
        if draft.state.level > row.refused_level or _incident_level(draft, row) > (
            row.refused_incident_level or 0
        ):
            _return(draft, row)


def _return(draft: Draft, row: PlanRow) -> None:
    plan, level = draft.bia.plans.get(row.id), level_held(draft.state, row.id)
    kept = row.model_copy(update=_NOT_REFUSED)
    if plan is None or plan.shelf is not PlanState.VALID or level is None:
        if row.returns_at is not None and row.returns_at <= draft.now:
            put(
                draft,
                kept.model_copy(
                    update={
                        "refused_level": row.refused_level,
                        "refused_incident_level": row.refused_incident_level,
                    }
                ),
                "held",
            )
        return
    again = kept.model_copy(
        update={
            "state": PlanState.PROPOSED,
            "level": max(level, row.level),
            "proposed_at": draft.now,
            "trigger_held": True,
        }
    )
    put(draft, again, "returned")
    _decided_by(draft, plan, again)


def _of_another(current: PlanRow, trigger: TriggerRow) -> bool:
    """It began to hold after the refusal and for another incident: that is another proposal (D49)."""
    began_since = current.decided_at is not None and trigger.since > current.decided_at
    return began_since and trigger.incident is not None and trigger.incident != current.incident


def _propose(draft: Draft, plan: Plan, current: PlanRow, trigger: TriggerRow) -> None:
    """A new life of the plan begins with this proposal."""
    row = _proposal(draft, plan, current, trigger, first=True)
    put(draft, row, "proposed")
    _decided_by(draft, plan, row)


def _decided_by(draft: Draft, plan: Plan, row: PlanRow) -> None:
    """A person decides; `auto: true` needs nobody, for it has no effect outside the tool (D49)."""
    if not plan.auto:
        _ask(draft, row, "plan_proposed")
        return
    decided = {
        "decided_at": draft.now,
        "decided_by": AUTO,
        "decided_reason": None,
        "version": row.version + 1,
    }
    level = max(row.level, row.proposed_level or 0)
    put(
        draft,
        row.model_copy(
            update={"state": PlanState.ACTIVE, "level": level, "proposed_level": None, **decided}
        ),
        "activated",
    )
    review_stand_down(draft, draft.state.plans[row.id])


def _proposal(
    draft: Draft, plan: Plan, current: PlanRow, trigger: TriggerRow, *, first: bool
) -> PlanRow:
    since = trigger.since if first or current.trigger_since is None else current.trigger_since
    return PlanRow(
        id=plan.id,
        pole=plan.pole,
        state=PlanState.PROPOSED,
        level=trigger.level,
        incident=trigger.incident or (None if first else current.incident),
        proposed_at=draft.now if first else current.proposed_at,
        decides=plan.decides,
        trigger_since=since,
        trigger_held=True,
        why=trigger.why if first else _reasons(current.why, trigger.why),
        cards=fresh_cards(draft.state, plan, since),
        version=current.version,
        boxes=boxes_of(plan),
    )


def _reasons(before: tuple[Why, ...], more: tuple[Why, ...]) -> tuple[Why, ...]:
    """Return the reasons with those of which nothing was said yet; a newer value of the same predicate is no further reason."""
    known = {_predicate(why) for why in before}
    return (*before, *(why for why in more if _predicate(why) not in known))


def _predicate(why: Why) -> tuple[object, ...]:
    return why.code, why.metric, repr(sorted(why.args.items())), why.op, why.threshold


def _ask(draft: Draft, row: PlanRow, code: Literal["plan_proposed", "stand_down_proposed"]) -> None:
    roles = (
        (draft.bia.pilots(draft.state.level) or (row.decides,))
        if code == "stand_down_proposed"
        else (row.decides,)
    )
    draft.record(
        AttentionRequested(
            code=code, roles=roles, pole=row.pole, plan=row.id, incident=row.incident
        )
    )


# ── deadlines ──────────────────────────────────────────────────────────────────────────────────────────────────────


def on_deadline(draft: Draft, plan: str) -> None:
    """A card is overdue, a postponement ends, or a stand-down has held long enough."""
    row = draft.state.plans[plan]
    if (
        row.state is PlanState.POSTPONED
        and row.postponed_until is not None
        and row.postponed_until <= draft.now
    ):
        back = row.model_copy(update={"state": PlanState.PROPOSED, "postponed_until": None})
        put(draft, back, "returned")
        _ask(draft, back, "plan_proposed")
    elif row.state is PlanState.REFUSED:
        _return(draft, row)
    elif (
        row.stand_down_at is not None
        and row.stand_down_at <= draft.now
        and not row.stand_down_proposed
    ):
        put(draft, row.model_copy(update={"stand_down_proposed": True}), "stand_down_proposed")
        _ask(draft, row, "stand_down_proposed")
    else:
        put(draft, row, "card")


# ── stand-down ─────────────────────────────────────────────────────────────────────────────────────────────────────


def boxes_of(plan: Plan) -> tuple[Box, ...]:
    """The manual conditions of its stand-down, none of them ticked."""
    return tuple(Box(text=text) for text in manual(plan.stand_down.when)) if plan.stand_down else ()


def stand_down_holds(plan: Plan, row: PlanRow, state: State) -> bool:
    """D52: the measured part as alerts says, the boxes as persons ticked them. A plan without a condition: never by itself."""
    if plan.stand_down is None or plan.stand_down.when is None:
        return False
    said = state.triggers.get(f"{plan.id}:{STAND_DOWN}")
    ticked = {box.text for box in row.boxes if box.by is not None}
    return _holds(plan.stand_down.when, said is not None and said.held, ticked)


def _holds(predicate: Predicate, measured_holds: bool, ticked: set[str]) -> bool:
    """`measured_holds`: all that is measured, as one word of alerts, negations included. A territory whose boxes stand between measured parts is refused."""
    if not has_box(predicate):
        return measured_holds
    match predicate:
        case Manual(manual=text):
            return text in ticked
        case AnyOf(any=parts):
            return any(_holds(part, measured_holds, ticked) for part in parts)
        case AllOf(all=parts):
            return all(_holds(part, measured_holds, ticked) for part in parts)
        case Not(negated=part):
            return not _holds(part, measured_holds, ticked)
        case Measured():  # holds no box
            return measured_holds


def _held_since(draft: Draft, row: PlanRow) -> Instant:
    """Since when the condition holds that holds now: with boxes from now on. What held before this life of the plan began is of another crisis."""
    said = draft.state.triggers.get(f"{row.id}:{STAND_DOWN}")
    if said is None or any(box.by for box in row.boxes):
        return draft.now
    return min(max(said.since, row.trigger_since or said.since), draft.now)


def review_stand_down(draft: Draft, row: PlanRow) -> None:
    """The condition may have begun or ceased to hold: recovering while it does, proposed after `hold_min`."""
    plan = draft.bia.plans[row.id]
    if row.state not in ACTIVATED or plan.stand_down is None:
        return
    holds = stand_down_holds(plan, row, draft.state)
    if holds and row.stand_down_since is None:
        since = _held_since(draft, row)
        begun = row.model_copy(
            update={
                "state": PlanState.RECOVERING,
                "resumes_partly": row.state is PlanState.PARTLY_ACTIVE,
                "stand_down_since": since,
                "stand_down_at": since + plan.stand_down.hold_min * MINUTE_MS,
            }
        )
        put(draft, begun, "recovering")
        if begun.stand_down_at is not None and begun.stand_down_at <= draft.now:
            on_deadline(draft, row.id)
    elif not holds and row.stand_down_since is not None:
        resumed = PlanState.PARTLY_ACTIVE if row.resumes_partly else PlanState.ACTIVE
        put(draft, row.model_copy(update={"state": resumed, **NOT_RECOVERING}), "resumed")
