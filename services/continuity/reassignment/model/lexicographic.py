"""Find the lexicographic optimum: linear programs first, then branch and bound if needed.

The greedy answer needs no solver: the cheapest line for each demand, the gravest demand first. It
is a lower bound of quality, and the first answer if the solver's work runs out.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.continuity.reassignment.model.cohesion import (
    close_unused_groups,
    count_carried_groups,
    list_possible_groups,
    minimise_groups,
)
from services.continuity.reassignment.model.moves import AT_HOME, OWN_WORK
from services.continuity.reassignment.model.program import (
    NO_LIMIT,
    ObjectiveLevel,
    Program,
    ProgramLimits,
    ProgramMatrix,
    ProgramRow,
    Reals,
)
from services.continuity.reassignment.model.solver import (
    TOLERANCE,
    BranchAndBound,
    Infeasible,
    OptimalFace,
    OutOfWork,
    SolverFailed,
    SolverWork,
)
from services.continuity.reassignment.model.tables import Ints

COHESION: Final = "G"
"""Number of groups (site, activity, host): a level after Q, if requested."""
TIE_BREAK: Final = "H"
TRAVEL: Final = "T"
"""Number of agents that travel: the level that `fewest` adds."""
_NEED_LEVELS: Final = (ObjectiveLevel.U1, ObjectiveLevel.U2, ObjectiveLevel.U3)
_LEVELS_BEFORE_COHESION: Final = (
    *_NEED_LEVELS,
    ObjectiveLevel.K,
    ObjectiveLevel.I,
    ObjectiveLevel.Q,
)
_LEVELS_AFTER_COHESION: Final = (ObjectiveLevel.D, ObjectiveLevel.C)
_SOLIDARY_LEVELS: Final = (ObjectiveLevel.D, ObjectiveLevel.S, ObjectiveLevel.C)
FEWEST, LEAST_CO2, FASTEST = "fewest", "least_co2", "fastest"
_LEVELS_BY_PREFERENCE: Final[dict[str, tuple[ObjectiveLevel, ...]]] = {
    FEWEST: (ObjectiveLevel.I, ObjectiveLevel.Q, ObjectiveLevel.D, ObjectiveLevel.C),
    LEAST_CO2: (ObjectiveLevel.I, ObjectiveLevel.C, ObjectiveLevel.Q, ObjectiveLevel.D),
    FASTEST: (ObjectiveLevel.I, ObjectiveLevel.D, ObjectiveLevel.Q, ObjectiveLevel.C),
}
"""Levels after the needs and stability, by preference; `fewest` minimises travellers first."""


def solve_greedily(program: Program) -> Ints:
    """Compute a feasible solution; it is often far from the optimum."""
    solution = program.lower.copy()
    slack = [
        NO_LIMIT if _is_soft(row) else row.upper - int(solution[row.columns].sum())
        for row in program.rows
    ]
    able = np.zeros(program.size, dtype=np.bool_)
    able[: len(program.moves)] = True
    for room, row in zip(slack, program.rows, strict=True):
        if room <= 0:
            able[row.columns] = False
    rows_of: dict[int, list[int]] = {
        column: [] for column in _order_columns(program, np.flatnonzero(able))
    }
    for k, row in enumerate(program.rows):
        if not _is_soft(row):
            for column in row.columns[able[row.columns]].tolist():
                rows_of[column].append(k)
    for column, rows in rows_of.items():
        room = min((slack[k] for k in rows), default=0)
        room = min(room, int(program.upper[column] - solution[column]))
        if room > 0:
            solution[column] += room
            for k in rows:
                slack[k] -= room
    return _fill_slack_columns(program, solution)


def _is_soft(row: ProgramRow) -> bool:
    """Check whether the excess or shortfall of a row costs something instead of being forbidden."""
    return row.minus is not None or (row.lower > 0 and row.upper >= NO_LIMIT)


def _order_columns(program: Program, among: Ints) -> list[int]:
    """Order columns: demands by criticality and urgency, then own work; the cheapest first."""
    moves, q = program.moves, program.quantities
    demand = moves.demand[among]
    grave = np.array(
        [(q.tables.rule(d.cell).criticality, -d.urgency) for d in q.demands] + [(9, 0)],
        dtype=np.int64,
    )[demand]
    index = np.where(demand == OWN_WORK, len(q.demands), demand)
    by_cost = (moves.grams[among], moves.minutes[among], moves.tenths[among])
    return list(map(int, among[np.lexsort((*by_cost, index, grave[:, 1], grave[:, 0]))]))


def _fill_slack_columns(program: Program, solution: Ints) -> Ints:
    """Set the unmet, idle, excess and shortfall columns to the rest."""
    n = len(program.moves)
    for row in program.rows:
        total = int(solution[row.columns].sum())
        if row.minus is not None:
            solution[row.minus] = max(0, total - row.upper)
        elif row.lower > 0 and total < row.lower:
            rest = row.columns[row.columns >= n]
            solution[rest[0]] += row.lower - total
    return solution


@dataclass(frozen=True, slots=True)
class SolveChoice:
    """Levels to optimise, and limits of the work."""

    cohesion: bool = False
    tie_break: bool = False
    work: SolverWork = SolverWork()
    needs_only: bool = False
    """Stops after the unmet needs (U1 to U3), for contingency ranking."""
    uses_rounding: bool = False
    """Avoids a long search where stability leaves no whole optimum.

    The whole part of the seen lines is kept, and the rest is solved from there. If level K is then
    not proved, its bound is known.
    """
    solidarity: bool = False
    """Adds level S: among equals, leave less undone for vulnerable people, before CO2. Rule D82."""
    prefer: str | None = None
    """Another order of the levels after the needs (`_LEVELS_BY_PREFERENCE`), not with cohesion."""

    @property
    def after(self) -> tuple[ObjectiveLevel, ...]:
        """Levels that follow Q."""
        return _SOLIDARY_LEVELS if self.solidarity else _LEVELS_AFTER_COHESION


@dataclass(frozen=True, slots=True)
class SolverAnswer:
    """Feasible solution, with the first level that is not proved optimal and its best bound.

    Both are None if all levels are proved.
    """

    solution: Ints
    open_level: str | None = None
    best_bound: float | None = None
    from_the_top: bool = False
    """True if no optimum of the linear programs was whole, so branch and bound took all."""
    iterations: int = 0


@dataclass(frozen=True, slots=True)
class _LevelGap:
    level: str
    best_bound: float


def solve_program(program: Program, choice: SolveChoice) -> SolverAnswer:
    """Solve all levels in order. Raise SolverFailed.

    If the work runs out, the answer is the best found, with its bound.
    """
    face = OptimalFace(program, choice.work.iterations)
    try:
        solution, gap = _solve_in_face(face, program, choice)
        return _check_answer(program, solution, gap, face.iterations)
    except Infeasible:
        if (
            choice.uses_rounding
            and len(program.bounds.earlier_columns)
            and (best := face.solved.get(ObjectiveLevel.K)) is not None
        ):
            with contextlib.suppress(Infeasible):
                solution, gap, steps = _solve_near_seen_lines(program, choice, best)
                return _check_answer(program, solution, gap, face.iterations + steps)
        solution, gap = _solve_by_branching(program, choice)
        return _check_answer(program, solution, gap, face.iterations, from_the_top=True)


def _solve_in_face(
    face: OptimalFace, program: Program, choice: SolveChoice
) -> tuple[Ints, _LevelGap | None]:
    """Solve inside the face. Raise Infeasible if the face holds no whole solution."""
    if choice.prefer is not None:
        return _solve_preferred(face, program, choice, choice.prefer)
    if (
        stop_reason := _restrict_levels(
            face, program, _NEED_LEVELS if choice.needs_only else _LEVELS_BEFORE_COHESION
        )
    ) is not None or choice.needs_only:
        return _find_whole_solution(face, program, choice, stop_reason)
    gap: _LevelGap | None = None
    if choice.cohesion:
        groups = list_possible_groups(program, face.open_columns)
        if len(groups) <= choice.work.groups:
            branching = face.branching(choice.work.group_nodes)
            switches = branching.add_groups(groups)
            try:
                is_proved = branching.minimise(switches)
            except OutOfWork as out:
                if out.solution is not None:
                    close_unused_groups(face, groups, out.solution.astype(np.float64))
                gap = _LevelGap(COHESION, out.bound)
            else:
                return _minimise_steps(
                    branching,
                    program,
                    [
                        *_list_steps(program, choice.after),
                        *_list_last_steps(program, branching.open_columns, choice),
                    ],
                    is_proved,
                )
        elif (bound := minimise_groups(face, program, groups)) < count_carried_groups(face, groups):
            gap = _LevelGap(COHESION, bound)
    if (stop_reason := _restrict_levels(face, program, choice.after)) is not None:
        return _find_whole_solution(face, program, choice, gap or stop_reason)
    if choice.tie_break and not face.restrict(
        TIE_BREAK, build_tie_break_costs(program, face.open_columns)
    ):
        gap = gap or _LevelGap(TIE_BREAK, 0.0)
    return _find_whole_solution(face, program, choice, gap)


def _solve_near_seen_lines(
    program: Program, choice: SolveChoice, best: Reals
) -> tuple[Ints, _LevelGap | None, int]:
    """Solve again with the whole part of the seen lines in `best` as bounds. Raise Infeasible.

    `best` are the values after level K.
    """
    bound = float(best @ program.costs[ObjectiveLevel.K])
    lower = program.lower.copy()
    line_columns = program.bounds.earlier_columns
    share = np.floor(np.minimum(best[line_columns], program.bounds.kept_count) + TOLERANCE).astype(
        np.int64
    )
    np.maximum.at(lower, line_columns, share)
    nearer = replace(
        program,
        lower=lower,
        costs={**program.costs, ObjectiveLevel.K: np.zeros(program.size, dtype=np.int64)},
    )
    face = OptimalFace(nearer, choice.work.iterations)
    solution, gap = _solve_in_face(face, nearer, choice)
    is_proved = int(program.costs[ObjectiveLevel.K] @ solution) <= bound + TOLERANCE
    return (
        solution,
        gap or (None if is_proved else _LevelGap(ObjectiveLevel.K.value, bound)),
        face.iterations,
    )


def _solve_preferred(
    face: OptimalFace, program: Program, choice: SolveChoice, prefer: str
) -> tuple[Ints, _LevelGap | None]:
    """Solve for a preference; the needs and stability come first."""
    for name, cost in _list_preferred_steps(program, choice, prefer):
        if not face.restrict(name, cost):
            return _find_whole_solution(face, program, choice, _LevelGap(name, 0.0))
    return _find_whole_solution(face, program, choice, None)


def _list_preferred_steps(
    program: Program, choice: SolveChoice, prefer: str
) -> list[tuple[str, Ints]]:
    steps = _list_steps(program, (*_NEED_LEVELS, ObjectiveLevel.K))
    if prefer == FEWEST:
        steps.append((TRAVEL, build_traveller_costs(program)))
    levels = _LEVELS_BY_PREFERENCE[prefer]
    if choice.solidarity:
        at = len(levels) if prefer == LEAST_CO2 else levels.index(ObjectiveLevel.C)
        levels = (*levels[:at], ObjectiveLevel.S, *levels[at:])
    return [*steps, *_list_steps(program, levels)]


def build_traveller_costs(program: Program) -> Ints:
    """Build costs that count the agents at another site than their usual one, without telework."""
    moves, cost = program.moves, np.zeros(program.size, dtype=np.int64)
    home = program.quantities.tables.cell_site[moves.cell]
    cost[: len(moves)] = (moves.place != AT_HOME) & (moves.place != home)
    return cost


def _restrict_levels(
    face: OptimalFace, program: Program, levels: Sequence[ObjectiveLevel]
) -> _LevelGap | None:
    """Restrict the face level by level; return the gap where the work ran out.

    Costs are never negative, so the only known bound is zero.
    """
    for level in levels:
        if not face.restrict(level.value, program.costs[level]):
            return _LevelGap(level.value, 0.0)
    return None


def _find_whole_solution(
    face: OptimalFace, program: Program, choice: SolveChoice, gap: _LevelGap | None
) -> tuple[Ints, _LevelGap | None]:
    """Return a whole solution of the face, or the greedy one if no level was solved."""
    if face.values is None:
        return solve_greedily(program), gap
    if np.all(np.abs(face.values - np.round(face.values)) < TOLERANCE):
        return np.round(face.values).astype(np.int64), gap
    columns = face.open_columns
    branching = face.branching(choice.work.nodes, presolve=not choice.needs_only)
    solution, later = _minimise_steps(
        branching, program, _list_last_steps(program, columns, choice)
    )
    return solution, gap or later


def _solve_by_branching(program: Program, choice: SolveChoice) -> tuple[Ints, _LevelGap | None]:
    """Solve every level by branch and bound."""
    branching = BranchAndBound(
        ProgramMatrix(program), ProgramLimits.of_program(program), choice.work.nodes
    )
    everything = np.ones(program.size, dtype=np.bool_)
    if choice.needs_only:
        return _minimise_steps(branching, program, _list_steps(program, _NEED_LEVELS))
    if choice.prefer is not None:
        return _minimise_steps(
            branching, program, _list_preferred_steps(program, choice, choice.prefer)
        )
    steps = _list_steps(program, _LEVELS_BEFORE_COHESION)
    if choice.cohesion:
        groups = list_possible_groups(program, everything)
        steps.append((COHESION, branching.add_groups(groups)))
    return _minimise_steps(
        branching,
        program,
        [
            *steps,
            *_list_steps(program, choice.after),
            *_list_last_steps(program, everything, choice),
        ],
    )


def _list_steps(program: Program, levels: Sequence[ObjectiveLevel]) -> list[tuple[str, Ints]]:
    return [(level.value, program.costs[level]) for level in levels]


def _list_last_steps(
    program: Program, columns: NDArray[np.bool_], choice: SolveChoice
) -> list[tuple[str, Ints]]:
    cost = (
        build_tie_break_costs(program, columns)
        if choice.tie_break
        else np.zeros(program.size, dtype=np.int64)
    )
    return [(TIE_BREAK, cost)]


def _minimise_steps(
    branching: BranchAndBound,
    program: Program,
    steps: Sequence[tuple[str, Ints]],
    solution: Ints | None = None,
) -> tuple[Ints, _LevelGap | None]:
    """Solve level after level. Raise Infeasible if there is no whole solution.

    `solution` is the start, if there is one.
    """
    for name, cost in steps:
        try:
            solution = branching.minimise(cost)
        except OutOfWork as out:
            best = solution if out.solution is None else out.solution
            return (solve_greedily(program) if best is None else best), _LevelGap(name, out.bound)
    assert solution is not None
    return solution, None


def _check_answer(
    program: Program,
    solution: Ints,
    gap: _LevelGap | None,
    iterations: int,
    *,
    from_the_top: bool = False,
) -> SolverAnswer:
    if not program.holds(solution):
        raise SolverFailed("the answer breaks a rule of the program")
    return SolverAnswer(
        solution,
        gap.level if gap else None,
        gap.best_bound if gap else None,
        from_the_top,
        iterations,
    )


def build_tie_break_costs(program: Program, columns: NDArray[np.bool_]) -> Ints:
    """Build the costs of level H for the open columns; the others no longer matter.

    See `docs/reference/reassignment-model.md`, §4.
    """
    cost = np.zeros(program.size, dtype=np.int64)
    q = program.quantities
    for n in np.flatnonzero(columns[: len(program.moves)]).tolist():
        key = "|".join(program.moves.key(q.tables, q, n).list_hash_fields())
        cost[n] = 1 + int.from_bytes(sha256(key.encode()).digest()[:2], "big")
    return cost
