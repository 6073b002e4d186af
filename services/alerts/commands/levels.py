"""Change levels by hand, and decide about the escalation of an incident. Rules D31 to D35."""

from schemas import commands as c
from schemas.alerts import IncidentRow, LevelChanged, LevelRow, Why
from schemas.base import copy_with
from schemas.calling import EscalationRow, NotificationWithdrawn
from schemas.ranks import may_decide
from schemas.words import Answer, Level
from services.alerts.decision import (
    AlertsDecision,
    cancel_task,
    get_incident,
    get_sitrep_rhythm,
    require_open,
)
from services.alerts.escalation import cell_staffing, escalations, notifications, responses, steps
from services.alerts.levels.levels import (
    CRISIS,
    TERRITORY,
    Rises,
    is_level_held,
    raise_territory,
    rearm_thresholds,
)
from services.alerts.pipeline import update_derived_state
from services.runtime.decider.protocol import CommandResult, RefusedCommand


def set_level(draft: AlertsDecision, command: c.SetLevel) -> CommandResult:
    """Set a level by hand.

    Anyone of the cell may raise it. Only a pilot of the current level may lower it, with a reason,
    and by force while a predicate still holds. Rule D31, latched levels.
    """
    scope = None if command.scope == TERRITORY else command.scope
    incident = (
        require_open(get_incident(draft, scope, command.expected)) if scope is not None else None
    )
    row = draft.state.levels.get(TERRITORY)
    current = incident.level if incident is not None else draft.level
    if (
        scope is None
        and command.expected is not None
        and command.expected != (row.version if row else 0)
    ):
        raise RefusedCommand(
            412, "version_conflict", expected=command.expected, version=row.version if row else 0
        )
    if command.level == current:
        return _refuse_proposal(draft, command, row)
    if command.level > current:
        rises = _raise_level(draft, command, incident)
    else:
        _check_lowering(draft, command, current, scope)
        rises = Rises()
        _lower_level(draft, command, incident)
        rearm_thresholds(draft, scope)
    update_derived_state(draft)
    escalations.update_escalations(draft, rises)
    draft.flush()
    return {
        "scope": command.scope,
        "level": int(command.level),
        "version": _get_level_version(draft, scope),
    }


def _refuse_proposal(
    draft: AlertsDecision, command: c.SetLevel, row: LevelRow | None
) -> CommandResult:
    """Refuse a proposed higher level, recording author and reason. Rule D30, proposed N4."""
    if command.scope != TERRITORY or row is None or row.proposed is None:
        raise RefusedCommand(409, "level_unchanged", level=int(command.level))
    _check_pilot(draft, command, row.level)
    if not command.reason:
        raise RefusedCommand(409, "reason_required", level=int(command.level))
    why = (*row.why, _build_reason(draft, command, {"refused": int(row.proposed)}))
    changes = {"proposed": None, "proposed_why": (), "why": why, "version": row.version + 1}
    draft.touch("levels")
    draft.emit(LevelChanged(row=copy_with(row, changes), previous=row.level))
    update_derived_state(draft)
    draft.flush()
    return {"scope": command.scope, "level": int(command.level), "version": row.version + 1}


def _build_reason(
    draft: AlertsDecision, command: c.SetLevel, more: dict[str, int] | None = None
) -> Why:
    """Return the reason that names the author and refers to their words."""
    args: dict[str, str | int] = {
        "author": command.author,
        "level": int(command.level),
        **(more or {}),
    }
    if command.reason:
        args["reason"] = command.reason
    return Why(code="manual", args=args, at=draft.now)


def _get_level_version(draft: AlertsDecision, scope: str | None) -> int:
    if scope is not None:
        return draft.state.incidents[scope].version
    row = draft.state.levels.get(TERRITORY)
    return row.version if row else 0


def _raise_level(draft: AlertsDecision, command: c.SetLevel, incident: IncidentRow | None) -> Rises:
    rises, why = Rises(), (_build_reason(draft, command),)
    if incident is not None:
        rises.incidents[incident.id] = incident.level
        draft.alter(
            incident.id,
            "level",
            level=command.level,
            why=(*incident.why, *why),
            version=incident.version + 1,
            updated_at=draft.now,
        )
    raise_territory(draft, command.level, why, rises)
    if incident is None:
        _count_decision(draft)
    return rises


def _count_decision(draft: AlertsDecision) -> None:
    row = draft.state.levels[TERRITORY]
    draft.emit(LevelChanged(row=copy_with(row, {"version": row.version + 1}), previous=row.level))


def _check_pilot(draft: AlertsDecision, command: c.SetLevel, current: Level) -> None:
    policy = draft.territory.policy
    pilots = next((r.pilots for r in policy.levels if r.level == current), ()) if policy else ()
    if pilots and not any(may_decide(command.role, p) for p in pilots):
        raise RefusedCommand(403, "not_pilot", level=int(current), pilots=", ".join(pilots))


def _check_lowering(
    draft: AlertsDecision, command: c.SetLevel, current: Level, scope: str | None
) -> None:
    _check_pilot(draft, command, current)
    if not command.reason:
        raise RefusedCommand(409, "reason_required", level=int(current))
    over = scope is not None and draft.incident(scope).over_since is not None
    if not command.force and not over and is_level_held(draft, Level(command.level + 1), scope):
        raise RefusedCommand(409, "predicate_holds", level=int(current))
    if scope is None and not command.force:
        above = [i.number for i in draft.incidents(draft.open_incidents) if i.level > command.level]
        if above:
            raise RefusedCommand(409, "incident_above", incidents=", ".join(above))


