"""Follow a generator from its request to its place on the board, on a desk and on a phone."""

from __future__ import annotations

import os
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.conftest import Accounts
from tests.system import RunningVigie

PICTURES = os.environ.get("VIGIE_PICTURES")


def _picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True, animations="disabled")


def test_a_generator_is_requested_reserved_promised_and_followed(
    vigie: RunningVigie, visitor: Accounts, own_realm: str
) -> None:
    cell = visitor()
    page = cell.page(f"/moyens?realm={own_realm}&site=cen-1")
    page.get_by_label("Combien").fill("2")
    page.get_by_label("Priorité").select_option("life")
    page.get_by_label("Précisions").fill("parking nord")
    page.get_by_role("button", name="Demander", exact=True).click()
    waiting = page.get_by_role("region", name="À pourvoir")
    request = waiting.get_by_role("article")
    expect(request).to_contain_text("2 groupes électrogènes")
    expect(request).to_contain_text("parking nord")
    expect(request).to_contain_text("le plus tôt sur place")
    _picture(page, "board")
    request.get_by_role("button", name="Réserver").first.click()
    page.get_by_role("button", name="Promettre").click()
    page.get_by_role("button", name="Parti").click()
    page.get_by_role("button", name="Sur place").click()
    there = page.get_by_role("region", name="Sur place")
    expect(there.get_by_role("article")).to_contain_text("2 groupes électrogènes")
    (made,) = vigie.get(f"/api/v1/resource-requests?realm={own_realm}")["items"]
    assert (made["state"], made["committed"]) == ("in_place", 2)
    phone = cell.page(f"/moyens?realm={own_realm}", viewport={"width": 390, "height": 844})
    expect(phone.get_by_role("button", name="Rendu")).to_be_visible()
    box = phone.get_by_role("button", name="Rendu").bounding_box()
    assert box is not None
    assert box["height"] >= 44
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    _picture(phone, "phone")
    lines = vigie.get(f"/api/v1/log?realm={own_realm}")["items"]
    assert any("promis par Groupe mobile 100 kVA" in line["text"] for line in lines)
