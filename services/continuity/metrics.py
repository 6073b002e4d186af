"""Metrics that continuity owns, told to alerts whenever a predicate of the reference data would judge them differently (DOMAIN §13)."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Final

from schemas.alerts import MetricChanged
from schemas.base import Instant
from schemas.continuity import ActivityRow, ClockRow
from schemas.words import ActivityState, ClockState
from services.continuity.bia import Metric, Need
from services.continuity.clocks import consumed_pct, interruption_of
from services.continuity.state import Draft

_OPS: Final[dict[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt, "==": operator.eq,
}  # fmt: skip
_NOTHING_WRONG: Final = {"activity_capacity_min": 100.0}


def tell_metrics(draft: Draft, activities: Iterable[str] | None = None) -> None:
    """Record each metric that crossed a threshold of its predicates since it was last told; each once at first.

    `activities`: those that were settled; None: all.
    """
    touched = None if activities is None else set(activities)
    for metric in draft.bia.metrics:
        if touched is not None and touched.isdisjoint(metric.activities):
            continue
        value, worst = _value(draft, metric)
        told = draft.state.told.get(metric.key)
        if told is not None and all(_OPS[op](told, limit) == _OPS[op](value, limit) for op, limit in metric.thresholds):
            continue
        reports = tuple(r for why in worst.why for r in why.reports) if worst is not None else ()
        draft.record(MetricChanged(key=metric.key, value=value, at=draft.now, reports=tuple(dict.fromkeys(reports))))


def _value(draft: Draft, metric: Metric) -> tuple[float, ActivityRow | None]:
    """The value, and the row that gives it."""
    rows = [row for id in metric.activities if (row := draft.state.activities.get(id)) is not None]
    if not rows:
        return _NOTHING_WRONG.get(metric.name, 0.0), None
    match metric.name:
        case "activity_rto_pct" | "activity_dmia_pct":
            base = "rto" if metric.name == "activity_rto_pct" else "dmia"
            read = [(_consumed(draft.bia.needs[row.id], getattr(row, base), draft.now), row) for row in rows]
            value, worst = max(read, key=lambda one: one[0])
            return value, worst if value else None
        case "activity_capacity_min":
            worst = min(rows, key=lambda row: row.capacity_pct)
            return worst.capacity_pct, worst
        case "activities_interrupted":
            interrupted = [row for row in rows if row.state is ActivityState.INTERRUPTED]
            return float(len(interrupted)), interrupted[0] if interrupted else None
    raise ValueError(f"continuity does not compute {metric.name}")


def _consumed(need: Need, clock: ClockRow, now: Instant) -> float:
    """Percentage now; 0 unless running."""
    measured = interruption_of(clock) if clock.state is ClockState.RUNNING else None
    return 0.0 if measured is None else consumed_pct(need, clock, measured, now)
