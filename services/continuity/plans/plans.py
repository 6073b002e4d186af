"""Propose plans when a trigger holds, and their stand-down when its condition has held.

A proposal is (plan, level, incident) once. Alerts reads nothing that is decided here, so the loop
between the two services ends. Rules D48, D49, D52.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from schemas.alerts import AttentionRequested, TriggerRow, Why
from schemas.base import DAY_MS, MINUTE_MS, Instant
from schemas.continuity import Box, PlanChanged, PlanRow, TriggerHeard
from schemas.predicates import AllOf, AnyOf, Manual, Measured, Not, Predicate, has_box, list_boxes
from schemas.reference import Plan
from schemas.words import ACTIVE_PLAN_STATES, LIBRARY_STATES, PlanState
from services.continuity.deadlines import PlanDue
from services.continuity.decision import DROPPED_AUTHOR, ContinuityDecision
from services.continuity.plans.cards import (
    add_return_cards,
    build_cards,
    carry_over_cards,
    find_next_card_deadline,
    mark_overdue_cards,
    reschedule_cards,
    rest_return_cards,
    settle_cards,
)
from services.continuity.plans.site_cards import (
    inform_owners_of_end,
    open_site_cards,
    schedule_opening,
    schedule_overdue_reminders,
)
from services.continuity.state import ContinuityState, find_incident, get_standing_incident

STAND_DOWN_SUFFIX: Final = "stand-down"
"""Trigger suffix: `<plan>:stand-down` holds if the measured part of the condition holds."""
_REFUSED_FOR_MS: Final = DAY_MS
"""A refused proposal returns after this time, or at a higher level before. Rule D49."""
AUTO_AUTHOR: Final = "system:plan"
"""Author of an activation without a person."""
DECIDABLE_STATES: Final = frozenset((PlanState.PROPOSED, PlanState.POSTPONED, PlanState.REFUSED))
"""States of a proposal without a final decision."""
RECOVERY_CLEARED: Final[dict[str, Any]] = {
    "stand_down_proposed": False,
    "stand_down_since": None,
    "stand_down_at": None,
    "resumes_partly": False,
}
_LIFE_CLEARED: Final[dict[str, Any]] = {
    "proposed_level": None,
    "postponed_until": None,
    **RECOVERY_CLEARED,
}
REFUSAL_CLEARED: Final[dict[str, Any]] = {
    "refused_level": None,
    "refused_incident_level": None,
    "returns_at": None,
}
_INACTIVE_STATES: Final = LIBRARY_STATES | {PlanState.LIFTED, PlanState.RETEX_CLOSED}


def update_plans(draft: ContinuityDecision, before: Mapping[str, Plan]) -> None:
    """Bring every plan row in line with the new reference data, by id.

    `before` are the plans until now. A plan without a row gets one. A running one takes the new
    pôle, deciding role, boxes and cards; ticks and progress stay with the texts that they belong
    to. A plan that the data dropped is over, because nobody could see it or act on it.
    """
    for plan in sorted(draft.bia.plans.values(), key=lambda p: p.id):
        row = draft.state.plans.get(plan.id)
        if row is None:
            record_plan(
                draft,
                PlanRow(
                    id=plan.id,
                    pole=plan.pole,
                    state=plan.shelf,
                    decides=plan.decides,
                    boxes=build_boxes(plan),
                ),
                "listed",
            )
            continue
        ticks = {box.text: box for box in row.boxes}
        boxes = tuple(ticks.get(box.text, box) for box in build_boxes(plan))
        cards = carry_over_cards(draft.state, before.get(plan.id), plan, row, draft.now)
        state = plan.shelf if row.state in LIBRARY_STATES else row.state
        changes = {
            "pole": plan.pole,
            "state": state,
            "decides": plan.decides,
            "boxes": boxes,
            "cards": cards,
        }
        if (new_row := row.model_copy(update=changes)) != row:
            record_plan(draft, new_row, "listed")
        schedule_opening(draft, draft.state.plans[plan.id])
        review_stand_down(draft, draft.state.plans[plan.id])
    for id in sorted(draft.state.plans.keys() - draft.bia.plans.keys()):
        if (row := draft.state.plans[id]).state not in _INACTIVE_STATES:
            _drop_plan(draft, row)


def _drop_plan(draft: ContinuityDecision, row: PlanRow) -> None:
    """End a plan that the data dropped, and tell the role that decides it and the card owners."""
    if row.state in ACTIVE_PLAN_STATES:
        inform_owners_of_end(draft, row)
    changes = {"decided_at": draft.now, "decided_by": DROPPED_AUTHOR}
    lifted_row = row.model_copy(update={"state": PlanState.LIFTED, **_LIFE_CLEARED, **changes})
    record_plan(draft, lifted_row, "dropped")
    if row.state is not PlanState.REFUSED:
        demand_plan_attention(draft, row, "plan_dropped")


def reschedule_strike_cards(draft: ContinuityDecision) -> None:
    """Move the times of cards that count from the day that a strike notice names (D50)."""
    for plan in sorted(draft.bia.plans.values(), key=lambda p: p.id):
        row = draft.state.plans[plan.id]
        if plan.card_origin is None or row.state in _INACTIVE_STATES:
            continue
        cards = reschedule_cards(draft.state, plan, row, draft.now)
        if cards != row.cards:
            record_plan(draft, row.model_copy(update={"cards": cards}), "moved")


def record_plan(draft: ContinuityDecision, row: PlanRow, change: str) -> None:
    """Record a plan's row, mark its overdue cards and set its next deadline."""
    if row.state in ACTIVE_PLAN_STATES:
        if row.id in draft.bia.plans:
            row = settle_cards(draft, row)
        row = mark_overdue_cards(draft, row)
    draft.emit(PlanChanged(row=row, change=change))
    schedule_plan(draft, row)


