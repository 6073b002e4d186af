"""Queries about the whole realm at a glance."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import Final, TypeVar

import orjson

from schemas import alerts as a
from schemas import calling
from schemas import continuity as c
from schemas import delivery as d
from schemas.base import Instant
from schemas.crisis import maintenance as m
from schemas.crisis.actions import OPEN_ACTION_STATES, ActionRow
from schemas.topics import PARTITION_COUNT, SERVICES, partition_of
from schemas.words import ACTIVE_PLAN_STATES, ActivityState, PlanState, SiteStatus, TaskState
from services.console import resources as r
from services.console.incidents.queries import IncidentQueries
from services.console.messages.queries import is_overdue
from services.console.read_model import snapshot as pictures
from services.console.read_model import store
from services.console.read_model.query_base import (
    UNLIMITED,
    OpenedRealm,
    build_realm_now,
    get_snapshot_time,
    now_ms,
)
from services.console.read_model.shapes import OPEN_STATES
from services.console.read_model.store import translate_store_errors
from services.console.resources import to_datetime
from services.console.sites.queries import SiteQueries, count_activities, count_sites
from services.runtime.log.heads import HeadsByLog, format_log_name

MAX_DEMANDS_PER_10_MIN: Final = 10
"""Demands for attention that one person can follow (ISA 18.2, EEMUA 191); shown, not enforced."""
E = TypeVar("E", bound=StrEnum)


def count_plans(plans: Iterable[c.PlanRow]) -> dict[str, int]:
    """Count the plans that wait for a decision, and those in effect until their stand-down."""
    states = Counter(plan.state for plan in plans)
    return {
        "plans_proposed": states[PlanState.PROPOSED],
        "plans_active": sum(states[state] for state in ACTIVE_PLAN_STATES),
    }


class OverviewQueries(IncidentQueries, SiteQueries):
    async def overview(self, *, texts: bool = False) -> r.Overview:
        """Return level with reasons, counts, alarm rate, feeds, and newest log positions.

        `texts` adds the reason of a hold on sending.
        """
        view = await self.read()
        async with translate_store_errors():
            return await self._overview(view, texts=texts)

    async def _overview(self, view: OpenedRealm, *, texts: bool) -> r.Overview:
        picture, shape = view.picture, view.shape
        resource = build_realm_now(picture)
        server, at = now_ms(), get_snapshot_time(picture)
        levels = await picture.rows(a.LevelRow)
        sites = count_sites(picture.reference, await picture.rows(a.SiteRow))
        work = await picture.rows(c.ActivityRow)
        activities = count_activities(picture.reference, work)
        rows = await self._incident_rows(view)
        current = rows[: bisect_left(rows, True, key=lambda row: row.state not in OPEN_STATES)]
        task_rows = (await picture.rows(a.TaskRow)).values()
        tasks = Counter(t.state for t in task_rows)
        escalations = (await picture.rows(calling.EscalationRow)).values()
        ladders = Counter(e.state for e in escalations if e.action is None)
        actions = (await picture.rows(ActionRow)).values()
        hold = (await picture.rows(d.HoldRow)).get("sending")
        windows = Counter(w.state for w in (await picture.rows(m.MaintenanceRow)).values())
        level = shape.level("territory", levels.get("territory"))
        counts = {
            "incidents_open": len(current),
            "incidents": len(rows),
            "reports": await picture.count("reports"),
            "tasks_open": tasks[TaskState.OPEN] + tasks[TaskState.TAKEN],
            "actions_open": sum(x.state in OPEN_ACTION_STATES for x in actions),
            "actions_late": sum(x.state in OPEN_ACTION_STATES and x.due_at <= at for x in actions),
            "tasks_overdue": sum(is_overdue(t, at) for t in task_rows),
            **count_plans((await picture.rows(c.PlanRow)).values()),
            "activities_interrupted": sum(
                n[ActivityState.INTERRUPTED] for n in activities.values()
            ),
            "incidents_quiet": sum(1 for i in current if i.quiet is not None),
            "maintenance_active": windows["active"],
            "escalations_running": ladders["running"],
            "notifications": await picture.count("notifications"),
        }
        return r.Overview(
            realm=resource,
            at=to_datetime(at),
            server_time=to_datetime(server),
            level=level,
            counts=counts,
            sites=_sum_counters(SiteStatus, sites.values()),
            activities=_sum_counters(ActivityState, activities.values()),
            poles=self._poles(view, await self._pole_levels(view), sites, work),
            incidents=await self._shape_incidents(view, current[:UNLIMITED], reports=False),
            alarm_rate=await self._alarm_rate(at),
            feeds=[
                _build_feed(name, last, at)
                for name, last in sorted((await picture.feeds()).items())
            ],
            audit=await self._audit(),
            hold=shape.hold(
                hold, self.reason_of(hold.reason) if texts and hold is not None else None
            ),
            log=await self.positions(),
            epoch=await self.epoch(),
        )

    async def _audit(self) -> r.Audit:
        raw = await self._client.get(store.AUDIT)
        if raw is None:
            return r.Audit(state="unknown", at=None, since=None, breaches=[])
        audit = orjson.loads(raw)
        breaches = [r.AuditBreach(law=law, what=what) for law, what in audit["breaches"]]
        return r.Audit(
            state=audit["state"],
            at=to_datetime(audit["at"]),
            since=to_datetime(audit["since"]),
            breaches=breaches,
        )

    async def _alarm_rate(self, at: Instant) -> r.AlarmRate:
        minutes = await pictures.read_rates(self._client, self._realm, at, 60)
        demands = minutes["demand"]
        series = [sum(demands[n : n + 10]) for n in range(0, 60, 10)]
        return r.AlarmRate(
            window_min=10,
            demands=series[-1],
            bearable=MAX_DEMANDS_PER_10_MIN,
            reports=sum(minutes["report"][-10:]),
            series=series,
        )

    async def heads(self) -> HeadsByLog:
        """Return the end of every log, as far as it is projected."""
        places = [(s, p) for s in SERVICES for p in range(PARTITION_COUNT)]
        async with translate_store_errors():
            raw = await self._client.mget([store.position_key(s, p) for s, p in places])
        positions_by_log = {
            format_log_name(s, p): orjson.loads(value)
            for (s, p), value in zip(places, raw, strict=True)
            if value is not None
        }
        return {name: (p["seq"], p["hash"]) for name, p in positions_by_log.items() if p["seq"]}

    async def positions(self) -> list[r.LogPosition]:
        """Return the newest projected record of each log on the realm's partition."""
        partition = partition_of(self._realm, PARTITION_COUNT)
        async with translate_store_errors():
            raw = await self._client.mget([store.position_key(s, partition) for s in SERVICES])
        positions_by_service = {
            s: orjson.loads(value)
            for s, value in zip(SERVICES, raw, strict=True)
            if value is not None
        }
        return [
            r.LogPosition(
                service=s,
                partition=partition,
                seq=p["seq"],
                offset=p["head_offset"],
                history=p["history"],
                hash=p["hash"],
                at=to_datetime(p["at"]),
            )
            for s, p in positions_by_service.items()
        ]


def _sum_counters(states: type[E], counters: Iterable[Counter[E]]) -> dict[E, int]:
    total: Counter[E] = Counter()
    for counter in counters:
        total.update(counter)
    return {state: total[state] for state in states}


def _build_feed(name: str, last: Instant, at: Instant) -> r.Feed:
    kind, _, id = name.partition(":")
    return r.Feed(id=id, kind=kind, last_at=to_datetime(last), silent_s=max(0, (at - last) // 1000))
