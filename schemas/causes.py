"""What holds on sites and in zones: alerts' own memory of causes and of silence."""

from __future__ import annotations

from pydantic import Field

from schemas.base import Fact, Instant, Model, message
from schemas.reports import Measure, Window
from schemas.words import Certainty, EventType


class Cause(Model):
    """Something that holds at a place until it is lifted (D4, D9, D10, D17); alerts' own memory, shown as `CauseRow`."""

    id: str
    key: str = Field(
        description="place, type and measure: a report with the same key, with windows as it or without as it (D9), is the same cause while it is open (D4)"
    )
    site: str | None
    commune: str | None = None
    type: EventType
    incident: str | None
    certainty: Certainty = Certainty.CONFIRMED
    severity: int
    loss_pct: float | None
    since: Instant
    last_at: Instant = Field(description="occurred_at of the newest word on it")
    known_at: Instant
    windows: tuple[Window, ...] = ()
    acting: bool = Field(default=True, description="inside its windows now")
    expected_end: Instant | None = None
    overdue: bool = False
    ends_at: Instant | None = Field(default=None, description="end of the day it describes (D10)")
    persons: int | None = None
    measure: Measure | None = None
    sources: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()
    reports_count: int | None = Field(
        default=None,
        description="of a cause whose reports the log tells one by one; else it was written whole with each of them",
    )
    contested: bool = False
    lifted_at: Instant | None = None
    lifted_by: str | None = Field(
        default=None,
        description="report; `withdrawn:` or `denied:` and a report (D3); `task:` and a task; `newer_word`, `end_of_day`, `windows_over`",
    )
    next_at: Instant | None = Field(
        default=None,
        description="when time alone changes it: a window, the expected end, the end of the day",
    )
    maintenance: tuple[str, ...] = Field(
        default=(), description="windows that cover all its reports (D64)"
    )
    inhibited_by: str | None = Field(
        default=None, description="the open cause of which it is a consequence (D65)"
    )


class Members(Model):
    """How a list changed: what stays of it keeps its order, what is new comes last."""

    added: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    kept: tuple[str, ...] | None = Field(
        default=None, description="instead of `dropped`, where fewer stay than go"
    )

    def applied(self, before: tuple[str, ...]) -> tuple[str, ...]:
        """Return the list after the change."""
        if self.kept is not None:
            kept = frozenset(self.kept)
            before = tuple(one for one in before if one in kept)
        elif self.dropped:
            dropped = frozenset(self.dropped)
            before = tuple(one for one in before if one not in dropped)
        return (*before, *self.added)

    @classmethod
    def between(cls, before: tuple[str, ...], after: tuple[str, ...]) -> Members:
        """Return the change from one list to the other, neither of which holds anything twice."""
        if after[: len(before)] == before:
            return cls(added=after[len(before) :])
        left = frozenset(after)
        kept, dropped = (
            tuple(one for one in before if one in left),
            tuple(one for one in before if one not in left),
        )
        if after[: len(kept)] != kept:
            return cls(kept=(), added=after)
        if len(kept) < len(dropped):
            return cls(kept=kept, added=after[len(kept) :])
        return cls(dropped=dropped, added=after[len(kept) :])


@message
class CauseChanged(Fact):
    """The new value of a cause. With `reports` and `sources`, those of `cause` are empty: they are as before, but for these changes.

    A cause of which `reports_count` is not known yet had been written whole; of such a one everything is added.
    """

    cause: Cause
    reports: Members | None = None
    sources: Members | None = None


@message
class SiteMarked(Fact):
    """What a site counts for in the metrics of DOMAIN §13: mark → incidents that make it count."""

    site: str
    marks: dict[str, tuple[str, ...]]


@message
class ZoneChanged(Fact):
    """The zone of an incident grew (D18): `sites` are new in it and are judged at `due_at` if they stay silent."""

    incident: str
    communes: tuple[str, ...]
    sites: tuple[str, ...] = ()
    due_at: Instant | None = None


@message
class AllClearNoted(Fact):
    """The operator says all restored (D20): sites that stay silent until `due_at` become unknown."""

    incident: str
    since: Instant
    due_at: Instant


@message
class SilenceChanged(Fact):
    """A site turned unknown for silence (D18, D20, or its only word is unconfirmed, D6), or spoke again (`rule` None)."""

    site: str
    rule: str | None
    incident: str | None = None
    since: Instant | None = None
    hides: EventType | None = Field(
        default=None, description="causes of this type no longer show closed or degraded (D14)"
    )
