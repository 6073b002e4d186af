"""Publish continuity's metrics to alerts whenever a predicate would judge them differently.

The metrics are listed in `docs/reference/rules.md`.
"""

from collections.abc import Callable
from typing import Final

from schemas.alerts import MetricChanged
from schemas.continuity import ActivityRow, ClockRow
from schemas.predicates import COMPARISONS
from schemas.words import ActivityState, ClockState
from services.continuity.activities.clocks import compute_consumed_pct
from services.continuity.activities.impact_analysis import ContinuityMetric
from services.continuity.decision import ContinuityDecision

_CLOCK_METRICS: Final[dict[str, Callable[[ActivityRow], ClockRow]]] = {
    "activity_rto_pct": lambda row: row.rto,
    "activity_dmia_pct": lambda row: row.dmia,
}
_CAPACITY_METRIC: Final = "activity_capacity_min"
_INTERRUPTED_METRIC: Final = "activities_interrupted"
_FULL_CAPACITY_PCT: Final = 100.0
"""Capacity of activities without any trouble."""


def note_changed_metrics(
    draft: ContinuityDecision, before: ActivityRow | None, after: ActivityRow
) -> None:
    """Note which metrics may have moved with this row.

    A clock between two thresholds moves no metric: each threshold is a mark of its row.
    """
    if before is None:
        names = [*_CLOCK_METRICS, _CAPACITY_METRIC, _INTERRUPTED_METRIC]
    else:
        names = [
            name
            for name, clock in _CLOCK_METRICS.items()
            if _get_reached_mark(clock(before)) != _get_reached_mark(clock(after))
        ]
        names += [_CAPACITY_METRIC] if before.capacity_pct != after.capacity_pct else []
        names += [_INTERRUPTED_METRIC] if before.state is not after.state else []
    for name in names:
        draft.moved.setdefault(name, set()).add(after.id)


def _get_reached_mark(clock: ClockRow) -> float:
    return clock.reached if clock.state is ClockState.RUNNING else -1.0


def record_changed_metrics(draft: ContinuityDecision) -> None:
    """Record each metric that crossed a threshold since its last record; at first, all metrics."""
    activity_rows = draft.state.activities
    for metric in draft.bia.metrics if draft.moved else ():
        activity_ids = draft.moved.get(metric.name)
        last_value = draft.state.told.get(metric.key)
        if last_value is not None and (
            activity_ids is None
            or (metric.activities and activity_ids.isdisjoint(metric.activities))
        ):
            continue
        rows = [row for id in metric.activities if (row := activity_rows.get(id)) is not None]
        value, worst = _compute_value(draft, metric, rows)
        if last_value is not None and _is_same_side(metric, last_value, value):
            continue
        reports = (
            tuple(dict.fromkeys(r for why in worst.why for r in why.reports))
            if worst is not None
            else ()
        )
        draft.emit(MetricChanged(key=metric.key, value=value, at=draft.now, reports=reports))
    draft.moved.clear()


def recheck_all_metrics(draft: ContinuityDecision) -> None:
    """Check all metrics against the thresholds of a new reference version."""
    for metric in draft.bia.metrics:
        draft.moved.setdefault(metric.name, set()).update(metric.activities)
    record_changed_metrics(draft)


def _is_same_side(metric: ContinuityMetric, last_value: float, value: float) -> bool:
    return all(
        COMPARISONS[op](last_value, limit) == COMPARISONS[op](value, limit)
        for op, limit in metric.thresholds
    )


def _compute_value(
    draft: ContinuityDecision, metric: ContinuityMetric, rows: list[ActivityRow]
) -> tuple[float, ActivityRow | None]:
    """Return the value, and the row that gives it."""
    if (clock := _CLOCK_METRICS.get(metric.name)) is not None:
        values = [
            (
                compute_consumed_pct(
                    draft.bia.needs[row.id], clock(row), row.rto.limit_h, draft.now
                ),
                row,
            )
            for row in rows
        ]
        value, worst = max(values, key=lambda one: one[0], default=(0.0, None))
        return value, worst if value else None
    if metric.name == _CAPACITY_METRIC:
        lowest = min(rows, key=lambda row: row.capacity_pct, default=None)
        return (_FULL_CAPACITY_PCT, None) if lowest is None else (lowest.capacity_pct, lowest)
    if metric.name == _INTERRUPTED_METRIC:
        interrupted_rows = [row for row in rows if row.state is ActivityState.INTERRUPTED]
        return float(len(interrupted_rows)), interrupted_rows[0] if interrupted_rows else None
    raise ValueError(f"continuity does not compute {metric.name}")
