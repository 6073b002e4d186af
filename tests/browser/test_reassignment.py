"""The page of reassignments for somebody who only reads."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Accounts
from tests.system import RunningVigie


def test_an_observer_reads_and_decides_nothing(vigie: RunningVigie, visitor: Accounts, crisis: str) -> None:
    page = visitor("observer").page(f"/reaffectation?realm={crisis}")
    expect(page.get_by_role("heading", name="Réaffectation proposée")).to_be_visible()
    expect(page.get_by_text("Ce qui n’est pas possible")).to_be_visible()
    expect(page.get_by_role("button", name="Approuver la sélection")).to_have_count(0)
    expect(page.locator("#choose input[type=checkbox]")).to_have_count(0)
