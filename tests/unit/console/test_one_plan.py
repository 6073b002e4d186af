"""Test the page of one plan: content, progress of cards, effects of an activation."""

from __future__ import annotations

import re

import pytest

from schemas import commands as cmd
from schemas import reference as ref
from schemas.predicates import Measured
from schemas.runtime import CommandApplied
from schemas.words import SiteStatus
from services.console.continuity.plan_page import describe_minutes
from services.console.i18n import get_translator
from services.console.texts import world
from services.console.texts.reasons import describe_condition, describe_conditions
from tests.unit.console.held import Held, browsing, reference
from tests.unit.console.test_every_screen import REALM, incident, realm, words
from tests.unit.continuity.world import World, at

EDUCATION, COLLEGES = "PCA-education", "EDU-F03"
MANAGER = {"author": "p-2", "role": "responsable_site"}
CELL = {"author": "p-3", "role": "cellule_situation"}


def hold_plans(world: World, when: str) -> Held:
    """Hold the plans and cards of a decider's world, as the read model has them."""
    realm_state = realm()
    realm_state.clock = at(f"2027-02-11 {when}")
    for row in world.state.plans.values():
        realm_state.put("plans", row.model_dump())
    for rows in world.state.site_cards.values():
        for one in rows.values():
            realm_state.put("site_cards", one.model_dump())
    return realm_state


def activate(plan: str) -> World:
    world = World()
    world.trigger(plan, 0, "09:41")
    role = reference().plans[plan].decides
    answer = world.say(cmd.ActivatePlan(plan=plan, author="p-1", role=role), "09:50")
    assert isinstance(answer, CommandApplied), answer
    world.until("09:50")
    return world


async def show(held: Held, path: str, role: str = "coordinator", lang: str = "fr") -> str:
    browser, _ = browsing(held)
    joint = "&" if "?" in path else "?"
    answer = await browser.get(f"{path}{joint}realm={REALM}", role=role, lang=lang)
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.mark.parametrize("plan", [EDUCATION, "PCA-solidarites", "PT-CRUE", "PT-CANICULE"])
async def test_the_foreseen_effects_are_those_of_the_decider(plan: str) -> None:
    """The page said « n fiches, pour ces rôles »: an activation opens exactly the foreseen cards."""
    browser, _ = browsing(realm())
    plan_detail = (
        await browser.get(f"/api/v1/plans/{plan}?realm={REALM}", role="coordinator")
    ).json()
    world = activate(plan)
    opened = list((world.state.site_cards.get(plan) or {}).values())
    assert plan_detail["activation"]["sites"] == sorted({one.site for one in opened if one.site})
    scoped = {card.id for card in reference().plans[plan].cards if card.scope is not None}
    assert plan_detail["activation"]["cards"] == sum(
        card.id not in scoped for card in world.plan(plan).cards
    )


async def test_before_an_activation_the_page_says_its_cards_roles_sites_and_messages() -> None:
    text = words(await show(realm(), f"/plans/{EDUCATION}"))
    assert "Si vous activez ce plan maintenant" in text
    assert "10 fiches du plan s’ouvrent : " in text
    assert "98 sites reçoivent leurs fiches : " in text
    assert "98 responsables de site reçoivent un message" in text
    assert "s’ouvriront au retour à la normale" in text


async def test_an_active_plan_shows_one_of_98_and_names_the_sites_behind_a_card() -> None:
    world = activate(EDUCATION)
    rows = [one for one in world.state.site_cards[EDUCATION].values() if one.card == COLLEGES]
    world.say(
        cmd.CompleteCard(plan=EDUCATION, card=COLLEGES, site=rows[0].site, **MANAGER), "09:55"
    )
    realm_state = hold_plans(world, "10:45")
    text = words(await show(realm_state, f"/plans/{EDUCATION}"))
    assert "1 sur 98" in text
    assert "97 en retard" in text
    assert "Attend : Dire si le collège peut ouvrir" in text
    assert "Si vous activez" not in text
    listed = words(await show(realm_state, f"/plans/{EDUCATION}?fiche={COLLEGES}"))
    assert listed.count("en retard, à faire avant 10:41") == 97
    assert re.search(r"faite 09:55", listed)


async def test_the_content_stands_in_sections_in_words() -> None:
    text = words(await show(realm(), f"/plans/{EDUCATION}"))
    for title in (
        "Déclenchement",
        "Levée",
        "Réflexe, la première heure",
        "Mode minimal : ce qui continue",
        "Ordre de reprise",
        "Suppléances",
        "Partenaires à appeler",
        "Systèmes",
        "Documents",
        "Revue du plan",
    ):
        assert title in text
    assert (
        "Direction Éducation, à défaut Direction Éducation (suppléant), 15 min après le déclenchement"
        in text
    )
    assert "Faite quand : " in text
    assert not re.search(
        r"\b(directeur_pole|responsable_site|sites_out|education_nationale)\b", text
    )


