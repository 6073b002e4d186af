"""Facts of alerts: reports, site status, incidents, levels, triggers, tasks.

Escalations are in `calling`, causes in `causes`.
"""

from collections.abc import Sequence
from typing import ClassVar, Final, Literal, Protocol

from pydantic import Field

from schemas.base import Fact, Instant, Model, PartFact, RowFact, optional, register_message
from schemas.reports import Measure, Window
from schemas.words import (
    Certainty,
    Confirmation,
    EventType,
    IncidentState,
    Level,
    LineKind,
    MsgType,
    ReportState,
    SiteStatus,
    TaskState,
)

FAMILIES: Final = (
    "power",
    "water",
    "flood",
    "heat",
    "snow",
    "wind",
    "weather",
    "kitchen",
    "it",
    "security",
    "gas",
    "absence",
    "strike",
    "fire",
    "site",
)
"""Kinds of incident."""


class Why(Model):
    """One reason: a rule or predicate with threshold, value and the reports behind it.

    The console shows it in French and English.
    """

    code: str = Field(
        description="stable code: predicate, silence, precedence, correlation rule `D22:power`, …"
    )
    metric: str | None = None
    args: dict[str, str | int | float | bool | list[str] | list[int]] = Field(default_factory=dict)
    op: str | None = None
    threshold: str | int | float | bool | None = None
    value: str | int | float | bool | None = None
    at: Instant | None = None
    reports: tuple[str, ...] = ()


class Held(Model):
    """Values of a report that count only after a person or a second reading confirms them."""

    measure: Measure | None = None
    colour: str | None = None
    expected_end: Instant | None = None


class ReportRow(Model):
    id: str
    state: ReportState
    reason: str | None = Field(
        default=None,
        description="stable code: same_cause (D4), same_id, contradiction, site_unknown, …",
    )
    of: str | None = Field(
        default=None, description="for a duplicate: the report whose cause it joined"
    )
    incident: str | None = None
    why: tuple[Why, ...] = ()
    flags: tuple[str, ...] = Field(
        default=(),
        description="late (D7), future, contested (D5), planned (D9), site_unknown, area_unknown, "
        "place_missing, commune_unknown (D8), "
        "superseded, cancelled, withdrawn_before (D3), maintenance (D64), "
        "measure_unentitled, to_confirm (D76), unknown_measure, lifts_nothing (D16), "
        "ends_in_part (D3)",
    )
    confirmation: Confirmation
    source: str
    site: str | None = None
    commune: str | None = None
    zone: tuple[str, ...] = ()
    type: EventType
    severity: int
    certainty: Certainty
    urgency: str | None = Field(
        default=None,
        description="value of the sender (CAP: Immediate, Expected, Future, Past, Unknown)",
    )
    msg_type: MsgType
    references: tuple[str, ...] = ()
    alias: str | None = None
    occurred_at: Instant
    recorded_at: Instant
    capacity_lost_pct: float | None = None
    persons_concerned: int | None = None
    measure: Measure | None = None
    phenomenon: str | None = None
    colour: str | None = None
    plan_hint: str | None = None
    text_id: str | None = None
    dialect: str = "native"
    source_key: str | None = None
    effective: tuple[Window, ...] = Field(
        default=(), description="windows inside which it acts (D9)"
    )
    expected_end: Instant | None = Field(
        default=None, description="computed from the duration or the estimated end"
    )
    lifts: tuple[EventType, ...] = ()
    affected_activities: tuple[str, ...] = ()
    verified_by: str | None = Field(
        default=None, description="token of the person that confirmed or denied it (D6)"
    )
    labels: dict[str, str] = Field(default_factory=dict, description="labels of a machine's alert")
    sites: tuple[str, ...] = Field(default=(), description="sites in the area of the report")
    signature: str | None = Field(
        default=None, description="CAP signature: unsigned, unchecked, valid, invalid"
    )
    corrected_by: str | None = optional("token of the person that corrected it after a refusal")
    held: Held | None = optional("values that count only after a confirmation (D76)")
    read_at: Instant | None = optional("time at which the cell first read it (D98)")


class ReportReading(Model):
    """The field of a report that moves when the cell reads it."""

    id: str
    read_at: Instant


MAX_SHOWN_MEMBERS: Final = 5
"""Most reports and sources that the row of a site names for each cause; the first ones."""


