"""Steps of one notification through its attempts, from row to row. Pure.

An attempt is `planned` until a sender claims it, `granted` to one run, then `mark_accepted` →
`mark_received`, `mark_failed` or `ambiguous`. It is `superseded` if it was never granted and is not
needed. Only the newest attempt can be open, so one channel at a time calls the person.
`derive_state` derives the state of the notification from the row; never set it by hand.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.base import Instant
from schemas.delivery import AttemptRow, NotificationRow
from schemas.topics import derive_id
from schemas.words import Channel, NotificationState
from services.delivery.notifications.channel_policies import (
    FALLBACK_CHANNELS,
    LONGEST_ASKED_PAUSE_MS,
    ChannelPolicy,
    DoubtPolicy,
    get_pause_ms,
    is_never_waiting,
)

HELD = "held"
PACED = "paced"
QUIET_HOURS = "quiet_hours"
BUNDLED = "bundled"
SAME_MINUTE = "same_minute"
WAIT_REASONS = frozenset({HELD, PACED, QUIET_HOURS, BUNDLED, SAME_MINUTE})
"""Reasons to plan no attempt yet.

A hold, the provider's pace, the hours of a channel, the next digest, or a message about the same
incident less than a minute ago.
"""
NO_VERIFIED_CHANNEL = "no_verified_channel"
PERHAPS_NOT_SENT = "perhaps_not_sent"
NO_OUTCOME = "no_outcome"
NO_ANSWER = "_no_answer"
"""Ends the error codes of providers that did not answer within the limit."""
NO_RECEIPT = "no_receipt"
LOSS = "loss"


Policies = Mapping[Channel, ChannelPolicy]


@dataclass(frozen=True, slots=True)
class AttemptTerms:
    """Terms in force for the next step of a notification."""

    lineage: str
    now: Instant
    is_on_hold: bool
    policies: Policies
    is_open: Callable[[NotificationRow, Channel], bool]
    """False: the message must wait for the provider's pace."""


@dataclass(frozen=True, slots=True)
class NextAttempt:
    """The next attempt: on `channel`, not before `at`."""

    channel: Channel
    at: Instant


def is_settled(row: NotificationRow) -> bool:
    """Check whether a notification is answered, withdrawn, or covered by another message."""
    return row.answer is not None or row.withdrawn is not None or row.bundled_into is not None


def find_open_attempt(row: NotificationRow) -> AttemptRow | None:
    """Return the attempt that waits for a claim or for its outcome."""
    return next((a for a in reversed(row.attempts) if a.state in ("planned", "granted")), None)


def find_attempt(row: NotificationRow, attempt_id: str) -> AttemptRow | None:
    return next((a for a in row.attempts if a.id == attempt_id), None)


def is_granted(attempt: AttemptRow) -> bool:
    """Check whether a sender was allowed to call, so that the person may have been reached."""
    return attempt.granted_at is not None


def is_perhaps_heard(attempt: AttemptRow) -> bool:
    """Check whether the person may know of an attempt: a sender called, and it did not fail."""
    return is_granted(attempt) and attempt.state != "failed"


def derive_state(row: NotificationRow) -> NotificationState:
    """Derive the state of a notification from its row.

    `withdrawn`: called off before anybody could be reached. `superseded`: called off afterwards, or
    covered by another message.
    """
    if row.answer is not None:
        return NotificationState.ANSWERED
    if row.bundled_into is not None:
        return NotificationState.SUPERSEDED
    attempts_made = [a for a in row.attempts if is_granted(a)]
    if row.withdrawn is not None:
        return NotificationState.SUPERSEDED if attempts_made else NotificationState.WITHDRAWN
    states = {a.state for a in row.attempts}
    if "received" in states:
        return NotificationState.RECEIVED
    if "accepted" in states:
        return NotificationState.ACCEPTED
    if (
        find_open_attempt(row)
        or row.why in WAIT_REASONS
        or any(a.due is not None for a in row.attempts)
    ):
        return NotificationState.ATTEMPTED if attempts_made else NotificationState.PLANNED
    if "ambiguous" in states or row.why == PERHAPS_NOT_SENT:
        return NotificationState.AMBIGUOUS
    return NotificationState.FAILED


