"""Facts of alerts: what became of reports, site status, incidents, levels, triggers, ladders, tasks."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from schemas.base import Fact, Instant, Model, RowFact, message
from schemas.reports import Measure, Window
from schemas.words import (
    Answer,
    Certainty,
    Channel,
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

# ── rows: the resources that clients see (API.md, Resource shapes) ─────────────────────────────────────────────────


class Why(Model):
    """One reason: a rule or predicate with its threshold, value and the reports behind it. Rendered in fr/en by the console."""

    code: str = Field(description="stable code: predicate, silence, precedence, correlation rule `D22:power`, …")
    metric: str | None = None
    args: dict[str, str | int | float | bool | list[str] | list[int]] = Field(default_factory=dict)
    op: str | None = None
    threshold: str | int | float | bool | None = None
    value: str | int | float | bool | None = None
    at: Instant | None = None
    reports: tuple[str, ...] = ()


class ReportRow(Model):
    id: str
    state: ReportState
    reason: str | None = Field(default=None, description="stable code: same_cause (D4), same_id, contradiction, site_unknown, …")
    of: str | None = Field(default=None, description="for a duplicate: the report whose cause it joined")
    incident: str | None = None
    why: tuple[Why, ...] = ()
    flags: tuple[str, ...] = Field(
        default=(),
        description="late (D7), future, contested (D5), planned (D9), site_unknown, area_unknown (D8), superseded, cancelled, maintenance (D64)",
    )
    confirmation: Confirmation
    source: str
    site: str | None = None
    commune: str | None = None
    zone: tuple[str, ...] = ()
    type: EventType
    severity: int
    certainty: Certainty
    urgency: str | None = Field(default=None, description="as the sender said it (CAP: Immediate, Expected, Future, Past, Unknown)")
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
    effective: tuple[Window, ...] = Field(default=(), description="D9: acts only inside these")
    expected_end: Instant | None = Field(default=None, description="from the duration or the estimated end")
    lifts: tuple[EventType, ...] = ()
    affected_activities: tuple[str, ...] = ()
    verified_by: str | None = Field(default=None, description="who confirmed or denied it (D6), a token")
    labels: dict[str, str] = Field(default_factory=dict, description="of a machine's alert")
    sites: tuple[str, ...] = Field(default=(), description="sites in the area that it names")
    signature: str | None = Field(default=None, description="CAP: unsigned, unchecked, valid, invalid")


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
    meals_lost_pct: float = Field(default=0.0, description="of the meals served there: a supplier that fails takes nothing else (D40)")
    contested: bool = False
    planned: bool = False
    overdue: bool = False
    sources: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()
    expected_end: Instant | None = None
    windows: tuple[Window, ...] = ()
    measure: Measure | None = None
    maintenance: tuple[str, ...] = Field(default=(), description="windows that cover it: planned works (D64)")
    inhibited_by: str | None = Field(default=None, description="the cause that it is a consequence of (D65)")


class SiteRow(Model):
    """Dynamic part of a site; name, kind and place come from the reference data."""

    id: str
    status: SiteStatus
    since: Instant
    capacity_pct: float
    causes: tuple[CauseRow, ...] = ()
    why: tuple[Why, ...] = ()
    last_word_at: Instant | None = None
    flags: tuple[str, ...] = ()


class IncidentRow(Model):
    """`members` = sites with a word of their own in it; `zone_sites` = sites of its zone without one."""

    id: str
    number: str = Field(description="human reference, e.g. 92-2027-0211-01")
    kind: str = Field(
        description="family: power, water, flood, heat, snow, wind, weather, kitchen, it, security, gas, absence, strike, fire, site"
    )
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
    why: tuple[Why, ...] = Field(default=(), description="why this level, one per level reached")
    last_at: Instant | None = Field(default=None, description="occurred_at of its newest fact (power: of its newest cut)")
    danger: bool = Field(default=False, description="people may be in danger: evacuation, fire, gas, shelter, security")
    quiet: Literal["maintenance", "inhibited"] | None = Field(
        default=None, description="calls nobody: all that it holds is planned works (D64) or the consequence of a known cause (D65)"
    )

    @property
    def outlook(self) -> tuple[str, bool, Instant | None]:
        """What continuity goes by: the family, whether it is open, its announced end."""
        return self.kind, self.state in (IncidentState.OPEN, IncidentState.ACKNOWLEDGED), self.estimated_end


class LevelRow(Model):
    """`id`: `territory`. An incident's level is in the incident; a pôle's (`pole:<id>`) is worked out by readers from its incidents."""

    id: str
    level: Level
    since: Instant
    why: tuple[Why, ...] = ()
    version: int = 0
    proposed: Level | None = Field(default=None, description="N4 proposed, not set (D30)")
    proposed_why: tuple[Why, ...] = ()


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
    answered: tuple[str, ...] = Field(default=(), description="persons who said yes to this wave, over all cycles")


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
    previous_level: Level | None = Field(default=None, description="level of the ladder that this one replaced")
    repeat_after_min: int = 0
    repeat_times: int = 0
    superseded_by: str | None = None
    stale_at: Instant | None = Field(
        default=None, description="an answered ladder is called again then, unless somebody does something before"
    )
    stale_times: int = Field(default=0, description="how often its answers went stale")
    since_cycle: int = Field(default=1, description="answers count from this cycle on; those before went stale")
    never_skipped: tuple[str, ...] = Field(default=(), description="roles that are called although enough have answered (D34)")
    stale_after_min: int | None = Field(
        default=None, description="minutes after which an answer without a deed is none any more; null = never"
    )
    later: tuple[WaveRow, ...] = Field(
        default=(), description="waves of the cycles after the running one, once another policy was applied; empty = the same again"
    )


class TaskRow(Model):
    """Something that waits for a person: verify a silent site, link a denial, an unknown site, an overdue cause."""

    id: str
    kind: str = Field(
        description="verify_site, verify_report, link_denial, link_site, overdue_cause, contested, lift_which, reentry, readiness_hole, relief, sitrep, improvement"
    )
    state: TaskState
    opened_at: Instant
    due_at: Instant | None = None
    site: str | None = None
    incident: str | None = None
    report: str | None = None
    candidates: tuple[str, ...] = ()
    taken_by: str | None = None
    done_at: Instant | None = None
    outcome: str | None = None
    owner: str | None = Field(
        default=None, description="role that has to do it, `directeur_pole:<pôle>` in a scope; None = whoever is in the cell"
    )
    post: str | None = Field(
        default=None,
        description="readiness_hole: the role, `<role>:<scope>` in a scope, that would not answer; relief: the role in the cell",
    )


class TriggerRow(Model):
    """A plan trigger that holds or held. `id` = `<plan>:<level>`.

    `<plan>:stand-down` is the measured part of the plan's stand-down condition (D52), told once one of its triggers has held.
    """

    id: str
    plan: str
    level: int
    state: Literal["held", "released"]
    since: Instant
    incident: str | None = None
    why: tuple[Why, ...] = ()


class FlagRow(Model):
    """A true/false or value that an authority declared: total_isolation, cod_active, … (DOMAIN §13) or a dependency.

    `id`: `flag:<name>`, `system:<name>`, `kitchen:<name>`, `supplier:<name>`, `network:<name>`, `vigilance:<phenomenon>`,
    `river:<station>` (m), `road:<name>` (closed: true). For a dependency `value` is `down`, `degraded`, `up` (or a share 0–100 of served capacity, `colleges_served`).
    """

    id: str
    value: bool | float | str
    since: Instant
    effective_from: Instant | None = None
    speaks_of: Instant | None = Field(default=None, description="when what is declared already will begin: the day of a strike (D50)")
    until: Instant | None = Field(default=None, description="in force only so long: the end of the window that was announced (D9)")
    incident: str | None = None
    reports: tuple[str, ...] = ()
    maintenance: bool = Field(default=False, description="said by covered reports alone: counts for no predicate (D64)")


# ── facts ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@message
class ReportChanged(RowFact):
    """A report was judged, or its verdict changed (confirmed, denied, linked, superseded)."""

    collection: ClassVar[str] = "reports"
    row: ReportRow


@message
class SiteStatusChanged(RowFact):
    """Routed to continuity."""

    collection: ClassVar[str] = "sites"
    row: SiteRow


@message
class IncidentChanged(RowFact):
    """Opened, grew, changed level or state. `change` says what: opened, member, report, level, acknowledged, closed,
    reopened, merged, split, zone, quiet, loud. `routed`: false when its `outlook` is as before; then pictures alone read it.
    """

    collection: ClassVar[str] = "incidents"
    row: IncidentRow
    change: str
    routed: bool = True


@message
class LevelChanged(RowFact):
    """The territory's. Routed to continuity."""

    collection: ClassVar[str] = "levels"
    row: LevelRow
    previous: Level


