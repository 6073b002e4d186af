"""Attendance in the crisis cell, as a person states it. Rule D90."""

from __future__ import annotations

from schemas.people.attendance import StateAttendance
from services.alerts.decision import AlertsDecision
from services.alerts.escalation import cell_staffing
from services.alerts.escalation.steps import find_called_role, find_escalation
from services.alerts.levels.levels import CRISIS, TERRITORY
from services.runtime.decider.refusal import CommandResult, RefusedCommand


def state_attendance(draft: AlertsDecision, command: StateAttendance) -> CommandResult:
    """Record that the person is there, on the way, at a distance, or leaves.

    Without a crisis there is no cell to come to (409). A person without a function is refused
    (409): nobody could say what is still missing.
    """
    row = draft.state.staffing
    if draft.level < CRISIS or row is None or row.ended_at is not None:
        raise RefusedCommand(409, "no_cell", level=int(draft.level))
    role, scope = _find_function(draft, command)
    stated = cell_staffing.state_attendance(
        draft, command.person, role, scope, command.mode, command.eta_min
    )
    return {
        "person": stated.id,
        "function": stated.role,
        "mode": stated.mode.value,
        "expected_at": stated.expected_at,
    }


def _find_function(draft: AlertsDecision, command: StateAttendance) -> tuple[str, str | None]:
    """Return the role that the person fills: the named one, the called one, or the one on call."""
    policy = draft.territory.policy
    if command.function is not None:
        if policy is None or command.function not in policy.roles:
            raise RefusedCommand(404, "role_not_found", role=command.function)
        return command.function, None
    attendance = draft.state.attendance.get(command.person)
    if attendance is not None:
        return attendance.role, attendance.scope
    crisis = find_escalation(draft, TERRITORY)
    if crisis is not None and (called := find_called_role(draft, crisis, command.person)).role:
        return called.role, called.scope
    if policy is not None and command.role in policy.roles:
        return command.role, None
    raise RefusedCommand(409, "no_function")
