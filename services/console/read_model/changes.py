"""Compare a realm at two times, for the handover between shifts.

A record only has the time of its last change; lines of the logbook tell since when it is in its
state. Pure.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from schemas.base import Instant
from schemas.words import TaskState
from services.console import resources as r
from services.console.continuity.queries import ContinuityQueries
from services.console.logbook.lines import LineRecord
from services.console.messages.queries import MessageQueries
from services.console.read_model.query_base import UNLIMITED
from services.console.resources import to_datetime
from services.console.sites.queries import OverviewQueries

LINES_READ: Final = 4_000
"""Newest logbook lines to search for the time of a state change."""
States = dict[str, dict[str, r.Change]]
"""Collection → id → state."""
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
INITIAL_STATES: Final = {
    ("levels", "N0"),
    ("sites", "normal"),
    ("activities", "nominal"),
    ("plans", "valid"),
}
"""Initial states that count as unchanged: opening a realm sets all of them."""


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


class ChangeQueries(OverviewQueries, ContinuityQueries, MessageQueries):
    """Queries that compare two times."""

    async def changes(self, since: Instant) -> r.Changes:
        """List the differences between `since` and the time of these queries.

        A `since` before the realm began means its beginning: all that it holds is new.
        """
        realm_row = await self.realm()
        begin = int(realm_row.started_at.timestamp() * 1000)
        start = max(since, begin)
        until = (await self.overview()).at
        after = await self._things()
        before: States = {name: {} for name in after}
        if since >= begin:
            before = await self.at(start)._things()
        change_times = await self._turns(since, before)
        items = [
            change
            for collection in after
            for change in compare_states(
                collection, before[collection], after[collection], change_times
            )
        ]
        return r.Changes(realm=self._realm, since=to_datetime(start), until=until, items=items)

    async def _turns(self, start: Instant, before: States) -> Mapping[Thing, Instant]:
        """Find when things changed state after `start`, from the newest `LINES_READ` lines."""
        view = await self.read()
        lines, _more = await self._lines(view.picture, None, LINES_READ)
        states = {
            (name, id): one.after for name, things in before.items() for id, one in things.items()
        }
        return find_change_times(
            (line for line in reversed(lines) if line.recorded_at > start), states
        )

    async def _things(self) -> States:
        """Read the state of all things, each as a change from nothing."""
        levels = await self.levels()
        incidents = (await self.incidents(limit=UNLIMITED)).items
        escalations = (await self.escalations(limit=UNLIMITED)).items
        ladders = [e for e in escalations if e.action is None]  # an action tells its own changes
        plans = (await self.plans()).items
        sites = (await self.sites()).items
        activities = (await self.activities()).items
        tasks = (await self.tasks()).items
        return {
            "levels": _index_states("levels", levels, lambda x: (x.id, f"N{x.level}", x.since)),
            "incidents": _index_states(
                "incidents",
                incidents,
                lambda x: (x.title, f"{x.state.value} N{x.level}", x.updated_at),
            ),
            "escalations": _index_states(
                "escalations", ladders, lambda x: (x.ladder, x.state, x.started_at)
            ),
            "plans": _index_states(
                "plans", plans, lambda x: (x.title, x.state.value, x.decided_at or x.proposed_at)
            ),
            "sites": _index_states("sites", sites, lambda x: (x.name, x.status.value, x.since)),
            "activities": _index_states(
                "activities", activities, lambda x: (x.name, x.state.value, x.since)
            ),
            "tasks": _index_states(
                "tasks", tasks, lambda x: (x.title, x.state.value, x.done_at or x.opened_at)
            ),
        }


def _index_states(
    collection: str,
    things: Iterable[Any],
    describe: Callable[[Any], tuple[str, str, datetime | None]],
) -> dict[str, r.Change]:
    states = {}
    for x in things:
        title, state, at = describe(x)
        states[x.id] = r.Change(
            collection=collection, id=x.id, title=title, before=None, after=state, at=at
        )
    return states


def _find_change_time(changed_at: Instant | None, now: r.Change) -> datetime | None:
    return now.at if changed_at is None else to_datetime(changed_at)


def _is_unchanged(before: r.Change | None, now: r.Change) -> bool:
    if before is None:
        return (now.collection, now.after) in INITIAL_STATES
    return before.after == now.after


def compare_states(
    collection: str,
    before: Mapping[str, r.Change],
    after: Mapping[str, r.Change],
    change_times: Mapping[Thing, Instant],
) -> list[r.Change]:
    """List the things with another state after than before, oldest change first.

    `change_times` maps a thing to the time of its last state change. A thing it lacks has the time
    of its own record.
    """
    changes = [
        now.model_copy(
            update={
                "before": before[id].after if id in before else None,
                "at": _find_change_time(change_times.get((collection, id)), now),
            }
        )
        for id, now in after.items()
        if not _is_unchanged(before.get(id), now)
    ]
    if collection == "tasks":  # skip tasks that were opened and ended in between
        changes = [
            c
            for c in changes
            if c.before is not None or c.after not in (TaskState.DONE, TaskState.VOID)
        ]
    return sorted(changes, key=lambda c: (c.at is not None, c.at, c.id))
