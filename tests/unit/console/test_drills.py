"""Drills that Vigie writes from the weakest plans, and first actions over exercises. Rule D95."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path

import pytest

from schemas.base import DAY_MS, MINUTE_MS
from schemas.continuity import CardRow, PlanRow
from schemas.words import CardState, NotificationState, PlanState
from services.console.dependencies.network import DependencyNetwork
from services.console.drills.composition import (
    DRILL_MIN,
    LEAST_FACTOR,
    MOST_CARDS,
    ComposedDrill,
    PlanWeakness,
    compose_drill,
    rank_weaknesses,
)
from services.console.drills.progress import ExerciseRun, follow_roles, measure_first_actions
from services.console.drills.queries import evaluate_losses
from services.console.proof.judgement import ExercisedCard, ProofFacts, judge_plans
from services.console.resource_base import to_datetime
from services.simulation.exercise_file import Exercise, load_exercise
from tests.shipped import territory
from tests.unit.console.held import browsing, reference
from tests.unit.console.test_every_screen import NOW, REALM, realm, shown
from tests.unit.console.test_plan_proof import (
    DIRECTOR,
    LIVE,
    PERSON,
    PLAN,
    TimeTravel,
    build_facts,
    hold_exercise,
    message,
    remember,
    verify,
)

TODAY = date(2027, 2, 11)


@cache
def network() -> DependencyNetwork:
    return DependencyNetwork.of(territory().sections)


def rank(facts: ProofFacts | None = None) -> dict[str, PlanWeakness]:
    losses = evaluate_losses("tests", network())
    proofs = judge_plans(facts or build_facts())
    weaknesses = rank_weaknesses(proofs, losses, len(network().activities))
    return {one.plan: one for one in weaknesses}


def compose(plan: str, seed: int = 1, facts: ProofFacts | None = None) -> ComposedDrill:
    drill = compose_drill(
        network().plans[plan], rank(facts)[plan], network(), reference().names, TODAY, seed
    )
    assert drill is not None
    return drill


def load(drill: ComposedDrill, folder: Path) -> Exercise:
    file = folder / "drill.yaml"
    file.write_text(drill.write_file(), encoding="utf-8")
    return load_exercise(file, territory())


def list_exercised(drill: ComposedDrill) -> list[str]:
    expected = drill.document["expectations"]
    return [one["card"] for one in expected if one["kind"] == "card_done"]


@pytest.mark.parametrize("seed", [1, 2, 9999])
def test_every_plan_has_a_drill_that_the_loader_accepts(seed: int, tmp_path: Path) -> None:
    for plan in rank():
        drill = compose(plan, seed)
        exercise = load(drill, tmp_path)
        assert exercise.scenario.end - exercise.scenario.start <= DRILL_MIN * MINUTE_MS
        assert {"plan_proposed", "plan_decided"} <= {one["kind"] for one in exercise.checks}
        assert len(drill.cards) <= MOST_CARDS


def test_the_same_day_and_seed_give_the_same_drill_and_other_seeds_others() -> None:
    first = compose(PLAN, 7).write_file()
    assert compose(PLAN, 7).write_file() == first
    assert len({compose(PLAN, seed).write_file() for seed in range(1, 9)}) > 4


def test_a_drill_exercises_only_cards_never_done_in_time() -> None:
    before = list_exercised(compose(PLAN, 3))
    assert before
    facts = build_facts(exercised_cards=tuple(ExercisedCard(PLAN, card, NOW) for card in before))
    after = list_exercised(compose(PLAN, 3, facts))
    assert after
    assert not set(before) & set(after)


def test_cards_that_count_from_the_day_of_a_strike_are_exercised_one_moment_after_the_other() -> (
    None
):
    plan, done, starts = "PT-GREVE", set[str](), set[str]()
    cards = {card.id for card in network().plans[plan].cards}
    for _ in cards:
        facts = build_facts(exercised_cards=tuple(ExercisedCard(plan, card, NOW) for card in done))
        drill = compose(plan, 1, facts)
        starts.add(drill.document["start"][11:])
        done |= set(list_exercised(drill))
    assert done == cards
    assert {"15:45", "07:15", "05:45"} == starts


def test_weakness_is_the_product_of_hole_loss_and_cards_and_falls_with_proof() -> None:
    ranked = rank()
    scores = [one.score for one in ranked.values()]
    assert scores == sorted(scores, reverse=True)
    weak = ranked["PCA-logement"]
    assert weak.score == pytest.approx(weak.hole * weak.loss * weak.unexercised, abs=1e-6)
    lossless = ranked["PT-GAZ"]
    assert (lossless.loss, lossless.worst) == (0, None)
    assert lossless.score == pytest.approx(
        LEAST_FACTOR * lossless.hole * lossless.unexercised, abs=1e-6
    )
    cards = tuple(
        ExercisedCard("PCA-logement", card.id, NOW)
        for card in network().plans["PCA-logement"].cards
    )
    proven = rank(build_facts(exercised_cards=cards))["PCA-logement"]
    assert (proven.unexercised, proven.cards) == (0, ())
    assert proven.score == pytest.approx(LEAST_FACTOR * weak.score, abs=1e-6)


def test_the_roles_reached_least_come_first() -> None:
    half = build_facts(reach={PERSON: verify(NOW)})
    contacts = rank(half)[PLAN].contacts
    assert contacts[-1] == DIRECTOR
    assert "contact" not in contacts[0]


def test_a_full_fallback_site_becomes_a_stimulus() -> None:
    full = replace(rank()[PLAN], full_hosts=("gymnase",))
    drill = compose_drill(network().plans[PLAN], full, network(), reference().names, TODAY, 1)
    assert drill is not None
    host = next(event for event in drill.document["events"] if event["id"] == "H1")
    assert network().sites[host["site"]].kind == "gymnase"


def test_a_first_action_is_measured_from_the_first_call_plan_or_card_of_the_role() -> None:
    called = message(NotificationState.ANSWERED, NOW, acknowledged_at=NOW + 4 * MINUTE_MS)
    notice = message(NotificationState.ACCEPTED, NOW - MINUTE_MS, answer_expected=False)
    plan = PlanRow(
        id=PLAN,
        state=PlanState.ACTIVE,
        decides="coordinateur_pca",
        proposed_at=NOW,
        decided_at=NOW + 6 * MINUTE_MS,
        cards=(
            CardRow(
                id="c", role="cellule_rh", due_at=NOW, state=CardState.DONE, at=NOW + 9 * MINUTE_MS
            ),
            CardRow(id="d", role="cellule_si", due_at=NOW),
        ),
    )
    assert measure_first_actions([plan], [], [called, notice]) == {
        "cellule_rh": 3.0,
        "coordinateur_pca": 6.0,
        "directeur_pole": 4.0,
    }


def test_the_times_of_a_role_follow_the_exercises_in_order() -> None:
    runs = [
        ExerciseRun("92~ex-b", "B", to_datetime(NOW), {"dgs": 3.0, "cellule_rh": 1.0}),
        ExerciseRun("92~ex-a", "A", to_datetime(NOW - MINUTE_MS), {"dgs": 5.5}),
    ]
    by_role = {one.role: one for one in follow_roles(runs)}
    assert (by_role["dgs"].minutes, by_role["dgs"].trend) == ((5.5, 3.0), -2.5)
    assert by_role["cellule_rh"].trend is None


async def test_the_api_lists_plans_and_gives_the_exercise_file(tmp_path: Path) -> None:
    browser, _ = browsing(realm())
    listed = (await browser.get(f"/api/v1/exercise-proposals?realm={REALM}")).json()["items"]
    assert [one["plan"] for one in listed][:1] == ["PCA-logement"]
    assert listed[0]["resource_name"]
    path = f"/api/v1/exercise-proposals/PT-GAZ?realm={REALM}&seed=5"
    proposal = (await browser.get(path)).json()
    assert proposal["document"]["exercise"] == "court5-PT-GAZ"
    answer = await browser.get(f"/api/v1/exercise-proposals/PT-GAZ/file?realm={REALM}&seed=5")
    assert answer.text == proposal["file"]
    assert answer.headers["Content-Disposition"] == 'attachment; filename="court5-PT-GAZ.yaml"'
    file = tmp_path / "d.yaml"
    file.write_text(answer.text, encoding="utf-8")
    assert load_exercise(file, territory()).scenario.id == "court5-PT-GAZ"


@pytest.mark.parametrize("path", ["nonsense", "PT-GAZ?seed=0", "PT-GAZ?seed=10000"])
async def test_an_unknown_plan_or_seed_is_refused(path: str) -> None:
    browser, _ = browsing(realm())
    sign = "&" if "?" in path else "?"
    answer = await browser.get(f"/api/v1/exercise-proposals/{path}{sign}realm={REALM}")
    assert answer.status_code == (404 if path == "nonsense" else 422)


@pytest.mark.parametrize(("state", "exercises"), [("closed", 1), ("open", 0)])
async def test_a_closed_exercise_gives_the_times_of_its_roles(state: str, exercises: int) -> None:
    exercise = hold_exercise(NOW - DAY_MS, state=state)
    plan = PlanRow(
        id=PLAN,
        state=PlanState.ACTIVE,
        decides="directeur_pole",
        proposed_at=NOW,
        decided_at=NOW + 7 * MINUTE_MS,
    )
    exercise.put("plans", plan.model_dump())
    progress = await TimeTravel(remember(), exercise).at(NOW).of(LIVE).exercise_progress()
    assert progress.exercises == exercises
    times = {one.role: [run.minutes for run in one.runs] for one in progress.items}
    assert times == ({"directeur_pole": [7.0]} if exercises else {})


async def test_the_page_says_why_and_offers_the_file() -> None:
    browser, _ = browsing(realm())
    text = await shown(browser, "/exercices-courts?variante=4")
    assert "court4-PCA-logement.yaml" in text
    assert "activités s’arrêtent si la ressource fait défaut" in text
    assert "Aucun exercice terminé depuis un an." in text
    english = await shown(browser, "/exercices-courts", lang="en")
    assert "Short exercises" in english
    assert "Exercices courts" not in english


async def test_partners_to_call_are_named_and_each_once() -> None:
    """«À joindre : un partenaire, un partenaire, un partenaire»."""
    browser, _ = browsing(realm())
    page = await shown(browser, "/exercices-courts")
    partner_lists = [
        line.partition(" ; ")[0].split(", ")
        for line in re.findall(r"à joindre : (.+?) (?:\d|Télécharger|sites de repli)", page)
    ]
    assert partner_lists
    assert all(len(set(names)) == len(names) for names in partner_lists)
    assert "un partenaire" not in page


@pytest.mark.parametrize("text", ["", "x", "0", "²", "-1"])
async def test_a_variant_that_is_no_number_is_the_first(text: str) -> None:
    browser, _ = browsing(realm())
    assert "court1-PCA-logement.yaml" in await shown(browser, f"/exercices-courts?variante={text}")
