"""Planned works (D64), and alerts that a machine keeps alive (D66): rows, facts and commands.

A maintenance window is the one form in which anything is told to be quiet: by a person, a calendar, or a silence of an Alertmanager.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from schemas import patterns
from schemas.base import Command, Fact, Instant, Message, Model, RowFact, message
from schemas.recurrence import parse_rule
from schemas.words import EventType

MAX_PATTERN = 500
MAX_WINDOW_DAYS = 31
"""An occurrence lasts at most so long: what is planned for longer is no exception any more."""


_MATCHER = re.compile(r"([A-Za-z_:][\w:.-]*)\s*(=~|!~|!=|=)\s*(.*)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)")


class Matcher(Model):
    """One label against a value, as Alertmanager does it: a regular expression must match the whole value; a label that is not there is empty."""

    name: str = Field(min_length=1, max_length=128)
    value: str = Field(max_length=MAX_PATTERN)
    regex: bool = False
    equal: bool = Field(default=True, description="false: everything but this")

    @classmethod
    def parse(cls, text: str) -> Matcher:
        """`name=value`, `name!=value`, `name=~regex`, `name!~regex`; the value may stand in quotes. Raises ValueError."""
        found = _MATCHER.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"not a matcher: {text!r} (alertname=Down, instance!~web.*)")
        value = found[3]
        if len(value) >= 2 and value[0] == value[-1] == '"':
            value = _ESCAPED.sub(r"\1", value[1:-1])
        made = cls(name=found[1], value=value, regex="~" in found[2], equal=found[2][0] == "=")
        made.check()
        return made

    @property
    def takes_nothing(self) -> bool:
        """True if it also holds for what has no such label."""
        return self.takes("")

    def takes(self, value: str) -> bool:
        """True if it holds for this value of its label."""
        found = patterns.whole_match(self.value, value) if self.regex else value == self.value
        return found is self.equal

    def matches(self, labels: Mapping[str, str]) -> bool:
        """As Alertmanager does it: a label that is not there is empty."""
        return self.takes(labels.get(self.name, ""))

    def check(self) -> None:
        """Raises PatternInvalid for an expression that RE2 does not know. Commands are checked; in an older log it matches nothing."""
        if self.regex:
            patterns.check(self.value)


class Coverage(Model):
    """What a window covers: each list that is given must hold for every report of a cause; an empty one asks nothing."""

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
        named = any((self.sites, self.kinds, self.poles, self.types, self.sources))
        return named or not all(m.takes_nothing for m in self.matchers)


class MaintenanceRow(Model):
    """A window. `begins_at`, `until_at`: the occurrence that holds, else the next one."""

    id: str
    state: Literal["planned", "active", "over"]
    covers: Coverage
    starts_at: Instant = Field(description="of the first occurrence")
    ends_at: Instant
    rrule: str | None = Field(
        default=None, description="RFC 5545 subset (schemas.recurrence), by the clock on the wall"
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
        default=None, description="token of who ended it early; None: by time"
    )
    version: int = 0
    next_at: Instant | None = Field(
        default=None, description="when it begins or ends next, or goes on taking causes in"
    )
    sweep: int = 0


class LeaseRow(Model):
    """An alert that lasts as long as its sender says so. `id`: the report that opened it."""

    id: str
    state: Literal["held", "lapsed", "ended"]
    source_key: str | None
    until: Instant
    explicit: bool = Field(description="the sender named the end; else it is the default patience")
    began_at: Instant
    renewed_at: Instant
    claim: str = Field(description="the report that says it now: another one after a lapse")
    labels: dict[str, str] = Field(
        default_factory=dict, description="of the first records; they are with the report"
    )
    quiet: Literal["maintenance", "inhibited"] | None = None
    quiet_by: tuple[str, ...] = Field(default=(), description="windows, or the report of the cause")


# ── facts ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@message
class MaintenanceChanged(RowFact):
    """`change`: planned, changed, begun, paused (between two occurrences), ended (by a person), over, sweep."""

    collection: ClassVar[str] = "maintenance"
    row: MaintenanceRow
    change: str


@message
class LeaseChanged(RowFact):
    collection: ClassVar[str] = "leases"
    row: LeaseRow


@message
class PagingWithheld(Fact):
    """Somebody would have been called, and was not: planned works (D64), or the consequence of a cause that is known (D65)."""

    incident: str
    quiet: Literal["maintenance", "inhibited"]
    by: tuple[str, ...] = ()
    template: str = Field(description="of the message; `ladder` for a whole one")
    roles: tuple[str, ...] = ()


# ── inputs ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Renewal(Model):
    report: str = Field(description="that opened the alert")
    until: Instant
    explicit: bool = True


@message
class LeasesRenewed(Message):
    """A sender says that its alerts still hold. At most 200 per input."""

    source_key: str
    leases: tuple[Renewal, ...] = Field(max_length=200)


class _Window(Command):
    covers: Coverage
    starts_at: Instant
    ends_at: Instant
    rrule: str | None = Field(default=None, max_length=200, examples=["FREQ=WEEKLY;BYDAY=SU"])

    @model_validator(mode="after")
    def _possible(self) -> _Window:
        if self.rrule is not None:
            parse_rule(self.rrule)
        for matcher in self.covers.matchers:
            matcher.check()
        return self


@message
class PlanMaintenance(_Window):
    """Plan a window; one that has begun covers what is open at once."""

    origin: Literal["vigie", "alertmanager"] = "vigie"


@message
class ChangeMaintenance(_Window):
    """The whole new window."""

    window: str
    expected: int | None = None


@message
class EndMaintenance(Command):
    """End it now and for good."""

    window: str
    expected: int | None = None
