"""Selection of logbook lines for documents: events and decisions that concern the whole cell."""

from collections.abc import Iterable
from typing import Final

from schemas.base import Instant
from services.console.logbook.lines import LineRecord

EVENT_TYPES: Final = {
    "IncidentChanged",
    "LevelChanged",
    "StrategyChanged",
    "AlarmArbitrated",
    "FlagChanged",
}

CELL_TYPES: Final = frozenset({"AttendanceChanged", "CellStaffingChanged", "HandoverChanged"})
"""Lines about the whole cell: they name no incident, and belong to each that is open."""


def select_cell_lines(
    lines: Iterable[LineRecord], begin: Instant, end: Instant | None
) -> list[LineRecord]:
    """Select the lines about the whole cell that were recorded in a span of time."""
    return [
        line
        for line in lines
        if line.incident is None
        and line.type in CELL_TYPES
        and begin <= line.recorded_at
        and (end is None or line.recorded_at <= end)
    ]


def is_key_event(record: LineRecord) -> bool:
    """Return True for an event or decision that concerns the whole cell.

    Levels of incidents do not count: the territory's level covers them.
    """
    match record.type, record.change:
        case "IncidentChanged", "level":
            return False
        case "EscalationChanged", change:
            return change in ("exhausted", "answered")
        case "PlanChanged", _:
            return record.kind == "decision"
        case type, _:
            return type in EVENT_TYPES and record.kind != "watch"


def drop_repetitions(newest_first: Iterable[LineRecord]) -> list[LineRecord]:
    """Return the lines, oldest first, without those that repeat the state of their subject.

    Each answer to a call or its reminder repeats that the incident is acknowledged and that the
    escalation has enough answers: only the first line stays. An acknowledgement counts again after
    the incident lost its acknowledgement or its level rose. For each river station, the highest and
    the newest reading stay.
    """
    stood: dict[str, str] = {}
    records = []
    for record in sorted(newest_first, key=lambda record: record.key):
        subject, stands = _get_state(record)
        if subject and stood.get(subject) == stands and stands:
            continue
        if subject:
            stood[subject] = stands
        records.append(record)
    surpassed_keys = _find_surpassed_readings(records)
    return [record for record in records if record.key not in surpassed_keys]


def _get_state(record: LineRecord) -> tuple[str, str]:
    """Return (subject, its state after the line); both are empty if the line cannot repeat."""
    match record.type, record.change:
        case "IncidentChanged", "acknowledged":
            return f"incident:{record.incident}", str(record.values.get("state"))
        case "IncidentChanged", "level" | "closed" | "reopened":
            return f"incident:{record.incident}", ""
        case "EscalationChanged", "answered" | "exhausted" as change:
            return f"escalation:{record.values['escalation']}", change
        case _:
            return "", ""


def _find_surpassed_readings(lines: Iterable[LineRecord]) -> set[str]:
    """Return the keys of river readings except the highest and the newest of each station."""
    series: dict[str, list[LineRecord]] = {}
    for record in lines:
        if record.type == "FlagChanged" and str(record.values["flag"]).startswith("river:"):
            series.setdefault(str(record.values["flag"]), []).append(record)
    notable_keys = {
        record.key
        for readings in series.values()
        for record in (readings[-1], max(readings, key=lambda r: float(r.values["value"])))
    }
    return {record.key for readings in series.values() for record in readings} - notable_keys
