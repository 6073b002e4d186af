"""Decisions from the pages are real commands, with their reasons, refusals and effects."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Accounts, cut_power, open_incident, report, running_exercise
from tests.system import RunningVigie
from tests.waiting import until


@pytest.fixture
def page(vigie: RunningVigie, own_realm: str, visitor: Accounts) -> Page:
    """Open the incident of a power cut on three central sites."""
    cut_power(vigie, own_realm)
    return open_incident(vigie, visitor, own_realm)


def test_a_plan_is_activated_and_its_cards_are_worked(page: Page) -> None:
    plan = page.locator("#plan-PT-ELEC")
    plan.get_by_text("Activer", exact=False).first.click()
    plan.get_by_label("Raison").first.fill("trois sites centraux sans courant")
    plan.get_by_role("button", name="Confirmer : activer « Coupure électrique »").click()
    expect(plan).to_contain_text(re.compile("Activé.*Coordonnateur PCA"))
    cards = page.locator("#cards-PT-ELEC")
    cards.get_by_role("button", name="Commencer").first.click()
    expect(cards).to_contain_text("en cours")
    cards.get_by_role("button", name="Faite").first.click()
    expect(cards).to_contain_text("faite")
    expect(page.locator("#log")).to_contain_text("(PT-ELEC) activé")


def test_a_fallback_strategy_is_put_into_effect_and_ended_on_the_page_of_plans(
    vigie: RunningVigie, own_realm: str, visitor: Accounts
) -> None:
    report(vigie, own_realm, "cen-1")
    until(lambda: vigie.get(f"/api/v1/activities/CPL-01?realm={own_realm}")["state"] != "nominal")
    page = visitor().page(f"/plans?realm={own_realm}")
    waiting = page.locator("#fallback li", has=page.locator("details")).first
    activity = waiting.locator("small").first.inner_text()
    before = vigie.get(f"/api/v1/activities/{activity}?realm={own_realm}")
    waiting.get_by_text(re.compile("^Mettre en œuvre")).click()
    waiting.get_by_label("Capacité attendue, en %").fill("90")
    if waiting.get_by_label("Site de repli").count():
        waiting.get_by_label("Site de repli").fill("gym-07")
        waiting.get_by_label("Places").fill("1")
    waiting.get_by_role("button", name=re.compile("^Confirmer")).click()
    running = page.locator(
        "#fallback li", has=page.get_by_role("button", name=re.compile("^Mettre fin"))
    )
    expect(running).to_contain_text(activity)
    expect(running).to_contain_text("90\u00a0% attendus depuis")
    (started,) = vigie.get(f"/api/v1/strategies?realm={own_realm}")["items"]
    assert (started["activity"], started["strategy"], started["state"]) == (
        activity,
        before["next_strategy"],
        "active",
    )
    assert vigie.get(f"/api/v1/activities/{activity}?realm={own_realm}")["capacity_pct"] >= 90
    running.get_by_role("button").click()
    expect(running).to_have_count(0)
    assert vigie.get(f"/api/v1/strategies?realm={own_realm}")["items"][0]["state"] == "ended"


def test_a_plan_ends_on_the_page_of_plans_with_its_reason(page: Page) -> None:
    page.locator("#ways > summary").click()
    page.get_by_role("link", name="Plans", exact=True).click()
    plan = page.locator("#plan-PT-ELEC")
    plan.get_by_text("Activer", exact=False).first.click()
    plan.get_by_role("button", name="Confirmer : activer « Coupure électrique »").click()
    expect(plan).to_contain_text(re.compile("Activé.*Coordonnateur PCA"))
    cards = page.locator("#cards-PT-ELEC")
    cards.get_by_text("Sans objet ?").first.click()
    cards.get_by_label("Raison").first.fill("pas de groupe ici")
    cards.get_by_role("button", name="Confirmer : sans objet").first.click()
    expect(cards).to_contain_text("sans objet")
    lift = page.locator("#lift-PT-ELEC")
    expect(lift).to_contain_text("retour stable 60 min sur 95 % des sites")
    lift.get_by_text("Lever quand même").click()
    lift.get_by_label("Raison").fill("courant rendu, constaté sur place")
    lift.get_by_role("button", name="Confirmer : lever « Coupure électrique »").click()
    expect(plan).to_contain_text(re.compile("En cours de rétablissement|Levé"))
    plan.get_by_text("Clore le RETEX").first.click()
    plan.get_by_role("button", name="Confirmer : clore le RETEX de « Coupure électrique »").click()
    expect(plan).to_contain_text("RETEX clos")


def test_a_decision_is_under_way_until_the_page_shows_its_effect(page: Page) -> None:
    """On a slow network the button stood there as before, for seconds: it was pressed again."""
    refreshes: list[Route] = []
    decisions: list[str] = []
    is_slow = True

    def delay(route: Route) -> None:
        if is_slow and "x-vigie-live" in route.request.headers:
            refreshes.append(route)
        else:
            route.continue_()

    page.route("**/incidents/*", delay)
    page.on("request", lambda r: decisions.append(r.url) if "/acknowledge" in r.url else None)
    form = page.locator("form[data-name=acknowledge]")
    form.get_by_role("button").click()
    under_way = page.locator("form[data-name=acknowledge][data-taken]")
    expect(under_way).to_be_visible()
    expect(page.locator("#digest")).to_have_text("Enregistré.")
    form.get_by_role("button").click()
    assert len(decisions) == 1
    is_slow = False
    for route in refreshes:
        route.continue_()
    expect(page.locator("#head")).to_contain_text("Pris en charge : Coordonnateur PCA")
    expect(under_way).to_have_count(0)


def test_a_refusal_needs_a_reason(page: Page) -> None:
    plan = page.locator("#plan-PT-ELEC")
    plan.get_by_text("Refuser", exact=False).first.click()
    confirm = plan.get_by_role("button", name="Confirmer : refuser « Coupure électrique »")
    confirm.click()
    assert plan.locator("input:invalid").count() >= 1
    plan.locator("[id^=r-PT-ELEC-refuse]").fill("courant rendu dans dix minutes")
    confirm.click()
    expect(plan).to_contain_text("Refusé")


def test_a_refused_plan_can_be_activated_on_the_same_page(page: Page) -> None:
    """The form that the page had before is about the version before: it must not be kept."""
    page.locator("#ways > summary").click()
    page.get_by_role("link", name="Plans", exact=True).click()
    plan = page.locator("#plan-PT-ELEC")
    plan.get_by_text("Activer", exact=False).first.click()
    plan.get_by_text("Refuser", exact=False).first.click()
    plan.locator("[id^=r-PT-ELEC-refuse]").fill("courant rendu dans dix minutes")
    plan.get_by_role("button", name="Confirmer : refuser « Coupure électrique »").click()
    expect(plan).to_contain_text("Refusé")
    plan.get_by_text("Activer", exact=False).first.click()
    plan.get_by_role("button", name="Confirmer : activer « Coupure électrique »").click()
    expect(plan).to_contain_text(re.compile("Activé.*Coordonnateur PCA"))


def test_the_deciders_own_refusal_is_shown_beside_the_button(same_page: Page) -> None:
    same_page.get_by_text("Changer de niveau").click()
    same_page.locator("#level-form").get_by_label("Raison").fill("essai")
    same_page.get_by_role("button", name="Confirmer le niveau").click()
    expect(same_page.locator("#said-incident")).to_contain_text("Ce niveau est déjà en vigueur")


def test_an_acknowledgement_and_a_line_are_in_the_log(page: Page) -> None:
    page.keyboard.press("a")
    expect(page.locator("#said-incident")).to_contain_text(
        "Entrée : prendre en charge cet incident"
    )
    expect(page.locator("#head")).not_to_contain_text("Pris en charge")
    page.keyboard.press("Enter")
    expect(page.locator("#head")).to_contain_text("Pris en charge : Coordonnateur PCA")
    expect(page.locator("form[data-name=acknowledge] button")).to_be_focused()
    page.keyboard.press("n")
    page.keyboard.type("<b>Batardeaux</b> & pompes prêts")
    page.keyboard.press("Enter")
    expect(page.locator("#log")).to_contain_text("<b>Batardeaux</b> & pompes prêts")
    expect(page.get_by_label("Ajouter une ligne à la main courante")).to_have_value("")


def test_a_request_that_the_network_loses_counts_once_when_repeated(
    same_page: Page, vigie: RunningVigie
) -> None:
    keys: list[str] = []

    def lose_the_first(route, request) -> None:  # type: ignore[no-untyped-def]
        keys.append(request.headers["idempotency-key"])
        if len(keys) == 1:
            route.fetch()
            route.abort()
        else:
            route.continue_()

    same_page.route("**/api/v1/log*", lose_the_first)
    line = same_page.get_by_label("Ajouter une ligne à la main courante")
    line.fill("une seule fois")
    line.press("Enter")
    expect(same_page.locator("#said-note")).to_contain_text("Le serveur n’a pas répondu")
    line.press("Enter")
    expect(same_page.locator("#log li", has_text="une seule fois")).to_have_count(1)
    assert keys[0] == keys[1]


def test_incidents_are_merged_reports_are_detached_and_an_incident_is_closed_with_their_reasons(
    page: Page, vigie: RunningVigie, own_realm: str
) -> None:
    other = report(vigie, own_realm, "clg-0920077J", kind="security_incident")

    def incident(**query: str) -> list[dict[str, object]]:
        return list(
            vigie.http.get("/api/v1/incidents", params={"realm": own_realm} | query).json()["items"]
        )

    until(lambda: len(incident(status="open,acknowledged")) == 2)
    page.reload()
    page.get_by_text("Fusionner", exact=True).click()
    merge = page.locator("#merge-form")
    merge.get_by_label("Raison").fill("même cause, vue sur place")
    with page.expect_event(
        "load"
    ):  # the form and the next refresh may both lead there: the first of them is given up
        merge.get_by_role("button", name="Confirmer la fusion").click()
    until(lambda: len(incident(status="open,acknowledged")) == 1)
    page.get_by_text("Détacher", exact=True).click()
    split = page.locator("#split-form")
    split.get_by_label("Raison").fill("finalement une autre affaire")
    split.get_by_role("button", name="Confirmer le détachement").click()
    expect(page.locator("#said-incident")).to_have_text(
        "Signalements qui partent vers un autre incident\u00a0: champ obligatoire"
    )
    split.locator(f'input[value="{other}"]').check()
    with page.expect_event(
        "load"
    ):  # the form and the next refresh may both lead there: the first of them is given up
        split.get_by_role("button", name="Confirmer le détachement").click()
    until(lambda: len(incident(status="open,acknowledged")) == 2)
    apart = next(i for i in incident(status="open,acknowledged") if i["reports"] == [other])
    page.goto(f"/incidents/{apart['id']}?realm={own_realm}")
    expect(page.get_by_text("Détacher", exact=True)).to_have_count(0)
    page.get_by_text("Clore", exact=True).click()
    close = page.locator("#close-form")
    close.get_by_role("button", name="Confirmer la clôture").click()
    assert close.locator("input:invalid").count() == 1, "not without a reason"
    close.get_by_label("Raison").fill("levée de doute faite")
    close.get_by_role("button", name="Confirmer la clôture").click()
    expect(page.locator("#said-incident")).to_contain_text("cause")
    close.get_by_label("même si des causes restent ouvertes").check()
    close.get_by_role("button", name="Confirmer la clôture").click()
    until(lambda: [i["id"] for i in incident(status="closed")] == [apart["id"]])
    expect(page.get_by_text("Clore", exact=True)).to_have_count(0)
    for over in ("Prendre en charge", "Escalader maintenant", "Changer de niveau"):
        expect(page.get_by_text(over)).to_have_count(0)
    page.get_by_text("Rouvrir", exact=True).click()
    again = page.locator("#reopen-form")
    again.get_by_label("Raison").fill("la cause dure encore")
    with page.expect_event(
        "load"
    ):  # the form and the next refresh may both lead there: the first of them is given up
        again.get_by_role("button", name="Confirmer la réouverture").click()
    expect(page.get_by_text("Clore", exact=True)).to_have_count(1)
    assert incident(status="closed") == []


@pytest.fixture
def failing(vigie: RunningVigie) -> Iterator[str]:
    """Run an exercise in which no call of the technical duty arrives."""
    lost = {"role": "astreinte_technique", "outcome": "failed"}
    with running_exercise(vigie, "a-call-is-sent-again", lost) as realm:
        yield realm


def test_an_unreceived_call_is_repeated_from_its_escalation(
    vigie: RunningVigie, visitor: Accounts, failing: str
) -> None:
    realm = failing
    report(vigie, realm, "gym-07", severity=3)

    def failed() -> list[dict[str, Any]]:
        return list(
            vigie.http.get(
                "/api/v1/notifications", params={"realm": realm, "state": "failed"}
            ).json()["items"]
        )

    until(failed)
    tried = len(failed()[0]["attempts"])
    (incident,) = vigie.http.get("/api/v1/incidents", params={"realm": realm}).json()["items"]
    page = visitor().page(f"/incidents/{incident['id']}?realm={realm}")
    line = page.locator("[id^=ladder-] .ans li", has_text="non parvenu").first
    line.get_by_role("button", name=re.compile("^Renvoyer")).click()
    expect(page.locator("[id^=said-calls-]").first).to_contain_text(
        "Renvoi à Astreinte technique demandé"
    )
    until(lambda: max(len(n["attempts"]) for n in failed()) > tried)


def test_a_press_before_the_scripts_load_takes_effect_afterwards(same_page: Page) -> None:
    pending_routes: list[Route] = []
    same_page.route("**/js/main.js", lambda route: pending_routes.append(route))  # noqa: PLW0108  Playwright writes an attribute on its handlers
    same_page.reload(wait_until="commit")
    line = same_page.get_by_label("Ajouter une ligne à la main courante")
    line.fill("plus vite que le réseau")
    line.press("Enter", no_wait_after=True)
    until(lambda: same_page.evaluate("1") and pending_routes)
    pending_routes[0].continue_()
    expect(same_page.locator("#log li", has_text="plus vite que le réseau")).to_have_count(1)


def test_a_decision_under_way_is_followed_to_its_refusal(same_page: Page) -> None:
    """An answer that took more than two seconds was never shown: a refusal looked like a decision."""
    message = same_page.locator("#said-incident")
    requests: list[str] = []

    def accepted(route: Route) -> None:
        requests.append("decision")
        route.fulfill(
            status=202,
            json={"id": "cmd-1", "command_id": "cmd-1", "realm": "92", "state": "pending"},
        )

    def refused(route: Route) -> None:
        requests.append("answer")
        state = {"id": "cmd-1", "command_id": "cmd-1", "realm": "92", "state": "pending"}
        if len(requests) > 2:
            state |= {
                "state": "refused",
                "code": "role_too_low",
                "detail": "Cette décision appartient à un rôle supérieur.",
            }
        route.fulfill(status=200, json=state)

    same_page.route("**/escalate*", accepted)
    same_page.route("**/api/v1/commands/cmd-1*", refused)
    same_page.get_by_role("button", name="Escalader maintenant").click()
    expect(message).to_have_text("Cette décision appartient à un rôle supérieur.")
    expect(message).to_have_class(re.compile("refused"))
    assert requests == ["decision", "answer", "answer"]


def test_a_repeated_request_with_unknown_outcome_keeps_its_key(same_page: Page) -> None:
    """A refresh in between made the form anew, and its key with it: the decision was taken twice."""
    keys: list[str] = []

    def lost(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        route.fulfill(status=503, json={"detail": "Nul ne sait si c’est décidé."})

    same_page.route("**/escalate*", lost)
    for _again in range(2):
        same_page.get_by_role("button", name="Escalader maintenant").click()
        expect(same_page.locator("#said-incident")).to_have_text("Nul ne sait si c’est décidé.")
        same_page.locator("#said-incident").evaluate("e => (e.textContent = '')")
    assert len(keys) == 2
    assert len(set(keys)) == 1
