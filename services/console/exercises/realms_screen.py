"""Page `/realms`: the live realm and exercises."""

import re
from typing import Any, Final

from services.console.i18n import N_
from services.console.web import times
from services.console.web.screen_context import ScreenData, ScreenPage

REALMS_SHOWN: Final = 20
"""Realms on one page of the list."""


async def build_realms_page(x: ScreenData) -> dict[str, Any]:
    """Build `realms.html`; page 1 has the live realms and the newest."""
    pages = max(1, -(-len(x.shell.realms) // REALMS_SHOWN))
    page = min(_parse_page(x.request.query_params.get("page", "")), pages)
    rows = []
    for realm in x.shell.realms[(page - 1) * REALMS_SHOWN : page * REALMS_SHOWN]:
        overview = await x.queries.of(realm.name, x.shell.lang).overview()
        rows.append(
            {
                "realm": realm,
                "level": overview.level.level,
                "incidents": overview.counts["incidents_open"],
            }
        )
    start = times.to_paris(x.shell.overview.server_time).strftime("%Y-%m-%dT%H:%M")
    return {"rows": rows, "page": page, "pages": pages, "start_value": start}


def _parse_page(text: str) -> int:
    """Parse a page number from 1; anything else gives 1."""
    return max(1, int(text)) if re.fullmatch("[0-9]{1,6}", text) else 1


PAGE: Final = ScreenPage("realms", "/realms", "realms.html", build_realms_page, N_("Exercices"))
