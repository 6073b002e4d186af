"""Decisions of people that delivery owns: a table of handlers, their answers and refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from schemas.base import Command
from schemas.callouts import DraftCallOut, StartCallOut, StopCallOut
from schemas.commands import (
    AnswerCards,
    AnswerNotification,
    HoldSending,
    ReleaseSending,
    ReplayNotification,
)
from schemas.runtime import CommandApplied
from services.delivery.commands.answers import answer_notification
from services.delivery.commands.callouts import draft_callout, start_callout, stop_callout
from services.delivery.commands.sending import hold_sending, release_sending, replay_notification
from services.delivery.decision import DeliveryDecision
from services.delivery.replies.card_answers import answer_cards
from services.runtime.decider.refusal import CommandResult, RefusedCommand

HANDLERS: Final[Mapping[type[Command], Callable[[DeliveryDecision, Any], CommandResult]]] = {
    AnswerNotification: answer_notification,
    AnswerCards: answer_cards,
    HoldSending: hold_sending,
    ReleaseSending: release_sending,
    ReplayNotification: replay_notification,
    DraftCallOut: draft_callout,
    StartCallOut: start_callout,
    StopCallOut: stop_callout,
}
"""Handler of each command of delivery. A handler refuses before it records anything."""


def apply_command(draft: DeliveryDecision, command_id: str, command: Command) -> None:
    """Apply a command and record the result, or record its refusal alone."""
    handler = HANDLERS.get(type(command))
    if handler is None:
        return
    try:
        result = handler(draft, command)
    except RefusedCommand as refused:
        draft.emit(refused.to_fact(command_id, command))
        return
    draft.emit(CommandApplied(command_id=command_id, command=type(command).__name__, result=result))
