"""Inputs and facts of delivery: one notification through channels, attempts, receipts and answers (DESIGN §2, Effects)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from schemas.base import Fact, Instant, Message, Model, RowFact, message
from schemas.words import Channel, Level, NotificationState


class AttemptRow(Model):
    id: str
    number: int
    channel: Channel
    state: Literal[
        "planned", "granted", "accepted", "received", "failed", "ambiguous", "superseded"
    ]
    planned_at: Instant
    run: str | None = Field(
        default=None, description="run id of the sender that was granted this attempt"
    )
    granted_at: Instant | None = None
    ended_at: Instant | None = None
    provider_id: str | None = None
    error: str | None = None
    retry: bool = Field(
        default=False, description="the failure was transient: this channel may be tried again"
    )
    parts: int = Field(
        default=1, ge=1, description="messages that the provider counts: a long SMS is several"
    )
    retry_at: Instant | None = Field(
        default=None, description="the provider asked not to be called again before"
    )
    possible_duplicate: bool = Field(
        default=False, description="an earlier attempt may have reached the person"
    )
    receipts: bool = Field(
        default=True,
        description="False: that the provider accepted it is all that will ever be known",
    )
    due: Instant | None = Field(
        default=None,
        description="when delivery looks at it again: no outcome (ambiguous), no receipt (next channel), next try",
    )


class BundledItem(Model):
    """A message that a digest tells beside its own (D36)."""

    template: str
    level: Level
    role: str
    scope: str | None = None
    values: dict[str, str | int | float | bool | None] = Field(default_factory=dict)


class NotificationRow(Model):
    """API.md, Resource shapes. Never an address: `person` is a token."""

    id: str
    incident: str | None = None
    escalation: str | None = None
    wave: int | None = None
    cycle: int | None = None
    level: Level
    previous_level: Level | None = None
    role: str
    scope: str | None = None
    person: str
    channel: Channel | None = Field(default=None, description="of the newest attempt")
    channels: tuple[Channel, ...] = Field(
        default=(),
        description="verified channels of this person, in the order in which they are tried",
    )
    state: NotificationState
    template: str
    values: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    answer_expected: bool = True
    danger: bool = False
    planned_at: Instant
    ack_by: Instant | None = None
    sent_at: Instant | None = Field(default=None, description="a provider first accepted it")
    receipt_at: Instant | None = None
    acknowledged_at: Instant | None = None
    answer: str | None = None
    unread_at: Instant | None = Field(
        default=None,
        description="when the person first wrote back words that are no answer; they were told once how to answer",
    )
    attempts: tuple[AttemptRow, ...] = ()
    withdrawn: str | None = Field(default=None, description="code of why it is no longer needed")
    possible_duplicate: bool = Field(
        default=False, description="the person may already have it from a history that was lost"
    )
    campaign: str | None = Field(default=None, description="the call-out that it belongs to")
    waits_for: Channel | None = Field(
        default=None, description="the channel whose pace it waits for (why: paced)"
    )
    quiet_until: Instant | None = Field(
        default=None, description="D36: quiet hours hold back app and SMS until then"
    )
    not_before: Instant | None = Field(
        default=None, description="when it goes out (why: quiet_hours, bundled, same_minute)"
    )
    bundle: tuple[BundledItem, ...] = Field(
        default=(), description="what this message tells beside its own"
    )
    bundle_count: int = Field(default=0, description="how many that are, also those not listed")
    bundled_into: str | None = Field(default=None, description="the message that told it")
    replayed_after: int = Field(
        default=0, description="attempts before the last replay: they no longer count"
    )
    why: str | None = Field(
        default=None,
        description="why it stands where it stands: held, no_verified_channel, channel_not_configured, …; with `failed` the last error",
    )


class HoldRow(Model):
    id: Literal["sending"] = "sending"
    held: bool
    until: Instant | None = None
    by: str | None = None
    reason: str | None = None
    since: Instant | None = None


@message
class NotificationChanged(RowFact):
    """Every step of a notification. An attempt in state `planned` waits for a sender's claim."""

    collection: ClassVar[str] = "notifications"
    row: NotificationRow


@message
class HoldChanged(RowFact):
    collection: ClassVar[str] = "holds"
    row: HoldRow


class ProbedChannel(Model):
    """What a silent test of one provider said. Nobody was told anything."""

    channel: Channel
    outcome: Literal["answered", "failed", "no_silent_test", "not_configured"] = Field(
        description="`answered`: the provider took the login, or at least the connection; `no_silent_test`: it can only be tried by a message"
    )
    error: str | None = Field(default=None, description="code")


class ProbeRow(Model):
    """The channels in a drill (`drills` of the same id)."""

    id: str
    asked_at: Instant
    done_at: Instant | None = Field(
        default=None, description="None: a sender has not yet said what came of it"
    )
    channels: tuple[ProbedChannel, ...] = ()


@message
class ChannelsProbed(RowFact):
    """The channels of a live realm are to be tried, or have been."""

    collection: ClassVar[str] = "probes"
    row: ProbeRow


# ── inputs from the sender and the providers ───────────────────────────────────────────────────────────────────────


@message
class ClaimAttempt(Message):
    """A sender run asks to make one provider call. Only the first claim of an attempt is granted."""

    notification: str
    attempt: str
    run: str


@message
class ClaimAttempts(Message):
    """A sender run asks to make several provider calls. Each is decided as a `ClaimAttempt` of its own, in order."""

    claims: tuple[ClaimAttempt, ...]


@message
class AttemptOutcome(Message):
    """What the provider answered to the granted run."""

    notification: str
    attempt: str
    run: str
    outcome: Literal["accepted", "failed", "ambiguous"]
    provider_id: str | None = None
    error: str | None = None
    retry: bool = Field(default=False, description="transient: the same channel may be tried again")
    parts: int = Field(
        default=1, ge=1, description="messages that the provider counts: a long SMS is several"
    )
    retry_after_s: int | None = Field(
        default=None, ge=0, description="the provider asks not to be called again before"
    )
    receipts: bool = Field(
        default=True, description="False: the provider never says whether the message arrived"
    )


@message
class AttemptOutcomes(Message):
    """The answers of providers to several calls. Each is decided as an `AttemptOutcome` of its own, in order."""

    outcomes: tuple[AttemptOutcome, ...]


@message
class ProbeOutcome(Message):
    """A sender tried the channels of a drill."""

    drill: str
    asked_at: Instant
    channels: tuple[ProbedChannel, ...]


@message
class ReceiptReceived(Message):
    """A delivery receipt (not an answer, D33)."""

    notification: str
    attempt: str
    state: Literal["received", "failed"]
    at: Instant | None = None
    error: str | None = None


@message
class ReplyUnread(Message):
    """The person of this call wrote back words that are no answer. The words themselves are kept nowhere."""

    notification: str
    person: str
    channel: Channel = Field(description="by which they wrote, and are told how to answer")


@message
class AttemptGranted(Fact):
    """This run, and only it, may call the provider, once, within `limit_ms` from before it sent the claim."""

    notification: str
    attempt: str
    run: str
    channel: Channel
    person: str
    limit_ms: int