def schedule_plan(draft: ContinuityDecision, row: PlanRow) -> None:
    """Set the next deadline of a plan, and the messages about its site cards."""
    draft.arm(PlanDue(row.id), _compute_next_due(draft, row))
    if row.state in ACTIVE_PLAN_STATES and row.id in draft.state.site_cards:
        schedule_overdue_reminders(draft, row)


def on_opening_due(draft: ContinuityDecision, plan: str) -> None:
    """Open the next site cards of an active plan. Rule D84."""
    row = draft.state.plans.get(plan)
    if row is None or row.state not in ACTIVE_PLAN_STATES or plan not in draft.bia.plans:
        return
    review_cards(draft, row, open_site_cards(draft, row))


def review_cards(draft: ContinuityDecision, before: PlanRow, row: PlanRow) -> None:
    """Record a plan with the cards of `row`, if these or their deadlines change it."""
    opened_row = settle_cards(draft, row)
    settled_row = mark_overdue_cards(draft, opened_row)
    if settled_row != before:
        change = "card" if settled_row != opened_row else "cards_settled"
        if _count_site_cards(settled_row) > _count_site_cards(before):
            change = "cards_opened"
        draft.emit(PlanChanged(row=settled_row, change=change))
    schedule_plan(draft, settled_row)


def _count_site_cards(row: PlanRow) -> int:
    return sum(card.sites or 0 for card in row.cards)


def _compute_next_due(draft: ContinuityDecision, row: PlanRow) -> Instant | None:
    instants = [row.postponed_until] if row.state is PlanState.POSTPONED else []
    instants += [row.returns_at] if row.state is PlanState.REFUSED else []
    if row.state in ACTIVE_PLAN_STATES:
        instants += [
            row.returns_at,
            find_next_card_deadline(draft.state, row, draft.now),
            None if row.stand_down_proposed else row.stand_down_at,
        ]
    return min((at for at in instants if at is not None), default=None)


def on_trigger(draft: ContinuityDecision, row: TriggerRow) -> None:
    """Apply a trigger that holds or was released."""
    trigger_state = TriggerHeard(
        trigger=row.id,
        plan=row.plan,
        level=row.level,
        held=row.state == "held",
        since=row.since,
        incident=row.incident,
    )
    before = draft.state.triggers.get(row.id)
    if trigger_state != before:
        draft.emit(trigger_state)
    if draft.state.bia is None:
        return
    plan, current = draft.bia.plans.get(row.plan), draft.state.plans.get(row.plan)
    if plan is None or current is None:
        return
    if row.id.endswith(f":{STAND_DOWN_SUFFIX}"):
        review_stand_down(draft, current)
    elif trigger_state.held:
        is_repeated = before is not None and before.held and before.since == trigger_state.since
        _apply_held_trigger(draft, plan, current, row, is_repeated=is_repeated)
    elif current.trigger_held and find_held_level(draft.state, row.plan) is None:
        record_plan(draft, current.model_copy(update={"trigger_held": False}), "released")


