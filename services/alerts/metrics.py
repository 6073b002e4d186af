"""The metrics of DOMAIN §13, read from the indexes of the state in (nearly) constant time.

`bind` turns `{metric, args}` into a `Metric` once per version. With an incident as scope a metric counts only what that incident
causes; a metric that no incident can own (a flag that another incident raised, a rate of the territory) has no value there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from schemas.alerts import FlagRow
from schemas.base import HOUR_MS, MINUTE_MS, Instant
from schemas.predicates import CONTINUITY_METRICS, Measured, metric_key
from schemas.words import EventType
from services.alerts.rules import BELOW_OPENING_PCT, COLOURS, ISOLATION, TRANSVERSE_H, WINDOW_SCAN_MS, colour_rank

if TYPE_CHECKING:
    from services.alerts.draft import Draft
    from services.alerts.territory import Territory

Scope = str | None
Args = Mapping[str, Any]
Shown = str | int | float | bool
SHOWN_REPORTS: Final = 20
"""A reason cites at most so many reports."""


def severity_key(args: Args) -> str:
    """Canonical name of a severity query; `and_flag` is looked at when it is read."""
    return metric_key("max_severity", {k: v for k, v in args.items() if k != "and_flag"})


def _nobody(draft: Draft, scope: Scope) -> tuple[str, ...]:
    return ()


def _as_number(value: float) -> Shown:
    return int(value) if float(value).is_integer() else value


def _tenth(threshold: float) -> float:
    return abs(threshold) / 10


def _none(threshold: float) -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric with its arguments. `value` None = it cannot be said, so no predicate on it holds."""

    value: Callable[[Draft, Scope], float | None]
    reads: frozenset[str]
    """Indexes of the state that it depends on, `incidents` for the set of open ones and `clock` for time alone."""
    reports: Callable[[Draft, Scope], tuple[str, ...]] = _nobody
    margin: Callable[[float], float] = _tenth
    """How far below the threshold it is armed again (D31)."""
    shown: Callable[[float], Shown] = _as_number
    parse: Callable[[str], float] = float


def _reads(*names: str) -> frozenset[str]:
    return frozenset(names)


def _several(args: Args, *names: str) -> tuple[str, ...]:
    for name in names:
        if name in args:
            value = args[name]
            return tuple(value) if isinstance(value, list | tuple) else (str(value),)
    return ()


# ── incidents, levels ──────────────────────────────────────────────────────────────────────────────────────────────


