"""One search finds sites, incidents, lines and people; every site has a way to its page."""

from __future__ import annotations

import re

import pytest

from services.console.logbook.lines import LineRecord
from services.console.web.search_screen import has_all_words
from services.runtime.secrets.vault import TextItem
from tests.unit.console.held import browsing
from tests.unit.console.test_every_screen import NOW, REALM, crisis, incident, realm, shown, told


async def test_every_site_of_the_territory_has_a_link() -> None:
    browser, _ = browsing(realm())
    page = (await browser.get(f"/sites?realm={REALM}")).text
    links = set(re.findall(r'href="/sites/([^?"]+)', page))
    assert links == set(crisis().reference.sites)
    assert "répond" in await shown(browser, "/sites?q=antony")


@pytest.mark.parametrize("query", ["boeufs", "Bœufs", "l'haÿ boeufs", "L’HAY"])
def test_a_search_forgives_ligatures_and_apostrophes(query: str) -> None:
    """A keyboard has no œ: «boeufs» found nothing."""
    assert has_all_words(query, "Annexe de L’Haÿ « Les Bœufs »")


def noted() -> LineRecord:
    return told(
        5,
        NOW,
        type="NoteAdded",
        kind="note",
        change=None,
        source=None,
        author="cellule-1",
        text_id="t-9",
        values={},
    )


async def test_one_search_finds_sites_incidents_lines_and_people() -> None:
    realm_state = crisis()
    realm_state.put(
        "incidents",
        incident(
            "i-0",
            number="92-2027-0201-01",
            kind="fire",
            key="fire:pmi-01",
            state="closed",
            closed_at=NOW,
        ),
    )
    realm_state.lines.append(noted())
    browser, model = browsing(realm_state)
    model.words.kept["t-9"] = TextItem({"text": "Le gardien de Darracq a les clés"})
    page = await shown(browser, "/recherche?q=darracq")
    assert "PMI Darracq" in page
    assert "92-2027-0211-01" in page
    assert "92-2027-0201-01" in page
    assert "Le gardien de Darracq" in page
    assert "Direction Éducation" in await shown(browser, "/recherche?q=dir+education")
    assert "Rien ne répond" in await shown(browser, "/recherche?q=zzzz")


async def test_a_search_shows_only_results_open_to_the_reader() -> None:
    realm_state = crisis()
    realm_state.lines.append(noted())
    browser, model = browsing(realm_state)
    model.words.kept["t-9"] = TextItem({"text": "Le gardien de Darracq a les clés"})
    page = await shown(browser, "/recherche?q=darracq", role="site_manager@pmi-01")
    assert "PMI Darracq" in page
    assert "gardien" not in page
    assert "Direction Éducation" not in await shown(
        browser, "/recherche?q=dir+education", role="site_manager@pmi-01"
    )


async def test_a_manager_of_sites_begins_at_their_own_sites() -> None:
    browser, _ = browsing(crisis())
    first = await browser.get(f"/?realm={REALM}", role="site_manager@pmi-01")
    assert (first.status_code, first.headers["location"]) == (303, f"/mes-sites?realm={REALM}")
    for role in ("site_manager", "admin", "director@pole:education"):
        assert (await browser.get(f"/?realm={REALM}", role=role)).status_code == 200
    page = (await browser.get(f"/mes-sites?realm={REALM}", role="site_manager@pmi-01")).text
    cell = re.search(r'href="(/\?[^"]*vue=a-traiter[^"]*)"', page)
    assert cell is not None
    assert (
        await browser.get(cell[1].replace("&amp;", "&"), role="site_manager@pmi-01")
    ).status_code == 200


async def test_a_director_reads_their_own_demands_first() -> None:
    realm_state = crisis()
    realm_state.put(
        "plans",
        {
            "id": "PCA-education",
            "state": "proposed",
            "level": 0,
            "proposed_level": 2,
            "version": 1,
            "decides": "directeur_pole",
        },
    )
    browser, _ = browsing(realm_state)
    director = await shown(browser, "/", role="director@pole:education")
    assert director.index("Ce qui vous est demandé") < director.index(
        "Incident 92-2027-0211-01, ouvert"
    )
    cell = await shown(browser, "/")
    assert cell.index("Incident 92-2027-0211-01, ouvert") < cell.index("À décider")


@pytest.mark.parametrize(
    ("level", "taken", "title", "alarm"),
    [(1, (), "", ""), (2, (), "(1) ", ""), (3, (), "(1) ", "i-1"), (3, ("coord-pca",), "", "")],
)
async def test_the_tab_counts_unacknowledged_incidents(
    level: int, taken: tuple[str, ...], title: str, alarm: str
) -> None:
    realm_state = crisis()
    realm_state.put("incidents", incident(level=level, acknowledged_by=taken))
    realm_state.put("levels", {"id": "territory", "level": level, "since": NOW, "version": 1})
    browser, _ = browsing(realm_state)
    page = (await browser.get(f"/?realm={REALM}")).text
    assert f"<title>[EXERCICE] {title}N{level} Cellule de crise – Vigie</title>" in page
    assert f'data-alarm="{alarm}"' in page


async def test_the_manager_of_a_site_sees_the_outcome_of_a_report() -> None:
    realm_state = crisis()
    realm_state.put("incidents", incident(level=2))
    browser, _ = browsing(realm_state)
    page = await shown(browser, "/mes-sites", role="site_manager@pmi-01")
    assert re.search(
        "Coupure d’électricité : reçu à 09:40 , pas encore lu par la cellule , incident N2", page
    )
    assert "en attente de prise en charge" in page
    realm_state.put("incidents", incident(level=2, acknowledged_by=("coord-pca",)))
    browser, _ = browsing(realm_state)
    assert "pris en charge par la cellule" in await shown(
        browser, "/mes-sites", role="site_manager@pmi-01"
    )
