# ruff: noqa: ARG001, ARG005  every metric takes a draft and a scope
"""Metrics of people (ill, absent, evacuated, counted) and of rumours."""

from heapq import nsmallest
from typing import Final

from schemas.base import MINUTE_MS
from schemas.words import EventType
from services.alerts.levels.metrics.base import (
    BoundMetric,
    MetricContext,
    MetricRequest,
    MetricScope,
    MetricType,
    build_topics,
    no_margin,
)
from services.alerts.reference.territory import BELOW_OPENING_PCT, HEADCOUNT_MEASURE, SHOWN_REPORTS
from services.alerts.rows import MeasureReading


def make_supplier_illness(of: MetricRequest) -> BoundMetric:
    least, window = int(of.args.get("min_sites", 1)), int(of.args["window_min"] * MINUTE_MS)

    def worst(draft: MetricContext, scope: MetricScope) -> tuple[float, str, tuple[str, ...]]:
        best: tuple[float, str, tuple[str, ...]] = (0.0, "", ())
        for kitchen, sites in sorted(draft.state.illness.items()):
            if scope is not None and not any(
                scope == _find_illness_incident(draft, site) for site in sites
            ):
                continue
            ill = sorted((since, site, n) for site, (n, since, _cause) in sites.items())
            for k, (start, _, _) in enumerate(ill):
                inside = [(site, n) for since, site, n in ill[k:] if since - start <= window]
                total = sum(n for _, n in inside)
                if len(inside) >= least and total > best[0]:
                    best = (total, kitchen, tuple(site for site, _ in inside))
        return best

    def reports(draft: MetricContext, scope: MetricScope) -> tuple[str, ...]:
        keys = [
            draft.state.cause_keys.get(f"{site}|sanitary_alert|ill_persons")
            for site in worst(draft, scope)[2]
        ]
        return tuple(draft.state.causes[c].reports[0] for c in keys if c)[:SHOWN_REPORTS]

    return BoundMetric(
        lambda draft, scope: worst(draft, scope)[0], build_topics("illness"), reports
    )


def _find_illness_incident(draft: MetricContext, site: str) -> str | None:
    """Return the incident of the ill people at a site."""
    cause = draft.state.cause_keys.get(f"{site}|sanitary_alert|ill_persons")
    return draft.resolve_incident(draft.state.causes[cause].incident) if cause is not None else None


def make_absence_rate(of: MetricRequest) -> BoundMetric:
    rated_scope, days = str(of.args["scope"]), int(of.args.get("days", 1))

    def value(draft: MetricContext, scope: MetricScope) -> float | None:
        rates = draft.state.absences.get(rated_scope, ())
        if scope is not None:
            return None
        return sum(rate for _, rate, _ in rates[-days:]) / days if len(rates) >= days else 0.0

    return BoundMetric(
        value,
        build_topics("absences"),
        lambda draft, scope: draft.reports_with("absence_rate", rated_scope)[-days:],
    )


def make_forecast_absence(of: MetricRequest) -> BoundMetric:
    rated_scope = str(of.args["scope"])

    def value(draft: MetricContext, scope: MetricScope) -> float | None:
        if scope is not None:
            return None
        return max(
            (
                rate
                for until, _at, rate in draft.state.forecasts.get(rated_scope, ())
                if draft.now < until
            ),
            default=0.0,
        )

    def reports(draft: MetricContext, scope: MetricScope) -> tuple[str, ...]:
        return (
            draft.reports_with("forecast_absence", rated_scope)
            or draft.reports_with("absence_rate", rated_scope)[-1:]
        )

    return BoundMetric(value, build_topics("forecasts"), reports)


def make_below_opening(of: MetricRequest) -> BoundMetric:
    kind, days = str(of.args["kind"]), int(of.args["days"])

    def value(draft: MetricContext, scope: MetricScope) -> float | None:
        if scope is not None:
            return None
        presence = draft.state.presence
        recent_days = sorted(day for day in presence if day.startswith(f"{kind}|"))[-days:]
        if len(recent_days) < days:
            return 0.0
        return min(
            sum(
                max(site_presences.values()).pct <= BELOW_OPENING_PCT
                for site_presences in presence[day].values()
            )
            for day in recent_days
        )

    return BoundMetric(value, build_topics("presence"))


def make_evacuees(of: MetricRequest) -> BoundMetric:
    def open_(draft: MetricContext, scope: MetricScope) -> list[str]:
        causes = draft.state.placeless.get(EventType.EVACUATION.value, ())
        return [
            c
            for c in sorted(causes)
            if scope is None or draft.resolve_incident(draft.state.causes[c].incident) == scope
        ]

    return BoundMetric(
        lambda draft, scope: sum(
            draft.state.placeless[EventType.EVACUATION.value][c] or 0 for c in open_(draft, scope)
        ),
        build_topics("placeless"),
        lambda draft, scope: tuple(draft.state.causes[c].reports[0] for c in open_(draft, scope))[
            :SHOWN_REPORTS
        ],
    )


def make_rumour_severity(of: MetricRequest) -> BoundMetric:
    def value(draft: MetricContext, scope: MetricScope) -> float | None:
        return max(draft.state.rumour_severities, default=0) if scope is None else None

    def reports(draft: MetricContext, scope: MetricScope) -> tuple[str, ...]:
        severities = draft.state.rumour_severities
        worst = severities.get(max(severities, default=0), ())
        return tuple(nsmallest(SHOWN_REPORTS, worst))

    return BoundMetric(value, build_topics("rumour_severities"), reports, no_margin)


def list_headcounts(draft: MetricContext, incident: str | None = None) -> dict[str, MeasureReading]:
    """Return site → newest count, of one incident or of all. Rule D37, headcount."""
    heads = {
        key.partition("|")[2]: r
        for key, r in draft.state.readings.items()
        if key.startswith(f"{HEADCOUNT_MEASURE}|") and r.value_of
    }
    return {
        site: r
        for site, r in heads.items()
        if incident is None or draft.incident_of(r.report) == incident
    }


def make_headcount(of: MetricRequest) -> BoundMetric:
    """Measure the share of people found.

    With `scope: incident` it covers the incident in scope, else the open incidents; the counts of
    closed incidents are over.
    """

    def value(draft: MetricContext, scope: MetricScope) -> float | None:
        headcounts = list(list_headcounts(draft, scope).values())
        if scope is None and of.args.get("scope") == "incident":
            open_ = set(draft.open_incidents)
            headcounts = [r for r in headcounts if draft.incident_of(r.report) in open_]
        expected_people = sum(r.value_of or 0 for r in headcounts)
        return 100 * sum(r.value for r in headcounts) / expected_people if expected_people else None

    return BoundMetric(value, build_topics("readings", "incidents"), margin=no_margin)


METRICS: Final = {
    "sites_below_opening": MetricType(make_below_opening),
    "supplier_illness": MetricType(make_supplier_illness),
    "absence_rate": MetricType(make_absence_rate),
    "forecast_absence": MetricType(make_forecast_absence),
    "evacuees": MetricType(make_evacuees),
    "rumour_severity": MetricType(make_rumour_severity),
    "headcount_pct": MetricType(make_headcount),
}
