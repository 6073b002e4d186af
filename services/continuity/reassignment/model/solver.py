"""Search with HiGHS.

`OptimalFace` solves one linear program after another, `BranchAndBound` whole numbers.

Work is counted in simplex iterations and nodes, never in seconds, so that the same program gives
the same answer on every machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import highspy
import numpy as np
from numpy.typing import NDArray

from services.continuity.reassignment.model.moves import OWN_WORK
from services.continuity.reassignment.model.program import (
    Program,
    ProgramLimits,
    ProgramMatrix,
    Reals,
)
from services.continuity.reassignment.model.tables import Ints

TOLERANCE: Final = 1e-6
"""Limit below which reduced costs and duals are zero; here they are whole or simple fractions."""
FIRST_MOVES_PER_KIND: Final = 5
"""Moves per demand, and per own work of a cell, that a face begins with.

Those of the least penalty, then of the shortest way.
"""
JOINING_MOVES_PER_KIND: Final = 5
"""Moves per demand or own work that join at once: the most promising that lower the cost."""


class SolverFailed(RuntimeError):
    """Error: HiGHS ended in a state that the model excludes; the message names it."""


@dataclass(frozen=True, slots=True)
class HostGroup:
    """Columns with the work of one site and activity at one host.

    `limits` are the most agents of each column, `room` of all together.
    """

    columns: Ints
    limits: Ints
    room: int


@dataclass(frozen=True, slots=True)
class SolverWork:
    """Limits of one solve, in the solver's own steps."""

    iterations: int = 2_000_000
    nodes: int = 2_000
    groups: int = 300
    """Most groups for which branch and bound proves cohesion; beyond, the best has a gap."""
    group_nodes: int = 100
    """Nodes of that proof."""


class _QuietHighs(highspy.Highs):
    """HiGHS without callbacks, because their set-up prints a banner on standard output."""

    def enableCallbacks(self) -> None:  # noqa: N802  the name of highspy
        pass


def _load_highs(matrix: ProgramMatrix, limits: ProgramLimits, columns: Ints) -> Any:
    """Load HiGHS with these columns of the program and all its rows."""
    h: Any = _QuietHighs()  # type: ignore[no-untyped-call]
    h.setOptionValue("output_flag", False)
    h.setOptionValue("threads", 1)
    h.setOptionValue("random_seed", 0)
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(columns), len(limits.row_lower)
    lp.col_cost_ = np.zeros(len(columns))
    lp.col_lower_, lp.col_upper_ = limits.lower[columns], limits.upper[columns]
    lp.row_lower_, lp.row_upper_ = limits.row_lower, limits.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = matrix.of(columns)
    if h.passModel(lp) == highspy.HighsStatus.kError:
        raise SolverFailed("HiGHS refuses the program")
    return h


