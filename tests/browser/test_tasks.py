"""People do their task without a guide: newcomer, director on a phone, principal, agent."""

from __future__ import annotations

import re
import time
from pathlib import Path

from playwright.sync_api import expect

from services.runtime.identity.signed_links import AnswerLink, AnswerLinks
from tests.browser.conftest import Accounts
from tests.browser.test_accessibility import defects
from tests.browser.test_calls import answering
from tests.system import RunningVigie
from tests.waiting import until

__all__ = ["answering"]

PHONE = {"width": 390, "height": 844, "has_touch": True}


def test_a_newcomer_finds_dangers_decisions_and_a_calling_site(
    crisis: str, visitor: Accounts
) -> None:
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


def test_a_director_on_a_phone_reads_the_demand_first(crisis: str, visitor: Accounts) -> None:
    page = visitor("director").page(f"/?realm={crisis}", **PHONE)
    demand_heading = page.get_by_role("heading", name="Ce qui vous est demandé")
    expect(demand_heading).to_be_visible()
    order = page.evaluate(
        "() => ['#side', '#rowsbox', '#maps'].map((s) => document.querySelector(s).getBoundingClientRect().top)"
    )
    assert order == sorted(order)
    expect(page.locator("#maps svg.map:visible")).to_have_count(0)
    page.get_by_role("link", name="Afficher la carte").click()
    expect(page.locator("#maps svg.map").first).to_be_visible()


def test_a_principal_reports_learns_that_it_was_read_and_follows_an_instruction(
    vigie: RunningVigie, own_realm: str, visitor: Accounts
) -> None:
    """From the first tap on a phone to «Compris», with two people of the cell on the incident."""
    site = "clg-0921243B"
    principal = visitor("site_manager", sites=(site,)).page(f"/?realm={own_realm}", **PHONE)
    principal.get_by_role("link", name=re.compile("^Eau")).click()
    principal.get_by_label("Non, fermé").check()
    principal.get_by_role("button", name="Envoyer", exact=True).click()
    expect(principal.locator("#said")).to_have_text(re.compile("Reçu à"))
    principal.get_by_role("link", name="Mes sites").click()
    receipt = principal.locator("#mine")
    expect(receipt).to_contain_text("pas encore lu par la cellule")
    (incident,) = [
        i for i in vigie.get(f"/api/v1/incidents?realm={own_realm}")["items"] if site in i["sites"]
    ]

    first = visitor("cell").page(f"/incidents/{incident['id']}?realm={own_realm}")
    expect(receipt).to_contain_text(re.compile(r"lu à \d\d:\d\d par la cellule"))
    second = visitor().page(f"/incidents/{incident['id']}?realm={own_realm}")
    expect(first.locator("#presence")).to_have_text("Coordonnateur PCA regarde aussi")
    expect(second.locator("#presence")).to_have_text("Cellule de crise regarde aussi")
    assert not defects(first, "light")
    second.goto(f"/?realm={own_realm}")
    expect(second.locator("#presence")).to_have_text(
        "Aussi dans Vigie : Cellule de crise (sur un incident)"
    )
    expect(first.locator("#presence")).to_be_hidden()

    first.goto(f"/sites/{site}?realm={own_realm}")
    first.get_by_label("Consigne pour").fill(
        "Coupez l’arrivée d’eau et gardez les élèves en classe."
    )
    first.get_by_role("button", name="Envoyer la consigne").click()
    expect(first.locator("#said-instruction")).to_have_text(
        "Consigne envoyée au responsable du site."
    )
    expect(receipt).to_contain_text("Coupez l’arrivée d’eau")
    assert not defects(principal, "light")
    principal.get_by_role("button", name="Compris").click()
    expect(receipt).to_contain_text(re.compile(r"comprise à \d\d:\d\d"))
    expect(first.locator("#instruction-rows")).to_contain_text(re.compile(r"comprise à \d\d:\d\d"))


def test_an_agent_without_an_account_answers_a_headcount_on_the_phone(
    vigie: RunningVigie, answering: str, visitor: Accounts
) -> None:
    answer = vigie.http.post(
        f"/api/v1/headcounts?realm={answering}",
        json={"sites": ["pmi-04"]},
        headers={"Prefer": "wait=20"},
    )
    assert answer.status_code < 300, answer.text

    def silent() -> list[dict[str, object]]:
        calls = vigie.get(f"/api/v1/notifications?realm={answering}&limit=1000")["items"]
        return [
            n for n in calls if n["template"] == "headcount" and n["person_token"] == "agent-pmi-3"
        ]

    until(lambda: [n for n in silent() if n["state"] in ("accepted", "received")])
    links = AnswerLinks.open(Path(vigie.folder) / "data" / "secrets")
    token = links.token(
        AnswerLink(
            answering, str(silent()[0]["id"]), "agent-pmi-3", int(time.time() * 1000) + 600_000
        )
    )
    page = visitor(None).page(f"/a/{token}", java_script_enabled=False, **PHONE)
    expect(page.get_by_role("heading", name="Êtes-vous en sécurité ?")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_contain_text("PMI")
    heights = [box["height"] for b in page.get_by_role("button").all() if (box := b.bounding_box())]
    assert min(heights) >= 48, "a thumb hits every answer"
    page.get_by_role("button", name="J’ai besoin d’aide").click()
    expect(page.get_by_role("alert")).to_contain_text("La cellule est prévenue")
    expect(page.get_by_role("link", name="112")).to_be_visible()
    page.get_by_role("button", name="Je suis en sécurité").click()
    expect(
        page.get_by_role("heading", name="Réponse enregistrée : je suis en sécurité.")
    ).to_be_visible()
    until(lambda: silent()[0]["state"] == "answered")
