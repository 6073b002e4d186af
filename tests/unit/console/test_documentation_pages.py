"""The console shows the guide and the pages that it names, with links that lead somewhere."""

from __future__ import annotations

import re

import pytest

from services.console.web.static_pages import (
    DOCS,
    FOLDERS,
    GUIDE,
    PATH,
    GuidePage,
    load_guide_page,
    resolve_link,
)

PAGES = sorted(
    path.relative_to(DOCS).with_suffix("").as_posix().removeprefix(f"{GUIDE}/")
    for folder in FOLDERS
    for path in (DOCS / folder).glob("*.md")
)


def load_page(address: str) -> GuidePage:
    page = load_guide_page(address)
    assert page is not None
    return page


@pytest.mark.parametrize("address", PAGES)
def test_each_link_of_a_page_leads_to_a_heading_that_exists(address: str) -> None:
    for link in re.findall(r'href="([^"]+)"', load_page(address).text):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        there = target.removeprefix(PATH).removeprefix("/") or "README" if target else address
        assert not anchor or f'id="{anchor}"' in load_page(there).text, link


def test_no_link_of_the_guide_is_lost() -> None:
    targets = [
        (file.name, target)
        for file in (DOCS / GUIDE).glob("*.md")
        for target in re.findall(r"(?<!!)\[[^]]+\]\(([^)]+)\)", file.read_text(encoding="utf-8"))
    ]
    assert ("en-cas-de-panne.md", "../how-to/exits.md") in targets
    assert [link for link in targets if resolve_link(link[1]) is None] == []


def test_the_operator_reads_the_exit_codes_on_the_machine() -> None:
    page = load_page("how-to/exits")
    assert page.lang == "en"
    assert "log.truncated" in page.text
    assert resolve_link("../how-to/exits.md") == "/guide/how-to/exits"
    assert resolve_link("back-up.md#restore", "how-to") == "/guide/how-to/back-up#restore"


def test_a_quotation_mark_stands_alone_on_no_line() -> None:
    text = load_page("en-cas-de-panne").text
    assert "«\N{NO-BREAK SPACE}Données figées\N{NO-BREAK SPACE}»" in text
    assert "« " not in text


def test_a_link_to_a_page_for_developers_is_plain_text() -> None:
    assert resolve_link("../adr/0066-exchange-data-keys-between-machines.md", "how-to") is None
    assert "0066-exchange" not in load_page("how-to/operate").text


@pytest.mark.parametrize(
    "address",
    ["", "nothing", "adr/README", "how-to/README", "how-to/../../LICENSE", "../README", "how-to/"],
)
def test_no_other_file_is_shown(address: str) -> None:
    assert load_guide_page(address) is None
