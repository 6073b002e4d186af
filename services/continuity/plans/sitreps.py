"""Situation reports, and improvement actions from lessons learned. Rules D53 and D54.

The console drafts the document from the read model and stores it encrypted in `texts`, because
deciders hold no free text. The log holds its number, time, hash and counts, so that no change goes
unseen. An improvement action is a task of a role until it is done.
"""

from typing import Final

from schemas.alerts import AttentionRequested
from schemas.base import MINUTE_MS, Instant
from schemas.commands import AddImprovement, CloseImprovement, IssueSitrep
from schemas.continuity import ImprovementChanged, ImprovementRow, SitrepIssued, SitrepRow
from schemas.ranks import may_act
from services.continuity.deadlines import SitrepDue
from services.continuity.decision import ContinuityDecision
from services.runtime.decider.command_checks import get_row, require_reason
from services.runtime.decider.protocol import CommandResult, RefusedCommand

SKEW_MS: Final = MINUTE_MS
"""Largest lead of the writer's clock over the broker's."""


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
    row = get_row(draft.state.improvements, command.improvement, "improvement_not_found")
    reason = require_reason(command) if command.dropped else command.reason
    closing_fields = {
        "state": "dropped" if command.dropped else "done",
        "closed_at": draft.now,
        "closed_by": command.author,
        "reason": reason,
    }
    draft.emit(ImprovementChanged(row=row.model_copy(update=closing_fields)))
    return {"improvement": row.id, "state": str(closing_fields["state"])}


def issue_sitrep(draft: ContinuityDecision, command: IssueSitrep) -> CommandResult:
    """Record the next situation report, about a past time later than the last one's."""
    state = draft.state
    if not may_act(command.role):
        raise RefusedCommand(403, "not_allowed", role=command.role)
    if command.number != state.sitreps + 1:
        raise RefusedCommand(412, "sitrep_number", number=command.number, next=state.sitreps + 1)
    if command.as_of > draft.now + SKEW_MS:
        raise RefusedCommand(409, "sitrep_ahead", as_of=command.as_of, now=draft.now)
    if state.sitreps and command.as_of <= state.sitrep_as_of:
        raise RefusedCommand(409, "sitrep_older", as_of=command.as_of, last=state.sitrep_as_of)
    every_ms = draft.bia.sitrep_every_ms(state.level)
    row = SitrepRow(
        id=str(command.number),
        number=command.number,
        as_of=command.as_of,
        issued_at=draft.now,
        issued_by=command.author,
        role=command.role,
        level=state.level,
        text_id=command.text_id,
        sha256=command.sha256,
        counts=command.counts,
        incidents=command.incidents,
        next_at=None if every_ms is None else command.as_of + every_ms,
        recipients=command.recipients,
    )
    draft.emit(SitrepIssued(row=row))
    schedule_sitrep(draft)
    return {"sitrep": row.id, "number": row.number, "next_at": row.next_at, "sha256": row.sha256}


def compute_sitrep_due(draft: ContinuityDecision) -> Instant | None:
    """Return when the next report is due at the present level.

    The interval starts at the last report, or when the level got an interval.
    """
    since = draft.state.sitrep_from
    every_ms = draft.bia.sitrep_every_ms(draft.state.level)
    return None if since is None or every_ms is None else since + every_ms


def schedule_sitrep(draft: ContinuityDecision) -> None:
    """Set the deadline again after the interval may have changed; demand an overdue report now."""
    if draft.state.bia is None:
        return
    due_at = compute_sitrep_due(draft)
    if due_at is not None and due_at <= draft.now:
        draft.arm(SitrepDue(), None)
        demand_sitrep(draft)
    else:
        draft.arm(SitrepDue(), due_at)


def demand_sitrep(draft: ContinuityDecision) -> None:
    """Demand a report from its writer, once until a report is issued or the level changes."""
    draft.emit(AttentionRequested(code="sitrep_due", roles=(), limit_at=compute_sitrep_due(draft)))
