"""Turn changed rows into events of the live stream, with the content and names of REST.

Three differences: `reports` of an incident holds only the ids since its last event, `local` of an
activity only the clocks that changed since, and no event except a logbook line holds free text; GET
returns everything.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from schemas import alerts as a
from schemas import calling
from schemas import callouts as o
from schemas import continuity as c
from schemas import delivery as d
from schemas import reassignment as g
from schemas import reference_changes as v
from schemas.crisis import communication as t
from schemas.crisis import contingency as k
from schemas.crisis import handovers as h
from schemas.crisis import maintenance as m
from schemas.crisis import obligations as b
from schemas.crisis import publication as u
from schemas.crisis import resource_requests as res
from schemas.crisis import stimuli as e
from services.console.communication.queries import build_question, build_statement
from services.console.facilitation.queries import build_live_stimulus
from services.console.handover.queries import build_handover
from services.console.logistics.shapes import build_request
from services.console.obligations.queries import build_clock
from services.console.public.queries import build_publication_state
from services.console.read_model.queries import ReadModel
from services.console.read_model.query_base import OpenedRealm, build_realm_now
from services.console.read_model.shapes import Shaper
from services.console.read_model.snapshot import CurrentSnapshot, RealmSnapshot, list_row_models
from services.console.resources import Incident, PresenceChanged, Report, Resource
from services.runtime.identity.permissions import Permission

Key = tuple[str, str]
"""(collection, id)."""
Event = tuple[str, bytes]
"""(event name, JSON)."""
Events = list[tuple[str, str, Resource]]
"""(id, event name, resource)."""
_PERMISSIONS: Final = (
    dict.fromkeys(
        (
            "log",
            "notifications",
            "escalations",
            "callouts",
            "sitreps",
            "reference_changes",
            "statements",
            "questions",
            "publications",
            "obligations",
            "handovers",
        ),
        Permission.LOG_READ,
    )
    | dict.fromkeys(("reports", "maintenance"), Permission.REPORT_STATUS)
    | {"presence": Permission.DIRECTORY_READ, "stimuli": Permission.REALM_RUN}
)
"""The right that REST requires, if the stream's own (`picture.read`) is not enough."""


def list_hidden_events(may: Callable[[Permission], bool]) -> frozenset[str]:
    """Return the events that a reader with these rights may not see."""
    return frozenset(event for event, right in _PERMISSIONS.items() if not may(right))


class JoinedReports:
    """Reports that joined an incident since its last event.

    Bounded: a report has its own event anyway.
    """

    LIMIT: Final = 1_000

    def __init__(self) -> None:
        self._waiting: dict[str, list[str]] = {}

    def add(self, incident: str, report: str) -> None:
        """Add a report with a row in this incident."""
        waiting = self._waiting.setdefault(incident, [])
        if report not in waiting[-self.LIMIT :]:
            waiting.append(report)
        del waiting[: -self.LIMIT]

    def pop_reports(self, incident: str) -> list[str]:
        """Remove and return the reports for the next event of the incident."""
        return self._waiting.pop(incident, [])


async def render_events(
    model: ReadModel, realm: str, lang: str, keys: Iterable[Key], joined_reports: JoinedReports
) -> dict[Key, Event]:
    """Build the events of changed rows.

    Unknown collections and deleted rows have none.
    """
    by_collection: dict[str, list[str]] = {}
    for collection, id in keys:
        by_collection.setdefault(collection, []).append(id)
    view = await model.of(realm, lang).read()
    if isinstance(view.picture, CurrentSnapshot):
        await view.picture.prefetch(_list_rows(by_collection), by_collection.get("lines", []))
    events: dict[Key, Event] = {}
    for key, activity in await _build_activities(
        view, by_collection.pop("activities", []), by_collection.pop("local_clocks", [])
    ):
        events[key] = ("activities", activity.model_dump_json().encode())
    collections = sorted(
        by_collection, key=lambda c: c != "reports"
    )  # an incident tells of the reports before it
    coroutines = [
        _build_resources(model, view, collection, by_collection[collection])
        for collection in collections
    ]
    for collection, resources in zip(collections, await asyncio.gather(*coroutines), strict=True):
        for id, name, resource in resources:
            events[collection, id] = (
                name,
                _join_reports(resource, joined_reports).model_dump_json().encode(),
            )
    return events


