"""Help a person that sent a reply that is no answer: once per call. Pure."""

from __future__ import annotations

from typing import Final

from schemas.base import DAY_MS, Instant
from schemas.delivery import NotificationRow, ReplyUnread
from schemas.people.replies import UNPARSED_REPLY_TEMPLATE
from schemas.topics import derive_id
from schemas.words import NotificationState
from services.messages.composition import read_card_list

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
)
"""Values that the help copies from the call, to show which call it is about."""


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
