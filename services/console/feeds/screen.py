"""Page `/flux`: the official feeds, their age and their last word. Rule D120."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from fastapi import Request

from services.console.feeds.listing import list_feeds
from services.console.feeds.page import build_feed_lines
from services.console.feeds.status_file import read_feeds
from services.console.i18n import N_
from services.console.read_model.queries import Queries
from services.console.web.access import require_reader
from services.console.web.pages import WebPage
from services.console.web.screen_context import build_page_context, load_screen_data
from services.runtime.identity.permissions import Permission


async def build_feeds_page(queries: Queries, request: Request) -> dict[str, Any]:
    """Build the values of the page."""
    require_reader(request, Permission.LOG_READ)
    x = await load_screen_data(queries, request, PAGE.name)
    now = datetime.now(UTC)
    feed_list = list_feeds(read_feeds(request.app.state.feed_status, now), now)
    return {
        **build_page_context(request, x),
        "lines": build_feed_lines(feed_list, now, x._),
        "samples": feed_list.samples,
    }


PAGE: Final = WebPage(
    "feeds",
    "/flux",
    "feeds/screen.html",
    build_feeds_page,
    N_("Flux officiels"),
    after="sources",
    needs=Permission.LOG_READ,
    cached=False,  # it changes without a fact on any log
    past=False,
)
