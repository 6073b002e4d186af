"""Page `/appareil`: how this device is called."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Request

from services.console.i18n import N_
from services.console.read_model.queries import Queries
from services.console.web.access import require_reader
from services.console.web.pages import WebPage
from services.console.web.screen_context import build_page_context, load_screen_data
from services.runtime.identity.permissions import Permission


async def build_device_page(queries: Queries, request: Request) -> dict[str, Any]:
    """Build `device.html`.

    Raises ProblemError `forbidden` for readers that are never called: they have no device.
    """
    require_reader(request, Permission.INCIDENT_ACKNOWLEDGE)
    return build_page_context(request, await load_screen_data(queries, request, PAGE.name))


PAGE: Final = WebPage(
    "device",
    "/appareil",
    "device.html",
    build_device_page,
    N_("Cet appareil"),
    needs=Permission.INCIDENT_ACKNOWLEDGE,
)
