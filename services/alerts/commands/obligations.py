"""Decisions about legal deadlines: start a clock, end it with a proof, dismiss it. Rule D92."""

from __future__ import annotations

from schemas.base import Command
from schemas.crisis import obligations as m
from schemas.crisis.communication import Signature
from services.alerts.decision import AlertsDecision
from services.alerts.lookups import get_incident
from services.alerts.obligations import clocks
from services.runtime.decider.command_checks import (
    check_version,
    get_row,
    require_person,
    require_reason,
)
from services.runtime.decider.protocol import CommandResult, RefusedCommand


def start_obligation(draft: AlertsDecision, command: m.StartObligation) -> CommandResult:
    """Start a clock; refuse a second one in the same incident (409)."""
    obligation = get_row(draft.territory.obligations, command.obligation, "obligation_not_found")
    incident = draft.resolve_incident(get_incident(draft, command.incident).id)
    if command.known_at > draft.now:
        raise RefusedCommand(409, "obligation_future")
    signature = _sign(draft, command)
    row = clocks.start_clock(draft, obligation, incident, command.known_at, started=signature)
    if row is None:
        raise RefusedCommand(409, "obligation_started", obligation=obligation.id)
    return _build_result(row)


def fulfil_obligation(draft: AlertsDecision, command: m.FulfilObligation) -> CommandResult:
    """End a clock with the time and the proof of the declaration."""
    row = _get_running_clock(draft, command.clock, command.expected)
    require_person(command)
    declared_at = command.declared_at if command.declared_at is not None else draft.now
    if declared_at > draft.now:
        raise RefusedCommand(409, "obligation_future")
    if declared_at < row.known_at:
        raise RefusedCommand(409, "obligation_early")
    clock = clocks.end_clock(
        draft, row, "done", _sign(draft, command), declared_at=declared_at, text_id=command.text_id
    )
    return _build_result(clock)


def dismiss_obligation(draft: AlertsDecision, command: m.DismissObligation) -> CommandResult:
    """End a clock that does not apply; a person says why."""
    row = _get_running_clock(draft, command.clock, command.expected)
    require_person(command)
    text_id = require_reason(command).removeprefix("text:")
    clock = clocks.end_clock(draft, row, "dismissed", _sign(draft, command), text_id=text_id)
    return _build_result(clock)


def _get_running_clock(draft: AlertsDecision, id: str, expected: int | None) -> m.ObligationRow:
    """Return a clock that runs; refuse any other (404, 409, 412)."""
    row = get_row(draft.state.obligations, id, "clock_not_found")
    if row.state is not m.ObligationState.RUNNING:
        raise RefusedCommand(409, "clock_over", state=row.state.value)
    check_version(row, expected)
    return row


def _sign(draft: AlertsDecision, command: Command) -> Signature:
    return Signature(by=command.author, role=command.role, at=draft.now)


def _build_result(row: m.ObligationRow) -> CommandResult:
    return {"clock": row.id, "state": row.state.value, "version": row.version}