@message
class TriggerChanged(RowFact):
    """TriggerHeld / TriggerReleased of the design, as one row. Routed to continuity."""

    collection: ClassVar[str] = "triggers"
    row: TriggerRow


@message
class FlagChanged(RowFact):
    """Routed to continuity."""

    collection: ClassVar[str] = "flags"
    row: FlagRow


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
class TaskChanged(RowFact):
    collection: ClassVar[str] = "tasks"
    row: TaskRow


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
    contested: bool = False
    lifted_at: Instant | None = None
    lifted_by: str | None = Field(
        default=None,
        description="report; `withdrawn:` or `denied:` and a report (D3); `task:` and a task; `newer_word`, `end_of_day`, `windows_over`",
    )
    next_at: Instant | None = Field(default=None, description="when time alone changes it: a window, the expected end, the end of the day")
    maintenance: tuple[str, ...] = Field(default=(), description="windows that cover all its reports (D64)")
    inhibited_by: str | None = Field(default=None, description="the open cause of which it is a consequence (D65)")


@message
class CauseChanged(Fact):
    """The whole new value of a cause."""

    cause: Cause


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
    hides: EventType | None = Field(default=None, description="causes of this type no longer show closed or degraded (D14)")


@message
class ThresholdChanged(Fact):
    """One branch of a predicate holds (latched), falls below it by the margin, or is armed again (D31)."""

    id: str
    held: bool
    since: Instant
    below_since: Instant | None = None
    incident: str | None = None


