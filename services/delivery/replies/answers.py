"""Answer people: about cards by number, texts from the field, replies that are no answer. Pure.

A number is read against its message, and confirmed. Rules D33 and D84.

The number of answers to a person is limited within each hour, so that two programs that answer
each other stop.
"""

from collections.abc import Iterable
from typing import Final

from schemas.base import DAY_MS, HOUR_MS, Instant
from schemas.callouts import AGENT
from schemas.commands import AnswerCards
from schemas.continuity import CardAnswerSettled, CardsAnswered
from schemas.delivery import NotificationRow, ReplyUnread, TextRead
from schemas.people.replies import (
    TEXT_ANSWERS,
    UNCLEAR_REPLY_TEMPLATE,
    UNPARSED_REPLY_TEMPLATE,
    TextReading,
)
from schemas.topics import derive_id
from schemas.words import Answer, Channel, Level, NotificationState
from services.delivery.decision import DeliveryDecision
from services.delivery.notifications.attempts import (
    plan_next_attempt,
    supersede_planned,
    update_state,
)
from services.delivery.state import DeliveryState
from services.messages.composition import read_card_list
from services.runtime.decider.protocol import CommandResult, RefusedCommand

TEMPLATE: Final = "cards_answered"
ANSWER_REASONS: Final = frozenset(Answer)
"""Reasons of a withdrawal that are answers."""
ANSWERS_PER_HOUR: Final = 6
HELP_PER_DAY: Final = 1
"""Answers to texts that were not understood, the only ones that an automatic reply causes."""
MAX_AGE_MS: Final = HOUR_MS
"""Age of a text from which an answer would confuse its sender."""
HELP_PERIOD_MS: Final = DAY_MS
"""Time from the call; later replies are about something else."""
COPIED_VALUES: Final = (
    "number",
    "kind",
    "event",
    "members",
    "communes",
    "commune",
    "places",
    "only_site",
    "since",
    "site",
    "order",
    "area_order",
    "task",
)
"""Values that the help copies from the call, to show which call it is about."""


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


def answer_text(draft: DeliveryDecision, text: TextRead) -> None:
    """Answer a text once, unless it is old or its sender had too many answers."""
    if draft.now - text.sent_at > MAX_AGE_MS:
        return
    row_id = _choose_id(draft.state, text, draft.now)
    if row_id is None:
        return
    row = _build_answer(row_id, text, draft.now)
    draft.record_step(row, plan_next_attempt(row, draft.build_terms()))


def _choose_id(state: DeliveryState, text: TextRead, now: Instant) -> str | None:
    """Return a free id among those of the person and period; None if the text gets no answer."""
    is_help = text.reading is TextReading.NOT_UNDERSTOOD
    period_ms, limit = (DAY_MS, HELP_PER_DAY) if is_help else (HOUR_MS, ANSWERS_PER_HOUR)
    name = f"{'help' if is_help else 'text'}:{text.person}:{now // period_ms}"
    return _choose_free_id(state, name, limit, text.text)


def _choose_free_id(state: DeliveryState, name: str, limit: int, text: str) -> str | None:
    """Return the first free id of a name; None beyond the limit, or if the text has its answer.

    So neither a counter nor a list has to be kept.
    """
    for number in range(limit):
        id = derive_id(state.lineage, "text_answers", name, number)
        earlier = state.notifications.get(id)
        if earlier is None:
            return id
        if earlier.values.get("answers") == text:
            return None
    return None


def _build_answer(id: str, text: TextRead, now: Instant) -> NotificationRow:
    """Build the message, without an attempt. Danger passes a hold."""
    return NotificationRow(
        id=id,
        level=Level.N0,
        role=AGENT,
        person=text.person,
        channels=(text.channel,),
        state=NotificationState.PLANNED,
        template=TEXT_ANSWERS[text.reading],
        values={
            "answers": text.text,
            "event": None if text.type is None else text.type.value,
            "site": text.site,
        },
        answer_expected=False,
        danger=text.danger,
        planned_at=now,
    )


def ask_which_question(draft: DeliveryDecision, reply: ReplyUnread) -> None:
    """Ask which of several questions a reply answers, each time within the limit.

    A need for help is counted before, and passes a hold. Rule D33.
    """
    call = draft.state.notifications.get(reply.notification)
    if call is None or call.person != reply.person:
        return
    name = f"unclear:{reply.person}:{draft.now // HOUR_MS}"
    row_id = _choose_free_id(draft.state, name, ANSWERS_PER_HOUR, reply.reply)
    if row_id is None:
        return
    row = NotificationRow(
        id=row_id,
        level=call.level,
        role=call.role,
        scope=call.scope,
        person=call.person,
        channels=(reply.channel,),
        state=NotificationState.PLANNED,
        template=UNCLEAR_REPLY_TEMPLATE,
        values={
            "answers": reply.reply,
            "subjects": "|".join(subject.value for subject in reply.subjects),
            "help": reply.is_help,
        },
        answer_expected=False,
        danger=call.danger or reply.is_help,
        planned_at=draft.now,
    )
    draft.record_step(row, plan_next_attempt(row, draft.build_terms()))


def note_reply(
    row: NotificationRow | None, reply: ReplyUnread, now: Instant
) -> NotificationRow | None:
    """Note the reply on the call; None if no help follows.

    That is so if the call is unknown, of another person or old, or had help before.
    """
    if (
        row is None
        or row.person != reply.person
        or not (row.answer_expected or read_card_list(row))
        or row.unread_at is not None
    ):
        return None
    return (
        row.model_copy(update={"unread_at": now})
        if now - row.planned_at <= HELP_PERIOD_MS
        else None
    )


def build_help(
    call: NotificationRow, reply: ReplyUnread, lineage: str, now: Instant
) -> NotificationRow:
    """Build the message that explains how to answer, without an attempt.

    Its id follows from the call, so there is at most one, even for a program that answers
    everything. It waits like its call: a call-out may cause thousands.
    """
    about = {name: call.values[name] for name in COPIED_VALUES if name in call.values}
    values = about | {
        "headcount": call.template == "headcount",
        "card_list": not call.answer_expected,
        "answered": call.answer is not None,
    }
    return NotificationRow(
        id=derive_id(lineage, call.id, UNPARSED_REPLY_TEMPLATE, 0),
        incident=call.incident,
        level=call.level,
        role=call.role,
        scope=call.scope,
        person=call.person,
        channels=(reply.channel,),
        state=NotificationState.PLANNED,
        template=UNPARSED_REPLY_TEMPLATE,
        values=values,
        answer_expected=False,
        danger=call.danger,
        planned_at=now,
        campaign=None if call.campaign is None else f"{call.campaign}/unread",
    )
