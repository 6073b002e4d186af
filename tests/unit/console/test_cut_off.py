"""Every screen of a machine that sees no majority of its cluster says so, and where to go."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.console.web.times import to_ms
from services.runtime.process.cluster import MajorityState, write_majority
from tests.unit.console.held import Browser, Held, browsing, reference

FRONTS = ("https://nord.example.org", "https://sud.example.org")
SCREENS = ("/", "/sites", "/activites", "/main-courante", "/mur")


def open_browser(file: Path, *, has_majority: bool) -> Browser:
    now_ms = to_ms(datetime.now(UTC))
    browser, _ = browsing(Held("92", clock=now_ms, reference=reference()))
    browser.app.state.majority = file
    write_majority(file, MajorityState(has_majority, now_ms, FRONTS))
    return browser


@pytest.mark.parametrize("path", SCREENS)
async def test_a_machine_that_is_cut_off_says_so_on_every_screen(path: str, tmp_path: Path) -> None:
    browser = open_browser(tmp_path / "cluster.json", has_majority=False)
    html = (await browser.get(path)).text
    assert 'id="cut-off"' in html
    assert "Cette machine est coupée des autres depuis" in html
    for front in FRONTS:
        assert f'<a href="{front}">Aller sur {front}</a>' in html
    english = (await browser.get(path, lang="en")).text
    assert "This machine has been cut off from the others since" in english


async def test_the_report_form_of_a_machine_that_is_cut_off_leads_to_the_others(
    tmp_path: Path,
) -> None:
    browser = open_browser(tmp_path / "cluster.json", has_majority=False)
    html = (await browser.get("/signaler?quoi=fire")).text
    assert "votre signalement reste sur cet appareil" in html
    for front in FRONTS:
        assert f'<a href="{front}/signaler?quoi=fire' in html
    browser = open_browser(tmp_path / "cluster.json", has_majority=True)
    assert 'id="cut-off"' not in (await browser.get("/signaler")).text


async def test_a_machine_with_the_majority_keeps_the_other_addresses_ready(tmp_path: Path) -> None:
    """The page of a machine that dies shows them by itself."""
    browser = open_browser(tmp_path / "cluster.json", has_majority=True)
    html = (await browser.get("/")).text
    assert 'id="cut-off"' not in html
    assert f'data-fronts="{" ".join(FRONTS)}"' in html


async def test_a_single_machine_names_no_other(tmp_path: Path) -> None:
    browser = open_browser(tmp_path / "cluster.json", has_majority=True)
    browser.app.state.majority = tmp_path / "none.json"
    html = (await browser.get("/")).text
    assert "data-fronts" not in html
