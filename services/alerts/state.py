"""What alerts knows of one realm. Rows are kept as they are shown; everything derived from them is indexed for O(1) reading.

The fields of `Rows` are the state: they are dumped, loaded and compared. The fields of `State` that are not are indexes, built by
`evolve` from the same rows, so that loading a dump is evolving its rows again.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, Self, TypeVar

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
from schemas.causes import Cause
from schemas.maintenance import LeaseRow, MaintenanceRow
from schemas.oncall import CellShift, DutyRow, ReachRow, ReadinessRow
from schemas.reference import SectionData
from schemas.reference_changes import ReferenceChangeRow, ReferenceDrafted
from schemas.words import EventType, Level
from services.alerts.levels.rulebook import EMPTY, Rulebook
from services.alerts.reference.territory import Territory
from services.oncall.schedule import Rota
from services.runtime.decider.deadlines import Agenda
from services.runtime.decider.maps import Map

NOBODY: Final = Rota(None)
_K = TypeVar("_K")
_V = TypeVar("_V")


def _map() -> Any:
    return field(default_factory=Map)


def _index() -> Any:
    return field(default_factory=Map, init=False, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Zone:
    """Zone of an incident (D18): its communes, the sites that were taken into it, and the batches whose silence is judged."""

    communes: tuple[str, ...] = ()
    sites: Map[str, None] = field(default_factory=Map)
    batches: Map[int, tuple[str, ...]] = field(default_factory=Map)
    """Instant of judgement → sites."""
    all_clear: Instant | None = None
    """When the operator said all restored (D20), until judged."""
    all_clear_due: Instant | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """A site shown unknown, and why."""

    rule: str
    incident: str | None
    since: Instant
    hides: EventType | None = None


@dataclass(frozen=True, slots=True)
class Threshold:
    """One branch of a predicate that holds or held: it cannot raise anything again until it is armed again (D31)."""

    since: Instant
    below_since: Instant | None
    incident: str | None


@dataclass(frozen=True, slots=True)
class Reading:
    """Newest confirmed value of a measure at a place."""

    value: float
    value_of: float | None
    occurred_at: Instant
    report: str


Hush = Literal["maintenance", "inhibited"]
SecurityEvent = tuple[Instant, str, int, str]
"""(since, cause, severity, type)"""


class Presence(NamedTuple):
    """What one cause says of the presence at its site on its day; of several the greatest holds."""

    since: Instant
    known_at: Instant
    cause: str
    pct: float


@dataclass(frozen=True)
class State:
    realm: str
    lineage: str
    version: str = ""
    """Version of the reference data in force."""
    sections: Map[str, SectionData] = _map()
    staged: Map[str, SectionData] = _map()
    """Sections of a version that is not in force yet."""
    reports: Map[str, ReportRow] = _map()
    causes: Map[str, Cause] = _map()
    sites: Map[str, SiteRow] = _map()
    marks: Map[str, Map[str, tuple[str, ...]]] = _map()
    """Site → what it counts for → incidents behind it."""
    incidents: Map[str, IncidentRow] = _map()
    zones: Map[str, Zone] = _map()
    silences: Map[str, Silence] = _map()
    levels: Map[str, LevelRow] = _map()
    thresholds: Map[str, Threshold] = _map()
    triggers: Map[str, TriggerRow] = _map()
    flags: Map[str, FlagRow] = _map()
    escalations: Map[str, EscalationRow] = _map()
    calls: Map[str, NotificationPlanned] = _map()
    """Notifications of ladders, by id."""
    tasks: Map[str, TaskRow] = _map()
    metrics: Map[str, MetricChanged] = _map()
    """Metrics that continuity owns, by key."""
    spent: Map[str, Instant] = _map()
    """Deadlines that fired and left no other trace, or raised: they stay disarmed."""
    maintenance: Map[str, MaintenanceRow] = _map()
    leases: Map[str, LeaseRow] = _map()
    """By the report that opened the alert."""
    forget_at: Instant | None = None
    """Live realms: when what nobody can refer to any more is dropped next (D4)."""
    duties: Map[str, DutyRow] = _map()
    """Overrides, swaps and calendars of who is on call."""
    reach: Map[str, ReachRow] = _map()
    """Person → channels, as told after the reference data were published."""
    published_at: Instant | None = None
    """When the version in force was taken: a channel that it verifies without a day counts from then."""
    taken: Map[str, Instant] = _map()
    """Person → newest answered call: whoever was called out is not rested (D39)."""
    shifts: Map[str, CellShift] = _map()
    """Person → their shift in the crisis cell (D39)."""
    readiness: ReadinessRow | None = None
    prove_at: Instant | None = None
    """Live realms: when readiness is proved next (D38)."""
    drilled: str | None = None
    """Local month of the newest drill."""
    reference_changes: Map[str, ReferenceChangeRow] = _map()
    drafted: Map[str, ReferenceDrafted] = _map()
    """`version/section` → a section of a version that is proposed, until its change is over (D63)."""

    # ── indexes ──────────────────────────────────────────────────────────────────────────────────────────────────
    rules: Rulebook = field(default=EMPTY, init=False, compare=False, repr=False)
    aliases: Map[str, str] = _index()
    """Sender's own id, alone and with its sender → report."""
    cause_keys: Map[str, str] = _index()
    """Cause key (`claims.cause_key`) → its newest cause, open or lifted."""
    site_causes: Map[str, tuple[str, ...]] = _index()
    """Site → open causes, sorted."""
    placeless: Map[str, Map[str, int | None]] = _index()
    """Type → open causes without a site, with the persons of those that act."""
    incident_reports: Map[str, Map[str, None]] = _index()
    figures: Map[str, Map[str, None]] = _index()
    """Incident → its reports of customers cut."""
    open_incidents: tuple[str, ...] = field(default=(), init=False, compare=False, repr=False)
    """Oldest first."""
    closed_incidents: tuple[str, ...] = field(default=(), init=False, compare=False, repr=False)
    """Closed, not merged: newest last, at most 64 (D26)."""
    merged_incidents: Map[str, None] = _index()
    """They go on in the one that a person merged them into (D25)."""
    numbers: Map[str, int] = _index()
    """Day → incidents opened."""
    site_incidents: Map[str, tuple[str, ...]] = _index()
    """Site → incidents that it is a member of, sorted."""
    severities: Map[tuple[str, int], tuple[int, str]] = _index()
    """(incident, severity query) → worst counting report: severity, id."""
    counts: Map[tuple[str, str, str], int] = _index()
    """(incident or "", mark, group) → sites; group: "", kind:…, pole:…"""
    rumours: Map[str, int] = _index()
    """Unconfirmed or rumoured reports that nobody confirmed or denied → severity."""
    pending: Map[str, tuple[str, ...]] = _index()
    """Cause key → unconfirmed reports that wait for a second source (D6), sorted."""
    doubts: Map[str, tuple[str, ...]] = _index()
    """Site → unconfirmed reports about its status."""
    calm: Map[str, Instant] = _index()
    """Site → when it last said that there is nothing to report."""
    reopenings: Map[str, tuple[Instant, str]] = _index()
    """`site|type` → newest reopening that named the type: occurred_at, source."""
    departures: Map[str, tuple[Instant, str]] = _index()
    """Site → newest order to leave it: occurred_at, source."""
    returns: Map[str, tuple[tuple[Instant, str, str], ...]] = _index()
    """`system:x`, `network:x`, `supplier:x` → words that it works again, the last of them in order: occurred_at, source, report."""
    readings: Map[str, Reading] = _index()
    """`measure|place` → newest confirmed value."""
    absences: Map[str, tuple[tuple[str, float, Instant], ...]] = _index()
    """Scope → (day, rate, occurred_at), ascending by day."""
    forecasts: Map[str, tuple[tuple[Instant, Instant, float], ...]] = _index()
    """Scope → (end of the day that it speaks of, occurred_at, announced rate), ascending by day."""
    cuts: tuple[tuple[Instant, str, str], ...] = field(
        default=(), init=False, compare=False, repr=False
    )
    """(since, cause, site) of power cuts on sites, of the last two days, ascending."""
    security: tuple[SecurityEvent, ...] = field(default=(), init=False, compare=False, repr=False)
    """Security incidents, damage and fires of the last week, ascending."""
    illness: Map[str, Map[str, tuple[float, Instant, str]]] = _index()
    """Shared kitchen → site → (ill persons, since, cause)."""
    presence: Map[str, Map[str, Map[str, Presence]]] = _index()
    """`kind|day` → site → cause → what it says of the presence; the greatest holds."""
    ladders: Map[str, str] = _index()
    """Incident or `territory` → its newest ladder."""
    open_tasks: Map[str, Map[str, str]] = _index()
    """Kind → subject (evolve.crisis.subject_of) → task that is open or taken."""
    active_windows: tuple[str, ...] = field(default=(), init=False, compare=False, repr=False)
    """Maintenance windows that hold now, sorted (D64)."""
    hushed: Map[str, Hush] = _index()
    """Report → why its cause calls nobody (D64, D65)."""
    voices: Map[str, tuple[int, int, int]] = _index()
    """Incident → its counting reports that speak aloud, that are covered, that are inhibited."""
    covered_incidents: Map[str, None] = _index()
    """Open incidents that hold nothing but planned works, or nothing that counts: among them are those that count for no predicate."""
    rota: Rota = field(default_factory=lambda: NOBODY, init=False, compare=False, repr=False)
    """Who stands where, from the roster in force and the duties."""
    agenda: Agenda = field(default_factory=Agenda, init=False, compare=False, repr=False)

    def put(self, **changes: Any) -> Self:
        """A copy with changed fields. `dataclasses.replace` costs ten times as much on so many fields."""
        new = object.__new__(type(self))
        values = new.__dict__
        values.update(self.__dict__)
        values.update(changes)
        return new

    @property
    def territory(self) -> Territory:
        """Places and people of the version in force."""
        return self.rules.territory

    def level(self) -> Level:
        """Level of the territory."""
        row = self.levels.get("territory")
        return row.level if row else Level.N0


def without(m: Map[_K, _V], key: _K) -> Map[_K, _V]:
    """`m` without `key`, present or not."""
    return m.delete(key) if key in m else m


def sorted_with(values: tuple[str, ...], value: str) -> tuple[str, ...]:
    """Sorted `values` with `value` in them once."""
    at = bisect_left(values, value)
    return (
        values if at < len(values) and values[at] == value else (*values[:at], value, *values[at:])
    )


def sorted_without(values: tuple[str, ...], value: str) -> tuple[str, ...]:
    """Sorted `values` without `value`."""
    at = bisect_left(values, value)
    return (*values[:at], *values[at + 1 :]) if at < len(values) and values[at] == value else values
