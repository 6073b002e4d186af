"""Inputs and facts of delivery: notifications, attempts, receipts and answers."""

from typing import ClassVar, Literal

from pydantic import Field

from schemas.base import Fact, Instant, Message, Model, RowFact, register_message
from schemas.people.replies import ReplySubject, TextReading
from schemas.words import Channel, EventType, Level, NotificationState


class AttemptRow(Model):
    id: str
    number: int
    channel: Channel
    state: Literal[
        "planned", "granted", "accepted", "received", "failed", "ambiguous", "superseded"
    ]
    planned_at: Instant
    run: str | None = Field(
        default=None, description="run id of the sender with the permission for this attempt"
    )
    granted_at: Instant | None = None
    ended_at: Instant | None = None
    provider_id: str | None = None
    error: str | None = None
    retry: bool = Field(
        default=False, description="true for a transient failure: this channel may be tried again"
    )
    parts: int = Field(
        default=1, ge=1, description="messages that the provider counts; a long SMS is several"
    )
    retry_at: Instant | None = Field(
        default=None, description="time before which the provider wants no other call"
    )
    possible_duplicate: bool = Field(
        default=False, description="true if an earlier attempt may have reached the person"
    )
    receipts: bool = Field(
        default=True, description="false if the provider reports acceptance only, never arrival"
    )
    due: Instant | None = Field(
        default=None,
        description=(
            "time at which delivery checks it: no result (ambiguous), no receipt (next channel), "
            "next try"
        ),
    )


class BundledItem(Model):
    """Message that a digest contains beside its own.

    Rule D36.
    """

    template: str
    level: Level
    role: str
    scope: str | None = None
    values: dict[str, str | int | float | bool | None] = Field(default_factory=dict)


class NotificationRow(Model):
    """One notification; it never holds an address, `person` is a token."""

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
    channel: Channel | None = Field(default=None, description="channel of the newest attempt")
    channels: tuple[Channel, ...] = Field(
        default=(), description="verified channels of this person in order of use"
    )
    state: NotificationState
    template: str
    values: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    answer_expected: bool = True
    danger: bool = False
    planned_at: Instant
    ack_by: Instant | None = None
    sent_at: Instant | None = Field(
        default=None, description="time at which a provider first accepted it"
    )
    receipt_at: Instant | None = None
    acknowledged_at: Instant | None = None
    answer: str | None = None
    unread_at: Instant | None = Field(
        default=None,
        description=(
            "time of the first reply that is no answer; the person was informed once how to answer"
        ),
    )
    attempts: tuple[AttemptRow, ...] = ()
    withdrawn: str | None = Field(
        default=None, description="code of the reason why it is no longer needed"
    )
    possible_duplicate: bool = Field(
        default=False, description="true if the person may already have it, from a lost history"
    )
    campaign: str | None = Field(default=None, description="id of the call-out that it belongs to")
    waits_for: Channel | None = Field(
        default=None, description="channel with the rate limit that delays it (why: paced)"
    )
    quiet_until: Instant | None = Field(
        default=None, description="end of the quiet hours that delay app and SMS (D36)"
    )
    not_before: Instant | None = Field(
        default=None,
        description="time at which it is sent (why: quiet_hours, bundled, same_minute)",
    )
    bundle: tuple[BundledItem, ...] = Field(
        default=(), description="other messages that this one contains"
    )
    bundle_count: int = Field(
        default=0, description="number of other messages in it, including those not listed"
    )
    bundled_into: str | None = Field(default=None, description="id of the message that contains it")
    replayed_after: int = Field(
        default=0, description="number of attempts before the last replay; they no longer count"
    )
    why: str | None = Field(
        default=None,
        description=(
            "code of the reason for its state: held, no_verified_channel, channel_not_configured, "
            "…; with `failed` the last error"
        ),
    )


class HoldRow(Model):
    id: Literal["sending"] = "sending"
    held: bool
    until: Instant | None = None
    by: str | None = None
    reason: str | None = None
    since: Instant | None = None


