"""Metrics of events that come close together in time."""

from __future__ import annotations

from bisect import bisect_left
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from schemas.base import MINUTE_MS, Instant
from schemas.words import EventType
from services.alerts.metrics.base import SHOWN_REPORTS, Asked, Metric, Scope, topics
from services.alerts.rules import WINDOW_SCAN_MS

if TYPE_CHECKING:
    from services.alerts.draft import Draft


def densest(times: list[Instant], window_ms: Instant) -> tuple[int, int]:
    """(first, last + 1) of the fullest window of `window_ms`, both ends inclusive; `times` ascending."""
    if not times or times[-1] - times[0] <= window_ms:
        return 0, len(times)
    best, first = (0, 0), 0
    for last, at in enumerate(times):
        while at - times[first] > window_ms:
            first += 1
        if last + 1 - first > best[1] - best[0]:
            best = (first, last + 1)
    return best


def cut_sites(of: Asked) -> Metric:
    window = int(of.args["window_min"] * MINUTE_MS)

    def fullest(draft: Draft, scope: Scope) -> tuple[tuple[Instant, str, str], ...]:
        cuts, causes = draft.state.cuts, draft.state.causes
        recent = cuts[bisect_left(cuts, draft.now - max(WINDOW_SCAN_MS, window), key=itemgetter(0)) :]
        if scope is not None:
            recent = tuple(cut for cut in recent if draft.standing(causes[cut[1]].incident) == scope)
        first, last = densest(list(map(itemgetter(0), recent)), window)
        return recent[first:last]

    return Metric(
        lambda draft, scope: len(set(map(itemgetter(2), fullest(draft, scope)))), topics("cuts"),
        lambda draft, scope: tuple(draft.state.causes[cause].reports[0] for _, cause, _ in fullest(draft, scope)[:SHOWN_REPORTS]),
    )  # fmt: skip


_EVENTS: Final = frozenset({EventType.SECURITY_INCIDENT.value, EventType.DAMAGE_REPORT.value})


def _security(draft: Draft, scope: Scope, least: int, window: Instant, types: frozenset[str] | None) -> list[tuple[Instant, str, str]]:
    """(since, commune, cause) of what started in the scanned window, ascending."""
    since = draft.now - max(WINDOW_SCAN_MS, window)
    return [
        (at, commune, cause)
        for at, cause, commune, severity, type_ in draft.state.security
        if at >= since and severity >= least and (types is None or type_ in types)
        and (scope is None or draft.standing(draft.state.causes[cause].incident) == scope)
    ]  # fmt: skip


def security_events(of: Asked) -> Metric:
    window, least = int(of.args["window_min"] * MINUTE_MS), int(of.args.get("min_severity", 1))
    per_commune = of.args.get("per") == "commune"

    def fullest(draft: Draft, scope: Scope) -> list[str]:
        events = _security(draft, scope, least, window, _EVENTS)
        groups: dict[str, list[tuple[Instant, str, str]]] = {}
        for event in events:
            groups.setdefault(event[1] if per_commune else "", []).append(event)
        best: list[str] = []
        for group in groups.values():
            first, last = densest([at for at, _, _ in group], window)
            if last - first > len(best):
                best = [cause for _, _, cause in group[first:last]]
        return best

    return Metric(
        lambda draft, scope: len(fullest(draft, scope)), topics("security"),
        lambda draft, scope: tuple(draft.state.causes[c].reports[0] for c in fullest(draft, scope))[:SHOWN_REPORTS],
    )  # fmt: skip


def security_communes(of: Asked) -> Metric:
    window, least = int(of.args["window_min"] * MINUTE_MS), int(of.args.get("min_severity", 1))

    def fullest(draft: Draft, scope: Scope) -> list[tuple[Instant, str, str]]:
        events, best = _security(draft, scope, least, window, None), list[tuple[Instant, str, str]]()
        for n, (at, _, _) in enumerate(events):
            inside = [e for e in events[n:] if e[0] - at <= window and e[1]]
            if len({e[1] for e in inside}) > len({e[1] for e in best}):
                best = inside
        return best

    return Metric(
        lambda draft, scope: len({commune for _, commune, _ in fullest(draft, scope)}), topics("security"),
        lambda draft, scope: tuple(draft.state.causes[c].reports[0] for _, _, c in fullest(draft, scope))[:SHOWN_REPORTS],
    )  # fmt: skip
