"""A person wrote back what is no answer: they are told once how to answer that call. Pure."""

from __future__ import annotations

from typing import Final

from schemas.base import DAY_MS, Instant
from schemas.delivery import NotificationRow, ReplyUnread
from schemas.realms import derive_id
from schemas.replies import UNREAD
from schemas.words import NotificationState

HELPED_MS: Final = DAY_MS
"""From the call: whoever writes later writes of something else."""

ABOUT: Final = (
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
"""What the help takes over from the call, so that it says which call it is about."""


def noted(row: NotificationRow | None, told: ReplyUnread, now: Instant) -> NotificationRow | None:
    """The call with these words noted; None when nothing comes of them: no such call of theirs, an old one, or not the first such words."""
    if (
        row is None
        or row.person != told.person
        or not row.answer_expected
        or row.unread_at is not None
    ):
        return None
    return row.model_copy(update={"unread_at": now}) if now - row.planned_at <= HELPED_MS else None


def help_of(
    call: NotificationRow, told: ReplyUnread, lineage: str, now: Instant
) -> NotificationRow:
    """The message that says how to answer, without an attempt.

    Its id follows from the call, so there is one at most, also to a program that answers everything. It takes its turn as the call did: those of a call-out may be thousands.
    """
    about = {name: call.values[name] for name in ABOUT if name in call.values}
    values = about | {
        "headcount": call.template == "headcount",
        "answered": call.answer is not None,
    }
    return NotificationRow(
        id=derive_id(lineage, call.id, UNREAD, 0),
        incident=call.incident,
        level=call.level,
        role=call.role,
        scope=call.scope,
        person=call.person,
        channels=(told.channel,),
        state=NotificationState.PLANNED,
        template=UNREAD,
        values=values,
        answer_expected=False,
        danger=call.danger,
        planned_at=now,
        campaign=None if call.campaign is None else f"{call.campaign}/unread",
    )
