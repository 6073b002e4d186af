"""Document responses: stored JSON, PDF, plain text or one static HTML page. Rule D54."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query, Request
from fastapi.responses import Response

from services.console.documents.document import Document
from services.console.documents.pdf import Typesetter
from services.console.documents.standalone import render_standalone_html
from services.console.documents.text import render_text

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
