"""The figures of docs/reference/reassignment-model.md, §5."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.continuity.reassignment.model.lexicographic import SolveChoice
from services.continuity.reassignment.model.moves import PreviousLine
from services.continuity.reassignment.model.plan import (
    SolvedProposal,
    SolveOptions,
    solve_situation_program,
)
from services.continuity.reassignment.model.solver import SolverWork
from tests.unit.continuity.reassignment.cases import EXPECTED, situation, solved, tables


@pytest.mark.parametrize("name", EXPECTED)
def test_every_situation_has_its_optimum(name: str) -> None:
    proposal = solved(name)
    expected = EXPECTED[name]
    assert (
        proposal.demand,
        proposal.displaced_count,
        sum(g.count for g in proposal.staff_gaps),
    ) == (
        expected["demand"],
        expected["displaced"],
        expected["suspended"],
    )
    assert proposal.objective == expected["optimum"] | {"K": 0}
    assert proposal.open_level is None
    assert (
        sum(line.count for line in proposal.lines if not line.key.own_work)
        + sum(g.count for g in proposal.unmet)
        == proposal.demand
    )
    assert sum(g.count for g in proposal.idle) == expected["optimum"]["I"]


@pytest.mark.parametrize(
    ("name", "groups", "minutes", "grams"),
    [("S10-fire", 11, 5457, 10339), ("S01-90h", 8, 433, 5675)],
)
def test_cohesion_uses_the_fewest_groups(name: str, groups: int, minutes: int, grams: int) -> None:
    proposal = solve_situation_program(
        tables(), situation(name), (), SolveOptions(SolveChoice(cohesion=True))
    )
    assert proposal.open_level is None
    assert proposal.objective == EXPECTED[name]["optimum"] | {
        "K": 0,
        "G": groups,
        "D": minutes,
        "C": grams,
    }
    assert proposal.groups == groups


def test_unproved_cohesion_shows_its_gap() -> None:
    proposal = solve_situation_program(
        tables(), situation("STR-02"), (), SolveOptions(SolveChoice(cohesion=True))
    )
    free = solved("STR-02")
    assert proposal.open_level == "G"
    assert proposal.best_bound is not None
    assert proposal.best_bound < proposal.groups < free.groups
    assert {k: proposal.objective[k] for k in ("U1", "U2", "U3", "I", "Q")} == {
        k: free.objective[k] for k in ("U1", "U2", "U3", "I", "Q")
    }


def _approved(proposal: SolvedProposal) -> tuple[PreviousLine, ...]:
    """Approve the lines for needs of criticality 1 and 2; mark the others as seen."""
    return tuple(
        PreviousLine(line.key, line.count, not line.key.own_work and line.criticality <= 2)
        for line in proposal.lines
    )


def test_a_second_event_changes_as_few_approved_moves_as_possible() -> None:
    unique = SolveOptions(SolveChoice(tie_break=True))
    before = _approved(solve_situation_program(tables(), situation("S01-112h"), (), unique))
    assert sum(line.count for line in before if line.is_approved) == 100
    after = solve_situation_program(tables(), situation("S01-168h"), before, unique)
    assert sum(k.count for k in after.kept_lines) == 97
    assert sum(k.before - k.count for k in after.kept_lines) == 3
    levels = ("U1", "U2", "U3", "K", "I", "Q", "D", "C")
    assert tuple(after.objective[level] for level in levels) == (0, 0, 0, 0, 443, 81, 9655, 1435385)
    loose = solve_situation_program(
        tables(), situation("S01-168h"), before, replace(unique, stability=False)
    )
    assert (loose.objective["D"], loose.objective["C"]) == (9638, 1431950)


def test_an_exhausted_budget_keeps_the_first_answer_and_marks_it() -> None:
    proposal = solve_situation_program(
        tables(), situation("STR-07"), (), SolveOptions(SolveChoice(work=SolverWork(iterations=5)))
    )
    best = EXPECTED["STR-07"]["optimum"]
    assert (proposal.open_level, proposal.best_bound) == ("U1", 0)
    assert proposal.objective["U3"] > best["U3"]
    assert (
        sum(line.count for line in proposal.lines if not line.key.own_work)
        + sum(g.count for g in proposal.unmet)
        == proposal.demand
    )


def test_a_budget_exhausted_later_keeps_the_earlier_levels_optimal() -> None:
    proposal = solve_situation_program(
        tables(),
        situation("STR-13"),
        (),
        SolveOptions(SolveChoice(work=SolverWork(iterations=300))),
    )
    best = EXPECTED["STR-13"]["optimum"]
    assert proposal.open_level == "I"
    assert {k: proposal.objective[k] for k in ("U1", "U2", "U3")} == {
        k: best[k] for k in ("U1", "U2", "U3")
    }
    assert proposal.objective["I"] > best["I"]
