"""Notifications: planned, urged, withdrawn or answered, attempted, and released from a queue.

Late, repeated and foreign claims, outcomes and receipts have no effect.
"""

from dataclasses import replace
from typing import Final

from schemas.base import MINUTE_MS, Instant
from schemas.calling import NotificationPlanned
from schemas.delivery import (
    AttemptGranted,
    AttemptOutcome,
    AttemptRow,
    ClaimAttempt,
    NotificationRow,
    ReceiptReceived,
    ReplyUnread,
)
from schemas.topics import derive_id, is_live
from schemas.words import Answer, Channel, NotificationState
from services.delivery.decision import DeliveryDecision
from services.delivery.evolve import build_terms, is_callout_over, withdraw_for_callout
from services.delivery.notifications import attempts
from services.delivery.notifications.bundling import (
    bundle_messages,
    bundle_minute,
    choose_newest_call,
    is_bundled,
    is_first_wait,
    list_covered_information,
    select_covered_messages,
    sort_by_gravity,
)
from services.delivery.notifications.channel_policies import build_planned_row
from services.delivery.replies.answers import (
    ANSWER_REASONS,
    ask_which_question,
    build_help,
    note_reply,
    record_answer,
)
from services.delivery.simulated_channels import SIMULATED_RUN
from services.delivery.state import DeliveryState

TEMPLATE: Final = "withdrawn"
PERSON_GONE: Final = "person_gone"
"""Reason of a withdrawal: the person has no role any more."""
ENDS: Final = frozenset({"closed", "level_lowered", "maintenance", "inhibited", "joined"})
"""Codes of an escalation that ended and was replaced by no other call."""


def plan_notification(draft: DeliveryDecision, event: NotificationPlanned) -> None:
    """Plan a new notification: send it now, or with others in the next digest (D36)."""
    state = draft.state
    row = build_planned_row(event, state.list_verified_channels(event.person), state.lost_at)
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
    terms: attempts.AttemptTerms | None = None,
) -> NotificationRow:
    """Plan the first attempt of a message, or let it wait.

    It waits if the person heard of the same incident within this minute. Rule D71.

    `terms`: terms of a message whose turn at its provider it is.
    """
    ends = state.bundles.minute_ends(row, now)
    waits_already = state.sending_held or (row.quiet_until is not None and now < row.quiet_until)
    if ends is None or row.attempts or not row.channels or waits_already:
        return attempts.plan_next_attempt(row, terms or build_terms(state, now))
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
        release_bundle(draft, row)
        return
    called_back = attempts.supersede_planned(row).model_copy(update={"withdrawn": why, "why": why})
    draft.record_rows(attempts.update_state(called_back))
    news = news_of(row, why, state.lineage, draft.now)
    if news is not None and news.id not in state.notifications:
        draft.record_step(news, plan_first_step(state, news, draft.now))
    if why != PERSON_GONE:
        release_bundle(draft, row)


def release_bundle(draft: DeliveryDecision, call: NotificationRow) -> None:
    """Send the information that a call contained, if the call ended before anybody heard it.

    It goes as one message. Older calls stay covered: their escalation has the answer. Rule D71.
    """
    if not call.bundle or any(attempts.is_perhaps_heard(one) for one in call.attempts):
        return
    covered_rows = list_covered_information(draft.state.notifications.values(), call.id)
    untold = tuple(row.model_copy(update={"bundled_into": None}) for row in covered_rows)
    if not untold:
        return
    first, *rest = sort_by_gravity(untold)
    carrier, *bundled_rows = bundle_messages(first, tuple(rest))
    draft.record_step(first, plan_first_step(draft.state, carrier, draft.now))
    draft.record_rows(*map(attempts.update_state, bundled_rows))


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
    """Note a reply that cannot be understood on the call, and send help once.

    A reply that may answer several questions is asked back each time.
    """
    state = draft.state
    if reply.subjects:
        ask_which_question(draft, reply)
        return
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
    if (
        why not in ENDS
        or not call.answer_expected
        or call.campaign is not None
        or not any(attempts.is_perhaps_heard(attempt) for attempt in call.attempts)
    ):
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


def decide_attempt(draft: DeliveryDecision, attempt_event: ClaimAttempt | AttemptOutcome) -> None:
    """Decide the claim of an attempt or its outcome."""
    if isinstance(attempt_event, ClaimAttempt):
        decide_claim(draft, attempt_event)
    else:
        decide_outcome(draft, attempt_event)


