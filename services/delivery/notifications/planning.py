"""First steps of a notification: planned, urged, withdrawn, or answered in another way."""

from __future__ import annotations

from typing import Final

from schemas.base import Instant
from schemas.calling import NotificationPlanned
from schemas.delivery import NotificationRow, ReplyUnread
from schemas.realms import derive_id
from schemas.words import Answer, Channel, NotificationState
from services.delivery.decision import DeliveryDecision
from services.delivery.evolve import build_terms
from services.delivery.notifications import attempts
from services.delivery.notifications.channel_policies import build_planned_row
from services.delivery.replies.card_answers import ANSWER_REASONS, record_answer
from services.delivery.replies.unparsed_replies import build_help, note_reply
from services.delivery.state import DeliveryState

TEMPLATE: Final = "withdrawn"
ENDS: Final = frozenset({"closed", "level_lowered", "maintenance", "inhibited"})
"""Codes of an escalation that ended and was replaced by no other call."""


def plan_notification(draft: DeliveryDecision, planned: NotificationPlanned) -> None:
    """Plan a new notification: send it now, or with others in the next digest (D36)."""
    state = draft.state
    row = build_planned_row(planned, state.verified(planned.person), state.lost_at)
    until = state.bundles.until(row, state.rules, draft.now)
    if until is not None and row.channels:
        waiting = row.model_copy(update={"why": attempts.BUNDLED, "not_before": until})
        draft.record_rows(attempts.update_state(waiting))
    else:
        draft.record_step(row, plan_first_step(state, row, draft.now))


def plan_first_step(
    state: DeliveryState,
    row: NotificationRow,
    now: Instant,
    freed: attempts.AttemptTerms | None = None,
) -> NotificationRow:
    """Plan the first attempt of a message, or let it wait.

    It waits if the person heard of the same incident within this minute. Rule D71.

    `freed`: terms of a message whose turn at its provider it is.
    """
    ends = state.bundles.minute_ends(row, now)
    waits_already = state.sending_held or (row.quiet_until is not None and now < row.quiet_until)
    if ends is None or row.attempts or not row.channels or waits_already:
        return attempts.plan_next_attempt(row, freed or build_terms(state, now))
    waiting = row.model_copy(
        update={"why": attempts.SAME_MINUTE, "not_before": ends, "waits_for": None}
    )
    return attempts.update_state(waiting)


def withdraw_notification(draft: DeliveryDecision, notification: str, why: str) -> None:
    """Withdraw a notification, or record an answer that a person gave in another way.

    Such an answer came by a page or by another call of the same escalation.
    """
    state = draft.state
    row = state.notifications.get(notification)
    if row is None or attempts.is_settled(row):
        return
    if why in ANSWER_REASONS:
        draft.record_rows(record_answer(row, Answer(why), draft.now))
        return
    called_back = attempts.supersede_planned(row).model_copy(update={"withdrawn": why, "why": why})
    draft.record_rows(attempts.update_state(called_back))
    news = news_of(row, why, state.lineage, draft.now)
    if news is not None and news.id not in state.notifications:
        draft.record_step(news, plan_first_step(state, news, draft.now))


def urge_notification(draft: DeliveryDecision, notification: str) -> None:
    """Mark a notification as danger, and send it if it is waiting for any reason."""
    row = draft.state.notifications.get(notification)
    if (
        row is None
        or row.danger
        or attempts.is_settled(row)
        or row.state is NotificationState.FAILED
    ):
        return
    draft.record_attempt(row, row.model_copy(update={"danger": True, "quiet_until": None}))


def answer_unread_reply(draft: DeliveryDecision, reply: ReplyUnread) -> None:
    """Note a reply that cannot be understood on the call, and send help once."""
    state = draft.state
    call = note_reply(state.notifications.get(reply.notification), reply, draft.now)
    if call is None:
        return
    help_row = build_help(call, reply, state.lineage, draft.now)
    terms = draft.build_terms()
    draft.record_rows(call)
    draft.record_step(help_row, attempts.plan_next_attempt(help_row, terms))


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
