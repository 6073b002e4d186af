"""Answers of people to notifications: by link, reply, key or page. Rule D33."""

from __future__ import annotations

from typing import Final

from schemas.base import Fact, Instant
from schemas.calling import AnswerReceived
from schemas.commands import AnswerNotification
from schemas.delivery import NotificationChanged, NotificationRow
from schemas.runtime import CommandApplied
from schemas.words import Answer, Channel
from services.delivery.notifications.attempts import is_granted, supersede_planned, update_state
from services.runtime.decider.refusal import RefusedCommand

_COMMAND = "AnswerNotification"
ANSWER_REASONS: Final = frozenset(Answer)
"""Reasons of a withdrawal that are answers."""


def record_answer(row: NotificationRow, answer: Answer, now: Instant) -> NotificationRow:
    """Record an answer on a row; `acknowledged_at` stays the time of the first one."""
    told = supersede_planned(row).model_copy(
        update={"answer": answer.value, "acknowledged_at": row.acknowledged_at or now, "why": None}
    )
    return update_state(told)


def _find_proved_channel(row: NotificationRow, command: AnswerNotification) -> Channel | None:
    """Return the channel that this answer proves to work, if it is certain.

    It is the channel of the answer, or for a link the only channel that did not fail.
    """
    made = {a.channel for a in row.attempts if is_granted(a) and a.state != "failed"}
    if command.channel == "link":
        return next(iter(made)) if len(made) == 1 else None
    return next((c for c in made if c.value == command.channel and c is not Channel.APP), None)


def decide_answer(
    row: NotificationRow | None, command: AnswerNotification, command_id: str, now: Instant
) -> list[Fact]:
    """Decide an answer of a person.

    It counts in every state: late, to a withdrawn call, before any receipt. The same answer again
    has no effect. A different one replaces the first, because a person that said yes may be unable
    to come.
    """
    if row is None:
        raise RefusedCommand(404, "notification_not_found")
    values: dict[str, str | int | float | bool | None] = {"notification": row.id}
    if command.person != row.person:
        raise RefusedCommand(403, "not_addressee", **values)
    if not row.answer_expected:
        raise RefusedCommand(409, "answer_not_expected", **values)
    instead = command.instead if command.answer is Answer.DECLINE else None
    repeated = row.answer == command.answer.value and instead is None
    applied = CommandApplied(
        command_id=command_id,
        command=_COMMAND,
        result={**values, "answer": command.answer.value, "repeated": repeated},
    )
    if repeated:
        return [applied]
    return [
        NotificationChanged(row=record_answer(row, command.answer, now)),
        AnswerReceived(
            notification=row.id,
            person=row.person,
            answer=command.answer,
            channel=command.channel,
            at=now,
            instead=instead,
            proved=_find_proved_channel(row, command),
        ),
        applied,
    ]
