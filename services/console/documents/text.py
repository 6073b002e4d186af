"""Document as plain text, for the préfecture, a radio or a terminal. Rules D54 and D56."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from services.console.documents.document import Document, DocumentLine, DocumentSection, Table
from services.console.i18n import get_translator
from services.runtime.http.control_characters import replace_control_characters

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
