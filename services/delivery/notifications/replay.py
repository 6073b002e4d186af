"""Replay: send a notification that reached nobody again, from its first channel."""

from __future__ import annotations

from typing import Final

from schemas.commands import ReplayNotification
from schemas.delivery import NotificationRow
from schemas.ranks import HOLD_ROLE, may_decide
from schemas.words import NotificationState
from services.runtime.decider.refusal import RefusedCommand

REPLAYABLE_STATES: Final = frozenset({NotificationState.FAILED, NotificationState.AMBIGUOUS})


def require_replayable(row: NotificationRow | None, command: ReplayNotification) -> NotificationRow:
    """Return the notification; refuse a replay without the right (403) or without need (409)."""
    if not may_decide(command.role, HOLD_ROLE):
        raise RefusedCommand(403, "role_not_allowed")
    if row is None:
        raise RefusedCommand(404, "notification_not_found")
    if row.state not in REPLAYABLE_STATES:
        raise RefusedCommand(409, "not_dead", state=row.state.value)
    return row
