"""Ladders, and whom they call: facts of alerts, and the answers that delivery brings."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from schemas.base import Fact, Instant, Model, RowFact, message
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
    after_min: int = Field(default=0, description="from wave 1 of its cycle")
    ack_min: int = 0
    channels: tuple[Channel, ...] = ()
    answered: tuple[str, ...] = Field(
        default=(), description="persons who said yes to this wave, over all cycles"
    )
    only_if: dict[str, str] = Field(
        default_factory=dict,
        description="name → flag that must be true for it to be called; it is not in `roles` of a step that fired without it (D73)",
    )


class EscalationRow(Model):
    """One running or past ladder (D32)."""

    id: str
    ladder: str = Field(description="N1, N2, N3, N4")
    scope: str = Field(description="incident id, or `territory`")
    incidents: tuple[str, ...] = ()
    state: Literal["running", "answered", "superseded", "exhausted", "ended"]
    policy: str = Field(description="reference version it was frozen with")
    started_at: Instant
    wave: int
    cycle: int
    next_at: Instant | None = None
    acknowledged_by: tuple[str, ...] = ()
    waves: tuple[WaveRow, ...] = ()
    uncovered_roles: tuple[str, ...] = ()
    level: Level = Level.N0
    previous_level: Level | None = Field(
        default=None, description="level of the ladder that this one replaced"
    )
    repeat_after_min: int = 0
    repeat_times: int = 0
    superseded_by: str | None = None
    stale_at: Instant | None = Field(
        default=None,
        description="an answered ladder is called again then, unless somebody does something before",
    )
    stale_times: int = Field(default=0, description="how often its answers went stale")
    since_cycle: int = Field(
        default=1, description="answers count from this cycle on; those before went stale"
    )
    never_skipped: tuple[str, ...] = Field(
        default=(), description="roles that are called although enough have answered (D34)"
    )
    stale_after_min: int | None = Field(
        default=None,
        description="minutes after which an answer without a deed is none any more; null = never",
    )
    later: tuple[WaveRow, ...] = Field(
        default=(),
        description="waves of the cycles after the running one, once another policy was applied; empty = the same again",
    )


@message
class EscalationChanged(RowFact):
    """Started, wave fired, answered, superseded, exhausted. `change` says what."""

    collection: ClassVar[str] = "escalations"
    row: EscalationRow
    change: str


@message
class RoleUncovered(Fact):
    """D34: nobody holds this role now, or nobody who can be reached. `escalation` None: for a message outside ladders."""

    escalation: str | None = None
    role: str
    scope: str | None = None


@message
class NotificationPlanned(Fact):
    """Somebody must be told. Routed to delivery, which owns the row from here on."""

    notification: str
    incident: str | None = None
    escalation: str | None = None
    wave: int | None = None
    cycle: int | None = None
    level: Level
    previous_level: Level | None = None
    role: str
    scope: str | None = None
    person: str = Field(description="token")
    channels: tuple[Channel, ...] = Field(description="in order of preference")
    answer_expected: bool = True
    danger: bool = Field(default=False, description="danger to people: never held, never throttled")
    template: str = Field(
        description="code of the message text: incident_wave, level_raised, alarm_rto, alarm_dmia, merged, information"
    )
    values: dict[str, str | int | float | bool | None] = Field(
        default_factory=dict, description="ids and numbers for the text, no free text"
    )
    planned_at: Instant
    ack_by: Instant | None = None
    quiet_until: Instant | None = Field(
        default=None, description="D36: quiet hours hold back app and SMS until then"
    )


@message
class NotificationWithdrawn(Fact):
    """No longer needed (superseded ladder, merged incident), or answered in another way: `why` is then the answer. Routed to delivery."""

    notification: str
    why: str


@message
class NotificationUrged(Fact):
    """It is about danger to people by now: nothing holds it back any more. Routed to delivery."""

    notification: str


@message
class AnswerRecorded(Fact):
    """A human answer counted (or came late) for a wave (D33)."""

    escalation: str | None
    notification: str | None
    person: str
    answer: Answer
    wave: int | None = None
    late: bool = False
    at: Instant | None = None


@message
class AnswerReceived(Fact):
    """From delivery: a person answered a notification."""

    notification: str
    person: str
    answer: Answer
    channel: str
    at: Instant
    instead: str | None = Field(
        default=None, description="with a no: whom they asked to be called in their place"
    )
    proved: Channel | None = Field(
        default=None,
        description="the channel that surely reached this person: a proof of reachability (D38)",
    )


@message
class Unreachable(Fact):
    """From delivery: every channel of this notification failed."""

    notification: str
    person: str
    at: Instant
