"""The on-call week in a real browser: an override and a calendar are decided there, a wrong file is refused with its sentence."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.conftest import Accounts
from tests.system import RunningVigie
from tests.unit.oncall.corpus import event, ics


def test_the_week_shows_who_stands_where_and_takes_an_override_and_a_calendar(
    vigie: RunningVigie, own_realm: str, visitor: Accounts, tmp_path: Path
) -> None:
    page = visitor().page(f"/astreintes?realm={own_realm}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Astreintes")
    row = page.locator('[data-key="astreinte_technique-h"]')
    expect(row).to_contain_text("ast-technique")
    expect(page.locator("#holes")).to_contain_text("Aucun trou")

    page.get_by_text("Remplacer", exact=True).first.click()
    page.get_by_label("Rôle").first.select_option("astreinte_technique")
    page.get_by_label("Code de la personne").fill("cel-si")
    page.get_by_label("Du", exact=True).fill("2027-02-11T06:00")
    page.get_by_label("Au", exact=True).fill("2027-02-12T06:00")
    page.get_by_label("Raison", exact=True).fill("congé")
    page.locator('form[action="/api/v1/oncall/overrides"] button').click()
    expect(row).to_contain_text("cel-si", timeout=30_000)
    found = vigie.get(f"/api/v1/oncall/duties?realm={own_realm}")["items"]
    assert [(d["kind"], d["persons"]) for d in found] == [("override", ["cel-si"])]

    page.get_by_text("Importer un calendrier", exact=True).click()
    wrong = tmp_path / "garde.ics"
    wrong.write_bytes(ics(event("DTSTART:20270213T080000", "DTEND:20270213T200000", summary="Garde de Paul")))
    page.locator("#i-file").set_input_files(wrong)
    page.locator("#i-role").select_option("astreinte_technique")
    page.locator('form[action="/api/v1/oncall/import"] button').click()
    expect(page.locator("#said-import")).to_have_text(
        re.compile("« Garde de Paul » du 13/02/2027 08:00 ne nomme aucune personne"), timeout=60_000
    )
    right = tmp_path / "tour.ics"
    right.write_bytes(ics(event("DTSTART:20270213T080000", "DTEND:20270213T200000", summary="cel-rh")))
    page.locator("#i-file").set_input_files(right)
    page.locator('form[action="/api/v1/oncall/import"] button').click()
    expect(row).to_contain_text("cel-rh", timeout=60_000)


def test_a_guest_sees_no_duty(crisis: str, visitor: Accounts) -> None:
    page = visitor("kiosk").page(f"/mur?realm={crisis}")
    expect(page.locator("a[href^='/astreintes']")).to_have_count(0)
