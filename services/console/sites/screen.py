"""Page `/sites`: every site of the territory, by commune."""

from typing import Any, Final

from services.console.i18n import N_
from services.console.web import search_screen
from services.console.web.screen_context import ScreenData, ScreenPage


async def build_sites_page(x: ScreenData) -> dict[str, Any]:
    """Build the values of the page."""
    search_query = x.request.query_params.get("q", "")[: search_screen.MAX_QUERY_LENGTH]
    return {
        "q": search_query,
        "sites": search_screen.find_sites(x.sites, search_query),
        "total": len(x.sites),
        "poles": x.names.pole_titles(x.reference.poles, x._),
    }


PAGE: Final = ScreenPage(
    "sites", "/sites", "sites/screen.html", build_sites_page, N_("Tous les sites"), after="search"
)
