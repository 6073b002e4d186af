"""One notification through its attempts: pure steps from row to row.

An attempt is `planned` until a sender claims it, `granted` to one run, then `accepted` → `received`, `failed` or `ambiguous`;
`superseded` when it was never granted and is not needed. Only the newest attempt can be open, so the person hears one channel
at a time. The state of the notification is a function of the row (`state_of`): it is never set by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.base import Instant
from schemas.delivery import AttemptRow, NotificationRow
from schemas.realms import derive_id
from schemas.words import Channel, NotificationState
from services.delivery.notifications.channel_policies import (
    ASKED_MOST_MS,
    FALLBACK,
    ChannelPolicy,
    Doubt,
    pause_ms,
)
from services.delivery.notifications.rate_limits import never_waits

HELD = "held"
PACED = "paced"
QUIET_HOURS = "quiet_hours"
BUNDLED = "bundled"
SAME_MINUTE = "same_minute"
WAITS = frozenset({HELD, PACED, QUIET_HOURS, BUNDLED, SAME_MINUTE})
"""Reasons for which nothing is planned yet: a hold, the provider's pace, the hours of a channel, the next digest, what the
person was told of the same incident less than a minute ago."""
NO_VERIFIED_CHANNEL = "no_verified_channel"
PERHAPS_NOT_SENT = "perhaps_not_sent"
NO_OUTCOME = "no_outcome"
NO_ANSWER = "_no_answer"
"""Ends the codes of providers that said nothing within the limit."""
NO_RECEIPT = "no_receipt"
LOSS = "loss"


Policies = Mapping[Channel, ChannelPolicy]


@dataclass(frozen=True, slots=True)
class Terms:
    """What is in force when the next step of a notification is looked for."""

    lineage: str
    now: Instant
    held: bool
    policies: Policies
    is_open: Callable[[NotificationRow, Channel], bool]
    """False: the message must wait for the provider's pace."""


@dataclass(frozen=True, slots=True)
class TryOn:
    """The next attempt: on `channel`, not before `at`."""

    channel: Channel
    at: Instant


def is_settled(row: NotificationRow) -> bool:
    """Nothing more is to be sent: a person answered, it is no longer needed, or another message told it."""
    return row.answer is not None or row.withdrawn is not None or row.bundled_into is not None


def open_attempt(row: NotificationRow) -> AttemptRow | None:
    """The attempt that waits for a claim or for its outcome."""
    return next((a for a in reversed(row.attempts) if a.state in ("planned", "granted")), None)


def find_attempt(row: NotificationRow, attempt_id: str) -> AttemptRow | None:
    """The attempt with this id."""
    return next((a for a in row.attempts if a.id == attempt_id), None)


def was_made(attempt: AttemptRow) -> bool:
    """A sender was allowed to call: the person may have heard of it."""
    return attempt.granted_at is not None


def state_of(row: NotificationRow) -> NotificationState:
    """The one state of API.md that this row is in.

    `withdrawn` = called back before anybody could be told; `superseded` = called back afterwards, or told by another message.
    """
    if row.answer is not None:
        return NotificationState.ANSWERED
    if row.bundled_into is not None:
        return NotificationState.SUPERSEDED
    made = [a for a in row.attempts if was_made(a)]
    if row.withdrawn is not None:
        return NotificationState.SUPERSEDED if made else NotificationState.WITHDRAWN
    states = {a.state for a in row.attempts}
    if "received" in states:
        return NotificationState.RECEIVED
    if "accepted" in states:
        return NotificationState.ACCEPTED
    if open_attempt(row) or row.why in WAITS or any(a.due is not None for a in row.attempts):
        return NotificationState.ATTEMPTED if made else NotificationState.PLANNED
    if "ambiguous" in states or row.why == PERHAPS_NOT_SENT:
        return NotificationState.AMBIGUOUS
    return NotificationState.FAILED


def with_state(row: NotificationRow) -> NotificationRow:
    """The row with state and channel made to agree with its attempts."""
    newest = row.attempts[-1].channel if row.attempts else None
    return _changed(row, state=state_of(row), channel=newest)


def _changed(row: NotificationRow, **changes: Any) -> NotificationRow:
    """The row with these values, itself when it has them: a call-out makes thousands of rows, and a copy costs more than a look."""
    return (
        row
        if all(getattr(row, name) == value for name, value in changes.items())
        else row.model_copy(update=changes)
    )


def change_attempt(row: NotificationRow, attempt: AttemptRow, **changes: Any) -> NotificationRow:
    """The row with this attempt changed."""
    return row.model_copy(
        update={
            "attempts": tuple(
                a.model_copy(update=changes) if a.id == attempt.id else a for a in row.attempts
            )
        }
    )


