"""The slower of two authors sees the decision of the other and keeps their text."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Accounts, cut_power, open_incident, report
from tests.system import RunningVigie
from tests.waiting import until

REASON = "courant rendu dans <dix> minutes"


@pytest.fixture
def page(vigie: RunningVigie, own_realm: str, visitor: Accounts) -> Page:
    """Open the incident of a power cut on three central sites."""
    cut_power(vigie, own_realm)
    return open_incident(vigie, visitor, own_realm)


def decide(vigie: RunningVigie, path: str, realm: str, **body: object) -> None:
    answer = vigie.http.post(
        f"/api/v1/{path}", json=body, params={"realm": realm}, headers={"Prefer": "wait=20"}
    )
    assert answer.status_code == 200, answer.text


def test_a_refusal_of_an_activated_plan_names_the_author_and_keeps_the_reason(
    page: Page, vigie: RunningVigie, own_realm: str
) -> None:
    plan = page.locator("#plan-PT-ELEC")
    plan.get_by_text("Refuser", exact=False).first.click()
    plan.locator("[id^=r-PT-ELEC-refuse]").fill(REASON)
    decide(vigie, "plans/PT-ELEC/activate", own_realm)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text(
        "Cette décision n’est plus à prendre ici\u00a0: Confirmer : refuser « Coupure électrique »"
    )
    expect(alert.locator("[data-decided] li").filter(has_text="activé")).to_have_text(
        re.compile(r"^\d\d:\d\d .*PT-ELEC\) activé.*, .+")
    )
    expect(alert.locator("[data-had] li")).to_have_text(f"Raison\u00a0: {REASON}")
    expect(plan.locator("[id^=r-PT-ELEC-refuse]")).to_have_count(0)
    alert.get_by_role("button", name="J’ai lu").click()
    expect(alert).to_have_count(0)


def test_typing_after_the_form_is_removed_decides_nothing(
    page: Page, vigie: RunningVigie, own_realm: str
) -> None:
    """`a` acknowledges the incident outside fields, and the field in use disappears."""
    plan = page.locator("#plan-PT-ELEC")
    plan.get_by_text("Refuser", exact=False).first.click()
    plan.locator("[id^=r-PT-ELEC-refuse]").press_sequentially("courant ")
    posted_urls: list[str] = []
    page.on(
        "request", lambda asked: posted_urls.append(asked.url) if asked.method == "POST" else None
    )
    decide(vigie, "plans/PT-ELEC/activate", own_realm)
    alert = page.get_by_role("alert")
    expect(alert).to_be_focused()
    page.keyboard.type("rendu à la mairie")
    expect(alert.locator("[data-decided] li").filter(has_text="(PT-ELEC) activé")).to_be_visible()
    alert.get_by_role("button", name="J’ai lu").click()
    expect(page.locator("#contenu")).to_be_focused()
    assert [url for url in posted_urls if "acknowledge" in url] == []


def test_a_returned_text_leaves_half_of_a_phone_screen_to_the_page(
    page: Page, vigie: RunningVigie, own_realm: str
) -> None:
    page.set_viewport_size({"width": 320, "height": 568})
    plan = page.locator("#plan-PT-ELEC")
    plan.get_by_text("Refuser", exact=False).first.click()
    plan.locator("[id^=r-PT-ELEC-refuse]").fill("courant rendu à la mairie " * 19)
    decide(vigie, "plans/PT-ELEC/activate", own_realm)
    alert = page.get_by_role("alert")
    expect(alert.locator("[data-decided] li").first).to_be_attached()
    assert alert.evaluate("e => e.getBoundingClientRect().height <= innerHeight / 2")
    alert.get_by_role("button", name="J’ai lu").click()
    expect(alert).to_have_count(0)


def test_authors_get_no_notice_of_their_own_decision(page: Page) -> None:
    plan = page.locator("#plan-PT-ELEC")
    plan.get_by_text("Activer", exact=False).first.click()
    plan.get_by_label("Raison").first.fill("trois sites centraux sans courant")
    plan.get_by_text("Refuser", exact=False).first.click()
    plan.get_by_role("button", name="Confirmer : activer « Coupure électrique »").click()
    expect(plan).to_contain_text(re.compile("Activé.*Coordonnateur PCA"))
    expect(page.get_by_role("alert")).to_have_count(0)


def test_written_text_moves_into_the_new_version_of_a_form(same_page: Page) -> None:
    """The decision is open under another version: the writer keeps the text."""
    plan = same_page.locator("#plan-PT-ELEC")
    plan.get_by_text("Refuser", exact=False).first.click()
    plan.locator("[id^=r-PT-ELEC-refuse]").fill(REASON)
    same_page.evaluate(
        """() => {
          const details = document.querySelector('#plan-PT-ELEC input[id^=r-PT-ELEC-refuse]').closest('details');
          details.dataset.key += '-before';  // as if the server had another version by now
        }"""
    )
    same_page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(same_page.locator("#said-PT-ELEC")).to_contain_text("relisez avant de confirmer")
    again = plan.locator("[id^=r-PT-ELEC-refuse]")
    expect(again).to_have_value(REASON)
    expect(again).to_be_focused()
    expect(same_page.locator("[data-key$=-before]")).to_have_count(0)
    expect(same_page.get_by_role("alert")).to_have_count(0)


def test_written_text_survives_a_page_of_another_release(same_page: Page) -> None:
    plan = same_page.locator("#plan-PT-ELEC")
    plan.get_by_text("Refuser", exact=False).first.click()
    plan.locator("[id^=r-PT-ELEC-refuse]").fill(REASON)
    with same_page.expect_event("load"):
        same_page.evaluate(
            "document.documentElement.dataset.assets = '/static/before/'; document.dispatchEvent(new Event('visibilitychange'))"
        )
    expect(plan.locator("[id^=r-PT-ELEC-refuse]")).to_have_value(REASON)
    expect(same_page.get_by_role("alert")).to_have_count(0)


def test_saved_text_is_only_restored_for_the_same_login(same_page: Page) -> None:
    """On a shared machine, the next user sees no text of the previous one."""
    read_script = "sessionStorage.getItem('vigie_overtaken')"
    for session, words in (
        ("document.cookie.match(/vigie_csrf=([^;]*)/)[1]", 1),
        ("'of another'", 0),
    ):
        same_page.evaluate(f"""() => sessionStorage.setItem('vigie_overtaken', JSON.stringify({{ session: {session}, since: 0, lost: [
            {{ name: 'gone', what: 'Refuser', written: [{{ label: '', text: 'secret' }}], fields: [], whole: true, place: -1 }}] }}))""")
        same_page.reload()
        expect(same_page.locator("#age")).not_to_be_empty()
        expect(same_page.get_by_text("secret")).to_have_count(words)
        assert same_page.evaluate(read_script) is None
    same_page.evaluate("sessionStorage.setItem('vigie_overtaken', 'as another release wrote it')")
    same_page.reload()
    expect(same_page.locator("#age")).not_to_be_empty()
    same_page.evaluate("sessionStorage.setItem('vigie_overtaken', '{}')")
    same_page.goto("/connexion")
    assert same_page.evaluate(read_script) is None


def test_writing_continues_in_a_page_of_another_release(same_page: Page) -> None:
    reason = same_page.locator("#plan-PT-ELEC [id^=r-PT-ELEC-refuse]")
    same_page.locator("#plan-PT-ELEC").get_by_text("Refuser", exact=False).first.click()
    reason.focus()
    with same_page.expect_event("load"):
        same_page.evaluate(
            "document.documentElement.dataset.assets = '/static/before/'; document.dispatchEvent(new Event('visibilitychange'))"
        )
    expect(reason).to_be_focused()
    same_page.keyboard.type("attendre")
    expect(reason).to_have_value("attendre")


def runs_ahead(vigie: RunningVigie, realm: str) -> bool:
    """Return whether the clock of a realm is well ahead of its last step.

    A decision gets the time of that step.
    """
    clocks = vigie.get(f"/api/v1/realms/{realm}")
    ahead = datetime.fromisoformat(clocks["shown_clock"]) - datetime.fromisoformat(clocks["clock"])
    return ahead > timedelta(seconds=8)


def test_a_line_that_is_being_written_on_an_incident_that_is_merged_away_is_given_back_on_the_other_page(
    page: Page, vigie: RunningVigie, own_realm: str
) -> None:
    until(lambda: runs_ahead(vigie, own_realm))
    report(vigie, own_realm, "clg-0920077J", kind="security_incident")
    expect(page.get_by_text("Fusionner", exact=True)).to_be_visible()
    mine = page.locator("[data-incident]").get_attribute("data-incident")
    others = vigie.http.get("/api/v1/incidents", params={"realm": own_realm}).json()["items"]
    (other,) = (i["id"] for i in others if i["id"] != mine)
    page.get_by_label("Ajouter une ligne à la main courante").fill("le groupe démarre")
    decide(vigie, f"incidents/{mine}/merge", own_realm, into=other, reason="même cause")
    page.wait_for_url(re.compile(f"/incidents/{other}"))
    alert = page.get_by_role("alert")
    expect(alert.locator("[data-had] li")).to_contain_text("le groupe démarre")
    expect(alert.locator("[data-decided]")).to_contain_text("fusionn")
