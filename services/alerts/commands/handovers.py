"""Decide about handovers of the crisis cell: draft, two signatures, message. Rule D115."""

from typing import Any, Final

from schemas.base import Command, copy_with
from schemas.crisis import handovers as h
from services.alerts.commands.actions import resolve_assignee
from services.alerts.commands.communication import sign
from services.alerts.decision import AlertsDecision, complete_open_task
from services.alerts.escalation.notifications import inform_people, inform_roles
from services.runtime.decider.command_checks import (
    check_version,
    get_row,
    require_person,
    require_reason,
)
from services.runtime.decider.protocol import CommandResult, RefusedCommand

TEMPLATE: Final = "handover"


def draft_handover(draft: AlertsDecision, command: h.DraftHandover) -> CommandResult:
    """Draft the next handover; only one may be open at a time."""
    rows = draft.state.handovers.values()
    open_one = next((row for row in rows if row.state in h.OPEN_HANDOVER_STATES), None)
    if open_one is not None:
        raise RefusedCommand(409, "handover_open", number=open_one.number)
    number = max((row.number for row in rows), default=0) + 1
    row = h.HandoverRow(
        id=str(number),
        number=number,
        state=h.HandoverState.DRAFT,
        text_id=command.text_id,
        recipients=_check_recipients(draft, command.recipients),
        level=draft.level,
        drafted=sign(draft, command),
        changed_at=draft.now,
    )
    draft.emit(h.HandoverChanged(row=row, change="drafted"))
    return _build_result(row)


def revise_handover(draft: AlertsDecision, command: h.ReviseHandover) -> CommandResult:
    """Change the objective or the recipients; a signed handover has to be signed again."""
    row = _get_handover(draft, command.handover, command.expected)
    recipients = row.recipients
    if command.recipients is not None:
        recipients = _check_recipients(draft, command.recipients)
    text_id = row.text_id if command.text_id is None else command.text_id
    return _move(
        draft,
        row,
        "revised",
        command,
        text_id=text_id,
        recipients=recipients,
        page=None,
        signed=None,
    )


def sign_handover(draft: AlertsDecision, command: h.SignHandover) -> CommandResult:
    """Sign as the outgoing person: the page is frozen."""
    row = _get_handover(draft, command.handover, command.expected)
    require_person(command)
    return _move(draft, row, "signed", command, page=command.page, level=draft.level)


def accept_handover(draft: AlertsDecision, command: h.AcceptHandover) -> CommandResult:
    """Sign as the incoming person, complete the task of the shift, and send the message."""
    row = _get_handover(draft, command.handover, command.expected)
    require_person(command)
    if row.signed is not None and command.author == row.signed.by:
        raise RefusedCommand(403, "handover_second_person", number=row.number)
    result = _move(draft, row, "accepted", command)
    new_row = draft.state.handovers[row.id]
    shift = None if row.signed is None else draft.state.shifts.get(row.signed.by)
    if shift is not None:
        complete_open_task(draft, "relief", shift.role, command.author)
    _send(draft, new_row)
    return result


def withdraw_handover(draft: AlertsDecision, command: h.WithdrawHandover) -> CommandResult:
    """Withdraw a handover that nobody accepted, with a reason."""
    row = _get_handover(draft, command.handover, command.expected)
    require_reason(command)
    return _move(draft, row, "withdrawn", command, reason=command.reason)


def _check_recipients(draft: AlertsDecision, recipients: tuple[str, ...]) -> tuple[str, ...]:
    """Return the recipients, each once; refuse an unknown one (404)."""
    for recipient in recipients:
        resolve_assignee(draft, recipient)
    return tuple(dict.fromkeys(recipients))


def _get_handover(draft: AlertsDecision, id: str, expected: int | None) -> h.HandoverRow:
    row = get_row(draft.state.handovers, id, "handover_not_found")
    check_version(row, expected)
    return row


def _move(
    draft: AlertsDecision, row: h.HandoverRow, change: str, command: Command, **values: Any
) -> CommandResult:
    """Move a handover along one arrow; refuse (409) any other move."""
    after = h.HANDOVER_MOVES[change].get(row.state)
    if after is None:
        raise RefusedCommand(409, "handover_state", state=row.state.value, change=change)
    new = copy_with(
        row,
        {
            change: sign(draft, command),
            **values,
            "state": after,
            "changed_at": draft.now,
            "version": row.version + 1,
        },
    )
    draft.emit(h.HandoverChanged(row=new, change=change))
    return _build_result(new)


def _send(draft: AlertsDecision, row: h.HandoverRow) -> None:
    """Plan the message to each recipient: to a named person, or to the present holder of the role.

    One that new reference data dropped since the draft hinders no signature.
    """
    values = _build_message_values(row)
    for recipient in row.recipients:
        try:
            role, scope, person = resolve_assignee(draft, recipient)
        except RefusedCommand:
            continue
        if person is not None:
            inform_people(draft, (person,), None, TEMPLATE, values)
            continue
        site = scope if scope in draft.territory.sites else None
        inform_roles(
            draft,
            (role,),
            pole=None if site is not None else scope,
            site=site,
            incident=None,
            template=TEMPLATE,
            values=values,
        )


def _build_message_values(row: h.HandoverRow) -> dict[str, str | int | float | bool | None]:
    """Return the values of the message: counts and times, never the objective."""
    page = row.page
    return {
        "handover": row.number,
        "author_role": row.signed.role if row.signed is not None else None,
        "taker_role": row.accepted.role if row.accepted is not None else None,
        "decisions": page.counts.get("decisions", 0) if page is not None else 0,
        "next_at": page.next_at if page is not None else None,
    }


def _build_result(row: h.HandoverRow) -> CommandResult:
    return {
        "handover": row.id,
        "number": row.number,
        "state": row.state.value,
        "version": row.version,
    }
