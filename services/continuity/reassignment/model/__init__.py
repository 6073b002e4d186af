"""Assign staff to work and places when sites close or staff is missing.

Tables and a situation become quantities, quantities become admissible moves, and moves become a
linear program. Its lexicographic optimum becomes a proposal for a person to decide. Everything here
is a function of its arguments: no clock, no randomness, no I/O. See
`docs/reference/reassignment-model.md`.
"""

from services.continuity.reassignment.model.lexicographic import Choice
from services.continuity.reassignment.model.plan import Line, Options, Proposal, solve
from services.continuity.reassignment.model.previous import LineKey, Previous, PreviousLine
from services.continuity.reassignment.model.situation import SiteState, Situation
from services.continuity.reassignment.model.solver import SolverFailed, Work
from services.continuity.reassignment.model.tables import Tables

__all__ = [
    "Choice",
    "Line",
    "LineKey",
    "Options",
    "Previous",
    "PreviousLine",
    "Proposal",
    "SiteState",
    "Situation",
    "SolverFailed",
    "Tables",
    "Work",
    "solve",
]
