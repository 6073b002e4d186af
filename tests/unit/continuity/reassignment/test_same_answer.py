"""The same input gives the same proposal, for any columns that the solver began with.

tests/unit/test_hash_seeds.py compares two processes.
"""

from __future__ import annotations

import pytest

from services.continuity.reassignment.model import solver
from services.continuity.reassignment.model.lexicographic import SolveChoice
from services.continuity.reassignment.model.moves import PreviousLine
from services.continuity.reassignment.model.plan import (
    SolvedProposal,
    SolveOptions,
    solve_situation_program,
)
from tests.unit.continuity.reassignment.cases import situation, tables


def _proposed() -> list[SolvedProposal]:
    unique = SolveOptions(SolveChoice(tie_break=True))
    first = solve_situation_program(tables(), situation("S01-112h"), (), unique)
    previous_lines = tuple(
        PreviousLine(
            line.key, line.count, is_approved=not line.key.own_work and line.criticality <= 2
        )
        for line in first.lines
    )
    return [
        first,
        solve_situation_program(tables(), situation("STR-03"), (), unique),
        solve_situation_program(tables(), situation("S01-168h"), previous_lines, unique),
    ]


@pytest.mark.parametrize(("at_first", "at_once"), [(0, 1), (10_000, 1)])
def test_columns_that_join_late_change_nothing(
    monkeypatch: pytest.MonkeyPatch, at_first: int, at_once: int
) -> None:
    """From none of the moves, and from all of them (nothing joins)."""
    few = _proposed()
    monkeypatch.setattr(solver, "FIRST_MOVES_PER_KIND", at_first)
    monkeypatch.setattr(solver, "JOINING_MOVES_PER_KIND", at_once)
    for proposal, other in zip(few, _proposed(), strict=True):
        assert (
            proposal.objective,
            proposal.lines,
            proposal.unmet,
            proposal.idle,
            proposal.open_level,
        ) == (
            other.objective,
            other.lines,
            other.unmet,
            other.idle,
            other.open_level,
        )
