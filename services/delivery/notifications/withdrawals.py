"""Tell called people without an answer that the call is no longer needed. Pure."""

from __future__ import annotations

from typing import Final

from schemas.base import Instant
from schemas.delivery import NotificationRow
from schemas.realms import derive_id
from schemas.words import Channel, NotificationState
from services.delivery.notifications import attempts

TEMPLATE: Final = "withdrawn"
ENDS: Final = frozenset({"closed", "level_lowered", "maintenance", "inhibited"})
"""Codes of an escalation that ended and was replaced by no other call."""


def news_of(call: NotificationRow, why: str, lineage: str, now: Instant) -> NotificationRow | None:
    """Return the message that a call is no longer needed, without an attempt.

    The result is None if nobody may have heard of the call, if another call takes its place, or if
    no answer was asked for. It goes where the call went, in silence if it can: a telephone rings
    again only where there is nothing else. Its id follows from escalation and person: who was
    called in several cycles hears it once.
    """
    tried = [attempt.channel for attempt in call.attempts if attempts.is_granted(attempt)]
    if why not in ENDS or not call.answer_expected or call.campaign is not None or not tried:
        return None
    silent = tuple(channel for channel in call.channels if channel is not Channel.VOICE)
    return NotificationRow(
        id=derive_id(lineage, call.escalation or call.id, f"{TEMPLATE}:{call.person}", 0),
        incident=call.incident,
        level=call.level,
        role=call.role,
        scope=call.scope,
        person=call.person,
        channels=silent or call.channels,
        state=NotificationState.PLANNED,
        template=TEMPLATE,
        values=call.values | {"end": why},
        answer_expected=False,
        planned_at=now,
    )
