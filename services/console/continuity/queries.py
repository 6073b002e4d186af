"""Queries about activities with their clocks, alarms, strategies, plans and triggers.

Plans with outdated foundations are marked. Rule D48, life of a plan.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from schemas import alerts as a
from schemas import continuity as c
from schemas import reassignment as g
from schemas import reference as ref
from schemas.base import DAY_MS, Instant
from schemas.crisis import contingency as k
from schemas.crisis.area_orders import AreaOrderRow
from schemas.oncall import ReachRow
from schemas.reference import collect_plan_contents
from schemas.topics import is_live, parse_realm
from schemas.words import ACTIVE_PLAN_STATES, CardState
from services.console import resources as r
from services.console.continuity.activation import foresee_activation
from services.console.continuity.fallbacks import RealmRows, find_collisions
from services.console.http.problems import RealmUnknown
from services.console.incidents.merging import match_incident
from services.console.read_model.query_base import (
    UNLIMITED,
    QueryBase,
    get_known,
    get_snapshot_time,
    page_by_id,
)
from services.console.read_model.reference_index import IndexedReference
from services.console.read_model.snapshot import RealmSnapshot
from services.console.resources import Page
from services.oncall.readiness import merge_reach
from services.oncall.schedule import get_local_day

MAX_BIA_YEARS: Final = 1
"""Greatest age of the business impact analysis, in years."""
MAX_DIRECTORY_DAYS: Final = 90
"""Greatest number of days without a verified channel in the directory."""


def list_outdated_foundations(
    reference: IndexedReference,
    reach_rows: Mapping[str, ReachRow],
    published_at: Instant | None,
    now: Instant,
) -> list[str]:
    """Return the outdated foundations of the plans: `bia`, `directory`.

    A foundation without a date is never outdated.
    """
    sections = reference.sections
    assessed_on = next((s.assessed_on for s in sections if isinstance(s, ref.Activities)), None)
    verification_times = [
        p.verified_at
        for points in merge_reach(reference.roster, published_at, reach_rows).values()
        for p in points
        if p.verified_at is not None
    ]
    foundations = []
    if assessed_on is not None and get_local_day(now) > _add_bia_years(assessed_on):
        foundations.append("bia")
    if verification_times and now - max(verification_times) > MAX_DIRECTORY_DAYS * DAY_MS:
        foundations.append("directory")
    return foundations


def _add_bia_years(day: date) -> date:
    try:
        return day.replace(year=day.year + MAX_BIA_YEARS)
    except ValueError:  # 29 February
        return date(day.year + MAX_BIA_YEARS, 3, 1)


class ContinuityQueries(QueryBase):
    async def activities(
        self,
        *,
        state: Sequence[str] = (),
        pole: str | None = None,
        criticality: int | None = None,
        incident: str | None = None,
        limit: int = UNLIMITED,
        cursor: str | None = None,
    ) -> Page[r.Activity]:
        """Return the activities by id; `criticality` is the greatest number to include."""
        view = await self.read()
        rows, local = (
            await view.picture.rows(c.ActivityRow),
            await read_local_clocks(view.picture),
        )
        items = [
            view.shape.activity(static, rows.get(static.id), local.get(static.id, ()))
            for static in view.picture.reference.activities.values()
        ]
        is_ours = await match_incident(view.picture, incident)
        matching_activities = [
            x
            for x in items
            if (not state or x.state in state)
            and (pole is None or x.pole == pole)
            and (criticality is None or x.criticality <= criticality)
            and is_ours(x.incident)
        ]
        return page_by_id(matching_activities, limit, cursor)

    async def activity(self, id: str) -> r.Activity:
        view = await self.read()
        static = get_known(view.picture.reference.activities, id)
        row, local = (
            await view.picture.row(c.ActivityRow, id),
            await read_local_clocks(view.picture),
        )
        return view.shape.activity(static, row, local.get(id, ()))

    async def alarms(self) -> list[r.Alarm]:
        """List alarms of clocks, newest first. Rule D44."""
        view = await self.read()
        rows = await view.picture.rows(c.AlarmRow)
        return [
            view.shape.alarm(row)
            for row in sorted(rows.values(), key=lambda row: (-row.raised_at, row.id))
        ]

    async def strategies(self) -> list[r.Strategy]:
        """List fallback strategies, current and ended, newest first. Rule D51."""
        view = await self.read()
        rows = await view.picture.rows(c.StrategyRow)
        return [
            view.shape.strategy(row)
            for row in sorted(rows.values(), key=lambda row: (-row.started_at, row.id))
        ]

    async def contingency(self) -> list[r.Contingency]:
        """List the rankings of losses of sites.

        Those from a current crisis come first, then those from a quiet day; N-1 before N-2, people
        before building. The planner ranks live realms only: a simulated realm shows the quiet day
        of the live one if both have the same reference version.
        """
        view = await self.read()
        rows = await view.picture.rows(k.ContingencyRow)
        quiet = (
            []
            if is_live(self._realm)
            else await self._quiet_rankings(view.picture.reference.version)
        )
        rankings = [
            *quiet,
            *(
                row
                for row in rows.values()
                if row.present is None or row.present.sites_hit or row.present.held
            ),
        ]
        return [
            view.shape.contingency(row)
            for row in sorted(
                rankings, key=lambda row: (row.present is None, row.n, row.lost != "people")
            )
        ]

    async def _quiet_rankings(self, version: str | None) -> list[k.ContingencyRow]:
        """Return the quiet-day rankings of the live realm for this reference version."""
        try:
            live = await self._picture(parse_realm(self._realm)[0], None)
        except RealmUnknown:
            return []
        return [
            row
            for row in (await live.rows(k.ContingencyRow)).values()
            if row.present is None and row.reference == version
        ]

    async def plans(
        self,
        *,
        state: Sequence[str] = (),
        incident: str | None = None,
        pole: str | None = None,
        limit: int = UNLIMITED,
        cursor: str | None = None,
    ) -> Page[r.Plan]:
        """Return the plans of the library by id, with their state in this realm."""
        view = await self.read()
        rows, old = await view.picture.rows(c.PlanRow), await _list_outdated(view.picture)
        items = [
            view.shape.plan(static, rows.get(static.id), old)
            for static in view.picture.reference.plans.values()
        ]
        is_ours = await match_incident(view.picture, incident)
        matching_plans = [
            p
            for p in items
            if (not state or p.state in state)
            and is_ours(p.incident)
            and (pole is None or p.pole == pole)
        ]
        return page_by_id(matching_plans, limit, cursor)

    async def plan(self, id: str) -> r.Plan:
        """Return one plan with its cards."""
        view = await self.read()
        static = get_known(view.picture.reference.plans, id)
        return view.shape.plan(
            static, await view.picture.row(c.PlanRow, id), await _list_outdated(view.picture)
        )

    async def plan_detail(self, id: str) -> r.PlanDetail:
        """Return one plan with its content, the progress of its cards, and its effects."""
        view = await self.read()
        picture = view.picture
        static = get_known(picture.reference.plans, id)
        row = await picture.row(c.PlanRow, id)
        cards = list_site_cards(await picture.rows(c.SiteCardRow), static, row)
        plan = view.shape.plan(static, row, await _list_outdated(picture))
        sites = await picture.rows(a.SiteRow)
        return view.shape.plan_detail(
            plan,
            collect_plan_contents(picture.reference.sections).get(id),
            cards,
            row,
            foresee_activation(static, picture.reference.sites.values(), sites),
        )

    async def site_cards(
        self,
        *,
        plan: str | None = None,
        card: str | None = None,
        sites: Sequence[str] = (),
        state: Sequence[str] = (),
        limit: int = UNLIMITED,
        cursor: str | None = None,
    ) -> Page[r.SiteCard]:
        """Return the cards of sites and persons of active plans, by id. Rule D84."""
        view = await self.read()
        rows = await view.picture.rows(c.SiteCardRow)
        plans = await view.picture.rows(c.PlanRow)
        places = frozenset(sites)
        matching_cards = [
            view.shape.site_card(plans.get(one.plan), one)
            for one in rows.values()
            if (plan is None or one.plan == plan)
            and (card is None or one.card == card)
            and (not places or one.site in places)
            and (not state or one.state in state)
            and _is_present(one, plans.get(one.plan), view.picture.reference.plans.get(one.plan))
        ]
        return page_by_id(matching_cards, limit, cursor)

    async def conflicts(self) -> list[r.PlanConflict]:
        """List possible plans that count on the fallback sites of another plan. Rule D51."""
        view = await self.read()
        read = view.picture.rows
        now = RealmRows(
            await read(a.SiteRow),
            await read(a.IncidentRow),
            await read(c.ActivityRow),
            await read(c.PlanRow),
            await read(c.StrategyRow),
            await read(g.ReassignmentRow),
            await read(AreaOrderRow),
        )
        return [view.shape.conflict(one) for one in find_collisions(view.picture.reference, now)]

    async def triggers(self) -> list[r.Trigger]:
        """List plan triggers that hold or held, by id."""
        view = await self.read()
        rows = await view.picture.rows(a.TriggerRow)
        return [view.shape.trigger(rows[id]) for id in sorted(rows)]


async def read_local_clocks(picture: RealmSnapshot) -> dict[str, list[c.LocalClockRow]]:
    """Return activity → its local clocks by site, without the expired ones."""
    now = picture.clock or 0
    local_clocks: dict[str, list[c.LocalClockRow]] = {}
    for _, row in sorted((await picture.rows(c.LocalClockRow)).items()):
        if row.same_until is None or row.same_until >= now:
            local_clocks.setdefault(row.activity, []).append(row)
    return local_clocks


async def _list_outdated(picture: RealmSnapshot) -> list[str]:
    return list_outdated_foundations(
        picture.reference,
        await picture.rows(ReachRow),
        picture.fields.get("reference_at"),
        get_snapshot_time(picture),
    )


def list_site_cards(
    rows: Mapping[str, c.SiteCardRow], plan: ref.Plan, row: c.PlanRow | None
) -> list[c.SiteCardRow]:
    """Return the site cards of the present life of a plan."""
    return [one for one in rows.values() if one.plan == plan.id and _is_present(one, row, plan)]


def _is_present(one: c.SiteCardRow, row: c.PlanRow | None, plan: ref.Plan | None) -> bool:
    """Check whether a site card belongs to the present life of its plan, and that is not over.

    Open cards of the return of a plan that is active as before ask for nothing (D48).
    """
    if row is None or row.life != one.life or row.state not in ACTIVE_PLAN_STATES:
        return False
    if one.state in (CardState.DONE, CardState.NOT_APPLICABLE):
        return True
    cards = plan.cards if plan is not None else ()
    return not any(card.id == one.card and row.is_at_rest(card.phase) for card in cards)
