# ruff: noqa: ARG001  every metric takes a draft and a scope
"""Metrics of incidents and levels, and those that continuity owns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.alerts import IncidentRow
from schemas.predicates import Measured
from services.alerts.levels.metrics.base import (
    SHOWN_REPORTS,
    Asked,
    Metric,
    Scope,
    none,
    severity_key,
    topics,
)
from services.alerts.levels.metrics.declared import is_true

if TYPE_CHECKING:
    from services.alerts.decision import Draft


def open_incidents(of: Asked) -> Metric:
    def value(draft: Draft, scope: Scope) -> float:
        if scope is None:
            return len(draft.open_incidents) - sum(
                not _is_current(draft, row) for row in draft.covered_incidents
            )
        return float(scope in draft.open_incidents and _is_current(draft, draft.incident(scope)))

    return Metric(
        value,
        topics("incidents"),
        lambda draft, scope: draft.first_reports((scope,) if scope else draft.open_incidents),
    )


def _is_current(draft: Draft, row: IncidentRow) -> bool:
    """Return whether an incident holds more than planned works and announcements.

    Rules D9 and D64.
    """
    if row.quiet == "maintenance" or row.severity:
        return row.quiet != "maintenance"
    return not any(
        "planned" in draft.state.reports[r].flags
        for r in draft.state.incident_reports.get(row.id, ())
    )


def level(of: Asked) -> Metric:
    def value(draft: Draft, scope: Scope) -> float | None:
        return float(draft.level) if scope is None else None

    return Metric(value, topics("levels"), margin=none)


def max_severity(of: Asked) -> Metric:
    query, flag = of.severity_index[severity_key(of.args)], of.args.get("and_flag")

    def worst(draft: Draft, scope: Scope) -> tuple[int, str] | None:
        if flag and not is_true(draft.state.flags.get(f"flag:{flag}")):
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

    return Metric(
        value, topics("severities", "incidents", *(["flags"] if flag else [])), reports, margin=none
    )


def customers_cut(of: Asked) -> Metric:
    def value(draft: Draft, scope: Scope) -> float:
        rows = draft.incidents(draft.open_incidents if scope is None else (scope,))
        return max(
            (row.customers_cut or 0 for row in rows if row.quiet != "maintenance"), default=0
        )

    def reports(draft: Draft, scope: Scope) -> tuple[str, ...]:
        return draft.reports_with("customers_cut")

    return Metric(value, topics("customers", "incidents"), reports)


def _is_planned(draft: Draft, reports: tuple[str, ...]) -> bool:
    """Return whether planned works alone are behind a value. Rule D64, maintenance windows."""
    return bool(reports) and all(draft.state.hushed.get(r) == "maintenance" for r in reports)


def of_continuity(measured: Measured) -> Metric:
    key = measured.key

    def value(draft: Draft, scope: Scope) -> float | None:
        told = draft.state.metrics.get(key)
        if told is None or _is_planned(draft, told.reports):
            return None
        if scope is not None and not any(draft.incident_of(r) == scope for r in told.reports):
            return None
        return float(told.value)

    def reports(draft: Draft, scope: Scope) -> tuple[str, ...]:
        told = draft.state.metrics.get(key)
        return told.reports[:SHOWN_REPORTS] if told else ()

    return Metric(value, topics("metrics"), reports)
