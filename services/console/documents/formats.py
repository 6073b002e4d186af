"""Document responses: stored JSON, PDF, plain text or one static HTML page. Rule D54."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import Query, Request
from fastapi.responses import Response
from markupsafe import Markup

from services.console.documents.document import Document
from services.console.documents.pdf import Typesetter
from services.console.documents.text import render_text
from services.console.web.shell import STATIC, DisplayChoice, render_html

DocumentFormat = Annotated[
    Literal["json", "pdf", "text", "html"],
    Query(alias="format", description="json: the bytes hashed in the log"),
]
DOCUMENT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "application/json": {},
            "application/pdf": {},
            "text/plain": {},
            "text/html": {},
        },
        "description": "the document",
    }
}
"""Response contents for the OpenAPI document."""


async def make_document_response(
    request: Request, document: Document, form: str, lang: str, *, name: str, stamp: str = ""
) -> Response:
    """Return a document in the requested form, with a file name for PDF and HTML."""
    typesetter: Typesetter = request.app.state.typesetter
    headers = {"Content-Language": lang}
    match form:
        case "pdf":
            body, kind = await typesetter.pdf(document, lang, stamp=stamp), "application/pdf"
            headers["Content-Disposition"] = f'inline; filename="{name}.pdf"'
        case "text":
            body, kind = (
                render_text(document, lang, stamp=stamp).encode(),
                "text/plain; charset=utf-8",
            )
        case "html":
            page = render_standalone_html(document, lang, typesetter.map_svg(document), stamp=stamp)
            headers |= {
                "Content-Security-Policy": page.policy,
                "Content-Disposition": f'inline; filename="{name}.html"',
            }
            body, kind = page.body, "text/html; charset=utf-8"
        case _:
            body, kind = document.frozen(), "application/json"
    return Response(body, 200, headers, kind)


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
    """Render the document with its map (`drawing`, an SVG) as one self-contained HTML file.

    It is meant for an intranet, a mail or a memory stick.
    """
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