def decide_claim(draft: DeliveryDecision, claim: ClaimAttempt) -> None:
    """Grant a planned attempt to a sender, unless it must not be made any more."""
    state = draft.state
    row, attempt = _find(state, claim.notification, claim.attempt)
    if row is None or attempt is None or attempt.state != "planned" or not is_live(state.realm):
        return
    if is_callout_over(state, row):
        draft.record_rows(withdraw_for_callout(row))
        return
    if state.sending_held and not row.danger:
        withheld = attempts.supersede_planned(row).model_copy(update={"why": attempts.HELD})
        draft.record_rows(attempts.update_state(withheld))
        return
    policy = state.rules.channels[attempt.channel]
    draft.emit(
        AttemptGranted(
            notification=row.id,
            attempt=attempt.id,
            run=claim.run,
            channel=attempt.channel,
            person=row.person,
            limit_ms=policy.limit_ms,
        )
    )
    draft.record_rows(attempts.grant_attempt(row, attempt, claim.run, draft.now, policy))


def decide_outcome(draft: DeliveryDecision, outcome: AttemptOutcome) -> None:
    """Record the outcome of a granted attempt, and plan the next one if it failed."""
    state, now = draft.state, draft.now
    row, attempt = _find(state, outcome.notification, outcome.attempt)
    if row is None or attempt is None:
        return
    policy = state.rules.channels[attempt.channel]
    if attempt.state == "planned" and not is_live(state.realm) and outcome.run == SIMULATED_RUN:
        # nobody is called in a simulated realm: the outcome is the grant
        row = attempts.grant_attempt(row, attempt, outcome.run, now, policy)
        attempt = next(a for a in row.attempts if a.id == attempt.id)
    elif attempt.run != outcome.run or attempt.state not in ("granted", "ambiguous"):
        return
    row = attempts.change_attempt(row, attempt, parts=outcome.parts, receipts=outcome.receipts)
    match outcome.outcome:
        case "accepted":
            wait_ms = policy.receipt_ms if outcome.receipts else None
            after = attempts.mark_accepted(row, attempt, now, outcome.provider_id, wait_ms)
        case "failed":
            after = attempts.mark_failed(
                row, attempt, now, outcome.error, retry=outcome.retry, asked_s=outcome.retry_after_s
            )
        case "ambiguous" if attempt.state == "ambiguous":
            return
        case "ambiguous":
            after = attempts.mark_ambiguous(row, attempt, now, outcome.error)
    draft.record_attempt(row, after)


def decide_receipt(draft: DeliveryDecision, receipt: ReceiptReceived) -> None:
    """Record a receipt of a provider; a failure there leads to the next channel."""
    row, attempt = _find(draft.state, receipt.notification, receipt.attempt)
    if (
        row is None
        or attempt is None
        or not attempts.is_granted(attempt)
        or attempt.state == "received"
    ):
        return
    if receipt.state == "received":
        draft.record_step(row, attempts.mark_received(row, attempt, draft.now))
    elif attempt.state != "failed":
        failed_row = attempts.mark_failed(row, attempt, draft.now, receipt.error, retry=False)
        draft.record_attempt(row, failed_row)


def on_attempt_due(draft: DeliveryDecision, row: NotificationRow, number: int) -> None:
    """Continue after the time of an attempt: no outcome, no receipt, or the next one is due."""
    attempt = row.attempts[number - 1]
    match attempt.state:
        case "granted":
            after = attempts.mark_ambiguous(row, attempt, draft.now, attempts.NO_OUTCOME)
        case "accepted":
            after = attempts.mark_without_receipt(row, attempt)
        case _:
            after = attempts.change_attempt(row, attempt, due=None)
    draft.record_attempt(row, after)


def on_outcome_lost(draft: DeliveryDecision, row: NotificationRow) -> None:
    """Mark an open attempt as ambiguous after a declared loss."""
    open_attempt = attempts.find_open_attempt(row)
    if open_attempt is None:
        draft.record_attempt(row, row)
    else:
        after = attempts.mark_ambiguous(row, open_attempt, draft.now, attempts.LOSS)
        draft.record_attempt(row, after)


def _find(
    state: DeliveryState, notification: str, attempt: str
) -> tuple[NotificationRow | None, AttemptRow | None]:
    row = state.notifications.get(notification)
    return row, attempts.find_attempt(row, attempt) if row is not None else None


def on_channel_free(draft: DeliveryDecision, channel: Channel) -> None:
    """Send the messages next in the queue of this provider."""
    state, now = draft.state, draft.now
    terms = replace(draft.build_terms(), is_open=lambda _row, _channel: True)
    room = state.pacing.room(channel, state.rules.channels[channel], now)
    ids = state.pacing.first(channel, room)
    while ids:
        bundled_count = sum(_send_or_bundle(draft, state.notifications[id], terms) for id in ids)
        ids = draft.state.pacing.first(channel, bundled_count)


