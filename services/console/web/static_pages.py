"""Load pages without a realm or login: help, glossary, accessibility."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from services.console.attention.cell_page import fold_text

GLOSSARY: Final = Path(__file__).parents[1] / "texts" / "glossary.csv"


@dataclass(frozen=True, slots=True)
class Term:
    """One term of the field in French and English; the definition is French, as in its sources."""

    key: str
    fr: str
    en: str
    definition: str


@cache
def load_glossary(lang: str) -> tuple[Term, ...]:
    """Return every term, sorted in the reader's language."""
    with GLOSSARY.open(encoding="utf-8", newline="") as file:
        terms = [
            Term(f"t-{n}", row["fr"], row["en"], row["definition"])
            for n, row in enumerate(csv.DictReader(file), start=1)
        ]
    return tuple(sorted(terms, key=lambda t: fold_text(t.en if lang == "en" else t.fr)))
