"""Written drills run on the real deciders: plans are proposed, and people pass or fail. D95."""

from __future__ import annotations

from typing import Any

import pytest

from schemas import commands as c
from schemas.base import MINUTE_MS, Command
from services.console.drills.composition import PROPOSED_WITHIN_MIN
from services.simulation.checks import run_checks
from services.simulation.exercise_file import Exercise
from tests.scenarios.memory import MemoryPlayer
from tests.unit.console.test_drills import compose, load, rank

WHO: dict[str, Any] = {"author": "p-1", "role": "admin"}
ACTED = ({"answer": "ack", "after_s": 120},)


def play(
    exercise: Exercise, *deeds: tuple[float, str, Command], responders: Any = ()
) -> dict[str, bool]:
    """Play a drill with the deeds of people at their minutes; return the verdicts by kind."""
    player = MemoryPlayer(exercise.scenario, "92~ex-drill", responders=responders)
    start = exercise.scenario.start
    player.play(start + 4 * MINUTE_MS)
    for number, (minute, service, command) in enumerate(deeds):
        at = start + int(minute * MINUTE_MS)
        player.system.step(player.realm, at)
        player.system.feed(service, player.realm, command, id=f"deed-{number}", at=at)
    player.system.step(player.realm, start + 15 * MINUTE_MS)
    results = run_checks(player.history(), list(exercise.checks))
    kinds = {check["id"]: check["kind"] for check in exercise.checks}
    verdicts: dict[str, bool] = {}
    for result in results:
        kind = kinds[result.id]
        verdicts[kind] = result.ok and verdicts.get(kind, True)
    return verdicts


@pytest.mark.parametrize("plan", sorted(rank()))
def test_the_reports_of_each_drill_make_its_plan_proposed(plan: str, tmp_path: Any) -> None:
    exercise = load(compose(plan), tmp_path)
    player = MemoryPlayer(exercise.scenario, "92~ex-drill")
    player.play(exercise.scenario.start + PROPOSED_WITHIN_MIN * MINUTE_MS)
    checks = [check for check in exercise.checks if check["kind"] == "plan_proposed"]
    (result,) = run_checks(player.history(), checks)
    assert result.ok, result.got


def test_a_drill_passes_if_people_act_in_time_and_fails_if_they_are_late(tmp_path: Any) -> None:
    plan = "PCA-logement"
    drill = compose(plan)
    exercise = load(drill, tmp_path)
    activate = c.ActivatePlan(plan=plan, **WHO)
    cards = [c.CompleteCard(plan=plan, card=card, **WHO) for card in drill.cards]

    def act(first: float) -> list[tuple[float, str, Command]]:
        later = [(first + 1 + n, "continuity", card) for n, card in enumerate(cards)]
        return [(first, "continuity", activate), *later]

    assert set(play(exercise, *act(6), responders=ACTED).values()) == {True}
    assert play(exercise, *act(13)) == {
        "plan_proposed": True,
        "acknowledged": False,
        "plan_decided": False,
        "card_done": False,
    }


def test_a_card_of_a_strike_is_exercised_in_time(tmp_path: Any) -> None:
    """The notice names a day that makes the card due at the end of the drill."""
    plan = "PT-GREVE"
    drill = compose(plan)
    assert drill.cards
    exercise = load(drill, tmp_path)
    player = MemoryPlayer(exercise.scenario, "92~ex-drill")
    start = exercise.scenario.start
    player.play(start + 4 * MINUTE_MS)
    player.system.feed(
        "continuity",
        player.realm,
        c.ActivatePlan(plan=plan, **WHO),
        id="decided",
        at=start + 4 * MINUTE_MS,
    )
    player.system.step(player.realm, start + 5 * MINUTE_MS)
    rows = [f.data["row"] for f in player.history().list_facts("PlanChanged", 5)]
    plan_row = [row for row in rows if row["id"] == plan][-1]
    due = {card["id"]: card["due_at"] for card in plan_row["cards"]}
    assert {due[card] for card in drill.cards} == {start + 15 * MINUTE_MS}
    done = [(8, "continuity", c.CompleteCard(plan=plan, card=card, **WHO)) for card in drill.cards]
    verdicts = play(exercise, (5, "continuity", c.ActivatePlan(plan=plan, **WHO)), *done)
    assert set(verdicts.values()) == {True}
