"""Time of reassignment, and its gain over the greedy answer of the same run.

`pytest -m bench -s`.
"""

from __future__ import annotations

import time

import pytest

from services.continuity.contingency.current_crisis import CrisisContingency
from services.continuity.contingency.ranking import (
    ContingencyRanking,
    LossKind,
    Unmet,
    count_losses,
    select_worst,
)
from services.continuity.contingency.sensitivity import GainBaseline, rank_gains
from services.continuity.reassignment.model.approved import compute_bounds
from services.continuity.reassignment.model.lexicographic import SolveChoice, solve_greedily
from services.continuity.reassignment.model.moves import find_moves
from services.continuity.reassignment.model.plan import SolveOptions, solve_situation_program
from services.continuity.reassignment.model.program import build_program
from services.continuity.reassignment.model.situation import ModelSituation, Quantities
from tests.shipped import territory
from tests.unit.continuity.reassignment.cases import EXPECTED, situation, tables

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

AIMS_S = {"S10-fire": 1.0, "S11-7h30": 1.0}
AIM_S = 3.0
COHESION = {
    "S10-fire": (11, 5457, 10339),
    "S01-90h": (8, 433, 5675),
    "S11-7h30": (38, 3617, 452941),
}


def _greedy(name: str) -> tuple[dict[str, int], float]:
    began = time.thread_time()
    quantities = Quantities(tables(), situation(name))
    moves, bounds, _ = compute_bounds(quantities, find_moves(quantities), (), stability=False)
    program = build_program(quantities, moves, bounds)
    greedy_values = program.values(solve_greedily(program))
    return {
        level.value: value for level, value in greedy_values.items()
    }, time.thread_time() - began


@pytest.mark.parametrize("name", EXPECTED)
def test_one_solve(name: str) -> None:
    solve_situation_program(tables(), situation("STR-03"))  # tables and ways are made once
    began = time.thread_time()
    solution = solve_situation_program(tables(), situation(name))
    spent = time.thread_time() - began
    greedy, greedy_s = _greedy(name)
    gains = {level: greedy[level] - solution.objective[level] for level in ("U1", "U2", "U3", "I")}
    print(
        f"\n{name:10} {spent:5.2f} s (greedy {greedy_s:.2f} s leaves {', '.join(f'{k} +{v}' for k, v in gains.items() if v) or 'nothing more'})"
    )
    assert tuple(greedy[level] for level in ("U1", "U2", "U3", "I")) >= tuple(
        solution.objective[level] for level in ("U1", "U2", "U3", "I")
    )
    assert spent <= AIMS_S.get(name, AIM_S)


@pytest.mark.parametrize("name", COHESION)
def test_cohesion(name: str) -> None:
    began = time.thread_time()
    solution = solve_situation_program(
        tables(), situation(name), (), SolveOptions(SolveChoice(cohesion=True))
    )
    print(
        f"\n{name:10} {time.thread_time() - began:5.2f} s: {solution.groups} groups, {solve_situation_program(tables(), situation(name)).groups} without cohesion"
    )
    assert (solution.groups, solution.objective["D"], solution.objective["C"]) == COHESION[name]


@pytest.mark.parametrize(
    ("lost", "aim_s", "unmet", "gravest"),
    [("building", 30, 0, None), ("people", 100, 11_375, (("cen-1", "cen-4"), (646, 308, 16)))],
)
def test_contingency(
    lost: str, aim_s: float, unmet: int, gravest: tuple[tuple[str, str], Unmet] | None
) -> None:
    ranking = ContingencyRanking(tables(), LossKind(lost))
    began = time.thread_time()
    single = ranking.single()
    first_s, solved = time.thread_time() - began, ranking.solves
    pairs = list(ranking.pairs())
    spent = time.thread_time() - began
    print(
        f"\nN-1 {lost}: {first_s:.1f} s, {solved} solves, {count_losses(single)['unmet']} unmet; N-2: {spent:.1f} s, {ranking.solves - solved} solves, "
        f"{ranking.screened} screened, {count_losses(pairs)['unmet']} unmet"
    )
    assert count_losses(pairs) == {"losses": 31_878, "unmet": unmet}
    assert [(loss.sites, loss.unmet) for loss in select_worst(pairs, 1)] == (
        [] if gravest is None else [gravest]
    )
    assert first_s <= 5
    assert spent <= aim_s


@pytest.mark.parametrize(
    ("name", "aim_s", "unmet", "gravest"),
    [
        ("S10-fire", 30, 26, (531, 376, 12)),
        ("S11-7h30", 15, 47, (471, 276, 12)),
        ("S01-112h", 40, 33, (407, 292, 12)),
    ],
)
def test_contingency_from_the_present(name: str, aim_s: float, unmet: int, gravest: Unmet) -> None:
    """N-1 of a crisis, building and people lost: solved where proof does not do."""
    began = time.thread_time()
    ranking = CrisisContingency(tables(), LossKind.PEOPLE, situation(name))
    single = ranking.single()
    spent, solves = time.thread_time() - began, ranking.solves
    began = time.thread_time()
    for loss in single[::25]:
        ranking.compute_loss(loss.sites)
    full = (time.thread_time() - began) * len(single) / len(single[::25])
    began = time.thread_time()
    pairs = list(ranking.pairs())
    paired = time.thread_time() - began
    print(
        f"\n{name} N-1 from the present: {spent:.1f} s, {solves} solves, {len(single) - solves + 1} screened, {count_losses(single)['unmet']} worse "
        f"({full:.0f} s if all were solved, by every 25th); N-2 of {', '.join(ranking.paired_sites)}: {paired:.1f} s, {len(pairs)} pairs"
    )
    assert count_losses(single) == {"losses": 253, "unmet": unmet}
    assert [(loss.sites, loss.unmet) for loss in select_worst(single, 1)] == [(("cen-1",), gravest)]
    assert solves <= 60, "most losses are shown not to matter without a solve"
    assert spent <= aim_s


@pytest.mark.parametrize(
    ("name", "aim_s", "best"),
    [(None, 60, "administrateur_si"), ("S11-7h30", 60, "administrateur_si")],
)
def test_sensitivity(name: str | None, aim_s: float, best: str) -> None:
    """The gain of one more over the ten gravest losses, by solving them again."""
    now = situation(name) if name else ModelSituation()
    start = GainBaseline(territory().sites, territory().staffing, LossKind.PEOPLE, now)
    gravest = select_worst(start.ranking(tables()).single(), 10)
    began = time.thread_time()
    gains = rank_gains(start, gravest)
    spent = time.thread_time() - began
    print(f"\n{name or 'quiet'}: {spent:.1f} s, {len(gains)} that buy something")
    assert (gains[0].kind, gains[0].what) == ("agent", best)
    assert spent <= aim_s


def test_a_hundred_territories_at_once() -> None:
    """Territories are independent: a hundred with the headquarters lost."""
    one = situation("S10-fire")
    began = time.thread_time()
    objectives = [solve_situation_program(tables(), one).objective for _ in range(100)]
    spent = time.thread_time() - began
    print(f"\n100 territories, {100 * len(tables().sites)} sites, S10 each: {spent:.1f} s")
    assert all(objective == objectives[0] for objective in objectives)
