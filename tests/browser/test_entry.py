"""Coming in: a stranger, the realms, the rights."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import expect

from tests.browser.conftest import Accounts, new_code
from tests.system import RunningVigie


def test_a_stranger_logs_in_and_reaches_the_page_that_was_asked_for(
    vigie: RunningVigie, visitor: Accounts
) -> None:
    page = visitor(None).page("/activites")
    expect(page).to_have_url(f"{vigie.url}/connexion?next=%2Factivites")
    page.get_by_label("Code à usage unique").fill("AAAA-BBBB-CCCC-DDDD")
    page.get_by_role("button", name="Se connecter", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible()

    code = new_code(vigie, "observer", "nav-stranger")
    page.goto(f"/connexion?next=/activites#code={code}")
    expect(page.get_by_label("Code à usage unique")).to_have_value(code)
    page.get_by_role("button", name="Se connecter", exact=True).click()
    expect(page.get_by_role("heading", name="Activités et horloges")).to_be_visible()
    page.locator("#menu > summary").click()
    page.get_by_role("button", name="Se déconnecter").click()
    expect(page.get_by_role("heading", name="Se connecter")).to_be_visible()
    page.goto("/")
    expect(page.get_by_role("heading", name="Se connecter")).to_be_visible()


def test_a_login_never_leads_out_of_this_site(vigie: RunningVigie, visitor: Accounts) -> None:
    page = visitor(None).page("/connexion?next=//example.org/")
    page.get_by_label("Code à usage unique").fill(new_code(vigie, "observer", "nav-inside"))
    page.get_by_role("button", name="Se connecter", exact=True).click()
    expect(page.get_by_role("heading", name="Se connecter")).to_have_count(0)
    assert page.url.startswith(vigie.url)


def test_an_exercise_is_opened_paused_and_closed_from_the_page(visitor: Accounts) -> None:
    page = visitor().page("/realms")
    page.get_by_label("Code").fill("OUVERTURE")
    page.get_by_role("button", name="Ouvrir").click()
    page.wait_for_url("**/?realm=92*")
    expect(page.locator("#exo")).to_contain_text("OUVERTURE")
    name = parse_qs(urlsplit(page.url).query)["realm"][0]
    before = page.locator("#clock").inner_text()
    expect(page.locator("#clock")).not_to_have_text(before)
    page.locator("#ways > summary").click()
    page.get_by_role("link", name="Exercices", exact=True).click()
    row = page.locator("#realms tr", has_text=name)
    row.get_by_role("button", name="Pause").click()
    expect(row).to_contain_text("en pause")
    row.get_by_role("button", name="Terminer").click()
    question = page.locator("#said-realms")
    expect(question).to_contain_text(f"Terminer l’exercice {name} ? Il ne pourra pas reprendre.")
    question.get_by_role("button", name="Annuler").click()
    expect(question).to_have_text("Rien n’est parti.")
    expect(row.get_by_role("button", name="Terminer")).to_be_focused()
    row.get_by_role("button", name="Terminer").click()
    question.get_by_role("button", name="Confirmer").click()
    expect(row).to_contain_text("terminé")


def test_rights_are_those_of_the_role(crisis: str, visitor: Accounts) -> None:
    page = visitor("observer").page(f"/?realm={crisis}")
    expect(page.get_by_text("Lecture seule")).to_be_visible()
    expect(page.get_by_role("button", name="Prendre en charge")).to_have_count(0)
    expect(page.get_by_role("link", name="Voir PCA du pôle Solidarités")).to_be_visible()
    expect(page.get_by_role("link", name="Décider")).to_have_count(0)
    expect(page.locator("a[href^='/signaler']")).to_have_count(0)
    kiosk = visitor("kiosk").page(f"/mur?realm={crisis}", width=1920, height=1080)
    expect(kiosk.locator("#right")).to_contain_text("Appels sans réponse")
