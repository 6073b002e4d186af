"""The state of one realm. Rows are kept as screens show them; indexes make look-ups O(1).

Fields of `State` without `init=False` are the state: they are dumped, loaded and compared. The
others are indexes. `evolve` builds them from the same rows, so that loading a dump means evolving
its rows again.
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypeVar

from schemas.alerts import (
    FlagRow,
    IncidentRow,
    LevelRow,
    MetricChanged,
    ReportRow,
    SiteRow,
    TaskRow,
    TriggerRow,
)
from schemas.base import Instant
from schemas.calling import EscalationRow, NotificationPlanned
from schemas.crisis.actions import ActionRow
from schemas.crisis.area_orders import AreaOrderRow
from schemas.crisis.causes import Cause
from schemas.crisis.communication import QuestionRow, StatementRow
from schemas.crisis.handovers import HandoverRow
from schemas.crisis.maintenance import LeaseRow, MaintenanceRow
from schemas.crisis.obligations import ObligationRow
from schemas.crisis.publication import PublicationRow
from schemas.crisis.stimuli import StimulusRow
from schemas.oncall import CellShift, DutyRow, ReachRow, ReadinessRow
from schemas.people.attendance import AttendanceRow, CellStaffingRow
from schemas.reference import SectionData
from schemas.reference_changes import ReferenceChangeRow, ReferenceDrafted
from schemas.words import EventType, Level
from services.alerts.levels.rulebook import EMPTY_RULEBOOK, Rulebook
from services.alerts.reference.territory import TerritoryIndex
from services.alerts.rows import (
    MeasureReading,
    SecurityEvent,
    Severities,
    SitePresence,
    SuppressionReason,
)
from services.oncall.schedule import Schedule
from services.runtime.decider.maps import Map
from services.runtime.decider.protocol import Deadlines

EMPTY_ROTA: Final = Schedule(None)
_K = TypeVar("_K")
_V = TypeVar("_V")


def _map_field() -> Any:
    return field(default_factory=Map)


def _index_field() -> Any:
    return field(default_factory=Map, init=False, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Zone:
    """The zone of an incident: its communes, its sites, and the batches of silent sites to judge.

    Rule D18, silent sites.
    """

    communes: tuple[str, ...] = ()
    sites: Map[str, None] = field(default_factory=Map)
    batches: Map[int, tuple[str, ...]] = field(default_factory=Map)
    """Time of judgement → sites."""
    all_clear: Instant | None = None
    """Time of the operator's all-clear, until it is judged. Rule D20, operator all-clear."""
    all_clear_due: Instant | None = None


@dataclass(frozen=True, slots=True)
class SiteSilence:
    """The reason why a site shows `unknown`."""

    rule: str
    incident: str | None
    since: Instant
    hides: EventType | None = None


@dataclass(frozen=True, slots=True)
class Threshold:
    """One branch of a predicate that holds or held; it raises no level until it is armed again.

    Rule D31, thresholds.
    """

    since: Instant
    below_since: Instant | None
    incident: str | None


