"""Page `/mes-sites`: the sites in the scope of the account."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request

from schemas import reference as ref
from schemas.plans import PlanContent
from schemas.reassignment import ACTIVE_LINE_STATES
from schemas.words import TaskState
from services.console.actions import page as actions_page
from services.console.attention.next_step import build_site_step
from services.console.continuity import site_card_page
from services.console.continuity.card_rights import may_work_card_of
from services.console.i18n import N_
from services.console.read_model.queries import Queries
from services.console.resources import Plan, SiteCard
from services.console.sites import my_sites_page
from services.console.web.pages import WebPage
from services.console.web.screen_context import (
    LINE_LIMIT,
    ScreenData,
    build_page_context,
    load_action_lines,
    load_screen_data,
)


@dataclass(frozen=True, slots=True)
class OwnCards:
    """Cards of some sites, with the plans and contents behind them."""

    items: list[SiteCard]
    plans: dict[str, Plan]
    contents: dict[str, PlanContent]


async def build_my_sites_page(queries: Queries, request: Request) -> dict[str, Any]:
    """Build `my_sites.html`: the sites in the scope of the account."""
    x = await load_screen_data(queries, request, PAGE.name)
    tasks, moved = await asyncio.gather(
        x.queries.tasks(state=(TaskState.OPEN, TaskState.TAKEN)),
        x.queries.reassignments(state=ACTIVE_LINE_STATES, limit=LINE_LIMIT),
    )
    my_sites = my_sites_page.list_my_sites(
        x.shell.reader.principal.scope, x.sites, x.clocks, tasks.items, moved.items, x._
    )
    cards = await _load_site_cards(x, [m.site.id for m in my_sites])
    mine = site_card_page.group_my_cards(
        cards.items,
        cards.plans,
        cards.contents,
        x.reference,
        lambda role: may_work_card_of(x.shell.reader.principal, role),
    )
    my_sites.sort(key=lambda m: not (m.site.id in mine and mine[m.site.id].overdue))
    reports_by_site = await x.queries.reports_of_sites(
        [m.site.id for m in my_sites[: my_sites_page.SITES_SHOWN]]
    )
    receipts = {
        site: my_sites_page.build_receipts(reports, x.shell.overview.incidents)
        for site, reports in reports_by_site.items()
    }
    site_ids = {m.site.id for m in my_sites[: my_sites_page.SITES_SHOWN]}
    action_lines = await load_action_lines(x, own_sites=site_ids) if site_ids else []
    instructions = my_sites_page.instructions_of(await x.queries.instructions(site_ids, texts=True))
    return {
        **build_page_context(request, x),
        "receipts": receipts,
        "next_step": build_site_step(
            tasks.items,
            site_ids,
            x.shell.now,
            x._,
            cards.items,
            [line.action for line in action_lines],
        ),
        "cards": mine,
        "instructions": instructions,
        "actions": actions_page.map_open_by_site(action_lines),
        "answers_for": lambda site: my_sites_page.answers_for(x.shell.reader.principal.scope, site),
        "sites": my_sites[: my_sites_page.SITES_SHOWN],
        "total": len(my_sites),
        "touched": my_sites_page.count_abnormal_sites(my_sites),
        "quick": my_sites_page.QUICK_TROUBLES,
    }


async def _load_site_cards(x: ScreenData, sites: list[str]) -> OwnCards:
    """Return the cards of these sites, with their plans and contents; none without sites."""
    if not sites:
        return OwnCards([], {}, {})
    site_cards, plans = await asyncio.gather(x.queries.site_cards(sites=sites), x.queries.plans())
    contents = ref.collect_plan_contents(x.reference.sections) if site_cards.items else {}
    return OwnCards(site_cards.items, {p.id: p for p in plans.items}, contents)


PAGE: Final = WebPage("mine", "/mes-sites", "my_sites.html", build_my_sites_page, N_("Mes sites"))
