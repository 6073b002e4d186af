"""The pictures of the French guide, from the running system, show the texts of their sections.

`pytest tests/browser/test_guide.py --screenshots` renews `docs/guide/images`.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect

from services.console.texts.words import ROLE
from services.console.web.navigation import list_groups
from tests.browser.conftest import Accounts
from tests.browser.test_accessibility import path_of, settled
from tests.browser.test_phone import call_of
from tests.guide import FOLDER, sections
from tests.system import RunningVigie

PHONE = (390, 844)
SCREEN = (1440, 900)
TALLEST = 760
"""Height of a picture of a part; the rest is cut off."""


@dataclass(frozen=True, slots=True)
class Picture:
    path: str
    """`{call}`: link of an open call; `{incident}`, `{report}` as in the accessibility test."""
    role: str | None = "cell"
    part: str | None = None
    """Part of the page that is shown; None shows the window."""
    size: tuple[int, int] = SCREEN
    sites: tuple[str, ...] = ()
    pressed: tuple[str, ...] = ()
    """Parts that are opened first."""


MINE = ("cen-1", "pmi-04", "gym-07")
PICTURES = {
    "connexion": Picture("/connexion", None, "main", PHONE),
    "bandeau": Picture("/", "cell", "#exo"),
    "mes-sites": Picture("/mes-sites", "site_manager", None, (390, 700), MINE),
    "signaler": Picture("/signaler?site=gym-07", "site_manager", None, (390, 1000), MINE),
    "rien-a-signaler": Picture("/signaler?site=gym-07", "site_manager", ".send", (390, 1000), MINE),
    "appel": Picture("{call}", None, None, (390, 720)),
    "taches": Picture("/?vue=taches", "technician", ".list"),
    "cellule": Picture("/", "coordinator"),
    "sans-nouvelles": Picture("/?vue=sans-nouvelles", "cell", ".list"),
    "ligne": Picture("/signaler", "cell", "#line", (390, 844)),
    "signalement": Picture("/signalements/{report}", "cell", "main"),
    "niveau": Picture("/incidents/{incident}", "coordinator", "#why"),
    "escalade": Picture("/incidents/{incident}", "cell", "[id^=ladder-]"),
    "appels": Picture("/appels", "coordinator", ".sitegrid > .stack:last-of-type"),
    "main-courante": Picture("/main-courante", "cell", "#write"),
    "point": Picture("/sitrep", "cell", None, (1440, 800), pressed=("#complete > summary",)),
    "releve": Picture("/releve?depuis=30", "cell"),
    "plans": Picture("/plans", "director", "#plans"),
    "activites": Picture("/activites", "director"),
    "reaffectation": Picture("/reaffectation", "director", "#choose"),
    "observateur": Picture("/", "observer"),
    "passe": Picture("/?as_of=2027-02-11T09:58", "observer"),
    "exercices": Picture("/realms", "coordinator", "main section:has(#title)"),
    "animer": Picture("/exercice", "coordinator", "main"),
    "retex": Picture("/retex", "coordinator", None, (1440, 800), pressed=("#improve > summary",)),
    "compte-ouvrir": Picture("/personnes", "admin", "section:has(#login)"),
    "comptes": Picture("/personnes", "admin", "#accounts"),
    "astreintes": Picture("/astreintes", "admin", ".inc"),
}
ANYWHERE = {
    *(d.label for _title, found in list_groups() for d in found),
    *ROLE.values(),
    "Remonter le temps",
    "Glossaire",
    "Rectifier ce message",
}
"""Words of the frame, names of accounts, and a button that only a finished call-out shows."""


def shot(page: Page, picture: Picture, name: str, *, renewed: bool) -> None:
    """Open and find the parts of a picture; write it if the pictures are `renewed`."""
    for part in picture.pressed:
        page.locator(part).click()
    settled(page)
    box = page.locator(picture.part).first.bounding_box() if picture.part else None
    assert (box is None) is (picture.part is None), name
    if not renewed:
        return
    file = FOLDER / "images" / f"{name}.png"
    if box is None:
        page.screenshot(path=file, animations="disabled")
        return
    clip = {
        "x": box["x"],
        "y": box["y"],
        "width": box["width"],
        "height": min(box["height"], TALLEST),
    }
    page.screenshot(path=file, animations="disabled", full_page=True, clip=clip)  # type: ignore[arg-type]


def said(page: Page) -> str:
    """Return every word of the page, opened or not, with plain spaces."""
    return " ".join(str(page.evaluate("document.body.textContent")).split())


def missing(page: Page, name: str) -> list[str]:
    """Return words of the sections for this picture that are missing on its page."""
    picture_sections = [s for s in sections() if name in s.pictures]
    assert picture_sections, f"no page of the guide shows {name}"
    page_text = said(page)
    return [
        word
        for s in picture_sections
        if s.pictures == [name]
        for word in s.words
        if word not in page_text and word not in ANYWHERE
    ]


READERS = {picture.role: picture.sites for picture in PICTURES.values()}


@pytest.mark.parametrize("role", READERS, ids=str)
def test_pictures_match_the_guide(
    role: str | None,
    vigie: RunningVigie,
    crisis: str,
    visitor: Accounts,
    pytestconfig: pytest.Config,
) -> None:
    renewed = bool(pytestconfig.getoption("--screenshots"))
    page = visitor(role, sites=READERS[role]).page(color_scheme="light", reduced_motion="reduce")
    for name, picture in PICTURES.items():
        if picture.role == role:
            page.set_viewport_size({"width": picture.size[0], "height": picture.size[1]})
            page.goto(
                call_of(vigie, crisis)
                if picture.path == "{call}"
                else path_of(vigie, crisis, picture.path)
            )
            expect(page.locator("main")).to_be_visible()
            assert missing(page, name) == [], name
            shot(page, picture, name, renewed=renewed)


def test_the_console_shows_the_guide_without_a_login(visitor: Accounts) -> None:
    page = visitor(None).page("/aide")
    page.get_by_role("link", name="Guide par rôle").first.click()
    page.get_by_role("link", name="Responsable de site").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Responsable de site")
    page.wait_for_load_state()
    assert (
        page.evaluate(
            "Promise.all([...document.images].map(i => i.decode())).then(all => all.length)"
        )
        > 2
    )
    page.get_by_role("link", name="Toutes les pages du guide").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Guide de Vigie")
