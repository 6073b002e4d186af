"""The on-call week takes an override and a calendar, and explains a refused file."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.conftest import Accounts
from tests.system import RunningVigie
from tests.unit.oncall.corpus import event, ics
from tests.waiting import until


def test_the_week_shows_on_call_people_and_takes_an_override_and_a_calendar(
    vigie: RunningVigie, own_realm: str, visitor: Accounts, tmp_path: Path
) -> None:
    page = visitor().page(f"/astreintes?realm={own_realm}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Astreintes")
    row = page.locator('[data-key="astreinte_technique-h"]')
    expect(row).to_contain_text("ast-technique")
    expect(page.locator("#holes")).to_contain_text("Tous les postes sont pourvus")

    page.get_by_text("Remplacer", exact=True).first.click()
    page.get_by_label("Rôle").first.select_option("astreinte_technique")
    page.get_by_label("Code de la personne").fill("cel-si")
    page.get_by_label("Du", exact=True).fill("2027-02-11T06:00")
    page.get_by_label("Au", exact=True).fill("2027-02-12T06:00")
    page.get_by_label("Raison", exact=True).fill("congé")
    page.locator('form[action="/api/v1/oncall/overrides"] button').click()
    expect(row).to_contain_text("cel-si", timeout=30_000)
    duties = vigie.get(f"/api/v1/oncall/duties?realm={own_realm}")["items"]
    assert [(d["kind"], d["persons"]) for d in duties] == [("override", ["cel-si"])]

    decided = page.locator("#decided li", has_text="remplacement")
    decided.get_by_text("Retirer").first.click()
    decided.get_by_role("button", name="Confirmer : retirer").click()
    expect(decided).to_have_count(0)
    expect(row).not_to_contain_text("cel-si")

    page.get_by_text("Importer un calendrier", exact=True).click()
    wrong = tmp_path / "garde.ics"
    wrong.write_bytes(
        ics(event("DTSTART:20270213T080000", "DTEND:20270213T200000", summary="Garde de Paul"))
    )
    page.locator("#i-file").set_input_files(wrong)
    page.locator("#i-role").select_option("astreinte_technique")
    page.locator('form[action="/api/v1/oncall/import"] button').click()
    expect(page.locator("#said-import")).to_have_text(
        re.compile("« Garde de Paul » du 13/02/2027 08:00 ne nomme aucune personne"), timeout=60_000
    )
    right = tmp_path / "tour.ics"
    right.write_bytes(
        ics(event("DTSTART:20270213T080000", "DTEND:20270213T200000", summary="cel-rh"))
    )
    page.locator("#i-file").set_input_files(right)
    page.locator('form[action="/api/v1/oncall/import"] button').click()
    expect(row).to_contain_text("cel-rh", timeout=60_000)

    page.get_by_text("Échanger", exact=True).first.click()
    swap = page.locator('form[action="/api/v1/oncall/swaps"]')
    swap.get_by_label("Rôle").select_option("astreinte_technique")
    spans = {
        "w-from": "2027-02-13T09:00",
        "w-to": "2027-02-13T17:00",
        "w-from2": "2027-02-14T09:00",
        "w-to2": "2027-02-14T17:00",
    }
    for id, at in spans.items():
        swap.locator(f"#{id}").fill(at)
    swap.get_by_label("Raison").fill("ils se sont arrangés")
    swap.get_by_role("button", name="Échanger").click()
    expect(page.locator("#decided li", has_text="échange")).to_contain_text("ast-technique")
    assert vigie.get(f"/api/v1/oncall/duties?realm={own_realm}")["items"][0]["kind"] == "swap"
    expect(page.get_by_role("button", name="Faire l’essai maintenant")).to_have_count(
        0
    )  # an exercise proves nothing about real calls


def test_the_silent_test_of_the_month_is_made_from_the_page(
    vigie: RunningVigie, visitor: Accounts
) -> None:
    def made() -> list[str]:
        return [drill["at"] for drill in vigie.get("/api/v1/drills?limit=1")["items"]]

    before = made()
    page = visitor().page("/astreintes")
    page.get_by_role("button", name="Faire l’essai maintenant").click()
    until(lambda: made() != before)
    expect(page.locator("#drill")).to_contain_text("essai du")


def test_a_guest_sees_no_duty(crisis: str, visitor: Accounts) -> None:
    page = visitor("kiosk").page(f"/mur?realm={crisis}")
    expect(page.locator("a[href^='/astreintes']")).to_have_count(0)
