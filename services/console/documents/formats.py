"""Document responses: stored JSON, PDF, plain text or one static HTML page. Rule D54."""

from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from typing import Annotated, Any, Final, Literal, NamedTuple

from fastapi import Query, Request
from fastapi.responses import Response
from markupsafe import Markup

from services.console.documents.document import Document, DocumentLine, DocumentSection, Table
from services.console.documents.pdf import Typesetter
from services.console.exports.formats import EXERCISE_MARK
from services.console.i18n import get_translator
from services.console.web.shell import STATIC, DisplayChoice, render_html
from services.runtime.http.control_characters import replace_control_characters

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
WIDTH: Final = 100
_MARKS: Final = {"": "-", "unconfirmed": "?", "todo": "!", "late": "*", "remark": "+"}


def render_text(document: Document, lang: str, *, stamp: str = "") -> str:
    """Render the document in at most `WIDTH` columns; `stamp` is the proof text.

    Long words and tables may be wider.
    """
    sheet = document.sheet(lang)
    parts = [part for part in (_mark_exercise(document, lang), sheet.draft.upper()) if part]
    parts += [
        f"{sheet.title.upper()}  {sheet.badge} {sheet.badge_text}".rstrip(),
        sheet.subtitle,
        *_wrap_text(sheet.intro, "", ""),
        "",
    ]
    for section in sheet.sections:
        parts += [*_render_section(section), ""]
    parts.append(
        f"{sheet.sources_title}: " + " ".join(f"[{s.n}] {s.short}" for s in document.sources)
        if document.sources
        else ""
    )
    parts += [sheet.footer, stamp]
    return replace_control_characters(
        "\n".join(part for n, part in enumerate(parts) if part or n).rstrip() + "\n"
    )


def _mark_exercise(document: Document, lang: str) -> str:
    return get_translator(lang)("EXERCICE") if document.simulated else ""


def _render_section(section: DocumentSection) -> list[str]:
    head = section.title.upper() + (f"  ({section.aside})" if section.aside else "")
    text_lines = [head, "-" * min(len(head), WIDTH)]
    for line in section.lines:
        text_lines += _render_line(line)
    if section.table is not None:
        text_lines += _render_table(section.table)
    return text_lines


def _render_line(line: DocumentLine) -> list[str]:
    refs = f" [{', '.join(map(str, line.refs))}]" if line.refs else ""
    return _wrap_text(line.text + refs, f"{_MARKS[line.mark]} ", "  ")


def _render_table(table: Table) -> list[str]:
    rows: list[Sequence[str]] = [
        [c.title for c in table.columns],
        *(row.cells for row in table.rows),
    ]
    widths = [max(len(row[n]) for row in rows) for n in range(len(table.columns))]
    text_lines = []
    for row in rows:
        cells = [
            cell.rjust(w) if c.right else cell.ljust(w)
            for cell, w, c in zip(row, widths, table.columns, strict=True)
        ]
        text_lines.append("  ".join(cells).rstrip())
    text_lines.insert(1, "  ".join("-" * w for w in widths))
    return text_lines + (_wrap_text(table.note, "", "") if table.note else [])


def _wrap_text(text: str, first: str, other: str) -> list[str]:
    """Wrap at ordinary spaces only, so that no-break spaces stay with their words."""
    lines, current = [], first
    for word in text.split(" "):
        if len(current) + len(word) + 1 > WIDTH and current.strip():
            lines.append(current.rstrip())
            current = other
        current += ("" if current in (first, other) else " ") + word
    return [*lines, current.rstrip()]


async def make_document_response(
    request: Request, document: Document, form: str, lang: str, *, name: str, stamp: str = ""
) -> Response:
    """Return a document in the requested form, with a file name for PDF and HTML."""
    typesetter: Typesetter = request.app.state.typesetter
    headers = {"Content-Language": lang}
    name = f"{EXERCISE_MARK}{name}" if document.simulated else name
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
