"""On a phone: report in 45 seconds, network or not; answer a call without an account."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta
from pathlib import Path

from playwright.sync_api import Page, Route, expect

from services.runtime.identity.signed_links import AnswerLink, AnswerLinks
from services.territory.official_days import PARIS
from tests.browser.conftest import Accounts, report
from tests.browser.test_overtaken import decide
from tests.browser.test_screens import incident_of
from tests.faults.wire import Wire
from tests.system import RunningVigie
from tests.unit.intake.test_attachments import png
from tests.waiting import until

PHONE = {"width": 390, "height": 844}
KEPT = "caches.open('vigie-signaler').then(cache => cache.match(location.href)).then(Boolean)"
"""The worker has the page, which it takes last."""


def fill(page: Page, site: str) -> None:
    page.get_by_label("1. Site").fill(site)
    page.locator("label", has_text="Électricité").click()
    page.get_by_text("Non, fermé").click()
    page.get_by_text("Non", exact=True).click()
    page.get_by_label("5. En une phrase").fill("Plus de courant, 493 élèves en classe.")


def test_a_site_reports_in_six_fields_and_eight_taps_at_most_and_gets_its_number(
    vigie: RunningVigie, place: str, visitor: Accounts
) -> None:
    page = visitor("site_manager").page(f"/signaler?realm={place}", **PHONE)
    page.evaluate(
        "window.taps = 0; document.addEventListener('pointerdown', () => taps += 1, true)"
    )
    assert page.locator("#report :is(label.lab, legend)").count() <= 6
    for field in ("1. Site", "5. En une phrase"):
        page.get_by_label(field).click()  # `fill` alone is no tap
    fill(page, str(page.locator("#sites option[data-id=gym-01]").get_attribute("value")))
    page.get_by_role("button", name="Envoyer").click()
    assert 6 <= page.evaluate("taps") <= 8
    expect(page.locator("#said")).to_have_text(re.compile(r"Reçu à \d\d:\d\d, numéro [0-9a-f]{8}"))
    expect(page.locator("#queue")).to_be_hidden()
    until(lambda: vigie.get(f"/api/v1/sites/gym-01?realm={place}")["status"] == "closed")


def test_a_receipt_tells_the_time_of_the_server(visitor: Accounts) -> None:
    """The clock of the phone is an hour fast, and the receipt disagreed with the logbook."""
    who = visitor("site_manager")
    context = who.context(**PHONE)
    context.add_init_script("const wrong = Date.now; Date.now = () => wrong() + 3600000")
    page = who.page("/signaler?site=gym-07", context=context)
    expect(page.locator("#send")).to_be_enabled()
    page.locator("#calm").click()
    expect(page.locator("#said")).to_contain_text("Reçu à")
    minutes = (datetime.now(PARIS) - timedelta(minutes=m) for m in (0, 1))
    receipt = page.locator("#said").inner_text()
    assert any(f"Reçu à {at:%H:%M}," in receipt for at in minutes), receipt


def test_each_button_sends_a_report_of_its_kind(place: str, visitor: Accounts) -> None:
    """D75: flooding has its own type; a report without a button needs a sentence."""
    page = visitor("site_manager").page(f"/signaler?realm={place}&site=gym-07", **PHONE)
    expect(page.locator("#send")).to_be_enabled()
    cases = (
        ("Odeur ou fuite de gaz", "Non, fermé", False, "", ("gas_leak", 4, None)),
        ("Confinement", "Non, fermé", False, "", ("shelter_in_place", 4, None)),
        ("Sous-effectif", "En partie", False, "", ("staff_shortage", 3, None)),
        (
            "Inondation",
            "En partie",
            False,
            "La cave.",
            ("damage_report", 3, "Inondation : La cave."),
        ),
        ("Dégâts au bâtiment", "En partie", False, "Vitre.", ("damage_report", 3, "Vitre.")),
        ("Autre", "Oui", False, "Odeur forte.", ("info", 2, "Odeur forte.")),
        ("Autre", "Oui", True, "Chien agressif.", ("partial_closure", 5, "Chien agressif.")),
    )
    for button, going, danger, sentence, expected_report in cases:
        page.locator("label", has_text=button).click()
        page.get_by_text(going, exact=True).click()
        page.get_by_text(
            "Oui, et j’appelle le 18 ou le 112" if danger else "Non", exact=True
        ).click()
        page.get_by_label("5. En une phrase").fill(sentence)
        with page.expect_request("**/api/v1/reports") as request_info:
            page.get_by_role("button", name="Envoyer", exact=True).click()
        posted_report = request_info.value.post_data_json
        assert (
            posted_report["type"],
            posted_report["severity"],
            posted_report.get("description"),
        ) == expected_report
        expect(page.locator("#said")).to_have_text(re.compile("Reçu à"))
    page.locator("label", has_text="Autre").click()
    page.get_by_text("Oui", exact=True).click()
    page.get_by_text("Non", exact=True).click()
    page.get_by_role("button", name="Envoyer", exact=True).click()
    expect(page.locator("#said")).to_have_text("Dites en une phrase ce qui se passe.")


def test_a_site_reports_by_the_keyboard_alone(
    vigie: RunningVigie, place: str, visitor: Accounts
) -> None:
    page = visitor("site_manager").page(f"/signaler?realm={place}&site=gym-02", **PHONE)
    expect(page.locator("#send")).to_be_enabled()
    page.get_by_label("1. Site").focus()
    for keys in ("Tab", "Space", "Tab", "ArrowDown", "Tab", "Space", "Tab"):
        page.keyboard.press(keys)
    page.keyboard.type("Plus de courant.")
    for keys in ("Tab", "Tab", "Enter"):
        page.keyboard.press(keys)
    expect(page.locator("#said")).to_have_text(re.compile(r"Reçu à \d\d:\d\d"))
    until(lambda: vigie.get(f"/api/v1/sites/gym-02?realm={place}")["status"] != "normal")


def test_the_form_cannot_be_sent_before_the_scripts_load(place: str, visitor: Accounts) -> None:
    page = visitor("site_manager").page(**PHONE)
    pending_routes: list[Route] = []
    page.route("**/js/report.js", lambda route: pending_routes.append(route))  # noqa: PLW0108  Playwright writes an attribute on its handlers
    page.goto(f"/signaler?realm={place}&site=gym-07", wait_until="commit")
    for button in ("#send", "#calm", "#over"):
        expect(page.locator(button)).to_be_disabled()
    until(lambda: page.evaluate("1") and pending_routes)
    pending_routes[0].continue_()
    for button in ("#send", "#calm", "#over"):
        expect(page.locator(button)).to_be_enabled()


def test_without_network_the_report_waits_on_the_phone_and_leaves_once(
    vigie: RunningVigie, own_realm: str, visitor: Accounts
) -> None:
    who = visitor("site_manager")
    context = who.context(**PHONE)
    page = who.page(f"/signaler?realm={own_realm}&site=gym-07", context=context)
    fill(page, page.get_by_label("1. Site").input_value())
    context.set_offline(True)
    expect(page.locator("#send")).to_have_text("Envoyer dès que possible")
    page.locator("#send").click()
    expect(page.locator("#queue")).to_contain_text("1 signalement en attente d’envoi")
    context.set_offline(False)
    expect(page.locator("#said")).to_have_text(re.compile("Reçu à"))
    expect(page.locator("#queue")).to_be_hidden()
    marker = report(vigie, own_realm, "cul-04")  # it lies behind whatever the phone has sent
    until(lambda: vigie.get(f"/api/v1/reports/{marker}?realm={own_realm}")["state"] == "applied")
    assert vigie.get(f"/api/v1/overview?realm={own_realm}")["counts"]["reports"] == 2


def test_a_report_that_is_not_sent_outlives_a_reload_a_login_and_a_lost_network(
    visitor: Accounts,
) -> None:
    """The form came back empty; another person at the same device finds it empty."""
    who = visitor("site_manager")
    context = who.context(**PHONE)
    page = who.page("/signaler?site=gym-07", context=context)
    expect(page.locator("#send")).to_be_enabled()
    page.locator("label", has_text="Électricité").click()
    page.get_by_label("5. En une phrase").fill("Plus de courant au gymnase.")
    page.locator("#photo").set_input_files(
        {"name": "compteur.png", "mimeType": "image/png", "buffer": png()}
    )
    cookies = context.cookies()

    def expect_the_text() -> None:
        expect(page.get_by_label("5. En une phrase")).to_have_value("Plus de courant au gymnase.")
        assert page.locator("[name=trouble]:checked").get_attribute("value") == "power"
        expect(page.locator("#said")).to_have_text(
            "Votre saisie est reprise ici : elle n’est pas partie. Reprenez la photo."
        )

    page.reload()
    expect_the_text()
    page.locator("#photo").set_input_files(
        {"name": "compteur.png", "mimeType": "image/png", "buffer": png()}
    )
    context.set_offline(True)
    page.goto("about:blank")
    context.set_offline(False)
    page.goto("/signaler?site=gym-07")
    expect_the_text()
    page.locator("#photo").set_input_files(
        {"name": "compteur.png", "mimeType": "image/png", "buffer": png()}
    )
    context.clear_cookies()
    page.goto("/mes-sites")
    expect(page.get_by_label("Code à usage unique")).to_be_visible()
    context.add_cookies(cookies)  # type: ignore[arg-type]
    page.goto("/signaler?site=gym-07")
    expect_the_text()
    context.clear_cookies()
    other = visitor("coordinator").state
    assert other is not None
    context.add_cookies(other["cookies"])  # type: ignore[arg-type]
    page.goto("/signaler?site=gym-07")
    expect(page.locator("#send")).to_be_enabled()
    expect(page.get_by_label("5. En une phrase")).to_have_value("")


def test_a_line_without_an_answer_counts_once_when_it_is_sent_after_a_reload(
    place: str, visitor: Accounts
) -> None:
    page = visitor("coordinator").page(f"/signaler?realm={place}", **PHONE)
    keys: list[str | None] = []

    def lose_the_first_answer(route: Route) -> None:
        keys.append(route.request.headers.get("idempotency-key"))
        if len(keys) == 1:
            route.fetch()
            route.abort()
        else:
            route.continue_()

    page.route("**/api/v1/reports:line", lose_the_first_answer)
    send = page.get_by_role("button", name="Envoyer la ligne")
    page.get_by_label("Comme un SMS").fill("117 EAU PARTIEL")
    send.click()
    expect(page.locator("#said-line")).to_contain_text("Pas de réponse")
    page.reload()
    expect(page.get_by_label("Comme un SMS")).to_have_value("117 EAU PARTIEL")
    expect(page.locator("#said-line")).to_contain_text("Votre ligne est reprise ici")
    send.click()
    expect(page.locator("#said-line")).to_contain_text("Reçu à")
    assert keys[0]
    assert keys[0] == keys[1]
    page.reload()
    expect(send).to_be_enabled()
    expect(page.get_by_label("Comme un SMS")).to_have_value("")


def test_reports_made_offline_survive_a_reload_and_make_one_incident(
    vigie: RunningVigie, own_realm: str, visitor: Accounts
) -> None:
    """Twice the same trouble, the page reloaded without a network, then the network back."""
    who = visitor("site_manager")
    context = who.context(**PHONE)
    page = who.page(f"/signaler?realm={own_realm}&site=gym-07", context=context)
    page.evaluate("navigator.serviceWorker.ready")
    until(lambda: page.evaluate(KEPT))
    context.set_offline(True)
    for waiting in ("1 signalement", "2 signalements"):
        fill(page, page.get_by_label("1. Site").input_value())
        page.locator("#send").click()
        expect(page.locator("#queue")).to_contain_text(f"{waiting} en attente d’envoi")
    page.reload()
    expect(page.locator("#queue")).to_contain_text("2 signalements en attente d’envoi")
    expect(page.get_by_label("1. Site")).to_have_value(re.compile("gym-07"))
    context.set_offline(False)
    expect(page.locator("#queue")).to_be_hidden()
    marker = report(vigie, own_realm, "cul-04", "outage_water")
    until(lambda: vigie.get(f"/api/v1/reports/{marker}?realm={own_realm}")["state"] == "applied")
    incidents = vigie.get(f"/api/v1/incidents?realm={own_realm}&site=gym-07")["items"]
    assert [(i["reports_count"], i["duplicates_count"]) for i in incidents] == [(2, 1)]


def test_the_form_of_another_site_stands_in_offline_for_the_site_of_the_link(
    vigie: RunningVigie, place: str, visitor: Accounts
) -> None:
    """It showed the site, the trouble and the end of the link before, as if this link had them."""
    who = visitor("site_manager")
    context = who.context(**PHONE)
    here = f"/signaler?realm={place}&site=gym-04&quoi=outage_power&fini=outage_power"
    page = who.page(here, context=context)
    until(lambda: page.evaluate(KEPT))
    context.set_offline(True)
    page.goto(f"/signaler?realm={place}&site=cul-05")
    expect(page.get_by_label("1. Site")).to_have_value(re.compile("cul-05"))
    expect(page.locator("#over")).to_have_text("C’est fini, le site refonctionne")
    assert page.locator("#report :checked").count() == 0
    for trouble in ("Eau", "Électricité"):
        page.locator("label", has_text=trouble).click()
        page.get_by_text("En partie").click()
        page.get_by_text("Non", exact=True).click()
        page.locator("#send").click()
        expect(page.locator("#queue li").last).to_contain_text(re.compile(f"{trouble}, .*cul-05"))
    expect(page.locator("#said")).to_contain_text("Pas encore parti")
    page.goto(f"/signaler?realm={place}")
    expect(page.locator("#queue li")).to_have_count(2)
    expect(page.get_by_label("1. Site")).to_have_value("")
    context.set_offline(False)
    expect(page.locator("#said")).to_have_text(re.compile(r"(Reçu à [^.]*\. ?){2}$"))
    expect(page.locator("#queue")).to_be_hidden()
    until(lambda: vigie.get(f"/api/v1/sites/cul-05?realm={place}")["status"] == "degraded")
    assert vigie.get(f"/api/v1/sites/gym-04?realm={place}")["status"] == "normal"


def test_the_sites_of_a_manager_tell_of_a_report_that_has_not_left(
    vigie: RunningVigie, place: str, visitor: Accounts
) -> None:
    """The form was closed without a network: nothing else said that the report still waited."""
    who = visitor("site_manager", sites=("gym-05",))
    context = who.context(**PHONE)
    page = who.page(f"/mes-sites?realm={place}", context=context)
    expect(page.locator("#unsent")).to_be_hidden()
    page.goto(f"/signaler?realm={place}&site=gym-05")
    context.set_offline(True)
    fill(page, page.get_by_label("1. Site").input_value())
    page.locator("#send").click()
    expect(page.locator("#queue")).to_contain_text("1 signalement en attente d’envoi")
    page.goto("about:blank")
    context.set_offline(False)
    page.goto(f"/mes-sites?realm={place}")
    expect(page.locator("#unsent")).to_contain_text("n’est pas parti de cet appareil")
    page.get_by_role("link", name="L’envoyer").click()
    expect(page.locator("#said")).to_contain_text("Reçu à")
    page.goto(f"/mes-sites?realm={place}")
    expect(page.locator("#mine")).to_contain_text("Coupure d’électricité")
    expect(page.locator("#unsent")).to_be_hidden()


def test_a_network_that_swallows_everything_holds_neither_the_form_nor_the_next_report(
    vigie: RunningVigie, own_realm: str, visitor: Accounts
) -> None:
    """No answer, and no error either: one bar of signal in a cellar."""
    with Wire(vigie.url.removeprefix("http://")) as wire:
        who = visitor("site_manager")
        context = who.context(base_url=f"http://{wire.address}", **PHONE)
        page = who.page(f"/signaler?realm={own_realm}&site=gym-07", context=context)
        until(lambda: page.evaluate(KEPT))
        wire.silence()
        page.reload(wait_until="domcontentloaded")
        for waiting in ("1 signalement", "2 signalements"):
            fill(page, page.get_by_label("1. Site").input_value())
            page.locator("#send").click()
            expect(page.locator("#queue")).to_contain_text(f"{waiting} en attente d’envoi")
        wire.mend()
        expect(page.locator("#queue")).to_be_hidden(timeout=45_000)
    marker = report(vigie, own_realm, "cul-04", "outage_water")
    until(lambda: vigie.get(f"/api/v1/reports/{marker}?realm={own_realm}")["state"] == "applied")
    assert [
        i["reports_count"]
        for i in vigie.get(f"/api/v1/incidents?realm={own_realm}&site=gym-07")["items"]
    ] == [2]


def test_a_server_that_stumbles_gets_the_same_report_again_and_a_refusal_stays_with_its_reason(
    vigie: RunningVigie, place: str, visitor: Accounts
) -> None:
    page = visitor("site_manager").page(
        f"/signaler?realm={place}&site=gym-07", service_workers="block", **PHONE
    )
    keys: list[str] = []

    def stumble(route, request) -> None:  # type: ignore[no-untyped-def]
        keys.append(request.headers["idempotency-key"])
        if len(keys) == 1:
            route.fulfill(status=500, body="{}")
        else:
            route.continue_()

    page.route("**/api/v1/reports", stumble)
    fill(page, page.get_by_label("1. Site").input_value())
    page.locator("#send").click()
    expect(page.locator("#queue")).to_contain_text("1 signalement en attente d’envoi")
    expect(page.locator("#queue")).to_be_hidden()
    assert len(keys) == 2
    assert keys[0] == keys[1]
    page.unroute("**/api/v1/reports")
    page.route(
        "**/api/v1/reports",
        lambda route: route.fulfill(status=403, json={"detail": "Hors de votre périmètre."}),
    )
    fill(page, page.get_by_label("1. Site").input_value())
    page.locator("#send").click()
    expect(page.locator("#refusals")).to_contain_text("Hors de votre périmètre.")
    page.reload()
    expect(page.locator("#refusals")).to_contain_text(
        re.compile(
            r"Électricité, .*gym-07.* « Plus de courant, 493 élèves en classe\. » : .*Hors de"
        )
    )
    page.get_by_role("button", name="Retirer").click()
    expect(page.locator("#refusals")).to_be_hidden()


def test_an_unreadable_photo_is_reported_and_does_not_block_the_report(
    vigie: RunningVigie, place: str, visitor: Accounts, tmp_path: Path
) -> None:
    """It was left out without a word."""
    picture = tmp_path / "photo.heic"
    picture.write_bytes(b"no picture that this browser knows")
    phone = visitor("site_manager").page(f"/signaler?realm={place}&site=gym-07", **PHONE)
    fill(phone, phone.get_by_label("1. Site").input_value())
    phone.get_by_label("6. Photo").set_input_files(picture)
    phone.locator("#send").click()
    expect(phone.locator("#said")).to_have_text(
        re.compile(r"Reçu à .* Sans la photo.: elle ne peut pas être lue\.")
    )


def test_a_photo_comes_to_the_cell_with_its_report(
    vigie: RunningVigie, place: str, visitor: Accounts, tmp_path: Path
) -> None:
    picture = tmp_path / "photo.png"
    picture.write_bytes(png())
    phone = visitor("site_manager").page(f"/signaler?realm={place}&site=gym-06", **PHONE)
    fill(phone, phone.get_by_label("1. Site").input_value())
    expect(phone.locator("#photo-name")).to_have_text("Prendre une photo")
    phone.get_by_label("6. Photo").set_input_files(picture)
    expect(phone.locator("#photo-name")).to_have_text("photo.png")
    phone.locator("#send").click()
    expect(phone.locator("#said")).to_have_text(re.compile("Reçu à"))
    until(lambda: vigie.get(f"/api/v1/incidents?realm={place}&site=gym-06")["items"])
    cell = visitor().page(f"/sites/gym-06?realm={place}")
    cell.locator("#log a").first.click()
    expect(cell.locator("#said")).to_contain_text("493 élèves")
    photo = cell.get_by_alt_text("Photo 1 du signalement")
    expect(photo).to_be_visible()
    cell.wait_for_function("document.querySelector('img.photo').naturalWidth > 0")
    cell.get_by_role("button", name="Démentir").click()
    expect(cell.locator("#head")).to_contain_text("démenti")
    expect(cell.locator("#became")).to_contain_text("Vérifié par Coordonnateur PCA")


def test_a_photo_completes_an_action_card_and_costs_stand_beside_it(
    vigie: RunningVigie, own_realm: str, visitor: Accounts, tmp_path: Path
) -> None:
    """The page asked for a photo and could not take one (D84)."""
    report(vigie, own_realm, "pmi-01")
    decide(vigie, "plans/PCA-solidarites/activate", own_realm)
    cards = f"/api/v1/site-cards?realm={own_realm}&plan=PCA-solidarites&card=SOL-F05&site=pmi-01"
    until(lambda: vigie.get(cards)["items"])
    phone = visitor("site_manager", sites=("pmi-01",)).page(
        f"/mes-sites?realm={own_realm}", **PHONE
    )
    card = phone.locator("#fiche-SOL-F05-pmi-01")
    card.locator("summary", has_text="C’est fait").click()
    picture = tmp_path / "photo.heic"
    picture.write_bytes(b"no picture that this browser knows")
    card.get_by_label("Photo, sans visage").set_input_files(picture)
    card.get_by_role("button", name="Confirmer : c’est fait").click()
    expect(card.locator("[role=status]")).to_contain_text("ne peut pas être lue")
    picture = tmp_path / "photo.png"
    picture.write_bytes(png())
    card.get_by_label("Photo, sans visage").set_input_files(picture)
    card.get_by_role("button", name="Confirmer : c’est fait").click()
    until(lambda: vigie.get(cards)["items"][0]["state"] == "done")
    proof = vigie.get(cards)["items"][0]["proof"]
    cell = visitor().page(f"/plans/PCA-solidarites?realm={own_realm}&fiche=SOL-F05")
    link = cell.locator("#fiche-sites").get_by_role("link", name="Voir la photo")
    expect(link).to_have_attribute("href", f"/api/v1/attachments/{proof['photo']}")
    assert vigie.http.get(f"/api/v1/attachments/{proof['photo']}").status_code == 200
    costs = visitor().page(f"/depenses?realm={own_realm}", **PHONE)
    expect(costs.locator("h1")).to_have_text("Dépenses")
    assert costs.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_mistaken_report_is_withdrawn_in_its_own_realm_alone(
    vigie: RunningVigie, place: str, visitor: Accounts
) -> None:
    """The same account reports the same mistake twice: live and in an exercise (D3)."""
    page = visitor("site_manager", sites=("cul-06",)).page(**PHONE)
    live, realms = "92", ("92", place)

    def causes_of(realm: str) -> list[str]:
        site = vigie.get(f"/api/v1/sites/cul-06?realm={realm}")
        return [cause["type"] for cause in site["causes"]]

    def withdraw(realm: str) -> None:
        page.goto(f"/mes-sites?realm={realm}")
        page.get_by_role("link", name=re.compile("^Voir")).click()
        page.locator("summary", has_text="Ce signalement est une erreur").click()
        page.get_by_label("Raison").fill("Mauvais site.")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        button = page.get_by_role("button", name="Annuler ce signalement")
        assert (button.bounding_box() or {})["height"] >= 44
        button.click()
        expect(page.locator("#said-withdrawal")).to_have_text(
            "Signalement annulé ; la cellule le voit."
        )
        expect(page.locator("#said-withdrawal")).to_be_in_viewport()
        expect(page.locator("#head")).to_contain_text("annulé par sa source")
        expect(button).to_have_count(0)
        until(lambda: causes_of(realm) == [])
        page.goto(f"/mes-sites?realm={realm}")
        expect(page.locator("#mine")).to_contain_text(re.compile(r"en charge|annulé"))

    for realm in realms:
        page.goto(f"/signaler?realm={realm}&site=cul-06")
        expect(page.locator("#send")).to_be_enabled()
        fill(page, page.get_by_label("1. Site").input_value())
        page.get_by_role("button", name="Envoyer", exact=True).click()
        expect(page.locator("#said")).to_contain_text("Reçu à")
        until(lambda realm=realm: causes_of(realm) == ["outage_power"])
    withdraw(place)
    assert causes_of(live) == ["outage_power"]
    incidents = vigie.get(f"/api/v1/incidents?realm={live}&site=cul-06")["items"]
    withdraw(live)
    for incident in incidents:
        decide(vigie, f"incidents/{incident['id']}/resolve", live, reason="Erreur.")
    until(
        lambda: vigie.get(f"/api/v1/incidents?realm={live}&site=cul-06&status=open")["items"] == []
    )


def test_an_unknown_site_is_asked_for_again_in_plain_text(place: str, visitor: Accounts) -> None:
    page = visitor("site_manager").page(f"/signaler?realm={place}", **PHONE)
    fill(page, "nulle part")
    page.get_by_role("button", name="Envoyer").click()
    expect(page.locator("#said")).to_have_text("Choisissez le site dans la liste.")


def waiting_call(vigie: RunningVigie, realm: str) -> dict[str, object]:
    """Create an unanswered call of the N3 escalation."""

    def calls() -> list[dict[str, object]]:
        items = vigie.get(f"/api/v1/notifications?realm={realm}&limit=1000")["items"]
        return [
            n
            for n in items
            if n["answer_expected"] and n["level"] == 3 and n["state"] in ("received", "accepted")
        ]

    until(calls)
    return calls()[0]


def call_of(vigie: RunningVigie, realm: str) -> str:
    """Return the address of the page that answers a waiting call."""
    call = waiting_call(vigie, realm)
    links = AnswerLinks.open(Path(vigie.folder) / "data" / "secrets")
    return f"/a/{links.token(AnswerLink(realm, str(call['id']), str(call['person_token']), int(time.time() * 1000) + 600_000))}"


def test_only_the_button_answers_and_only_once(
    vigie: RunningVigie, own_realm: str, visitor: Accounts
) -> None:
    report(vigie, own_realm, "cen-2")
    call = waiting_call(vigie, own_realm)
    links = AnswerLinks.open(Path(vigie.folder) / "data" / "secrets")
    token = links.token(
        AnswerLink(
            own_realm, str(call["id"]), str(call["person_token"]), int(time.time() * 1000) + 600_000
        )
    )

    def state() -> str:
        return str(vigie.get(f"/api/v1/notifications/{call['id']}?realm={own_realm}")["state"])

    page = visitor(None).page(f"/a/{token}", java_script_enabled=False, **PHONE)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Crise départementale, niveau N3")
    expect(page.locator(".exoband")).to_contain_text("EXERCICE")
    page.reload()
    assert state() in (
        "accepted",
        "received",
    )  # a receipt may arrive meanwhile; looking changes nothing
    page.get_by_role("button", name="Je prends en charge").click()
    expect(
        page.get_by_role("heading", name="Prise en charge enregistrée ; la cellule est informée.")
    ).to_be_visible()
    until(lambda: state() == "answered")
    page.goto(f"/a/{token}")
    expect(page.get_by_role("button", name="Je prends en charge")).to_have_count(0)
    expect(page.get_by_role("button", name="Finalement, je ne peux pas")).to_be_visible()


def test_an_expired_link_names_the_number_to_call(
    vigie: RunningVigie, crisis: str, visitor: Accounts
) -> None:
    call = waiting_call(vigie, crisis)
    links = AnswerLinks.open(Path(vigie.folder) / "data" / "secrets")
    token = links.token(
        AnswerLink(
            crisis, str(call["id"]), str(call["person_token"]), int(time.time() * 1000) - 1000
        )
    )
    page = visitor(None).page(f"/a/{token}", **PHONE)
    expect(page.get_by_role("heading", level=1)).to_have_text("Lien expiré")


def test_a_report_of_a_poster_that_is_gone_keeps_none_behind_it(
    vigie: RunningVigie, place: str, visitor: Accounts
) -> None:
    """Its key is refused for ever: all that the same phone reported later waited behind it."""
    page = visitor("site_manager").page(f"/signaler?realm={place}", **PHONE)
    expect(page.locator("#send")).to_be_enabled()
    page.route(
        "**/webhooks/poster",
        lambda route: route.fulfill(status=401, json={"detail": "Jeton inconnu."}),
    )
    page.evaluate("""async () => {
      const outbox = await import(document.querySelector('script[src*="report.js"]').src.replace('report.js', 'outbox.js'));
      await outbox.keep({ key: 'old', to: '/webhooks/poster', token: 'vigie_x', body: {}, at: 1, label: 'Affiche' });
    }""")
    fill(page, str(page.locator("#sites option[data-id=gym-08]").get_attribute("value")))
    page.get_by_role("button", name="Envoyer").click()
    expect(page.locator("#refusals")).to_contain_text("Cette affiche n’est plus valable")
    expect(page.locator("#queue")).to_be_hidden()
    until(lambda: vigie.get(f"/api/v1/sites/gym-08?realm={place}")["status"] == "closed")


def test_a_line_with_a_lost_answer_counts_once_and_the_next_is_a_new_report(
    vigie: RunningVigie, own_realm: str, visitor: Accounts
) -> None:
    """In an exercise both have its time, not that of the machine."""
    page = visitor("cell", duty="cellule_situation").page(f"/signaler?realm={own_realm}")
    typed, message = page.get_by_label("Comme un SMS"), page.locator("#said-line")

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route("**/api/v1/reports:line", lose, times=1)
    typed.fill("117 ELEC")
    typed.press("Enter")
    expect(message).to_contain_text("la même ligne ne comptera qu’une fois")
    for line in ("118 EAU", "117 ELEC"):
        typed.fill(line)
        typed.press("Enter")
        expect(typed).to_have_value("")
    expect(message).to_have_text(re.compile(r"Reçu à (09:4|09:5|10:)"))
    until(lambda: vigie.get(f"/api/v1/overview?realm={own_realm}")["counts"]["reports"] == 2)
    incidents = vigie.get(f"/api/v1/incidents?realm={own_realm}")["items"]
    assert {i["opened_at"][:10] for i in incidents} == {"2027-02-11"}
    assert sum(i["duplicates_count"] for i in incidents) == 0


def test_a_report_that_waits_never_leaves_under_the_name_of_the_next_person(
    vigie: RunningVigie, own_realm: str, visitor: Accounts
) -> None:
    """A danger does not wait: it leaves at once and calls, with the account that wrote it."""
    author, other = visitor("site_manager"), visitor("cell", duty="cellule_situation")
    context = author.context(**PHONE)
    page = author.page(f"/signaler?realm={own_realm}&site=gym-07", context=context)
    page.evaluate("navigator.serviceWorker.ready")
    until(lambda: page.evaluate(KEPT))
    context.set_offline(True)
    fill(page, page.get_by_label("1. Site").input_value())
    page.locator("#send").click()
    page.locator("label", has_text="Incendie").click()
    page.get_by_text("Non, fermé").click()
    page.get_by_text("Oui, et j’appelle le 18 ou le 112", exact=True).click()
    page.locator("#send").click()
    expect(page.locator("#queue")).to_contain_text("2 signalements en attente d’envoi")
    context.clear_cookies()
    context.add_cookies(other.state["cookies"])  # type: ignore[index, arg-type]
    context.set_offline(False)
    row = page.locator("#refusals li")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("Écrit sous un autre compte : reconnectez-vous sous ce compte")
    expect(page.locator("#queue")).to_be_hidden()

    def count_reports() -> int:
        return int(vigie.get(f"/api/v1/overview?realm={own_realm}")["counts"]["reports"])

    incidents = f"/api/v1/incidents?realm={own_realm}"
    until(lambda: count_reports() == 1)
    until(lambda: [i["danger"] for i in vigie.get(incidents)["items"]] == [True])
    page.reload()
    expect(row).to_have_count(1)
    row.get_by_role("button", name="Envoyer à mon nom").click()
    expect(row).to_have_count(0)
    until(lambda: count_reports() == 2)


def test_the_answer_about_a_statement_stands_where_the_person_is(
    vigie: RunningVigie, place: str, visitor: Accounts
) -> None:
    """It stood at the top of the page: five screens above the third statement of a phone."""
    for n in range(3):
        draft = {"audience": "press", "title": f"Communiqué {n}", "text": "Écoles fermées. " * 40}
        made = vigie.http.post(
            "/api/v1/statements",
            json=draft,
            params={"realm": place},
            headers={"Prefer": "wait=20"},
        )
        assert made.status_code == 200, made.text
    who = visitor()
    tabs = [who.page(f"/communication?realm={place}", **PHONE) for _ in range(2)]
    cards = [tab.locator("article").nth(2) for tab in tabs]
    title = cards[0].get_by_role("heading").inner_text()
    cards = [tab.locator("article", has_text=title) for tab in tabs]
    tabs[1].route("**/communication*", lambda route: route.abort())  # it hears of nothing
    cards[0].get_by_role("button", name="Soumettre à validation").click()
    expect(cards[0].locator(".answer")).to_have_text("Soumis à validation.")
    expect(cards[0].locator(".answer")).to_be_in_viewport()
    cards[1].get_by_role("button", name="Soumettre à validation").click()
    expect(cards[1].locator(".answer.refused")).to_be_in_viewport()
    tabs[0].get_by_label("Texte", exact=False).last.fill("Les collèges rouvrent lundi.")
    tabs[0].get_by_label("Public").last.select_option("press")
    tabs[0].get_by_role("button", name="Garder en brouillon").click()
    expect(tabs[0].locator("#said-draft")).to_contain_text("Brouillon gardé")
    expect(tabs[0].locator("#said-draft")).to_be_in_viewport()


def test_an_answer_beyond_the_edge_of_the_screen_comes_into_sight(
    place: str, visitor: Accounts
) -> None:
    page = visitor().page(f"/communication?realm={place}", **PHONE)
    page.evaluate(
        """() => {
            const said = document.getElementById("said-question");
            document.getElementById("contenu").prepend(said);
        }"""
    )
    form = page.locator("form", has=page.get_by_label("De la part"))
    form.get_by_label("Question").fill("Quand rouvrez-vous ?")
    form.get_by_role("button", name="Noter la question").click()
    expect(page.locator("#said-question")).to_have_text("Question notée.")
    expect(page.locator("#said-question")).to_be_in_viewport()


def test_the_tables_of_a_document_and_the_week_on_call_fit_the_phone(
    crisis: str, visitor: Accounts
) -> None:
    """Their last column, the forecast, was cut at the edge; the week was read sideways."""
    page = visitor().page(width=320, height=700)
    for path in ("/sitrep", "/retex"):
        page.goto(f"{path}?realm={crisis}")
        tables = page.locator(".sheet .scroll")
        expect(tables.first).to_be_visible()
        assert tables.evaluate_all("all => all.every(t => t.scrollWidth <= t.clientWidth)"), path
        names = page.locator(".sheet td[data-column]").evaluate_all(
            "all => all.map(cell => getComputedStyle(cell, '::before').content)"
        )
        assert names, path
        assert "none" not in names, path
    page.goto(f"/astreintes?realm={crisis}")
    expect(page.locator("table.duty .when").first).to_contain_text("00:00")
    assert page.locator("table.duty .when").first.bounding_box()["height"] > 10  # type: ignore[index]
    assert page.locator("main .scroll").evaluate_all(
        "all => all.every(part => part.scrollWidth <= part.clientWidth)"
    )
    page.set_viewport_size({"width": 1280, "height": 800})
    expect(page.locator("table.duty thead")).to_be_visible()


def test_a_phone_shows_no_keys_on_its_buttons(crisis: str, visitor: Accounts) -> None:
    path = f"/?realm={crisis}"
    phone = visitor().page(path, width=390, height=844, has_touch=True, is_mobile=True)
    keys = phone.locator("main .btn kbd, .search kbd")
    expect(keys.first).to_be_attached()
    assert not any(key.is_visible() for key in keys.all())
    expect(visitor().page(path).locator(".btn kbd:visible").first).to_be_visible()


LARGE_TEXT = (
    "/signaler?site=gym-07",
    "/mes-sites",
    "/plans",
    "/plans/PCA-solidarites",
    "/communication",
    "/publication",
    "/actions",
    "/appels",
    "/moyens",
)


def test_text_twice_as_large_hides_nothing_beside_the_phone(crisis: str, visitor: Accounts) -> None:
    """«Confinement» and «Inondation» stood beyond the edge of the report form."""
    page = visitor().page(**PHONE)
    page.add_init_script(
        "addEventListener('DOMContentLoaded', () => document.documentElement.style.fontSize = '200%')"
    )
    for path in LARGE_TEXT:
        page.goto(f"{path}{'&' if '?' in path else '?'}realm={crisis}")
        expect(page.locator("main")).to_be_visible()
        assert page.evaluate("getComputedStyle(document.documentElement).fontSize") == "32px"
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"], path


def test_the_buttons_of_a_report_hide_no_field_on_a_low_screen(
    crisis: str, visitor: Accounts
) -> None:
    """At 400 % of zoom they covered 129 of 225 pixels."""
    page = visitor().page(f"/signaler?realm={crisis}", width=360, height=225)
    expect(page.locator("#send")).to_be_enabled()
    page.locator("main").evaluate("main => scrollTo(0, 300)")
    send = page.locator(".send")
    assert send.evaluate("e => e.getBoundingClientRect().bottom > innerHeight")


def test_the_map_alone_fills_the_phone(crisis: str, visitor: Accounts) -> None:
    """The map of the communes that are hit was a strip of 60 pixels beside the département."""
    page = visitor().page(f"/?realm={crisis}&affichage=carte", **PHONE)
    maps = page.locator(".mapcol svg.map:visible")
    expect(maps).to_have_count(2)
    assert maps.evaluate_all("all => all.every(map => map.clientWidth > innerWidth / 2)")


TABLE_PAGES = ("/", "/main-courante", "/reaffectation", "/activites", "/annuaire")


def test_a_row_of_a_table_is_a_card_on_a_phone(
    vigie: RunningVigie, crisis: str, visitor: Accounts
) -> None:
    """The last columns stood beyond the edge: half of a line was read by scrolling sideways."""
    page = visitor().page(width=320, height=700)
    for path in (f"/incidents/{incident_of(vigie, crisis)}", *TABLE_PAGES):
        page.goto(f"{path}?realm={crisis}")
        table = page.locator("table.tb:visible")
        expect(table.first).to_be_visible()
        assert table.evaluate_all("all => all.every(t => t.scrollWidth <= innerWidth)"), path
        cell = page.locator("table.tb:visible tbody td[data-column]").first
        expect(cell).to_be_visible()
    page.goto(f"/main-courante?realm={crisis}")
    column = page.evaluate(
        """async () => {
            const row = document.querySelector("#lines tbody tr").cloneNode(true);
            for (const cell of row.cells) delete cell.dataset.column;
            document.querySelector("#lines tbody").prepend(row);
            await new Promise((resolve) => setTimeout(resolve));
            return row.cells[0].dataset.column;
        }"""
    )
    assert column == "Heure du fait", "a row that arrives later has the names of its columns, too"
    page.set_viewport_size({"width": 1280, "height": 800})
    expect(page.locator("#lines thead")).to_be_visible()
