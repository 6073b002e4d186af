"""Decide answers of people to notifications: by link, reply, key or page. Rule D33."""

from __future__ import annotations

from schemas.calling import AnswerReceived
from schemas.commands import AnswerNotification
from schemas.delivery import NotificationRow
from schemas.words import Answer, Channel
from services.delivery.decision import DeliveryDecision
from services.delivery.notifications.attempts import is_granted
from services.delivery.replies.answers import record_answer
from services.runtime.decider.refusal import CommandResult, RefusedCommand


def answer_notification(draft: DeliveryDecision, command: AnswerNotification) -> CommandResult:
    """Decide an answer of a person.

    It counts in every state: late, to a withdrawn call, before any receipt. The same answer again
    has no effect. A different one replaces the first, because a person that said yes may be unable
    to come.
    """
    row = draft.state.notifications.get(command.notification)
    if row is None:
        raise RefusedCommand(404, "notification_not_found")
    if command.person != row.person:
        raise RefusedCommand(403, "not_addressee", notification=row.id)
    if not row.answer_expected:
        raise RefusedCommand(409, "answer_not_expected", notification=row.id)
    instead = command.instead if command.answer is Answer.DECLINE else None
    repeated = row.answer == command.answer.value and instead is None
    if not repeated:
        draft.record_rows(record_answer(row, command.answer, draft.now))
        draft.emit(
            AnswerReceived(
                notification=row.id,
                person=row.person,
                answer=command.answer,
                channel=command.channel,
                at=draft.now,
                instead=instead,
                proved=_find_proved_channel(row, command),
            )
        )
    return {"notification": row.id, "answer": command.answer.value, "repeated": repeated}


def _find_proved_channel(row: NotificationRow, command: AnswerNotification) -> Channel | None:
    """Return the channel that this answer proves to work, if it is certain.

    It is the channel of the answer, or for a link the only channel that did not fail.
    """
    made = {a.channel for a in row.attempts if is_granted(a) and a.state != "failed"}
    if command.channel == "link":
        return next(iter(made)) if len(made) == 1 else None
    return next((c for c in made if c.value == command.channel and c is not Channel.APP), None)
