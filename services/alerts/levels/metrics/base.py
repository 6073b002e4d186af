# ruff: noqa: ARG001  every metric takes a draft and a scope
"""The type of a metric, and helpers for the functions that make one.

A maker turns `{metric, args}` into a `BoundMetric` once per version. With an incident as scope, a
metric counts only the effects of that incident. A metric that no incident can own, such as a flag
of another incident or a rate of the territory, has no value there. The metrics are listed in
`docs/reference/rules.md`, section 13.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from schemas.alerts import FlagRow, IncidentRow, MetricChanged, ReportRow
from schemas.base import Instant
from schemas.crisis.causes import Cause
from schemas.predicates import metric_key
from schemas.words import Level
from services.alerts.reference.territory import TerritoryIndex
from services.alerts.rows import (
    MeasureReading,
    SecurityEvent,
    Severities,
    SitePresence,
    SuppressionReason,
)
from services.runtime.decider.maps import Map

MetricScope = str | None
"""An incident, or None for the whole territory."""
MetricArgs = Mapping[str, Any]
ALL, KIND, POLE = "", "kind:", "pole:"
DisplayValue = str | int | float | bool


class MetricState(Protocol):
    """Rows and indexes of the state, described in `State`."""

    @property
    def territory(self) -> TerritoryIndex: ...
    @property
    def reports(self) -> Map[str, ReportRow]: ...
    @property
    def causes(self) -> Map[str, Cause]: ...
    @property
    def marks(self) -> Map[str, Map[str, tuple[str, ...]]]: ...
    @property
    def flags(self) -> Map[str, FlagRow]: ...
    @property
    def metrics(self) -> Map[str, MetricChanged]: ...
    @property
    def cause_keys(self) -> Map[str, str]: ...
    @property
    def site_causes(self) -> Map[str, tuple[str, ...]]: ...
    @property
    def placeless(self) -> Map[str, Map[str, int | None]]: ...
    @property
    def incident_reports(self) -> Map[str, Map[str, None]]: ...
    @property
    def severities(self) -> Severities: ...
    @property
    def counts(self) -> Map[tuple[str, str, str], int]: ...
    @property
    def rumour_severities(self) -> Map[int, Map[str, None]]: ...
    @property
    def readings(self) -> Map[str, MeasureReading]: ...
    @property
    def absences(self) -> Map[str, tuple[tuple[str, float, Instant], ...]]: ...
    @property
    def forecasts(self) -> Map[str, tuple[tuple[Instant, Instant, float], ...]]: ...
    @property
    def cuts(self) -> tuple[tuple[Instant, str, str], ...]: ...
    @property
    def security(self) -> tuple[SecurityEvent, ...]: ...
    @property
    def illness(self) -> Map[str, Map[str, tuple[float, Instant, str]]]: ...
    @property
    def presence(self) -> Map[str, Map[str, Map[str, SitePresence]]]: ...
    @property
    def hushed(self) -> Map[str, SuppressionReason]: ...


class MetricContext(Protocol):
    """A decision as metrics see it: the state so far, the clock and the incidents as changed."""

    @property
    def state(self) -> MetricState: ...
    @property
    def now(self) -> Instant: ...
    @property
    def level(self) -> Level: ...
    @property
    def territory(self) -> TerritoryIndex: ...
    @property
    def values(self) -> dict[tuple[int, str | None], float | None]: ...
    @property
    def open_incidents(self) -> tuple[str, ...]: ...
    @property
    def covered_incidents(self) -> tuple[IncidentRow, ...]: ...
    @property
    def cut_incidents(self) -> tuple[IncidentRow, ...]: ...

    def incident(self, id: str) -> IncidentRow: ...
    def incidents(self, ids: Iterable[str]) -> Iterator[IncidentRow]: ...
    def incident_of(self, report: str) -> str | None: ...
    def resolve_incident(self, incident: str | None) -> str | None: ...
    def first_reports(self, incidents: Iterable[str]) -> tuple[str, ...]: ...
    def reports_with(self, measure: str, scope: str | None = None) -> tuple[str, ...]: ...
    def get_measure(self, report: str, measure: str) -> float: ...


@dataclass(frozen=True, slots=True)
class MetricRequest:
    """The arguments of a maker."""

    args: MetricArgs
    territory: TerritoryIndex
    severity_index: Mapping[str, int]


def build_severity_key(args: MetricArgs) -> str:
    """Return the canonical name of a severity query. `and_flag` is checked when it is read."""
    return metric_key("max_severity", {k: v for k, v in args.items() if k != "and_flag"})


def list_no_reports(draft: MetricContext, scope: MetricScope) -> tuple[str, ...]:
    return ()


def format_value(value: float) -> DisplayValue:
    return int(value) if float(value).is_integer() else value


def compute_tenth(threshold: float) -> float:
    """Return a tenth of the threshold: the margin of a count. Rule D31, thresholds."""
    return abs(threshold) / 10


def no_margin(threshold: float) -> float:
    """Return no margin: being below the threshold is enough."""
    return 0.0


@dataclass(frozen=True, slots=True)
class BoundMetric:
    """A metric with its arguments. A `value` of None is unknown, so no predicate on it holds."""

    value: Callable[[MetricContext, MetricScope], float | None]
    reads: frozenset[str]
    """Dependencies: indexes of the state, marks and topics.

    `mark:<m>` stands for the sites with a mark, `out:<kind>` for the sites that are out; the topics
    `incidents`, `customers` and `levels` are those of a decision's `touch`.
    """
    reports: Callable[[MetricContext, MetricScope], tuple[str, ...]] = list_no_reports
    margin: Callable[[float], float] = compute_tenth
    """Distance below the threshold at which it is armed again. Rule D31, thresholds."""
    to_display: Callable[[float], DisplayValue] = format_value
    parse: Callable[[str], float] = float


def build_topics(*names: str) -> frozenset[str]:
    """Return a set for `BoundMetric.reads`."""
    return frozenset(names)


def list_values(args: MetricArgs, *names: str) -> tuple[str, ...]:
    """Return the values of the first given argument: `kind: college` equals `kinds: [college]`."""
    for name in names:
        if name in args:
            value = args[name]
            return tuple(value) if isinstance(value, list | tuple) else (str(value),)
    return ()


def select_group(args: MetricArgs) -> str:
    """Return the kind of group that these arguments count sites by."""
    if args.get("per") == "pole":
        return POLE
    return KIND if "kind" in args or "kinds" in args else ALL


MetricMaker = Callable[[MetricRequest], BoundMetric]


@dataclass(frozen=True, slots=True)
class MetricType:
    """A metric that predicates may name."""

    make: MetricMaker
    marks: Callable[[MetricArgs], Iterable[tuple[str, str]]] = lambda _: ()
    """Marks of sites that it counts, each with the kind of group: `ALL`, `KIND` or `POLE`."""
    spans: Callable[[MetricArgs], Iterable[tuple[str, Instant]]] = lambda _: ()
    """Indexes of which time alone changes it, with the delay after their newest event."""
