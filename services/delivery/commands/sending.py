"""Decisions about all sending (hold and release) and about one message (replay)."""

from __future__ import annotations

from typing import Final

from schemas.base import Command
from schemas.commands import HoldSending, ReleaseSending, ReplayNotification
from schemas.delivery import HoldChanged, HoldRow
from schemas.ranks import HOLD_ROLE, may_decide
from schemas.words import NotificationState
from services.delivery.decision import DeliveryDecision
from services.delivery.notifications.attempts import restart_attempts
from services.delivery.notifications.channel_order import choose_channels
from services.runtime.decider.refusal import CommandResult, RefusedCommand

REPLAYABLE_STATES: Final = frozenset({NotificationState.FAILED, NotificationState.AMBIGUOUS})


def hold_sending(draft: DeliveryDecision, command: HoldSending) -> CommandResult:
    """Hold sending, except danger to people, or move the end; needs a reason and a future end."""
    _require_right(command)
    if not command.reason:
        raise RefusedCommand(409, "reason_required")
    if command.until <= draft.now:
        raise RefusedCommand(409, "until_past")
    row = HoldRow(
        held=True, until=command.until, by=command.author, reason=command.reason, since=draft.now
    )
    draft.emit(HoldChanged(row=row))
    return {"until": command.until}


def release_sending(draft: DeliveryDecision, command: ReleaseSending) -> CommandResult:
    """End a hold before its time."""
    _require_right(command)
    if not draft.state.sending_held:
        raise RefusedCommand(409, "not_held")
    row = HoldRow(held=False, by=command.author, reason=command.reason, since=draft.now)
    draft.emit(HoldChanged(row=row))
    return {}


def on_hold_end(draft: DeliveryDecision) -> None:
    """Record that the hold reached its end."""
    draft.emit(HoldChanged(row=HoldRow(held=False, reason="until_reached", since=draft.now)))


def replay_notification(draft: DeliveryDecision, command: ReplayNotification) -> CommandResult:
    """Send a notification that reached nobody again, from its first channel."""
    _require_right(command)
    row = draft.state.notifications.get(command.notification)
    if row is None:
        raise RefusedCommand(404, "notification_not_found")
    if row.state not in REPLAYABLE_STATES:
        raise RefusedCommand(409, "not_dead", state=row.state.value)
    verified = draft.state.verified(row.person)
    channels = choose_channels(row.channels, verified) or verified
    draft.record_attempt(row, restart_attempts(row, channels))
    return {"notification": row.id}


def _require_right(command: Command) -> None:
    if not may_decide(command.role, HOLD_ROLE):
        raise RefusedCommand(403, "role_not_allowed")
