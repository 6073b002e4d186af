"""Assign staff to work and places when sites close or staff is missing.

Tables and a situation become quantities, quantities become admissible moves, and moves become a
linear program. Its lexicographic optimum becomes a proposal for a person to decide. Everything here
is a function of its arguments: no clock, no randomness, no I/O. See
`docs/reference/reassignment-model.md`.
"""

from services.continuity.reassignment.model.lexicographic import SolveChoice
from services.continuity.reassignment.model.plan import (
    ProposedLine,
    SolvedProposal,
    SolveOptions,
    solve_situation_program,
)
from services.continuity.reassignment.model.previous import LineKey, Previous, PreviousLine
from services.continuity.reassignment.model.situation import ModelSituation, SiteCapacityState
from services.continuity.reassignment.model.solver import SolverFailed, SolverWork
from services.continuity.reassignment.model.tables import ReferenceTables

__all__ = [
    "LineKey",
    "ModelSituation",
    "Previous",
    "PreviousLine",
    "ProposedLine",
    "ReferenceTables",
    "SiteCapacityState",
    "SolveChoice",
    "SolveOptions",
    "SolvedProposal",
    "SolverFailed",
    "SolverWork",
    "solve_situation_program",
]