class CauseRow(Model):
    """One open cause of a site's status."""

    id: str
    incident: str | None
    type: EventType
    effect: SiteStatus
    since: Instant
    certainty: Certainty
    severity: int
    loss_pct: float
    meals_lost_pct: float = Field(
        default=0.0,
        description=(
            "share of the meals served there; a failing supplier affects nothing else (D40)"
        ),
    )
    contested: bool = False
    planned: bool = False
    overdue: bool = False
    sources: tuple[str, ...] = Field(
        default=(), description="the first five sources if `reports_count` is given, else all"
    )
    reports: tuple[str, ...] = Field(
        default=(), description="the first five reports if `reports_count` is given, else all"
    )
    reports_count: int | None = Field(
        default=None, description="number of valid reports when this row was written"
    )
    expected_end: Instant | None = None
    windows: tuple[Window, ...] = ()
    measure: Measure | None = None
    maintenance: tuple[str, ...] = Field(
        default=(), description="ids of the maintenance windows that cover it (D64)"
    )
    inhibited_by: str | None = Field(
        default=None, description="id of the cause of which it is a consequence (D65)"
    )


Confinement = Literal["sheltering", "counting"]
"""Reason to send nobody away from a site: its people shelter or are being counted.

Rule D78.
"""


class Headcount(Model):
    """Newest headcount of a site since its people were ordered to leave.

    Rule D37.
    """

    found: int
    expected: int
    at: Instant = Field(description="occurred_at")
    report: str


class SiteRow(Model):
    """Dynamic part of a site; its name, kind and place are reference data."""

    id: str
    status: SiteStatus
    since: Instant
    capacity_pct: float
    causes: tuple[CauseRow, ...] = ()
    why: tuple[Why, ...] = ()
    last_word_at: Instant | None = None
    flags: tuple[str, ...] = ()
    lifted_at: Instant | None = Field(
        default=None, description="reported end of the trouble that ended last here"
    )
    left_at: Instant | None = optional(
        "closed site: time of the order to leave that still stands there"
    )
    headcount: Headcount | None = optional(
        "site under an order to leave: newest count since the order"
    )
    all_clear_at: Instant | None = optional(
        "site under an order to leave: time of the all-clear after the order"
    )

    @property
    def order(self) -> SiteStatus | None:
        """Order to leave or to shelter that stands at the site, also while the site is closed."""
        if self.status is SiteStatus.SHELTERING:
            return self.status
        return (
            SiteStatus.EVACUATED
            if self.status is SiteStatus.EVACUATED or self.left_at is not None
            else None
        )

    @property
    def is_barred(self) -> bool:
        """Tell whether nothing is fetched here: an order stands, without an all-clear. Rule D88."""
        return self.order is not None and self.all_clear_at is None

    @property
    def confinement(self) -> Confinement | None:
        """Reason to send nobody away for other work; None if agents may leave. Rule D78."""
        if self.order is SiteStatus.SHELTERING:
            return "sheltering"
        if self.order is None or self.all_clear_at is not None:
            return None
        is_counted = self.headcount is not None and self.headcount.found >= self.headcount.expected
        return None if is_counted else "counting"


class SiteContact(Model):
    """Field of a site that changes with every report."""

    id: str
    last_word_at: Instant


class IncidentCounts(Model):
    """Fields of an incident that change with every report."""

    id: str
    updated_at: Instant
    reports_count: int
    duplicates_count: int
    last_at: Instant | None = None


class IncidentRow(Model):
    """One incident.

    `members` are sites with a report of their own in it, `zone_sites` the sites of its zone without
    one.
    """

    id: str
    number: str = Field(description="human reference, e.g. 92-2027-0211-01")
    kind: str = Field(description=f"family: {', '.join(FAMILIES)}")
    key: str
    state: IncidentState
    level: Level
    severity: int
    certainty: Certainty
    opened_at: Instant = Field(description="occurred_at of its first fact")
    known_at: Instant = Field(description="recorded_at of its first report")
    updated_at: Instant
    closed_at: Instant | None = None
    merged_into: str | None = None
    version: int = Field(description="counts decisions, not reports (If-Match)")
    members: tuple[str, ...] = ()
    zone_sites: tuple[str, ...] = ()
    communes: tuple[str, ...] = ()
    reports_count: int = 0
    duplicates_count: int = 0
    customers_cut: float | None = None
    persons_concerned: int | None = None
    estimated_end: Instant | None = None
    acknowledged_by: tuple[str, ...] = ()
    why: tuple[Why, ...] = Field(
        default=(), description="reasons for this level, one per level reached"
    )
    last_at: Instant | None = Field(
        default=None, description="occurred_at of its newest fact (power: of its newest cut)"
    )
    danger: bool = Field(
        default=False,
        description="true if people may be in danger: evacuation, fire, gas, shelter, security",
    )
    quiet: Literal["maintenance", "inhibited"] | None = Field(
        default=None,
        description=(
            "true if it calls nobody: all its causes are planned works (D64) or consequences "
            "of a known cause (D65)"
        ),
    )
    over_since: Instant | None = Field(
        default=None,
        description=(
            "time at which its last cause ended; a person is asked to lower or close it (D72)"
        ),
    )

    @property
    def is_silenced(self) -> bool:
        """Tell whether nobody is called: planned works, or inhibition below N3 (D64, D65)."""
        return self.quiet == "maintenance" or (self.quiet is not None and self.level < Level.N3)

    @property
    def outlook(self) -> tuple[str, bool, Instant | None, bool]:
        """Properties that continuity uses: family, open, announced end, silenced."""
        return (
            self.kind,
            self.state in (IncidentState.OPEN, IncidentState.ACKNOWLEDGED),
            self.estimated_end,
            self.is_silenced,
        )


