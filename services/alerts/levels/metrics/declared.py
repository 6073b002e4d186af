# ruff: noqa: ARG001  every metric takes a draft and a scope
"""Metrics of declarations of authorities and operators, read from the flags."""

from collections.abc import Callable, Mapping
from typing import Final

from schemas.alerts import FlagRow
from schemas.crisis.causes import MEALS_FAIL_BELOW, compute_meals_left, compute_meals_served
from services.alerts.levels.metrics.base import (
    KIND,
    BoundMetric,
    DisplayValue,
    MetricArgs,
    MetricContext,
    MetricMaker,
    MetricRequest,
    MetricScope,
    MetricType,
    build_topics,
    format_value,
    list_values,
    no_margin,
)
from services.alerts.levels.metrics.sites import compute_unavailability, list_reports_of_marked
from services.alerts.reference.territory import (
    CENTRAL_SITE_KIND,
    COLOURS,
    ISOLATION_FLAG,
    MEALS_MARK,
    SHOWN_REPORTS,
    TRANSVERSE_H,
    rank_colour,
)


def is_flag_of(draft: MetricContext, row: FlagRow, scope: MetricScope) -> bool:
    """Return whether this incident, or one merged into it, raised the flag.

    True for the territory.
    """
    return scope is None or draft.resolve_incident(row.incident) == scope


def get_flag(draft: MetricContext, scope: MetricScope, id: str) -> FlagRow | None:
    """Return a flag of this scope; None for one that is not raised or belongs to planned works."""
    row = draft.state.flags.get(id)
    if row is None or row.maintenance:
        return None
    return row if is_flag_of(draft, row, scope) else None


def make_flag_metric(
    make_id: Callable[[MetricArgs], str],
    read: Callable[[FlagRow], float | None],
    margin: Callable[[float], float] = no_margin,
    display: Callable[[float], DisplayValue] = format_value,
    absent: float | None = 0.0,
) -> MetricMaker:
    """Return a maker of metrics that `read` one flag; `absent` is the value without the flag."""

    def make(request: MetricRequest) -> BoundMetric:
        id = make_id(request.args)

        def value(draft: MetricContext, scope: MetricScope) -> float | None:
            row = get_flag(draft, scope, id)
            return absent if row is None else read(row)

        def reports(draft: MetricContext, scope: MetricScope) -> tuple[str, ...]:
            row = get_flag(draft, scope, id)
            return row.reports if row else ()

        return BoundMetric(value, build_topics("flags"), reports, margin, display)

    return make


def make_vigilance(request: MetricRequest) -> BoundMetric:
    """Measure the gravest colour of the named phenomena, or of any."""
    phenomena = (
        None
        if request.args["phenomenon"] == "any"
        else frozenset(list_values(request.args, "phenomenon"))
    )

    def find_worst(draft: MetricContext, scope: MetricScope) -> FlagRow | None:
        rows = [
            row
            for id, row in draft.state.flags.items()
            if id.startswith("vigilance:")
            and (phenomena is None or id[10:] in phenomena)
            and is_flag_of(draft, row, scope)
        ]
        return max(rows, key=lambda r: (rank_colour(str(r.value)), r.id), default=None)

    def value(draft: MetricContext, scope: MetricScope) -> float:
        row = find_worst(draft, scope)
        return rank_colour(str(row.value)) if row else 0

    def reports(draft: MetricContext, scope: MetricScope) -> tuple[str, ...]:
        row = find_worst(draft, scope)
        return row.reports if row else ()

    return BoundMetric(
        value,
        build_topics("flags"),
        reports,
        no_margin,
        lambda v: COLOURS[max(int(v), 0)],
        lambda text: float(rank_colour(text)),
    )


def make_system_down(request: MetricRequest) -> BoundMetric:
    """Count the named systems that are down, also by a total isolation that does not spare them."""
    systems = list_values(request.args, "systems")
    spared_systems = (
        frozenset(request.territory.policy.systems_spared)
        if request.territory.policy
        else frozenset[str]()
    )

    def list_down(draft: MetricContext, scope: MetricScope) -> list[FlagRow]:
        isolation, down_flags = draft.state.flags.get(f"flag:{ISOLATION_FLAG}"), []
        for system in systems:
            row = draft.state.flags.get(f"system:{system}")
            is_isolated = (
                isolation is not None and isolation.is_true and system not in spared_systems
            )
            if is_isolated and isolation and (row is None or row.since < isolation.since):
                row = isolation  # an isolation downs it until it is reported restored (D40)
            elif row is None or row.value != "down" or row.maintenance:
                continue
            if is_flag_of(draft, row, scope):
                down_flags.append(row)
        return down_flags

    return BoundMetric(
        lambda draft, scope: len(list_down(draft, scope)),
        build_topics("flags"),
        lambda draft, scope: tuple(
            dict.fromkeys(r for row in list_down(draft, scope) for r in row.reports)
        )[:SHOWN_REPORTS],
        no_margin,
    )


