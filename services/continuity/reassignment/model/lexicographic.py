"""Find the lexicographic optimum: linear programs first, then branch and bound if needed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.continuity.reassignment.model.cohesion import (
    gather,
    groups_carried,
    keep_only,
    possible_groups,
)
from services.continuity.reassignment.model.greedy import first_answer
from services.continuity.reassignment.model.matrix import Limits, Matrix, Reals
from services.continuity.reassignment.model.moves import AT_HOME
from services.continuity.reassignment.model.program import Level, Program
from services.continuity.reassignment.model.solver import (
    TOLERANCE,
    Branching,
    Face,
    Infeasible,
    OutOfWork,
    SolverFailed,
    Work,
)
from services.continuity.reassignment.model.tables import Ints

COHESION: Final = "G"
"""Number of groups (site, activity, host): a level after Q, if requested."""
TIE_BREAK: Final = "H"
TRAVEL: Final = "T"
"""Number of agents that travel: the level that `fewest` adds."""
_NEEDS: Final = (Level.U1, Level.U2, Level.U3)
_BEFORE: Final = (*_NEEDS, Level.K, Level.I, Level.Q)
_AFTER: Final = (Level.D, Level.C)
_SOLIDARY: Final = (Level.D, Level.S, Level.C)
FEWEST, LEAST_CO2, FASTEST = "fewest", "least_co2", "fastest"
_PREFERRED: Final[dict[str, tuple[Level, ...]]] = {
    FEWEST: (Level.I, Level.Q, Level.D, Level.C),
    LEAST_CO2: (Level.I, Level.C, Level.Q, Level.D),
    FASTEST: (Level.I, Level.D, Level.Q, Level.C),
}
"""Levels after the needs and stability, by preference; `fewest` minimises travellers first."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Levels to optimise, and limits of the work."""

    cohesion: bool = False
    tie_break: bool = False
    work: Work = Work()
    needs_only: bool = False
    """Stops after the unmet needs (U1 to U3), for contingency ranking."""
    rounded: bool = False
    """Avoids a long search where stability leaves no whole optimum.

    The whole part of the seen lines is kept, and the rest is solved from there. If level K is then
    not proved, its bound is known.
    """
    solidarity: bool = False
    """Adds level S: among equals, leave less undone for vulnerable people, before CO2. Rule D82."""
    prefer: str | None = None
    """Another order of the levels after the needs: one of `_PREFERRED`. Not with cohesion."""

    @property
    def after(self) -> tuple[Level, ...]:
        """Levels that follow Q."""
        return _SOLIDARY if self.solidarity else _AFTER


@dataclass(frozen=True, slots=True)
class Answer:
    """Feasible solution, with the first level that is not proved optimal and its best bound.

    Both are None if all levels are proved.
    """

    solution: Ints
    open_level: str | None = None
    bound: float | None = None
    from_the_top: bool = False
    """True if no optimum of the linear programs was whole, so branch and bound took all."""
    iterations: int = 0


@dataclass(frozen=True, slots=True)
class _Gap:
    level: str
    bound: float


def solve_program(program: Program, choice: Choice) -> Answer:
    """Solve all levels in order. Raise SolverFailed.

    If the work runs out, the answer is the best found, with its bound.
    """
    face = Face(program, choice.work.iterations)
    try:
        solution, gap = _in_the_face(face, program, choice)
        return _checked(program, solution, gap, face.iterations)
    except Infeasible:
        if (
            choice.rounded
            and len(program.bounds.kept)
            and (best := face.solved.get(Level.K)) is not None
        ):
            with contextlib.suppress(Infeasible):
                solution, gap, steps = _near_what_was_seen(program, choice, best)
                return _checked(program, solution, gap, face.iterations + steps)
        solution, gap = _from_the_top(program, choice)
        return _checked(program, solution, gap, face.iterations, from_the_top=True)


def _in_the_face(face: Face, program: Program, choice: Choice) -> tuple[Ints, _Gap | None]:
    """Solve inside the face. Raise Infeasible if the face holds no whole solution."""
    if choice.prefer is not None:
        return _preferred(face, program, choice, choice.prefer)
    if (
        stopped := _restrict(face, program, _NEEDS if choice.needs_only else _BEFORE)
    ) is not None or choice.needs_only:
        return _whole(face, program, choice, stopped)
    gap: _Gap | None = None
    if choice.cohesion:
        groups = possible_groups(program, face.open_columns)
        if len(groups) <= choice.work.groups:
            branching = face.branching(choice.work.group_nodes)
            switches = branching.add_groups(groups)
            try:
                proved = branching.minimise(switches)
            except OutOfWork as out:
                if out.solution is not None:
                    keep_only(face, groups, out.solution.astype(np.float64))
                gap = _Gap(COHESION, out.bound)
            else:
                return _branch(
                    branching,
                    program,
                    [
                        *_steps(program, choice.after),
                        *_last(program, branching.open_columns, choice),
                    ],
                    proved,
                )
        elif (bound := gather(face, program, groups)) < groups_carried(face, groups):
            gap = _Gap(COHESION, bound)
    if (stopped := _restrict(face, program, choice.after)) is not None:
        return _whole(face, program, choice, gap or stopped)
    if choice.tie_break and not face.restrict(TIE_BREAK, tie_breaks(program, face.open_columns)):
        gap = gap or _Gap(TIE_BREAK, 0.0)
    return _whole(face, program, choice, gap)