@message
class DeadlineSettled(Fact):
    """A deadline came due and changed nothing else."""

    key: str


@message
class HistoryForgotten(Fact):
    """What nobody can refer to any more left the state (the log keeps it): reports of more than 7 days, and incidents that were closed
    before `closed_before`, with all that is theirs (D4, D26).
    """

    reported_before: Instant
    closed_before: Instant
    next_at: Instant | None = None


@message
class NoteAdded(Fact):
    """A line that a person wrote in the main courante."""

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
    template: str = Field(description="code of the message text: incident_wave, level_raised, alarm_rto, alarm_dmia, merged, information")
    values: dict[str, str | int | float | bool | None] = Field(
        default_factory=dict, description="ids and numbers for the text, no free text"
    )
    planned_at: Instant
    ack_by: Instant | None = None
    quiet_until: Instant | None = Field(default=None, description="D36: quiet hours hold back app and SMS until then")


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


# ── inputs from the other services ─────────────────────────────────────────────────────────────────────────────────


@message
class MetricChanged(Fact):
    """From continuity: a metric it owns crossed a threshold that some predicate names. `key`: schemas.predicates.metric_key."""

    key: str
    value: float | bool
    at: Instant
    reports: tuple[str, ...] = ()


@message
class AttentionRequested(Fact):
    """From continuity: these roles must hear of it (RTO alarms D44, overdue cards D50). `reentry` asks for a task too (D46); `sitrep_due` only for
    a task, without a message (D54).
    """

    code: Literal[
        "alarm", "card_overdue", "plan_proposed", "stand_down_proposed", "forecast", "reentry", "sitrep_due",
        "reassignment_proposed", "reassignment_order", "reassignment_void",
    ]  # fmt: skip
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
        default=None, description="of a proposal; of an order: who leave the site; who come back from a place that was lost"
    )
    come: int | None = Field(default=None, description="of an order: who come to the site")


@message
class AnswerReceived(Fact):
    """From delivery: a person answered a notification."""

    notification: str
    person: str
    answer: Answer
    channel: str
    at: Instant
    proved: Channel | None = Field(default=None, description="the channel that surely reached this person: a proof of reachability (D38)")


@message
class Unreachable(Fact):
    """From delivery: every channel of this notification failed."""

    notification: str
    person: str
    at: Instant
