# ruff: noqa: ARG001  every metric takes a draft and a scope
"""Metrics that count sites by their marks. Rule D29, hit and out sites."""

from collections.abc import Iterable, Iterator
from typing import Final

from schemas.base import HOUR_MS
from schemas.crisis.causes import Cause
from schemas.reference import Site
from schemas.words import EventType, SiteStatus
from services.alerts.causes.cause_impact import derive_status
from services.alerts.levels.metrics.base import (
    ALL,
    BoundMetric,
    MetricArgs,
    MetricContext,
    MetricMaker,
    MetricRequest,
    MetricScope,
    MetricType,
    build_topics,
    list_values,
    no_margin,
    select_group,
)
from services.alerts.reference.territory import SHOWN_REPORTS
from services.alerts.reports.report_facts import find_start


def _list_groups(args: MetricArgs) -> tuple[str, ...]:
    kinds = list_values(args, "kind", "kinds")
    return tuple(f"kind:{k}" for k in kinds) if kinds else ("",)


def make_marked(mark: str) -> MetricMaker:
    def make(of: MetricRequest) -> BoundMetric:
        if of.args.get("per") == "pole":
            only_pole = of.args.get("pole")
            poles = tuple(f"pole:{p}" for p in of.territory.poles if only_pole in (None, p))

            def worst(draft: MetricContext, scope: MetricScope) -> float:
                counts, owner = draft.state.counts, scope or ""
                return max((counts.get((owner, mark, p), 0) for p in poles), default=0)

            def reports(draft: MetricContext, scope: MetricScope) -> tuple[str, ...]:
                counts, owner = draft.state.counts, scope or ""
                pole = max(poles, key=lambda p: counts.get((owner, mark, p), 0), default="")
                return list_reports_of_marked(draft, scope, mark, (pole,))

            return BoundMetric(worst, build_topics(f"mark:{mark}"), reports)
        groups = _list_groups(of.args)

        def value(draft: MetricContext, scope: MetricScope) -> float:
            counts, owner = draft.state.counts, scope or ""
            return sum(counts.get((owner, mark, g), 0) for g in groups)

        return BoundMetric(
            value,
            build_topics(f"mark:{mark}"),
            lambda draft, scope: list_reports_of_marked(draft, scope, mark, groups),
        )

    return make


