"""The cell reads a proposal, approves lines and sends orders; the site reports their state."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.conftest import Accounts, report
from tests.system import RunningVigie
from tests.waiting import until


def row_of(vigie: RunningVigie, realm: str) -> str:
    """Return a line with its agents at work."""
    lines = vigie.get(f"/api/v1/reassignments/lines?realm={realm}&state=arrived&limit=1")["items"]
    return str(lines[0]["id"])


def refuse_one_move(page: Page) -> None:
    """Refuse, as the cell, one line of an order of several; the others stay."""
    order = (
        page.locator("#underway tbody tr")
        .filter(has=page.get_by_text("Ou un seul mouvement"))
        .first
    )
    order.locator("summary", has_text="Impossible").click()
    order.get_by_label("Raison").fill("Plus de place.")
    order.get_by_role("button", name="Refuser :").last.click()
    refusal = page.locator("#refused li")
    expect(refusal).to_have_count(1)
    expect(refusal).to_contain_text(re.compile(r"Refusé .*Plus de place\."))
    expect(refusal).to_contain_text("À la place")


def test_the_cell_approves_a_selection_and_its_orders_go_out(
    vigie: RunningVigie, visitor: Accounts, own_realm: str, tmp_path: Path
) -> None:
    report(vigie, own_realm, "cen-1", "closure", 5)
    people = tmp_path / "people.csv"
    people.write_text(
        "person,name,language,channel,address,verified_at,site\nagent-siege-1,Une,fr,sms,+33600000001,,cen-1\nagent-siege-2,Deux,fr,voice,+33600000002,,cen-1\n",
        encoding="utf-8",
    )
    assert vigie.cli("directory", "import", str(people)).returncode == 0

    def asked() -> bool:
        return (
            vigie.http.post(f"/api/v1/reassignments/compute?realm={own_realm}", json={}).status_code
            == 200
        )

    def proposed() -> bool:
        return any(
            p["state"] == "open" and p["agents"]
            for p in vigie.get(f"/api/v1/reassignments?realm={own_realm}")["items"]
        )

    until(asked, 120)
    until(proposed, 240)
    page = visitor("coordinator").page(f"/reaffectation?realm={own_realm}")
    expect(page.get_by_role("heading", name="Réaffectation proposée")).to_be_visible()
    expect(page.get_by_role("img", name="Flux proposé")).to_be_visible()
    boxes = page.locator("#choose tbody input[type=checkbox]")
    assert 0 < page.locator("#choose tbody input:checked").count() < boxes.count(), (
        "vital work of criticality 1 alone is ticked beforehand"
    )
    page.evaluate("document.documentElement.dataset.hold = '1'")
    page.get_by_role("button", name="Approuver la sélection").click()
    message = page.locator("#said-moves")
    expect(message).to_contain_text(
        re.compile(r"\d\sagents, \d+\ssites\s: un ordre part au responsable")
    )
    message.get_by_role("button", name="Annuler").click()
    expect(message).to_have_text("Rien n’est parti.")
    approve = page.get_by_role("button", name="Approuver la sélection")
    approve.press("Enter")
    expect(message.get_by_role("button", name="Confirmer")).to_be_focused()
    page.keyboard.press("Escape")
    expect(message).to_have_text("Rien n’est parti.")
    expect(approve).to_be_focused()
    page.evaluate("document.documentElement.dataset.hold = '9'")
    approve.press("Enter")
    expect(message.get_by_role("button", name="Confirmer")).to_be_focused()
    page.keyboard.press("Enter")
    expect(message.get_by_role("button", name="Annuler l’envoi")).to_be_focused()
    page.keyboard.press("Escape")
    expect(message).to_have_text("Rien n’est parti.")
    page.evaluate("document.documentElement.dataset.hold = '1'")
    assert not [
        p for p in vigie.get(f"/api/v1/reassignments?realm={own_realm}")["items"] if p["decisions"]
    ]
    page.evaluate(
        "document.querySelectorAll('#choose input[type=checkbox]').forEach((box) => (box.checked = true))"
    )
    boxes.first.uncheck()
    page.get_by_role("button", name="Approuver la sélection").click()
    message.get_by_role("button", name="Confirmer").click()
    expect(message.get_by_role("button", name="Annuler l’envoi")).to_be_focused()
    expect(page.locator("#underway")).to_contain_text("ordre parti")
    (row,) = [
        p
        for p in vigie.get(f"/api/v1/reassignments?realm={own_realm}")["items"]
        if p["state"] == "open"
    ]
    assert 0 < row["undecided"] < row["lines_total"], "what was not selected is still to decide"
    assert sum(d["agents"] for d in row["decisions"]) < row["agents"]
    expect(page.locator("#decided")).to_contain_text("règles D49, R6, R7, R8")

    page.get_by_role("button", name="Préparer les messages").click()
    expect(page.locator("#staff")).to_contain_text(
        "2 personnes à prévenir, dont 1 sans moyen connu"
    )
    page.get_by_role("button", name="Envoyer aux agents").click()
    expect(page.locator("#staff")).to_contain_text("Prévenus : 1 sur 2")
    again = vigie.http.post(
        f"/api/v1/reassignments/{row['id']}/announce?realm={own_realm}", json={"start": True}
    )
    assert again.status_code == 409, "nobody is told twice"
    calls = [c for c in vigie.get(f"/api/v1/callouts?realm={own_realm}")["items"] if c["decision"]]
    assert [(c["sites"], c["decision"]) for c in calls] == [(["cen-1"], row["decisions"][0]["id"])]
    notifications = vigie.get(f"/api/v1/notifications?realm={own_realm}&limit=1000")["items"]
    assert {n["person_token"] for n in notifications if n["role"] == "agent"} == {
        "agent-siege-1",
        "agent-siege-2",
    }

    refuse_one_move(page)
    refused_lines = vigie.get(f"/api/v1/reassignments/lines?realm={own_realm}&state=refused")
    assert [line["reason"] for line in refused_lines["items"]] == ["Plus de place."]

    def states() -> set[str]:
        lines = vigie.get(f"/api/v1/reassignments/lines?realm={own_realm}&site=cen-1&limit=1000")[
            "items"
        ]
        return {line["state"] for line in lines if line["from"]["site"] == "cen-1"} - {"refused"}

    manager = visitor("site_manager", sites=("cen-1",))
    phone = manager.page(f"/mes-sites?realm={own_realm}", width=390, height=844)
    mine = phone.locator("#mine li").filter(has_text="Partent travailler ailleurs")
    home = phone.locator("#mine li").filter(has_text="Travaillent à domicile")
    for step, message in (("Ordre reçu", "ordre reçu"), ("Arrivés", "au travail")):
        for row in (mine, home):
            row.get_by_role("button", name=step).click()
            expect(row).to_contain_text(message)
    until(lambda: states() == {"arrived"}, 30)
    mine.locator("summary", has_text="De retour").click()
    mine.get_by_role("button", name="de retour au travail habituel").click()
    expect(mine).to_have_count(0)
    assert states() == {"arrived", "released"}, "who works at home goes on"
    assert (
        vigie.http.post(
            f"/api/v1/reassignments/{row_of(vigie, own_realm)}/accept?realm={own_realm}", json={}
        ).status_code
        == 409
    )


def test_an_observer_reads_and_decides_nothing(
    vigie: RunningVigie, visitor: Accounts, crisis: str
) -> None:
    page = visitor("observer").page(f"/reaffectation?realm={crisis}")
    expect(page.get_by_role("heading", name="Réaffectation proposée")).to_be_visible()
    expect(page.get_by_text("Ce qui n’est pas possible")).to_be_visible()
    expect(page.get_by_role("button", name="Approuver la sélection")).to_have_count(0)
    expect(page.locator("#choose input[type=checkbox]")).to_have_count(0)
