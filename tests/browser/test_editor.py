"""Records are changed by two people in the browser: proposed, approved, in force (D86)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex

from playwright.sync_api import FilePayload, Page, expect

from tests.browser.conftest import Accounts
from tests.browser.test_accessibility import defects
from tests.system import RunningVigie

PICTURES = os.environ.get("VIGIE_PICTURES")
STAFF = "SOL-02.ase-01.educateur"


def _picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True, animations="disabled")


def propose(page: Page, reason: str) -> None:
    """Send the form of a record and see it wait."""
    page.get_by_label("Raison du changement").fill(reason)
    page.get_by_role("button", name="Proposer ce").click()
    expect(page.locator("#changes")).to_contain_text("une autre personne doit l’approuver")


def approve(page: Page, texts: Sequence[str]) -> None:
    """Read the open change with these texts, then bring it into force."""
    page.reload()
    cards = page.locator("section.card", has=page.get_by_role("button", name="Approuver"))
    card = cards.filter(has_text=texts[0])
    for text in texts[1:]:
        expect(card).to_contain_text(text)
    change = str(card.get_attribute("data-key")).removeprefix("c-")
    card.get_by_role("button", name="Approuver").click()
    expect(page.locator(f"[data-key='o-{change}'] summary")).to_contain_text("entré en vigueur")


def test_a_card_a_schedule_and_staff_are_in_force_once_another_person_approves(
    visitor: Accounts, place: str
) -> None:
    at = f"?realm={place}"
    mine = visitor().page(f"/donnees/fiches/card/PCA-solidarites.SOL-F01{at}")
    other = visitor("director").page(f"/donnees{at}")

    mine.get_by_label("Faite quand").fill("Les enfants sont comptés deux fois.")
    propose(mine, "Retour d’expérience")
    approve(other, ["Faite quand", "Les enfants sont comptés deux fois."])
    mine.goto(f"/plans/PCA-solidarites{at}")
    expect(mine.locator("main")).to_contain_text("Les enfants sont comptés deux fois.")

    mine.goto(f"/donnees/fiches/on_call/astreinte_direction{at}")
    mine.get_by_label("Raison du changement").fill("Congé long")
    mine.get_by_label("Suppléant").select_option("")
    mine.get_by_role("button", name="Voir qui serait d’astreinte").click()
    expect(mine.locator("#effect")).to_contain_text("Qui serait d’astreinte")
    expect(mine.get_by_label("Raison du changement")).to_have_value("Congé long")
    assert defects(mine, "light") == []
    propose(mine, "Congé long")
    approve(other, ["Suppléant", "vide"])

    mine.goto(f"/donnees/fiches/activity/SOL-02{at}")
    staffing = mine.locator("#staffing")
    staffing.locator("summary").click()
    _picture(mine, "editor-activity")
    assert defects(mine, "light") == []
    mine.goto(f"/donnees/fiches/staffing/{STAFF}{at}")
    mine.get_by_label("Effectif normal").fill("3")
    mine.get_by_label("Effectif minimal").fill("4")
    mine.get_by_label("Raison du changement").fill("Un poste de moins")
    mine.get_by_role("button", name="Proposer ce").click()
    expect(mine.locator("#said-record")).to_contain_text("le minimum dépasse l’effectif")
    mine.get_by_label("Effectif minimal").fill("3")
    propose(mine, "Un poste de moins")
    approve(other, ["Effectif normal", "10", "3"])
    mine.goto(f"/donnees/fiches/staffing/{STAFF}{at}")
    expect(mine.get_by_label("Effectif normal")).to_have_value("3")


def test_a_trigger_keeps_its_other_fields_and_sends_the_sentence_that_it_shows(
    visitor: Accounts, place: str
) -> None:
    page = visitor().page(
        f"/donnees/nouvelle-fiche/trigger?realm={place}",
        viewport={"width": 390, "height": 844},
    )
    expect(page.locator("#sentence")).to_contain_text("Choisissez une mesure")
    page.get_by_label("Niveau minimal").fill("4")
    page.get_by_label("Texte affiché").fill("Deux collèges fermés")
    page.get_by_label("Raison du changement").fill("Décidé en comité")
    page.locator("#c1-metric").select_option("sites_closed")
    page.locator("#c1-value").fill("2")
    page.locator("#conditions summary", has_text="choisi").first.click()
    page.get_by_label("collèges").first.check()
    expect(page.locator("#sentence")).to_contain_text(
        "au moins à N4, dès que : collèges fermés ≥ 2"
    )
    expect(page.get_by_label("Texte affiché")).to_have_value("Deux collèges fermés")
    expect(page.get_by_label("Raison du changement")).to_have_value("Décidé en comité")
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    assert defects(page, "light") == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    _picture(page, "editor-trigger-phone")
    # the last choice is still on its way to the sentence when the form is sent
    page.locator("#c1-value").fill("3")
    page.get_by_role("button", name="Proposer cette fiche").click()
    expect(page.locator("#changes")).to_contain_text("collèges fermés ≥ 3")


def test_activities_and_partners_are_confirmed_once_a_year(visitor: Accounts, place: str) -> None:
    page = visitor().page(f"/revue?realm={place}")
    group = page.locator("section.card", has=page.get_by_role("heading", name="Pôle solidarités"))
    group.locator("details > summary").click()
    row = group.locator("li[data-key='r-activity-SOL-01']")
    expect(row).to_contain_text("jamais confirmé")
    assert defects(page, "light") == []
    _picture(page, "editor-reviews")
    row.get_by_role("button", name="Confirmer sans changement").click()
    expect(row).to_contain_text("changement à approuver")
    other = visitor("director").page(f"/donnees?realm={place}")
    approve(other, ["Dernière relecture"])
    expect(row).to_contain_text("à jour jusqu’au 11/02/2028")
    expect(row).to_contain_text("approuvé par")


def build_file(*lines: str) -> FilePayload:
    text = "\n".join(("login,role,sites", *lines, ""))
    return {"name": "comptes.csv", "mimeType": "text/csv", "buffer": text.encode()}


def test_accounts_of_a_file_are_checked_then_opened_with_codes(
    vigie: RunningVigie, visitor: Accounts
) -> None:
    login = f"edit-{token_hex(3)}"
    page = visitor("admin").page("/personnes?realm=92")
    card = page.locator("#import-accounts")
    card.get_by_label("Fichier CSV").set_input_files(build_file(f"{login},site_manager,"))
    card.get_by_role("button", name="Vérifier le fichier").click()
    expect(card.locator("#said-import-accounts")).to_contain_text("Ligne 2")
    expect(card.locator("#said-import-accounts")).to_contain_text("au moins un site")
    card.get_by_label("Fichier CSV").set_input_files(build_file(f"{login},site_manager,cen-1"))
    card.get_by_role("button", name="Vérifier le fichier").click()
    expect(card.locator("#said-import-accounts")).to_contain_text("1 compte à ouvrir")
    assert login not in {one["login"] for one in vigie.get("/api/v1/users")["items"]}
    card.get_by_role("button", name="Ouvrir les comptes").click()
    expect(card.locator("#said-import-accounts")).to_contain_text(f"{login} : ")
    assert defects(page, "light") == []
    _picture(page, "editor-accounts")
    code = card.locator("#said-import-accounts").inner_text().rpartition(" : ")[2].strip()
    stranger = visitor(None).page("/connexion")
    stranger.get_by_label("Code à usage unique").fill(code)
    stranger.get_by_role("button", name="Se connecter", exact=True).click()
    stranger.wait_for_url(lambda url: "/connexion" not in url)
