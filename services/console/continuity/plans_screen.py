"""Page `/plans`: the library of plans and open decisions. Rules D48 to D52."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, Final

from fastapi import Request

from schemas.words import ACTIVE_PLAN_STATES, LIBRARY_STATES, PlanState, SiteStatus
from services.console.continuity import strategies
from services.console.continuity.arbitrations import list_arbitrations
from services.console.hazards.page import PLAN_SITES, build_hazard_views
from services.console.i18n import N_
from services.console.incidents import page as incidents_page
from services.console.proof.reading import read_plan_proofs
from services.console.read_model.queries import Queries
from services.console.resources import Site
from services.console.texts import words as w
from services.console.web import times
from services.console.web.pages import WebPage
from services.console.web.screen_context import (
    build_page_context,
    list_site_choices,
    load_screen_data,
)


async def build_plans_page(queries: Queries, request: Request) -> dict[str, Any]:
    """Build `plans.html`: the library, open decisions, and the end of active plans.

    Rules D48–D52.
    """
    x = await load_screen_data(queries, request, PAGE.name)
    realm, lang = x.shell.realm.name, x.shell.lang
    plans, conflicts, tried, alarms = await asyncio.gather(
        x.queries.plans(), x.queries.conflicts(), x.queries.strategies(), x.queries.alarms()
    )
    library_plans = plans.items
    triggers = await x.queries.triggers()
    proofs = await read_plan_proofs(request, x.queries, realm, x._)
    lines = incidents_page.list_plans(library_plans, x.shell.now, x.names, lang, x._, triggers)
    return {
        **build_page_context(request, x),
        "plans": lines,
        "proofs": proofs,
        "proof_of": {proof.id: proof for proof in proofs.items},
        "conflicts": incidents_page.map_conflicts(conflicts),
        "to_decide": sum(p.to_decide for p in lines),
        "arbitrations": list_arbitrations(alarms, x.activities, x.shell.now, x._),
        "cards": incidents_page.list_plan_cards(library_plans, x.shell.now, x.names, x._),
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
        "strategies": strategies.list_active_strategies(tried, x.names, x._),
        "hazards": build_hazard_views(
            (await x.queries.hazards()).items, x.names, x.shell.now, x._, limit=PLAN_SITES
        ),
        "next_ones": strategies.list_next_strategies(x.activities, x._),
        "places": list_site_choices(s for s in x.sites if _can_host(s)),
        "other_places": list_site_choices(s for s in x.sites if not _can_host(s)),
        "in_an_hour": times.minute_value(x.shell.now + timedelta(hours=1)),
        "who": lambda token: w.name_person(token, x.names, x._),
    }


def _can_host(site: Site) -> bool:
    """Return whether a site can be suggested to staff of another site."""
    return site.status is SiteStatus.NORMAL and site.desks > 0


PAGE: Final = WebPage("plans", "/plans", "plans.html", build_plans_page, N_("Plans"))
