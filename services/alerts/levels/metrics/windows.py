"""Metrics of events that come close together in time."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Final

from schemas.base import MINUTE_MS, Instant
from schemas.words import EventType
from services.alerts.levels.metrics.base import (
    BoundMetric,
    MetricArgs,
    MetricContext,
    MetricRequest,
    MetricScope,
    MetricType,
    build_topics,
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


METRICS: Final = {
    "outage_power_sites": MetricType(make_cut_sites),
    "security_events": MetricType(make_security_events, spans=_list_security_spans),
    "security_communes": MetricType(make_security_communes, spans=_list_security_spans),
}