class LevelRow(Model):
    """Level of the territory; `id` is `territory`.

    The level of an incident is in its row. Readers derive the level of a pôle (`pole:<id>`) from
    its incidents.
    """

    id: str
    level: Level
    since: Instant
    why: tuple[Why, ...] = ()
    version: int = 0
    proposed: Level | None = Field(default=None, description="N4 proposed, not set (D30)")
    proposed_why: tuple[Why, ...] = ()


class TaskRow(Model):
    """Work that waits for a person, such as verifying a silent site or linking a denial."""

    id: str
    kind: str = Field(
        description=(
            "verify_site, verify_report, link_denial, link_site, overdue_cause, contested, "
            "lift_which, reentry, readiness_hole, relief, sitrep, improvement, headcount (start "
            "one: D79), instruction (confirm it: D99), area_order (say whether an order for the area "
            "concerns the site: D102)"
        )
    )
    state: TaskState
    opened_at: Instant
    due_at: Instant | None = None
    site: str | None = None
    incident: str | None = None
    report: str | None = None
    candidates: tuple[str, ...] = Field(
        default=(),
        description="link_denial: rumours that may be meant; overdue_cause: types; verify_report: "
        "later reports of the same trouble, oldest first; area_order: the order and its report",
    )
    taken_by: str | None = None
    done_at: Instant | None = None
    outcome: str | None = None
    owner: str | None = Field(
        default=None,
        description=(
            "role that has to do it, `directeur_pole:<pôle>` in a scope; null = anybody in the cell"
        ),
    )
    post: str | None = Field(
        default=None,
        description=(
            "readiness_hole: the role, `<role>:<scope>` in a scope, with nobody to answer; "
            "relief: the role in the cell"
        ),
    )
    text_id: str | None = optional("instruction: id of its text in `texts`")
    asked_by: str | None = optional("instruction: token of the sender")
    calls: tuple[str, ...] = Field(
        default=(),
        exclude_if=lambda calls: not calls,
        description="area_order: messages that ask it",
    )

    def is_late(self, now: Instant) -> bool:
        """Return whether its time has passed."""
        return self.due_at is not None and self.due_at <= now


class AboutReports(Protocol):
    """A task in any form."""

    @property
    def kind(self) -> str: ...
    @property
    def report(self) -> str | None: ...
    @property
    def candidates(self) -> Sequence[str]: ...


def list_asked_reports(task: AboutReports) -> tuple[str, ...]:
    """Return the reports that a task asks about, oldest first. Rule D6."""
    joined_reports = task.candidates if task.kind == "verify_report" else ()
    return (task.report, *joined_reports) if task.report is not None else ()


class TriggerRow(Model):
    """A plan trigger that holds or held; `id` is `<plan>:<level>`.

    `<plan>:stand-down` is the measured part of the plan's stand-down condition. It is published
    once a trigger of the plan has held. Rule D52.
    """

    id: str
    plan: str
    level: int
    state: Literal["held", "released"]
    since: Instant
    incident: str | None = None
    why: tuple[Why, ...] = ()
    current: tuple[Why, ...] = Field(
        default=(),
        exclude_if=lambda whys: not whys,
        description="reasons with a value that differs from `why`, with the present value",
    )


class TriggerValues(Model):
    """The field of a trigger that moves while it holds."""

    id: str
    current: tuple[Why, ...] = ()


