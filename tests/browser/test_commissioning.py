"""Read the gaps of an installation and confirm its territory, on a desk and on a phone."""

from __future__ import annotations

import os
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.conftest import Accounts
from tests.system import RunningVigie

PICTURES = os.environ.get("VIGIE_PICTURES")


def _picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True, animations="disabled")


def test_the_territory_is_confirmed_and_its_line_turns_green(
    vigie: RunningVigie, visitor: Accounts
) -> None:
    admin = visitor("admin")
    home = admin.page("/")
    _picture(home, "commissioning-home")
    page = admin.page("/mise-en-service")
    territory = page.get_by_role("listitem").filter(has_text="Territoire confirmé")
    expect(territory).to_contain_text("à faire")
    _picture(page, "commissioning")
    territory.get_by_role("button", name="Confirmer les données").click()
    expect(territory).to_contain_text("fait")
    expect(territory.get_by_role("button")).to_have_count(0)
    condition_states = {
        one["id"]: one["state"] for one in vigie.get("/api/v1/commissioning")["items"]
    }
    assert condition_states["territory"] == "done"
    register = admin.page("/personnes")
    expect(register.locator("#traces")).to_contain_text("données du territoire confirmées")
    phone = admin.page("/mise-en-service", viewport={"width": 390, "height": 844})
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    _picture(phone, "commissioning-phone")