def _send_or_bundle(
    draft: DeliveryDecision, row: NotificationRow, terms: attempts.AttemptTerms
) -> bool:
    """Send the next message of a provider; return whether it waits for a digest instead (D36)."""
    until = draft.state.bundles.until(row, draft.state.rules, draft.now)
    if until is None or not is_first_wait(row, draft.state.rules, draft.now):
        draft.record_step(row, plan_first_step(draft.state, row, draft.now, terms))
        return False
    waiting = {"why": attempts.BUNDLED, "not_before": until, "waits_for": None}
    draft.record_rows(attempts.update_state(row.model_copy(update=waiting)))
    return True


def on_held_message_due(draft: DeliveryDecision, row: NotificationRow) -> None:
    """Send messages that waited for the end of the hold, information as one per person (D36).

    Messages whose quiet hours have not ended stay for themselves, and so do those with an attempt
    or with other channels.
    """
    state, now = draft.state, draft.now
    if not _is_held_information(row, now):
        draft.record_step(row, plan_first_step(state, row, now))
        return
    others = (state.notifications[id] for id in state.held)
    mine = tuple(
        other
        for other in others
        if (other.person, other.channels) == (row.person, row.channels)
        and _is_held_information(other, now)
    )
    first, *rest = sort_by_gravity(mine)
    carrier, *bundled_rows = bundle_messages(first, tuple(rest))
    draft.record_step(first, plan_first_step(state, carrier, now))
    draft.record_rows(*map(attempts.update_state, bundled_rows))


def _is_held_information(row: NotificationRow, now: Instant) -> bool:
    """Check whether a message that waits for the end of a hold may go with others."""
    is_quiet = row.quiet_until is not None and now < row.quiet_until
    return is_bundled(row) and bool(row.channels) and not row.attempts and not is_quiet


def on_later_message_due(draft: DeliveryDecision, row: NotificationRow) -> None:
    """Send a message that waited for an hour: alone, or with others of its person."""
    if row.why == attempts.BUNDLED:
        _send_digest(draft, row)
    elif row.why == attempts.SAME_MINUTE:
        _send_minute(draft, row)
    elif row.id in draft.state.bundles.quiet.get(row.person, ()):
        _send_after_quiet_hours(draft, row)
    else:
        draft.record_attempt(row, row)


def _send_digest(draft: DeliveryDecision, row: NotificationRow) -> None:
    """Send one message for all that this person waits for."""
    waiting = draft.state.bundles.waiting.get(row.person, ())
    others = tuple(draft.state.notifications[id] for id in waiting if id != row.id)
    carrier, *bundled_rows = bundle_messages(row, others)
    draft.record_step(row, plan_first_step(draft.state, carrier, draft.now))
    draft.record_rows(*map(attempts.update_state, bundled_rows))


def _send_minute(draft: DeliveryDecision, row: NotificationRow) -> None:
    """Send the messages that waited for the end of a minute as one.

    It waits longer if the person heard of danger meanwhile, or is being called.
    """
    state, now = draft.state, draft.now
    waiting = (state.notifications[id] for id in state.bundles.minute.get(row.person, ()))
    same = tuple(one for one in waiting if one.incident == row.incident)
    first, *bundled_rows = bundle_minute(same)
    ends = None if state.sending_held else state.bundles.minute_ends(first, now)
    if ends is not None:
        draft.record_rows(*(one.model_copy(update={"not_before": ends}) for one in same))
        return
    draft.record_attempt(state.notifications[first.id], first)
    draft.record_rows(*map(attempts.update_state, bundled_rows))
    sent_ids = {first.id, *(one.id for one in bundled_rows)}
    later = (one for one in same if one.id not in sent_ids)
    draft.record_rows(*(one.model_copy(update={"not_before": now + MINUTE_MS}) for one in later))


def _send_after_quiet_hours(draft: DeliveryDecision, row: NotificationRow) -> None:
    """Send one message for the messages of one kind that quiet hours held back."""
    state, now = draft.state, draft.now
    others = (state.notifications[id] for id in state.bundles.quiet[row.person] if id != row.id)
    due_rows = tuple(o for o in others if o.not_before is not None and o.not_before <= now)
    mine = select_covered_messages(row, due_rows)
    first, *bundled_rows = (
        choose_newest_call(mine) if row.answer_expected else bundle_messages(mine[0], mine[1:])
    )
    draft.record_step(state.notifications[first.id], plan_first_step(state, first, now))
    draft.record_rows(*map(attempts.update_state, bundled_rows))
