"""Rows that changed → events of the live stream, rendered as REST renders them (an incident without its report ids)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from schemas import alerts as a
from schemas import continuity as c
from schemas import delivery as d
from services.console.picture import Picture
from services.console.queries.base import Read
from services.console.readmodel import ReadModel
from services.console.resources import Resource
from services.console.shapes import Shaper
from services.console.shapes import realm as realm_resource

Key = tuple[str, str]
"""(collection, id)."""
Event = tuple[str, bytes]
"""(event name, JSON)."""
Events = list[tuple[str, str, Resource]]
"""(id, event name, resource)."""
LOG_ONLY: Final = frozenset({"line", "notification", "escalation"})
"""Events for readers with the right `log.read`; from others they are hidden."""


async def render(model: ReadModel, realm: str, lang: str, changed: Iterable[Key]) -> dict[Key, Event]:
    """Events of what changed. A collection that this version does not show, or a row that is gone, has none."""
    by_collection: dict[str, list[str]] = {}
    for collection, id in changed:
        by_collection.setdefault(collection, []).append(id)
    found = await model.read(realm, lang=lang)
    events: dict[Key, Event] = {}
    for collection, ids in by_collection.items():
        for id, name, resource in await _resources(model, found, collection, ids):
            events[collection, id] = (name, resource.model_dump_json().encode())
    return events


async def _resources(model: ReadModel, found: Read, collection: str, ids: Sequence[str]) -> Events:
    match collection:
        case "lines":
            lines = await model.lines(found.shape, ids, texts=True)
            return [(key, "line", line) for key, line in lines.items()]
        case "realm":
            return [(found.picture.realm, "realm", realm_resource(found.picture.fields, found.picture.clock))]
        case "incidents":
            rows = await found.picture.some(a.IncidentRow, ids)
            return [(id, "incident", await model.shape_incident(found, row)) for id, row in rows.items()]
        case "sites":
            return await _joined(found, a.SiteRow, ids, "site", found.picture.reference.sites, found.shape.site)
        case "activities":
            return await _joined(found, c.ActivityRow, ids, "activity", found.picture.reference.activities, found.shape.activity)
        case "plans":
            return await _joined(found, c.PlanRow, ids, "plan", found.picture.reference.plans, found.shape.plan)
        case _ if collection in _PLAIN:
            return await _PLAIN[collection](found.picture, found.shape, ids)
        case _:
            return []


async def _joined(
    found: Read, kind: Any, ids: Sequence[str], name: str, known: Mapping[str, Any], shape: Callable[[Any, Any], Resource]
) -> Events:
    rows = await found.picture.some(kind, ids)
    return [(id, name, shape(known[id], row)) for id, row in rows.items() if id in known]


def _plain(kind: Any, name: str, shape: Callable[[Shaper, Any], Resource]) -> Callable[[Picture, Shaper, Sequence[str]], Awaitable[Events]]:
    async def resources(picture: Picture, shaper: Shaper, ids: Sequence[str]) -> Events:
        return [(id, name, shape(shaper, row)) for id, row in (await picture.some(kind, ids)).items()]

    return resources


_PLAIN: Final = {
    "reports": _plain(a.ReportRow, "report", Shaper.report),
    "escalations": _plain(a.EscalationRow, "escalation", Shaper.escalation),
    "tasks": _plain(a.TaskRow, "task", Shaper.task),
    "levels": _plain(a.LevelRow, "level", lambda shape, row: shape.level(row.id, row)),
    "flags": _plain(a.FlagRow, "flag", Shaper.flag),
    "triggers": _plain(a.TriggerRow, "trigger", Shaper.trigger),
    "alarms": _plain(c.AlarmRow, "alarm", Shaper.alarm),
    "strategies": _plain(c.StrategyRow, "strategy", Shaper.strategy),
    "notifications": _plain(d.NotificationRow, "notification", Shaper.notification),
    "holds": _plain(d.HoldRow, "hold", Shaper.hold),
}
