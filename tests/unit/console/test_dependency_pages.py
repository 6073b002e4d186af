"""The page of dependencies, its API and its drawing. Rule D130."""

from __future__ import annotations

import re
from typing import Any

import pytest

from services.console.dependencies.drawing import NARROW, WIDE
from tests.unit.console.held import Held, browsing
from tests.unit.console.test_every_screen import NOW, REALM, START, realm, shown, site


def flag(id: str, value: object, **changes: object) -> dict[str, object]:
    return {"id": id, "value": value, "since": START, **changes}


def crisis() -> Held:
    """Return a crisis without the directory: one activity is interrupted."""
    realm_state = realm()
    realm_state.put("flags", flag("system:ad", "down"))
    realm_state.put("sites", site("cen-2"))
    return realm_state


async def read(held: Held, path: str) -> Any:
    browser, _ = browsing(held)
    answer = await browser.get(
        f"/api/v1/dependencies{path}{'&' if '?' in path else '?'}realm={REALM}"
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_api_ranks_losses_by_kind_with_strategies_limits_and_plans() -> None:
    ranking = await read(realm(), "?kind=system&limit=3")
    assert [len(loss["resources"]) for loss in ranking["items"]] == [1, 1, 1]
    assert {loss["resources"][0]["kind"] for loss in ranking["items"]} == {"system"}
    worst = ranking["items"][0]
    assert worst["resources"][0]["id"] == "system:telephonie"
    assert (worst["stopped"], worst["bare"]) == (10, 3)
    assert worst["plans"][0]["title"]
    assert ranking["not_modelled"] == []
    assert ranking["total"] > 3


async def test_the_api_gives_the_cascade_of_two_resources_from_the_crisis() -> None:
    realm_state = crisis()
    cascade = await read(
        realm_state, "/cascade?lost=system:telephonie&lost=kitchen:cuisine-centrale-sud"
    )
    assert [one["down"] for one in cascade["resources"]] == [False, False]
    assert "EOM-01" not in {one["id"] for one in cascade["activities"] if one["before_pct"] > 0}
    first = await read(realm_state, "/cascade?lost=system:ad")
    assert first["resources"][0]["down"]


async def test_pairs_that_stop_something_only_together_are_named() -> None:
    ranking = await read(realm(), "?n=2&together=true&kind=kind&limit=5")
    assert all(loss["together"] for loss in ranking["items"])
    assert len(ranking["items"]) == 5


@pytest.mark.parametrize("lost", ["system:unheard", "nonsense", "person:nobody"])
async def test_an_unknown_resource_is_not_found(lost: str) -> None:
    browser, _ = browsing(realm())
    answer = await browser.get(f"/api/v1/dependencies/cascade?lost={lost}&realm={REALM}")
    assert answer.status_code == 404


async def test_people_on_duty_are_for_readers_of_the_log() -> None:
    browser, _ = browsing(realm())
    pairs = f"/api/v1/dependencies?kind=person&n=2&realm={REALM}"
    answer = await browser.get(pairs, role="kiosk")
    assert answer.json()["items"] == []
    path = f"/api/v1/dependencies/cascade?lost=person:dir-solidarites&realm={REALM}"
    assert (await browser.get(path, role="kiosk")).status_code == 404
    ranking = await read(realm(), "?kind=person&n=2&together=true&limit=200")
    assert any(loss["undecided"] for loss in ranking["items"])


async def test_the_page_gives_stops_and_strategies_in_both_languages() -> None:
    browser, _ = browsing(realm())
    text = await shown(browser, "/dependances?ressource=system:telephonie")
    assert "10 activités s’arrêtent, dont 3 sans stratégie pour cette perte" in text
    assert "Première échéance : RTO 30 min, DMIA 1 h" in text
    assert "mode dégradé (fiche papier + main courante)" in text
    assert "Le bus n’est pas compté" in text
    english = await shown(browser, "/dependances?ressource=system:telephonie", lang="en")
    assert "10 activities stop, 3 without a strategy for this loss" in english


async def test_the_page_names_plans_by_their_titles() -> None:
    browser, _ = browsing(realm())
    text = await shown(browser, "/dependances?ressource=kind:site_central")
    assert "PCA du pôle Logement" in text
    assert "PCA-" not in text


async def test_the_page_starts_from_the_crisis() -> None:
    browser, _ = browsing(crisis())
    text = await shown(browser, "/dependances?ressource=system:telephonie")
    assert "Déjà hors service, et compté dans tout ce qui suit : annuaire informatique" in text


async def test_the_page_says_so_if_a_resource_is_unknown() -> None:
    browser, _ = browsing(realm())
    text = await shown(browser, "/dependances?ressource=system:unheard")
    assert "Aucune ressource ne porte l’identifiant « system:unheard »" in text


@pytest.mark.parametrize(
    "resource",
    [
        "system:telephonie",
        "kind:site_central",
        "kitchen:cuisine-relais-nord",
        "person:dgs",
        "line:C01742",
    ],
)
async def test_the_drawing_stays_inside_its_frame_and_no_box_covers_another(resource: str) -> None:
    browser, _ = browsing(realm())
    answer = await browser.get(f"/dependances?ressource={resource}&realm={REALM}")
    drawings = re.findall(r'<svg class="cascade.*?</svg>', answer.text, re.DOTALL)
    assert len(drawings) == 2
    for drawing, width in zip(drawings, (WIDE, NARROW), strict=True):
        height = float(re.search(r'viewBox="0 0 \d+ ([\d.]+)"', drawing)[1])  # type: ignore[index]
        boxes = [
            tuple(map(float, coordinates))
            for coordinates in re.findall(
                r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', drawing
            )
        ]
        assert boxes
        for n, (x, y, w, h) in enumerate(boxes):
            assert x + w <= width
            assert y + h <= height
            for x2, y2, w2, h2 in boxes[n + 1 :]:
                assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y
        assert 'role="img"' in drawing
        assert "aria-label=" in drawing


async def test_an_announced_outage_counts_later_and_an_isolation_now() -> None:
    realm_state = realm()
    realm_state.put("flags", flag("system:telephonie", "down", effective_from=NOW + 60_000))
    assert not (await read(realm_state, "/cascade?lost=system:telephonie"))["resources"][0]["down"]
    realm_state.put("flags", flag("flag:total_isolation", True))
    assert (await read(realm_state, "/cascade?lost=system:telephonie"))["resources"][0]["down"]
    assert not (await read(realm_state, "/cascade?lost=system:radio"))["resources"][0]["down"]
