"""A draft follows the facts until a person completes and validates it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Accounts, report
from tests.system import RunningVigie


def test_a_point_is_completed_validated_and_frozen(
    vigie: RunningVigie, own_realm: str, visitor: Accounts
) -> None:
    report(vigie, own_realm, "cen-1")
    page = visitor().page(f"/sitrep?realm={own_realm}")
    sheet = page.locator("#sheet")
    expect(sheet).to_contain_text("PROJET, non validé")
    expect(sheet).to_contain_text("09:40, 1 site")
    page.get_by_text("Compléter et valider").click()
    page.get_by_role("textbox", name="Partenaires").fill("Enedis rappelle à 11:00.")
    report(vigie, own_realm, "cen-2")
    expect(sheet).to_contain_text("09:40, 2 sites")
    expect(page.get_by_role("textbox", name="Partenaires")).to_have_value(
        "Enedis rappelle à 11:00."
    )
    page.get_by_role("button", name="Valider et figer").click()
    page.wait_for_url(re.compile("/sitrep/1"))
    expect(page.locator("#printbar")).to_contain_text("Validé")
    expect(sheet).to_contain_text("Enedis rappelle à 11:00.")
    expect(sheet).to_contain_text(re.compile("SHA-256 [0-9a-f]{64}"))
    expect(sheet).not_to_contain_text("PROJET")
    expect(page.get_by_role("button", name="Valider et figer")).to_have_count(0)
    page.get_by_role("link", name="Projet en cours").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Point de situation n° 2")


def test_a_line_is_written_and_corrected_and_both_stay(place: str, visitor: Accounts) -> None:
    page = visitor().page(f"/main-courante?realm={place}")
    page.get_by_label("Ce qui s’est passé").fill("Enedis annonce midi")
    page.get_by_role("combobox", name="Type de ligne").select_option("communication")
    page.get_by_role("combobox", name="Source").select_option("enedis")
    page.get_by_role("button", name="Ajouter la ligne").click()
    line_row = page.locator("#lines tr", has_text="Enedis annonce midi")
    expect(line_row).to_contain_text("communication")
    line_row.get_by_text("Corriger").click()
    line_row.get_by_label("Texte corrigé").fill("Enedis annonce 14 h")
    line_row.get_by_role("button", name="Ajouter la correction").click()
    expect(page.locator("#lines tr", has_text="Enedis annonce 14 h")).to_contain_text(
        "corrige une ligne"
    )
    expect(line_row).to_contain_text("corrigée")


def test_reports_of_many_sites_are_one_row_that_opens_and_stays_open(
    vigie: RunningVigie, own_realm: str, visitor: Accounts
) -> None:
    listed = vigie.get(f"/api/v1/sites?realm={own_realm}&limit=400")["items"]
    sites = [site["id"] for site in listed if site["id"].startswith("clg-")][:5]
    for site in sites[:4]:
        report(vigie, own_realm, site)
    report(vigie, own_realm, "cen-1", "gas_leak", 5)
    page = visitor().page(f"/main-courante?realm={own_realm}")
    lines = page.locator("#lines")
    cuts = lines.locator("tbody", has=page.locator("tr.lead", has_text="Coupure d’électricité"))
    expect(cuts.locator("tr.lead")).to_contain_text(re.compile("Coupure d’électricité\\s: 4 sites"))
    leak = lines.locator("tr:not(.part)", has_text="Fuite de gaz : ")
    expect(leak.first).to_contain_text("Danger")
    expect(cuts.locator("tr.part").first).to_be_hidden()
    cuts.get_by_text("4 lignes").click()
    expect(cuts.locator("tr.part:visible")).to_have_count(4)
    report(vigie, own_realm, sites[4])
    expect(cuts.locator("tr.part:visible")).to_have_count(5)
    cuts.locator("tr.part").first.get_by_text("Corriger").click()
    page.get_by_text("À partir de la ligne citée.").wait_for()
    expect(page.locator("tr.cited").get_by_text("Corriger")).to_be_visible()


def test_an_action_of_the_lessons_learned_is_dropped_with_its_reason(
    vigie: RunningVigie, place: str, visitor: Accounts
) -> None:
    page = visitor().page(f"/retex?realm={place}")
    page.get_by_text("Décider une action d’amélioration").click()
    page.get_by_label("Action", exact=True).fill("Un groupe de plus")
    page.get_by_label("Échéance").fill("2027-03-01T09:00")
    page.get_by_role("button", name="Décider l’action").click()
    action = page.locator("#actions li", has_text="Un groupe de plus")
    action.get_by_text("Abandonner").first.click()
    action.get_by_label("Raison").fill("loué à la demande")
    action.get_by_role("button", name="Confirmer : abandonner l’action").click()
    expect(action).to_have_count(0)
    assert [i["state"] for i in vigie.get(f"/api/v1/improvements?realm={place}")["items"]] == [
        "dropped"
    ]


@pytest.mark.parametrize("path", ["/main-courante", "/astreintes"])
def test_a_printed_page_bears_its_mark_and_all_columns(
    path: str, place: str, visitor: Accounts
) -> None:
    """The logbook of an exercise looked like the real one on paper, and lost its authors."""
    page = visitor().page(f"{path}?realm={place}", width=794, height=1123)
    page.emulate_media(media="print")
    expect(page.locator(".exoband")).to_be_visible()
    expect(page.locator(".exoband")).to_contain_text("EXERCICE")
    overflows = page.evaluate(
        "[...document.querySelectorAll('main .scroll')].map(e => getComputedStyle(e).overflowX)"
    )
    assert set(overflows) == {"visible"}