def supersede_planned(row: NotificationRow) -> NotificationRow:
    """Attempts that nobody claimed are no longer offered; waits for a next try or a receipt end. A granted one runs on."""
    attempts = tuple(
        a.model_copy(update={"state": "superseded"})
        if a.state == "planned"
        else a
        if a.state == "granted"
        else a.model_copy(update={"due": None})
        for a in row.attempts
    )
    return row.model_copy(update={"attempts": attempts, "waits_for": None, "not_before": None})


def next_try(row: NotificationRow, policies: Policies, now: Instant) -> TryOn | None:
    """Where to go after what happened so far; None = nothing is left to try.

    Every channel once, in order and without waiting, those whose hours are over for information last; then the channels that failed
    for a passing reason (or are in doubt and at-least-once), the least tried first, each after its pause and what its provider asked for. A
    provider that accepted is not asked again.
    """
    tried = _by_channel(row.attempts[row.replayed_after :])
    closed: list[TryOn] = []
    for channel in row.channels:
        spared = row.possible_duplicate and policies[channel].doubt is Doubt.AT_MOST_ONCE
        if channel in tried or spared:
            continue
        opens = _opens(row, channel, policies[channel], now)
        if opens <= now:
            return TryOn(channel, 0)
        closed.append(TryOn(channel, opens))
    if any(a.state in ("accepted", "received") for a in row.attempts[row.replayed_after :]):
        return None
    again = [
        TryOn(c, max(a[-1].ended_at + _pause_ms(row, a), a[-1].retry_at or 0))
        for c, a in tried.items()
        if a[-1].ended_at is not None and _may_repeat(policies[c], a)
    ]
    return min(again, key=lambda t: (len(tried[t.channel]), t.at), default=None) or min(
        closed, key=lambda t: t.at, default=None
    )


def _pause_ms(row: NotificationRow, made: list[AttemptRow]) -> int:
    """Return the pause after the attempts on one channel: none for a first page that perhaps nobody was told.

    A provider that gave an answer is not asked again at once, whatever the answer was worth.
    """
    unheard = made[-1].state == "ambiguous" and _is_unheard(made[-1].error)
    return 0 if unheard and never_waits(row) else pause_ms(len(made))


def _is_unheard(error: str | None) -> bool:
    """Return whether the doubt is a sender that died or a provider that did not answer in time."""
    return error == NO_OUTCOME or (error or "").endswith(NO_ANSWER)


def _opens(row: NotificationRow, channel: Channel, policy: ChannelPolicy, now: Instant) -> Instant:
    """When this message may go by the channel: after its quiet hours (D36), and the information of a call-out in the hours of the channel."""
    if row.quiet_until is not None and now < row.quiet_until and _keeps_quiet(row, channel):
        return row.quiet_until
    if policy.hours is None or row.campaign is None or row.danger or row.answer_expected:
        return now
    return policy.hours.opens(now)


def _keeps_quiet(row: NotificationRow, channel: Channel) -> bool:
    """App and SMS; what would only stand in for them; and the telephone, unless it asks for an answer."""
    loud = (
        {Channel.APP, Channel.SMS}
        if row.answer_expected
        else {Channel.APP, Channel.SMS, Channel.VOICE}
    )
    return channel in loud or (channel in FALLBACK and not loud.isdisjoint(row.channels))


def _by_channel(attempts: Iterable[AttemptRow]) -> dict[Channel, list[AttemptRow]]:
    tried: dict[Channel, list[AttemptRow]] = {}
    for attempt in attempts:
        if attempt.state != "superseded":
            tried.setdefault(attempt.channel, []).append(attempt)
    return tried


def _may_repeat(policy: ChannelPolicy, made: list[AttemptRow]) -> bool:
    if len(made) >= policy.tries:
        return False
    if policy.doubt is Doubt.AT_MOST_ONCE and any(a.state == "ambiguous" for a in made):
        return False
    return made[-1].state == "ambiguous" or (made[-1].state == "failed" and made[-1].retry)


