"""A change of the reference data needs another person to approve it (D63)."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import Accounts
from tests.system import RunningVigie

PROPOSE = """async ([realm, body]) => {
  const token = document.cookie.split("; ").find((c) => c.startsWith("vigie_csrf=")).slice("vigie_csrf=".length);
  const headers = { "Content-Type": "application/json", "X-CSRF-Token": decodeURIComponent(token), "Prefer": "wait=25" };
  const answer = await fetch(`/api/v1/reference/changes?realm=${realm}`, { method: "POST", headers, body: JSON.stringify(body) });
  return [answer.status, await answer.json()];
}"""
SITE = "pmi-04"


def propose(vigie: RunningVigie, page: Page, realm: str, **more: Any) -> str:
    """Propose other desks at one site as the reader; return the version."""
    index = vigie.get(f"/api/v1/reference?realm={realm}")
    sections = [vigie.get(f"/api/v1/reference/{name}?realm={realm}") for name in index["sections"]]
    for site in next(s for s in sections if s["section"] == "sites")["sites"]:
        if site["id"] == SITE:
            site["desks"] += 5
    status, answer = page.evaluate(
        PROPOSE, [realm, {"sections": sections, "reason": "Le bail change"} | more]
    )
    assert status == 200, answer
    return str(answer["result"]["reference"])


def test_another_person_approves_and_it_comes_into_force(
    vigie: RunningVigie, visitor: Accounts, place: str
) -> None:
    mine = visitor().page(f"/donnees?realm={place}")
    expect(mine.get_by_text("Aucun changement n’attend.")).to_be_visible()
    figures = {"crises": 3, "moved": 1, "later": 2, "worse": ["92~ex-S04"]}
    version = propose(vigie, mine, place, foreseen=figures)
    card = mine.locator("section.card", has=mine.get_by_role("heading", name=f"Version {version}"))
    expect(card).to_contain_text("Vous l’avez proposé : une autre personne doit l’approuver.")
    expect(card).to_contain_text("2 appels auraient été plus tardifs")
    expect(card.get_by_role("button", name="Approuver")).to_have_count(0)
    expect(card.get_by_role("button", name="Retirer")).to_be_visible()

    other = visitor("director").page(f"/donnees?realm={place}")
    card = other.locator(
        "section.card", has=other.get_by_role("heading", name=f"Version {version}")
    )
    expect(card.get_by_role("row", name="sites")).to_contain_text(f"({SITE})")
    card.get_by_role("button", name="Approuver").click()
    expect(other.locator("#in-force")).to_contain_text(f"Version {version}")
    expect(other.locator("#changes summary")).to_contain_text(
        f"Version {version} : entré en vigueur"
    )
    expect(mine.locator("#in-force")).to_contain_text(f"Version {version}")


def test_a_refusal_asks_for_its_reason(vigie: RunningVigie, visitor: Accounts, place: str) -> None:
    mine = visitor().page(f"/donnees?realm={place}")
    version = propose(vigie, mine, place, effective_at="2027-02-12T06:00:00+01:00")
    other = visitor("director").page(f"/donnees?realm={place}")
    card = other.locator(
        "section.card", has=other.get_by_role("heading", name=f"Version {version}")
    )
    expect(card).to_contain_text("ven. 12/02 06:00")
    card.get_by_role("button", name="Refuser").click()
    expect(card.get_by_label("Raison du refus")).to_be_focused()
    card.get_by_label("Raison du refus").fill("Les effectifs manquent")
    card.get_by_role("button", name="Refuser").click()
    over = other.locator("#changes details", has_text=f"Version {version}")
    over.locator("summary").click()
    expect(over).to_contain_text("Les effectifs manquent")
    expect(mine.get_by_text("Aucun changement n’attend.")).to_be_visible()


def test_the_menu_hides_the_screen_from_users_without_decisions(
    visitor: Accounts, crisis: str
) -> None:
    page = visitor("observer").page(f"/?realm={crisis}")
    page.locator("#ways > summary").click()
    expect(page.locator("nav").get_by_role("link", name="Données de référence")).to_have_count(0)


def test_a_partner_is_corrected_from_its_page_by_two_people(
    visitor: Accounts, own_realm: str
) -> None:
    form = f"/donnees/fiches/contact/prefecture_cod?realm={own_realm}"
    mine = visitor().page(form)
    mine.get_by_label("Ne pas transmettre").fill("")
    mine.get_by_label("Quoi demander").fill("Niveau d’activation\nHeure du prochain point")
    mine.get_by_label("Neige et verglas").uncheck()
    mine.get_by_label("Raison du changement").fill("Relu avec la préfecture")
    mine.get_by_role("button", name="Proposer ce changement").click()
    expect(mine.locator("#changes")).to_contain_text("une autre personne doit l’approuver")

    other = visitor("director").page(f"/donnees?realm={own_realm}")
    card = other.locator("section.card", has=other.get_by_role("button", name="Approuver"))
    for text in ("Ne pas transmettre", "vide", "Heure du prochain point", "Plans où il est appelé"):
        expect(card).to_contain_text(text)
    card.get_by_role("button", name="Approuver").click()
    expect(other.locator("#changes summary").first).to_contain_text("entré en vigueur")

    again = visitor().page(form)
    expect(again.get_by_label("Ne pas transmettre")).to_have_value("")
    expect(again.get_by_label("Quoi demander")).to_have_value(
        "Niveau d’activation\nHeure du prochain point"
    )
