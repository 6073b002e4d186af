"""Minimise the number of groups (site, activity, host) for team cohesion.

This search covers the cases that branch and bound cannot prove in bounded work, and gives its gap.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.continuity.reassignment.model.moves import OWN_WORK
from services.continuity.reassignment.model.program import Program, Reals
from services.continuity.reassignment.model.solver import TOLERANCE, HostGroup, OptimalFace
from services.continuity.reassignment.model.tables import Ints

ROUNDS: Final = 12
"""Linear programs, weighted by the use of each group in the one before (slope scaling)."""


def list_possible_groups(program: Program, columns: NDArray[np.bool_]) -> list[HostGroup]:
    """Return the groups of columns that may still be used."""
    q, moves = program.quantities, program.moves
    supply = np.where(
        moves.is_released, np.array(q.releasable)[moves.cell], np.array(q.displaced)[moves.cell]
    )
    need = np.array([d.need for d in q.demands] + [np.iinfo(np.int64).max])[moves.demand]
    most = np.minimum(supply, need)
    able = np.flatnonzero(columns[: len(moves)] & (program.groups >= 0))
    order = able[np.argsort(program.groups[able], kind="stable")]
    if not len(order):
        return []
    edges = np.flatnonzero(np.diff(program.groups[order])) + 1
    return [
        HostGroup(part, most[part], _compute_room(program, part, int(most[part].sum())))
        for part in np.split(order, edges)
    ]


def count_used_groups(program: Program, solution: Ints) -> int:
    """Count the groups (site, activity, host) that a solution uses."""
    groups = program.groups[solution[: len(program.moves)] > 0]
    return len(np.unique(groups[groups >= 0]))


def count_carried_groups(face: OptimalFace, groups: Sequence[HostGroup]) -> int:
    """Count the groups that the solution at hand uses."""
    assert face.values is not None
    return len(_find_used_groups(face.values, groups))


def minimise_groups(face: OptimalFace, program: Program, groups: Sequence[HostGroup]) -> int:
    """Close the groups that a good solution does not need, and return the best bound.

    No solution of the face uses fewer groups than the bound.
    """
    assert face.values is not None
    best, fewest = face.values, _find_used_groups(face.values, groups)
    weights = [1.0 / max(group.room, 1) for group in groups]
    bound = 0
    for n in range(ROUNDS):
        cost = np.zeros(program.size)
        for group, weight in zip(groups, weights, strict=True):
            cost[group.columns] = weight
        solution = face.look(cost)
        if solution is None:
            break
        if n == 0:  # each group used costs at most 1 so far: a bound from below
            bound = math.ceil(float(cost @ solution) - TOLERANCE)
        if len(used := _find_used_groups(solution, groups)) < len(fewest):
            best, fewest = solution, used
        loads = [float(solution[group.columns].sum()) for group in groups]
        weights = [1.0 / c if c > TOLERANCE else w for c, w in zip(loads, weights, strict=True)]
    close_unused_groups(face, groups, best)
    return bound


def close_unused_groups(face: OptimalFace, groups: Sequence[HostGroup], values: Reals) -> None:
    """Continue in the face from `values`, without the groups that these do not use."""
    used = _find_used_groups(values, groups)
    unused_columns = [g.columns for n, g in enumerate(groups) if n not in used]
    face.close(
        np.concatenate(unused_columns) if unused_columns else np.zeros(0, dtype=np.int64), values
    )


def _find_used_groups(values: Reals, groups: Sequence[HostGroup]) -> set[int]:
    return {n for n, group in enumerate(groups) if np.any(values[group.columns] > TOLERANCE)}


def _compute_room(program: Program, columns: Ints, most: int) -> int:
    """Return the most agents of a group, within the desks of its host if it needs desks."""
    moves, q = program.moves, program.quantities
    n = int(columns[0])
    demand = int(moves.demand[n])
    rule = q.tables.rule(int(moves.cell[n]) if demand == OWN_WORK else q.demands[demand].cell)
    place = int(moves.place[n])
    return (
        min(most, program.bounds.desks.get(place, q.free_desks[place])) if rule.needs_desk else most
    )
