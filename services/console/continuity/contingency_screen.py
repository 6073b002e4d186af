"""Page `/prevoyance`: the costliest losses of sites, ranked."""

from typing import Any, Final

from services.console.i18n import N_
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import name_strategy
from services.console.web.screen_context import ScreenData, ScreenPage

GAPS_SHOWN: Final = 4
"""Missing métiers shown in a line of a contingency ranking."""


async def build_contingency_page(x: ScreenData) -> dict[str, Any]:
    """Build the values of the page."""
    rankings = await x.queries.contingency()
    return {
        "rankings": rankings,
        "gaps_shown": GAPS_SHOWN,
        "kind_name": lambda kind: w.translate_code(world.KIND_ONE, kind, x._),
        "helps": lambda loss: sorted(
            {name_strategy(help, x._) for gap in loss.gaps for help in gap.outside_help}
        ),
    }


PAGE: Final = ScreenPage(
    "contingency", "/prevoyance", "contingency.html", build_contingency_page, N_("Prévoyance")
)