@register_message
class NotificationChanged(RowFact):
    """A notification changed; an attempt in state `planned` waits for a sender's claim."""

    collection: ClassVar[str] = "notifications"
    row: NotificationRow


@register_message
class HoldChanged(RowFact):
    collection: ClassVar[str] = "holds"
    row: HoldRow


class ProbedChannel(Model):
    """Result of a silent test of one provider; it sends no message."""

    channel: Channel
    outcome: Literal["answered", "failed", "no_silent_test", "not_configured"] = Field(
        description=(
            "`answered`: the provider accepted the login, or at least the connection; "
            "`no_silent_test`: only a message could test it"
        )
    )
    error: str | None = Field(default=None, description="error code")


class ProbeRow(Model):
    """Channels in a drill (`drills` of the same id), or at the first start (`first`)."""

    id: str
    asked_at: Instant
    done_at: Instant | None = Field(
        default=None, description="time of the result; null = no sender has reported yet"
    )
    channels: tuple[ProbedChannel, ...] = ()


@register_message
class ChannelsProbed(RowFact):
    """The channels of a live realm are to be tested, or were tested."""

    collection: ClassVar[str] = "probes"
    row: ProbeRow


@register_message
class ClaimAttempt(Message):
    """Request of a sender run to make one provider call.

    Only the first claim of an attempt is granted.
    """

    notification: str
    attempt: str
    run: str


@register_message
class ClaimAttempts(Message):
    """Request of a sender run to make several provider calls.

    Each is decided as a `ClaimAttempt` of its own, in order.
    """

    claims: tuple[ClaimAttempt, ...]


@register_message
class AttemptOutcome(Message):
    """Result of the provider call of a granted run."""

    notification: str
    attempt: str
    run: str
    outcome: Literal["accepted", "failed", "ambiguous"]
    provider_id: str | None = None
    error: str | None = None
    retry: bool = Field(
        default=False,
        description="true for a transient failure: the same channel may be tried again",
    )
    parts: int = Field(
        default=1, ge=1, description="messages that the provider counts; a long SMS is several"
    )
    retry_after_s: int | None = Field(
        default=None, ge=0, description="seconds before which the provider wants no other call"
    )
    receipts: bool = Field(default=True, description="false if the provider never reports arrival")


@register_message
class AttemptOutcomes(Message):
    """Results of several provider calls.

    Each is decided as an `AttemptOutcome` of its own, in order.
    """

    outcomes: tuple[AttemptOutcome, ...]


@register_message
class ProbeOutcome(Message):
    """A sender tested the channels, for a drill or at the first start."""

    drill: str
    asked_at: Instant
    channels: tuple[ProbedChannel, ...]


@register_message
class ReceiptReceived(Message):
    """Delivery receipt of a provider; not an answer.

    Rule D33.
    """

    notification: str
    attempt: str
    state: Literal["received", "failed"]
    at: Instant | None = None
    error: str | None = None


@register_message
class ReplyUnread(Message):
    """The person of a call replied with text that is no answer, or may answer several questions.

    The text is not kept.
    """

    notification: str
    person: str
    channel: Channel = Field(description="channel of the reply, used to explain how to answer")
    subjects: tuple[ReplySubject, ...] = Field(
        default=(), description="open questions of different kinds that the reply may answer"
    )
    is_help: bool = Field(
        default=False, description="true if the reply was counted as a need for help"
    )
    reply: str = Field(default="", description="id of a reply that may answer several questions")


@register_message
class TextRead(Message):
    """A person of the directory sent a text from the field, which was read as a report or not.

    The text is not kept here; the person gets an answer.
    """

    text: str = Field(description="id of the text; a text is answered once")
    person: str
    channel: Channel
    reading: TextReading
    type: EventType | None = None
    site: str | None = None
    danger: bool = False
    sent_at: Instant = Field(description="time at which the text arrived")


@register_message
class AttemptGranted(Fact):
    """Permission for one run to call the provider once.

    It holds for `limit_ms` from before the claim was sent.
    """

    notification: str
    attempt: str
    run: str
    channel: Channel
    person: str
    limit_ms: int
