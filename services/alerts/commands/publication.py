"""Publish and retract the public pages, as the communication function. Rules D96, D97."""

from schemas.base import copy_with
from schemas.crisis import publication as p
from schemas.ranks import may_validate_statement
from services.alerts.commands.communication import sign
from services.alerts.decision import AlertsDecision
from services.runtime.decider.command_checks import check_version, get_row, require_person
from services.runtime.decider.protocol import CommandResult, RefusedCommand


def publish_page(draft: AlertsDecision, command: p.PublishPage) -> CommandResult:
    """Publish a page. One person with the communication function, or above it, answers for it."""
    require_person(command)
    if not may_validate_statement(command.role):
        raise RefusedCommand(403, "publication_role", role=command.role)
    if command.next_at is not None and command.next_at <= draft.now:
        raise RefusedCommand(409, "next_update_in_past")
    earlier = draft.state.publications.get(command.page)
    if earlier is not None:
        check_version(earlier, command.expected)
    elif command.expected:
        raise RefusedCommand(404, "publication_not_found", page=command.page.value)
    row = p.PublicationRow(
        id=command.page,
        state=p.PublicationState.PUBLISHED,
        number=1 if earlier is None else earlier.number + 1,
        text_id=command.text_id,
        digest=command.digest,
        next_at=command.next_at,
        published=sign(draft, command),
        changed_at=draft.now,
        version=1 if earlier is None else earlier.version + 1,
    )
    return _emit(draft, row, "published")


def retract_page(draft: AlertsDecision, command: p.RetractPage) -> CommandResult:
    """Retract a published page; everybody of the cell may, for an error must not stay public."""
    require_person(command)
    row = get_row(draft.state.publications, command.page, "publication_not_found")
    check_version(row, command.expected)
    if row.state is not p.PublicationState.PUBLISHED:
        raise RefusedCommand(409, "publication_retracted", page=row.id.value)
    values = {
        "state": p.PublicationState.RETRACTED,
        "retracted": sign(draft, command),
        "reason": command.reason,
        "changed_at": draft.now,
        "version": row.version + 1,
    }
    return _emit(draft, copy_with(row, values), "retracted")


def _emit(draft: AlertsDecision, row: p.PublicationRow, change: str) -> CommandResult:
    draft.emit(p.PublicationChanged(row=row, change=change))
    return {"page": row.id.value, "state": row.state.value, "version": row.version}
