"""Answers about action cards by number, and answers of people on their notifications. Pure.

A number is read against its message, and confirmed. Rules D33 and D84.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from schemas.base import Instant
from schemas.commands import AnswerCards
from schemas.continuity import CardAnswerSettled, CardsAnswered
from schemas.delivery import NotificationRow
from schemas.topics import derive_id
from schemas.words import Answer, Channel, NotificationState
from services.delivery.decision import DeliveryDecision
from services.delivery.notifications.attempts import (
    plan_next_attempt,
    supersede_planned,
    update_state,
)
from services.messages.composition import read_card_list
from services.runtime.decider.protocol import CommandResult, RefusedCommand

TEMPLATE: Final = "cards_answered"
ANSWER_REASONS: Final = frozenset(Answer)
"""Reasons of a withdrawal that are answers."""


def record_answer(row: NotificationRow, answer: Answer, now: Instant) -> NotificationRow:
    """Record an answer on a row; `acknowledged_at` stays the time of the first one."""
    answered_row = supersede_planned(row).model_copy(
        update={"answer": answer.value, "acknowledged_at": row.acknowledged_at or now, "why": None}
    )
    return update_state(answered_row)


def answer_cards(draft: DeliveryDecision, command: AnswerCards) -> CommandResult:
    """Pass an answer on to continuity, with the cards of its message."""
    row = draft.state.notifications.get(command.notification)
    if row is None:
        raise RefusedCommand(404, "notification_not_found")
    if command.person != row.person:
        raise RefusedCommand(403, "not_addressee", notification=row.id)
    cards = read_card_list(row)
    if not cards:
        raise RefusedCommand(409, "answer_not_expected", notification=row.id)
    draft.emit(
        CardsAnswered(
            notification=row.id,
            person=row.person,
            role=row.role,
            change=command.change,
            cards=cards,
            numbers=command.numbers,
            channel=command.channel,
            reason=command.reason,
        )
    )
    return {"notification": row.id, "cards": len(cards)}


def confirm_card_answer(draft: DeliveryDecision, event: CardAnswerSettled) -> None:
    """Tell the person the changed cards, and the faults of the answer.

    There is one message per change of a card, and one per list for answers that change nothing,
    even for a program that answers everything.
    """
    call = draft.state.notifications.get(event.notification)
    if call is None or call.person != event.person:
        return
    if not event.applied:
        if call.unread_at is not None:
            return
        call = call.model_copy(update={"unread_at": draft.now})
        draft.record_rows(call)
    row = build_confirmation(call, event, draft.state.lineage, draft.now)
    if row.id not in draft.state.notifications:
        draft.record_step(row, plan_next_attempt(row, draft.build_terms()))


def build_confirmation(
    call: NotificationRow, event: CardAnswerSettled, lineage: str, now: Instant
) -> NotificationRow:
    """Build the message, without an attempt; its id follows from the changed cards."""
    values: dict[str, str | int | float | bool | None] = {
        "site": call.values.get("site"),
        "change": event.change.value,
        "applied": _join(event.applied),
        "missing": event.missing,
        "photos": _join(event.photos),
        "still": None if event.missing == "reason" else event.left,
    }
    for why in ("unknown", "closed", "over"):
        values[why] = _join(one.number for one in event.refused if one.why == why)
    change_key = f"{event.change.value}:{values['applied']}" if event.applied else ""
    return NotificationRow(
        id=derive_id(lineage, call.id, f"{TEMPLATE}:{change_key}", 0),
        incident=call.incident,
        level=call.level,
        role=call.role,
        scope=call.scope,
        person=call.person,
        channels=(Channel(event.channel),),
        state=NotificationState.PLANNED,
        template=TEMPLATE,
        values=values,
        answer_expected=False,
        planned_at=now,
    )


def _join(numbers: Iterable[int]) -> str | None:
    return "|".join(map(str, numbers)) or None
