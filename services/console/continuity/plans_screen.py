"""Page `/plans`: the library of plans and open decisions. Rules D48 to D52."""

import asyncio
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from schemas.reassignment import ProposalState
from schemas.reference import Staffing
from schemas.words import ACTIVE_PLAN_STATES, LIBRARY_STATES, ActivityState, PlanState, SiteStatus
from services.console.continuity.arbitrations import list_arbitrations
from services.console.continuity.nearby_places import NearbyPlace, list_nearby_places
from services.console.continuity.plan_rights import build_card_right
from services.console.hazards.page import PLAN_SITES, build_hazard_views
from services.console.i18n import N_, Translator
from services.console.incidents import page as incidents_page
from services.console.proof.api import read_plan_proofs
from services.console.resources import Activity, Site, Strategy
from services.console.texts import words as w
from services.console.texts.names import (
    SITE_STRATEGY,
    TerritoryNames,
    name_strategy,
    shorten_activity_name,
    shorten_site_name,
)
from services.console.web import times
from services.console.web.screen_context import ScreenData, ScreenPage, list_site_choices

ACTIVITIES_SHOWN: Final = 12
"""Number of waiting activities on the page; the page of activities has the others."""
_LOST_STATUSES: Final = (SiteStatus.CLOSED, SiteStatus.EVACUATED, SiteStatus.SHELTERING)
_AFFECTED_STATES: Final = (ActivityState.INTERRUPTED, ActivityState.DEGRADED)


@dataclass(frozen=True, slots=True)
class ActiveStrategy:
    id: str
    activity: str
    title: str
    """Short name of the activity."""
    name: str
    """Name of the strategy."""
    expected_pct: float
    place: str
    is_barred: bool
    """True if nobody is sent to the place: an order stands there, or for its area."""
    desks: int | None
    since: datetime


@dataclass(frozen=True, slots=True)
class NextStrategy:
    """A strategy that an activity could try now."""

    activity: str
    title: str
    strategy: str
    name: str
    capacity_pct: float
    mbco_pct: float
    moves: bool
    """True if the strategy needs a site."""
    nearby: tuple[str, ...] = ()
    """The nearest sites for it, with travel and CO2."""


def list_active_strategies(
    strategies: Iterable[Strategy],
    barred_sites: Container[str],
    names: TerritoryNames,
    _: Translator,
) -> list[ActiveStrategy]:
    """List the strategies in effect: those that lead to a barred site, then the newest."""
    active_strategies = [
        ActiveStrategy(
            s.id,
            s.activity,
            names.activity_short(s.activity, _.lang),
            name_strategy(s.strategy, _),
            s.expected_capacity_pct,
            shorten_site_name(names.site(s.site)) if s.site else "",
            s.site is not None and s.site in barred_sites,
            s.desks,
            s.started_at,
        )
        for s in strategies
        if s.state == "active"
    ]
    return sorted(active_strategies, key=lambda s: not s.is_barred)


def list_next_strategies(activities: Iterable[Activity], _: Translator) -> list[NextStrategy]:
    """List the strategies to try next: most critical activity first.

    Among equals, those of vulnerable people come first (D82), then the largest shortfall.
    """
    hit = [a for a in activities if a.state in _AFFECTED_STATES and a.next_strategy]
    hit.sort(key=lambda a: (a.criticality, -a.vulnerable_public, a.capacity_pct - a.mbco_pct, a.id))
    return [
        NextStrategy(
            a.id,
            a.short_name or shorten_activity_name(a.name),
            str(a.next_strategy),
            name_strategy(str(a.next_strategy), _),
            a.capacity_pct,
            a.mbco_pct,
            str(a.next_strategy).startswith(SITE_STRATEGY),
        )
        for a in hit[:ACTIVITIES_SHOWN]
    ]


