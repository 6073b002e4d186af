"""Page `/moyens`: the board of resource requests. Rule D88."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fastapi import Request

from schemas.crisis.resource_requests import RequestPriority
from services.console.i18n import N_
from services.console.logistics.api import may_read_words
from services.console.logistics.page import build_columns, group_stocks, list_ended
from services.console.read_model.queries import Queries
from services.console.texts.names import shorten_site_name
from services.console.web.pages import WebPage
from services.console.web.screen_context import (
    build_page_context,
    list_site_choices,
    load_screen_data,
)


async def build_resources_page(queries: Queries, request: Request) -> dict[str, Any]:
    """Build the values of the page: requests by state, stocks, the form of a request."""
    x = await load_screen_data(queries, request, PAGE.name)
    lang = x.shell.lang
    principal = x.shell.reader.principal
    requests, stocks = await asyncio.gather(
        x.queries.resource_requests(with_text=may_read_words(principal), with_suggestions=True),
        x.queries.stocks(),
    )
    scope = principal.scope
    mine = [
        site
        for site in x.sites
        if (not scope.sites or site.id in scope.sites)
        and (not scope.poles or site.pole in scope.poles)
    ]
    names = x.names
    return {
        **build_page_context(request, x),
        "columns": build_columns(requests, x._),
        "ended": list_ended(requests),
        "stocks": group_stocks(stocks),
        "kinds": [(id, names.resource(id, 2, lang)) for id in names.resource_kinds],
        "people_kinds": [id for id, kind in names.resource_kinds.items() if kind.by_metier],
        "metiers": sorted(
            ((id, names.metier(id, lang)) for id in names.metiers), key=lambda one: one[1]
        ),
        "priorities": list(RequestPriority),
        "places": list_site_choices(mine),
        "asked_place": next(
            (
                (site.id, shorten_site_name(site.name))
                for site in mine
                if site.id == request.query_params.get("site")
            ),
            None,
        ),
    }


PAGE: Final = WebPage(
    "resources",
    "/moyens",
    "logistics/screen.html",
    build_resources_page,
    N_("Moyens"),
    after="reassignment",
)
