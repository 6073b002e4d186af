"""Page `/recherche`: search in sites, incidents, lines and people."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Request

from services.console.i18n import N_
from services.console.logbook.line_list import build_entries
from services.console.read_model.queries import Queries
from services.console.web import search as web_search
from services.console.web.pages import WebPage
from services.console.web.screen_context import (
    LINE_LIMIT,
    build_page_context,
    load_lines,
    load_screen_data,
)
from services.runtime.identity.permissions import Permission


async def build_search_page(queries: Queries, request: Request) -> dict[str, Any]:
    """Build `search.html`: the sites, incidents, lines and people that the reader may see."""
    x = await load_screen_data(queries, request, PAGE.name)
    search_query = request.query_params.get("q", "").strip()[: web_search.MAX_QUERY_LENGTH]
    incidents = (await x.queries.incidents(limit=LINE_LIMIT)).items if search_query else []
    lines = await load_lines(x, kinds=("all",), limit=LINE_LIMIT) if search_query else []
    may_read_log = x.shell.reader.may(Permission.LOG_READ)
    return {
        **build_page_context(request, x),
        "q": search_query,
        "sites": web_search.find_sites(x.sites, search_query)[: web_search.RESULTS_SHOWN]
        if search_query
        else [],
        "incidents": web_search.find_incidents(incidents, search_query, x._),
        "people": web_search.find_people(x.names, search_query, x._) if may_read_log else [],
        "entries": build_entries(
            web_search.find_lines(lines, search_query), x.names, x._, web_search.RESULTS_SHOWN
        ),
        "may_read_log": may_read_log,
    }


PAGE: Final = WebPage("search", "/recherche", "search.html", build_search_page, N_("Rechercher"))
