# ruff: noqa: ARG001  every metric takes a draft and a scope
"""Metrics of incidents and levels, and those that continuity owns."""

from __future__ import annotations

from typing import Final

from schemas.alerts import IncidentRow
from schemas.predicates import Measured
from services.alerts.levels.metrics.base import (
    BoundMetric,
    MetricContext,
    MetricRequest,
    MetricScope,
    MetricType,
    build_severity_key,
    build_topics,
    is_flag_true,
    no_margin,
)
from services.alerts.reference.territory import SHOWN_REPORTS


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

    Rules D9 and D64.
    """
    if row.quiet == "maintenance" or row.severity:
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
        if flag and not is_flag_true(draft.state.flags.get(f"flag:{flag}")):
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
}
