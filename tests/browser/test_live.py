"""Changes arrive without a reload and disturb no reader; a dead connection is shown."""

from __future__ import annotations

import json
import re
from datetime import datetime

import pytest
from playwright.sync_api import Error, Request, Route, expect

from tests.browser.conftest import Accounts, report
from tests.system import RunningVigie
from tests.waiting import until


def test_a_report_shows_at_once_and_disturbs_nothing(
    vigie: RunningVigie, own_realm: str, visitor: Accounts
) -> None:
    page = visitor().page(f"/?realm={own_realm}")
    expect(page.get_by_role("heading", name="Rien d’ouvert")).to_be_visible()
    report(vigie, own_realm, "cul-04")
    expect(page.locator("[data-row][data-site=cul-04]")).to_contain_text("sans courant")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("n")
    page.keyboard.type("en cours de frappe")
    page.evaluate("document.querySelector('[data-row]').dataset.seen = 'yes'")
    for site in ("sst-06", "pmi-04", "gym-07"):
        report(vigie, own_realm, site)
    expect(page.locator("[data-row]")).to_have_count(4)
    expect(page.locator("svg use[data-site=gym-07]").first).to_be_attached()
    expect(page.get_by_label("Main courante", exact=True)).to_have_value("en cours de frappe")
    expect(page.get_by_label("Main courante", exact=True)).to_be_focused()
    expect(page.locator("[data-row][aria-selected=true]")).to_have_attribute("data-site", "cul-04")
    assert page.evaluate("performance.getEntriesByType('navigation').length") == 1
    expect(page.locator("#side h2 a")).to_contain_text("Coupure électrique")
    expect(page.locator("#digest")).not_to_be_empty()


def test_a_screen_reader_hears_the_last_of_several_facts(
    vigie: RunningVigie, own_realm: str, visitor: Accounts
) -> None:
    """A fact within 20 s of a sentence was read with the next one, perhaps hours later."""
    page = visitor().page()
    page.clock.install()
    page.goto(f"/?realm={own_realm}")
    expect(page.get_by_role("heading", name="Rien d’ouvert")).to_be_visible()
    report(vigie, own_realm, "cul-04")
    expect(page.locator("#digest")).not_to_be_empty()
    sentence = page.locator("#digest").inner_text()
    report(vigie, own_realm, "gym-07")
    expect(page.locator("[data-row]")).to_have_count(2)
    page.clock.fast_forward(21_000)
    expect(page.locator("#digest")).not_to_have_text(sentence)


def test_a_change_between_the_page_and_its_stream_is_shown(
    vigie: RunningVigie, own_realm: str, visitor: Accounts
) -> None:
    """The page was made before the report, the stream begins after it: no event mentions it."""
    who = visitor()
    context = who.context()
    context.add_init_script("delete window.SharedWorker")
    page = who.page(context=context)
    pending_routes: list[Route] = []

    def hold(route: Route) -> None:
        pending_routes.append(route)

    page.route("**/api/v1/stream*", hold)
    assert (
        vigie.http.post(
            f"/api/v1/realms/{own_realm}/pause", headers={"Prefer": "wait=10"}
        ).status_code
        == 200
    )
    page.goto(f"/?realm={own_realm}")
    expect(page.get_by_role("heading", name="Rien d’ouvert")).to_be_visible()
    report(vigie, own_realm, "cul-04")
    until(lambda: vigie.get(f"/api/v1/sites/cul-04?realm={own_realm}")["status"] != "normal")
    before: object = None
    while before != (
        now := vigie.get(f"/api/v1/overview?realm={own_realm}")["counts"]
    ):  # until nothing more follows from it
        before = now
        page.wait_for_timeout(700)
    expect(page.locator("[data-row]")).to_have_count(0)
    pending_routes[0].continue_()
    expect(page.locator("[data-row][data-site=cul-04]")).to_contain_text(
        "sans courant", timeout=5_000
    )


