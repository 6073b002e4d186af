"""Answers of people on the rows of their notifications. Rule D33. Pure."""

from __future__ import annotations

from typing import Final

from schemas.base import Instant
from schemas.delivery import NotificationRow
from schemas.words import Answer
from services.delivery.notifications.attempts import supersede_planned, update_state

ANSWER_REASONS: Final = frozenset(Answer)
"""Reasons of a withdrawal that are answers."""


def record_answer(row: NotificationRow, answer: Answer, now: Instant) -> NotificationRow:
    """Record an answer on a row; `acknowledged_at` stays the time of the first one."""
    answered = supersede_planned(row).model_copy(
        update={"answer": answer.value, "acknowledged_at": row.acknowledged_at or now, "why": None}
    )
    return update_state(answered)
