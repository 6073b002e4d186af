"""Load pages without a realm or login: help, glossary, accessibility, and the guide.

The guide is that of `docs/guide`, in French. It needs no network beyond this machine.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt
from markupsafe import Markup

from services.console.attention.cell_page import fold_text
from services.runtime.process.settings import SHIPPED

GLOSSARY: Final = Path(__file__).parents[1] / "texts" / "glossary.csv"
FOLDER: Final = SHIPPED / "docs" / "guide"
PATH: Final = "/guide"
_NAME: Final = re.compile(r"[a-z][a-z-]*")


@dataclass(frozen=True, slots=True)
class GuidePage:
    title: str
    text: Markup


@cache
def load_guide_page(name: str) -> GuidePage | None:
    """Return a page of the guide, or None; `README` is the table of contents."""
    file = FOLDER / f"{name}.md"
    if not (name == "README" or _NAME.fullmatch(name)) or not file.is_file():
        return None
    source = file.read_text(encoding="utf-8")
    title = next(line.removeprefix("# ") for line in source.splitlines() if line.startswith("# "))
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(source)
    for inline in (t for t in tokens if t.type == "inline"):
        for token in inline.children or ():
            if token.type == "image":
                token.attrSet("src", f"{PATH}/{token.attrGet('src')}")
            elif token.type == "link_open":
                token.attrSet("href", resolve_link(str(token.attrGet("href"))))
    # our own file, with HTML off
    return GuidePage(title, Markup(markdown.renderer.render(tokens, markdown.options, {})))  # noqa: S704


def resolve_link(target: str) -> str:
    """Return the address for a link of the guide.

    Pages for engineers are not served: they are in the folder `docs` of the kit and of the sources.
    """
    if "://" in target:
        return target
    page, _, anchor = target.partition("#")
    if not page.endswith(".md") or "/" in page:
        return f"{PATH}#pages-pour-l-exploitant"
    path = PATH if page == "README.md" else f"{PATH}/{page.removesuffix('.md')}"
    return f"{path}#{anchor}" if anchor else path


def find_screenshot(name: str) -> Path | None:
    """Return the file of a screenshot of the guide, or None."""
    stem, _, suffix = name.rpartition(".")
    file = FOLDER / "images" / name
    return file if suffix == "png" and _NAME.fullmatch(stem) and file.is_file() else None


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
