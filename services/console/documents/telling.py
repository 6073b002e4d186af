"""Which lines of the main courante a document tells: what happened or was decided that the whole cell must know, each once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from services.console.logbook.lines import LineRecord

TURNS: Final = {
    "IncidentChanged",
    "LevelChanged",
    "StrategyChanged",
    "AlarmArbitrated",
    "FlagChanged",
}


def is_turn(record: LineRecord) -> bool:
    """Something happened or was decided that the whole cell must know; levels of incidents are told by the territory's."""
    match record.type, record.change:
        case "IncidentChanged", "level":
            return False
        case "EscalationChanged", change:
            return change in ("exhausted", "answered")
        case "PlanChanged", _:
            return record.kind == "decision"
        case type, _:
            return type in TURNS and record.kind != "watch"


def told_once(newest_first: Iterable[LineRecord]) -> list[LineRecord]:
    """The lines, oldest first, without those that say again where their subject stood already.

    Everybody who answers a call, or its reminder, says once more that their incident is in charge and that their ladder has answers enough: the first of
    them is told. When nobody had it any more or its level rose, whoever takes it in charge next is told again. Of the readings of a river the highest and
    the newest are told.
    """
    stood: dict[str, str] = {}
    found = []
    for record in sorted(newest_first, key=lambda record: record.key):
        subject, stands = _standing(record)
        if subject and stood.get(subject) == stands and stands:
            continue
        if subject:
            stood[subject] = stands
        found.append(record)
    passed = _passed_readings(found)
    return [record for record in found if record.key not in passed]


def _standing(record: LineRecord) -> tuple[str, str]:
    """(what the line is about, where that stands after it); a line that can't be a repetition has no standing."""
    match record.type, record.change:
        case "IncidentChanged", "acknowledged":
            return f"incident:{record.incident}", str(record.values.get("state"))
        case "IncidentChanged", "level" | "closed" | "reopened":
            return f"incident:{record.incident}", ""
        case "EscalationChanged", "answered" | "exhausted" as change:
            return f"escalation:{record.values['escalation']}", change
        case _:
            return "", ""


def _passed_readings(lines: Iterable[LineRecord]) -> set[str]:
    """Keys of the readings of rivers that others of the same station went beyond or followed."""
    series: dict[str, list[LineRecord]] = {}
    for record in lines:
        if record.type == "FlagChanged" and str(record.values["flag"]).startswith("river:"):
            series.setdefault(str(record.values["flag"]), []).append(record)
    kept = {
        record.key
        for readings in series.values()
        for record in (readings[-1], max(readings, key=lambda r: float(r.values["value"])))
    }
    return {record.key for readings in series.values() for record in readings} - kept