def get_served_pct(row: FlagRow) -> float:
    """Return the meals that a kitchen or supplier still serves, in per cent.

    An announced failure has not begun.
    """
    if row.effective_from is not None:
        return 100.0
    return compute_meals_served(row.value)


def make_catering_down(request: MetricRequest) -> BoundMetric:
    """Count sites with a kitchen that serve less than half of their meals.

    The reason may be at the site, at the kitchen that serves it, or at the supplier. Rules D13 and
    D40.
    """
    kinds = list_values(request.args, "kind", "kinds")
    groups = tuple(f"kind:{kind}" for kind in kinds)
    served_sites = {
        k: tuple(s for s in sites if request.territory.kind(s) in kinds)
        for k, sites in request.territory.kitchens.items()
    }

    def list_failures(draft: MetricContext, scope: MetricScope) -> list[FlagRow]:
        rows = (
            row for id, row in draft.state.flags.items() if id.startswith(("kitchen:", "supplier:"))
        )
        return [row for row in rows if not row.maintenance and is_flag_of(draft, row, scope)]

    def value(draft: MetricContext, scope: MetricScope) -> float:
        marks, owner = draft.state.marks, scope or ""
        total = sum(draft.state.counts.get((owner, MEALS_MARK, group), 0) for group in groups)
        for row in list_failures(draft, scope):
            kitchen = row.id.removeprefix("kitchen:")
            if (
                row.id.startswith("kitchen:")
                and compute_meals_left((100.0 - get_served_pct(row),)) < MEALS_FAIL_BELOW
            ):
                total += sum(
                    not _is_marked(marks.get(site), scope) for site in served_sites.get(kitchen, ())
                )
            elif (
                row.id.startswith("supplier:") and row.effective_from is None and row.value != "up"
            ):
                total += max((_count_unserved_sites(draft, r) for r in row.reports), default=0)
        return total

    def reports(draft: MetricContext, scope: MetricScope) -> tuple[str, ...]:
        declared_reports = (
            r
            for row in list_failures(draft, scope)
            if get_served_pct(row) < MEALS_FAIL_BELOW or row.id.startswith("supplier:")
            for r in row.reports
        )
        return tuple(
            dict.fromkeys(
                (*declared_reports, *list_reports_of_marked(draft, scope, MEALS_MARK, groups))
            )
        )[:SHOWN_REPORTS]

    return BoundMetric(value, build_topics("flags", f"mark:{MEALS_MARK}"), reports)


def _count_unserved_sites(draft: MetricContext, report: str) -> int:
    """Return how many sites a report says that a supplier does not serve; 0 if it does not say."""
    row = draft.state.reports.get(report)
    measure = row.measure if row is not None else None
    if measure is not None and measure.name == "colleges_served" and measure.value_of:
        return int(max(measure.value_of - draft.get_measure(report, "colleges_served"), 0))
    return int(draft.get_measure(report, "sites_not_delivered"))


def _is_marked(marks: Mapping[str, tuple[str, ...]] | None, scope: MetricScope) -> bool:
    by = marks.get(MEALS_MARK) if marks is not None else None
    return by is not None and (scope is None or scope in by)


def make_transverse_loss(request: MetricRequest) -> BoundMetric:
    """Tell whether transverse systems are lost: isolated, or their central site out for long."""

    def value(draft: MetricContext, scope: MetricScope) -> float:
        isolation = get_flag(draft, scope, f"flag:{ISOLATION_FLAG}")
        return float(
            (isolation is not None and isolation.is_true)
            or compute_unavailability(draft, scope, (CENTRAL_SITE_KIND,))[0] >= TRANSVERSE_H
        )

    def reports(draft: MetricContext, scope: MetricScope) -> tuple[str, ...]:
        isolation = get_flag(draft, scope, f"flag:{ISOLATION_FLAG}")
        if isolation is not None and isolation.is_true:
            return isolation.reports
        return compute_unavailability(draft, scope, (CENTRAL_SITE_KIND,))[1]

    return BoundMetric(
        value, build_topics("flags", f"out:{CENTRAL_SITE_KIND}"), reports, no_margin, bool
    )


METRICS: Final = {
    "vigilance": MetricType(make_vigilance),
    "river_level": MetricType(
        make_flag_metric(
            lambda a: f"river:{a['station']}", lambda r: float(r.value), lambda _: 0.10, float, None
        )
    ),
    "measure": MetricType(
        make_flag_metric(
            lambda a: f"measure:{a['name']}",
            lambda r: None if isinstance(r.value, str) else float(r.value),
            display=float,
            absent=None,
        )
    ),
    "flag": MetricType(
        make_flag_metric(
            lambda a: f"flag:{a['name']}",
            lambda r: float(r is not None and r.is_true),
            display=bool,
        )
    ),
    "road_closed": MetricType(
        make_flag_metric(
            lambda a: f"road:{a['road']}", lambda r: float(r.value is True), display=bool
        )
    ),
    "transverse_loss": MetricType(make_transverse_loss),
    "catering_down": MetricType(make_catering_down, marks=lambda _: ((MEALS_MARK, KIND),)),
    "system_down": MetricType(make_system_down),
}