def update_state(row: NotificationRow) -> NotificationRow:
    """Update state and channel of a row to agree with its attempts."""
    newest = row.attempts[-1].channel if row.attempts else None
    return _change_row(row, state=derive_state(row), channel=newest)


def _change_row(row: NotificationRow, **changes: Any) -> NotificationRow:
    """Change values of a row; return the row itself if it has them already.

    A call-out makes thousands of rows, and a copy costs more than the comparison.
    """
    return (
        row
        if all(getattr(row, name) == value for name, value in changes.items())
        else row.model_copy(update=changes)
    )


def change_attempt(row: NotificationRow, attempt: AttemptRow, **changes: Any) -> NotificationRow:
    return row.model_copy(
        update={
            "attempts": tuple(
                a.model_copy(update=changes) if a.id == attempt.id else a for a in row.attempts
            )
        }
    )


def supersede_planned(row: NotificationRow) -> NotificationRow:
    """Supersede attempts that are not claimed, and end waits for a next try or a receipt.

    A granted attempt continues.
    """
    attempts = tuple(
        a.model_copy(update={"state": "superseded"})
        if a.state == "planned"
        else a
        if a.state == "granted"
        else a.model_copy(update={"due": None})
        for a in row.attempts
    )
    return row.model_copy(update={"attempts": attempts, "waits_for": None, "not_before": None})


def choose_next_attempt(
    row: NotificationRow, policies: Policies, now: Instant
) -> NextAttempt | None:
    """Choose the channel and time of the next attempt; None if none is left.

    Every channel is tried once, in order and without waiting; a channel closed for information
    comes last. Then channels are repeated that failed for a passing reason, or are in doubt and
    at-least-once: the least tried first, each after its pause and the time that its provider asked
    for. A provider that accepted is not asked again.
    """
    attempts_by_channel = _group_by_channel(row.attempts[row.replayed_after :])
    closed_attempts: list[NextAttempt] = []
    for channel in row.channels:
        is_spared = row.possible_duplicate and policies[channel].doubt is DoubtPolicy.AT_MOST_ONCE
        if channel in attempts_by_channel or is_spared:
            continue
        opens = _compute_opening(row, channel, policies[channel], now)
        if opens <= now:
            return NextAttempt(channel, 0)
        closed_attempts.append(NextAttempt(channel, opens))
    if any(a.state in ("accepted", "received") for a in row.attempts[row.replayed_after :]):
        return None
    repetitions = [
        NextAttempt(c, max(a[-1].ended_at + _compute_pause_ms(row, a), a[-1].retry_at or 0))
        for c, a in attempts_by_channel.items()
        if a[-1].ended_at is not None and _can_repeat(policies[c], a)
    ]
    return min(
        repetitions, key=lambda t: (len(attempts_by_channel[t.channel]), t.at), default=None
    ) or min(closed_attempts, key=lambda t: t.at, default=None)


def _compute_pause_ms(row: NotificationRow, attempts_made: list[AttemptRow]) -> int:
    """Return the pause after the attempts on one channel; none for a first page in doubt.

    A provider that answered is not asked again at once, whatever its answer.
    """
    unheard = attempts_made[-1].state == "ambiguous" and _is_unanswered(attempts_made[-1].error)
    return 0 if unheard and is_never_waiting(row) else get_pause_ms(len(attempts_made))


def _is_unanswered(error: str | None) -> bool:
    """Check whether the doubt comes from a dead sender or a silent provider."""
    return error == NO_OUTCOME or (error or "").endswith(NO_ANSWER)


