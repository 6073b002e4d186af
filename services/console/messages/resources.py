"""Resources of messages: notifications, call-outs, and answers to headcounts."""

from pydantic import Field

from schemas.words import Channel, NotificationState
from services.console.resource_base import Resource, Scalar, Time


class Attempt(Resource):
    id: str
    number: int
    channel: Channel
    state: str
    planned_at: Time
    granted_at: Time | None
    ended_at: Time | None
    provider_id: str | None
    error: str | None
    possible_duplicate: bool


class Texts(Resource):
    """Texts of a notification on each channel."""

    sms: str = Field(description="text with its link, at most two GSM-7 segments")
    voice: str
    push: str = Field(description="title and text, on two lines")
    email_subject: str
    email_body: str


class Notification(Resource):
    id: str
    realm: str
    incident: str | None
    escalation: str | None
    wave: int | None
    cycle: int | None
    level: int
    previous_level: int | None
    role: str
    scope: str | None
    person_token: str
    channel: Channel | None
    channels: list[Channel]
    state: NotificationState
    template: str
    values: dict[str, Scalar]
    answer_expected: bool
    danger: bool
    planned_at: Time
    ack_by: Time | None
    sent_at: Time | None
    receipt_at: Time | None
    acknowledged_at: Time | None
    answer: str | None
    unread_at: Time | None = Field(
        default=None,
        description=(
            "time of the first reply that is no answer; the person was informed once how to answer"
        ),
    )
    attempts: list[Attempt]
    possible_duplicate: bool
    withdrawn: str | None
    waits_for: Channel | None = Field(
        default=None, description="channel with the rate limit that delays it"
    )
    not_before: Time | None = Field(
        default=None,
        description=(
            "time at which it is sent: end of the quiet hours (D36) or of the hours of a "
            "channel, or the next digest"
        ),
    )
    bundled_into: str | None = Field(
        default=None, description="id of the message that contains it (D36)"
    )
    bundle_count: int = Field(default=0, description="ids of the messages that it contains (D36)")
    why: str | None
    texts: Texts | None = Field(
        default=None,
        description=(
            "with `texts=true`: the text sent, in the language of the reader, with a masked "
            "link; null if the reader may not read it"
        ),
    )


class Hold(Resource):
    realm: str
    held: bool
    until: Time | None
    by: str | None
    reason: str | None


class Estimate(Resource):
    """Cost of a call-out on one channel, by the declared rates."""

    channel: Channel
    people: int
    seconds: int
    cost_cents: int
    parts: int = Field(
        default=1, description="messages per person that the provider counts; a long SMS is several"
    )


class CallOut(Resource):
    """One message to many people: expected cost and progress, in counts only."""

    id: str
    realm: str
    kind: str = Field(description="callout, headcount")
    state: str = Field(description="draft, running, stopped, done")
    decision: str | None = Field(
        description=(
            "id of the approved reassignments that it announces to the agents of its site, by count"
        )
    )
    corrects: str | None = Field(description="id of the call-out that it corrects")
    incident: str | None
    sites: list[str]
    level: int
    danger: bool
    answer_expected: bool
    channels: list[Channel]
    by: str
    drafted_at: Time
    started_at: Time | None
    ended_at: Time | None
    people: int
    unreachable: int = Field(description="people without any of the channels")
    estimates: list[Estimate]
    cost_cents: int
    handed: int = Field(
        description="people with a message that a provider accepted or a device received"
    )
    received: int
    answered: int
    failed: int
    ambiguous: int
    withdrawn: int
    spent_cents: int
    eta_at: Time | None = Field(
        description="estimated time of the last handover to a provider, corrected meanwhile"
    )
    safe: int = Field(description="headcount: 1")
    help: int = Field(description="headcount: 2, needs help")
    away: int = Field(description="headcount: 3")
    reminded: int
    managers_called_at: Time | None
    text: str | None = Field(
        default=None,
        description=(
            "text, for the cell; null for a headcount, after an erasure, and on the live stream"
        ),
    )


class SafetyAnswer(Resource):
    """An answer to a headcount: personal data, kept for 30 days; every reading is logged."""

    person_token: str
    name: str | None
    answer: str = Field(description="safe, help, away")
