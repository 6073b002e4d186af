"""Documents do not rot: links lead somewhere, pictures are there, and a test that is named as proof exists under that name."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from ruamel.yaml import YAML

from services.runtime.settings import REPOSITORY

PAGES = (
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    REPOSITORY / "CHANGELOG.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
)
_LINK = re.compile(r"!?\[((?:[^][]|\[[^]]*\])*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FOLDERS = {"tutorial", "how-to", "reference", "explanation", "guide", "adr", "screenshots"}


def links(page: Path) -> Iterator[tuple[str, str]]:
    """(words, target) of links inside the repository, outside code."""
    for words, target in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if "://" not in target and not target.startswith("mailto:"):
            yield words, target


def anchors(page: Path) -> set[str]:
    """Of headings, as GitHub makes them."""
    lines = _FENCE.sub("", page.read_text(encoding="utf-8")).splitlines()
    return {re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in lines if line.startswith("#")}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for words, target in links(page):
        path, _, anchor = unquote(target).partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: [{words}]({target})"
        assert file.is_relative_to(REPOSITORY)
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{page.name}: no heading {anchor} in {file.name}"


def test_a_test_that_is_named_as_proof_exists() -> None:
    named = 0
    for page in PAGES:
        for words, target in links(page):
            if not re.search(r"/tests/.*test_\w+\.py$", target):
                continue
            name = "test_" + words.partition("[")[0].strip().replace(" ", "_")
            assert f"def {name}(" in (page.parent / target).resolve().read_text(encoding="utf-8"), f"{page.name}: [{words}]({target})"
            named += 1
    assert named > 150


def test_every_page_lies_in_its_quarter_and_can_be_reached() -> None:
    docs = REPOSITORY / "docs"
    assert {p.name for p in docs.iterdir() if p.is_dir()} == FOLDERS
    reached = {(page.parent / target.partition("#")[0]).resolve() for page in PAGES for _, target in links(page) if target[0] != "#"}
    reached |= {p for p in docs.rglob("*.md") if p.parent.name == "adr"}
    assert sorted(str(p.relative_to(docs)) for p in docs.rglob("*.md") if p not in reached) == []


def snippets(language: str) -> list[tuple[str, str]]:
    return [
        (f"{page.relative_to(REPOSITORY)}", code)
        for page in PAGES
        for found, code in _FENCE.findall(page.read_text(encoding="utf-8"))
        if found == language
    ]


def test_snippets_of_data_can_be_read() -> None:
    for page, code in snippets("json"):
        assert json.loads(code) is not None, page
    for page, code in (*snippets("yaml"), *snippets("yml")):
        assert list(YAML(typ="safe").load_all(code)), page
    for page, code in snippets("toml"):
        assert tomllib.loads(code), page
    for page, code in snippets("python"):
        compile(code, page, "exec")
