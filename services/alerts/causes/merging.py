"""Merge several reports into one cause: the graver values of all, or the newest count of the day.

Rules D4 and D10.
"""

from __future__ import annotations

from typing import Any

from schemas.alerts import ReportRow
from schemas.base import copy_with
from schemas.crisis.causes import Cause
from schemas.reports import Measure, Window
from schemas.words import EventType
from services.alerts.reference.territory import HEAT_HAZARD, MAX_PERSONS
from services.alerts.reports.report_facts import get_measure_name, list_objects, parse_number


def is_daily(row: ReportRow) -> bool:
    """Return whether the report is about one day. Rule D10, day reports."""
    if row.effective or row.expected_end is not None:
        return False
    if row.type is EventType.STAFF_SHORTAGE:
        return True
    hot = get_measure_name(row) == "room_temperature" or HEAT_HAZARD in list_objects(row)
    return row.type is EventType.SANITARY_ALERT and hot


def is_count_of_day(cause: Cause, row: ReportRow) -> bool:
    """Return whether the newest count of the day replaces the former one.

    Counts of ill people keep their maximum. Rule D10, day reports.
    """
    return cause.ends_at is not None and get_measure_name(row) != "ill_persons"


def count_persons(row: ReportRow) -> int | None:
    """Return the number of people in a report: those leaving an area, else those concerned."""
    if (
        get_measure_name(row) == "evacuees"
        and row.measure is not None
        and (n := parse_number(row.measure.value)) is not None
    ):
        return int(min(max(n, 0), MAX_PERSONS))
    return row.persons_concerned


def merge_values(cause_values: dict[str, Any], rows: list[ReportRow]) -> dict[str, Any]:
    """Combine the values of a cause with those of reports, keeping the most severe. Rule D4."""
    for row in rows:
        cause_values = {
            "severity": max(cause_values["severity"], row.severity),
            "loss_pct": _find_maximum(cause_values["loss_pct"], row.capacity_lost_pct),
            "persons": _find_maximum(cause_values["persons"], count_persons(row)),
            "measure": _choose_greater_measure(cause_values["measure"], row.measure),
        }
    return cause_values


def unite_windows(a: tuple[Window, ...], b: tuple[Window, ...]) -> tuple[Window, ...]:
    """Return the windows of both, by their beginning."""
    return tuple(sorted({*a, *b}, key=lambda w: (w.start, w.end is None, w.end or 0)))


def _find_maximum(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else max(a, b)


def _choose_greater_measure(a: Measure | None, b: Measure | None) -> Measure | None:
    """Return the greater of two measures.

    Several counts of ill people give their maximum, never their sum. Rule D10, day reports.
    """
    if a is None or b is None:
        return a or b
    x, y = parse_number(a.value), parse_number(b.value)
    return b if x is None or (y is not None and y > x) else a


def rebuild_cause(cause: Cause, rows: list[ReportRow]) -> Cause:
    """Return the cause rebuilt from these of its reports, which are in ascending order."""
    counted_reports = rows[-1:] if is_count_of_day(cause, rows[-1]) else rows
    ids, sources = {r.id for r in rows}, {r.source for r in rows}
    values: dict[str, Any] = {
        "since": rows[0].occurred_at,
        "last_at": rows[-1].occurred_at,
        "reports": tuple(id for id in cause.reports if id in ids),
        "sources": tuple(source for source in cause.sources if source in sources),
    }
    return copy_with(
        cause,
        values
        | merge_values(
            {"severity": 0, "loss_pct": None, "persons": None, "measure": None}, counted_reports
        ),
    )