def _lower_level(draft: AlertsDecision, command: c.SetLevel, incident: IncidentRow | None) -> None:
    """Lower a level by decision: its escalation ends, and its responders are informed.

    No acknowledgement is needed. Rule D35, level changes.
    """
    why = (_build_reason(draft, command),)
    if incident is not None:
        draft.alter(
            incident.id,
            "level",
            level=command.level,
            why=(*incident.why, *why),
            version=incident.version + 1,
            updated_at=draft.now,
        )
        _end_escalation(draft, incident.id, command.level)
        return
    old = draft.state.levels.get(TERRITORY)
    before = draft.level
    draft.level = command.level
    draft.touch("levels")
    row = LevelRow(
        id=TERRITORY,
        level=command.level,
        since=draft.now,
        why=why,
        version=(old.version if old else 0) + 1,
    )
    draft.emit(LevelChanged(row=row, previous=before))
    crisis = escalations.find_ended_crisis(draft) if before >= CRISIS > command.level else None
    _end_escalation(draft, TERRITORY, command.level, informs=crisis is None)
    if crisis is not None:
        escalations.thank(draft, crisis)
    if get_sitrep_rhythm(draft, command.level) is None:
        cancel_task(draft, "sitrep", "", "level_lowered")
    if command.level < CRISIS:
        cell_staffing.end_all_shifts(draft)
        cell_staffing.dismiss_cell(draft)
    else:
        cell_staffing.lower_cell(draft, command.level)


def _end_escalation(
    draft: AlertsDecision, scope: str, level: Level, *, informs: bool = True
) -> None:
    ladder = steps.find_escalation(draft, scope)
    if ladder is None or ladder.level <= level:
        return
    people = escalations.list_people_in_charge(draft, ladder)
    escalations.end_escalation(draft, ladder, None, "ended", "level_lowered")
    if not informs:
        return
    notifications.inform_people(
        draft,
        people,
        steps.find_foremost_incident(draft, ladder),
        "information",
        {"lowered": int(level), "from": int(ladder.level)},
    )


def _find_escalation(draft: AlertsDecision, incident: IncidentRow) -> EscalationRow | None:
    own = steps.find_escalation(draft, incident.id)
    if own is not None and own.state != "exhausted":
        return own
    crisis = steps.find_escalation(draft, TERRITORY)
    return crisis if crisis is not None and incident.id in crisis.incidents else own


def acknowledge(draft: AlertsDecision, command: c.AcknowledgeIncident) -> CommandResult:
    """Apply the author's answer to the running escalation.

    It counts for the newest wave that called the author, else for the current one.
    """
    incident = require_open(get_incident(draft, command.incident))
    ladder = _find_escalation(draft, incident)
    if ladder is not None:
        calls = [
            n
            for w in reversed(ladder.waves)
            for n in w.notifications
            if draft.state.calls[n].person == command.author
        ]
        if calls:
            responses.apply_answer(draft, calls[0], command.author, command.answer)
            draft.emit(
                NotificationWithdrawn(notification=calls[0], why=command.answer.value)
            )  # delivery did not see this answer
        elif command.answer is Answer.ACK:
            responses.count_acknowledgement(draft, ladder, command.author, max(ladder.wave, 1))
        else:
            responses.withdraw_acknowledgement(draft, ladder, command.author)
    if command.answer is Answer.ACK:
        responses.acknowledge_incident(draft, incident.id, command.author)
        row = draft.incident(incident.id)
        draft.alter(incident.id, "acknowledged", version=row.version + 1)
    update_derived_state(draft)
    row = draft.state.incidents[incident.id]
    return {"incident": row.id, "state": row.state.value, "version": row.version}


def escalate(draft: AlertsDecision, command: c.EscalateIncident) -> CommandResult:
    incident = require_open(get_incident(draft, command.incident))
    ladder = _find_escalation(draft, incident)
    if ladder is None:
        raise RefusedCommand(409, "no_ladder", incident=incident.id)
    if ladder.state != "running":
        ladder = copy_with(ladder, {"state": "running"})
    if not steps.escalate_by_hand(draft.trial(), ladder):  # a refusal records nothing else
        raise RefusedCommand(409, "nobody_left", incident=incident.id)
    steps.escalate_by_hand(draft, ladder)
    draft.alter(incident.id, "report", version=incident.version + 1, updated_at=draft.now)
    update_derived_state(draft)
    return {"incident": incident.id, "wave": draft.state.escalations[ladder.id].wave}


def reapply_policy(draft: AlertsDecision, command: c.ReapplyPolicy) -> CommandResult:
    """Apply the policy in force to the running escalation of an incident. Rule D63."""
    incident = require_open(get_incident(draft, command.incident))
    ladder = _find_escalation(draft, incident)
    if ladder is None or ladder.state == "exhausted":
        raise RefusedCommand(409, "no_ladder", incident=incident.id)
    if ladder.policy == draft.state.version:
        raise RefusedCommand(409, "policy_in_force", incident=incident.id)
    if not escalations.apply_current_policy(draft, ladder):
        raise RefusedCommand(409, "no_ladder", incident=incident.id)
    draft.alter(incident.id, "report", version=incident.version + 1, updated_at=draft.now)
    update_derived_state(draft)
    return {"incident": incident.id, "policy": draft.state.version}
