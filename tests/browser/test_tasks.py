"""People do their task without reading a guide: a newcomer in the cell, and a director on a phone."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Accounts

PHONE = {"width": 390, "height": 844, "has_touch": True}


def test_a_newcomer_finds_what_is_dangerous_what_to_decide_and_a_site_that_telephones(crisis: str, visitor: Accounts) -> None:
    page = visitor().page(f"/?realm={crisis}")
    expect(page.locator("#rows tr.grp").first).to_contain_text("Danger pour des personnes")
    expect(page.locator("#rows .st.danger").first).to_have_text("Danger")
    expect(page.get_by_role("heading", name="À décider")).to_be_visible()
    cut = page.evaluate(
        """() => [...document.querySelectorAll("#rows th[scope=row], #side li span:not(.vh)")]
          .filter((e) => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflow === "hidden").length"""
    )
    assert cut == 0, "no two rows look alike because they are cut"
    page.keyboard.press("/")
    page.keyboard.type("antony")
    page.get_by_role("link", name="Chercher partout").click()
    page.locator("#q").fill("antony")
    page.keyboard.press("Enter")
    page.locator("#found").get_by_role("link", name="Antony").first.click()
    expect(page.get_by_role("link", name="Signaler sur ce site")).to_be_visible()


def test_a_director_on_a_phone_reads_first_what_is_asked(crisis: str, visitor: Accounts) -> None:
    page = visitor("director").page(f"/?realm={crisis}", **PHONE)
    asked = page.get_by_role("heading", name="Ce qui vous est demandé")
    expect(asked).to_be_visible()
    order = page.evaluate("() => ['#side', '#rowsbox', '#maps'].map((s) => document.querySelector(s).getBoundingClientRect().top)")
    assert order == sorted(order)
    expect(page.locator("#maps svg.map:visible")).to_have_count(0)
    page.get_by_role("link", name="Afficher la carte").click()
    expect(page.locator("#maps svg.map").first).to_be_visible()