def test_one_connection_serves_all_tabs_of_a_browser(
    vigie: RunningVigie, crisis: str, visitor: Accounts
) -> None:
    who = visitor()
    context = who.context()
    pages = [
        who.page(f"/?realm={crisis}", context=context),
        who.page(f"/activites?realm={crisis}", context=context),
    ]
    for page in pages:
        page.wait_for_function("parseInt(document.getElementById('age').textContent) <= 6")
    assert (
        pages[0].evaluate("performance.getEntriesByName(location.origin + '/api/v1/stream').length")
        == 0
    )


@pytest.mark.parametrize(
    ("path", "motion"), [("/", "no-preference"), ("/mur", "no-preference"), ("/", "reduce")]
)
def test_the_sign_of_life_moves_when_something_is_heard_and_nothing_moves_without_end(
    path: str, motion: str, crisis: str, visitor: Accounts
) -> None:
    """Constant animation keeps a twelfth of a core busy on every screen."""
    who = visitor()
    context = who.context(reduced_motion=motion)
    context.add_init_script("""window.moved = []; const was = Element.prototype.animate;
        Element.prototype.animate = function (...how) { moved.push(this.closest("[id]").id); return was.apply(this, how); };""")
    page = who.page(f"{path}?realm={crisis}", context=context)
    expect(page.locator("#age")).not_to_be_empty()
    if motion == "no-preference":
        until(lambda: "live" in page.evaluate("moved"))
    assert (
        page.evaluate(
            "document.getAnimations().filter(a => a.effect.getTiming().iterations === Infinity).length"
        )
        == 0
    )
    assert ("live" in page.evaluate("moved")) is (motion == "no-preference")


def test_silence_freezes_the_page_and_life_thaws_it(crisis: str, visitor: Accounts) -> None:
    who = visitor()
    context = who.context()
    context.add_init_script("delete window.SharedWorker")
    page = who.page(context=context)
    page.clock.install()
    page.goto(f"/?realm={crisis}")
    expect(page.locator("#frozen")).to_be_hidden()
    page.route("**/api/v1/stream*", lambda route: route.abort())
    page.evaluate("window.dispatchEvent(new Event('pagehide'))")
    page.reload()
    page.clock.fast_forward(16_000)
    expect(page.locator("#frozen")).to_be_visible()
    expect(page.locator("#frozen")).to_contain_text(
        re.compile(r"Données figées depuis \d\d:\d\d:\d\d")
    )
    expect(page.locator("html")).to_have_class("is-frozen")
    assert page.locator("main").evaluate("e => getComputedStyle(e).filter") == "grayscale(1)"
    expect(page.locator("#digest")).to_contain_text("Données figées")
    sentence = page.locator("#digest").inner_text()
    page.evaluate("document.getElementById('frozen').firstChild.kept = true")
    page.clock.run_for(5_000)
    assert page.evaluate("document.getElementById('frozen').firstChild.kept"), (
        "links keep the focus"
    )
    assert page.locator("#frozen").get_attribute("role") is None, "nobody hears the seconds"
    assert page.locator("#digest").inner_text() == sentence
    page.unroute("**/api/v1/stream*")
    for _ in range(20):
        page.clock.fast_forward(2_000)
        if page.locator("#frozen").is_hidden():
            break
        page.wait_for_timeout(100)
    expect(page.locator("#frozen")).to_be_hidden()


def test_an_ended_session_is_announced_and_leads_to_the_login(
    vigie: RunningVigie, crisis: str, visitor: Accounts
) -> None:
    who = visitor("liaison")
    context = who.context()
    page = who.page(f"/?realm={crisis}", context=context)
    context.clear_cookies()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#frozen")).to_contain_text("Session terminée")
    expect(page.get_by_role("link", name="Se reconnecter")).to_have_attribute(
        "href", re.compile(r"^/connexion\?next=%2F%3Frealm")
    )


