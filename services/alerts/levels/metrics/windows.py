"""Metrics of events that come close together in time."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from schemas.base import MINUTE_MS, Instant
from schemas.words import EventType
from services.alerts.levels.metrics.base import SHOWN_REPORTS, Asked, Metric, Scope, topics
from services.alerts.reference.constants import WINDOW_SCAN_MS
from services.alerts.reports.report_facts import communes_of

if TYPE_CHECKING:
    from services.alerts.decision import Draft


Event = tuple[Instant, str, str]
"""(beginning, counted thing, cause)"""


def fullest(events: Sequence[Event], window_ms: Instant) -> Sequence[Event]:
    """Return the window with the most different things counted, both ends inclusive.

    `events` are ascending.
    """
    if not events or events[-1][0] - events[0][0] <= window_ms:
        return events
    inside, best, most, first = Counter[str](), (0, 0), 0, 0
    for last, (at, counted, _) in enumerate(events):
        inside[counted] += 1
        while at - events[first][0] > window_ms:
            gone = events[first][1]
            inside[gone] -= 1
            if not inside[gone]:
                del inside[gone]
            first += 1
        if len(inside) > most:
            most, best = len(inside), (first, last + 1)
    return events[slice(*best)]


def _counted(find: Callable[[Draft, Scope], Sequence[Event]], index: str) -> Metric:
    """Count the different things in the window that `find` returns."""
    return Metric(
        lambda draft, scope: len({counted for _, counted, _ in find(draft, scope)}),
        topics(index),
        lambda draft, scope: tuple(
            dict.fromkeys(draft.state.causes[c].reports[0] for _, _, c in find(draft, scope))
        )[:SHOWN_REPORTS],
    )


def cut_sites(of: Asked) -> Metric:
    window = int(of.args["window_min"] * MINUTE_MS)

    def find(draft: Draft, scope: Scope) -> Sequence[Event]:
        cuts, causes = draft.state.cuts, draft.state.causes
        recent = cuts[
            bisect_left(cuts, draft.now - max(WINDOW_SCAN_MS, window), key=itemgetter(0)) :
        ]
        events = [
            (at, site, cause)
            for at, cause, site in recent
            if scope is None or draft.standing(causes[cause].incident) == scope
        ]
        return fullest(events, window)

    return _counted(find, "cuts")


_EVENTS: Final = frozenset({EventType.SECURITY_INCIDENT.value, EventType.DAMAGE_REPORT.value})


def _security(
    draft: Draft, scope: Scope, of: Asked, types: frozenset[str] | None
) -> Iterator[tuple[Instant, str]]:
    """Yield the security events that started in the scanned window, ascending: (since, cause).

    Damage counts in a security incident only. Rule D75, damage.
    """
    since = draft.now - max(WINDOW_SCAN_MS, int(of.args["window_min"] * MINUTE_MS))
    least = int(of.args.get("min_severity", 1))
    for at, cause, severity, type_ in draft.state.security:
        if at < since or severity < least or (types is not None and type_ not in types):
            continue
        incident = draft.standing(draft.state.causes[cause].incident)
        if type_ == EventType.DAMAGE_REPORT.value and (
            incident is None or draft.incident(incident).kind != "security"
        ):
            continue
        if scope is None or incident == scope:
            yield at, cause


def _communes(draft: Draft, cause: str) -> tuple[str, ...]:
    """Return the communes of a cause: several when its first report names several."""
    known = draft.state.causes[cause]
    told = draft.state.reports.get(known.reports[0]) if known.site is None else None
    return (
        communes_of(told, draft.territory)
        if told is not None
        else (known.commune,)
        if known.commune
        else ()
    )


def security_events(of: Asked) -> Metric:
    window, per_commune = int(of.args["window_min"] * MINUTE_MS), of.args.get("per") == "commune"

    def find(draft: Draft, scope: Scope) -> Sequence[Event]:
        groups: dict[str, list[Event]] = {}
        for at, cause in _security(draft, scope, of, _EVENTS):
            for group in _communes(draft, cause) or ("",) if per_commune else ("",):
                groups.setdefault(group, []).append((at, cause, cause))
        return max((fullest(events, window) for events in groups.values()), key=len, default=())

    return _counted(find, "security")


def security_communes(of: Asked) -> Metric:
    window = int(of.args["window_min"] * MINUTE_MS)

    def find(draft: Draft, scope: Scope) -> Sequence[Event]:
        events = _security(draft, scope, of, None)
        return fullest(
            [(at, commune, cause) for at, cause in events for commune in _communes(draft, cause)],
            window,
        )

    return _counted(find, "security")
