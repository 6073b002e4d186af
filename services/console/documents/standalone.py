"""Document as one self-contained HTML file, for an intranet, a mail or a memory stick."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from typing import NamedTuple

from markupsafe import Markup

from services.console.documents.document import Document
from services.console.web.shell import STATIC, DisplayChoice, render_html


class StandalonePage(NamedTuple):
    body: bytes
    policy: str
    """Content security policy that allows only the file's own style, by hash."""


@cache
def _load_style() -> tuple[str, str]:
    style = (STATIC / "css" / "document.css").read_text(encoding="utf-8")
    return style, b64encode(sha256(style.encode()).digest()).decode()


def render_standalone_html(
    document: Document, lang: str, drawing: str, *, stamp: str = ""
) -> StandalonePage:
    """Render the document with its map (`drawing`, an SVG)."""
    style, digest = _load_style()
    context = {
        "document": document,
        "sheet": document.sheet(lang),
        "drawing": Markup(drawing),  # noqa: S704  our own drawing
        "stamp": stamp,
        "style": Markup(f"<style>{style}</style>"),  # noqa: S704  our own file
    }
    body = render_html("standalone.html", context, DisplayChoice(lang, None))
    return StandalonePage(
        body,
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    )