def list_reports_of_marked(
    draft: MetricContext, scope: MetricScope, mark: str, groups: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the first report of each site with a mark.

    Walks over all marked sites: call it only when a predicate begins to hold.
    """
    report_ids: list[str] = []
    for site in list_marked_sites(draft, scope, mark, groups):
        causes = [draft.state.causes[c] for c in draft.state.site_causes.get(site, ())]
        worst = max(causes, key=lambda c: (c.severity, c.id), default=None)
        if worst and worst.reports:
            report_ids.append(worst.reports[0])
    return tuple(report_ids[:SHOWN_REPORTS])


def list_marked_sites(
    draft: MetricContext, scope: MetricScope, mark: str, groups: tuple[str, ...]
) -> Iterator[str]:
    sites = draft.state.territory.sites
    for site in sorted(draft.state.marks):
        by = draft.state.marks[site].get(mark)
        if by is None or (scope is not None and scope not in by) or site not in sites:
            continue
        site_record = sites[site]
        if any(g in ("", f"kind:{site_record.kind}", f"pole:{site_record.pole}") for g in groups):
            yield site


def make_poles_out(of: MetricRequest) -> BoundMetric:
    poles, least = tuple(f"pole:{p}" for p in of.territory.poles), int(of.args.get("min_sites", 1))

    def hit(draft: MetricContext, scope: MetricScope) -> tuple[str, ...]:
        counts, owner = draft.state.counts, scope or ""
        return tuple(p for p in poles if counts.get((owner, "out", p), 0) >= least)

    return BoundMetric(
        lambda draft, scope: len(hit(draft, scope)),
        build_topics("mark:out"),
        lambda draft, scope: list_reports_of_marked(draft, scope, "out", hit(draft, scope)),
    )


def make_sites_with_cause(of: MetricRequest) -> BoundMetric:
    return make_marked(f"cause:{of.args['cause']}")(of)


def make_staff_at_most(of: MetricRequest) -> BoundMetric:
    return make_marked(f"staff:{of.args['pct']}")(of)


def make_restored_share(of: MetricRequest) -> BoundMetric:
    cause = of.args["cause"]

    def value(draft: MetricContext, scope: MetricScope) -> float | None:
        counts, owner = draft.state.counts, scope or ""
        open_count, lifted_count = (
            counts.get((owner, f"cause:{cause}", ""), 0),
            counts.get((owner, f"lifted:{cause}", ""), 0),
        )
        return (
            100 * lifted_count / (open_count + lifted_count) if open_count + lifted_count else None
        )

    return BoundMetric(
        value, build_topics(f"mark:cause:{cause}", f"mark:lifted:{cause}"), margin=no_margin
    )


def compute_unavailability(
    draft: MetricContext, scope: MetricScope, kinds: Iterable[str]
) -> tuple[float, tuple[str, ...]]:
    """Return the longest expected duration (hours) of a cause that puts a site of these kinds out.

    Also returns its reports.
    """
    state, best = draft.state, 0.0
    reports: tuple[str, ...] = ()
    for kind in kinds:
        if not state.counts.get((scope or "", "out", f"kind:{kind}"), 0):
            continue
        for site in state.territory.by_kind.get(kind, ()):
            by = state.marks.get(site)
            if by is None or "out" not in by or (scope is not None and scope not in by["out"]):
                continue
            for cause in (state.causes[c] for c in state.site_causes.get(site, ())):
                is_counted = (
                    cause.acting
                    and not cause.maintenance
                    and cause.severity >= 3
                    and _is_putting_out(cause, state.territory.sites.get(site))
                )
                if is_counted and cause.expected_end is not None:
                    hours = (cause.expected_end - find_start(cause, draft.now)) / HOUR_MS
                    if hours > best:
                        best, reports = hours, cause.reports[:SHOWN_REPORTS]
    return best, reports


def _is_putting_out(cause: Cause, site: Site | None) -> bool:
    """Return whether a cause by itself puts its site out.

    The duration of other causes does not count.
    """
    return derive_status(cause, site) in (
        SiteStatus.CLOSED,
        SiteStatus.EVACUATED,
        SiteStatus.SHELTERING,
    )


def make_expected_unavailability(of: MetricRequest) -> BoundMetric:
    kinds = list_values(of.args, "kind", "kinds") or tuple(of.territory.by_kind)
    return BoundMetric(
        lambda draft, scope: compute_unavailability(draft, scope, kinds)[0],
        build_topics(*(f"out:{k}" for k in kinds)),
        lambda draft, scope: compute_unavailability(draft, scope, kinds)[1],
    )


def make_gas_distance(of: MetricRequest) -> BoundMetric:
    """Measure the distance from a gas leak to the nearest site.

    It is 0 m for a leak on a site or in an area with sites; any other distance is unknown.
    """

    def around(draft: MetricContext, scope: MetricScope) -> tuple[str, ...]:
        leaks = (
            draft.state.causes[c]
            for c in sorted(draft.state.placeless.get(EventType.GAS_LEAK.value, ()))
        )
        here = (
            c
            for c in leaks
            if c.acting and (scope is None or draft.resolve_incident(c.incident) == scope)
        )
        return tuple(
            r
            for c in here
            for r in c.reports
            if (report := draft.state.reports.get(r)) is not None and report.sites
        )[:SHOWN_REPORTS]

    def reports(draft: MetricContext, scope: MetricScope) -> tuple[str, ...]:
        return list_reports_of_marked(draft, scope, "cause:gas_leak", ("",)) or around(draft, scope)

    def value(draft: MetricContext, scope: MetricScope) -> float | None:
        at_site = next(list_marked_sites(draft, scope, "cause:gas_leak", ("",)), None)
        return 0.0 if at_site is not None or around(draft, scope) else None

    return BoundMetric(value, build_topics("mark:cause:gas_leak", "placeless"), reports, no_margin)


def make_logistics_need(of: MetricRequest) -> BoundMetric:
    def value(draft: MetricContext, scope: MetricScope) -> float:
        centres = (
            sum(
                1
                for key, r in draft.state.readings.items()
                if key.startswith("reception_centre|") and r.value > 0
            )
            if scope is None
            else 0
        )
        return draft.state.counts.get((scope or "", "logistics", ""), 0) + centres

    return BoundMetric(
        value,
        build_topics("mark:logistics", "readings"),
        lambda draft, scope: list_reports_of_marked(draft, scope, "logistics", ("",)),
    )


def _count_marked(mark: str) -> MetricType:
    return MetricType(make_marked(mark), marks=lambda args: ((mark, select_group(args)),))


METRICS: Final = {
    "sites_hit": _count_marked("hit"),
    "sites_out": _count_marked("out"),
    "sites_closed": _count_marked("closed"),
    "sites_evacuated": _count_marked("evacuated"),
    "sites_partially_closed": _count_marked("closing"),
    "poles_out": MetricType(make_poles_out),
    "sites_with_cause": MetricType(
        make_sites_with_cause, marks=lambda a: ((f"cause:{a['cause']}", select_group(a)),)
    ),
    "restored_share": MetricType(
        make_restored_share,
        marks=lambda a: ((f"cause:{a['cause']}", ALL), (f"lifted:{a['cause']}", ALL)),
    ),
    "sites_staff_at_most": MetricType(
        make_staff_at_most, marks=lambda a: ((f"staff:{a['pct']}", select_group(a)),)
    ),
    "expected_unavailability_h": MetricType(make_expected_unavailability),
    "gas_leak_distance_m": MetricType(make_gas_distance),
    "logistics_need_sites": MetricType(make_logistics_need),
}
