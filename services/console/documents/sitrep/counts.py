"""Texts that every section uses."""

from __future__ import annotations

from services.console.documents.document import Line
from services.console.documents.facts import Facts
from services.console.logbook.sentences import FEW
from services.console.texts import words as w


def none(x: Facts) -> tuple[Line, ...]:
    return (Line(text=x._("Rien à signaler.")),)


def people(n: int, lang: str) -> str:
    """Return a count of people, without the exact figure if it is small. Rule D58."""
    return f"< {FEW}" if 0 < n < FEW else w.number(n, lang)