def _open_incidents(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    def value(draft: Draft, scope: Scope) -> float:
        return len(draft.open_incidents) if scope is None else float(scope in draft.open_incidents)

    return Metric(value, _reads("incidents"), lambda draft, scope: draft.first_reports((scope,) if scope else draft.open_incidents))


def _level(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    def value(draft: Draft, scope: Scope) -> float | None:
        return float(draft.level) if scope is None else None

    return Metric(value, _reads("levels"), margin=_none)


def _max_severity(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    query, flag = index[severity_key(args)], args.get("and_flag")

    def worst(draft: Draft, scope: Scope) -> tuple[int, str] | None:
        if flag and not _is_true(draft.state.flags.get(f"flag:{flag}")):
            return None
        found: tuple[int, str] | None = None
        for incident in draft.open_incidents if scope is None else (scope,):
            one = draft.state.severities.get((incident, query))
            if one is not None and (found is None or one[0] > found[0]):
                found = one
        return found

    def value(draft: Draft, scope: Scope) -> float:
        found = worst(draft, scope)
        return found[0] if found else 0

    def reports(draft: Draft, scope: Scope) -> tuple[str, ...]:
        found = worst(draft, scope)
        return (found[1],) if found else ()

    return Metric(value, _reads("severities", "incidents", *(["flags"] if flag else [])), reports, margin=_none)


def _customers_cut(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    def value(draft: Draft, scope: Scope) -> float:
        cut = [draft.incident(i).customers_cut or 0 for i in (draft.open_incidents if scope is None else (scope,))]
        return max(cut, default=0)

    def reports(draft: Draft, scope: Scope) -> tuple[str, ...]:
        return draft.reports_with("customers_cut")

    return Metric(value, _reads("customers", "incidents"), reports)


# ── sites ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _groups(args: Args) -> tuple[str, ...]:
    kinds = _several(args, "kind", "kinds")
    return tuple(f"kind:{k}" for k in kinds) if kinds else ("",)


def _marked(mark: str) -> Callable[[Args, Territory, Mapping[str, int]], Metric]:
    def make(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
        if args.get("per") == "pole":
            poles = tuple(f"pole:{p}" for p in territory.poles)

            def worst(draft: Draft, scope: Scope) -> float:
                counts, owner = draft.state.counts, scope or ""
                return max((counts.get((owner, mark, p), 0) for p in poles), default=0)

            def reports(draft: Draft, scope: Scope) -> tuple[str, ...]:
                counts, owner = draft.state.counts, scope or ""
                pole = max(poles, key=lambda p: counts.get((owner, mark, p), 0), default="")
                return _reports_of_marked(draft, scope, mark, (pole,))

            return Metric(worst, _reads("counts"), reports)
        groups = _groups(args)

        def value(draft: Draft, scope: Scope) -> float:
            counts, owner = draft.state.counts, scope or ""
            return sum(counts.get((owner, mark, g), 0) for g in groups)

        return Metric(value, _reads("counts"), lambda draft, scope: _reports_of_marked(draft, scope, mark, groups))

    return make


def _reports_of_marked(draft: Draft, scope: Scope, mark: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    """First report of each site that counts for a mark. Walks over all marked sites: only when a predicate begins to hold."""
    found: list[str] = []
    for site in _sites_marked(draft, scope, mark, groups):
        causes = [draft.state.causes[c] for c in draft.state.site_causes.get(site, ())]
        worst = max(causes, key=lambda c: (c.severity, c.id), default=None)
        if worst and worst.reports:
            found.append(worst.reports[0])
    return tuple(found[:SHOWN_REPORTS])


def _sites_marked(draft: Draft, scope: Scope, mark: str, groups: tuple[str, ...]) -> Iterator[str]:
    sites = draft.state.territory.sites
    for site in sorted(draft.state.marks):
        by = draft.state.marks[site].get(mark)
        if by is None or (scope is not None and scope not in by) or site not in sites:
            continue
        known = sites[site]
        if any(g in ("", f"kind:{known.kind}", f"pole:{known.pole}") for g in groups):
            yield site


def _poles_out(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    poles, least = tuple(f"pole:{p}" for p in territory.poles), int(args.get("min_sites", 1))

    def hit(draft: Draft, scope: Scope) -> tuple[str, ...]:
        counts, owner = draft.state.counts, scope or ""
        return tuple(p for p in poles if counts.get((owner, "out", p), 0) >= least)

    return Metric(
        lambda draft, scope: len(hit(draft, scope)), _reads("counts"),
        lambda draft, scope: _reports_of_marked(draft, scope, "out", hit(draft, scope)),
    )  # fmt: skip


def _with_cause(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    return _marked(f"cause:{args['cause']}")(args, territory, index)


def _staff_at_most(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    return _marked(f"staff:{args['pct']}")(args, territory, index)


def _restored_share(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    cause = args["cause"]

    def value(draft: Draft, scope: Scope) -> float | None:
        counts, owner = draft.state.counts, scope or ""
        open_, lifted = counts.get((owner, f"cause:{cause}", ""), 0), counts.get((owner, f"lifted:{cause}", ""), 0)
        return 100 * lifted / (open_ + lifted) if open_ + lifted else None

    return Metric(value, _reads("counts"), margin=_none)


def _unavailability(draft: Draft, scope: Scope, kinds: Iterable[str]) -> tuple[float, tuple[str, ...]]:
    """Longest expected duration (hours) of a cause that puts a site of these kinds out, and its reports."""
    state, best, reports = draft.state, 0.0, ()
    for kind in kinds:
        if not state.counts.get((scope or "", "out", f"kind:{kind}"), 0):
            continue
        for site in state.territory.by_kind.get(kind, ()):
            by = state.marks.get(site)
            if by is None or "out" not in by or (scope is not None and scope not in by["out"]):
                continue
            for cause in (state.causes[c] for c in state.site_causes.get(site, ())):
                if cause.acting and cause.expected_end is not None and cause.severity >= 3:
                    hours = (cause.expected_end - cause.since) / HOUR_MS
                    if hours > best:
                        best, reports = hours, cause.reports[:SHOWN_REPORTS]
    return best, reports


def _expected_unavailability(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    kinds = _several(args, "kind", "kinds") or tuple(territory.by_kind)
    return Metric(
        lambda draft, scope: _unavailability(draft, scope, kinds)[0], _reads("causes", "counts"),
        lambda draft, scope: _unavailability(draft, scope, kinds)[1],
    )  # fmt: skip


def _transverse_loss(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    def value(draft: Draft, scope: Scope) -> float:
        isolated = _flag_in(draft, scope, f"flag:{ISOLATION}")
        return float(_is_true(isolated) or _unavailability(draft, scope, ("site_central",))[0] >= TRANSVERSE_H)

    def reports(draft: Draft, scope: Scope) -> tuple[str, ...]:
        isolated = _flag_in(draft, scope, f"flag:{ISOLATION}")
        if isolated is not None and _is_true(isolated):
            return isolated.reports
        return _unavailability(draft, scope, ("site_central",))[1]

    return Metric(value, _reads("flags", "causes", "counts"), reports, _none, bool)


# ── flags: what an authority or an operator declared ───────────────────────────────────────────────────────────────


def _is_true(row: FlagRow | None) -> bool:
    return row is not None and row.effective_from is None and row.value is True


def _flag_in(draft: Draft, scope: Scope, id: str) -> FlagRow | None:
    row = draft.state.flags.get(id)
    return row if row is None or scope is None or row.incident == scope else None


def _from_flag(
    make_id: Callable[[Args], str], read: Callable[[FlagRow], float], margin: Callable[[float], float] = _none,
    shown: Callable[[float], Shown] = _as_number, absent: float | None = 0.0,
) -> Callable[[Args, Territory, Mapping[str, int]], Metric]:  # fmt: skip
    def make(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
        id = make_id(args)

        def value(draft: Draft, scope: Scope) -> float | None:
            row = _flag_in(draft, scope, id)
            return absent if row is None else read(row)

        def reports(draft: Draft, scope: Scope) -> tuple[str, ...]:
            row = _flag_in(draft, scope, id)
            return row.reports if row else ()

        return Metric(value, _reads("flags"), reports, margin, shown)

    return make


def _vigilance(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    named = None if args["phenomenon"] == "any" else frozenset(_several(args, "phenomenon"))

    def worst(draft: Draft, scope: Scope) -> FlagRow | None:
        rows = [
            row for id, row in draft.state.flags.items()
            if id.startswith("vigilance:") and (named is None or id[10:] in named) and (scope is None or row.incident == scope)
        ]  # fmt: skip
        return max(rows, key=lambda r: (colour_rank(str(r.value)), r.id), default=None)

    def value(draft: Draft, scope: Scope) -> float:
        row = worst(draft, scope)
        return colour_rank(str(row.value)) if row else 0

    def reports(draft: Draft, scope: Scope) -> tuple[str, ...]:
        row = worst(draft, scope)
        return row.reports if row else ()

    return Metric(value, _reads("flags"), reports, _none, lambda v: COLOURS[max(int(v), 0)], lambda text: float(colour_rank(text)))


def _system_down(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    systems = _several(args, "systems")
    spared = frozenset(territory.policy.systems_spared) if territory.policy else frozenset[str]()

    def down(draft: Draft, scope: Scope) -> list[FlagRow]:
        isolation, found = draft.state.flags.get(f"flag:{ISOLATION}"), []
        for system in systems:
            row = draft.state.flags.get(f"system:{system}")
            cut = _is_true(isolation) and system not in spared and isolation is not None
            if cut and isolation is not None and (row is None or row.since < isolation.since):
                row = isolation  # an isolation downs it until somebody says it is restored (D40)
            elif row is None or row.value != "down":
                continue
            if scope is None or row.incident == scope:
                found.append(row)
        return found

    return Metric(
        lambda draft, scope: len(down(draft, scope)), _reads("flags"),
        lambda draft, scope: tuple(dict.fromkeys(r for row in down(draft, scope) for r in row.reports))[:SHOWN_REPORTS], _none,
    )  # fmt: skip


def served_pct(row: FlagRow) -> float:
    """Meals that a kitchen or supplier still serves, in per cent; an announced failure has not begun."""
    if row.effective_from is not None:
        return 100.0
    match row.value:
        case bool() | "up":
            return 100.0
        case str():
            return 0.0 if row.value == "down" else 100.0
        case share:
            return float(share)


def _catering_down(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    kinds = frozenset(_several(args, "kind", "kinds"))
    served = {k: sum(1 for s in sites if territory.kind(s) in kinds) for k, sites in territory.kitchens.items()}

    def failed(draft: Draft, scope: Scope) -> list[tuple[float, FlagRow]]:
        found: list[tuple[float, FlagRow]] = []
        for id, row in draft.state.flags.items():
            head, _, name = id.partition(":")
            if head not in ("kitchen", "supplier") or (scope is not None and row.incident != scope):
                continue
            if head == "kitchen" and served_pct(row) < 50:
                found.append((served.get(name, 0), row))
            elif head == "supplier" and row.effective_from is None and row.value != "up":
                found.append((max((draft.measured(r, "sites_not_delivered") for r in row.reports), default=0), row))
        return found

    return Metric(
        lambda draft, scope: sum(n for n, _ in failed(draft, scope)), _reads("flags"),
        lambda draft, scope: tuple(r for _, row in failed(draft, scope) for r in row.reports)[:SHOWN_REPORTS],
    )  # fmt: skip


# ── windows in time ────────────────────────────────────────────────────────────────────────────────────────────────


def densest(times: list[Instant], window_ms: Instant) -> tuple[int, int]:
    """(first, last + 1) of the fullest window of `window_ms`, both ends inclusive; `times` ascending."""
    best, first = (0, 0), 0
    for last, at in enumerate(times):
        while at - times[first] > window_ms:
            first += 1
        if last + 1 - first > best[1] - best[0]:
            best = (first, last + 1)
    return best


def _cut_sites(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    window = int(args["window_min"] * MINUTE_MS)

    def fullest(draft: Draft, scope: Scope) -> list[str]:
        since = draft.now - max(WINDOW_SCAN_MS, window)
        recent = [(at, cause) for at, cause in draft.state.cuts if at >= since]
        if scope is not None:
            recent = [(at, cause) for at, cause in recent if draft.state.causes[cause].incident == scope]
        first, last = densest([at for at, _ in recent], window)
        return [cause for _, cause in recent[first:last]]

    return Metric(
        lambda draft, scope: len({draft.state.causes[c].site for c in fullest(draft, scope)}), _reads("cuts"),
        lambda draft, scope: tuple(draft.state.causes[c].reports[0] for c in fullest(draft, scope))[:SHOWN_REPORTS],
    )  # fmt: skip


_EVENTS: Final = frozenset({EventType.SECURITY_INCIDENT.value, EventType.DAMAGE_REPORT.value})


def _security(draft: Draft, scope: Scope, least: int, window: Instant, types: frozenset[str] | None) -> list[tuple[Instant, str, str]]:
    """(since, commune, cause) of what started in the scanned window, ascending."""
    since = draft.now - max(WINDOW_SCAN_MS, window)
    return [
        (at, commune, cause)
        for at, cause, commune, severity, type_ in draft.state.security
        if at >= since and severity >= least and (types is None or type_ in types)
        and (scope is None or draft.state.causes[cause].incident == scope)
    ]  # fmt: skip


def _security_events(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    window, least = int(args["window_min"] * MINUTE_MS), int(args.get("min_severity", 1))
    per_commune = args.get("per") == "commune"

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
        lambda draft, scope: len(fullest(draft, scope)), _reads("security"),
        lambda draft, scope: tuple(draft.state.causes[c].reports[0] for c in fullest(draft, scope))[:SHOWN_REPORTS],
    )  # fmt: skip


def _security_communes(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    window, least = int(args["window_min"] * MINUTE_MS), int(args.get("min_severity", 1))

    def fullest(draft: Draft, scope: Scope) -> list[tuple[Instant, str, str]]:
        events, best = _security(draft, scope, least, window, None), list[tuple[Instant, str, str]]()
        for n, (at, _, _) in enumerate(events):
            inside = [e for e in events[n:] if e[0] - at <= window and e[1]]
            if len({e[1] for e in inside}) > len({e[1] for e in best}):
                best = inside
        return best

    return Metric(
        lambda draft, scope: len({commune for _, commune, _ in fullest(draft, scope)}), _reads("security"),
        lambda draft, scope: tuple(draft.state.causes[c].reports[0] for _, _, c in fullest(draft, scope))[:SHOWN_REPORTS],
    )  # fmt: skip


# ── people ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _supplier_illness(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    least, window = int(args.get("min_sites", 1)), int(args["window_min"] * MINUTE_MS)

    def worst(draft: Draft, scope: Scope) -> tuple[float, str, tuple[str, ...]]:
        best: tuple[float, str, tuple[str, ...]] = (0.0, "", ())
        for kitchen, sites in draft.state.illness.items():
            if scope is not None and draft.incident(scope).key != kitchen:
                continue
            ill = sorted((since, site, n) for site, (n, since) in sites.items())
            for k, (start, _, _) in enumerate(ill):
                inside = [(site, n) for since, site, n in ill[k:] if since - start <= window]
                total = sum(n for _, n in inside)
                if len(inside) >= least and total > best[0]:
                    best = (total, kitchen, tuple(site for site, _ in inside))
        return best

    def reports(draft: Draft, scope: Scope) -> tuple[str, ...]:
        keys = [draft.state.cause_keys.get(f"{site}|sanitary_alert|ill_persons") for site in worst(draft, scope)[2]]
        return tuple(draft.state.causes[c].reports[0] for c in keys if c)[:SHOWN_REPORTS]

    return Metric(lambda draft, scope: worst(draft, scope)[0], _reads("illness"), reports)


def _absence_rate(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    rated, days = str(args["scope"]), int(args.get("days", 1))

    def value(draft: Draft, scope: Scope) -> float | None:
        rates = draft.state.absences.get(rated, ())
        if scope is not None:
            return None
        return sum(rate for _, rate, _ in rates[-days:]) / days if len(rates) >= days else 0.0

    return Metric(value, _reads("absences"), lambda draft, scope: draft.reports_with("absence_rate", rated)[-days:])


def _forecast_absence(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    rated = str(args["scope"])

    def value(draft: Draft, scope: Scope) -> float | None:
        return draft.state.forecasts.get(rated, (0, 0.0))[1] if scope is None else None

    return Metric(value, _reads("forecasts"))


def _below_opening(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    kind, days = str(args["kind"]), int(args["days"])

    def value(draft: Draft, scope: Scope) -> float | None:
        if scope is not None:
            return None
        presence = draft.state.presence
        known = sorted(day for day in presence if day.startswith(f"{kind}|"))[-days:]
        if len(known) < days:
            return 0.0
        return min(sum(1 for pct in presence[day].values() if pct <= BELOW_OPENING_PCT) for day in known)

    return Metric(value, _reads("presence"))


def _evacuees(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    def open_(draft: Draft, scope: Scope) -> list[str]:
        causes = draft.state.placeless.get(EventType.EVACUATION.value, ())
        return [c for c in causes if scope is None or draft.state.causes[c].incident == scope]

    return Metric(
        lambda draft, scope: sum(draft.state.causes[c].persons or 0 for c in open_(draft, scope)), _reads("placeless"),
        lambda draft, scope: tuple(draft.state.causes[c].reports[0] for c in open_(draft, scope))[:SHOWN_REPORTS],
    )  # fmt: skip


def _gas_distance(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    def at_sites(draft: Draft, scope: Scope) -> tuple[str, ...]:
        return tuple(_sites_marked(draft, scope, "cause:gas_leak", ("",)))

    return Metric(
        lambda draft, scope: 0.0 if at_sites(draft, scope) else None, _reads("counts"),
        lambda draft, scope: _reports_of_marked(draft, scope, "cause:gas_leak", ("",)), _none,
    )  # fmt: skip


def _rumour_severity(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    def value(draft: Draft, scope: Scope) -> float | None:
        return max(draft.state.rumours.values(), default=0) if scope is None else None

    def reports(draft: Draft, scope: Scope) -> tuple[str, ...]:
        rumours = draft.state.rumours
        return tuple(sorted(r for r, severity in rumours.items() if severity == max(rumours.values())))[:SHOWN_REPORTS]

    return Metric(value, _reads("rumours"), reports, _none)


def _logistics_need(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    def value(draft: Draft, scope: Scope) -> float:
        centres = sum(1 for key in draft.state.readings if key.startswith("reception_centre|")) if scope is None else 0
        return draft.state.counts.get((scope or "", "logistics", ""), 0) + centres

    return Metric(value, _reads("counts", "readings"), lambda draft, scope: _reports_of_marked(draft, scope, "logistics", ("",)))


def _headcount(args: Args, territory: Territory, index: Mapping[str, int]) -> Metric:
    def value(draft: Draft, scope: Scope) -> float | None:
        found = [r for key, r in draft.state.readings.items() if key.startswith("headcount_found|") and r.value_of]
        expected = sum(r.value_of or 0 for r in found)
        return 100 * sum(r.value for r in found) / expected if expected else None

    return Metric(value, _reads("readings"), margin=_none)


# ── from continuity ────────────────────────────────────────────────────────────────────────────────────────────────


def _of_continuity(measured: Measured) -> Metric:
    key = measured.key

    def value(draft: Draft, scope: Scope) -> float | None:
        told = draft.state.metrics.get(key)
        if told is None:
            return None
        if scope is not None and not any(draft.incident_of(r) == scope for r in told.reports):
            return None
        return float(told.value)

    def reports(draft: Draft, scope: Scope) -> tuple[str, ...]:
        told = draft.state.metrics.get(key)
        return told.reports[:SHOWN_REPORTS] if told else ()

    return Metric(value, _reads("metrics"), reports)


_MAKERS: dict[str, Callable[[Args, Territory, Mapping[str, int]], Metric]] = {
    "open_incidents": _open_incidents,
    "level": _level,
    "vigilance": _vigilance,
    "river_level": _from_flag(lambda a: f"river:{a['station']}", lambda r: float(r.value), lambda _: 0.10, float, None),
    "flag": _from_flag(lambda a: f"flag:{a['name']}", lambda r: float(_is_true(r)), shown=bool),
    "road_closed": _from_flag(lambda a: f"road:{a['road']}", lambda r: float(r.value is True), shown=bool),
    "max_severity": _max_severity,
    "sites_hit": _marked("hit"),
    "sites_out": _marked("out"),
    "sites_closed": _marked("closed"),
    "sites_evacuated": _marked("evacuated"),
    "sites_partially_closed": _marked("closing"),
    "poles_out": _poles_out,
    "sites_with_cause": _with_cause,
    "restored_share": _restored_share,
    "sites_staff_at_most": _staff_at_most,
    "sites_below_opening": _below_opening,
    "expected_unavailability_h": _expected_unavailability,
    "transverse_loss": _transverse_loss,
    "outage_power_sites": _cut_sites,
    "customers_cut": _customers_cut,
    "supplier_illness": _supplier_illness,
    "catering_down": _catering_down,
    "absence_rate": _absence_rate,
    "forecast_absence": _forecast_absence,
    "evacuees": _evacuees,
    "security_events": _security_events,
    "security_communes": _security_communes,
    "gas_leak_distance_m": _gas_distance,
    "system_down": _system_down,
    "rumour_severity": _rumour_severity,
    "logistics_need_sites": _logistics_need,
    "headcount_pct": _headcount,
}

METRICS: Final = frozenset(_MAKERS) | CONTINUITY_METRICS
"""Every metric that a predicate may name."""


def bind(measured: Measured, territory: Territory, severity_index: Mapping[str, int]) -> Metric:
    """The metric of one leaf. Raises KeyError for a metric that DOMAIN §13 does not name."""
    if measured.metric in CONTINUITY_METRICS:
        return _of_continuity(measured)
    return _MAKERS[measured.metric](measured.args, territory, severity_index)
