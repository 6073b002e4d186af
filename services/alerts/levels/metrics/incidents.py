# ruff: noqa: ARG001  every metric takes a draft and a scope
"""Metrics of incidents and levels, of events close together in time, and those of continuity."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Final

from schemas.alerts import IncidentRow
from schemas.base import MINUTE_MS, Instant
from schemas.predicates import Measured
from schemas.words import EventType
from services.alerts.levels.metrics.base import (
    BoundMetric,
    MetricArgs,
    MetricContext,
    MetricRequest,
    MetricScope,
    MetricType,
    build_severity_key,
    build_topics,
    no_margin,
)
from services.alerts.reference.territory import SHOWN_REPORTS, WINDOW_SCAN_MS
from services.alerts.reports.report_facts import list_communes

TimedEvent = tuple[Instant, str, str]
"""(beginning, cause, counted thing)"""


def find_fullest_window(events: Sequence[TimedEvent], window_ms: Instant) -> Sequence[TimedEvent]:
    """Return the window with the most different things counted, both ends inclusive.

    `events` are ascending.
    """
    if not events or events[-1][0] - events[0][0] <= window_ms:
        return events
    inside, best, most, first = Counter[str](), (0, 0), 0, 0
    for last, (at, _, thing) in enumerate(events):
        inside[thing] += 1
        while at - events[first][0] > window_ms:
            first_thing = events[first][2]
            inside[first_thing] -= 1
            if not inside[first_thing]:
                del inside[first_thing]
            first += 1
        if len(inside) > most:
            most, best = len(inside), (first, last + 1)
    return events[slice(*best)]


def _make_window_metric(
    find: Callable[[MetricContext, MetricScope], Sequence[TimedEvent]], index: str
) -> BoundMetric:
    """Count the different things in the window that `find` returns."""
    return BoundMetric(
        lambda draft, scope: len({thing for _, _, thing in find(draft, scope)}),
        build_topics(index),
        lambda draft, scope: tuple(
            dict.fromkeys(draft.state.causes[c].reports[0] for _, c, _ in find(draft, scope))
        )[:SHOWN_REPORTS],
    )


def make_cut_sites(of: MetricRequest) -> BoundMetric:
    window = int(of.args["window_min"] * MINUTE_MS)

    def find(draft: MetricContext, scope: MetricScope) -> Sequence[TimedEvent]:
        cuts, causes = draft.state.cuts, draft.state.causes
        recent = cuts[
            bisect_left(cuts, draft.now - max(WINDOW_SCAN_MS, window), key=itemgetter(0)) :
        ]
        if scope is not None:
            recent = tuple(
                event
                for event in recent
                if draft.resolve_incident(causes[event[1]].incident) == scope
            )
        return find_fullest_window(recent, window)

    return _make_window_metric(find, "cuts")


_SECURITY_TYPES: Final = frozenset(
    {EventType.SECURITY_INCIDENT.value, EventType.DAMAGE_REPORT.value}
)


def _list_security_events(
    draft: MetricContext, scope: MetricScope, of: MetricRequest, types: frozenset[str] | None
) -> Iterator[tuple[Instant, str]]:
    """Yield the security events that started in the scanned window, ascending: (since, cause).

    Damage counts in a security incident only. Rule D75, damage.
    """
    since = draft.now - max(WINDOW_SCAN_MS, int(of.args["window_min"] * MINUTE_MS))
    least = int(of.args.get("min_severity", 1))
    for at, cause, severity, type_ in draft.state.security:
        if at < since or severity < least or (types is not None and type_ not in types):
            continue
        incident = draft.resolve_incident(draft.state.causes[cause].incident)
        if type_ == EventType.DAMAGE_REPORT.value and (
            incident is None or draft.incident(incident).kind != "security"
        ):
            continue
        if scope is None or incident == scope:
            yield at, cause


def _list_communes(draft: MetricContext, cause: str) -> tuple[str, ...]:
    """Return the communes of a cause: several when its first report names several."""
    cause_row = draft.state.causes[cause]
    report = draft.state.reports.get(cause_row.reports[0]) if cause_row.site is None else None
    return (
        list_communes(report, draft.territory)
        if report is not None
        else (cause_row.commune,)
        if cause_row.commune
        else ()
    )


def make_security_events(of: MetricRequest) -> BoundMetric:
    window, per_commune = int(of.args["window_min"] * MINUTE_MS), of.args.get("per") == "commune"

    def find(draft: MetricContext, scope: MetricScope) -> Sequence[TimedEvent]:
        groups: dict[str, list[TimedEvent]] = {}
        for at, cause in _list_security_events(draft, scope, of, _SECURITY_TYPES):
            for group in _list_communes(draft, cause) or ("",) if per_commune else ("",):
                groups.setdefault(group, []).append((at, cause, cause))
        return max(
            (find_fullest_window(events, window) for events in groups.values()), key=len, default=()
        )

    return _make_window_metric(find, "security")


def make_security_communes(of: MetricRequest) -> BoundMetric:
    window = int(of.args["window_min"] * MINUTE_MS)

    def find(draft: MetricContext, scope: MetricScope) -> Sequence[TimedEvent]:
        events = _list_security_events(draft, scope, of, None)
        return find_fullest_window(
            [
                (at, cause, commune)
                for at, cause in events
                for commune in _list_communes(draft, cause)
            ],
            window,
        )

    return _make_window_metric(find, "security")


def _list_security_spans(args: MetricArgs) -> tuple[tuple[str, Instant], ...]:
    return (("security", max(WINDOW_SCAN_MS, int(args["window_min"] * MINUTE_MS))),)


def make_open_incidents(of: MetricRequest) -> BoundMetric:
    def value(draft: MetricContext, scope: MetricScope) -> float:
        if scope is None:
            return len(draft.open_incidents) - sum(
                not _is_current(draft, row) for row in draft.covered_incidents
            )
        return float(scope in draft.open_incidents and _is_current(draft, draft.incident(scope)))

    return BoundMetric(
        value,
        build_topics("incidents"),
        lambda draft, scope: draft.first_reports((scope,) if scope else draft.open_incidents),
    )


def _is_current(draft: MetricContext, row: IncidentRow) -> bool:
    """Return whether an incident holds more than planned works and announcements.

    A strike notice counts at once, of whatever day it is. Rules D9, D28 and D64.
    """
    if row.quiet == "maintenance" or row.severity or row.kind == "strike":
        return row.quiet != "maintenance"
    return not any(
        "planned" in draft.state.reports[r].flags
        for r in draft.state.incident_reports.get(row.id, ())
    )


def make_level(of: MetricRequest) -> BoundMetric:
    def value(draft: MetricContext, scope: MetricScope) -> float | None:
        return float(draft.level) if scope is None else None

    return BoundMetric(value, build_topics("levels"), margin=no_margin)


def make_max_severity(of: MetricRequest) -> BoundMetric:
    query, flag = of.severity_index[build_severity_key(of.args)], of.args.get("and_flag")

    def worst(draft: MetricContext, scope: MetricScope) -> tuple[int, str] | None:
        if flag and ((row := draft.state.flags.get(f"flag:{flag}")) is None or not row.is_true):
            return None
        severities = draft.state.severities.get(query)
        if severities is None:
            return None
        gravest = None
        for incident in draft.open_incidents if scope is None else (scope,):
            one = severities.get(incident)
            if one is not None and (gravest is None or one[0] > gravest[0]):
                gravest = one
        return gravest

    def value(draft: MetricContext, scope: MetricScope) -> float:
        gravest = worst(draft, scope)
        return gravest[0] if gravest else 0

    def reports(draft: MetricContext, scope: MetricScope) -> tuple[str, ...]:
        gravest = worst(draft, scope)
        return (gravest[1],) if gravest else ()

    return BoundMetric(
        value,
        build_topics("severities", "incidents", *(["flags"] if flag else [])),
        reports,
        margin=no_margin,
    )


def make_customers_cut(of: MetricRequest) -> BoundMetric:
    def value(draft: MetricContext, scope: MetricScope) -> float:
        rows = draft.cut_incidents if scope is None else (draft.incident(scope),)
        return max(
            (row.customers_cut or 0 for row in rows if row.quiet != "maintenance"), default=0
        )

    def reports(draft: MetricContext, scope: MetricScope) -> tuple[str, ...]:
        return draft.reports_with("customers_cut")

    return BoundMetric(value, build_topics("customers", "incidents"), reports)


def _is_planned(draft: MetricContext, reports: tuple[str, ...]) -> bool:
    """Return whether planned works alone are behind a value. Rule D64, maintenance windows."""
    return bool(reports) and all(draft.state.hushed.get(r) == "maintenance" for r in reports)


def make_continuity_metric(condition: Measured) -> BoundMetric:
    key = condition.key

    def value(draft: MetricContext, scope: MetricScope) -> float | None:
        metric = draft.state.metrics.get(key)
        if metric is None or _is_planned(draft, metric.reports):
            return None
        if scope is not None and not any(draft.incident_of(r) == scope for r in metric.reports):
            return None
        return float(metric.value)

    def reports(draft: MetricContext, scope: MetricScope) -> tuple[str, ...]:
        metric = draft.state.metrics.get(key)
        return metric.reports[:SHOWN_REPORTS] if metric else ()

    return BoundMetric(value, build_topics("metrics"), reports)


METRICS: Final = {
    "open_incidents": MetricType(make_open_incidents),
    "level": MetricType(make_level),
    "max_severity": MetricType(make_max_severity),
    "customers_cut": MetricType(make_customers_cut),
    "outage_power_sites": MetricType(make_cut_sites),
    "security_events": MetricType(make_security_events, spans=_list_security_spans),
    "security_communes": MetricType(make_security_communes, spans=_list_security_spans),
}
