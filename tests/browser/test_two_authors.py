"""Two people save one form: the second sees the first one's text, and keeps the own."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Accounts
from tests.browser.test_editor import approve, propose
from tests.system import RunningVigie

CARD = "/donnees/fiches/card/PCA-solidarites.SOL-F01"
BEFORE = "Le collège est fermé."


def open_revision(page: Page) -> Locator:
    """Open the form of the only statement and return it."""
    details = page.locator("[data-key^=revise-]")
    details.locator("summary").click()
    return details


def save(form: Locator) -> None:
    form.get_by_role("button", name="Garder ce texte").click()


def test_the_second_author_of_a_statement_sees_the_first_text_and_keeps_the_own(
    visitor: Accounts, vigie: RunningVigie, place: str
) -> None:
    draft = {"audience": "press", "title": "Fermeture", "text": BEFORE}
    made = vigie.http.post(
        "/api/v1/statements",
        json=draft,
        params={"realm": place},
        headers={"Prefer": "wait=20"},
    )
    assert made.status_code == 200, made.text
    pages = [visitor().page(f"/communication?realm={place}") for _ in range(2)]
    first, second = map(open_revision, pages)
    second.get_by_label("Texte").fill("Le collège ferme demain.")
    first.get_by_label("Texte").fill("Le collège rouvre lundi.")
    first.get_by_label("Titre").fill("Réouverture")
    save(first)
    expect(pages[1].locator("blockquote")).to_have_text("Le collège rouvre lundi.")

    save(second)
    answer = pages[1].locator("article .answer")
    expect(answer).to_contain_text("Quelqu’un a décidé entre-temps")
    expect(answer).to_contain_text("Coordonnateur PCA")
    expect(second.get_by_label("Texte")).to_have_value("Le collège ferme demain.")
    expect(second.get_by_label("Titre")).to_have_value("Réouverture")
    expect(second.locator("[data-theirs]")).to_have_text(
        "Enregistré entre-temps : Le collège rouvre lundi."
    )
    save(second)
    expect(pages[0].locator("blockquote")).to_have_text("Le collège ferme demain.")

    again = open_revision(pages[0])
    expect(again.get_by_label("Texte")).to_have_value("Le collège ferme demain.")
    again.get_by_label("Texte").fill("Le collège ferme mardi.")
    save(again)
    expect(pages[1].locator("blockquote")).to_have_text("Le collège ferme mardi.")


def test_the_second_author_of_a_point_reads_the_new_draft_first(
    visitor: Accounts, place: str
) -> None:
    """A live update renumbered the open form, and two points were validated in ten seconds."""
    first, second = (visitor().page(f"/sitrep?realm={place}") for _ in range(2))
    for page, text in ((first, "Enedis rappelle."), (second, "Le groupe est en route.")):
        page.get_by_text("Compléter et valider").click()
        page.get_by_role("textbox", name="Partenaires").fill(text)
    first.get_by_role("button", name="Valider et figer").click()
    expect(second.locator("#printbar")).to_contain_text("le point n° 3")

    second.get_by_role("button", name="Valider et figer").click()
    answer = second.locator("#said-sitrep")
    expect(answer).to_contain_text("relisez le projet, qui porte maintenant le n° 2")
    expect(second.locator("#validate")).to_have_attribute("data-version", "2")
    text = second.get_by_role("textbox", name="Partenaires")
    expect(text).to_have_value("Le groupe est en route.")
    second.get_by_role("button", name="Valider et figer").click()
    second.wait_for_url("**/sitrep/2**")


def test_the_second_author_of_a_card_learns_of_the_first_and_keeps_the_text(
    visitor: Accounts, place: str
) -> None:
    at = f"?realm={place}"
    first, second = (visitor().page(f"{CARD}{at}") for _ in range(2))
    second.get_by_label("Faite quand").fill("Chaque enfant est nommé.")
    second.get_by_label("Raison du changement").fill("Exercice")
    button = second.get_by_role("button", name="Proposer ce")
    first.get_by_label("Faite quand").fill("Les enfants sont comptés deux fois.")
    propose(first, "Retour d’expérience")

    button.click()
    answer = second.locator("#said-record")
    expect(answer).to_contain_text("attend déjà une décision")
    expect(answer).to_contain_text("Retour d’expérience, Coordonnateur PCA")
    expect(second.get_by_label("Faite quand")).to_have_value("Chaque enfant est nommé.")

    approve(visitor("director").page(f"/donnees{at}"), ["Faite quand"])
    button.click()
    expect(answer).to_contain_text("a changé depuis que vous l’avez lue")
    expect(second.locator("[data-theirs]")).to_contain_text("Les enfants sont comptés deux fois.")
    expect(second.get_by_label("Faite quand")).to_have_value("Chaque enfant est nommé.")
    button.click()
    expect(second.locator("#changes")).to_contain_text("Chaque enfant est nommé.")
