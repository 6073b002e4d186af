"""Small words that every section uses."""

from __future__ import annotations

from typing import Final

from services.console.documents.document import Line
from services.console.documents.facts import Facts
from services.console.texts import words as w

FEWEST: Final = 3
"""A count of people below this is shown as « < 3 » (D58)."""


def none(x: Facts) -> tuple[Line, ...]:
    return (Line(text=x._("Rien à signaler.")),)


def people(n: int, lang: str) -> str:
    """A count of people."""
    return f"< {FEWEST}" if 0 < n < FEWEST else w.number(n, lang)