def _near_what_was_seen(
    program: Program, choice: Choice, best: Reals
) -> tuple[Ints, _Gap | None, int]:
    """Solve again with the whole part of the seen lines in `best` as bounds. Raise Infeasible.

    `best` are the values after level K.
    """
    bound = float(best @ program.costs[Level.K])
    lower = program.lower.copy()
    seen = program.bounds.kept
    share = np.floor(np.minimum(best[seen], program.bounds.kept_count) + TOLERANCE).astype(np.int64)
    np.maximum.at(lower, seen, share)
    nearer = replace(
        program,
        lower=lower,
        costs={**program.costs, Level.K: np.zeros(program.size, dtype=np.int64)},
    )
    face = Face(nearer, choice.work.iterations)
    solution, gap = _in_the_face(face, nearer, choice)
    proved = int(program.costs[Level.K] @ solution) <= bound + TOLERANCE
    return solution, gap or (None if proved else _Gap(Level.K.value, bound)), face.iterations


def _preferred(
    face: Face, program: Program, choice: Choice, prefer: str
) -> tuple[Ints, _Gap | None]:
    """Solve for a preference; the needs and stability come first."""
    for name, cost in _preferred_steps(program, choice, prefer):
        if not face.restrict(name, cost):
            return _whole(face, program, choice, _Gap(name, 0.0))
    return _whole(face, program, choice, None)


def _preferred_steps(program: Program, choice: Choice, prefer: str) -> list[tuple[str, Ints]]:
    steps = _steps(program, (*_NEEDS, Level.K))
    if prefer == FEWEST:
        steps.append((TRAVEL, travellers(program)))
    levels = _PREFERRED[prefer]
    if choice.solidarity:
        at = len(levels) if prefer == LEAST_CO2 else levels.index(Level.C)
        levels = (*levels[:at], Level.S, *levels[at:])
    return [*steps, *_steps(program, levels)]


def travellers(program: Program) -> Ints:
    """Build costs that count the agents at another site than their usual one, without telework."""
    moves, cost = program.moves, np.zeros(program.size, dtype=np.int64)
    home = program.quantities.tables.cell_site[moves.cell]
    cost[: len(moves)] = (moves.place != AT_HOME) & (moves.place != home)
    return cost


def _restrict(face: Face, program: Program, levels: Sequence[Level]) -> _Gap | None:
    """Restrict the face level by level; return the gap where the work ran out.

    Costs are never negative, so the only known bound is zero.
    """
    for level in levels:
        if not face.restrict(level.value, program.costs[level]):
            return _Gap(level.value, 0.0)
    return None


def _whole(
    face: Face, program: Program, choice: Choice, gap: _Gap | None
) -> tuple[Ints, _Gap | None]:
    """Return a whole solution of the face, or the greedy one if no level was solved."""
    if face.values is None:
        return first_answer(program), gap
    if np.all(np.abs(face.values - np.round(face.values)) < TOLERANCE):
        return np.round(face.values).astype(np.int64), gap
    columns = face.open_columns
    branching = face.branching(choice.work.nodes, presolve=not choice.needs_only)
    solution, later = _branch(branching, program, _last(program, columns, choice))
    return solution, gap or later


def _from_the_top(program: Program, choice: Choice) -> tuple[Ints, _Gap | None]:
    """Solve every level by branch and bound."""
    branching = Branching(Matrix(program), Limits.of_program(program), choice.work.nodes)
    everything = np.ones(program.size, dtype=np.bool_)
    if choice.needs_only:
        return _branch(branching, program, _steps(program, _NEEDS))
    if choice.prefer is not None:
        return _branch(branching, program, _preferred_steps(program, choice, choice.prefer))
    steps = _steps(program, _BEFORE)
    if choice.cohesion:
        groups = possible_groups(program, everything)
        steps.append((COHESION, branching.add_groups(groups)))
    return _branch(
        branching,
        program,
        [*steps, *_steps(program, choice.after), *_last(program, everything, choice)],
    )


def _steps(program: Program, levels: Sequence[Level]) -> list[tuple[str, Ints]]:
    return [(level.value, program.costs[level]) for level in levels]


def _last(program: Program, columns: NDArray[np.bool_], choice: Choice) -> list[tuple[str, Ints]]:
    cost = (
        tie_breaks(program, columns) if choice.tie_break else np.zeros(program.size, dtype=np.int64)
    )
    return [(TIE_BREAK, cost)]


def _branch(
    branching: Branching,
    program: Program,
    steps: Sequence[tuple[str, Ints]],
    solution: Ints | None = None,
) -> tuple[Ints, _Gap | None]:
    """Solve level after level. Raise Infeasible if there is no whole solution.

    `solution` is the start, if there is one.
    """
    for name, cost in steps:
        try:
            solution = branching.minimise(cost)
        except OutOfWork as out:
            best = solution if out.solution is None else out.solution
            return (first_answer(program) if best is None else best), _Gap(name, out.bound)
    assert solution is not None
    return solution, None


def _checked(
    program: Program,
    solution: Ints,
    gap: _Gap | None,
    iterations: int,
    *,
    from_the_top: bool = False,
) -> Answer:
    if not program.holds(solution):
        raise SolverFailed("the answer breaks a rule of the program")
    return Answer(
        solution, gap.level if gap else None, gap.bound if gap else None, from_the_top, iterations
    )


def tie_breaks(program: Program, columns: NDArray[np.bool_]) -> Ints:
    """Build the costs of level H for the open columns; the others no longer matter.

    See `docs/reference/reassignment-model.md`, §4.
    """
    cost = np.zeros(program.size, dtype=np.int64)
    q = program.quantities
    for n in np.flatnonzero(columns[: len(program.moves)]).tolist():
        key = "|".join(program.moves.key(q.tables, q, n).hashed())
        cost[n] = 1 + int.from_bytes(sha256(key.encode()).digest()[:2], "big")
    return cost