def find_held_level(state: ContinuityState, plan: str) -> int | None:
    """Return the highest level that held triggers ask for; None: no trigger holds."""
    levels = (
        t.level
        for id, t in state.triggers.items()
        if t.held and t.plan == plan and not id.endswith(f":{STAND_DOWN_SUFFIX}")
    )
    return max(levels, default=None)


def _apply_held_trigger(
    draft: ContinuityDecision,
    plan: Plan,
    current: PlanRow,
    trigger: TriggerRow,
    *,
    is_repeated: bool,
) -> None:
    """Apply a trigger that holds; `is_repeated`: it held before, and only its details changed."""
    if plan.shelf is not PlanState.VALID:  # D48: only valid plans are proposed
        return
    higher = trigger.level > current.level
    match current.state:
        case PlanState.PROPOSED | PlanState.POSTPONED if higher and not _began_anew(
            draft.state, current, trigger
        ):
            record_plan(
                draft, _build_proposal(draft, plan, current, trigger, first=False), "raised"
            )
            demand_plan_attention(draft, draft.state.plans[plan.id], "plan_proposed")
        case PlanState.PROPOSED | PlanState.POSTPONED if _began_anew(draft.state, current, trigger):
            _propose_plan(draft, plan, current, trigger)
        case PlanState.REFUSED if (
            higher
            or _is_above_refusal(draft, current)
            or _has_new_facts(current, trigger, draft.now)
            or _is_other_incident(draft.state, current, trigger)
        ):
            _propose_plan(draft, plan, current, trigger)
        case state if (
            state in ACTIVE_PLAN_STATES
            and trigger.level > max(current.level, current.proposed_level or 0)
            and not is_repeated
        ):
            raised_row = current.model_copy(
                update={
                    **REFUSAL_CLEARED,
                    "proposed_level": trigger.level,
                    "trigger_held": True,
                    "incident": current.incident or trigger.incident,
                    "why": _merge_reasons(current.why, trigger.why),
                }
            )
            record_plan(draft, raised_row, "raised")
            _demand_decision(draft, plan, raised_row)
        case state if state in _INACTIVE_STATES and (
            current.decided_at is None or trigger.since > current.decided_at
        ):
            _propose_plan(draft, plan, current, trigger)
        case state if state not in _INACTIVE_STATES:
            changes = {
                "trigger_held": True,
                "incident": current.incident or trigger.incident,
                "why": _merge_reasons(current.why, trigger.why),
            }
            updated_plan = current.model_copy(update=changes)
            if updated_plan != current:
                record_plan(draft, updated_plan, "held")


def _has_new_facts(current: PlanRow, trigger: TriggerRow, now: Instant) -> bool:
    """Check for facts unknown at the refusal, at least a day after it. Rule D49."""
    if current.decided_at is None or now < current.decided_at + _REFUSED_FOR_MS:
        return False
    earlier_reports = {report for why in current.why for report in why.reports}
    return trigger.since > current.decided_at or any(
        report not in earlier_reports for why in trigger.why for report in why.reports
    )


def build_refusal(draft: ContinuityDecision, row: PlanRow) -> dict[str, Any]:
    """Return the fields of a refusal: its levels, and the time of its return (D49)."""
    return {
        "refused_level": draft.state.level,
        "refused_incident_level": _get_incident_level(draft, row),
        "returns_at": draft.now + _REFUSED_FOR_MS,
    }


def _get_incident_level(draft: ContinuityDecision, row: PlanRow) -> int:
    incident_state = find_incident(draft.state, row.incident)
    return 0 if incident_state is None else incident_state.level


def _is_above_refusal(draft: ContinuityDecision, row: PlanRow) -> bool:
    """Return whether the level of the territory or incident is above that of the refusal."""
    return row.refused_level is not None and (
        draft.state.level > row.refused_level
        or _get_incident_level(draft, row) > (row.refused_incident_level or 0)
    )


