"""Queries about sites, pôles, communes, levels, declarations, and the whole realm at a glance."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, TypeVar

import orjson

from schemas import alerts as a
from schemas import calling
from schemas import continuity as c
from schemas import delivery as d
from schemas import reference as ref
from schemas.alerts import IncidentRow, LevelRow, Why
from schemas.base import Instant
from schemas.crisis import maintenance as m
from schemas.crisis.actions import OPEN_ACTION_STATES, ActionRow
from schemas.topics import PARTITION_COUNT, SERVICES, partition_of
from schemas.words import ACTIVE_PLAN_STATES, ActivityState, PlanState, SiteStatus, TaskState
from services.console import resources as r
from services.console.continuity.pole_capacity import NO_ACTIVITIES, compute_pole_capacities
from services.console.http.problems import NotFound
from services.console.incidents.queries import IncidentQueries
from services.console.messages.queries import is_overdue
from services.console.read_model import snapshot as pictures
from services.console.read_model import store
from services.console.read_model.query_base import (
    UNLIMITED,
    OpenedRealm,
    QueryBase,
    build_realm_now,
    get_snapshot_time,
)
from services.console.read_model.reference_index import IndexedReference
from services.console.read_model.shapes import OPEN_STATES
from services.console.read_model.snapshot import RealmSnapshot, SnapshotMembers
from services.console.read_model.store import translate_store_errors
from services.console.resources import Page, to_datetime
from services.console.sites.geometry import ATTRIBUTION, WIDTH
from services.runtime.http.pagination import paginate
from services.runtime.log.heads import HeadsByLog, format_log_name
from services.runtime.process.machine import now_ms

REALMS_CACHED: Final = 50
"""Number of realms with cached levels of pôles."""
MAX_DEMANDS_PER_10_MIN: Final = 10
"""Demands for attention that one person can follow (ISA 18.2, EEMUA 191); shown, not enforced."""


class SiteQueries(QueryBase):
    """Queries about sites and areas."""

    async def sites(
        self,
        *,
        status: Sequence[str] = (),
        kind: str | None = None,
        pole: str | None = None,
        commune: str | None = None,
        incident: str | None = None,
        q: str | None = None,
        limit: int = UNLIMITED,
        cursor: str | None = None,
        members_too: bool = False,
    ) -> Page[r.Site]:
        """List the sites of the territory by id, also those that left it and are still hit.

        `members_too` adds all reports and sources of each cause, which no page needs.
        """
        view = await self.read()
        rows = await view.picture.rows(a.SiteRow)
        members = await self._members(view.picture, incident) if incident is not None else None
        matching = [
            s
            for s in _list_standing_sites(view.picture.reference, rows)
            if (kind is None or s.kind == kind)
            and (pole is None or s.pole == pole)
            and (commune is None or s.commune == commune)
            and (members is None or s.id in members)
            and (not status or (rows[s.id].status if s.id in rows else SiteStatus.NORMAL) in status)
            and (q is None or q.casefold() in f"{s.id} {s.name} {s.commune_name}".casefold())
        ]
        page_sites, following = paginate(matching, lambda s: (s.id,), limit, cursor)
        rows_by_site = (
            await self._with_members(
                view.picture, {s.id: rows[s.id] for s in page_sites if s.id in rows}
            )
            if members_too
            else rows
        )
        return Page(
            items=[view.shape.site(s, rows_by_site.get(s.id)) for s in page_sites], next=following
        )

    async def _with_members(
        self, picture: RealmSnapshot, rows: Mapping[str, a.SiteRow]
    ) -> Mapping[str, a.SiteRow]:
        """Complete the causes with all their reports and sources; rows hold only the first ones."""
        many = [c.id for row in rows.values() for c in row.causes if c.reports_count is not None]
        if not many:
            return rows
        members = await picture.members_of(many)
        return {id: _add_members(row, members) for id, row in rows.items()}

    async def _members(self, picture: RealmSnapshot, incident: str) -> set[str]:
        row = await picture.require(a.IncidentRow, incident)
        return {*row.members, *row.zone_sites}

    async def site(self, id: str) -> r.Site:
        """Return a site of the territory, or one that left it. Raises NotFound."""
        view = await self.read()
        reference = view.picture.reference
        if (static := reference.find_site(id)) is None:
            raise NotFound
        row = await view.picture.row(a.SiteRow, id)
        rows = await self._with_members(view.picture, {} if row is None else {id: row})
        return view.shape.site(static, rows.get(id))

    async def poles(self) -> list[r.Pole]:
        """List the pôles with counts by state and capacity, in the order of the territory."""
        view = await self.read()
        sites = count_sites(view.picture.reference, await view.picture.rows(a.SiteRow))
        return self._poles(
            view, await self._pole_levels(view), sites, await view.picture.rows(c.ActivityRow)
        )

    def _poles(
        self,
        view: OpenedRealm,
        levels: Mapping[str, a.LevelRow],
        sites: Mapping[str, Counter[SiteStatus]],
        rows: Mapping[str, c.ActivityRow],
    ) -> list[r.Pole]:
        activities, capacities = (
            count_activities(view.picture.reference, rows),
            compute_pole_capacities(view.picture.reference, rows),
        )
        return [
            view.shape.pole(
                static,
                view.shape.level(f"pole:{static.id}", levels.get(static.id)),
                sites.get(static.id, Counter()),
                activities.get(static.id, Counter()),
                capacities.get(static.id, NO_ACTIVITIES),
            )
            for static in view.picture.reference.poles.values()
        ]

    async def communes(self) -> list[r.Commune]:
        """List the communes with outlines and counts."""
        view = await self.read()
        reference = view.picture.reference
        rows = await view.picture.rows(a.SiteRow)
        incidents = [
            i for i in (await view.picture.rows(a.IncidentRow)).values() if i.state in OPEN_STATES
        ]
        counts: dict[str, Counter[SiteStatus]] = {}
        for site in reference.sites.values():
            counts.setdefault(site.commune, Counter())[
                rows[site.id].status if site.id in rows else SiteStatus.NORMAL
            ] += 1
        return [
            view.shape.commune(
                static,
                counts.get(static.insee, Counter()),
                [i.id for i in incidents if static.insee in i.communes],
            )
            for static in reference.communes.values()
        ]

    def map(self) -> r.Map:
        """Return the view box and attribution of everything with x, y or a path."""
        return r.Map(width=WIDTH, height=self._outlines.plane.height, attribution=ATTRIBUTION)

    async def levels(self) -> list[r.LevelState]:
        """List the levels: territory first, then every pôle."""
        view = await self.read()
        territory = (await view.picture.rows(a.LevelRow)).get("territory")
        poles = await self._pole_levels(view)
        shape = view.shape
        return [
            shape.level("territory", territory),
            *(shape.level(f"pole:{p}", poles.get(p)) for p in view.picture.reference.poles),
        ]

    async def _pole_levels(self, view: OpenedRealm) -> dict[str, a.LevelRow]:
        """Return the levels of pôles, computed again only after an incident has changed.

        Ten thousand incidents take 50 ms, and every page needs the levels.
        """
        rows, reference, realm = (
            await view.picture.rows(a.IncidentRow),
            view.picture.reference,
            view.picture.realm,
        )
        cache_entry = self._pole_levels_of.get(realm)
        if cache_entry is None or cache_entry[0] is not rows or cache_entry[1] is not reference:
            if len(self._pole_levels_of) >= REALMS_CACHED:
                self._pole_levels_of.clear()
            levels = compute_pole_levels(
                (i for i in rows.values() if i.state in OPEN_STATES),
                {s.id: s.pole for s in reference.sites.values()},
            )
            cache_entry = self._pole_levels_of[realm] = rows, reference, levels
        return cache_entry[2]

    async def flags(self) -> list[r.Flag]:
        """List the declarations of authorities and operators, by id."""
        view = await self.read()
        rows = await view.picture.rows(a.FlagRow)
        return [view.shape.flag(rows[id]) for id in sorted(rows)]


def _add_members(row: a.SiteRow, members: Mapping[str, SnapshotMembers]) -> a.SiteRow:
    causes = tuple(
        c.model_copy(update=members[c.id]._asdict()) if c.id in members else c for c in row.causes
    )
    return row.model_copy(update={"causes": causes})


def _list_standing_sites(
    reference: IndexedReference, rows: Mapping[str, a.SiteRow]
) -> list[ref.Site]:
    """Return the sites of the territory, and those that left it while something was open there."""
    former_sites = (one for id, one in reference.former_sites.items() if _is_hit(rows.get(id)))
    return [*reference.sites.values(), *former_sites]


def _is_hit(row: a.SiteRow | None) -> bool:
    """Return whether a cause is open at a site."""
    return row is not None and bool(row.causes)


def count_sites(
    reference: IndexedReference, rows: Mapping[str, a.SiteRow]
) -> dict[str, Counter[SiteStatus]]:
    """Return pôle → sites by status."""
    counts: dict[str, Counter[SiteStatus]] = {}
    for site in reference.sites.values():
        counts.setdefault(site.pole, Counter())[
            rows[site.id].status if site.id in rows else SiteStatus.NORMAL
        ] += 1
    return counts


def count_activities(
    reference: IndexedReference, rows: Mapping[str, c.ActivityRow]
) -> dict[str, Counter[ActivityState]]:
    """Return pôle → activities by state."""
    counts: dict[str, Counter[ActivityState]] = {}
    for one in reference.activities.values():
        counts.setdefault(one.pole, Counter())[
            rows[one.id].state if one.id in rows else ActivityState.NOMINAL
        ] += 1
    return counts


def compute_pole_levels(
    incidents: Iterable[IncidentRow], pole_of: Mapping[str, str]
) -> dict[str, LevelRow]:
    """Return pôle → its level above N0, with the reasons of the incident behind it.

    The level of a pôle is the highest of the open incidents with a report about one of its sites.
    It follows from them and is decided nowhere else. It rises at once with them, and falls only
    when a person lowers or closes the incident behind it, with a reason. `pole: multi` is no pôle.
    Rules D27, D29, D31.

    Among incidents of the same level, the one that reached it first counts. `incidents` are the
    open ones, `pole_of` maps site to pôle, and the id of a row is `pole:<id>`.
    """
    pole_levels: dict[str, LevelRow] = {}
    for incident in incidents:
        if not incident.level:
            continue
        why = _get_level_reasons(incident)
        since = why[-1].at if why and why[-1].at is not None else incident.opened_at
        for pole in {pole_of[site] for site in incident.members if site in pole_of} - {"multi"}:
            before = pole_levels.get(pole)
            if before is None or (incident.level, -since) > (before.level, -before.since):
                pole_levels[pole] = LevelRow(
                    id=f"pole:{pole}", level=incident.level, since=since, why=why
                )
    return pole_levels


def _get_level_reasons(incident: IncidentRow) -> tuple[Why, ...]:
    """Return the reasons of the incident's current level, without those of earlier levels."""
    return tuple(w for w in incident.why if w.args.get("level") == incident.level)


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
            raw = await self._client.mget([store.build_position_key(s, p) for s, p in places])
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
            raw = await self._client.mget(
                [store.build_position_key(s, partition) for s in SERVICES]
            )
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
