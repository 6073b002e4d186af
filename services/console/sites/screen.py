"""Page `/sites`: every site of the territory, worst state first, or those in one state."""

from collections import Counter
from typing import Any, Final

from services.console.attention.cell_page import LEGEND_ORDER
from services.console.i18n import N_
from services.console.sites.map import WORST_FIRST
from services.console.web import search_screen
from services.console.web.screen_context import ScreenData, ScreenPage


async def build_sites_page(x: ScreenData) -> dict[str, Any]:
    """Build the values of the page; an unknown state chooses all."""
    search_query = x.request.query_params.get("q", "")[: search_screen.MAX_QUERY_LENGTH]
    matching = search_screen.find_sites(x.sites, search_query)
    counts = Counter(site.status for site in matching)
    chosen = next((one for one in LEGEND_ORDER if one == x.request.query_params.get("etat")), None)
    return {
        "q": search_query,
        "sites": sorted(
            (site for site in matching if chosen in (None, site.status)),
            key=lambda site: WORST_FIRST.index(site.status),  # of one state: by commune
        ),
        "states": [(one, counts[one]) for one in LEGEND_ORDER if counts[one] or one is chosen],
        "chosen": chosen,
        "matching": len(matching),
        "total": len(x.sites),
        "poles": x.names.pole_titles(x.reference.poles, x._),
    }


PAGE: Final = ScreenPage(
    "sites", "/sites", "sites/screen.html", build_sites_page, N_("Tous les sites"), after="search"
)
