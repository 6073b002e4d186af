"""Ways between the screens: six in the bar, others one step away, with and without scripts."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Accounts

EVERYWHERE = {
    "/",
    "/activites",
    "/actions",
    "/plans",
    "/astreintes",
    "/sitrep",
    "/signaler",
    "/mur",
    "/main-courante",
    "/releve",
    "/prevoyance",
    "/dependances",
    "/travaux",
    "/communication",
    "/publication",
    "/echeances",
    "/depenses",
    "/realms",
    "/exercices-courts",
    "/exercice",
    "/annuaire",
    "/appels",
    "/donnees",
    "/revue",
    "/retex",
    "/sources",
    "/flux",
    "/compte",
    "/moyens",
    "/reaffectation",
    "/appareil",
    "/recherche",
    "/sites",
}


def paths(links: list[str]) -> set[str]:
    return {re.sub(r"\?.*", "", link) for link in links}


def test_six_screens_stand_in_one_line_and_the_others_open_without_scripts(
    crisis: str, visitor: Accounts
) -> None:
    page = visitor().page(f"/travaux?realm={crisis}", java_script_enabled=False)
    bar = page.locator("nav .first a")
    expect(bar).to_have_text(
        ["Cellule", "Incident", "Activités", "Réaffectation", "Astreintes", "Point de situation"]
    )
    tops = {link.bounding_box()["y"] for link in bar.all()}  # type: ignore[index]
    assert len(tops) == 1
    summary = page.locator("#ways > summary")
    expect(summary).to_contain_text("Travaux")  # where one is, though it is not in the bar
    expect(page.get_by_role("link", name="Sources")).to_be_hidden()
    summary.click()
    visible_links = [
        link.get_attribute("href") or "" for link in page.locator("nav a:visible").all()
    ]
    visible_paths = paths(visible_links)
    assert visible_paths - {p for p in visible_paths if p.startswith("/incidents/")} == EVERYWHERE
    assert len(visible_links) == len(EVERYWHERE) + 1
    expect(page.locator("#ways a[aria-current=page]")).to_have_text("Travaux")
    page.get_by_role("link", name="Relève").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Relève")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_a_phone_one_menu_holds_them_all(theme: str, crisis: str, visitor: Accounts) -> None:
    page = visitor().page(f"/?realm={crisis}", width=320, height=640, color_scheme=theme)
    expect(page.locator("nav .first")).to_be_hidden()
    page.get_by_text("Écrans", exact=True).click()
    links = page.locator("#ways a:visible")
    assert {
        p
        for p in paths([link.get_attribute("href") or "" for link in links.all()])
        if "incidents" not in p
    } == EVERYWHERE
    for link in links.all():
        box = link.bounding_box()
        assert box is not None
        assert box["height"] >= 40
        assert box["x"] + box["width"] <= 320
    page.locator("#ways").get_by_role("link", name="Mon compte").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Mon compte")


def test_the_menu_is_left_by_the_keyboard_where_it_was_entered(
    crisis: str, visitor: Accounts
) -> None:
    page = visitor().page(f"/?realm={crisis}")
    summary = page.locator("#ways > summary")
    summary.focus()
    summary.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#ways a:visible").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#ways a:visible")).to_have_count(0)
    expect(summary).to_be_focused()
    summary.press("Enter")
    page.locator("#l0").evaluate("() => document.querySelector('main').click()")
    expect(page.locator("#ways a:visible")).to_have_count(0)


def test_staff_of_a_site_find_the_report_form_first(crisis: str, visitor: Accounts) -> None:
    page = visitor("site_manager").page(f"/?realm={crisis}")
    expect(page.locator("nav .first a").first).to_have_text("Signaler")
    page.locator("#ways > summary").click()
    expect(page.locator("nav").get_by_role("link", name="Main courante")).to_have_count(0)


OVERLAPS = """() => {
  const parts = [...document.querySelectorAll(".bar .first a, .bar .ways summary, .bar .level, .bar .live, .bar .now")].filter(e => e.getClientRects().length);
  const boxes = parts.map(e => [e.textContent.trim(), e.getBoundingClientRect()]);
  return boxes.flatMap(([a, x], i) => boxes.slice(i + 1).filter(([, y]) => x.right > y.left + 1 && y.right > x.left + 1 && x.bottom > y.top + 1 && y.bottom > x.top + 1)
    .map(([b]) => `${a} / ${b}`));
}"""
"""Words of the bar that lie on each other."""


def test_labels_of_the_bar_never_overlap_at_any_width(crisis: str, visitor: Accounts) -> None:
    page = visitor().page(f"/sitrep?realm={crisis}", width=1440, height=800)
    for width in (2560, 1920, 1440, 1366, 1341, 1339, 1280, 1101, 1024, 768):
        page.set_viewport_size({"width": width, "height": 800})
        for spacing in (
            "normal",
            "0.3px",
            "1px",
            "2px",
        ):  # 0.3 px: about as wide as the same words are where letters stand on whole pixels
            page.evaluate("spacing => { document.body.style.letterSpacing = spacing }", spacing)
            assert page.evaluate(OVERLAPS) == [], (width, spacing)
