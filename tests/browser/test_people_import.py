"""Import the directory on the page of people: a trial with faults, then the corrected file."""

from __future__ import annotations

import os
from pathlib import Path

from playwright.sync_api import FilePayload, expect

from tests.browser.conftest import Accounts
from tests.system import RunningVigie

PICTURES = os.environ.get("VIGIE_PICTURES")
HEAD = "person,name,language,channel,address,verified_at"


def build_file(address: str) -> FilePayload:
    line = f"pi-1,Import,,email,{address},"
    return {"name": "a.csv", "mimeType": "text/csv", "buffer": f"{HEAD}\n{line}\n".encode()}


def test_a_file_is_tried_corrected_and_imported(vigie: RunningVigie, visitor: Accounts) -> None:
    page = visitor("admin").page("/personnes?realm=92")
    card = page.locator("#import")
    card.get_by_label("Fichier CSV").set_input_files(build_file("nowhere"))
    card.get_by_role("button", name="Vérifier le fichier").click()
    expect(card.locator("#said-people")).to_contain_text("Ligne 2 : address")
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / "import.png", full_page=True, animations="disabled")
    card.get_by_label("Fichier CSV").set_input_files(build_file("pi@example.org"))
    card.get_by_role("button", name="Vérifier le fichier").click()
    expect(card.locator("#said-people")).to_contain_text("1 personne nouvelle")
    card.get_by_role("button", name="Importer", exact=True).click()
    expect(card.locator("#said-people")).to_contain_text("L’annuaire est à jour")
    people = vigie.get("/api/v1/people")["items"]
    assert "pi-1" in {one["person"] for one in people}
