"""One's own sites, the tiles, and the clock of an exercise under a person's control."""

from __future__ import annotations

import re
from datetime import datetime

from playwright.sync_api import expect

from tests.browser.conftest import Accounts, report
from tests.system import RunningVigie
from tests.waiting import until


def test_a_site_manager_sees_their_sites_and_reports_in_two_taps(
    vigie: RunningVigie, place: str, visitor: Accounts
) -> None:
    report(vigie, place, "pmi-04")
    until(lambda: vigie.get(f"/api/v1/sites/pmi-04?realm={place}")["status"] != "normal")
    page = visitor("site_manager", sites=("gym-07", "pmi-04")).page(
        f"/?realm={place}", width=390, height=844
    )
    expect(page.get_by_role("heading", level=2)).to_have_count(3)
    cards = page.locator(".mine > section")
    expect(cards.first).to_contain_text("sans courant")
    expect(cards.nth(1)).to_contain_text("Rien à signaler, rien à faire.")
    cards.nth(1).get_by_role("link", name=re.compile("^Eau")).click()
    page.get_by_label("En partie").check()
    page.get_by_role("button", name="Envoyer", exact=True).click()
    expect(page.locator("#said")).to_have_text(re.compile("Reçu à"))
    until(
        lambda: (
            [c["type"] for c in vigie.get(f"/api/v1/sites/gym-07?realm={place}")["causes"]]
            == ["outage_water"]
        )
    )
    page.goto(f"/mes-sites?realm={place}")
    expect(page.locator("#mine")).to_contain_text(
        re.compile(r"reçu à \d\d:\d\d, pas encore lu par la cellule, incident N\d")
    )
    page.get_by_role("link", name="C’est fini : sans courant").click()
    page.get_by_label("5. En une phrase").fill("Le courant est revenu.")
    with page.expect_request("**/api/v1/reports") as request_info:
        page.get_by_role("button", name="C’est fini : sans courant").click()
    assert (
        request_info.value.post_data_json["lifts"],
        request_info.value.post_data_json["description"],
    ) == (
        ["outage_power"],
        "Le courant est revenu.",
    )
    expect(page.locator("#said")).to_have_text(re.compile("Reçu à"))
    until(lambda: vigie.get(f"/api/v1/sites/pmi-04?realm={place}")["status"] == "normal")
    page.goto(f"/?realm={place}&vue=a-traiter&pole=solidarites")
    expect(page.locator("#rows")).to_contain_text(
        "Rien à traiter dans ce pôle."
    )  # nor does it say that all sites are normal
    page.goto(f"/signaler?realm={place}&quoi=nuke&va=no&fini=nuke")
    expect(page.locator("input:checked")).to_have_count(0)


def test_tasks_of_ones_site_are_taken_and_completed_there(
    vigie: RunningVigie, place: str, visitor: Accounts
) -> None:
    page = visitor("site_manager", sites=("cul-04",)).page(f"/mes-sites?realm={place}")
    for kind, lost in (
        ("outage_power", 100),
        ("outage_water", 30),
        ("reopening", 0),
    ):  # which of the two is over? (D16)
        report(vigie, place, "cul-04", kind, 3, lost)
    tasks = page.locator(".mine li", has=page.locator("form"))
    expect(tasks.first).to_be_visible()
    tasks.first.get_by_role("button", name="Je m’en charge").click()
    tasks.first.get_by_role("button", name="Faite").click()
    until(
        lambda: any(
            t["state"] == "done"
            for t in vigie.get(f"/api/v1/tasks?realm={place}&site=cul-04")["items"]
        )
    )


def test_the_tiles_say_the_same_as_the_map_and_lead_to_the_rows(
    crisis: str, visitor: Accounts
) -> None:
    page = visitor().page(f"/?realm={crisis}")
    rows = page.locator("[data-row]").count()
    page.get_by_role("link", name="Carte simplifiée").click()
    tiles = page.locator("svg.tiles a")
    expect(tiles).to_have_count(36)
    counts = [int(t) for t in page.locator("svg.tiles .k").all_text_contents()]
    assert sum(counts) == rows
    nanterre = page.get_by_role("link", name=re.compile("^Nanterre : .*Évacué"))
    nanterre.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Chercher un site")).to_have_value("Nanterre")
    expect(page.locator("svg.tiles")).to_be_visible()  # the form of the map stays in the address
    expect(page.locator("[data-row]")).to_have_count(max(counts))


def test_an_exercise_is_paced_and_moved_from_its_own_page(
    vigie: RunningVigie, own_realm: str, visitor: Accounts
) -> None:
    report(vigie, own_realm, "cen-1")
    page = visitor().page(f"/exercice?realm={own_realm}")
    expect(page.locator("#coming li").first).to_contain_text(re.compile(r"\d\d:\d\d"))
    expect(page.locator("#score")).to_contain_text("Incidents pris en charge 0 / 1")

    def clock() -> datetime:
        return datetime.fromisoformat(vigie.get(f"/api/v1/realms/{own_realm}")["clock"])

    before = clock()
    page.get_by_role("button", name="au plus vite").click()
    expect(page.locator("#pace")).to_contain_text("au plus vite")
    page.get_by_role("button", name="Avancer de 15 min").click()
    until(lambda: (clock() - before).total_seconds() >= 15 * 60)
    page.get_by_role("button", name="×60", exact=True).click()
    expect(page.locator("#pace header .aside")).to_have_text(re.compile("vitesse ×60$"))
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#pace header")).to_contain_text("en pause")
    page.get_by_role("button", name="Reprendre").click()
    expect(page.locator("#pace header .aside")).to_have_text(re.compile("vitesse ×60$"))

    observer = visitor("observer").page(f"/exercice?realm={own_realm}")
    expect(observer.locator("#score")).to_be_visible()
    expect(observer.locator("main form")).to_have_count(0)
    observer.goto("/exercice?realm=92")
    expect(observer.get_by_role("heading", level=1)).to_have_text("Réel et exercices")
