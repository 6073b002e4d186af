"""Maintenance windows and machine alerts that need renewal: rows, facts and commands.

A maintenance window is the one form of suppression, set by a person, a calendar, or a silence of an
Alertmanager. Rules D64 and D66.
"""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from schemas.base import Command, Fact, Instant, Message, Model, RowFact, register_message
from schemas.matchers import Matcher
from schemas.recurrence import parse_rule
from schemas.words import EventType

MAX_WINDOW_DAYS = 31
"""Longest occurrence of a window in days; longer works are no exception any more."""


class Coverage(Model):
    """Reports that a window covers.

    Each given list must match every report of a cause; an empty list matches all.
    """

    sites: tuple[str, ...] = Field(default=(), max_length=300)
    kinds: tuple[str, ...] = Field(default=(), max_length=50, description="kinds of site")
    poles: tuple[str, ...] = Field(default=(), max_length=50)
    types: tuple[EventType, ...] = Field(default=(), max_length=30)
    sources: tuple[str, ...] = Field(
        default=(), max_length=50, description="kinds of source, or ids of registered sources"
    )
    matchers: tuple[Matcher, ...] = Field(
        default=(), max_length=50, description="labels of machine alerts"
    )

    @property
    def asks(self) -> bool:
        """False if it would cover everything."""
        has_criteria = any((self.sites, self.kinds, self.poles, self.types, self.sources))
        return has_criteria or not all(m.takes_nothing for m in self.matchers)


class MaintenanceRow(Model):
    """Maintenance window.

    `begins_at` and `until_at`: the current occurrence, else the next one.
    """

    id: str
    state: Literal["planned", "active", "over"]
    covers: Coverage
    starts_at: Instant = Field(description="start of the first occurrence")
    ends_at: Instant
    rrule: str | None = Field(
        default=None, description="RFC 5545 subset (schemas.recurrence), in local time"
    )
    begins_at: Instant | None = None
    until_at: Instant | None = None
    origin: Literal["vigie", "alertmanager"] = "vigie"
    author: str
    role: str
    reason: str | None = Field(default=None, description="reference `text:<id>`")
    planned_at: Instant
    changed_at: Instant
    over_at: Instant | None = None
    over_by: str | None = Field(
        default=None, description="token of the person that ended it early; null = ended by time"
    )
    version: int = 0
    next_at: Instant | None = Field(
        default=None, description="next time at which it begins, ends, or covers further causes"
    )
    sweep: int = 0


class LeaseRow(Model):
    """Alert that holds as long as its sender renews it; `id` is the report that opened it."""

    id: str
    state: Literal["held", "lapsed", "ended"]
    source_key: str | None
    until: Instant
    explicit: bool = Field(
        description="true if the sender gave the end, false for the default time"
    )
    began_at: Instant
    renewed_at: Instant
    claim: str = Field(description="id of the current report; another one after a lapse")
    labels: dict[str, str] = Field(
        default_factory=dict,
        description="labels of the first records; later ones are with the report",
    )
    quiet: Literal["maintenance", "inhibited"] | None = None
    quiet_by: tuple[str, ...] = Field(
        default=(), description="ids of maintenance windows, or the report of the cause"
    )


@register_message
class MaintenanceChanged(RowFact):
    """A maintenance window changed.

    `change`: planned, changed, begun, paused (between two occurrences), ended (by a person), over,
    sweep.
    """

    collection: ClassVar[str] = "maintenance"
    row: MaintenanceRow
    change: str


@register_message
class LeaseChanged(RowFact):
    collection: ClassVar[str] = "leases"
    row: LeaseRow


@register_message
class PagingWithheld(Fact):
    """A call was suppressed: maintenance (D64), or a consequence of a known cause (D65)."""

    incident: str
    quiet: Literal["maintenance", "inhibited"]
    by: tuple[str, ...] = ()
    template: str = Field(description="template of the message; `ladder` for a whole escalation")
    roles: tuple[str, ...] = ()


class Renewal(Model):
    report: str = Field(description="id of the report that opened the alert")
    until: Instant
    explicit: bool = True


@register_message
class LeasesRenewed(Message):
    """Renew alerts that still hold; at most 200 per input."""

    source_key: str
    leases: tuple[Renewal, ...] = Field(max_length=200)


class _Window(Command):
    covers: Coverage
    starts_at: Instant
    ends_at: Instant
    rrule: str | None = Field(default=None, max_length=200, examples=["FREQ=WEEKLY;BYDAY=SU"])

    @model_validator(mode="after")
    def _possible(self) -> "_Window":
        if self.rrule is not None:
            parse_rule(self.rrule)
        for matcher in self.covers.matchers:
            matcher.check()
        return self


@register_message
class PlanMaintenance(_Window):
    """Plan a maintenance window; one that has begun covers open causes at once."""

    origin: Literal["vigie", "alertmanager"] = "vigie"


@register_message
class ChangeMaintenance(_Window):
    """Replace a maintenance window by a new one."""

    window: str
    expected: int | None = None


@register_message
class EndMaintenance(Command):
    """End a maintenance window now and for good."""

    window: str
    expected: int | None = None
