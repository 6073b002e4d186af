"""Since when a thing is as it is, from the lines of the main courante: a record tells when it was touched last, not when it came to be so. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from schemas.base import Instant
from services.console.logbook.lines import LineRecord

Thing = tuple[str, str]
"""(collection, id)"""
INCIDENT: Final = {"opened": "open", "closed": "closed", "reopened": "open", "merged": "merged"}
LADDER: Final = {
    "answered": "answered",
    "taken_at_source": "answered",
    "exhausted": "exhausted",
    "superseded": "superseded",
    "ended": "ended",
    "stale": "running",
    "endangered": "running",
}
"""Change → state after it; any other leaves the state as it is."""


def turns(lines: Iterable[LineRecord], before: dict[Thing, str]) -> dict[Thing, Instant]:
    """When each incident, ladder, plan and task last took another state, as `before` and `after` of a change write states.

    `lines` oldest first; `before`: states in front of the first of them. Things that these lines do not turn are left out.
    """
    states, found = dict(before), dict[Thing, Instant]()
    for line in lines:
        told = _told(line, states)
        if told is None:
            continue
        thing, state = told
        if states.get(thing) != state:
            states[thing], found[thing] = state, line.occurred_at
    return found


def _told(line: LineRecord, states: dict[Thing, str]) -> tuple[Thing, str] | None:
    """The thing that a line speaks of, and its state after it."""
    match line.type:
        case "IncidentChanged" if line.incident is not None:
            thing = ("incidents", line.incident)
            state = (
                INCIDENT.get(line.change or "")
                or line.values.get("state")
                or states.get(thing, "open").partition(" ")[0]
            )
            return thing, f"{state} N{line.values['level']}"
        case "EscalationChanged" if line.change in LADDER:
            return ("escalations", line.values["escalation"]), LADDER[line.change]
        case "PlanChanged":
            return ("plans", line.values["plan"]), line.values["state"]
        case "TaskChanged":
            return ("tasks", line.values["task"]), line.change or "open"
    return None
