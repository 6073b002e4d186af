"""Answer the texts that people send from the field. Pure. Rule D100.

The number of answers to a person is limited within each hour, so that two programs that answer
each other stop.
"""

from __future__ import annotations

from typing import Final

from schemas.base import DAY_MS, HOUR_MS, Instant
from schemas.callouts import AGENT
from schemas.delivery import NotificationRow, TextRead
from schemas.people.replies import TEXT_ANSWERS, TextReading
from schemas.topics import derive_id
from schemas.words import Level, NotificationState
from services.delivery.decision import DeliveryDecision
from services.delivery.notifications.attempts import plan_next_attempt
from services.delivery.state import DeliveryState

ANSWERS_PER_HOUR: Final = 6
HELP_PER_DAY: Final = 1
"""Answers to texts that were not understood, the only ones that an automatic reply causes."""
MAX_AGE_MS: Final = HOUR_MS
"""Age of a text from which an answer would confuse its sender."""


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
    """Return a free id among those of the person and period; None if the text gets no answer.

    So neither a counter nor a list has to be kept.
    """
    is_help = text.reading is TextReading.NOT_UNDERSTOOD
    period_ms, limit = (DAY_MS, HELP_PER_DAY) if is_help else (HOUR_MS, ANSWERS_PER_HOUR)
    name = f"{'help' if is_help else 'text'}:{text.person}:{now // period_ms}"
    for number in range(limit):
        id = derive_id(state.lineage, "text_answers", name, number)
        earlier = state.notifications.get(id)
        if earlier is None:
            return id
        if earlier.values.get("answers") == text.text:
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