class FlagRow(Model):
    """A declared value, such as `total_isolation` or `cod_active`, or the state of a dependency.

    `id` is `flag:<name>`, `system:<name>`, `kitchen:<name>`, `supplier:<name>`, `network:<name>`,
    `vigilance:<phenomenon>`, `river:<station>` (metres), `forecast:<station>` (levels to come,
    D124), `measure:<name>` (a number; "" = none) or `road:<name>` (closed: true). For a dependency,
    `value` is `down`, `degraded` or `up`, or a share 0–100 of served capacity (`colleges_served`).
    """

    id: str
    value: bool | float | str
    since: Instant
    effective_from: Instant | None = None
    speaks_of: Instant | None = Field(
        default=None, description="start of a declared event: the day of a strike (D50)"
    )
    until: Instant | None = Field(
        default=None, description="end of the announced window; it holds no longer (D9)"
    )
    incident: str | None = None
    reports: tuple[str, ...] = ()
    maintenance: bool = Field(
        default=False,
        description=(
            "true if only reports under maintenance say it; counts for no predicate (D64)"
        ),
    )
    digest_at: Instant | None = Field(
        default=None, description="yellow vigilance: time of the digest that reports it (D72)"
    )

    @property
    def is_true(self) -> bool:
        """Tell whether it is true and in force, and not by planned works alone (D64)."""
        return not self.maintenance and self.effective_from is None and self.value is True


# ── facts ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@register_message
class ReportChanged(RowFact):
    """A report was judged, or its verdict changed (confirmed, denied, linked, superseded)."""

    collection: ClassVar[str] = "reports"
    row: ReportRow


@register_message
class ReportRead(PartFact):
    """The cell read a report for the first time. Rule D98."""

    collection: ClassVar[str] = "report_readings"
    part_of: ClassVar[str] = "reports"
    row: ReportReading


@register_message
class SiteStatusChanged(RowFact):
    """The status of a site or its reasons changed; routed to continuity.

    A further report that changes neither writes only `ReportChanged`. `last_word_at` and the
    reports of causes are as of this change. The row names at most five reports and sources of each
    cause, the first ones.
    """

    collection: ClassVar[str] = "sites"
    row: SiteRow


@register_message
class SiteReported(PartFact):
    """A site reported; the time of its last report changed."""

    collection: ClassVar[str] = "site_contacts"
    part_of: ClassVar[str] = "sites"
    row: SiteContact


@register_message
class IncidentChanged(RowFact):
    """An incident opened, grew, or changed its level or state.

    `change`: opened, member, report, level, acknowledged, closed, reopened, merged, split, zone,
    quiet, loud. `routed` is false if its level and all that continuity uses are unchanged; then
    only read models receive it. A further report that changes nothing else writes only
    `ReportChanged`. Counts and `updated_at` are as of this change.
    """

    collection: ClassVar[str] = "incidents"
    row: IncidentRow
    change: str
    routed: bool = True


@register_message
class IncidentReported(PartFact):
    """The reports of an incident were counted anew."""

    collection: ClassVar[str] = "incident_counts"
    part_of: ClassVar[str] = "incidents"
    row: IncidentCounts


@register_message
class LevelChanged(RowFact):
    """The level of the territory changed; routed to continuity."""

    collection: ClassVar[str] = "levels"
    row: LevelRow
    previous: Level


@register_message
class TriggerChanged(RowFact):
    """A plan trigger began to hold or was released; routed to continuity."""

    collection: ClassVar[str] = "triggers"
    row: TriggerRow


@register_message
class TriggerMeasured(PartFact):
    """A value behind a trigger that holds is another than it was told. It decides nothing."""

    collection: ClassVar[str] = "trigger_values"
    part_of: ClassVar[str] = "triggers"
    row: TriggerValues


@register_message
class FlagChanged(RowFact):
    """A declared value changed; routed to continuity."""

    collection: ClassVar[str] = "flags"
    row: FlagRow


@register_message
class TaskChanged(RowFact):
    collection: ClassVar[str] = "tasks"
    row: TaskRow


@register_message
class ThresholdChanged(Fact):
    """One branch of a predicate holds (latched), falls below it by the margin, or is armed again.

    Rule D31.
    """

    id: str
    held: bool
    since: Instant
    below_since: Instant | None = None
    incident: str | None = None


@register_message
class DeadlineSettled(Fact):
    """A deadline came due and changed nothing else."""

    key: str