def _list_rows(by_collection: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return the ids of the rows behind changed keys, by collection."""
    rows = {name: ids for name, ids in by_collection.items() if name in list_row_models()}
    clocks = rows.get("local_clocks", [])
    activities = {*rows.get("activities", []), *(id.rpartition("/")[0] for id in clocks)}
    return rows | {"activities": sorted(activities)}


def _join_reports(resource: Resource, joined_reports: JoinedReports) -> Resource:
    """Record the incident of a report, and add waiting reports to an incident's event."""
    if isinstance(resource, Report) and resource.incident is not None:
        joined_reports.add(resource.incident, resource.id)
    elif isinstance(resource, Incident):
        return resource.model_copy(update={"reports": joined_reports.pop_reports(resource.id)})
    return resource


async def _build_resources(
    model: ReadModel, view: OpenedRealm, collection: str, ids: Sequence[str]
) -> Events:
    match collection:
        case "lines":
            lines = await model.lines(view, ids, texts=True)
            return [(key, "log", line) for key, line in lines.items()]
        case "realm":
            return [(view.picture.realm, "realms", build_realm_now(view.picture))]
        case "presence":
            realm = view.picture.realm
            return [(place, "presence", PresenceChanged(id=place, realm=realm)) for place in ids]
        case "actions":
            return [(one.id, "actions", one) for one in await model.some_actions(view, ids)]
        case "incidents":
            return [(one.id, "incidents", one) for one in await model.some_incidents(view, ids)]
        case "sites":
            reference = view.picture.reference
            sites = {id: one for id in ids if (one := reference.find_site(id)) is not None}
            return await _build_joined_resources(
                view, a.SiteRow, ids, "sites", sites, view.shape.site
            )
        case "plans":
            return await _build_joined_resources(
                view, c.PlanRow, ids, "plans", view.picture.reference.plans, view.shape.plan
            )
        case _ if collection in _BUILDERS:
            return await _BUILDERS[collection](view.picture, view.shape, ids)
        case _:
            return []


async def _build_activities(
    view: OpenedRealm, ids: Sequence[str], clocks: Sequence[str]
) -> list[tuple[Key, Resource]]:
    """Return the activities with a changed row or local clock, once each.

    `clocks` holds ids of local clocks.
    """
    activities = view.picture.reference.activities
    event_keys: dict[str, Key] = {}
    local: dict[str, list[c.LocalClockRow]] = {}
    for id, clock in (await view.picture.some(c.LocalClockRow, clocks)).items() if clocks else ():
        event_keys[clock.activity] = ("local_clocks", id)
        local.setdefault(clock.activity, []).append(clock)
    event_keys |= {id: ("activities", id) for id in ids}
    rows = await view.picture.some(c.ActivityRow, list(event_keys)) if event_keys else {}
    return [
        (event_keys[id], view.shape.activity(activities[id], row, local.get(id, ())))
        for id, row in rows.items()
        if id in activities
    ]


async def _build_joined_resources(
    view: OpenedRealm,
    kind: Any,
    ids: Sequence[str],
    name: str,
    reference_records: Mapping[str, Any],
    shape: Callable[[Any, Any], Resource],
) -> Events:
    rows = await view.picture.some(kind, ids)
    return [
        (id, name, shape(reference_records[id], row))
        for id, row in rows.items()
        if id in reference_records
    ]


def _make_builder(
    kind: Any, name: str, shape: Callable[[Shaper, Any], Resource]
) -> Callable[[RealmSnapshot, Shaper, Sequence[str]], Awaitable[Events]]:
    async def resources(picture: RealmSnapshot, shaper: Shaper, ids: Sequence[str]) -> Events:
        return [
            (id, name, shape(shaper, row)) for id, row in (await picture.some(kind, ids)).items()
        ]

    return resources


_BUILDERS: Final = {
    "reports": _make_builder(a.ReportRow, "reports", Shaper.report),
    "escalations": _make_builder(calling.EscalationRow, "escalations", Shaper.escalation),
    "tasks": _make_builder(a.TaskRow, "tasks", Shaper.task),
    "levels": _make_builder(a.LevelRow, "levels", lambda shape, row: shape.level(row.id, row)),
    "flags": _make_builder(a.FlagRow, "flags", Shaper.flag),
    "triggers": _make_builder(a.TriggerRow, "triggers", Shaper.trigger),
    "maintenance": _make_builder(m.MaintenanceRow, "maintenance", Shaper.maintenance),
    "reference_changes": _make_builder(
        v.ReferenceChangeRow, "reference_changes", Shaper.reference_change
    ),
    "statements": _make_builder(
        t.StatementRow,
        "statements",
        lambda shape, row: build_statement(row, shape.realm, {}, shape.lang),
    ),
    "questions": _make_builder(
        t.QuestionRow,
        "questions",
        lambda shape, row: build_question(row, shape.realm, {}, shape.lang, shape.at),
    ),
    "publications": _make_builder(
        u.PublicationRow,
        "publications",
        lambda shape, row: build_publication_state(row, shape.realm),
    ),
    "obligations": _make_builder(
        b.ObligationRow,
        "obligations",
        lambda shape, row: build_clock(
            row, shape.realm, shape.reference.names.obligations, {}, shape.lang, shape.at
        ),
    ),
    "stimuli": _make_builder(
        e.StimulusRow,
        "stimuli",
        lambda shape, row: build_live_stimulus(row, shape.realm, shape.at, shape.lang),
    ),
    "handovers": _make_builder(
        h.HandoverRow,
        "handovers",
        lambda shape, row: build_handover(row, shape.realm, {}, shape.reference.names, shape.lang),
    ),
    "alarms": _make_builder(c.AlarmRow, "alarms", Shaper.alarm),
    "strategies": _make_builder(c.StrategyRow, "strategies", Shaper.strategy),
    "sitreps": _make_builder(c.SitrepRow, "sitreps", Shaper.sitrep),
    "contingency": _make_builder(k.ContingencyRow, "contingency", Shaper.contingency),
    "proposals": _make_builder(g.ProposalRow, "proposals", Shaper.proposal),
    "reassignments": _make_builder(g.ReassignmentRow, "reassignments", Shaper.reassignment),
    "resource_requests": _make_builder(
        res.ResourceRequestRow,
        "resource_requests",
        lambda shape, row: build_request(shape.realm, row, shape.reference.names, shape.lang),
    ),
    "notifications": _make_builder(d.NotificationRow, "notifications", Shaper.notification),
    "callouts": _make_builder(o.CallOutRow, "callouts", Shaper.callout),
    "holds": _make_builder(d.HoldRow, "holds", Shaper.hold),
}
