"""Improvement actions from lessons learned: tasks of a role until they are done. Rule D53."""

from __future__ import annotations

from schemas.commands import AddImprovement, CloseImprovement
from schemas.continuity import ImprovementChanged, ImprovementRow
from schemas.ranks import may_act
from services.continuity.decision import ContinuityDecision
from services.continuity.refusal import require_reason
from services.runtime.decider.refusal import CommandResult, RefusedCommand


def add_improvement(draft: ContinuityDecision, command: AddImprovement) -> CommandResult:
    """Add an improvement action of a known role, due in the future."""
    if not may_act(command.role):
        raise RefusedCommand(403, "not_allowed", role=command.role)
    if command.owner not in draft.bia.policy.roles:
        raise RefusedCommand(404, "role_not_found", role=command.owner)
    if command.due_at <= draft.now:
        raise RefusedCommand(409, "until_past", until=command.due_at)
    row = ImprovementRow(
        id=draft.derive("improvement", 0),
        text_id=command.text_id,
        owner=command.owner,
        due_at=command.due_at,
        incident=command.incident,
        opened_at=draft.now,
        opened_by=command.author,
    )
    draft.emit(ImprovementChanged(row=row))
    return {"improvement": row.id, "due_at": row.due_at}


def close_improvement(draft: ContinuityDecision, command: CloseImprovement) -> CommandResult:
    """Close an improvement action as done, or dropped with a reason."""
    if not may_act(command.role):
        raise RefusedCommand(403, "not_allowed", role=command.role)
    row = draft.state.improvements.get(command.improvement)
    if row is None:
        raise RefusedCommand(404, "improvement_not_found", improvement=command.improvement)
    reason = require_reason(command) if command.dropped else command.reason
    closed = {
        "state": "dropped" if command.dropped else "done",
        "closed_at": draft.now,
        "closed_by": command.author,
        "reason": reason,
    }
    draft.emit(ImprovementChanged(row=row.model_copy(update=closed)))
    return {"improvement": row.id, "state": str(closed["state"])}