@register_message
class HistoryForgotten(Fact):
    """Old reports and incidents left the state; the log keeps them.

    Reports of more than 7 days, and incidents closed before `closed_before` with their data. Rules
    D4 and D26.
    """

    reported_before: Instant
    closed_before: Instant
    next_at: Instant | None = None
    kept: tuple[str, ...] = Field(
        default=(),
        exclude_if=lambda reports: not reports,
        description=(
            "older reports that stay: of declarations in force with the ends of parts of them, and "
            "of open tasks; and orders for areas with questions that stay"
        ),
    )


@register_message
class NoteAdded(Fact):
    """A person wrote a line in the logbook."""

    line: str
    text_id: str
    author: str
    role: str
    incident: str | None = None
    corrects: str | None = None
    occurred_at: Instant
    kind: LineKind = LineKind.NOTE
    source: str | None = None
    certainty: Certainty | None = None


# ── inputs from the other services ─────────────────────────────────────────────────────────────────────────────────


@register_message
class MetricChanged(Fact):
    """From continuity: a metric crossed a threshold that a predicate names.

    `key`: see `schemas.predicates.metric_key`.
    """

    key: str
    value: float | bool
    at: Instant
    reports: tuple[str, ...] = ()


@register_message
class AttentionRequested(Fact):
    """From continuity or delivery: roles must be informed, for example of an RTO alarm.

    `reentry` also asks for a task (D46). `sitrep_due` asks for a task only, without a message
    (D54). Rules D44 and D50.
    """

    code: Literal[
        "alarm",
        "card_overdue",
        "plan_proposed",
        "stand_down_proposed",
        "plan_dropped",
        "forecast",
        "reentry",
        "sitrep_due",
        "reassignment_proposed",
        "reassignment_order",
        "reassignment_void",
        "reassignment_over",
        "reassignment_recalled",
        "reassignment_refused",
        "reassignment_stopped",
        "reassignment_resumed",
        "resource_unanswered",
        "resource_unfilled",
        "resource_late",
        "resource_expired",
        "resource_return",
        "resource_stopped",
        "resource_resumed",
        "cards_opened",
        "cards_over",
        "headcount_manager",
    ]
    roles: tuple[str, ...]
    pole: str | None = None
    site: str | None = None
    activity: str | None = None
    plan: str | None = None
    card: str | None = None
    base: Literal["rto", "dmia", "pdma"] | None = None
    pct: int | None = None
    limit_at: Instant | None = None
    incident: str | None = None
    agents: int | None = Field(
        default=None,
        description=(
            "number of agents: of a proposal, or of an order those that leave the site or "
            "return from a lost or superfluous place"
        ),
    )
    begins_at: Instant | None = optional("order: start (D80)")
    ends_at: Instant | None = optional("order: end; null = until further notice")
    hosts: str | None = optional(
        "order: first sites to which agents go, comma-separated, most agents first"
    )
    host_count: int | None = optional("order: number of all these sites")
    stay_home: int | None = optional("order: leaving agents that work at home")
    come: int | None = Field(
        default=None,
        description="order: agents that come to the site; recall: agents that leave it again",
    )
    sites: tuple[str, ...] | None = optional("headcount: its sites, whose managers are called")
    found: int | None = optional("headcount: people who have answered")
    expected: int | None = optional("headcount: people who were asked")
    estimated: bool | None = optional("proposal: agents of a site that nobody has counted (D78)")
    stopped_at: Instant | None = Field(
        default=None, description="alarm: start of the interruption (D70)"
    )
    back_at: Instant | None = Field(default=None, description="expected time of restoration")
    strategy: str | None = Field(default=None, description="fallback strategy that comes next")
    listed: tuple[str, ...] | None = optional(
        "cards that an answer names by number, in this order: `<life>/<plan>/<card>[/<site or role>]`"
    )
    request: str | None = optional("id of the resource request (D88)")
    resource: str | None = optional("its kind of resource")
    quantity: int | None = optional("quantity it asks for")
    barred: str | None = optional(
        "site that a resource or agents cannot leave or reach: an order stands there (D78)"
    )
    barred_homes: str | None = optional(
        "sites to which these agents do not go back, comma-separated: an order stands there, or "
        "for their area (D78)"
    )
    cards: int | None = optional("open cards of the site or person (D84)")
    unfinished: int | None = optional(
        "open site cards: of an overdue card, for the pilot, or of a plan that is over, for the "
        "owner (D84)"
    )
    total: int | None = optional("all site cards of that card")
