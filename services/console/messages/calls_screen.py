"""Page `/appels`: call-outs and headcounts, as counts. Rules D37 and D58."""

from typing import Any, Final

from services.console.i18n import N_
from services.console.messages import page as calls
from services.console.texts import words as w
from services.console.web.screen_context import (
    ScreenData,
    ScreenPage,
    list_site_choices,
    load_callouts,
)
from services.runtime.identity.permissions import Permission


async def build_calls_page(x: ScreenData) -> dict[str, Any]:
    """Build `calls.html`: call-outs and headcounts, as counts. Rules D37 and D58."""
    lines = await load_callouts(x)
    over = sorted((c for c in lines if c.is_over), key=lambda c: c.callout.drafted_at, reverse=True)
    own = [site for site in x.sites if x.shell.reader.covers(site)]
    own_ids = {site.id for site in own}
    return {
        "decides_for": lambda ids: x.shell.reader.whole or (bool(ids) and own_ids.issuperset(ids)),
        "going": [c for c in lines if not c.is_over],
        "over": over[: calls.ENDED_SHOWN],
        "over_count": len(over),
        "sites": list_site_choices(own),
        "channels": calls.CHANNELS,
        "person": lambda token: w.name_person(token, x.names, x._),
    }


PAGE: Final = ScreenPage(
    "calls",
    "/appels",
    "calls.html",
    build_calls_page,
    N_("Appels et recensements"),
    needs=Permission.LOG_READ,
)
