"""Refusals of decisions: HTTP status, stable code, values for the sentence."""

from __future__ import annotations

from typing import Literal

from schemas.base import Command
from schemas.ranks import may_decide, may_decide_plan

AnswerValue = str | int | float | bool | None
DecisionAnswer = dict[str, AnswerValue]
"""Answer to a decision."""


class DecisionRefused(Exception):
    """Error: a decision is refused."""

    def __init__(
        self, status: Literal[403, 404, 409, 412], code: str, **values: AnswerValue
    ) -> None:
        super().__init__(code)
        self.status: Literal[403, 404, 409, 412] = status
        self.code, self.values = code, values


def require_role(command: Command, needed: str) -> None:
    """Raise Refused unless the author has the needed role or a higher one. Rule D49."""
    if not may_decide(command.role, needed):
        raise DecisionRefused(403, "role_too_low", role=command.role, needed=needed)


def require_plan_role(command: Command, needed: str) -> None:
    """Raise Refused unless the author may decide the plan.

    That needs the role that the plan names, or a higher one of the same pôle or of the general
    direction. Rule D49.
    """
    if not may_decide_plan(command.role, needed):
        raise DecisionRefused(403, "role_too_low", role=command.role, needed=needed)


def require_reason(command: Command) -> str:
    """Return the given reason. Raise Refused if there is none."""
    if not command.reason:
        raise DecisionRefused(409, "reason_required")
    return command.reason