class OptimalFace:
    """Optimal face of the levels solved so far.

    After a level is solved, columns with a reduced cost are fixed and rows with a dual become
    equations: the feasible rest is exactly the set of optima so far. The next level starts from the
    basis at hand and needs no row that holds the former objective.

    HiGHS gets only some of the columns; the others are zero. A column with a negative reduced cost
    joins, until there is none: then the solution is optimal with all of them. It begins with 2,000
    of 65,000 columns and ends with 5,000
    (`docs/adr/0036-start-column-generation-from-a-restricted-set.md`).
    """

    def __init__(self, program: Program, iterations: int) -> None:
        self._matrix, self._limits = ProgramMatrix(program), ProgramLimits.of_program(program)
        self._kinds = _number_purposes(program)
        self._inside = _select_first_columns(program, self._kinds)
        self._columns = np.flatnonzero(self._inside)
        self._h = _load_highs(self._matrix, self._limits, self._columns)
        self._left = iterations
        self.values: Reals | None = None
        self.solved: dict[str, Reals] = {}
        """The values after each level, by its name."""
        self.iterations = 0

    @property
    def open_columns(self) -> NDArray[np.bool_]:
        """Columns that may still take another value."""
        return self._limits.open

    def restrict(self, level: str, cost: Ints) -> bool:
        """Restrict the face to the optima of `cost`; return False if the work ran out.

        In that case `values` are those of the level before, or None.
        """
        if self.values is None or not self._free_already(cost):
            optimum = self._optimum(cost.astype(np.float64))
            if optimum is None:
                return False
            self.values, reduced_costs, duals, activity = optimum
            self._fix(np.abs(reduced_costs) > TOLERANCE)
            self._hold(np.abs(duals) > TOLERANCE, activity)
        self.solved[level] = self.values
        return True

    def look(self, cost: Reals) -> Reals | None:
        """Return an optimum of `cost` in the face, unchanged; None once the work ran out."""
        optimum = self._optimum(cost)
        return None if optimum is None else optimum[0]

    def close(self, columns: Ints, values: Reals) -> None:
        """Continue from `values` of the face without the columns, which are zero there."""
        self.values = values
        is_closed = np.zeros(len(values), dtype=np.bool_)
        is_closed[columns] = True
        self._fix(is_closed)

    def branching(self, nodes: int, *, presolve: bool = True) -> "BranchAndBound":
        """Create the search for whole numbers in this face.

        Without presolve, a wide face takes a tenth of the memory and time, a narrow one more time.
        """
        return BranchAndBound(self._matrix, self._limits, nodes, presolve=presolve)

    def _optimum(self, cost: Reals) -> tuple[Reals, Reals, Reals, Reals] | None:
        """Compute an optimum: values and reduced costs of columns, duals and sums of rows.

        Return None once the work ran out.
        """
        h = self._h
        h.changeColsCost(
            len(self._columns), np.arange(len(self._columns), dtype=np.int32), cost[self._columns]
        )
        while True:
            h.setOptionValue("simplex_iteration_limit", self._left)
            h.run()
            h.setOptionValue(
                "simplex_strategy", 4
            )  # from now on the basis at hand is feasible: primal
            steps, status = h.getInfo().simplex_iteration_count, h.getModelStatus()
            self.iterations += steps
            self._left -= steps
            if status == highspy.HighsModelStatus.kIterationLimit or self._left <= 0:
                return None
            if status != highspy.HighsModelStatus.kOptimal:
                raise SolverFailed(f"HiGHS says {h.modelStatusToString(status)}")
            solution = h.getSolution()
            duals = np.asarray(solution.row_dual)
            reduced_costs = self._matrix.compute_reduced_costs(cost, duals)
            cheaper = np.flatnonzero(
                (reduced_costs < -TOLERANCE) & ~self._inside & self._limits.open
            )
            if not len(cheaper):
                values = np.zeros(len(cost))
                values[self._columns] = np.asarray(solution.col_value)
                return values, reduced_costs, duals, np.asarray(solution.row_value)
            self._join(
                _select_least_moves(
                    self._kinds, cheaper, (reduced_costs[cheaper],), JOINING_MOVES_PER_KIND
                ),
                cost,
            )

    def _join(self, columns: Ints, cost: Reals) -> None:
        starts, indices, values = self._matrix.of(columns)
        lower, upper = self._limits.lower[columns], self._limits.upper[columns]
        self._h.addCols(
            len(columns), cost[columns], lower, upper, len(indices), starts[:-1], indices, values
        )
        self._inside[columns] = True
        self._columns = np.concatenate([self._columns, columns])

    def _free_already(self, cost: Ints) -> bool:
        """Check whether the solution at hand costs no more than the lower bounds; then fix it.

        Costs are never negative, so it is optimal and needs no duals.
        """
        assert self.values is not None
        dear = (cost > 0) & self._limits.open
        if np.any(self.values[dear] - self._limits.lower[dear] > TOLERANCE):
            return False
        self._fix(dear)
        return True

    def _fix(self, columns: NDArray[np.bool_]) -> None:
        """Fix the open ones of these columns at their present value."""
        assert self.values is not None
        which = columns & self._limits.open
        rounded_values = np.round(self.values)
        self._limits.hold(
            which,
            np.where(np.abs(self.values - rounded_values) < TOLERANCE, rounded_values, self.values),
        )
        at = np.flatnonzero(which[self._columns]).astype(np.int32)
        bounds = self._limits.lower[self._columns[at]]
        self._h.changeColsBounds(len(at), at, bounds, bounds)

    def _hold(self, rows: NDArray[np.bool_], activity: Reals) -> None:
        """Fix the open ones of these rows at their present side."""
        which = np.flatnonzero(rows & (self._limits.row_lower < self._limits.row_upper)).astype(
            np.int32
        )
        side = self._limits.hold_rows(which, activity)
        self._h.changeRowsBounds(len(which), which, side, side)


def _number_purposes(program: Program) -> Ints:
    """Assign a number to the purpose of each move: a demand, or the own work of a cell."""
    moves = program.moves
    return np.where(
        moves.demand == OWN_WORK, len(program.quantities.demands) + moves.cell, moves.demand
    )


def _select_first_columns(program: Program, kinds: Ints) -> NDArray[np.bool_]:
    """Select the first columns.

    They make every row feasible, hold decided and seen lines, and add the plainest moves of each
    kind.
    """
    moves, size = program.moves, len(program.moves)
    inside = np.ones(program.size, dtype=np.bool_)
    inside[:size] = program.lower[:size] > 0
    inside[program.bounds.earlier_columns] = True
    inside[
        _select_least_moves(
            kinds, np.arange(size), (moves.minutes, moves.tenths), FIRST_MOVES_PER_KIND
        )
    ] = True
    return inside


def _select_least_moves(kinds: Ints, moves: Ints, by: tuple[NDArray[Any], ...], most: int) -> Ints:
    """Select the `most` least moves of each kind, by the last key of `by`, then the one before."""
    order = np.lexsort((*by, kinds[moves]))
    sorted_kinds = kinds[moves][order]
    rank = np.arange(len(order)) - np.searchsorted(sorted_kinds, sorted_kinds)
    return np.sort(moves[order[rank < most]])


