"""The page of an activity takes its state, the age of its data and the RTO arbitration."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import Accounts
from tests.system import RunningVigie

ACTIVITY, NAME = "SOL-01", "Signalements enfance"
"""RTO 2 h, DMIA 4 h, PDMA 1 h."""


def open_activity(page: Page, realm: str) -> None:
    page.goto(f"/activites?realm={realm}")
    page.locator(f"#{ACTIVITY}").get_by_role("link", name=NAME).click()
    expect(page.locator("#activite")).to_be_visible()


def declare(page: Page, realm: str, state: str, since: str = "") -> None:
    open_activity(page, realm)
    card = page.locator("#activite")
    card.get_by_text("Déclarer son état").click()
    form = card.locator("form", has=page.get_by_label("Depuis"))
    form.get_by_label("État").select_option(label=state)
    form.get_by_label("Depuis").fill(since)
    form.get_by_label("Raison").fill("plus personne au CRIP, vu sur place")
    form.get_by_role("button", name=re.compile("^Confirmer : déclarer ")).click()


def test_an_interruption_is_declared_arbitrated_and_withdrawn_without_a_command_line(
    vigie: RunningVigie, own_realm: str, visitor: Accounts
) -> None:
    site_manager = visitor("site_manager", sites=("cen-1", "pmi-04", "gym-07")).page()
    open_activity(site_manager, own_realm)
    expect(site_manager.get_by_text("Déclarer son état")).to_have_count(0)

    page = visitor().page()
    declare(page, own_realm, "Interrompue", since="2027-02-11T01:00")
    card = page.locator("#activite")
    expect(card).to_contain_text(re.compile("Déclaré\\s*Interrompue\\s*par Coordonnateur PCA"))
    expect(card).to_contain_text(re.compile("Calculé\\s*Nominale"))
    expect(page.locator(f"#{ACTIVITY}")).to_contain_text("déclarée")

    waiting = page.locator("#arbitrages")
    expect(waiting).to_contain_text(ACTIVITY)
    expect(waiting).to_contain_text("Directeur de pôle, ou au-dessus")
    page.goto(f"/plans?realm={own_realm}")
    page.get_by_role("link", name="1 arbitrage à écrire").click()
    page.goto(f"/?realm={own_realm}")
    page.locator("[data-key=p-arbitrations]").get_by_role("link", name="Arbitrer").click()
    confirm = waiting.get_by_role("button", name=f"Confirmer : arbitrage de {NAME}")
    confirm.click()
    assert waiting.locator("textarea:invalid").count() == 1, "not without a line"
    waiting.get_by_label("Ce qui est décidé").fill("attendre onze heures, le 119 prend les appels")
    confirm.click()
    expect(waiting).to_have_count(0)
    (alarm,) = [
        a
        for a in vigie.get(f"/api/v1/alarms?realm={own_realm}")["items"]
        if a["demands"] == "arbitration"
    ]
    assert alarm["arbitrated_at"] is not None
    page.goto(f"/main-courante?realm={own_realm}")
    expect(page.locator("#lines")).to_contain_text(
        "Signalements enfance (SOL-01)\u00a0: arbitrage sur le RTO consommé\u00a0: attendre onze heures"
    )
    expect(page.locator("#lines")).to_contain_text(
        "Signalements enfance (SOL-01) déclarée «\u00a0interrompue\u00a0»\u00a0: plus personne au CRIP"
    )

    page.goto(f"/activites?realm={own_realm}&activite={ACTIVITY}")
    card.get_by_text("Renseigner l’ancienneté des données").click()
    card.get_by_label("Ancienneté des données, en heures").fill("26")
    card.get_by_role("button", name=re.compile("^Confirmer : ancienneté des données")).click()
    expect(card).to_contain_text("à ressaisir")
    expect(page.locator("#said-activite")).to_contain_text("Ancienneté des données enregistrée.")
    card.get_by_role("button", name="Retirer l’état déclaré").click()
    expect(card).to_contain_text(re.compile("Déclaré\\s*par personne"))
    assert vigie.get(f"/api/v1/activities/{ACTIVITY}?realm={own_realm}")["declared"] is None


def test_readers_see_no_decisions_and_the_past_allows_none(crisis: str, visitor: Accounts) -> None:
    for role, path in (
        ("observer", f"/activites?realm={crisis}&activite={ACTIVITY}"),
        ("coordinator", f"/activites?realm={crisis}&activite={ACTIVITY}&as_of=2027-02-11T10:10"),
    ):
        page = visitor(role).page(path)
        expect(page.locator("#activite")).to_contain_text(ACTIVITY)
        expect(page.locator("main form")).to_have_count(0)
