"""Facts of alerts about escalations and their calls, and answers that delivery brings."""

from typing import ClassVar, Literal

from pydantic import Field

from schemas.base import Fact, Instant, Model, RowFact, optional, register_message
from schemas.words import Answer, Channel, Level


class WaveRow(Model):
    wave: int
    cycle: int
    due_at: Instant
    fired_at: Instant | None = None
    state: Literal["waiting", "fired", "satisfied", "superseded", "skipped"]
    roles: tuple[str, ...] = ()
    notifications: tuple[str, ...] = ()
    expected: int = 0
    positive: int = 0
    declined: int = 0
    after_min: int = Field(default=0, description="minutes from step 1 of its cycle")
    ack_min: int = 0
    channels: tuple[Channel, ...] = ()
    answered: tuple[str, ...] = Field(
        default=(),
        description="tokens of the people with a positive answer to this step, over all cycles",
    )
    only_if: dict[str, str] = Field(
        default_factory=dict,
        description=(
            "name → flag that must be true for it to be called; it is not in `roles` of a step "
            "that fired without it (D73)"
        ),
    )


class EscalationRow(Model):
    """One running or past escalation.

    Rule D32.
    """

    id: str
    ladder: str = Field(description="N1, N2, N3, N4")
    scope: str = Field(description="incident id, `territory`, or `action:<id>` (D87)")
    incidents: tuple[str, ...] = ()
    state: Literal["running", "answered", "superseded", "exhausted", "ended"]
    policy: str = Field(description="version of the reference data with which it started")
    started_at: Instant
    wave: int
    cycle: int
    next_at: Instant | None = None
    acknowledged_by: tuple[str, ...] = ()
    waves: tuple[WaveRow, ...] = ()
    uncovered_roles: tuple[str, ...] = ()
    declined_by: tuple[str, ...] = Field(
        default=(),
        exclude_if=lambda people: not people,
        description="tokens of the people who declined in this cycle: no step of it calls them",
    )
    missed_by: tuple[str, ...] = Field(
        default=(),
        exclude_if=lambda people: not people,
        description="tokens of the people whom a call of this cycle reached by no channel",
    )
    level: Level = Level.N0
    previous_level: Level | None = Field(
        default=None, description="level of the escalation that this one replaced"
    )
    repeat_after_min: int = 0
    repeat_times: int = 0
    superseded_by: str | None = None
    stale_at: Instant | None = Field(
        default=None,
        description=(
            "time at which an acknowledged escalation calls again unless somebody acts before"
        ),
    )
    stale_times: int = Field(default=0, description="number of times its answers expired")
    since_cycle: int = Field(
        default=1, description="first cycle with answers that count; earlier ones expired"
    )
    never_skipped: tuple[str, ...] = Field(
        default=(), description="roles that are called even after enough answers (D34)"
    )
    stale_after_min: int | None = Field(
        default=None,
        description="minutes after which an answer without action expires; null = never",
    )
    later: tuple[WaveRow, ...] = Field(
        default=(),
        description=(
            "steps of later cycles, once another policy was applied; empty = the same steps again"
        ),
    )
    action: str | None = optional("action that it calls for, instead of incidents (D87)")


@register_message
class EscalationChanged(RowFact):
    """An escalation started, fired a step, was answered, superseded or exhausted; see `change`."""

    collection: ClassVar[str] = "escalations"
    row: EscalationRow
    change: str


@register_message
class RoleUncovered(Fact):
    """No reachable person holds this role now.

    `escalation` is None for a message outside escalations. Rule D34.
    """

    escalation: str | None = None
    role: str
    scope: str | None = None


@register_message
class NotificationPlanned(Fact):
    """A person must be notified; routed to delivery, which owns the row from here on."""

    notification: str
    incident: str | None = None
    escalation: str | None = None
    wave: int | None = None
    cycle: int | None = None
    level: Level
    previous_level: Level | None = None
    role: str
    scope: str | None = None
    person: str = Field(description="token of the person")
    channels: tuple[Channel, ...] = Field(description="channels in order of preference")
    answer_expected: bool = True
    danger: bool = Field(
        default=False, description="true for danger to people: never held, never throttled"
    )
    template: str = Field(
        description=(
            "code of the message template: incident_wave, level_raised, alarm_rto, alarm_dmia, "
            "merged, information"
        )
    )
    values: dict[str, str | int | float | bool | None] = Field(
        default_factory=dict, description="ids and numbers for the text, no free text"
    )
    planned_at: Instant
    ack_by: Instant | None = None
    quiet_until: Instant | None = Field(
        default=None, description="end of the quiet hours that delay app and SMS (D36)"
    )
    passed_over: tuple[str, ...] | None = optional(
        "message to a role or to people responsible for a site: tokens of those before this person "
        "whom no channel reached (D34); absent for any other message"
    )


@register_message
class NotificationWithdrawn(Fact):
    """A notification is no longer needed, or was answered in another way; routed to delivery.

    `why` names the reason (superseded escalation, merged incident) or the answer.
    """

    notification: str
    why: str


@register_message
class NotificationUrged(Fact):
    """A notification now concerns danger to people: nothing may hold it back (to delivery)."""

    notification: str


@register_message
class AnswerRecorded(Fact):
    """An answer of a person counted for a step, or came too late.

    Rule D33.
    """

    escalation: str | None
    notification: str | None
    person: str
    answer: Answer
    wave: int | None = None
    late: bool = False
    at: Instant | None = None
    action: str | None = optional(
        "action that it answers; the change of the action tells the rest (D87)"
    )


@register_message
class AnswerReceived(Fact):
    """From delivery: a person answered a notification."""

    notification: str
    person: str
    answer: Answer
    channel: str
    at: Instant
    instead: str | None = Field(
        default=None, description="with a decline: token of the person to call instead"
    )
    proved: Channel | None = Field(
        default=None,
        description="channel that certainly reached this person, a proof of reachability (D38)",
    )


@register_message
class Unreachable(Fact):
    """From delivery: every channel of this notification failed."""

    notification: str
    person: str
    at: Instant
