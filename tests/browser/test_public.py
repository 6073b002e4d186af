"""The public page in a browser: a phone without JavaScript, and one click that retracts it (D96)."""

from __future__ import annotations

import os
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.conftest import Accounts
from tests.browser.test_accessibility import BEYOND_AXE, defects, keyboard_defects, layout_defects
from tests.system import RunningVigie
from tests.waiting import until

PICTURES = os.environ.get("VIGIE_PICTURES")


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


def check_access(page: Page) -> None:
    """Check contrast, names, focus and room at every width; colour alone shows no state."""
    page.evaluate(BEYOND_AXE)
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        assert defects(page, theme) == [], theme
    assert keyboard_defects(page) == []
    assert layout_defects(page) == {}


def test_the_page_is_published_read_on_a_phone_and_retracted_with_one_click(
    vigie: RunningVigie, visitor: Accounts
) -> None:
    desk = visitor("coordinator").page("/publication?realm=92")
    desk.get_by_role("button", name="Publier la page Page publique").click()
    expect(desk.locator("#said-publish-services")).to_contain_text("Publiée")
    until(lambda: vigie.http.get("/public").status_code == 200)

    reader = visitor(None)
    for lang, words in (("fr", "ce qui est fermé"), ("en", "open and closed")):
        plain = reader.context(390, 844, java_script_enabled=False).new_page()
        plain.goto(f"{vigie.url}/public?lang={lang}")
        expect(plain.locator("h1")).to_contain_text(words)
        picture(plain, f"public-{lang}")
    check_access(reader.page("/public"))

    desk.reload()
    picture(desk, "publication")
    desk.get_by_role("button", name="Retirer la page Page publique").click()
    expect(desk.locator("#said-retract-services")).to_contain_text("plus rien n’est public")
    until(lambda: vigie.http.get("/public").status_code == 404)


def test_the_page_of_an_exercise_is_marked_and_names_closed_places(
    vigie: RunningVigie, crisis: str, visitor: Accounts
) -> None:
    answer = vigie.http.post(f"/api/v1/publications/services:publish?realm={crisis}")
    assert answer.status_code == 200, answer.text
    page = visitor("coordinator").page(f"/public?realm={crisis}")
    expect(page.locator("body")).to_contain_text("EXERCICE")
    expect(page.locator("section.closed, section.degraded").first).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    picture(page, "public-exercice")
    check_access(page)


def test_an_agent_chooses_site_and_job_family_on_a_phone(
    vigie: RunningVigie, visitor: Accounts
) -> None:
    desk = visitor("coordinator").page("/publication?realm=92")
    title = "Page « Où je travaille demain ? »".replace("« ", "«\u00a0").replace(" »", "\u00a0»")
    title = title.replace(" ?", "\u00a0?")
    desk.get_by_role("button", name=f"Publier la page {title}").click()
    expect(desk.locator("#said-publish-agents")).to_contain_text("Publiée")
    until(lambda: vigie.http.get("/demain").status_code == 200)
    reader = visitor(None)
    plain = reader.context(390, 844, java_script_enabled=False).new_page()
    plain.goto(f"{vigie.url}/demain")
    plain.get_by_label("Votre site habituel").select_option("clg-0921353W")
    plain.get_by_label("Votre métier").select_option(index=3)
    plain.get_by_role("button", name="Voir où je travaille").click()
    expect(plain.locator("section")).to_contain_text("Collège Les Chenevreux")
    picture(plain, "demain")
    check_access(reader.page("/demain?site=clg-0921353W&metier=acheteur"))
    desk.reload()
    desk.get_by_role("button", name=f"Retirer la page {title}").click()
    expect(desk.locator("#said-retract-agents")).to_contain_text("plus rien n’est public")
    until(lambda: vigie.http.get("/demain").status_code == 404)
