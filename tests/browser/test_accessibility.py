"""RGAA 4.1 and WCAG AA by axe on every screen in both themes; keyboard, colours, widths."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Accounts
from tests.browser.test_phone import call_of
from tests.browser.test_screens import incident_of, report_of
from tests.system import ROOT, RunningVigie

SCREENS: dict[str, tuple[str, int, int, bool]] = {
    "cellule": ("/", 1440, 900, False),
    "incident": ("/incidents/{incident}", 1440, 900, True),
    "activites": ("/activites", 1440, 900, True),
    "mur": ("/mur", 1920, 1080, False),
    "site": ("/sites/cen-1", 1440, 900, True),
    "point": ("/sitrep", 1280, 900, True),
    "retex": ("/retex", 1280, 900, False),
    "main-courante": ("/main-courante", 1440, 900, False),
    "signaler": ("/signaler", 390, 844, False),
    "exercices": ("/realms", 1440, 900, False),
    "sources": ("/sources", 1440, 900, False),
    "feeds": ("/flux", 1440, 900, False),
    "connexion": ("/connexion", 390, 844, True),
    "appel": ("{call}", 390, 844, True),
    "releve": ("/releve", 1440, 900, True),
    "annuaire": ("/annuaire", 1440, 900, False),
    "appels": ("/appels", 1440, 900, True),
    "travaux": ("/travaux", 1440, 900, True),
    "communication": ("/communication", 1440, 900, True),
    "echeances": ("/echeances", 1440, 900, True),
    "depenses": ("/depenses", 390, 844, True),
    "donnees": ("/donnees", 1440, 900, True),
    "revue": ("/revue", 390, 844, True),
    "declencheur": ("/donnees/fiches/trigger/PT-CRUE.N2", 390, 844, True),
    "roulement": (
        "/donnees/nouvelle-fiche/rotation?values.role=astreinte_direction&values.place=holder&values.persons=dgs&values.every_days=7&values.hand_off=08:00&values.since=2027-01-04&values.hours=08:00-20:00",
        390,
        844,
        True,
    ),
    "fiche": ("/donnees/fiches/contact/prefecture_cod", 390, 844, True),
    "prevoyance": ("/prevoyance", 1440, 900, True),
    "exercices-courts": ("/exercices-courts", 1440, 900, True),
    "dependances": ("/dependances?ressource=system:telephonie", 1440, 900, True),
    "actions": ("/actions", 390, 844, True),
    "plans": ("/plans", 1440, 900, True),
    "moyens": ("/moyens", 1440, 900, True),
    "plan": ("/plans/PCA-education", 390, 844, True),
    "reaffectation": ("/reaffectation", 1440, 900, True),
    "appareil": ("/appareil", 390, 844, False),
    "astreintes": ("/astreintes", 1440, 900, True),
    "signalement": ("/signalements/{report}", 1440, 900, True),
    "passe": ("/?as_of=2027-02-11T09:58", 1440, 900, False),
    "tuiles": ("/?carte=tuiles", 1440, 900, False),
    "mes-sites": ("/mes-sites", 390, 844, True),
    "publication": ("/publication", 1280, 900, True),
    "exercice": ("/exercice", 1440, 900, False),
    "personnes": ("/personnes", 1440, 900, False),
    "mise-en-service": ("/mise-en-service", 1440, 900, False),
    "compte": ("/compte", 1280, 900, True),
    "aide": ("/aide", 1440, 900, True),
    "guide": ("/guide/cellule", 1440, 900, True),
    "glossaire": ("/glossaire", 1440, 900, False),
    "accessibilite": ("/accessibilite", 1440, 900, False),
}
READERS: dict[str, dict[str, Any]] = {
    "personnes": {"role": "admin"},
    "mise-en-service": {"role": "admin"},
    "appel": {"role": None},
    "mes-sites": {"role": "site_manager", "sites": ("cen-1", "pmi-04", "gym-07")},
}
"""Reader of the screen, if not the coordinator."""
PICTURES = ("cellule", "incident", "mes-sites", "mur", "reaffectation", "signaler")
"""Screens that the README shows: `pytest tests/browser --screenshots` renews them."""
GROWING = ("personnes", "exercices", "sources")
"""Screens with lists of things that tests make: read first, while the lists are short."""
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice", "RGAAv4"]
}

COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
PALE_IN_THE_DARK = """() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync("@media (prefers-color-scheme: dark) { .pale { color: #444 !important } }");
  document.adoptedStyleSheets = [sheet];
}"""
ONE_OF_EACH = "{include: oneOfEachLook()}"
BEYOND_AXE = Path(__file__).with_name("beyond_axe.js").read_text()
WIDTHS = (1440, 1280, 1024, 640, 390, 320)
"""Widths at which texts are measured: screens, laptops, a tablet, half a screen, phones."""
STRIDE = 20
"""Presses of Tab between two questions whether the walk is over."""


def path_of(vigie: RunningVigie, realm: str, template: str) -> str:
    if template == "{call}":
        return call_of(vigie, realm)
    names = (
        {"incident": incident_of(vigie, realm), "report": report_of(vigie, realm)}
        if "{" in template
        else {}
    )
    return f"{template.format(**names)}{'&' if '?' in template else '?'}realm={realm}"


def settled(page: Page) -> None:
    """Wait for the fonts and for a tick of the clock."""
    page.evaluate("document.fonts.ready")
    expect(page.locator("body")).to_be_visible()


def defects(page: Page, theme: str) -> list[str]:
    """Find the defects that axe reports.

    The dark theme differs in colours only: there, one text of each look shows what is wrong.
    """
    rules, part = (RULES, "document") if theme == "light" else (COLOURS, ONE_OF_EACH)
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
        page.evaluate(BEYOND_AXE)
    options = rules | {"resultTypes": ["violations"], "preload": False}
    run = f"options => axe.run({part}, options)"
    axe_report: dict[str, Any] = page.evaluate(run, options | {"selectors": False})
    if axe_report["violations"]:  # Names of places take a seventh of the time
        axe_report = page.evaluate(run, options)
    return [
        f"{v['id']}: {v['help']} {[n['target'] for n in v['nodes'][:3]]}"
        for v in axe_report["violations"]
    ]


def repeated_ids(page: Page) -> list[str]:
    """Return the ids that several elements have; axe passes those that no label names."""
    ids = page.evaluate("Array.from(document.querySelectorAll('[id]'), one => one.id)")
    return sorted(id for id, count in Counter(ids).items() if count > 1)


def test_a_defect_in_one_of_many_equal_rows_is_found(reader: Accounts) -> None:
    """Hidden rows are those of a shape that is shown twice."""
    page = reader(None).page("/connexion")
    page.evaluate(BEYOND_AXE)
    rows = [f"<li><a href='/{n}'>row {n}</a></li>" for n in range(50)]
    rows[40] = "<li><a href='/40'></a></li>"
    page.evaluate(
        "rows => document.querySelector('main').innerHTML = rows", f"<ul>{''.join(rows)}</ul>"
    )
    page.evaluate("hideRepeated()")
    assert page.locator("main a:visible").count() <= 3
    assert [d.partition(":")[0] for d in defects(page, "light") if "/40" in d] == ["link-name"]


def test_a_text_or_field_that_only_the_dark_theme_makes_pale_is_found(reader: Accounts) -> None:
    """It looks like its equal neighbours, but for its colour or its background."""
    page = reader(None).page("/connexion")
    rows = [f"<p>row {n}</p><input value='field {n}' aria-label='field {n}'>" for n in range(9)]
    rows[3], rows[6] = (
        rows[3].replace("<p", "<p class=pale"),
        rows[6].replace("<input", "<input class=pale"),
    )
    page.evaluate(
        "html => document.querySelector('main').innerHTML = html", "<h1>Titre</h1>" + "".join(rows)
    )
    page.evaluate(PALE_IN_THE_DARK)
    page.emulate_media(color_scheme="light")
    assert defects(page, "light") == []
    page.emulate_media(color_scheme="dark")
    (contrast,) = defects(page, "dark")
    assert "'.pale:nth-child" in contrast
    assert "field 6" in contrast


def keyboard_defects(page: Page) -> list[str]:
    """Check the focus along all Tab stops; colour alone shows no state.

    The walk reads styles and places: nothing needs to be painted.
    """
    page.evaluate("document.documentElement.style.opacity = 0")
    try:
        return walk(page)
    finally:
        page.evaluate("document.documentElement.style.opacity = ''")


def walk(page: Page) -> list[str]:
    """Find the faults along all Tab stops."""
    page.evaluate(BEYOND_AXE)
    page.evaluate("watch()")
    presses = 0
    while presses < page.evaluate("walk.many") + STRIDE:
        for _ in range(STRIDE):
            page.keyboard.down("Tab")  # A held key repeats, for half of the messages
        page.keyboard.up("Tab")
        presses += STRIDE
        if page.evaluate("walk.over()"):
            return list(page.evaluate("walk.faults"))
    return [
        *page.evaluate("walk.faults"),
        f"the keyboard is held by {page.evaluate('document.activeElement.outerHTML')[:80]}",
    ]


def layout_defects(page: Page) -> dict[int, list[str]]:
    """Measure the page from a phone to a laptop; the page is loaded once."""
    faults_by_width: dict[int, list[str]] = {}
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 640})
        if faults := page.evaluate("layoutFaults()"):
            faults_by_width[width] = faults
    return faults_by_width


@pytest.mark.parametrize("name", sorted(SCREENS, key=lambda name: name not in GROWING))
def test_no_defect_in_either_theme_and_every_text_has_room_at_every_width(
    name: str, vigie: RunningVigie, crisis: str, reader: Accounts, pytestconfig: pytest.Config
) -> None:
    template, width, height, whole = SCREENS[name]
    who = reader(**READERS.get(name, {}))
    page = who.contexts[0].pages[0] if who.contexts else who.page()
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.goto(path_of(vigie, crisis, template))
    settled(page)
    if pytestconfig.getoption("--screenshots") and name in PICTURES:
        page.screenshot(path=ROOT / "docs" / "screenshots" / f"{name}.png", full_page=whole)
    assert repeated_ids(page) == [], "a link or a label would lead to the first of them"
    page.evaluate(BEYOND_AXE)
    page.evaluate("hideRepeated()")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        assert defects(page, theme) == [], theme
    assert keyboard_defects(page) == []
    assert layout_defects(page) == {}
    complaints, who.complaints[:] = [*who.complaints], []
    assert complaints == []