def _compute_opening(
    row: NotificationRow, channel: Channel, policy: ChannelPolicy, now: Instant
) -> Instant:
    """Return when this message may use the channel.

    That is after the quiet hours (D36); information of a call-out also waits for the hours of the
    channel.
    """
    if row.quiet_until is not None and now < row.quiet_until and _is_quiet_channel(row, channel):
        return row.quiet_until
    if policy.hours is None or row.campaign is None or row.danger or row.answer_expected:
        return now
    return policy.hours.opens(now)


def _is_quiet_channel(row: NotificationRow, channel: Channel) -> bool:
    """Check whether quiet hours apply to the channel.

    They apply to app, SMS and their substitutes, and to the telephone if it asks for no answer.
    """
    loud = (
        {Channel.APP, Channel.SMS}
        if row.answer_expected
        else {Channel.APP, Channel.SMS, Channel.VOICE}
    )
    return channel in loud or (channel in FALLBACK_CHANNELS and not loud.isdisjoint(row.channels))


def _group_by_channel(attempts: Iterable[AttemptRow]) -> dict[Channel, list[AttemptRow]]:
    attempts_by_channel: dict[Channel, list[AttemptRow]] = {}
    for attempt in attempts:
        if attempt.state != "superseded":
            attempts_by_channel.setdefault(attempt.channel, []).append(attempt)
    return attempts_by_channel


def _can_repeat(policy: ChannelPolicy, attempts_made: list[AttemptRow]) -> bool:
    if len(attempts_made) >= policy.tries:
        return False
    if policy.doubt is DoubtPolicy.AT_MOST_ONCE and any(
        a.state == "ambiguous" for a in attempts_made
    ):
        return False
    return attempts_made[-1].state == "ambiguous" or (
        attempts_made[-1].state == "failed" and attempts_made[-1].retry
    )


def plan_next_attempt(row: NotificationRow, terms: AttemptTerms) -> NotificationRow:
    """Plan the next attempt of a row, its wait, or its end.

    It changes nothing while an attempt is open or a provider's outcome stands, and is idempotent.
    """
    row = _change_row(row, waits_for=None, not_before=None)
    if (
        is_settled(row)
        or find_open_attempt(row)
        or any(_is_standing(a) for a in row.attempts[row.replayed_after :])
    ):
        return update_state(row)
    if any(a.due is not None for a in row.attempts):
        row = row.model_copy(
            update={"attempts": tuple(a.model_copy(update={"due": None}) for a in row.attempts)}
        )
    step = choose_next_attempt(row, terms.policies, terms.now)
    if step is None:
        return update_state(row.model_copy(update={"why": _find_end_reason(row)}))
    if terms.is_on_hold and not row.danger:
        return update_state(row.model_copy(update={"why": HELD}))
    row = _change_row(row, why=None if row.why in WAIT_REASONS else row.why)
    if step.at > terms.now:
        waiting = _group_by_channel(row.attempts[row.replayed_after :]).get(step.channel)
        if waiting is None:
            return update_state(row.model_copy(update={"why": QUIET_HOURS, "not_before": step.at}))
        return update_state(change_attempt(row, waiting[-1], due=step.at))
    if not terms.is_open(row, step.channel):
        return update_state(row.model_copy(update={"why": PACED, "waits_for": step.channel}))
    number = len(row.attempts) + 1
    attempt = AttemptRow(
        id=derive_id(terms.lineage, row.id, "attempt", number),
        number=number,
        channel=step.channel,
        state="planned",
        planned_at=terms.now,
        possible_duplicate=row.possible_duplicate
        or any(a.state in ("ambiguous", "accepted", "received") for a in row.attempts),
    )
    return update_state(row.model_copy(update={"attempts": (*row.attempts, attempt)}))


def restart_attempts(row: NotificationRow, channels: tuple[Channel, ...]) -> NotificationRow:
    """Restart a row on these channels; earlier attempts no longer count.

    A repetition is marked as a possible duplicate.
    """
    changes = {"replayed_after": len(row.attempts), "channels": channels, "why": None}
    return supersede_planned(row).model_copy(update=changes)