def return_refused_plans(draft: ContinuityDecision) -> None:
    """Propose refused plans and levels again after the territory or incident rose. Rule D49.

    The trigger must hold.
    """
    if draft.state.bia is None:
        return
    for row in sorted(draft.state.plans.values(), key=lambda row: row.id):
        if not _is_above_refusal(draft, row):
            continue
        if row.state is PlanState.REFUSED:
            _return_plan(draft, row)
        elif row.state in ACTIVE_PLAN_STATES:
            _return_level(draft, row)


def _return_level(draft: ContinuityDecision, row: PlanRow) -> None:
    """Propose the refused higher level of an active plan again, if its trigger holds."""
    plan, level = draft.bia.plans.get(row.id), find_held_level(draft.state, row.id)
    cleared_plan = row.model_copy(update=REFUSAL_CLEARED)
    if plan is None or level is None or level <= row.level:
        if row.returns_at is not None and row.returns_at <= draft.now:
            record_plan(draft, cleared_plan, "held")
        return
    returned_row = cleared_plan.model_copy(update={"proposed_level": level})
    record_plan(draft, returned_row, "returned")
    _demand_decision(draft, plan, returned_row)


def _return_plan(draft: ContinuityDecision, row: PlanRow) -> None:
    """Propose a refused plan again, at the level for which a trigger holds now. Rule D49."""
    plan, level = draft.bia.plans.get(row.id), find_held_level(draft.state, row.id)
    cleared_plan = row.model_copy(update=REFUSAL_CLEARED)
    if plan is None or plan.shelf is not PlanState.VALID or level is None:
        if row.returns_at is not None and row.returns_at <= draft.now:
            record_plan(
                draft,
                cleared_plan.model_copy(
                    update={
                        "refused_level": row.refused_level,
                        "refused_incident_level": row.refused_incident_level,
                    }
                ),
                "held",
            )
        return
    returned_row = cleared_plan.model_copy(
        update={
            "state": PlanState.PROPOSED,
            "level": level,
            "proposed_at": draft.now,
            "trigger_held": True,
        }
    )
    record_plan(draft, returned_row, "returned")
    _demand_decision(draft, plan, returned_row)


def _return_postponed_plan(draft: ContinuityDecision, row: PlanRow) -> None:
    """Propose a postponed plan again at its time, at the level for which a trigger holds. Rule D49.

    Else the proposal lapses, and the plan is back in the library until a trigger holds.
    """
    plan, level = draft.bia.plans.get(row.id), find_held_level(draft.state, row.id)
    if plan is None or plan.shelf is not PlanState.VALID or level is None:
        lapsed_row = PlanRow(
            id=row.id,
            pole=row.pole,
            state=PlanState.VALID if plan is None else plan.shelf,
            decides=row.decides,
            boxes=() if plan is None else build_boxes(plan),
            version=row.version,
            life=row.life,
        )
        record_plan(draft, lapsed_row, "lapsed")
        return
    returned_row = row.model_copy(
        update={"state": PlanState.PROPOSED, "level": level, "postponed_until": None}
    )
    record_plan(draft, returned_row, "returned")
    demand_plan_attention(draft, returned_row, "plan_proposed")


def return_ended_plans(draft: ContinuityDecision, incident: str) -> None:
    """Propose the plans again that were stood down in an incident that is open again.

    Their trigger must hold: it began before the stand-down, so it does not propose by itself.
    Their cards count from now. Rules D26 and D49.
    """
    for row in sorted(draft.state.plans.values(), key=lambda row: row.id):
        plan, level = draft.bia.plans.get(row.id), find_held_level(draft.state, row.id)
        if (
            row.incident is None
            or get_standing_incident(draft.state, row.incident) != incident
            or row.state not in (PlanState.LIFTED, PlanState.RETEX_CLOSED)
            or plan is None
            or plan.shelf is not PlanState.VALID
            or level is None
        ):
            continue
        trigger = TriggerRow(
            id=f"{row.id}:{level}",
            plan=row.id,
            level=level,
            state="held",
            since=draft.now,
            incident=incident,
            why=row.why,
        )
        _propose_plan(draft, plan, row, trigger)


