"""Decisions about the escalation of an incident. Rules D32 and D33."""

from __future__ import annotations

from schemas import commands as c
from schemas.alerts import IncidentRow
from schemas.calling import EscalationRow, NotificationWithdrawn
from schemas.words import Answer
from services.alerts.commands.refusal import Refused, Result, incident_of, open_one
from services.alerts.decision import Draft
from services.alerts.escalation import escalations, responses, steps
from services.alerts.levels.levels import TERRITORY
from services.alerts.pipeline import settle
from services.alerts.rows import changed


def _ladder_of(draft: Draft, incident: IncidentRow) -> EscalationRow | None:
    own = steps.running(draft, incident.id)
    if own is not None and own.state != "exhausted":
        return own
    crisis = steps.running(draft, TERRITORY)
    return crisis if crisis is not None and incident.id in crisis.incidents else own


def acknowledge(draft: Draft, command: c.AcknowledgeIncident) -> Result:
    """Apply the author's answer to the running escalation.

    It counts for the newest wave that called the author, else for the current one.
    """
    incident = open_one(incident_of(draft, command.incident))
    ladder = _ladder_of(draft, incident)
    if ladder is not None:
        calls = [
            n
            for w in reversed(ladder.waves)
            for n in w.notifications
            if draft.state.calls[n].person == command.author
        ]
        if calls:
            responses.answered(draft, calls[0], command.author, command.answer)
            draft.emit(
                NotificationWithdrawn(notification=calls[0], why=command.answer.value)
            )  # delivery did not see this answer
        elif command.answer is Answer.ACK:
            responses.said_yes(draft, ladder, command.author, max(ladder.wave, 1))
        else:
            responses.take_back(draft, ladder, command.author)
    if command.answer is Answer.ACK:
        responses.acknowledged(draft, incident.id, command.author)
        row = draft.incident(incident.id)
        draft.alter(incident.id, "acknowledged", version=row.version + 1)
    settle(draft)
    row = draft.state.incidents[incident.id]
    return {"incident": row.id, "state": row.state.value, "version": row.version}


def escalate(draft: Draft, command: c.EscalateIncident) -> Result:
    incident = open_one(incident_of(draft, command.incident))
    ladder = _ladder_of(draft, incident)
    if ladder is None:
        raise Refused(409, "no_ladder", incident=incident.id)
    if ladder.state != "running":
        ladder = changed(ladder, {"state": "running"})
    steps.fire_now(draft, ladder)
    draft.alter(incident.id, "report", version=incident.version + 1, updated_at=draft.now)
    settle(draft)
    return {"incident": incident.id, "wave": draft.state.escalations[ladder.id].wave}


def reapply(draft: Draft, command: c.ReapplyPolicy) -> Result:
    """Apply the policy in force to the running escalation of an incident. Rule D63."""
    incident = open_one(incident_of(draft, command.incident))
    ladder = _ladder_of(draft, incident)
    if ladder is None or ladder.state == "exhausted":
        raise Refused(409, "no_ladder", incident=incident.id)
    if ladder.policy == draft.state.version:
        raise Refused(409, "policy_in_force", incident=incident.id)
    if not escalations.reapply(draft, ladder):
        raise Refused(409, "no_ladder", incident=incident.id)
    draft.alter(incident.id, "report", version=incident.version + 1, updated_at=draft.now)
    settle(draft)
    return {"incident": incident.id, "policy": draft.state.version}
