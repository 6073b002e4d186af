"""Texts that every section uses."""

from __future__ import annotations

from services.console.documents.document import DocumentLine
from services.console.documents.facts import SitrepFacts
from services.console.logbook.facts.reassignment import SMALL_COUNT
from services.console.texts import words as w


def write_nothing_to_report(x: SitrepFacts) -> tuple[DocumentLine, ...]:
    return (DocumentLine(text=x._("Rien à signaler.")),)


def format_people(n: int, lang: str) -> str:
    """Return a count of people, without the exact figure if it is small. Rule D58."""
    return f"< {SMALL_COUNT}" if 0 < n < SMALL_COUNT else w.format_number(n, lang)
