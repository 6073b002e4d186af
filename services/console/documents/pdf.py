"""Documents as PDF/UA: tagged, with embedded fonts, without network access.

Typesetting runs in a thread; the compiler releases the interpreter lock. The same document gives
the same bytes, because its date is `as_of`: a frozen document can be typeset again and compared.
"""

import asyncio
from collections import OrderedDict
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import orjson
import structlog
import typst

from services.console.documents.document import Document, MapSite
from services.console.sites.geometry import Outlines
from services.runtime.http.control_characters import replace_control_characters

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
TEMPLATE_FOLDER: Final = Path(__file__).parent
DOCUMENTS_CACHED: Final = 32
log = structlog.get_logger(__name__)


@cache
def _load_fonts() -> typst.Fonts:
    """Return the product's font, with the compiler's own fonts for missing letters."""
    return typst.Fonts(
        include_system_fonts=False,
        include_embedded_fonts=True,
        font_paths=[TEMPLATE_FOLDER / "fonts"],
    )


@cache
def _load_template() -> bytes:
    return (TEMPLATE_FOLDER / "document.typ").read_bytes()


class Typesetter:
    """PDFs of one territory; a cache keeps the last `DOCUMENTS_CACHED` by content hash."""

    def __init__(self, outlines: Outlines) -> None:
        self._outlines = outlines
        self._kept: OrderedDict[str, asyncio.Task[bytes]] = OrderedDict()

    def map_svg(self, document: Document) -> str:
        """Draw the document's map; return an empty string if it has none."""
        return draw_map(document, self._outlines) if document.kind == "sitrep" else ""

    async def pdf(self, document: Document, lang: str, *, stamp: str = "") -> bytes:
        """Render the document in one language; `stamp` is the proof text of a frozen one."""
        content = _build_content(document, lang, stamp, self.map_svg(document))
        key = sha256(orjson.dumps(content) + _load_template()).hexdigest()
        task = self._kept.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._kept[key] = asyncio.create_task(
                asyncio.to_thread(typeset_own_template, content, document.as_of)
            )
            while len(self._kept) > DOCUMENTS_CACHED:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return await asyncio.shield(task)


def typeset_own_template(content: dict[str, Any], as_of: int) -> bytes:
    """Compile a document of this folder to PDF; `as_of` is in ms.

    The date of a PDF has whole seconds, and the compiler refuses any other.
    """
    return typeset(_load_template(), content, datetime.fromtimestamp(as_of // 1000, UTC))


def typeset(template: bytes, content: dict[str, Any], at: datetime) -> bytes:
    """Compile a template to PDF/UA-1; `at` has whole seconds.

    The texts of `content` stay texts: no sign in them is markup, and invisible ones are shown. A
    letter that no font has makes PDF/UA impossible. The result is then a tagged PDF without that
    claim, and a warning is logged.
    """
    inputs = {"data": orjson.dumps(_show_controls(content)).decode()}
    try:
        return _compile_pdf(template, inputs, at, "ua-1")
    except typst.TypstError as error:
        log.warning("document.not_accessible", error=error.message)
        return _compile_pdf(template, inputs, at, "1.7")


def _show_controls(content: Any) -> Any:
    match content:
        case str():
            return replace_control_characters(content)
        case dict():
            return {key: _show_controls(value) for key, value in content.items()}
        case list() | tuple():
            return [_show_controls(value) for value in content]
        case _:
            return content


def _compile_pdf(
    template: bytes, inputs: dict[str, str], at: datetime, standard: "typst.PDFStandard"
) -> bytes:
    output = typst.compile(
        template,
        format="pdf",
        pdf_standards=[standard],
        sys_inputs=inputs,
        font_paths=_load_fonts(),
        timestamp=at,
    )
    assert isinstance(output, bytes)
    return output


def _build_content(document: Document, lang: str, stamp: str, drawing: str) -> dict[str, Any]:
    sheet = document.sheet(lang)
    return {
        "lang": lang,
        "level": document.level,
        "simulated": document.simulated,
        "stamp": stamp,
        "map": drawing,
        "sources": [[s.n, s.short] for s in document.sources],
        **sheet.model_dump(),
    }


def draw_map(document: Document, outlines: Outlines) -> str:
    """Draw the territory with one shape per site that is not normal, the gravest on top.

    The colours are fixed: paper has one theme, and all forms look the same.
    """
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
