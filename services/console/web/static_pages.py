"""Load pages without a realm or login: help, glossary, accessibility, and the documentation.

The guide is that of `docs/guide`, in French. The pages for operators that it names are in English.
They need no network beyond this machine.
"""

import csv
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from services.console.attention.cell_page import fold_text
from services.runtime.process.settings import SHIPPED

GLOSSARY: Final = Path(__file__).parents[1] / "texts" / "glossary.csv"
DOCS: Final = SHIPPED / "docs"
GUIDE: Final = "guide"
FOLDERS: Final = frozenset({GUIDE, "how-to", "explanation", "reference", "reference/rules"})
"""Folders of the documentation that are served; those of developers are in the sources."""
PATH: Final = "/guide"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]*")
_CONTENTS: Final = "README"
_BEFORE_FRENCH_SIGN: Final = re.compile(r"(?<=«) | (?=[»:;?!])")
"""Spaces at which a French line does not break."""


@dataclass(frozen=True, slots=True)
class GuidePage:
    """A page of the documentation, ready to show."""

    title: str
    text: Markup
    lang: str


def load_guide_page(address: str) -> GuidePage | None:
    """Return the page `cellule`, or `how-to/operate`; None if there is none."""
    folder, _, name = address.rpartition("/")
    folder = folder or GUIDE
    return _render_page(folder, name) if _is_served(folder, name) else None


def _is_served(folder: str, name: str) -> bool:
    """Check that a page of a served folder has this name; nothing else reaches the disk."""
    is_name = _NAME.fullmatch(name) is not None or (folder == GUIDE and name == _CONTENTS)
    return folder in FOLDERS and is_name and (DOCS / folder / f"{name}.md").is_file()


@cache
def _render_page(folder: str, name: str) -> GuidePage:
    source = (DOCS / folder / f"{name}.md").read_text(encoding="utf-8")
    title = next(line.removeprefix("# ") for line in source.splitlines() if line.startswith("# "))
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(source)
    for heading, inline in pairwise(tokens):
        if heading.type == "heading_open":
            heading.attrSet("id", _make_anchor(inline.content))
    for inline in (t for t in tokens if t.type == "inline"):
        inline.children = list(_place_links(inline.children or (), folder))
    text = Markup(markdown.renderer.render(tokens, markdown.options, {}))  # noqa: S704, ours, HTML off
    return GuidePage(title, text, "fr" if folder == GUIDE else "en")


def _make_anchor(heading: str) -> str:
    """Return the anchor of a heading, as on GitHub."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _place_links(tokens: Iterable[Token], folder: str) -> Iterator[Token]:
    """Yield the tokens with addresses of this machine; a link to a page elsewhere is plain text."""
    is_linked = True
    for token in tokens:
        if token.type == "text" and folder == GUIDE:
            token.content = _BEFORE_FRENCH_SIGN.sub("\N{NO-BREAK SPACE}", token.content)
        elif token.type == "image":
            token.attrSet("src", f"{PATH}/{token.attrGet('src')}")
        elif token.type == "link_open":
            address = resolve_link(str(token.attrGet("href")), folder)
            is_linked = address is not None
            if address is not None:
                token.attrSet("href", address)
        if is_linked or token.type not in ("link_open", "link_close"):
            yield token


def resolve_link(target: str, folder: str = GUIDE) -> str | None:
    """Return the address for a link of a page in a folder of the documentation.

    None: pages for developers are not served. They are in the folder `docs` of the sources.
    """
    if "://" in target or target.startswith("#"):
        return target
    page, _, anchor = target.partition("#")
    folder, _, file = posixpath.normpath(f"{folder}/{page}").rpartition("/")
    name, suffix = posixpath.splitext(file)
    if suffix != ".md" or not _is_served(folder, name):
        return None
    parts = (folder, name) if folder != GUIDE else (name,) if name != _CONTENTS else ()
    path = "/".join((PATH, *parts))
    return f"{path}#{anchor}" if anchor else path


def find_screenshot(name: str) -> Path | None:
    """Return the file of a screenshot of the guide, or None."""
    stem, _, suffix = name.rpartition(".")
    file = DOCS / GUIDE / "images" / name
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
