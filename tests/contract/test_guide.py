"""The French guide uses the texts of the screens and real accounts, codes and pictures."""

from __future__ import annotations

import re

import pytest

from services.console.texts.words import ROLE
from services.intake.field.short_line import read_line
from services.runtime.identity.permissions import Role
from tests.browser.test_guide import PICTURES
from tests.guide import BOLD, FOLDER, Section, screen_texts, sections

SECTIONS = list(sections())
ACCOUNTS = {
    "responsable-de-site": {Role.SITE_MANAGER},
    "astreinte": {Role.TECHNICIAN},
    "cellule": {Role.CELL, Role.COORDINATOR},
    "equipe-de-cellule": {Role.CELL, Role.COORDINATOR},
    "communication": {Role.CELL, Role.COORDINATOR},
    "directeur-de-pole": {Role.DIRECTOR, Role.ELECTED},
    "observateur": {Role.OBSERVER},
    "organisateur-d-exercice": {Role.COORDINATOR, Role.ADMIN},
    "administrateur": {Role.ADMIN},
    "en-cas-de-panne": {Role.ADMIN},
}
LONGEST = 900
"""Words of a page: it is read under stress."""


@pytest.fixture(scope="module")
def screen_words() -> set[str]:
    return {" ".join(text.split()) for text in screen_texts()}


def test_every_bold_text_of_the_guide_is_on_a_screen(screen_words: set[str]) -> None:
    guide_words = {(s.page.name, word) for s in SECTIONS for word in s.words}
    assert len(guide_words) > 60
    assert sorted((page, word) for page, word in guide_words if word not in screen_words) == []


@pytest.mark.parametrize("page", ACCOUNTS)
def test_the_accounts_of_a_page_are_roles_of_the_program(page: str) -> None:
    line = next(
        line
        for line in (FOLDER / f"{page}.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("Compte : ")
    )
    assert set(BOLD.findall(line)) == {ROLE[role.value] for role in ACCOUNTS[page]}


def test_every_page_has_its_row_and_no_page_is_long() -> None:
    pages = {p.stem for p in FOLDER.glob("*.md")} - {"README"}
    assert pages == set(ACCOUNTS)
    contents = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\| \[[^]]+\]\(([a-z-]+)\.md\)", contents)) == pages
    for page in FOLDER.glob("*.md"):
        assert len(page.read_text(encoding="utf-8").split()) < LONGEST, page


def test_every_picture_is_made_by_the_browser_test_and_shown() -> None:
    picture_names = {name for s in SECTIONS for name in s.pictures}
    assert picture_names == set(PICTURES) == {p.stem for p in (FOLDER / "images").iterdir()}


@pytest.mark.parametrize(
    "section",
    [s for s in SECTIONS if re.search(r"`[A-Z]+ ?\d|`\d+ [A-Z]", s.text)],
    ids=lambda s: f"{s.page.stem}: {s.title}",
)
def test_every_text_message_of_the_guide_is_understood(section: Section) -> None:
    for line in re.findall(r"`((?:[A-Z]+ \d+|\d+ [A-Z]+)[A-Z ]*)`", section.text):
        read_line(line)
