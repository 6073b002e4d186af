"""Computable conditions of the reference data: `{metric, …, op, value}`, any, all, not, manual.

`services.alerts.levels.rulebook` evaluates them. This module defines their form and the canonical
key of a metric, so that the owner of a metric and the evaluator mean the same number. See
docs/reference/rules.md, section 13.
"""

import json
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag

from schemas.base import Model

Op = Literal[">=", ">", "<=", "<", "=="]
COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
}
Value = bool | int | float | str


class Measured(Model):
    """Comparison `metric(args) op value`.

    `args` are the arguments of the metric: filters, windows in minutes (`window_min`), horizons in
    hours.
    """

    metric: str
    args: dict[str, Any] = Field(default_factory=dict)
    op: Op
    value: Value

    @property
    def key(self) -> str:
        return metric_key(self.metric, self.args)


class AnyOf(Model):
    any: "tuple[Predicate, ...]"


class AllOf(Model):
    all: "tuple[Predicate, ...]"


class Not(Model):
    negated: "Predicate" = Field(alias="not")


class Manual(Model):
    """Condition that a named person ticks."""

    manual: str


def _predicate_tag(value: Any) -> str:
    if isinstance(value, dict):
        for key, tag in (
            ("metric", "measured"),
            ("any", "any"),
            ("all", "all"),
            ("not", "not"),
            ("negated", "not"),
        ):
            if key in value:
                return tag
        return "manual"
    match value:
        case Measured():
            return "measured"
        case AnyOf():
            return "any"
        case AllOf():
            return "all"
        case Not():
            return "not"
    return "manual"


Predicate = Annotated[
    Annotated[Measured, Tag("measured")]
    | Annotated[AnyOf, Tag("any")]
    | Annotated[AllOf, Tag("all")]
    | Annotated[Not, Tag("not")]
    | Annotated[Manual, Tag("manual")],
    Discriminator(_predicate_tag),
]

for _m in (AnyOf, AllOf, Not):
    _m.model_rebuild()

CONTINUITY_METRICS = frozenset(
    {"activity_rto_pct", "activity_dmia_pct", "activity_capacity_min", "activities_interrupted"}
)
"""Metrics that continuity sends to alerts by `MetricChanged`; alerts computes all others."""
ALERTS_METRICS = frozenset(
    {
        "absence_rate",
        "catering_down",
        "customers_cut",
        "evacuees",
        "expected_unavailability_h",
        "flag",
        "forecast_absence",
        "gas_leak_distance_m",
        "headcount_pct",
        "level",
        "logistics_need_sites",
        "max_severity",
        "measure",
        "open_incidents",
        "outage_power_sites",
        "poles_out",
        "restored_share",
        "river_level",
        "road_closed",
        "rumour_severity",
        "security_communes",
        "security_events",
        "sites_below_opening",
        "sites_closed",
        "sites_evacuated",
        "sites_hit",
        "sites_out",
        "sites_partially_closed",
        "sites_staff_at_most",
        "sites_with_cause",
        "supplier_illness",
        "system_down",
        "transverse_loss",
        "vigilance",
    }
)
"""Metrics that alerts computes."""
KNOWN_METRICS = ALERTS_METRICS | CONTINUITY_METRICS
"""Every metric that a predicate may name."""


def metric_key(metric: str, args: dict[str, Any]) -> str:
    """Return the canonical key of a metric: the same for the same arguments in any order."""
    return metric + json.dumps(args, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def list_leaves(predicate: Predicate | None) -> Iterator[Measured | Manual]:
    """Yield every measured part and every box inside a predicate."""
    match predicate:
        case Measured() | Manual():
            yield predicate
        case AnyOf(any=parts) | AllOf(all=parts):
            for part in parts:
                yield from list_leaves(part)
        case Not(negated=part):
            yield from list_leaves(part)
        case _:
            return


def list_measured(predicate: Predicate | None) -> Iterator[Measured]:
    """Yield every `Measured` inside a predicate."""
    return (leaf for leaf in list_leaves(predicate) if isinstance(leaf, Measured))


def list_boxes(predicate: Predicate | None) -> Iterator[str]:
    """Yield the text of every box inside a predicate."""
    return (leaf.manual for leaf in list_leaves(predicate) if isinstance(leaf, Manual))


def has_box(predicate: Predicate) -> bool:
    """Return whether a predicate holds a box for a person."""
    return any(True for _ in list_boxes(predicate))
