"""Decisions about plans and cards, and the table of all commands of continuity.

Each function records the changes of a decision and returns its answer, or raises `RefusedCommand`.
A refused command changes nothing. Rules D48 to D50, D52.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from schemas import commands as cmd
from schemas import reassignment as moves
from schemas.base import Command
from schemas.continuity import CrisisTended, PlanRow
from schemas.runtime import CommandApplied
from schemas.words import ACTIVE_PLAN_STATES, PlanState
from services.continuity.commands import reassignments
from services.continuity.commands.activities import (
    activate_strategy,
    arbitrate_alarm,
    declare_activity,
    declare_data_age,
    end_strategy,
)
from services.continuity.commands.cards import complete_card, skip_card, start_card
from services.continuity.commands.resources import RESOURCE_HANDLERS
from services.continuity.decision import ContinuityDecision, require_plan_role
from services.continuity.plans.cards import build_cards
from services.continuity.plans.plans import (
    DECIDABLE_STATES,
    RECOVERY_CLEARED,
    REFUSAL_CLEARED,
    build_boxes,
    build_refusal,
    find_held_level,
    is_stand_down_held,
    record_plan,
    review_stand_down,
)
from services.continuity.plans.site_cards import inform_owners_of_end, schedule_opening
from services.continuity.plans.sitreps import add_improvement, close_improvement, issue_sitrep
from services.continuity.state import find_incident
from services.runtime.decider.command_checks import check_version, is_program, require_reason
from services.runtime.decider.protocol import CommandResult, RefusedCommand


def _find_plan(draft: ContinuityDecision, id: str, expected: int | None = None) -> PlanRow:
    row = draft.state.plans.get(id)
    if row is None or id not in draft.bia.plans:
        raise RefusedCommand(404, "plan_not_found", plan=id)
    check_version(row, expected)
    return row


def _apply_decision(
    draft: ContinuityDecision, row: PlanRow, command: Command, **changes: Any
) -> PlanRow:
    """Return the row after a decision, with its version (If-Match) raised."""
    decision_fields = {
        "decided_at": draft.now,
        "decided_by": command.author,
        "decided_reason": command.reason,
        "version": row.version + 1,
    }
    return row.model_copy(update=decision_fields | changes)


def _choose_incident(
    draft: ContinuityDecision, row: PlanRow, command: cmd.ActivatePlan
) -> str | None:
    """Return the incident that a decision names, else that of the plan.

    A plan that was stood down belongs to its last incident while that is open. Rule D49.
    """
    if command.incident is None and row.state in {*ACTIVE_PLAN_STATES, *DECIDABLE_STATES}:
        return row.incident
    incident = find_incident(draft.state, command.incident or row.incident)
    if command.incident is not None and incident is None:
        raise RefusedCommand(404, "incident_not_found", incident=command.incident)
    if command.incident is not None and incident is not None and not incident.open:
        raise RefusedCommand(409, "incident_not_open", incident=incident.incident)
    return incident.incident if incident is not None and incident.open else None


def _describe_plan(row: PlanRow) -> CommandResult:
    return {"plan": row.id, "state": row.state.value, "level": row.level, "version": row.version}


def activate_plan(draft: ContinuityDecision, command: cmd.ActivatePlan) -> CommandResult:
    """Activate a plan, also without a proposal, or an active plan at a higher level.

    Cards count from the trigger, not from now. Rules D49, D50.
    """
    row = _find_plan(draft, command.plan, command.expected)
    plan = draft.bia.plans[row.id]
    require_plan_role(command, row.decides)
    is_active = row.state in ACTIVE_PLAN_STATES or row.state in DECIDABLE_STATES
    incident = _choose_incident(draft, row, command)
    if not is_active and plan.shelf is not PlanState.VALID:
        raise RefusedCommand(409, "plan_not_valid", plan=row.id, state=plan.shelf.value)
    if not is_active:  # a new life: nothing of the one before counts
        row = PlanRow(
            id=row.id,
            pole=row.pole,
            state=row.state,
            decides=row.decides,
            boxes=build_boxes(plan),
            version=row.version,
            trigger_held=row.trigger_held,
            life=row.life,
            level=find_held_level(draft.state, row.id) or 0,
        )
    proposed_level = max(row.level, row.proposed_level or 0)
    level = proposed_level if command.level is None else int(command.level)
    if row.state in ACTIVE_PLAN_STATES and level <= row.level:
        raise RefusedCommand(409, "already", plan=row.id, level=row.level)
    since = draft.now if row.trigger_since is None else row.trigger_since
    is_new = row.state not in ACTIVE_PLAN_STATES
    cards = build_cards(draft.state, plan, since, recovering_since=None) if is_new else row.cards
    active = _apply_decision(
        draft,
        row,
        command,
        state=PlanState.PARTLY_ACTIVE if level < proposed_level else PlanState.ACTIVE,
        level=level,
        proposed_level=proposed_level if level < proposed_level else None,
        incident=incident,
        trigger_since=since,
        cards=cards,
        postponed_until=None,
        life=row.life + is_new,
        **RECOVERY_CLEARED,
        **REFUSAL_CLEARED,
    )
    record_plan(draft, active, "activated")
    schedule_opening(draft, draft.state.plans[row.id])
    review_stand_down(draft, draft.state.plans[row.id])
    return _describe_plan(draft.state.plans[row.id])


def refuse_plan(draft: ContinuityDecision, command: cmd.RefusePlan) -> CommandResult:
    """Refuse a proposed plan, or the higher level that is proposed for an active one.

    It needs a reason. Rule D49.
    """
    row = _find_plan(draft, command.plan, command.expected)
    require_plan_role(command, row.decides)
    reason_given = require_reason(command)
    if row.state in ACTIVE_PLAN_STATES and row.proposed_level is not None:
        state = PlanState.ACTIVE if row.stand_down_since is None else PlanState.RECOVERING
        refused_row = _apply_decision(
            draft,
            row,
            command,
            proposed_level=None,
            state=state,
            resumes_partly=False,
            decided_at=row.decided_at,
            **build_refusal(draft, row),
        )
    elif row.state in (PlanState.PROPOSED, PlanState.POSTPONED):
        refused_row = _apply_decision(
            draft,
            row,
            command,
            state=PlanState.REFUSED,
            postponed_until=None,
            decided_reason=reason_given,
            **build_refusal(draft, row),
        )
    else:
        raise RefusedCommand(409, "not_proposed", plan=row.id, state=row.state.value)
    record_plan(draft, refused_row, "refused")
    return _describe_plan(refused_row)


def postpone_plan(draft: ContinuityDecision, command: cmd.PostponePlan) -> CommandResult:
    """Postpone a proposal; it returns at `until` if its trigger holds, or at a higher level before.

    It needs a reason. Rule D49.
    """
    row = _find_plan(draft, command.plan, command.expected)
    require_plan_role(command, row.decides)
    require_reason(command)
    if row.state not in (PlanState.PROPOSED, PlanState.POSTPONED):
        raise RefusedCommand(409, "not_proposed", plan=row.id, state=row.state.value)
    if command.until <= draft.now:
        raise RefusedCommand(409, "until_past", until=command.until)
    postponed_row = _apply_decision(
        draft, row, command, state=PlanState.POSTPONED, postponed_until=command.until
    )
    record_plan(draft, postponed_row, "postponed")
    return _describe_plan(postponed_row)


def stand_down_plan(draft: ContinuityDecision, command: cmd.StandDownPlan) -> CommandResult:
    """Stand a plan down.

    A pilot of the level or a person with the right to decide the plan may do so. Before the
    condition has held, it needs `force` and a reason. Rule D52.
    """
    row = _find_plan(draft, command.plan, command.expected)
    plan = draft.bia.plans[row.id]
    if command.role not in draft.bia.pilots(draft.state.level):
        require_plan_role(command, row.decides)
    if row.state not in ACTIVE_PLAN_STATES:
        raise RefusedCommand(409, "not_active", plan=row.id, state=row.state.value)
    if plan.stand_down is not None and not row.stand_down_proposed:
        if not command.force:
            raise RefusedCommand(
                409,
                "stand_down_not_held",
                plan=row.id,
                holds=is_stand_down_held(plan, row, draft.state),
                at=row.stand_down_at,
            )
        require_reason(command)
    lifted_row = _apply_decision(
        draft,
        row,
        command,
        state=PlanState.LIFTED,
        proposed_level=None,
        **RECOVERY_CLEARED,
        **REFUSAL_CLEARED,
    )
    inform_owners_of_end(draft, row)
    record_plan(draft, lifted_row, "stood_down")
    return _describe_plan(lifted_row)


def close_retex(draft: ContinuityDecision, command: cmd.CloseRetex) -> CommandResult:
    """Close the lessons learned of a plan that was stood down.

    `decided_at` stays the time of the stand-down. Rule D48.
    """
    row = _find_plan(draft, command.plan, command.expected)
    require_plan_role(command, row.decides)
    if row.state is not PlanState.LIFTED:
        raise RefusedCommand(409, "not_lifted", plan=row.id, state=row.state.value)
    record_plan(
        draft,
        _apply_decision(
            draft, row, command, state=PlanState.RETEX_CLOSED, decided_at=row.decided_at
        ),
        "retex_closed",
    )
    return _describe_plan(draft.state.plans[row.id])


def tick_box(draft: ContinuityDecision, command: cmd.TickBox) -> CommandResult:
    """Tick or untick a manual condition of a stand-down. Rule D52."""
    row = _find_plan(draft, command.plan)
    require_plan_role(command, row.decides)
    if command.box >= len(row.boxes):
        raise RefusedCommand(404, "box_not_found", plan=row.id, box=command.box)
    by, at = (command.author, draft.now) if command.ticked else (None, None)
    boxes = tuple(
        box.model_copy(update={"by": by, "at": at}) if n == command.box else box
        for n, box in enumerate(row.boxes)
    )
    record_plan(draft, row.model_copy(update={"boxes": boxes}), "box")
    review_stand_down(draft, draft.state.plans[row.id])
    return {
        **_describe_plan(draft.state.plans[row.id]),
        "box": command.box,
        "ticked": command.ticked,
    }


HANDLERS: Final[Mapping[type[Command], Callable[[ContinuityDecision, Any], CommandResult]]] = {
    cmd.ActivatePlan: activate_plan,
    cmd.RefusePlan: refuse_plan,
    cmd.PostponePlan: postpone_plan,
    cmd.StandDownPlan: stand_down_plan,
    cmd.CloseRetex: close_retex,
    cmd.TickBox: tick_box,
    cmd.StartCard: start_card,
    cmd.CompleteCard: complete_card,
    cmd.SkipCard: skip_card,
    cmd.ActivateStrategy: activate_strategy,
    cmd.EndStrategy: end_strategy,
    cmd.DeclareActivity: declare_activity,
    cmd.DeclareDataAge: declare_data_age,
    cmd.ArbitrateAlarm: arbitrate_alarm,
    cmd.IssueSitrep: issue_sitrep,
    cmd.AddImprovement: add_improvement,
    cmd.CloseImprovement: close_improvement,
    moves.ComputeReassignments: reassignments.compute_reassignments,
    moves.ApproveReassignments: reassignments.approve_reassignments,
    moves.DeclineReassignments: reassignments.decline_reassignments,
    moves.AcceptReassignment: reassignments.accept_reassignment,
    moves.ArriveReassignment: reassignments.record_arrival,
    moves.RefuseReassignment: reassignments.refuse_reassignment,
    moves.ReleaseReassignment: reassignments.release_reassignment,
    **RESOURCE_HANDLERS,
}
"""Handler of each command of continuity."""


def handle_command(draft: ContinuityDecision, command: Command, id: str) -> None:
    """Record a decision and its answer; a refusal records the answer only."""
    facts, state = len(draft.facts), draft.state
    name = type(command).__name__
    try:
        if draft.state.bia is None:
            raise RefusedCommand(409, "no_reference")
        result = HANDLERS[type(command)](draft, command)
    except RefusedCommand as refusal:
        draft.withdraw(facts, state)
        draft.emit(refusal.to_fact(id, command))
        return
    draft.emit(CommandApplied(command_id=id, command=name, result=result))
    if not is_program(command.author):
        about = draft.state.plans.get(getattr(command, "plan", "")) or draft.state.proposals.get(
            getattr(command, "proposal", "")
        )
        draft.emit(
            CrisisTended(by=command.author, incident=about.incident if about is not None else None)
        )