def test_a_text_outlives_the_end_of_the_session(place: str, visitor: Accounts) -> None:
    """The link to the login took the page away, and the text with it."""
    who = visitor()
    context = who.context()
    page = who.page(f"/main-courante?realm={place}", context=context)
    page.get_by_label("Ce qui s’est passé").fill("478 élèves au gymnase, aucun blessé.")
    cookies = context.cookies()
    context.clear_cookies()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#frozen")).to_contain_text("ce que vous avez écrit reste ici")
    with context.expect_page() as other:
        page.get_by_role("link", name="Se reconnecter").click()
    other.value.close()
    context.add_cookies(cookies)  # type: ignore[arg-type]
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#frozen")).to_be_hidden()
    page.get_by_role("button", name="Ajouter la ligne").click()
    expect(page.locator("main")).to_contain_text("478 élèves au gymnase, aucun blessé.")
    expect(page.get_by_label("Ce qui s’est passé")).to_have_value("")


def test_a_text_outlives_a_reload_and_a_lost_network(place: str, visitor: Accounts) -> None:
    """The page came back empty, and the person wrote everything again."""
    who = visitor()
    context = who.context()
    page = who.page(f"/appels?realm={place}", context=context)
    expect(page.get_by_text("En direct")).to_be_visible()
    message = page.get_by_label("Message", exact=False).first
    sites = page.locator("form[action='/api/v1/callouts'] [data-pick]")
    message.fill("Restez chez vous.")
    sites.fill("cen-1, gym-07")
    sites.press("Tab")
    for leave in ("reload", "language", "offline"):
        if leave == "reload":
            page.reload()
        elif leave == "language":
            page.goto(f"/appels?lang=fr&realm={place}")
        else:
            context.set_offline(True)
            with pytest.raises(Error):
                page.goto("/")
            context.set_offline(False)
            page.goto(f"/appels?realm={place}")
        expect(message).to_have_value("Restez chez vous.")
        expect(page.locator("form[action='/api/v1/callouts'] .picker li")).to_have_count(2)
        expect(page.locator("#said-tell")).to_contain_text("Votre texte est repris ici")
    who.complaints.clear()  # the page without a network


def test_a_request_that_a_reload_cuts_off_counts_once_when_repeated(
    vigie: RunningVigie, place: str, visitor: Accounts
) -> None:
    page = visitor().page(f"/main-courante?realm={place}")
    expect(page.get_by_text("En direct")).to_be_visible()
    keys: list[str] = []

    def lose_the_first_answer(route: Route, request: Request) -> None:
        keys.append(request.headers["idempotency-key"])
        if len(keys) == 1:
            route.fetch()
        else:
            route.continue_()

    page.route("**/api/v1/log?*", lose_the_first_answer)
    line = page.get_by_label("Ce qui s’est passé")
    line.fill("le groupe démarre")
    page.get_by_role("button", name="Ajouter la ligne").click()
    until(lambda: page.evaluate("1") and keys)
    page.reload()
    expect(line).to_have_value("le groupe démarre")
    page.get_by_role("button", name="Ajouter la ligne").click()
    expect(line).to_have_value("")
    assert keys[0] == keys[1]
    lines = vigie.get(f"/api/v1/log?realm={place}&kind=note")["items"]
    assert [one["text"] for one in lines].count("le groupe démarre") == 1
    page.reload()
    expect(page.get_by_text("En direct")).to_be_visible()
    expect(line).to_have_value("")


def test_a_decision_after_the_end_of_the_session_leads_to_the_login(
    place: str, visitor: Accounts
) -> None:
    """It asked for «Authorization: Bearer …», and the page went on as if nothing had happened."""
    who = visitor()
    context = who.context()
    page = who.page(f"/main-courante?realm={place}", context=context)
    page.get_by_label("Ce qui s’est passé").fill("Reprise des repas à 12 h.")
    context.clear_cookies()
    page.get_by_role("button", name="Ajouter la ligne").click()
    expect(page.locator("#said-line")).to_contain_text(
        re.compile(r"Session terminée\s: rien n’est parti")
    )
    expect(page.get_by_role("link", name="Se reconnecter")).to_be_visible()
    expect(page.get_by_label("Ce qui s’est passé")).to_have_value("Reprise des repas à 12 h.")