class OutOfWork(Exception):
    """Error: the nodes ran out.

    `bound` is the best bound of the level, `solution` the best found for it, if any.
    """

    def __init__(self, bound: float, solution: Ints | None) -> None:
        super().__init__(f"best bound {bound:g}")
        self.bound, self.solution = bound, solution


class Infeasible(Exception):
    """Error: no whole numbers satisfy the rows."""


class BranchAndBound:
    """Levels in whole numbers, by branch and bound; each minimised level becomes a row.

    HiGHS sees the columns that may be more than zero, then the switches of groups.
    """

    def __init__(
        self, matrix: ProgramMatrix, limits: ProgramLimits, nodes: int, *, presolve: bool = True
    ) -> None:
        self._columns = np.flatnonzero(limits.upper > 0)
        self._size, self._program_size = len(self._columns), len(limits.upper)
        self._at = np.zeros(self._program_size, dtype=np.int64)
        self._at[self._columns] = np.arange(self._size)
        self._left = nodes
        h = self._h = _load_highs(matrix, limits, self._columns)
        if not presolve:
            h.setOptionValue("presolve", "off")
        h.changeColsIntegrality(
            self._size,
            np.arange(self._size, dtype=np.int32),
            np.array([highspy.HighsVarType.kInteger] * self._size),
        )
        h.setOptionValue("mip_rel_gap", 0.0)
        h.setOptionValue("mip_abs_gap", 0.999)  # objectives are whole numbers

    @property
    def open_columns(self) -> NDArray[np.bool_]:
        """Columns that may be more than zero."""
        open_mask = np.zeros(self._program_size, dtype=np.bool_)
        open_mask[self._columns] = True
        return open_mask

    def minimise(self, cost: Ints) -> Ints:
        """Solve a level among the optima of the levels before, and add it to them.

        `cost` covers the program's columns, and the switches if there are any. Raise OutOfWork,
        Infeasible.
        """
        h = self._h
        column_costs = np.zeros(self._size)
        column_costs[: len(self._columns)] = cost[self._columns]
        if len(switches := cost[self._program_size :]):
            column_costs[len(self._columns) :] = switches
        h.changeColsCost(self._size, np.arange(self._size, dtype=np.int32), column_costs)
        h.setOptionValue("mip_max_nodes", max(self._left, 1))
        h.run()
        info, status = h.getInfo(), h.getModelStatus()
        self._left -= max(info.mip_node_count, 0)
        solution = None
        if info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible:
            solution = np.round(np.asarray(h.getSolution().col_value)).astype(np.int64)
        if status == highspy.HighsModelStatus.kOptimal and solution is not None:
            where = np.flatnonzero(column_costs).astype(np.int32)
            if len(where):
                h.addRow(
                    -highspy.kHighsInf,
                    float(column_costs @ solution),
                    len(where),
                    where,
                    column_costs[where],
                )
            return self._spread(solution)
        if status == highspy.HighsModelStatus.kInfeasible:
            raise Infeasible
        if status == highspy.HighsModelStatus.kSolutionLimit or info.mip_node_count >= 0:
            raise OutOfWork(
                info.mip_dual_bound, None if solution is None else self._spread(solution)
            )
        raise SolverFailed(f"HiGHS says {h.modelStatusToString(status)}")

    def _spread(self, reduced_solution: Ints) -> Ints:
        """Expand the result to all columns of the program."""
        solution = np.zeros(self._program_size, dtype=np.int64)
        solution[self._columns] = reduced_solution[: len(self._columns)]
        return solution

    def add_groups(self, groups: Sequence[HostGroup]) -> Ints:
        """Add one switch per group, on if a column of it is used; return the cost of switches."""
        h, first = self._h, self._size
        none = np.zeros(0, dtype=np.int32)
        for n, group in enumerate(groups):
            h.addCol(0.0, 0.0, 1.0, 0, none, np.zeros(0))
            at, switch = self._at[group.columns], first + n
            columns = np.append(at, switch).astype(np.int32)
            h.addRow(
                -highspy.kHighsInf,
                0.0,
                len(columns),
                columns,
                np.append(np.ones(len(at)), -float(group.room)),
            )
            for column, limit in zip(at.tolist(), group.limits.tolist(), strict=True):
                h.addRow(
                    -highspy.kHighsInf,
                    0.0,
                    2,
                    np.array([column, switch], dtype=np.int32),
                    np.array([1.0, -float(limit)]),
                )
        self._size += len(groups)
        switches = np.arange(first, self._size, dtype=np.int32)
        h.changeColsIntegrality(
            len(switches), switches, np.array([highspy.HighsVarType.kInteger] * len(switches))
        )
        return np.append(
            np.zeros(self._program_size, dtype=np.int64), np.ones(len(groups), dtype=np.int64)
        )