def _is_other_incident(state: ContinuityState, current: PlanRow, trigger: TriggerRow) -> bool:
    """Check whether the trigger began after the refusal, for another incident (D49)."""
    began_since = current.decided_at is not None and trigger.since > current.decided_at
    return began_since and _names_other_incident(state, current, trigger)


def _names_other_incident(state: ContinuityState, current: PlanRow, trigger: TriggerRow) -> bool:
    """Check whether a trigger belongs to another incident than a plan; merged ones are the same."""
    return trigger.incident is not None and get_standing_incident(
        state, trigger.incident
    ) != get_standing_incident(state, current.incident)


def _began_anew(state: ContinuityState, current: PlanRow, trigger: TriggerRow) -> bool:
    """Check whether the trigger of an undecided proposal ended, and began for another incident.

    Without a decision, it is also another occasion a day after the proposal. Rule D49.
    """
    if current.trigger_held:
        return False
    asked_at = current.decided_at or current.proposed_at or 0
    is_later_day = (
        current.state is PlanState.PROPOSED and trigger.since >= asked_at + _REFUSED_FOR_MS
    )
    return is_later_day or (
        trigger.since > asked_at and _names_other_incident(state, current, trigger)
    )


def _propose_plan(
    draft: ContinuityDecision, plan: Plan, current: PlanRow, trigger: TriggerRow
) -> None:
    """Begin a new life of the plan with a proposal."""
    row = _build_proposal(draft, plan, current, trigger, first=True)
    record_plan(draft, row, "proposed")
    _demand_decision(draft, plan, row)


def _demand_decision(draft: ContinuityDecision, plan: Plan, row: PlanRow) -> None:
    """Demand a decision, or activate a plan with `auto: true`, which has no outside effect.

    Rule D49.
    """
    if not plan.auto:
        demand_plan_attention(draft, row, "plan_proposed")
        return
    decision_fields = {
        "decided_at": draft.now,
        "decided_by": AUTO_AUTHOR,
        "decided_reason": None,
        "version": row.version + 1,
    }
    level = max(row.level, row.proposed_level or 0)
    record_plan(
        draft,
        row.model_copy(
            update={
                "state": PlanState.ACTIVE,
                "level": level,
                "proposed_level": None,
                **decision_fields,
            }
        ),
        "activated",
    )
    review_stand_down(draft, draft.state.plans[row.id])


def _build_proposal(
    draft: ContinuityDecision, plan: Plan, current: PlanRow, trigger: TriggerRow, *, first: bool
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
        why=trigger.why if first else _merge_reasons(current.why, trigger.why),
        cards=build_cards(draft.state, plan, since, recovering_since=None),
        version=current.version,
        boxes=build_boxes(plan),
        life=current.life,
    )


def _merge_reasons(before: tuple[Why, ...], more: tuple[Why, ...]) -> tuple[Why, ...]:
    """Append reasons with a new predicate; a newer value of a known one is no further reason."""
    predicate_keys = {_get_predicate_key(why) for why in before}
    return (*before, *(why for why in more if _get_predicate_key(why) not in predicate_keys))


def _get_predicate_key(why: Why) -> tuple[object, ...]:
    return why.code, why.metric, repr(sorted(why.args.items())), why.op, why.threshold


def demand_plan_attention(
    draft: ContinuityDecision,
    row: PlanRow,
    code: Literal["plan_proposed", "stand_down_proposed", "plan_dropped"],
) -> None:
    roles = (
        (draft.bia.pilots(draft.state.level) or (row.decides,))
        if code == "stand_down_proposed"
        else (row.decides,)
    )
    draft.emit(
        AttentionRequested(
            code=code, roles=roles, pole=row.pole, plan=row.id, incident=row.incident
        )
    )


def on_plan_due(draft: ContinuityDecision, plan: str) -> None:
    """Handle an overdue card, the end of a postponement or refusal, or a held stand-down."""
    row = draft.state.plans[plan]
    if (
        row.state is PlanState.POSTPONED
        and row.postponed_until is not None
        and row.postponed_until <= draft.now
    ):
        _return_postponed_plan(draft, row)
    elif row.state is PlanState.REFUSED:
        _return_plan(draft, row)
    elif row.returns_at is not None and row.returns_at <= draft.now:
        _return_level(draft, row)
    elif (
        row.stand_down_at is not None
        and row.stand_down_at <= draft.now
        and not row.stand_down_proposed
    ):
        record_plan(
            draft, row.model_copy(update={"stand_down_proposed": True}), "stand_down_proposed"
        )
        demand_plan_attention(draft, row, "stand_down_proposed")
    else:
        review_cards(draft, row, row)


