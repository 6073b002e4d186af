"""One screen calls many people or asks for their safety: estimate, then progress."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Accounts, running_exercise
from tests.browser.test_accessibility import defects
from tests.system import RunningVigie

STAFF = """person,name,language,channel,address,verified_at,site
agent-pmi-1,Une,fr,sms,+33600000011,,pmi-04
agent-pmi-2,Deux,fr,sms,+33600000012,,pmi-04
agent-pmi-3,Trois,fr,sms,+33600000013,,pmi-04
"""


@pytest.fixture
def answering(vigie: RunningVigie, tmp_path: Path) -> Iterator[str]:
    """Run an exercise with answers to a headcount: help, safe and silent."""
    people = tmp_path / "people.csv"
    people.write_text(STAFF, encoding="utf-8")
    assert vigie.cli("directory", "import", str(people)).returncode == 0
    with running_exercise(
        vigie,
        "appels",
        {"person": "agent-pmi-1", "answer": "ack", "says": "help", "after_s": 1},
        {"person": "agent-pmi-2", "answer": "ack", "after_s": 1},
    ) as realm:
        yield realm


def test_a_headcount_asks_all_people_and_counts_those_in_need_of_help(
    visitor: Accounts, answering: str
) -> None:
    cell = visitor()
    page = cell.page(f"/appels?realm={answering}")
    asking = page.get_by_role("form", name="Recenser les agents")
    asking.get_by_label("Sites").fill("pmi-04")
    asking.get_by_role("button", name="Lancer le recensement").click()
    card = page.get_by_role("article", name="Recensement")
    expect(card).to_contain_text("2 / 3 ont répondu")
    expect(card.locator(".said li")).to_have_text(
        ["1 en sécurité", "1 demande de l’aide", "0 pas concerné ou absent", "1 sans réponse"]
    )
    expect(card.get_by_role("progressbar")).to_have_attribute("value", "2")
    expect(card.get_by_role("link", name="qui")).to_have_count(
        0
    )  # answers are simulated: nobody is named
    overview = cell.page(f"/?realm={answering}")
    expect(overview.locator("#side")).to_contain_text("1 personne demande de l’aide")
    card.get_by_role("button", name="Clore").click()
    expect(page.get_by_role("article", name="Recensement")).to_contain_text("Arrêté")


def test_a_call_out_shows_duration_and_cost_first_and_can_be_dropped(
    vigie: RunningVigie, visitor: Accounts, answering: str
) -> None:
    page = visitor().page(f"/appels?realm={answering}")
    form = page.get_by_role("form", name="Préparer une diffusion d’alerte")
    for message in ("Restez chez vous demain.", "Au fait, non."):
        form.get_by_label("Message").fill(message)
        form.get_by_label("Sites").fill("pmi-04")
        form.get_by_role("button", name="Calculer").click()
        expect(
            page.get_by_role("article", name="Diffusion d’alerte").filter(has_text=message)
        ).to_contain_text("3 personnes à prévenir")
    first, second = (
        page.get_by_role("article", name="Diffusion d’alerte").filter(has_text=m)
        for m in ("Restez chez vous", "Au fait, non")
    )
    assert not vigie.get(f"/api/v1/notifications?realm={answering}")["items"], (
        "a draft tells nobody"
    )
    second.get_by_role("button", name="Abandonner").click()
    expect(second).to_contain_text("Abandonné")
    first.get_by_role("button", name="Prévenir 3 personnes").click()
    expect(first).to_contain_text("3 / 3 prévenus")
    assert [
        defects(page, theme)
        for theme in ("light", "dark")
        if not page.emulate_media(color_scheme=theme)
    ] == [[], []]
    page.set_viewport_size({"width": 320, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    notifications = vigie.get(f"/api/v1/notifications?realm={answering}")["items"]
    assert {n["person_token"] for n in notifications} == {
        "agent-pmi-1",
        "agent-pmi-2",
        "agent-pmi-3",
    }


def test_users_without_the_right_to_send_see_numbers_and_no_form(
    visitor: Accounts, answering: str
) -> None:
    page = visitor("observer", duty=None).page(f"/appels?realm={answering}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Appels et recensements")
    expect(page.locator("main form")).to_have_count(0)
