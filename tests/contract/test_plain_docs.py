"""The documentation is easy to enter: four short paths, one word per concept, files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.intake.integrations.discovery import Integration
from services.runtime.process.settings import REPOSITORY

DOCS = REPOSITORY / "docs"
PATHS = ("Operate", "Integrate", "Develop", "Understand")
LINK = re.compile(r"\]\(([^)\s]+)\)")
FILE = re.compile(r"`((?:schemas|services|tests|territories|scenarios|deploy|tools)/[\w./-]+)`")
RULE = re.compile(r"\*\*(D\d+) [A-Z][^*]*\*\*")
GLOSSARY = (DOCS / "glossary.md").read_text(encoding="utf-8")


def section(page: str, title: str) -> str:
    """Return the text under a heading of a page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    section_match = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section_match is not None, f"{page} has no heading {title}"
    return section_match[1]


def terms() -> list[tuple[str, ...]]:
    """Return the rows of the glossary: English, French, meaning, words never to use."""
    rows = [
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in GLOSSARY.splitlines()
        if line.startswith("| ") and not line.startswith("| English")
    ]
    return [row for row in rows if row]


@pytest.mark.parametrize("path", PATHS)
def test_each_path_has_five_pages(path: str) -> None:
    numbered = re.findall(r"^\d\. .*?\]\(([^)]+)\)", section("README.md", path), re.MULTILINE)
    assert len(numbered) == 5


def test_every_page_is_listed_in_the_index() -> None:
    listed = {(DOCS / link).resolve() for link in LINK.findall((DOCS / "README.md").read_text())}
    pages = [
        page
        for page in DOCS.rglob("*.md")
        if page.parent.name not in ("adr", "guide", "rules") and page != DOCS / "README.md"
    ]
    assert [str(page.relative_to(DOCS)) for page in pages if page.resolve() not in listed] == []


def test_the_glossary_has_one_row_per_term_and_no_empty_cell() -> None:
    rows = terms()
    assert len(rows) >= 70
    assert {len(row) for row in rows} == {4}
    assert [row for row in rows if not all(row)] == []
    names = [row[0] for row in rows]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "page", sorted((DOCS / "develop").glob("*.md")), ids=lambda page: page.stem
)
def test_every_file_that_a_develop_page_names_exists(page: Path) -> None:
    file_names = FILE.findall(page.read_text(encoding="utf-8"))
    assert len(file_names) >= 5
    assert [file for file in file_names if not (REPOSITORY / file).exists()] == []


def test_every_file_that_a_page_names_exists() -> None:
    pages = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *DOCS.rglob("*.md")]
    references = {(page, file) for page in pages for file in FILE.findall(page.read_text("utf-8"))}
    assert len(references) > 150
    assert [(p.name, file) for p, file in references if not (REPOSITORY / file).exists()] == []


def test_the_first_integration_offers_the_functions_of_the_protocol() -> None:
    page = (DOCS / "develop" / "first-integration.md").read_text(encoding="utf-8")
    functions = {name for name in vars(Integration) if not name.startswith("_")}
    assert set(re.findall(r"^def (\w+)\(", page, re.MULTILINE)) == functions


DECISIONS = sorted((DOCS / "adr").glob("0*.md"))
HEADINGS = ("## Context", "## Decision", "## Consequences")


def test_a_decision_has_title_status_date_and_its_sections() -> None:
    for page in DECISIONS:
        title, _, text = page.read_text(encoding="utf-8").partition("\n")
        words = re.sub(r"^# \d+\. ", "", title).lower().replace("’", "")
        slug = re.sub(r"[^a-z0-9]+", "-", words)
        assert page.stem == f"{page.stem[:4]}-{slug}", "the file is named after its title"
        assert re.search(r"^\* Status: (accepted|superseded by .+)$", text, re.MULTILINE), page
        assert re.search(r"^\* Date: \d{4}-\d\d-\d\d$", text, re.MULTILINE), page
        assert [(page, h) for h in HEADINGS if f"\n{h}\n" not in text] == []


def test_every_decision_has_a_row_in_the_index() -> None:
    listed = LINK.findall((DOCS / "adr" / "README.md").read_text(encoding="utf-8"))
    missing = [page.name for page in DECISIONS if page.name not in listed]
    assert missing == [], "add a row to docs/adr/README.md"


def test_every_chapter_of_the_rules_is_in_their_index() -> None:
    listed = LINK.findall((DOCS / "reference" / "rules.md").read_text(encoding="utf-8"))
    chapters = sorted(page.name for page in (DOCS / "reference" / "rules").glob("*.md"))
    assert sorted(f"rules/{name}" for name in chapters) == sorted(listed)


def test_every_rule_is_in_the_index_of_its_chapter() -> None:
    """Readers find a rule by its title."""
    folder = DOCS / "reference" / "rules"
    index = (DOCS / "reference" / "rules.md").read_text(encoding="utf-8")
    rows = re.split(r"^\* ", index, flags=re.MULTILINE)[1:]
    missing = [
        (rule, chapter)
        for row in rows
        for chapter in LINK.findall(row)
        for rule in RULE.findall((folder.parent / chapter).read_text(encoding="utf-8"))
        if not re.search(rf"\b{rule}\b", row)
    ]
    assert missing == [], "add number and title to docs/reference/rules.md"


def test_every_guarantee_names_its_tests() -> None:
    page = (DOCS / "explanation" / "guarantees.md").read_text(encoding="utf-8")
    promised = page.partition("## Vigie does not promise")[0]
    guarantees = re.split(r"^(?=\*\*)", promised, flags=re.MULTILINE)[1:]
    assert len(guarantees) >= 14
    assert [text.splitlines()[0] for text in guarantees if "* *Tests.* [" not in text] == []


OTHERS = {"api.md", "errors.md", "configuration.md", "fault-matrix.md"}
"""Generated pages: their words come from the code."""
DENSE = {"reassignment-model.md"}
"""Pages of definitions, which are written line by line."""
RIDDLE = re.compile(
    r"(?:^|(?<=[.!?] ))(?:What|Who|Whoever|Of|As|Until|None)\b(?! (?:of|course)\b)[^|]{0,60}"
)
PLAIN = [
    page
    for page in (
        REPOSITORY / "README.md",
        REPOSITORY / "CONTRIBUTING.md",
        *sorted(DOCS.rglob("*.md")),
    )
    if page.name not in OTHERS | DENSE and page.parent.name not in ("guide", "rules")
]


def _without_code(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)


def prose(page: Path) -> list[str]:
    """Return the paragraphs of a page, each in one line, without code, tables and headings."""
    parts = re.split(r"\n\s*\n|\n(?= *(?:[*-]|\d+\.) )", _without_code(page))
    prose_parts = [part for part in parts if not re.match(r"\s*[|#]| {4}", part)]
    return [
        re.sub(r"^(?:[*-]|\d+\.) +", "", " ".join(part.split())).replace("*", "")
        for part in prose_parts
    ]


def test_no_sentence_begins_like_a_riddle() -> None:
    riddles = [
        (str(page.relative_to(REPOSITORY)), match)
        for page in PLAIN
        for part in prose(page)
        for match in RIDDLE.findall(part)
    ]
    assert riddles == [], "begin with the subject"


def test_prose_fits_into_a_hundred_columns() -> None:
    for page in PLAIN:
        lines = [
            line
            for line in _without_code(page).splitlines()
            if not line.startswith(("|", "    ")) and "](" not in line
        ]
        assert [line for line in lines if len(line) > 100] == [], page