def test_time_moves_and_countdowns_come_from_the_server(own_realm: str, visitor: Accounts) -> None:
    page = visitor().page(f"/?realm={own_realm}")
    page.clock.install()
    before = page.locator("#clock").inner_text()
    assert before.startswith(
        ("09:39:5", "09:4")
    )  # the server's second and the page's need not begin together
    page.clock.run_for(3_000)
    expect(page.locator("#clock")).not_to_have_text(before)
    clock_text = page.locator("#clock").inner_text()
    page.reload()
    assert page.locator("#clock").inner_text() >= clock_text, (
        "the clock of an exercise never goes back"
    )


def test_a_clock_ahead_of_the_server_waits_for_it(
    vigie: RunningVigie, place: str, visitor: Accounts
) -> None:
    """A page that was ahead of the server kept its lead for good, up to two minutes."""
    who = visitor()
    context = who.context()
    server_clock = datetime.fromisoformat(vigie.get(f"/api/v1/realms/{place}")["shown_clock"])
    ahead_ms = int(server_clock.timestamp() * 1000) + 60_000
    context.add_init_script(f"sessionStorage.setItem({json.dumps(f'clock {place}')}, {ahead_ms})")
    page = who.page(context=context)
    page.clock.install()
    page.goto(f"/?realm={place}")
    page.clock.run_for(1_000)
    clock_text = page.locator("#clock").inner_text()
    page.clock.run_for(5_000)
    assert page.locator("#clock").inner_text() == clock_text


def test_a_page_without_refresh_is_marked_as_frozen(
    vigie: RunningVigie, place: str, visitor: Accounts
) -> None:
    """The stream was alive while every refresh failed: «En direct» stood over outdated data."""
    who = visitor()
    page = who.page()
    page.clock.install()
    page.goto(f"/?realm={place}")
    expect(page.locator("#frozen")).to_be_hidden()

    def fail(route: Route) -> None:
        route.fulfill(status=500, body="")

    page.route(re.compile(r"/\?realm="), fail)
    report(vigie, place, "cul-04")
    for _second in range(30):
        page.clock.run_for(1_000)
        page.wait_for_timeout(100)
    expect(page.locator("#frozen")).to_contain_text("Données figées")
    page.unroute(re.compile(r"/\?realm="), fail)
    for _second in range(12):
        page.clock.run_for(1_000)
        page.wait_for_timeout(100)
    expect(page.locator("[data-row][data-site=cul-04]")).to_be_visible()
    expect(page.locator("#frozen")).to_be_hidden()


def test_a_page_without_an_answer_is_marked_as_frozen_and_retries(
    vigie: RunningVigie, place: str, visitor: Accounts
) -> None:
    """A half-dead connection gives no answer: the page waited for ever and said «En direct»."""
    page = visitor().page(f"/?realm={place}")
    page.wait_for_load_state()
    pending_routes: list[Route] = []
    path = re.compile(r"/\?realm=")
    page.route(path, lambda route: pending_routes.append(route))  # noqa: PLW0108  Playwright writes an attribute on its handlers
    report(vigie, place, "gym-07")
    expect(page.locator("#frozen")).to_contain_text("Données figées", timeout=30_000)
    assert pending_routes
    page.unroute(path)
    expect(page.locator("[data-row][data-site=gym-07]")).to_be_visible()
    expect(page.locator("#frozen")).to_be_hidden()


def test_a_missing_page_is_reported(crisis: str, visitor: Accounts) -> None:
    page = visitor().page(f"/?realm={crisis}")
    page.wait_for_load_state()
    page.route(
        re.compile(r"/\?realm="),
        lambda route: route.fulfill(
            status=404, content_type="text/html", body="<h1>Introuvable</h1>"
        ),
    )
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.get_by_role("heading", name="Introuvable")).to_be_visible()
