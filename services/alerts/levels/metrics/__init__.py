"""The metrics that predicates may name, read from indexes of the state in nearly constant time.

A new metric is one function and one line here. They are listed in `docs/reference/rules.md`,
section 13.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from schemas.predicates import CONTINUITY_METRICS, Measured
from services.alerts.levels.metrics import declared, incidents, people, sites, windows
from services.alerts.levels.metrics.base import SHOWN_REPORTS, Asked, Maker, Metric, severity_key

if TYPE_CHECKING:
    from services.alerts.reference.territory import Territory

__all__ = ["METRICS", "SHOWN_REPORTS", "Metric", "bind", "severity_key"]

_MAKERS: dict[str, Maker] = {
    "open_incidents": incidents.open_incidents,
    "level": incidents.level,
    "vigilance": declared.vigilance,
    "river_level": declared.from_flag(
        lambda a: f"river:{a['station']}", lambda r: float(r.value), lambda _: 0.10, float, None
    ),
    "flag": declared.from_flag(
        lambda a: f"flag:{a['name']}", lambda r: float(declared.is_true(r)), shown=bool
    ),
    "road_closed": declared.from_flag(
        lambda a: f"road:{a['road']}", lambda r: float(r.value is True), shown=bool
    ),
    "max_severity": incidents.max_severity,
    "sites_hit": sites.marked("hit"),
    "sites_out": sites.marked("out"),
    "sites_closed": sites.marked("closed"),
    "sites_evacuated": sites.marked("evacuated"),
    "sites_partially_closed": sites.marked("closing"),
    "poles_out": sites.poles_out,
    "sites_with_cause": sites.with_cause,
    "restored_share": sites.restored_share,
    "sites_staff_at_most": sites.staff_at_most,
    "sites_below_opening": people.below_opening,
    "expected_unavailability_h": sites.expected_unavailability,
    "transverse_loss": declared.transverse_loss,
    "outage_power_sites": windows.cut_sites,
    "customers_cut": incidents.customers_cut,
    "supplier_illness": people.supplier_illness,
    "catering_down": declared.catering_down,
    "absence_rate": people.absence_rate,
    "forecast_absence": people.forecast_absence,
    "evacuees": people.evacuees,
    "security_events": windows.security_events,
    "security_communes": windows.security_communes,
    "gas_leak_distance_m": sites.gas_distance,
    "system_down": declared.system_down,
    "rumour_severity": people.rumour_severity,
    "logistics_need_sites": sites.logistics_need,
    "headcount_pct": people.headcount,
}

METRICS: Final = frozenset(_MAKERS) | CONTINUITY_METRICS
"""Every metric that a predicate may name."""


def bind(measured: Measured, territory: Territory, severity_index: Mapping[str, int]) -> Metric:
    """Return the metric of one comparison. Raises KeyError for an unknown metric."""
    if measured.metric in CONTINUITY_METRICS:
        return incidents.of_continuity(measured)
    return _MAKERS[measured.metric](Asked(measured.args, territory, severity_index))
