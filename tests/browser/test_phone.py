"""On a phone: report in 45 seconds, network or not; answer a call without an account."""

from __future__ import annotations

import re
import time
from pathlib import Path

from playwright.sync_api import Page, expect

from services.runtime.links import AckLinks, Link
from tests.browser.conftest import Accounts, report
from tests.system import RunningVigie
from tests.waiting import until

PHONE = {"width": 390, "height": 844}


def fill(page: Page, site: str) -> None:
    page.get_by_label("1. Site").fill(site)
    page.get_by_text("Électricité").click()
    page.get_by_text("Non, fermé").click()
    page.get_by_text("Non", exact=True).click()
    page.get_by_label("5. En une phrase").fill("Plus de courant, 493 élèves en classe.")


def test_a_site_reports_and_gets_its_number(vigie: RunningVigie, own_realm: str, visitor: Accounts) -> None:
    page = visitor("site_manager").page(f"/signaler?realm={own_realm}&site=gym-07", **PHONE)
    expect(page.get_by_label("1. Site")).to_have_value(re.compile("gym-07"))
    fill(page, page.get_by_label("1. Site").input_value())
    page.get_by_role("button", name="Envoyer").click()
    expect(page.locator("#said")).to_have_text(re.compile(r"Reçu à \d\d:\d\d, numéro [0-9a-f]{8}"))
    expect(page.locator("#queue")).to_be_hidden()
    until(lambda: [s["id"] for s in vigie.get(f"/api/v1/sites?realm={own_realm}&status=closed")["items"]] == ["gym-07"])


def test_without_network_the_report_waits_on_the_phone_and_leaves_once(vigie: RunningVigie, own_realm: str, visitor: Accounts) -> None:
    who = visitor("site_manager")
    context = who.context(**PHONE)
    page = who.page(f"/signaler?realm={own_realm}&site=gym-07", context=context)
    fill(page, page.get_by_label("1. Site").input_value())
    context.set_offline(True)
    expect(page.locator("#send")).to_have_text("Envoyer dès que possible")
    page.locator("#send").click()
    expect(page.locator("#queue")).to_contain_text("1 signalement en attente d’envoi")
    context.set_offline(False)
    expect(page.locator("#said")).to_have_text(re.compile("Reçu à"))
    expect(page.locator("#queue")).to_be_hidden()
    marker = report(vigie, own_realm, "cul-04")  # it lies behind whatever the phone has sent
    until(lambda: vigie.get(f"/api/v1/reports/{marker}?realm={own_realm}")["state"] == "applied")
    assert vigie.get(f"/api/v1/overview?realm={own_realm}")["counts"]["reports"] == 2


def test_an_unknown_site_is_asked_again_in_words(own_realm: str, visitor: Accounts) -> None:
    page = visitor("site_manager").page(f"/signaler?realm={own_realm}", **PHONE)
    fill(page, "nulle part")
    page.get_by_role("button", name="Envoyer").click()
    expect(page.locator("#said")).to_have_text("Choisissez le site dans la liste.")


def waiting_call(vigie: RunningVigie, realm: str) -> dict[str, object]:
    """A call of the N3 ladder that nobody has answered."""

    def calls() -> list[dict[str, object]]:
        items = vigie.get(f"/api/v1/notifications?realm={realm}&limit=1000")["items"]
        return [n for n in items if n["answer_expected"] and n["level"] == 3 and n["state"] in ("received", "accepted")]

    until(calls)
    return calls()[0]


def test_only_the_button_answers_and_only_once(vigie: RunningVigie, own_realm: str, visitor: Accounts) -> None:
    report(vigie, own_realm, "cen-2")
    call = waiting_call(vigie, own_realm)
    links = AckLinks.open(Path(vigie.folder) / "data" / "secrets")
    token = links.token(Link(own_realm, str(call["id"]), str(call["person_token"]), int(time.time() * 1000) + 600_000))

    def state() -> str:
        return str(vigie.get(f"/api/v1/notifications/{call['id']}?realm={own_realm}")["state"])

    page = visitor(None).page(f"/a/{token}", java_script_enabled=False, **PHONE)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Crise départementale, niveau N3")
    expect(page.locator(".exoband")).to_contain_text("EXERCICE")
    page.reload()
    assert state() in ("accepted", "received")  # a receipt may arrive meanwhile; looking changes nothing
    page.get_by_role("button", name="Je prends").click()
    expect(page.get_by_role("heading", name="Vous prenez. La cellule le voit.")).to_be_visible()
    until(lambda: state() == "answered")
    page.goto(f"/a/{token}")
    expect(page.get_by_role("button")).to_have_count(0)


def test_a_link_that_is_over_says_whom_to_call(vigie: RunningVigie, crisis: str, visitor: Accounts) -> None:
    call = waiting_call(vigie, crisis)
    links = AckLinks.open(Path(vigie.folder) / "data" / "secrets")
    token = links.token(Link(crisis, str(call["id"]), str(call["person_token"]), int(time.time() * 1000) - 1000))
    page = visitor(None).page(f"/a/{token}", **PHONE)
    expect(page.get_by_role("heading", level=1)).to_have_text("Lien non valable")
