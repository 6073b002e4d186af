"""Page `/sites`: every site of the territory, by commune."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Request

from services.console.i18n import N_
from services.console.read_model.queries import Queries
from services.console.web import search_screen
from services.console.web.pages import WebPage
from services.console.web.screen_context import build_page_context, load_screen_data


async def build_sites_page(queries: Queries, request: Request) -> dict[str, Any]:
    """Build the values of the page."""
    x = await load_screen_data(queries, request, PAGE.name)
    search_query = request.query_params.get("q", "")[: search_screen.MAX_QUERY_LENGTH]
    return {
        **build_page_context(request, x),
        "q": search_query,
        "sites": search_screen.find_sites(x.sites, search_query),
        "total": len(x.sites),
        "poles": x.names.pole_titles(x.reference.poles, x._),
    }


PAGE: Final = WebPage(
    "sites", "/sites", "sites/screen.html", build_sites_page, N_("Tous les sites"), after="search"
)
