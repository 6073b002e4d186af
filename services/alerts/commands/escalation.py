"""Decisions about the escalation of an incident. Rules D32 and D33."""

from __future__ import annotations

from schemas import commands as c
from schemas.alerts import IncidentRow
from schemas.base import copy_with
from schemas.calling import EscalationRow, NotificationWithdrawn
from schemas.words import Answer
from services.alerts.decision import AlertsDecision
from services.alerts.escalation import escalations, responses, steps
from services.alerts.levels.levels import TERRITORY
from services.alerts.lookups import get_incident, require_open
from services.alerts.pipeline import update_derived_state
from services.runtime.decider.protocol import CommandResult, RefusedCommand


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
