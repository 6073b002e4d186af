"""A site is picked by name or by id; an unknown entry is reported and kept."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Accounts, report
from tests.browser.test_accessibility import defects, keyboard_defects
from tests.system import RunningVigie
from tests.waiting import until

GALOIS = "clg-0921589C"
"""Collège Evariste Galois of Nanterre; Bourg-la-Reine has one too."""


def label_of(page: Page, id: str) -> str:
    """Return the label that a browser writes into the field for this suggestion."""
    return str(page.locator(f"datalist option[data-id={id}]").get_attribute("value"))


def names(form: Locator) -> list[str]:
    """Return the names of the picked sites."""
    return form.locator(".picker li > [data-name]").all_inner_texts()


def sent_by(page: Page, button: Locator) -> Any:
    with page.expect_request(lambda request: request.method == "POST") as request_info:
        button.click()
    return request_info.value.post_data_json


def test_sites_are_picked_by_name_one_is_taken_back_and_their_ids_are_sent(
    vigie: RunningVigie, place: str, visitor: Accounts
) -> None:
    page = visitor().page(f"/travaux?realm={place}")
    form = page.locator("main form", has=page.get_by_label("Raison"))
    field = form.locator("#sites")
    field.fill(label_of(page, "cen-1"))
    expect(field).to_have_value("")
    field.fill(label_of(page, "gym-07"))
    field.fill("college galois, nanterre")
    field.press("Tab")  # a part of one name is enough, however the field is left
    assert names(form) == [
        "Siège, Nanterre",
        "Gymnase départemental Nanterre, Nanterre",
        "Collège Evariste Galois, Nanterre",
    ]
    expect(form.get_by_role("status").first).to_have_text(
        "Ajouté : Collège Evariste Galois, Nanterre. Choisis : 3."
    )
    form.get_by_role("button", name="Retirer Gymnase départemental Nanterre, Nanterre").click()
    expect(
        form.get_by_role("button", name="Retirer Collège Evariste Galois, Nanterre")
    ).to_be_focused()
    form.get_by_label("Raison").fill("deux chaudières")
    body = sent_by(page, form.get_by_role("button", name="Prévoir"))
    assert body["sites"] == ["cen-1", GALOIS]
    expect(page.get_by_role("row", name="deux chaudières")).to_be_visible()
    expect(form.locator(".picker li")).to_have_count(
        0
    )  # as every field of the form, for the next one
    (made,) = vigie.get(f"/api/v1/maintenance?realm={place}")["items"]
    assert sorted(made["covers"]["sites"]) == sorted(["cen-1", GALOIS])


def test_an_unknown_entry_is_reported_kept_and_not_sent(
    vigie: RunningVigie, own_realm: str, visitor: Accounts
) -> None:
    page = visitor().page(f"/appels?realm={own_realm}", reduced_motion="reduce")
    form = page.get_by_role("form", name="Recenser les agents")
    field, message, go = (
        form.get_by_label("Sites"),
        form.get_by_role("status").first,
        form.get_by_role("button", name="Lancer le recensement"),
    )
    posted: list[str] = []
    page.on(
        "request", lambda request: posted.append(request.url) if request.method == "POST" else None
    )
    go.click()
    assert field.evaluate("field => field.validity.valueMissing")

    field.fill("galois")
    go.click()
    expect(message).to_have_text(
        "« galois » ne dit pas lequel. Précisez : Collège Evariste Galois, Bourg-la-Reine / Collège Evariste Galois, Nanterre"
    )
    field.fill("cen-1 pmi-04, ecole-9, GYM-07")  # ids as somebody has copied them
    go.click()
    expect(message).to_have_text(
        "« ecole-9 » n’est pas dans la liste : choisissez une proposition."
    )
    expect(field).to_have_value("ecole-9")
    expect(field).to_have_accessible_description(message.inner_text())
    assert field.evaluate("field => field.validationMessage") == message.inner_text()

    report(vigie, own_realm, "cen-2")
    expect(page.locator("#bar .level")).not_to_contain_text("N0")  # the page has refreshed itself
    assert names(form) == [
        "Siège, Nanterre",
        "Centre PMI / santé sexuelle Nanterre 1, Nanterre",
        "Gymnase départemental Nanterre, Nanterre",
    ]
    expect(field).to_have_value("ecole-9")
    assert [
        defects(page, theme)
        for theme in ("light", "dark")
        if not page.emulate_media(color_scheme=theme)
    ] == [[], []]
    page.locator("h1").click()
    assert keyboard_defects(page) == []
    page.set_viewport_size({"width": 320, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert posted == []

    field.fill("")
    field.press("Backspace")
    expect(message).to_have_text("Retiré : Gymnase départemental Nanterre, Nanterre. Choisis : 2.")
    assert sent_by(page, go)["sites"] == ["cen-1", "pmi-04"]


def test_a_field_for_one_holds_the_last_and_enter_sends_only_when_nothing_is_written(
    vigie: RunningVigie, place: str, visitor: Accounts
) -> None:
    id = report(vigie, place, "ecole-9")
    until(
        lambda: "site_unknown" in vigie.get(f"/api/v1/reports/{id}?realm={place}").get("flags", ())
    )
    page = visitor().page(f"/signalements/{id}?realm={place}")
    form = page.locator("form", has=page.get_by_label("Site"))
    field = form.get_by_label("Site")
    field.fill("gym-07")
    field.press("Enter")
    field.fill("galois nanterre")
    field.press("Enter")
    assert names(form) == ["Collège Evariste Galois, Nanterre"]
    with page.expect_request("**/link*") as request_info:
        field.press("Enter")
    assert request_info.value.post_data_json["site"] == GALOIS
    until(lambda: vigie.get(f"/api/v1/reports/{id}?realm={place}").get("site") == GALOIS)


def test_a_person_is_found_by_the_function_and_a_code_that_is_not_suggested_is_for_the_directory_to_know(
    place: str, visitor: Accounts
) -> None:
    page = visitor().page(f"/astreintes?realm={place}")
    form = page.locator("form[action='/api/v1/oncall/overrides']")
    page.get_by_text("Remplacer", exact=True).first.click()
    field = form.get_by_label("Code de la personne")
    field.fill(label_of(page, "ast-technique-s"))
    assert names(form) == ["Astreinte technique (suppléant)"]
    field.fill("agent-7")
    form.get_by_label("Du").fill("2027-02-11T06:00")
    form.get_by_label("Au").fill("2027-02-12T06:00")
    form.get_by_label("Raison").fill("congé")
    assert sent_by(page, form.get_by_role("button", name="Remplacer"))["person"] == "agent-7"
    expect(form.locator("#said-override")).to_have_text(
        "L’annuaire ne connaît pas cette personne, ou aucun moyen de la joindre : agent-7."
    )
    assert names(form) == ["agent-7"]
