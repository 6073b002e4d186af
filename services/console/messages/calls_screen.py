"""Page `/appels`: call-outs and headcounts, as counts. Rules D37 and D58."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Request

from services.console.i18n import N_
from services.console.messages import page as calls
from services.console.read_model.queries import Queries
from services.console.texts import words as w
from services.console.web.access import require_reader
from services.console.web.pages import WebPage
from services.console.web.screen_context import (
    build_page_context,
    list_site_choices,
    load_callouts,
    load_screen_data,
)
from services.runtime.identity.permissions import Permission


async def build_calls_page(queries: Queries, request: Request) -> dict[str, Any]:
    """Build `calls.html`: call-outs and headcounts, as counts. Rules D37 and D58.

    Raises ProblemError `forbidden`.
    """
    require_reader(request, Permission.LOG_READ)
    x = await load_screen_data(queries, request, PAGE.name)
    lines = await load_callouts(x)
    over = sorted((c for c in lines if c.is_over), key=lambda c: c.callout.drafted_at, reverse=True)
    return {
        **build_page_context(request, x),
        "going": [c for c in lines if not c.is_over],
        "over": over[: calls.ENDED_SHOWN],
        "over_count": len(over),
        "sites": list_site_choices(x.sites),
        "channels": calls.CHANNELS,
        "person": lambda token: w.name_person(token, x.names, x._),
    }


PAGE: Final = WebPage(
    "calls",
    "/appels",
    "calls.html",
    build_calls_page,
    N_("Appels et recensements"),
    needs=Permission.LOG_READ,
)
