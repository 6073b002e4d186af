"""Refusals of decisions: HTTP status, stable code, values for the sentence."""

from __future__ import annotations

from schemas.base import Command
from schemas.ranks import may_decide, may_decide_plan
from services.runtime.decider.refusal import RefusedCommand


def require_role(command: Command, needed: str) -> None:
    """Raise RefusedCommand unless the author has the needed role or a higher one. Rule D49."""
    if not may_decide(command.role, needed):
        raise RefusedCommand(403, "role_too_low", role=command.role, needed=needed)


def require_plan_role(command: Command, needed: str) -> None:
    """Raise RefusedCommand unless the author may decide the plan.

    That needs the role that the plan names, or a higher one of the same pôle or of the general
    direction. Rule D49.
    """
    if not may_decide_plan(command.role, needed):
        raise RefusedCommand(403, "role_too_low", role=command.role, needed=needed)


def require_reason(command: Command) -> str:
    """Return the given reason. Raise RefusedCommand if there is none."""
    if not command.reason:
        raise RefusedCommand(409, "reason_required")
    return command.reason
