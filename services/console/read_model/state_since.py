"""Find since when things are in their state, from logbook lines.

A record only has the time of its last change, not that of its state. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from schemas.base import Instant
from services.console.logbook.lines import LineRecord

Thing = tuple[str, str]
"""(collection, id)"""
INCIDENT_STATES: Final = {
    "opened": "open",
    "closed": "closed",
    "reopened": "open",
    "merged": "merged",
}
ESCALATION_STATES: Final = {
    "answered": "answered",
    "taken_at_source": "answered",
    "exhausted": "exhausted",
    "superseded": "superseded",
    "ended": "ended",
    "stale": "running",
    "endangered": "running",
}
"""Change → state after it; any other change leaves the state as it is."""


def find_change_times(
    lines: Iterable[LineRecord], before: dict[Thing, str]
) -> dict[Thing, Instant]:
    """Return when each incident, escalation, plan and task last changed state.

    `lines` come oldest first; `before` holds the states before the first of them, written as
    `before` and `after` of a change. Things without a change of state in these lines are left out.
    """
    states, change_times = dict(before), dict[Thing, Instant]()
    for line in lines:
        change = _read_state(line, states)
        if change is None:
            continue
        thing, state = change
        if states.get(thing) != state:
            states[thing], change_times[thing] = state, line.occurred_at
    return change_times


def _read_state(line: LineRecord, states: dict[Thing, str]) -> tuple[Thing, str] | None:
    """Return the thing that a line is about and its state after it, or None."""
    match line.type:
        case "IncidentChanged" if line.incident is not None:
            thing = ("incidents", line.incident)
            state = (
                INCIDENT_STATES.get(line.change or "")
                or line.values.get("state")
                or states.get(thing, "open").partition(" ")[0]
            )
            return thing, f"{state} N{line.values['level']}"
        case "EscalationChanged" if line.change in ESCALATION_STATES:
            return ("escalations", line.values["escalation"]), ESCALATION_STATES[line.change]
        case "PlanChanged":
            return ("plans", line.values["plan"]), line.values["state"]
        case "TaskChanged":
            return ("tasks", line.values["task"]), line.change or "open"
    return None
