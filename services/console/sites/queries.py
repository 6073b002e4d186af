"""Queries about sites, pôles, communes, levels and declarations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from schemas import alerts as a
from schemas import continuity as c
from schemas.alerts import IncidentRow, LevelRow, Why
from schemas.words import ActivityState, SiteStatus
from services.console import resources as r
from services.console.continuity.pole_capacity import NO_ACTIVITIES, compute_pole_capacities
from services.console.read_model.query_base import UNLIMITED, OpenedRealm, QueryBase, get_known
from services.console.read_model.reference_index import IndexedReference
from services.console.read_model.shapes import OPEN_STATES
from services.console.read_model.snapshot import RealmSnapshot, SnapshotMembers
from services.console.resources import Page
from services.console.sites.geometry import ATTRIBUTION, WIDTH
from services.runtime.http.pagination import paginate

REALMS_CACHED: Final = 50
"""Number of realms with cached levels of pôles."""


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
        """List the sites of the territory by id.

        `members_too` adds all reports and sources of each cause, which no page needs.
        """
        view = await self.read()
        rows = await view.picture.rows(a.SiteRow)
        members = await self._members(view.picture, incident) if incident is not None else None
        matching = [
            s
            for s in view.picture.reference.sites.values()
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
        view = await self.read()
        static = get_known(view.picture.reference.sites, id)
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
