"""Map of a document, in fixed colours: paper has one theme, and all forms look the same."""

from __future__ import annotations

from typing import Final

from services.console.documents.document import Document, MapSite
from services.console.sites.geometry import Outlines

_SHAPES: Final = {
    "closed": "M-7-7h14v14h-14Z",
    "evacuated": "M0-10 10 0 0 10-10 0Z",
    "sheltering": "M0-9 9-1V9H-9V-1Z",
    "degraded": "M0-8 9 8H-9Z",
    "unknown": "M-8 0a8 8 0 1 0 16 0a8 8 0 1 0-16 0Z",
}
_COLOURS: Final = {
    "closed": "#1b2733",
    "evacuated": "#b3122a",
    "sheltering": "#6a3aa6",
    "degraded": "#a04e00",
    "unknown": "#4b6a86",
}


def draw_map(document: Document, outlines: Outlines) -> str:
    """Draw the territory with one shape per site that is not normal, the gravest on top."""
    height = outlines.plane.height
    areas = "".join(
        f'<path d="{path}" fill="{"#f3dcc0" if insee in document.hit else "#e6ebf0"}" stroke="#6d7c89" stroke-width="1.4"/>'
        for insee, path in outlines.paths.items()
    )
    order = ("normal", "degraded", "unknown", "closed", "sheltering", "evacuated")
    spots = "".join(
        _draw_site(spot) for spot in sorted(document.spots, key=lambda s: order.index(s.status))
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 {height:g}">{areas}{spots}</svg>'


def _draw_site(spot: MapSite) -> str:
    ink = _COLOURS[spot.status]
    fill = "#ffffff" if spot.status == "unknown" else ink
    dash = ' stroke-dasharray="5 3"' if spot.status == "unknown" else ""
    return f'<path transform="translate({spot.x:g} {spot.y:g}) scale(1.35)" d="{_SHAPES[spot.status]}" fill="{fill}" stroke="{ink}" stroke-width="2"{dash}/>'
