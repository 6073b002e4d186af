"""The metrics that predicates may name, read from indexes of the state in nearly constant time.

The modules of this folder are found by themselves: a new metric is one function and one row of
`METRICS` in one of them, or in a new one. They are listed in `docs/reference/rules.md`, section 13.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache

from schemas.predicates import CONTINUITY_METRICS, Measured
from services.alerts.levels.metrics.base import BoundMetric, MetricRequest, MetricType
from services.alerts.levels.metrics.incidents import make_continuity_metric
from services.alerts.reference.territory import TerritoryIndex


@cache
def load_metric_types() -> Mapping[str, MetricType]:
    """Load the metrics of all modules by name. Raises ValueError if two share a name."""
    metric_types: dict[str, MetricType] = {}
    for info in pkgutil.iter_modules(__path__, f"{__name__}."):
        rows = getattr(importlib.import_module(info.name), "METRICS", {})
        if twins := metric_types.keys() & rows.keys():
            raise ValueError(f"{info.name}: another metric is called {', '.join(sorted(twins))}")
        metric_types |= rows
    return metric_types


def find_metric_type(condition: Measured) -> MetricType | None:
    """Return the type of a metric of alerts; None for one that continuity owns."""
    return load_metric_types().get(condition.metric)


def bind_metric(
    condition: Measured, territory: TerritoryIndex, severity_index: Mapping[str, int]
) -> BoundMetric:
    """Return the metric of one comparison. Raises KeyError for an unknown metric."""
    if condition.metric in CONTINUITY_METRICS:
        return make_continuity_metric(condition)
    make = load_metric_types()[condition.metric].make
    return make(MetricRequest(condition.args, territory, severity_index))