def advance(row: NotificationRow, terms: Terms) -> NotificationRow:
    """The row with its next attempt planned, what it waits for, or its end.

    No change while an attempt is open or a provider's word stands. Changes nothing when it is called again.
    """
    row = _changed(row, waits_for=None, not_before=None)
    if (
        is_settled(row)
        or open_attempt(row)
        or any(_stands(a) for a in row.attempts[row.replayed_after :])
    ):
        return with_state(row)
    if any(a.due is not None for a in row.attempts):
        row = row.model_copy(
            update={"attempts": tuple(a.model_copy(update={"due": None}) for a in row.attempts)}
        )
    step = next_try(row, terms.policies, terms.now)
    if step is None:
        return with_state(row.model_copy(update={"why": _end(row)}))
    if terms.held and not row.danger:
        return with_state(row.model_copy(update={"why": HELD}))
    row = _changed(row, why=None if row.why in WAITS else row.why)
    if step.at > terms.now:
        waiting = _by_channel(row.attempts[row.replayed_after :]).get(step.channel)
        if waiting is None:
            return with_state(row.model_copy(update={"why": QUIET_HOURS, "not_before": step.at}))
        return with_state(change_attempt(row, waiting[-1], due=step.at))
    if not terms.is_open(row, step.channel):
        return with_state(row.model_copy(update={"why": PACED, "waits_for": step.channel}))
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
    return with_state(row.model_copy(update={"attempts": (*row.attempts, attempt)}))


def replay(row: NotificationRow, channels: tuple[Channel, ...]) -> NotificationRow:
    """The row begins again on these channels; what was tried before no longer counts, and a repetition says that it is one."""
    begun = {"replayed_after": len(row.attempts), "channels": channels, "why": None}
    return supersede_planned(row).model_copy(update=begun)


def _stands(attempt: AttemptRow) -> bool:
    return attempt.state == "received" or (
        attempt.state == "accepted" and attempt.error != NO_RECEIPT
    )


def _end(row: NotificationRow) -> str | None:
    """Why nothing is left to try."""
    made = [a for a in row.attempts[row.replayed_after :] if a.state != "superseded"]
    if not row.channels:
        return NO_VERIFIED_CHANNEL
    if not made:
        return PERHAPS_NOT_SENT  # only at-most-once channels, in doubt since a declared loss
    if any(a.state in ("accepted", "received") for a in made):
        return row.why
    if any(a.state == "ambiguous" for a in made):
        return PERHAPS_NOT_SENT
    return made[-1].error


def grant(
    row: NotificationRow, attempt: AttemptRow, run: str, now: Instant, policy: ChannelPolicy
) -> NotificationRow:
    """The attempt belongs to this run; without an outcome it is ambiguous at L + G from now (≥ the claim's append time)."""
    due = now + policy.outcome_ms
    return with_state(
        change_attempt(row, attempt, state="granted", run=run, granted_at=now, due=due)
    )


def accepted(
    row: NotificationRow,
    attempt: AttemptRow,
    now: Instant,
    provider_id: str | None,
    receipt_ms: int | None,
) -> NotificationRow:
    """The provider took it. A later attempt that nobody claimed yet is not needed.

    `receipt_ms`: after so long without a receipt the next channel is tried; None: no receipt is waited for.
    """
    row = supersede_planned(row)
    due = now + receipt_ms if receipt_ms is not None and not is_settled(row) else None
    row = change_attempt(
        row, attempt, state="accepted", ended_at=now, provider_id=provider_id, error=None, due=due
    )
    return with_state(row.model_copy(update={"sent_at": row.sent_at or now, "why": None}))


def failed(
    row: NotificationRow,
    attempt: AttemptRow,
    now: Instant,
    error: str | None,
    *,
    retry: bool,
    asked_s: int | None = None,
) -> NotificationRow:
    """It surely did not reach the person by this attempt. `asked_s`: the provider's own word on when it may be called again."""
    retry_at = None if asked_s is None or not retry else now + min(asked_s * 1000, ASKED_MOST_MS)
    return with_state(
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


def in_doubt(
    row: NotificationRow, attempt: AttemptRow, now: Instant, error: str | None
) -> NotificationRow:
    """Nobody knows whether the call was made or what it did."""
    return with_state(
        change_attempt(row, attempt, state="ambiguous", ended_at=now, error=error, due=None)
    )


def without_receipt(row: NotificationRow, attempt: AttemptRow) -> NotificationRow:
    """Accepted, and no receipt came in time: the next channel is worth trying."""
    return change_attempt(row, attempt, error=NO_RECEIPT, due=None).model_copy(
        update={"why": NO_RECEIPT}
    )


def received(row: NotificationRow, attempt: AttemptRow, now: Instant) -> NotificationRow:
    """The provider has a receipt: the message is on the person's device."""
    row = supersede_planned(row)
    row = change_attempt(
        row, attempt, state="received", ended_at=attempt.ended_at or now, error=None, due=None
    )
    return with_state(
        row.model_copy(
            update={"sent_at": row.sent_at or now, "receipt_at": row.receipt_at or now, "why": None}
        )
    )