async def _add_nearby_places(
    x: ScreenData, strategies: list[NextStrategy], hosts: Sequence[Site]
) -> list[NextStrategy]:
    """Add the nearest sites to the strategies that need one. Rule D61."""
    staffing = next((s for s in x.reference.sections if isinstance(s, Staffing)), None)
    if staffing is None or not any(one.moves for one in strategies):
        return strategies
    proposals = await x.queries.proposals(state=(ProposalState.OPEN,))
    lost_sites = {site.id for site in x.sites if site.status in _LOST_STATUSES}
    return [
        replace(
            one,
            nearby=tuple(
                _describe_nearby_place(place, x)
                for place in list_nearby_places(
                    one.activity,
                    staffing,
                    x.reference.sites,
                    lost_sites,
                    _select_hosts(one.strategy, hosts),
                    transit=all(proposal.transit for proposal in proposals),
                )
            ),
        )
        if one.moves
        else one
        for one in strategies
    ]


def _select_hosts(strategy: str, hosts: Sequence[Site]) -> list[str]:
    """Return the hosts of the kinds that a strategy names, else all."""
    kinds = {kind.strip() for kind in strategy.partition(":")[2].split("|")}
    return [site.id for site in hosts if site.kind in kinds] or [site.id for site in hosts]


def _describe_nearby_place(place: NearbyPlace, x: ScreenData) -> str:
    return x._(
        "{site}, {commune} : {n} min, {kg} kg de CO₂",
        site=shorten_site_name(x.names.site(place.site)),
        commune=x.reference.sites[place.site].commune_name,
        n=place.minutes,
        kg=w.format_number(place.kg, x.shell.lang),
    )


async def build_plans_page(x: ScreenData) -> dict[str, Any]:
    """Build `plans.html`: the library, open decisions, and the end of active plans.

    Rules D48–D52.
    """
    realm, lang = x.shell.realm.name, x.shell.lang
    plans, conflicts, strategies, alarms = await asyncio.gather(
        x.queries.plans(), x.queries.conflicts(), x.queries.strategies(), x.queries.alarms()
    )
    library_plans = plans.items
    triggers, barred_sites = await asyncio.gather(x.queries.triggers(), x.queries.barred_sites())
    proofs = await read_plan_proofs(x.request, x.queries, realm, x._)
    lines = incidents_page.list_plans(library_plans, x.shell.now, x.names, lang, x._, triggers)
    hosts = [s for s in x.sites if _can_host(s, barred_sites)]
    next_strategies = list_next_strategies(x.activities, x._)
    return {
        "plans": lines,
        "proofs": proofs,
        "proof_of": {proof.id: proof for proof in proofs.items},
        "conflicts": incidents_page.map_conflicts(conflicts),
        "to_decide": sum(p.to_decide for p in lines),
        "arbitrations": list_arbitrations(alarms, x.activities, x.shell.now, x._),
        "cards": incidents_page.list_plan_cards(
            library_plans,
            x.shell.now,
            x.names,
            x._,
            works=build_card_right(x.shell.reader.principal, x.reference),
        ),
        "active": [p for p in library_plans if p.state in ACTIVE_PLAN_STATES],
        "reserve": [
            {
                "id": p.id,
                "title": p.title,
                "version": p.version,
                "decides": w.name_role(p.decides, p.pole, x.names, x._),
            }
            for p in library_plans
            if p.state is PlanState.VALID
        ],
        "not_valid": [
            (p.id, p.title, w.translate_code(w.PLAN_STATE, p.state, x._))
            for p in library_plans
            if p.state in LIBRARY_STATES and p.state is not PlanState.VALID
        ],
        "stale": [
            w.translate_code(w.OUTDATED, code, x._)
            for code in (library_plans[0].stale if library_plans else ())
        ],
        "strategies": list_active_strategies(strategies, barred_sites, x.names, x._),
        "hazards": build_hazard_views(
            (await x.queries.hazards()).items, x.names, x.shell.now, x._, limit=PLAN_SITES
        ),
        "next_ones": await _add_nearby_places(x, next_strategies, hosts),
        "places": list_site_choices(hosts),
        "other_places": list_site_choices(s for s in x.sites if not _can_host(s, barred_sites)),
        "in_an_hour": times.format_minute(x.shell.now + timedelta(hours=1)),
        "who": lambda token: w.name_person(token, x.names, x._),
    }


def _can_host(site: Site, barred_sites: Container[str]) -> bool:
    """Return whether a site can be suggested to staff of another site."""
    is_open = site.status is SiteStatus.NORMAL and site.id not in barred_sites
    return is_open and site.desks > 0


PAGE: Final = ScreenPage("plans", "/plans", "plans.html", build_plans_page, N_("Plans"))