@pytest.mark.parametrize("plan", sorted(reference().plans))
async def test_every_plan_has_its_page_in_both_languages_without_codes(plan: str) -> None:
    french = words(await show(realm(), f"/plans/{plan}"))
    english = words(await show(realm(), f"/plans/{plan}", lang="en"))
    assert "If you activate this plan now" in english
    for text in (french, english):
        assert re.findall(r"\b[a-z]+_[a-z_]+\b", text.replace(plan, "")) == []


async def test_forms_stand_only_where_the_reader_may_use_them() -> None:
    realm_state = hold_plans(activate(EDUCATION), "10:00")
    cell = await show(realm_state, f"/plans/{EDUCATION}", role="cell")
    assert f'action="/api/v1/plans/{EDUCATION}/cards/EDU-F01:complete"' in cell
    assert f'action="/api/v1/plans/{EDUCATION}/cards/{COLLEGES}:complete"' not in cell
    watching = await show(realm_state, f"/plans/{EDUCATION}", role="observer")
    assert 'action="/api/v1/plans/' not in watching
    other = await show(realm_state, f"/plans/{EDUCATION}", role="director@pole:culture")
    assert ":complete" not in other


async def test_a_plan_that_does_not_exist_is_not_found() -> None:
    browser, _ = browsing(realm())
    answer = await browser.get(f"/plans/PCA-rien?realm={REALM}")
    assert answer.status_code == 404


async def test_lists_of_plans_and_poles_lead_to_the_page() -> None:
    realm_state = hold_plans(activate(EDUCATION), "10:00")
    plans = await show(realm_state, "/plans")
    assert f"/plans/{EDUCATION}?" in plans
    assert "/plans/PT-CRUE?" in plans
    assert f"/plans/{EDUCATION}?" in await show(realm_state, "/activites")


def test_delays_are_written_as_people_say_them() -> None:
    _ = get_translator("fr")
    assert [describe_minutes(n, _) for n in (0, 45, 120, 150, 1440, 4320)] == [
        "0 min",
        "45 min",
        "2 h",
        "2 h 30",
        "24 h",
        "3 jours",
    ]


def test_a_status_selects_as_in_the_decider() -> None:
    """Cards for evacuated sites open at none while all are normal."""
    cards = [c for plan in reference().plans.values() for c in plan.cards if c.scope is not None]
    assert any(SiteStatus.EVACUATED in c.scope.statuses for c in cards if c.scope is not None)


@pytest.mark.parametrize("lang", ["fr", "en"])
def test_every_system_of_a_plan_has_a_written_name(lang: str) -> None:
    """« videosurveillance » and « referentiel agents » stood on the pages as their ids are."""
    contents = ref.collect_plan_contents(reference().sections).values()
    systems = {s for content in contents for card in content.cards for s in card.systems}
    systems |= {s for activity in reference().activities.values() for s in activity.systems}
    names, _ = reference().names, get_translator(lang)
    system_ids = {*names.systems, *world.DEPENDENCY_NAME}
    assert {id for id in systems if "_" in id} <= system_ids
    assert not [id for id in systems if "_" in world.name_system(id, names, _)]
    french = get_translator("fr")
    assert world.name_system("videosurveillance", names, french) == "vidéosurveillance"


@pytest.mark.parametrize("lang", ["fr", "en"])
def test_conditions_read_as_comparisons(lang: str) -> None:
    """«vigilance canicule et grand froid : ≥ orange» stood on the pages and papers of plans."""
    names = reference().names
    predicates = [one.when for plan in reference().plans.values() for one in plan.triggers]
    texts = [text for when in predicates for text in describe_conditions(when, names, lang)]
    assert texts
    assert not [text for text in texts if ": (" in text or "\u00a0: ≥" in text]
    if lang == "fr":
        assert "vigilance canicule et grand froid ≥ orange" in texts
        assert "systèmes arrêtés\u00a0: SI RH et paie, SI finances ≥ 1" in texts


def test_a_condition_that_must_not_hold_says_so() -> None:
    holds, fails = (
        describe_condition(
            Measured(metric="cod_activated", op="==", value=value), reference().names, "fr"
        )
        for value in (True, False)
    )
    assert fails == f"le contraire de\u00a0: {holds}"


async def test_all_pages_count_the_same_cards() -> None:
    """The page of the plan counted each of 98 site cards, the others counted them as one card."""
    world = activate(EDUCATION)
    world.say(cmd.CompleteCard(plan=EDUCATION, card="EDU-F01", **CELL), "09:55")
    row = world.plan(EDUCATION)
    closed = sum(card.state in ("done", "not_applicable") for card in row.cards)
    realm_state = hold_plans(world, "10:45")
    realm_state.put("incidents", incident())
    realm_state.put("plans", row.model_copy(update={"incident": "i-1"}).model_dump())
    progress = f"{closed} fiches closes sur {len(row.cards)} "
    plan = words(await show(realm_state, f"/plans/{EDUCATION}"))
    assert progress in plan
    assert "Dans ces fiches : 0 fiche de site close sur 98" in plan
    assert progress in words(await show(realm_state, "/incidents/i-1"))
    report = words(await show(realm_state, "/sitrep"))
    assert f"Fiches {EDUCATION} : {closed} sur {len(row.cards)} closes" in report
