"""Replay: send a notification that reached nobody again, from its first channel."""

from __future__ import annotations

from typing import Final

from schemas.base import Fact
from schemas.commands import ReplayNotification
from schemas.delivery import NotificationRow
from schemas.ranks import HOLDER, may_decide
from schemas.runtime import CommandRefused
from schemas.words import NotificationState

REPLAYED: Final = frozenset({NotificationState.FAILED, NotificationState.AMBIGUOUS})
_COMMAND: Final = "ReplayNotification"


def refused_replay(
    row: NotificationRow | None, command: ReplayNotification, command_id: str
) -> list[Fact]:
    """Return the refusal of a replay; empty if it is possible."""
    if not may_decide(command.role, HOLDER):
        return [
            CommandRefused(
                command_id=command_id, command=_COMMAND, status=403, code="role_not_allowed"
            )
        ]
    if row is None:
        return [
            CommandRefused(
                command_id=command_id, command=_COMMAND, status=404, code="notification_unknown"
            )
        ]
    if row.state not in REPLAYED:
        values: dict[str, str | int | float | bool | None] = {"state": row.state.value}
        return [
            CommandRefused(
                command_id=command_id, command=_COMMAND, status=409, code="not_dead", values=values
            )
        ]
    return []
