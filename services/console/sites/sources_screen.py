"""Page `/sources`: sources and their signs of life."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Request

from services.console.i18n import N_
from services.console.read_model.queries import Queries
from services.console.sites.source_status import SourceClient
from services.console.sites.sources_page import list_source_lines
from services.console.web.access import require_reader
from services.console.web.pages import WebPage
from services.console.web.screen_context import build_page_context, load_screen_data
from services.runtime.identity.permissions import Permission


async def build_sources_page(queries: Queries, request: Request) -> dict[str, Any]:
    """Build the values of the page."""
    require_reader(request, Permission.LOG_READ)
    x = await load_screen_data(queries, request, PAGE.name)
    listed: SourceClient = request.app.state.sources
    items = await listed.of(request)
    return {
        **build_page_context(request, x),
        "lines": None if items is None else list_source_lines(items, x.names, x._),
    }


PAGE: Final = WebPage(
    "sources",
    "/sources",
    "sources.html",
    build_sources_page,
    N_("Sources"),
    needs=Permission.LOG_READ,
    cached=False,
    past=False,  # it changes without a fact on any log
)
