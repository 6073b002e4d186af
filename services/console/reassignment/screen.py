"""Page `/reaffectation`: proposals to reassign staff, and their orders. Rule D58."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fastapi import Request

from schemas.reassignment import ACTIVE_LINE_STATES, LineState, ProposalState
from services.console.i18n import N_
from services.console.read_model.queries import Queries
from services.console.reassignment import page as reassignment_page
from services.console.reassignment.agent_counts import describe_confinement, estimate_words
from services.console.reassignment.announcement_page import sum_announcements
from services.console.texts import words as w
from services.console.web.pages import WebPage
from services.console.web.screen_context import (
    LINE_LIMIT,
    build_page_context,
    find_unknown_value,
    load_screen_data,
)

WHOLE_PCT: Final = 100


async def build_reassignment_page(queries: Queries, request: Request) -> dict[str, Any]:
    """Build `reassignment.html`: proposals, their reasons, unmet needs, state of the orders.

    It shows counts, never names. Rule D58.
    """
    x = await load_screen_data(queries, request, PAGE.name)
    proposals, moved = await asyncio.gather(
        x.queries.proposals(),
        x.queries.reassignments(state=(*ACTIVE_LINE_STATES, LineState.VOID), limit=LINE_LIMIT),
    )
    asked = request.query_params.get("proposition")
    missing = find_unknown_value(request, "proposition", (p.id for p in proposals))
    chosen = next((p for p in proposals if p.id == asked), None) or next(
        (p for p in proposals if p.state is ProposalState.OPEN), None
    )
    shown = await x.queries.proposal(chosen.id) if chosen is not None else None
    calls = (
        (await x.queries.callouts(limit=LINE_LIMIT)).items
        if shown is not None and shown.decisions
        else []
    )
    estimated = frozenset(shown.estimated) if shown is not None else frozenset[str]()
    view = reassignment_page.build_reassignment_view(
        proposals,
        shown,
        moved.items,
        x.shell.reader.principal.scope.sites,
        x.shell.now,
        x.names,
        x._,
    )
    return {
        **build_page_context(request, x),
        "view": view,
        "facts": reassignment_page.list_quality_figures(shown, x._) if shown is not None else [],
        "announced": sum_announcements(shown, calls) if shown is not None else None,
        "not_there": missing
        and x._("Aucune proposition ne porte l’identifiant « {id} ».", id=missing),
        "preferences": reassignment_page.PREFERENCE_LABELS,
        "clocks": reassignment_page.list_next_limits(x.clocks),
        "waiting": sum(g.agents for g in (*view.vital, *view.own)),
        "who": lambda token: w.name_person(token, x.names, x._),
        "hit": sum(site.capacity_pct < WHOLE_PCT and site.confinement is None for site in x.sites),
        "confined": [
            (site, describe_confinement(site, x._))
            for site in x.sites
            if site.confinement is not None and site.id not in estimated
        ],
        "estimated": [
            (site, estimate_words(site, x._)) for site in x.sites if site.id in estimated
        ],
    }


PAGE: Final = WebPage(
    "reassignment",
    "/reaffectation",
    "reassignment.html",
    build_reassignment_page,
    N_("Réaffectation"),
)