@dataclass(frozen=True)
class State:
    realm: str
    lineage: str
    version: str = ""
    """Version of the reference data in force."""
    sections: Map[str, SectionData] = _map_field()
    staged: Map[str, SectionData] = _map_field()
    """Sections of a version that is not in force yet."""
    reports: Map[str, ReportRow] = _map_field()
    causes: Map[str, Cause] = _map_field()
    sites: Map[str, SiteRow] = _map_field()
    marks: Map[str, Map[str, tuple[str, ...]]] = _map_field()
    """Site → mark (see `causes.site_impact`) → incidents behind it."""
    incidents: Map[str, IncidentRow] = _map_field()
    zones: Map[str, Zone] = _map_field()
    silences: Map[str, SiteSilence] = _map_field()
    levels: Map[str, LevelRow] = _map_field()
    thresholds: Map[str, Threshold] = _map_field()
    triggers: Map[str, TriggerRow] = _map_field()
    flags: Map[str, FlagRow] = _map_field()
    escalations: Map[str, EscalationRow] = _map_field()
    calls: Map[str, NotificationPlanned] = _map_field()
    """Notifications of escalations, and questions about orders for an area, by id."""
    tasks: Map[str, TaskRow] = _map_field()
    metrics: Map[str, MetricChanged] = _map_field()
    """Metrics that continuity owns, by key."""
    spent: Map[str, Instant] = _map_field()
    """Deadlines that fired and left no other trace, or raised an error: they stay disarmed."""
    maintenance: Map[str, MaintenanceRow] = _map_field()
    leases: Map[str, LeaseRow] = _map_field()
    """Leases by the report that opened the alert."""
    forget_at: Instant | None = None
    """Live realms: time when old history is dropped next. Rule D4, duplicates."""
    duties: Map[str, DutyRow] = _map_field()
    """Overrides, swaps and imported calendars of the on-call schedule."""
    reach: Map[str, ReachRow] = _map_field()
    """Person → channels, as recorded after the reference data were published."""
    published_at: Instant | None = None
    """Time when the version in force was taken.

    A channel that the version verifies without a date counts as verified from then.
    """
    taken: Map[str, Instant] = _map_field()
    """Person → newest answered call.

    A person is not rested after a call-out. Rule D39, working time.
    """
    shifts: Map[str, CellShift] = _map_field()
    """Person → shift in the crisis cell. Rule D39, working time."""
    past_shifts: Map[str, CellShift] = _map_field()
    """Person → last shift in the cell, if it is over."""
    attendance: Map[str, AttendanceRow] = _map_field()
    """Person → attendance in the crisis cell. Rule D90, staffing of the cell."""
    staffing: CellStaffingRow | None = None
    readiness: ReadinessRow | None = None
    prove_at: Instant | None = None
    """Live realms: time of the next readiness check. Rule D38, readiness."""
    drilled: str | None = None
    """Local month of the newest drill."""
    reference_changes: Map[str, ReferenceChangeRow] = _map_field()
    drafted: Map[str, ReferenceDrafted] = _map_field()
    """`version/section` → section of a proposed version, until its change is over.

    Rule D63, reference versions.
    """

    actions: Map[str, ActionRow] = _map_field()
    """Actions that the cell gave to people. Rule D87, actions."""
    statements: Map[str, StatementRow] = _map_field()
    questions: Map[str, QuestionRow] = _map_field()
    publications: Map[str, PublicationRow] = _map_field()
    """Public page → its newest publication. Rules D96, D97."""
    obligations: Map[str, ObligationRow] = _map_field()
    """Clocks of obligations. Rule D92, legal deadlines."""
    stimuli: Map[str, StimulusRow] = _map_field()
    """Stimuli of an exercise. Rule D94, facilitation."""
    handovers: Map[str, HandoverRow] = _map_field()
    """Handovers of the crisis cell. Rule D115, handover."""
    area_orders: Map[str, AreaOrderRow] = _map_field()
    """Cause of an order for communes or an area → the order. Rule D102."""

    rules: Rulebook = field(default=EMPTY_RULEBOOK, init=False, compare=False, repr=False)
    aliases: Map[str, str] = _index_field()
    """Sender's own id, alone and together with its sender → report."""
    referrers: Map[str, str] = _index_field()
    """Kind of message, sender and a name in it → the newest such Update or Cancel. Rule D3."""
    cause_keys: Map[str, str] = _index_field()
    """Cause key (`report_facts.build_cause_key`) → its newest cause, open or lifted."""
    repeated_keys: Map[str, tuple[str, ...]] = _index_field()
    """Cause key with several causes → all of them, sorted."""
    site_causes: Map[str, tuple[str, ...]] = _index_field()
    """Site → open causes, sorted."""
    placeless: Map[str, Map[str, int | None]] = _index_field()
    """Type → open causes without a site → number of people, for those that act."""
    incident_reports: Map[str, Map[str, None]] = _index_field()
    figures: Map[str, Map[str, None]] = _index_field()
    """Incident → its reports of customers cut."""
    open_incidents: tuple[str, ...] = field(default=(), init=False, compare=False, repr=False)
    """Oldest first."""
    wide_incidents: Map[str, None] = _index_field()
    """Open incidents that are not about one site alone."""
    cut_incidents: Map[str, None] = _index_field()
    """Open incidents with a number of customers cut."""
    closed_incidents: tuple[str, ...] = field(default=(), init=False, compare=False, repr=False)
    """Closed incidents without merged ones, newest last, at most 64. Rule D26, closed incidents."""
    merged_incidents: Map[str, None] = _index_field()
    """Incidents that a person merged into another one. Rule D25, merge and split."""
    numbers: Map[str, int] = _index_field()
    """Day → number of incidents opened."""
    site_incidents: Map[str, tuple[str, ...]] = _index_field()
    """Site → incidents that it is a member of, sorted."""
    severities: Severities = _index_field()
    counts: Map[tuple[str, str, str], int] = _index_field()
    """(incident or "", mark, group) → number of sites; a group is "", `kind:…` or `pole:…`."""
    rumours: Map[str, int] = _index_field()
    """Unconfirmed reports and rumours that are neither confirmed nor denied → severity."""
    rumour_severities: Map[int, Map[str, None]] = _index_field()
    """Severity → rumours and unconfirmed `info` without a site, of `rumours`. Rule D6, rumours."""
    pending: Map[str, tuple[str, ...]] = _index_field()
    """Claim key → unconfirmed reports that wait for a second source, sorted. Rule D6."""
    doubts: Map[str, tuple[str, ...]] = _index_field()
    """Site → unconfirmed reports about its status."""
    calm: Map[str, Instant] = _index_field()
    """Site → time when it last reported that all is well."""
    reopenings: Map[str, tuple[Instant, str]] = _index_field()
    """`site|type` → newest reopening that named the type: (occurred_at, source)."""
    departures: Map[str, tuple[Instant, str]] = _index_field()
    """Site → newest order to leave it: (occurred_at, source)."""
    returns: Map[str, tuple[tuple[Instant, str, str], ...]] = _index_field()
    """`system:x`, `network:x`, `supplier:x` → newest restorations in order.

    Each is (occurred_at, source, report).
    """
    readings: Map[str, MeasureReading] = _index_field()
    """`measure|place` → newest confirmed value."""
    absences: Map[str, tuple[tuple[str, float, Instant], ...]] = _index_field()
    """Scope → (day, rate, occurred_at), ascending by day."""
    forecasts: Map[str, tuple[tuple[Instant, Instant, float], ...]] = _index_field()
    """Scope → (end of the announced day, occurred_at, announced rate), ascending by day."""
    cuts: tuple[tuple[Instant, str, str], ...] = field(
        default=(), init=False, compare=False, repr=False
    )
    """Power cuts on sites of the last two days: (since, cause, site), ascending."""
    security: tuple[SecurityEvent, ...] = field(default=(), init=False, compare=False, repr=False)
    """Security incidents, damage and fires of the last week, ascending."""
    illness: Map[str, Map[str, tuple[float, Instant, str]]] = _index_field()
    """Shared kitchen → site → (ill persons, since, cause)."""
    presence: Map[str, Map[str, Map[str, SitePresence]]] = _index_field()
    """`kind|day` → site → cause → reported presence; the greatest holds."""
    ladders: Map[str, str] = _index_field()
    """Incident or `territory` → its newest escalation."""
    predecessors: Map[str, tuple[str, ...]] = _index_field()
    """Escalation → the ones that it superseded, sorted."""
    open_tasks: Map[str, Map[str, str]] = _index_field()
    """Kind → subject (`evolve.crisis.get_subject`) → task that is open or assigned."""
    active_windows: tuple[str, ...] = field(default=(), init=False, compare=False, repr=False)
    """Maintenance windows that hold now, sorted. Rule D64, maintenance windows."""
    hushed: Map[str, SuppressionReason] = _index_field()
    """Report → reason why its cause calls nobody. Rules D64 and D65."""
    voices: Map[str, tuple[int, int, int]] = _index_field()
    """Incident → number of its counting reports: (not suppressed, in maintenance, inhibited)."""
    covered_incidents: Map[str, None] = _index_field()
    """Open incidents with planned works only, or without any report that counts.

    Those that count for no predicate are among them.
    """
    rota: Schedule = field(
        default_factory=lambda: EMPTY_ROTA, init=False, compare=False, repr=False
    )
    """On-call persons by post, from the roster in force and the duties."""
    agenda: Deadlines = field(default_factory=Deadlines, init=False, compare=False, repr=False)

    def put(self, **changes: Any) -> Self:
        """Return a copy with changed fields.

        `dataclasses.replace` costs ten times as much on so many fields.
        """
        new = object.__new__(type(self))
        values = new.__dict__
        values.update(self.__dict__)
        values.update(changes)
        return new

    @property
    def territory(self) -> TerritoryIndex:
        """Sites and people of the version in force."""
        return self.rules.territory

    def level(self) -> Level:
        """Return the level of the territory."""
        row = self.levels.get("territory")
        return row.level if row else Level.N0


def remove_key(m: Map[_K, _V], key: _K) -> Map[_K, _V]:
    """Remove a key from a map; a missing key changes nothing."""
    return m.delete(key) if key in m else m


def insert_sorted(values: tuple[str, ...], value: str) -> tuple[str, ...]:
    """Insert a value into a sorted tuple, once."""
    at = bisect_left(values, value)
    return (
        values if at < len(values) and values[at] == value else (*values[:at], value, *values[at:])
    )


def remove_sorted(values: tuple[str, ...], value: str) -> tuple[str, ...]:
    """Remove a value from a sorted tuple; a missing value changes nothing."""
    at = bisect_left(values, value)
    return (*values[:at], *values[at + 1 :]) if at < len(values) and values[at] == value else values
