"""The screen of the crisis cell: content, keyboard, search."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from services.console.attention.cell_page import fold_text
from tests.browser.conftest import Accounts
from tests.system import RunningVigie


def count(page: Page, view: str) -> int:
    text = page.locator("#views a", has_text=view).inner_text()
    return int(re.sub(r"\D", "", text))


def test_the_list_the_map_and_the_counts_are_the_same_crisis(
    crisis: str, visitor: Accounts
) -> None:
    page = visitor().page(f"/?realm={crisis}")
    expect(page.locator(".level")).to_contain_text("N3 Crise départementale")
    rows = page.locator("[data-row]")
    assert (
        rows.count() == count(page, "À traiter") == page.locator("svg.whole use[data-site]").count()
    )
    assert page.locator("[data-row] .st.unknown").count() == count(page, "Sans nouvelles")
    legend = {
        x.split()[0]: int(x.split()[-1]) for x in page.locator(".legend li").all_inner_texts()
    }
    assert sum(legend.values()) == 253
    assert rows.count() == 253 - legend["Normal"]
    expect(rows.first).to_contain_text("Siège")
    groups = page.locator("tr.grp").all_inner_texts()
    assert groups[0].startswith("Danger pour des personnes")
    assert groups[1].startswith("Échéance dans moins d’une heure")
    assert any(g.startswith("Sans nouvelles") for g in groups)


def test_the_panel_names_the_next_action_and_leads_to_its_incident(
    crisis: str, visitor: Accounts
) -> None:
    page = visitor().page(f"/?realm={crisis}")
    side = page.locator("#side")
    expect(side.locator("h2 a")).to_contain_text("Coupure électrique")
    expect(side).to_contain_text("6 réponses sur 8")
    expect(side.locator("[data-until]").first).to_have_text(re.compile(r"^\d\d:\d\d$"))
    expect(
        side.get_by_role("heading", name=re.compile("Prochaines échéances critiques"))
    ).to_be_visible()
    assert side.locator(".ck").count() == 5
    page.locator("#incident h2 a").click()
    expect(page.locator("#plans")).to_contain_text("PT-ELEC")


def test_the_rate_of_demands_is_shown_beside_the_newest_facts(
    vigie: RunningVigie, crisis: str, visitor: Accounts
) -> None:
    rate = visitor().page(f"/?realm={crisis}").locator("#facts .rate")
    limit = vigie.get(f"/api/v1/attention?realm={crisis}")["limit"]
    expect(rate).to_be_visible()
    expect(rate).to_have_text(
        re.compile(rf"^\d+ sollicitations? en 10 min \(maximum conseillé\s: {limit}\b.*\)$")
    )


def test_the_keyboard_does_everything(crisis: str, visitor: Accounts) -> None:
    page = visitor().page(f"/?realm={crisis}")
    page.keyboard.press("ArrowDown")
    chosen = page.locator("[data-row][aria-selected=true]")
    expect(chosen).to_have_count(1)
    expect(chosen.get_by_role("link")).to_be_focused()
    site = chosen.get_attribute("data-site")
    expect(page.locator(f"svg.whole use.chosen[data-site='{site}']")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    assert chosen.get_attribute("data-site") != site
    page.keyboard.press("m")
    expect(page.locator("body")).to_have_class(re.compile("layout-tableau"))
    expect(page.locator("#maps")).to_be_hidden()
    page.keyboard.press("n")
    expect(page.get_by_label("Main courante", exact=True)).to_be_focused()
    page.keyboard.type("a n m ?")
    expect(page.get_by_label("Main courante", exact=True)).to_have_value("a n m ?")
    page.keyboard.press("Escape")
    bell = page.locator("#menu > summary")
    bell.focus()
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Raccourcis")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Raccourcis")).to_be_hidden()
    expect(bell).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.type("archives")
    expect(page.locator("[data-row]:visible")).to_have_count(1)
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Archives départementales")).to_be_visible()
    page.goto(f"/?realm={crisis}")
    page.locator("#menu > summary").click()
    page.get_by_role("button", name="Raccourcis à une touche", pressed=True).click()
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    expect(page.get_by_label("Main courante", exact=True)).not_to_be_focused()
    page.reload()
    page.keyboard.press("m")
    expect(page.locator("body")).not_to_have_class(re.compile("layout-tableau"))


def test_search_ignores_accents_and_reports_no_match(crisis: str, visitor: Accounts) -> None:
    page = visitor().page(f"/?realm={crisis}")
    field = page.get_by_label("Chercher un site")
    field.fill("ÉVACUÉ")
    expect(page.locator("[data-row]:visible")).to_have_count(1)
    field.fill("zzz")
    expect(page.locator("#nohit")).to_be_visible()
    field.fill("")
    expect(page.locator("#nohit")).to_be_hidden()


def test_which_sites_of_my_pole_are_closed_and_why_takes_two_actions(
    vigie: RunningVigie, crisis: str, visitor: Accounts
) -> None:
    page = visitor().page(f"/?realm={crisis}")
    page.get_by_text("Pôles", exact=True).click()
    page.get_by_role("link", name=re.compile("^Solidarités")).click()
    expect(page.locator(".held-to summary")).to_have_text("Solidarités")
    sites = vigie.get(f"/api/v1/sites?realm={crisis}&limit=500")["items"]
    mine = {s["id"] for s in sites if s["pole"] == "solidarites" and s["status"] != "normal"}
    rows = page.locator("[data-row]")
    expect(rows).to_have_count(len(mine))
    assert {r.get_attribute("data-site") for r in rows.all()} == mine != set()
    assert {
        u.get_attribute("data-site") for u in page.locator("svg.whole use[data-site]").all()
    } == mine
    assert all(
        why.strip() for why in page.locator("[data-row] > td:nth-child(3)").all_inner_texts()
    )
    page.get_by_label("Chercher un site").fill("fermé")
    expect(page.locator("[data-row]:visible")).to_have_count(
        sum(s["status"] == "closed" and s["id"] in mine for s in sites)
    )
    expect(page).to_have_url(re.compile("pole=solidarites"))


def test_views_and_order_are_in_the_address(crisis: str, visitor: Accounts) -> None:
    page = visitor().page(f"/?realm={crisis}")
    page.get_by_role("link", name=re.compile("^Tâches")).click()
    expect(page).to_have_url(re.compile("vue=taches"))
    expect(page.locator("[data-row]")).to_have_count(count(page, "Tâches"))
    page.get_by_role("link", name=re.compile("^À traiter")).click()
    page.get_by_role("columnheader", name="Site").get_by_role("link").click()
    expect(page.get_by_role("columnheader", name="Site")).to_have_attribute(
        "aria-sort", "ascending"
    )
    expect(page.locator("[data-row]")).to_have_count(count(page, "À traiter"))
    names = page.locator("[data-row] .spot").all_inner_texts()
    assert names == sorted(names, key=fold_text)


def test_without_scripts_everything_can_still_be_read(crisis: str, visitor: Accounts) -> None:
    page = visitor().page(f"/?realm={crisis}&q=archives", java_script_enabled=False)
    expect(page.locator("[data-row]")).to_have_count(1)
    expect(page.locator("#side h2 a")).to_contain_text("Coupure électrique")
    expect(page.locator("noscript p")).to_contain_text(
        "Sans JavaScript, cette page ne se met pas à jour"
    )
    expect(page.locator("noscript p")).to_be_visible()
    expect(page.locator("#live")).to_be_hidden()
    expect(page.get_by_role("button", name="Prendre en charge")).to_be_hidden()
    expect(page.get_by_role("button", name="Ajouter")).to_be_hidden()


def test_the_cell_is_one_screen_that_does_not_scroll(crisis: str, visitor: Accounts) -> None:
    """Words for screen readers in the column on the right made the page longer than the screen."""
    page = visitor().page(f"/?realm={crisis}")
    expect(page.locator("#side")).to_contain_text("PCA du pôle Solidarités")
    assert page.evaluate("document.documentElement.scrollHeight - innerHeight") <= 0


def test_the_way_back_from_a_row_leads_to_the_rows_that_were_searched_for(
    crisis: str, visitor: Accounts
) -> None:
    page = visitor().page(f"/?realm={crisis}")
    search, rows = page.locator("#q"), page.locator("[data-row]:visible")
    all_rows = rows.count()
    search.press_sequentially("collège")
    expect(rows).not_to_have_count(all_rows)
    found_rows = rows.count()
    rows.first.get_by_role("link").first.click()
    page.wait_for_url("**/sites/*")
    page.go_back()
    expect(search).to_have_value("collège")
    expect(rows).to_have_count(found_rows)