def _is_standing(attempt: AttemptRow) -> bool:
    return attempt.state == "received" or (
        attempt.state == "accepted" and attempt.error != NO_RECEIPT
    )


def _find_end_reason(row: NotificationRow) -> str | None:
    """Return the reason why no attempt is left."""
    attempts_made = [a for a in row.attempts[row.replayed_after :] if a.state != "superseded"]
    if not row.channels:
        return NO_VERIFIED_CHANNEL
    if not attempts_made:
        return PERHAPS_NOT_SENT  # only at-most-once channels, in doubt since a declared loss
    if any(a.state in ("accepted", "received") for a in attempts_made):
        return row.why
    if any(a.state == "ambiguous" for a in attempts_made):
        return PERHAPS_NOT_SENT
    return attempts_made[-1].error


def grant_attempt(
    row: NotificationRow, attempt: AttemptRow, run: str, now: Instant, policy: ChannelPolicy
) -> NotificationRow:
    """Grant the attempt to this run; without an outcome it becomes ambiguous at L + G from now.

    This is never before the claim's append time + L + G.
    """
    due_at = now + policy.outcome_ms
    return update_state(
        change_attempt(row, attempt, state="granted", run=run, granted_at=now, due=due_at)
    )


def mark_accepted(
    row: NotificationRow,
    attempt: AttemptRow,
    now: Instant,
    provider_id: str | None,
    receipt_ms: int | None,
) -> NotificationRow:
    """Mark the attempt as accepted by the provider, and supersede a later unclaimed one.

    The next channel is tried after `receipt_ms` without a receipt; None: no receipt is expected.
    """
    row = supersede_planned(row)
    due_at = now + receipt_ms if receipt_ms is not None and not is_settled(row) else None
    row = change_attempt(
        row,
        attempt,
        state="accepted",
        ended_at=now,
        provider_id=provider_id,
        error=None,
        due=due_at,
    )
    return update_state(row.model_copy(update={"sent_at": row.sent_at or now, "why": None}))


def mark_failed(
    row: NotificationRow,
    attempt: AttemptRow,
    now: Instant,
    error: str | None,
    *,
    retry: bool,
    asked_s: int | None = None,
) -> NotificationRow:
    """Mark the attempt as failed: it certainly did not reach the person.

    `asked_s` is the pause that the provider asks for.
    """
    retry_at = (
        None if asked_s is None or not retry else now + min(asked_s * 1000, LONGEST_ASKED_PAUSE_MS)
    )
    return update_state(
        change_attempt(
            row,
            attempt,
            state="failed",
            ended_at=now,
            error=error,
            retry=retry,
            retry_at=retry_at,
            due=None,
        )
    )


def mark_ambiguous(
    row: NotificationRow, attempt: AttemptRow, now: Instant, error: str | None
) -> NotificationRow:
    """Mark the attempt as ambiguous: it is unknown whether the call was made or took effect."""
    return update_state(
        change_attempt(row, attempt, state="ambiguous", ended_at=now, error=error, due=None)
    )


def mark_without_receipt(row: NotificationRow, attempt: AttemptRow) -> NotificationRow:
    """Mark an accepted attempt as overdue for its receipt, so that the next channel is tried."""
    return change_attempt(row, attempt, error=NO_RECEIPT, due=None).model_copy(
        update={"why": NO_RECEIPT}
    )


def mark_received(row: NotificationRow, attempt: AttemptRow, now: Instant) -> NotificationRow:
    """Mark the attempt as received: the provider has a receipt from the person's device."""
    row = supersede_planned(row)
    row = change_attempt(
        row, attempt, state="received", ended_at=attempt.ended_at or now, error=None, due=None
    )
    return update_state(
        row.model_copy(
            update={"sent_at": row.sent_at or now, "receipt_at": row.receipt_at or now, "why": None}
        )
    )
