"""The metrics that predicates may name, read from indexes of the state in nearly constant time.

A new metric is one function and one line here. They are listed in `docs/reference/rules.md`,
section 13.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from schemas.predicates import CONTINUITY_METRICS, Measured
from services.alerts.levels.metrics import declared, incidents, people, sites, windows
from services.alerts.levels.metrics.base import (
    SHOWN_REPORTS,
    BoundMetric,
    MetricMaker,
    MetricRequest,
    build_severity_key,
)

if TYPE_CHECKING:
    from services.alerts.reference.territory import Territory

__all__ = ["METRICS", "SHOWN_REPORTS", "BoundMetric", "bind_metric", "build_severity_key"]

_MAKERS: dict[str, MetricMaker] = {
    "open_incidents": incidents.make_open_incidents,
    "level": incidents.make_level,
    "vigilance": declared.make_vigilance,
    "river_level": declared.make_flag_metric(
        lambda a: f"river:{a['station']}", lambda r: float(r.value), lambda _: 0.10, float, None
    ),
    "flag": declared.make_flag_metric(
        lambda a: f"flag:{a['name']}", lambda r: float(declared.is_flag_true(r)), shown=bool
    ),
    "road_closed": declared.make_flag_metric(
        lambda a: f"road:{a['road']}", lambda r: float(r.value is True), shown=bool
    ),
    "max_severity": incidents.make_max_severity,
    "sites_hit": sites.make_marked("hit"),
    "sites_out": sites.make_marked("out"),
    "sites_closed": sites.make_marked("closed"),
    "sites_evacuated": sites.make_marked("evacuated"),
    "sites_partially_closed": sites.make_marked("closing"),
    "poles_out": sites.make_poles_out,
    "sites_with_cause": sites.make_sites_with_cause,
    "restored_share": sites.make_restored_share,
    "sites_staff_at_most": sites.make_staff_at_most,
    "sites_below_opening": people.make_below_opening,
    "expected_unavailability_h": sites.make_expected_unavailability,
    "transverse_loss": declared.make_transverse_loss,
    "outage_power_sites": windows.make_cut_sites,
    "customers_cut": incidents.make_customers_cut,
    "supplier_illness": people.make_supplier_illness,
    "catering_down": declared.make_catering_down,
    "absence_rate": people.make_absence_rate,
    "forecast_absence": people.make_forecast_absence,
    "evacuees": people.make_evacuees,
    "security_events": windows.make_security_events,
    "security_communes": windows.make_security_communes,
    "gas_leak_distance_m": sites.make_gas_distance,
    "system_down": declared.make_system_down,
    "rumour_severity": people.make_rumour_severity,
    "logistics_need_sites": sites.make_logistics_need,
    "headcount_pct": people.make_headcount,
}

METRICS: Final = frozenset(_MAKERS) | CONTINUITY_METRICS
"""Every metric that a predicate may name."""


def bind_metric(
    measured: Measured, territory: Territory, severity_index: Mapping[str, int]
) -> BoundMetric:
    """Return the metric of one comparison. Raises KeyError for an unknown metric."""
    if measured.metric in CONTINUITY_METRICS:
        return incidents.make_continuity_metric(measured)
    return _MAKERS[measured.metric](MetricRequest(measured.args, territory, severity_index))
