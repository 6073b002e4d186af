"""Which lines of the main courante a document tells: what happened or was decided that the whole cell must know, each once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from services.console.lines import LineRecord

TURNS: Final = {"IncidentChanged", "LevelChanged", "StrategyChanged", "AlarmArbitrated", "FlagChanged"}


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

    Everybody who answers a call says once more that their incident is in charge and that their ladder has answers enough: the first of them is told. When
    nobody had it any more or its level rose, whoever takes it in charge next is told again.
    """
    stood: dict[str, str] = {}
    found = []
    for record in sorted(newest_first, key=lambda record: record.key):
        subject, stands = _standing(record)
        if subject and stood.get(subject) == stands and stands:
            continue
        stood[subject] = stands
        found.append(record)
    return found


def _standing(record: LineRecord) -> tuple[str, str]:
    """(what the line is about, where that stands after it); a line that can't be a repetition has no standing."""
    match record.type, record.change:
        case "IncidentChanged", "acknowledged":
            return f"incident:{record.incident}", str(record.values.get("state"))
        case "IncidentChanged", _:
            return f"incident:{record.incident}", ""
        case "EscalationChanged", change:
            return f"escalation:{record.values['escalation']}", change if change == "answered" else ""
        case _:
            return "", ""
