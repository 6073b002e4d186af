"""Hold: stop all sending until a given time, except messages about danger to people."""

from __future__ import annotations

from schemas.base import Fact, Instant
from schemas.commands import HoldSending, ReleaseSending
from schemas.delivery import HoldChanged, HoldRow
from schemas.ranks import HOLD_ROLE, may_decide
from schemas.runtime import CommandApplied
from services.runtime.decider.refusal import RefusedCommand


def decide_hold(command: HoldSending, command_id: str, now: Instant) -> list[Fact]:
    """Hold sending, or move the end of a hold; needs a reason and a future end."""
    if not may_decide(command.role, HOLD_ROLE):
        raise RefusedCommand(403, "role_not_allowed")
    if not command.reason:
        raise RefusedCommand(409, "reason_required")
    if command.until <= now:
        raise RefusedCommand(409, "until_past")
    row = HoldRow(
        held=True, until=command.until, by=command.author, reason=command.reason, since=now
    )
    return [
        HoldChanged(row=row),
        CommandApplied(
            command_id=command_id, command="HoldSending", result={"until": command.until}
        ),
    ]


def decide_release(
    hold: HoldRow | None, command: ReleaseSending, command_id: str, now: Instant
) -> list[Fact]:
    """End a hold before its time."""
    if not may_decide(command.role, HOLD_ROLE):
        raise RefusedCommand(403, "role_not_allowed")
    if hold is None or not hold.held:
        raise RefusedCommand(409, "not_held")
    released = HoldRow(held=False, by=command.author, reason=command.reason, since=now)
    return [
        HoldChanged(row=released),
        CommandApplied(command_id=command_id, command="ReleaseSending"),
    ]


def expire_hold(now: Instant) -> HoldChanged:
    """Record that the hold reached its end."""
    return HoldChanged(row=HoldRow(held=False, reason="until_reached", since=now))
