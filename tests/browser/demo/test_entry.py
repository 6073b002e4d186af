"""The first page of a system that was just started with the demo."""

from __future__ import annotations

from urllib.parse import unquote

from playwright.sync_api import Browser, expect

from tests.browser.conftest import Visitor, log_in
from tests.system import RunningVigie
from tests.waiting import until


def test_the_first_page_shows_the_running_exercise_and_users_can_go_to_the_live_realm(
    demo: RunningVigie, browser: Browser
) -> None:
    """This is the state after `make up`: S04 plays, the live realm is calm."""
    until(lambda: _opened(demo), 240)
    until(lambda: _plays_feeds(demo), 240)
    for state in (None, log_in(demo, browser, "coordinator", "coordinateur_pca")):
        page = Visitor(browser, demo.url, state).page("/")
        assert "realm=92~ex-" in unquote(page.url)
        band = page.locator("#exo")
        expect(band).to_contain_text("EXERCICE")
        assert page.title().startswith("[EXERCICE]")
        if state is None:
            expect(band.get_by_role("link")).to_have_count(0)
            expect(page.get_by_role("link", name="Se connecter pour décider")).to_be_visible()
        else:
            band.get_by_role("link").click()
            expect(page.get_by_role("heading", name="Rien d’ouvert")).to_be_visible()
            expect(page.locator("#exo")).to_have_count(0)
            page.locator("#side").get_by_role("link", name="S04").first.click()
            expect(page.locator("#exo")).to_contain_text("S04")
        page.context.close()


def _opened(vigie: RunningVigie) -> bool:
    """Return whether the exercise has its incident; the one of the feeds may open before it."""
    names = [r["name"] for r in vigie.get("/api/v1/realms")["items"] if "~ex-demo" in r["name"]]
    return any(vigie.get(f"/api/v1/overview?realm={name}")["incidents"] for name in names)


def _plays_feeds(vigie: RunningVigie) -> bool:
    """Return whether samples of all official feeds play, and each is understood."""
    feeds = vigie.get("/api/v1/feeds")
    return feeds["samples"] and [f["state"] for f in feeds["items"]] == ["ok"] * len(feeds["items"])
