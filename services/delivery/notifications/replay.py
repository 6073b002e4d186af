"""Replay: send a notification that reached nobody again, from its first channel."""

from __future__ import annotations

from typing import Final

from schemas.base import Fact
from schemas.commands import ReplayNotification
from schemas.delivery import NotificationRow
from schemas.ranks import HOLD_ROLE, may_decide
from schemas.runtime import CommandRefused
from schemas.words import NotificationState

REPLAYABLE_STATES: Final = frozenset({NotificationState.FAILED, NotificationState.AMBIGUOUS})
_COMMAND: Final = "ReplayNotification"


def refuse_replay(
    row: NotificationRow | None, command: ReplayNotification, command_id: str
) -> list[Fact]:
    """Return the refusal of a replay; empty if it is possible."""
    if not may_decide(command.role, HOLD_ROLE):
        return [
            CommandRefused(
                command_id=command_id, command=_COMMAND, status=403, code="role_not_allowed"
            )
        ]
    if row is None:
        return [
            CommandRefused(
                command_id=command_id, command=_COMMAND, status=404, code="notification_not_found"
            )
        ]
    if row.state not in REPLAYABLE_STATES:
        values: dict[str, str | int | float | bool | None] = {"state": row.state.value}
        return [
            CommandRefused(
                command_id=command_id, command=_COMMAND, status=409, code="not_dead", values=values
            )
        ]
    return []
