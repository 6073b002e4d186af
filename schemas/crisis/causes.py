"""Causes and silent sites, internal facts of alerts, and the meals that causes cost.

One rule for levels and for the activity. Rules D13 and D40.
"""

from pydantic import Field

from schemas.base import Fact, Instant, Model, copy_with, register_message
from schemas.reports import Measure, Window
from schemas.words import Certainty, EventType

MEALS_FAIL_BELOW: float = 50.0
"""Share of meals, in per cent, below which a college is without meals (`catering_down`)."""


class Cause(Model):
    """Ongoing trouble at a site or zone until it is lifted; shown as `CauseRow`.

    Internal to alerts. Rules D4, D9, D10 and D17.
    """

    id: str
    key: str = Field(
        description=(
            "place, type and measure: a report with the same key joins the open cause (D4), if "
            "both have windows or neither has (D9)"
        )
    )
    site: str | None
    commune: str | None = None
    type: EventType
    incident: str | None
    certainty: Certainty = Certainty.CONFIRMED
    severity: int
    loss_pct: float | None
    since: Instant
    last_at: Instant = Field(description="occurred_at of its newest report")
    known_at: Instant
    windows: tuple[Window, ...] = ()
    acting: bool = Field(default=True, description="true inside its windows")
    expected_end: Instant | None = None
    overdue: bool = False
    ends_at: Instant | None = Field(
        default=None, description="end of the day that it describes (D10)"
    )
    persons: int | None = None
    measure: Measure | None = None
    sources: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()
    reports_count: int | None = Field(
        default=None,
        description=(
            "number of reports; set for causes with reports logged one by one, null for causes "
            "written whole"
        ),
    )
    contested: bool = False
    lifted_at: Instant | None = None
    lifted_by: str | None = Field(
        default=None,
        description=(
            "id of a report; `withdrawn:` or `denied:` and a report (D3); `task:` and a task; "
            "`newer_word`, `end_of_day`, `windows_over`"
        ),
    )
    next_at: Instant | None = Field(
        default=None,
        description=(
            "next time at which only time changes it: a window, the expected end, the end of the "
            "day"
        ),
    )
    maintenance: tuple[str, ...] = Field(
        default=(), description="ids of maintenance windows that cover all its reports (D64)"
    )
    inhibited_by: str | None = Field(
        default=None, description="id of the open cause of which it is a consequence (D65)"
    )


class Members(Model):
    """Change of a list: remaining elements keep their order, new ones come last."""

    added: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    kept: tuple[str, ...] | None = Field(
        default=None,
        description="remaining elements, in place of `dropped`, if fewer remain than go",
    )

    def apply(self, before: tuple[str, ...]) -> tuple[str, ...]:
        """Return the list after the change."""
        if self.kept is not None:
            remaining_members = frozenset(self.kept)
            before = tuple(one for one in before if one in remaining_members)
        elif self.dropped:
            dropped_ids = frozenset(self.dropped)
            before = tuple(one for one in before if one not in dropped_ids)
        return (*before, *self.added)

    @classmethod
    def between(cls, before: tuple[str, ...], after: tuple[str, ...]) -> "Members":
        """Return the change between two lists without duplicates."""
        if after[: len(before)] == before:
            return cls(added=after[len(before) :])
        final_members = frozenset(after)
        common_members, dropped_ids = (
            tuple(one for one in before if one in final_members),
            tuple(one for one in before if one not in final_members),
        )
        if after[: len(common_members)] != common_members:
            return cls(kept=(), added=after)
        if len(common_members) < len(dropped_ids):
            return cls(kept=common_members, added=after[len(common_members) :])
        return cls(dropped=dropped_ids, added=after[len(common_members) :])


@register_message
class CauseChanged(Fact):
    """New value of a cause.

    With `reports` and `sources`, those of `cause` are empty; the previous ones hold with these
    changes. A cause without a known `reports_count` was written whole before; for it, everything is
    added.
    """

    cause: Cause
    reports: Members | None = None
    sources: Members | None = None

    @classmethod
    def between(cls, before: Cause | None, after: Cause) -> "CauseChanged":
        """Return the change of a recorded cause, None for a new one, with those that joined it."""
        reports, sources = _get_recorded_members(before)
        members = {"reports": (), "sources": (), "reports_count": len(after.reports)}
        return cls(
            cause=copy_with(after, members),
            reports=Members.between(reports, after.reports),
            sources=Members.between(sources, after.sources),
        )

    def apply(self, before: Cause | None) -> Cause:
        """Return the cause after the change."""
        if self.reports is None or self.sources is None:
            return self.cause
        reports, sources = _get_recorded_members(before)
        return copy_with(
            self.cause,
            {"reports": self.reports.apply(reports), "sources": self.sources.apply(sources)},
        )


def _get_recorded_members(cause: Cause | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the reports and sources to which the next change of a cause adds.

    Empty for a cause that was only written whole so far.
    """
    return (
        ((), ()) if cause is None or cause.reports_count is None else (cause.reports, cause.sources)
    )


@register_message
class SiteMarked(Fact):
    """Marks of a site in metrics: mark → incidents behind it."""

    site: str
    marks: dict[str, tuple[str, ...]]


@register_message
class ZoneChanged(Fact):
    """The zone of an incident grew.

    `sites` are new in it; those still silent at `due_at` are judged then. Rule D18.
    """

    incident: str
    communes: tuple[str, ...]
    sites: tuple[str, ...] = ()
    due_at: Instant | None = None


@register_message
class AllClearNoted(Fact):
    """The operator announced the all-clear.

    Sites that stay silent until `due_at` become unknown. Rule D20.
    """

    incident: str
    since: Instant
    due_at: Instant


@register_message
class SilenceChanged(Fact):
    """A site became unknown as a silent site, or reported again (`rule` None).

    Rules D18 and D20; D6 if its only report is unconfirmed.
    """

    site: str
    rule: str | None
    incident: str | None = None
    since: Instant | None = None
    hides: EventType | None = Field(
        default=None, description="type of causes that no longer show closed or degraded (D14)"
    )


def compute_meals_lost(
    type: EventType, failed_pct: float | None, suppliers: tuple[str, ...], kitchen: str | None
) -> float:
    """Return the loss of meals, in per cent, that a cause adds to the loss of its site.

    A water outage stops a kitchen. A failed supplier takes `failed_pct` of the meals, all without
    that number, from those it serves: its own kitchen, or, if the report names no supplier, the
    site of the report.
    """
    if not kitchen:
        return 0.0
    if type is EventType.OUTAGE_WATER:
        return 100.0
    if type is not EventType.SUPPLIER_FAILURE or (suppliers and kitchen not in suppliers):
        return 0.0
    return 100.0 if failed_pct is None else failed_pct


def compute_meals_served(value: bool | float | str) -> float:
    """Convert the state of a kitchen or supplier to the share that it still serves, in per cent.

    States are down, up, degraded, or a share.
    """
    match value:
        case bool():
            return 100.0
        case str() as word:
            return 0.0 if word == "down" else 100.0
        case share:
            return min(max(float(share), 0.0), 100.0)


def compute_meals_left(losses: tuple[float, ...]) -> float:
    """Return the share of meals left after the largest loss, in per cent.

    Losses are not added. Rule D14.
    """
    return 100.0 - max(losses, default=0.0)