def build_boxes(plan: Plan) -> tuple[Box, ...]:
    """Return the manual conditions of the stand-down, all unticked."""
    return (
        tuple(Box(text=text) for text in list_boxes(plan.stand_down.when))
        if plan.stand_down
        else ()
    )


def is_stand_down_held(plan: Plan, row: PlanRow, state: ContinuityState) -> bool:
    """Check whether the stand-down condition holds.

    Alerts reports the measured part; people tick the boxes. A plan without a condition never stands
    down by itself. Rule D52.
    """
    if plan.stand_down is None or plan.stand_down.when is None:
        return False
    trigger_state = state.triggers.get(f"{plan.id}:{STAND_DOWN_SUFFIX}")
    ticks = {box.text for box in row.boxes if box.by is not None}
    return _evaluate_predicate(
        plan.stand_down.when, trigger_state is not None and trigger_state.held, ticks
    )


def _evaluate_predicate(predicate: Predicate, measured_holds: bool, ticks: set[str]) -> bool:
    """Evaluate the predicate from the ticks and from `measured_holds`.

    `measured_holds` covers everything that is measured, negations included, as one result of
    alerts. A territory with boxes between measured parts is refused.
    """
    if not has_box(predicate):
        return measured_holds
    match predicate:
        case Manual(manual=text):
            return text in ticks
        case AnyOf(any=parts):
            return any(_evaluate_predicate(part, measured_holds, ticks) for part in parts)
        case AllOf(all=parts):
            return all(_evaluate_predicate(part, measured_holds, ticks) for part in parts)
        case Not(negated=part):
            return not _evaluate_predicate(part, measured_holds, ticks)
        case Measured():  # holds no box
            return measured_holds


def _find_holding_start(draft: ContinuityDecision, row: PlanRow) -> Instant:
    """Return since when the condition has held.

    With ticked boxes it is now. It is never before this life of the plan, because that belongs to
    another crisis.
    """
    trigger_state = draft.state.triggers.get(f"{row.id}:{STAND_DOWN_SUFFIX}")
    if trigger_state is None or any(box.by for box in row.boxes):
        return draft.now
    return min(max(trigger_state.since, row.trigger_since or trigger_state.since), draft.now)


def review_stand_down(draft: ContinuityDecision, row: PlanRow) -> None:
    """Start or stop the recovery if the stand-down condition began or ceased to hold.

    The stand-down is proposed after `hold_min`.
    """
    plan = draft.bia.plans[row.id]
    if row.state not in ACTIVE_PLAN_STATES or plan.stand_down is None:
        return
    holds = is_stand_down_held(plan, row, draft.state)
    if holds and row.stand_down_since is None:
        since = _find_holding_start(draft, row)
        recovering_row = row.model_copy(
            update={
                "state": PlanState.RECOVERING,
                "resumes_partly": row.state is PlanState.PARTLY_ACTIVE,
                "stand_down_since": since,
                "stand_down_at": since + plan.stand_down.hold_min * MINUTE_MS,
            }
        )
        cards = add_return_cards(draft.state, plan, recovering_row)
        record_plan(draft, recovering_row.model_copy(update={"cards": cards}), "recovering")
        schedule_opening(draft, draft.state.plans[row.id])
        if recovering_row.stand_down_at is not None and recovering_row.stand_down_at <= draft.now:
            on_plan_due(draft, row.id)
    elif not holds and row.stand_down_since is not None:
        active_state = PlanState.PARTLY_ACTIVE if row.resumes_partly else PlanState.ACTIVE
        resumed_row = row.model_copy(update={"state": active_state, **RECOVERY_CLEARED})
        cards = rest_return_cards(draft.state, resumed_row)
        record_plan(draft, resumed_row.model_copy(update={"cards": cards}), "resumed")
