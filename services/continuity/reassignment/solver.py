"""The two searches that HiGHS does for us: `Face`, one linear program after the other, and `Branching`, whole numbers only.

Work is counted in simplex iterations and nodes, never in seconds, so that the same program gives the same answer on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import highspy
import numpy as np
from numpy.typing import NDArray

from services.continuity.reassignment.program import NO_LIMIT, Program, Row
from services.continuity.reassignment.tables import Ints

Reals = NDArray[np.float64]
TOLERANCE: Final = 1e-6
"""Reduced costs and duals are whole or simple fractions here; below this they are zero."""


class SolverFailed(RuntimeError):
    """HiGHS ended in a state that the model excludes; the sentence names it."""


@dataclass(frozen=True, slots=True)
class Group:
    """Columns that carry the work of one site and activity to one host, the most agents each could take, and all together."""

    columns: Ints
    limits: Ints
    room: int


@dataclass(frozen=True, slots=True)
class Work:
    """Limits of one solve, in the solver's own steps."""

    iterations: int = 2_000_000
    nodes: int = 2_000
    groups: int = 300
    """Up to so many possible groups, cohesion is proved by branch and bound; beyond, the best found is kept with its gap."""
    group_nodes: int = 100
    """Nodes of that proof."""


class _Quiet(highspy.Highs):
    """Without callbacks, whose set-up prints a banner on standard output."""

    def enableCallbacks(self) -> None:  # noqa: N802  the name of highspy
        pass


def _highs() -> Any:
    h: Any = _Quiet()  # type: ignore[no-untyped-call]
    h.setOptionValue("output_flag", False)
    h.setOptionValue("threads", 1)
    h.setOptionValue("random_seed", 0)
    return h


def _matrix(rows: Sequence[Row]) -> tuple[NDArray[np.int32], NDArray[np.int32], Reals]:
    """Starts, column indices and values of the rows."""
    starts, indices, values, at = [], [], [], 0
    for row in rows:
        starts.append(at)
        indices.append(row.columns)
        values.append(np.ones(len(row.columns)))
        at += len(row.columns)
        if row.minus is not None:
            indices.append(np.array([row.minus]))
            values.append(np.array([-1.0]))
            at += 1
    starts.append(at)
    if not rows:
        return np.zeros(1, dtype=np.int32), np.zeros(0, dtype=np.int32), np.zeros(0)
    return np.array(starts, dtype=np.int32), np.concatenate(indices).astype(np.int32), np.concatenate(values).astype(np.float64)


def _limit(values: Ints) -> Reals:
    """Bounds with infinities where there is no limit."""
    found = values.astype(np.float64)
    found[values >= NO_LIMIT] = highspy.kHighsInf
    found[values <= -NO_LIMIT] = -highspy.kHighsInf
    return found


def load(program: Program) -> Any:
    starts, indices, values = _matrix(program.rows)
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = program.size, len(program.rows)
    lp.col_cost_ = np.zeros(program.size)
    lp.col_lower_, lp.col_upper_ = _limit(program.lower), _limit(program.upper)
    lp.row_lower_ = _limit(np.array([r.lower for r in program.rows], dtype=np.int64))
    lp.row_upper_ = _limit(np.array([r.upper for r in program.rows], dtype=np.int64))
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = starts, indices, values
    h = _highs()
    if h.passModel(lp) == highspy.HighsStatus.kError:
        raise SolverFailed("HiGHS refuses the program")
    return h


class Face:
    """The optimal face of the levels solved so far.

    After a level is solved, columns with a reduced cost are fixed and rows with a dual become equations: what remains feasible is exactly
    the set of optima so far. The next level starts from the basis at hand and needs no row that holds the former objective.
    """

    def __init__(self, program: Program, iterations: int) -> None:
        self._h = load(program)
        self._left = iterations
        self._all = np.arange(program.size, dtype=np.int32)
        self._lower, self._upper = _limit(program.lower), _limit(program.upper)
        self._row_lower = _limit(np.array([r.lower for r in program.rows], dtype=np.int64))
        self._row_upper = _limit(np.array([r.upper for r in program.rows], dtype=np.int64))
        self._rows = np.arange(len(program.rows), dtype=np.int32)
        self.values: Reals | None = None
        self.iterations = 0

    @property
    def open_columns(self) -> NDArray[np.bool_]:
        """Columns that may still take another value."""
        return self._lower < self._upper

    def restrict(self, cost: Ints) -> bool:
        """Keep only what is optimal for `cost`. False if the work ran out: `values` are then those of the level before, or None."""
        if self.values is not None and self._free_already(cost):
            return True
        h = self._h
        h.changeColsCost(len(self._all), self._all, cost.astype(np.float64))
        h.setOptionValue("simplex_iteration_limit", self._left)
        if self.values is not None:
            h.setOptionValue("simplex_strategy", 4)  # the basis at hand is feasible: primal
        h.run()
        info, status = h.getInfo(), h.getModelStatus()
        self.iterations += info.simplex_iteration_count
        self._left -= info.simplex_iteration_count
        solution = h.getSolution()
        if status == highspy.HighsModelStatus.kIterationLimit or self._left <= 0:
            return False
        if status != highspy.HighsModelStatus.kOptimal:
            raise SolverFailed(f"HiGHS says {h.modelStatusToString(status)}")
        self.values = np.asarray(solution.col_value)
        self._close(
            np.abs(np.asarray(solution.col_dual)) > TOLERANCE,
            np.abs(np.asarray(solution.row_dual)) > TOLERANCE,
            np.asarray(solution.row_value),
        )
        return True

    def _free_already(self, cost: Ints) -> bool:
        """Costs are never negative: a solution that costs no more than the lower bounds is optimal, and no reader of duals is needed."""
        assert self.values is not None
        dear = (cost > 0) & (self._lower < self._upper)
        if np.any(self.values[dear] - self._lower[dear] > TOLERANCE):
            return False
        self._fix(dear)
        return True

    def _fix(self, columns: NDArray[np.bool_]) -> None:
        assert self.values is not None
        which = np.flatnonzero(columns & (self._lower < self._upper)).astype(np.int32)
        if not len(which):
            return
        self._lower[which] = self._upper[which] = np.where(
            np.abs(self.values[which] - np.round(self.values[which])) < TOLERANCE, np.round(self.values[which]), self.values[which]
        )
        self._h.changeColsBounds(len(which), which, self._lower[which], self._upper[which])

    def _close(self, columns: NDArray[np.bool_], rows: NDArray[np.bool_], activity: Reals) -> None:
        self._fix(columns)
        which = np.flatnonzero(rows & (self._row_lower < self._row_upper)).astype(np.int32)
        if not len(which):
            return
        at_lower = np.abs(activity[which] - self._row_lower[which]) <= np.abs(activity[which] - self._row_upper[which])
        side = np.where(at_lower, self._row_lower[which], self._row_upper[which])
        self._row_lower[which] = self._row_upper[which] = side
        self._h.changeRowsBounds(len(which), which, side, side)

    def look(self, cost: Reals) -> Reals | None:
        """An optimum of `cost` inside the face, which stays as it is. None if the work ran out."""
        h = self._h
        h.changeColsCost(len(self._all), self._all, cost)
        h.setOptionValue("simplex_iteration_limit", self._left)
        h.setOptionValue("simplex_strategy", 4)
        h.run()
        used = h.getInfo().simplex_iteration_count
        self.iterations += used
        self._left -= used
        if self._left <= 0 or h.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        return np.asarray(h.getSolution().col_value)

    def close(self, columns: Ints, values: Reals) -> None:
        """Go on from `values`, which lie in the face, without the columns, which are zero there."""
        self.values = values
        closed = np.zeros(len(self._all), dtype=np.bool_)
        closed[columns] = True
        self._fix(closed)

    def branching(self, nodes: int, *, presolve: bool = True) -> Branching:
        """The search in whole numbers inside this face. Without presolve a wide face takes a tenth of the memory and time, a narrow one more time."""
        h = _highs()
        if not presolve:
            h.setOptionValue("presolve", "off")
        h.passModel(self._h.getLp())
        return Branching(h, len(self._all), nodes)


class OutOfWork(Exception):
    """The nodes ran out; `bound` is the best bound of the level, `solution` the best found for it, if any."""

    def __init__(self, bound: float, solution: Ints | None) -> None:
        super().__init__(f"best bound {bound:g}")
        self.bound, self.solution = bound, solution


class Infeasible(Exception):
    """No whole numbers satisfy the rows."""


class Branching:
    """Levels in whole numbers, by branch and bound; each minimised level becomes a row."""

    def __init__(self, h: Any, size: int, nodes: int) -> None:
        self._h, self._size, self._left = h, size, nodes
        h.changeColsIntegrality(size, np.arange(size, dtype=np.int32), np.array([highspy.HighsVarType.kInteger] * size))
        h.setOptionValue("mip_rel_gap", 0.0)
        h.setOptionValue("mip_abs_gap", 0.999)  # objectives are whole numbers

    def minimise(self, cost: Ints) -> Ints:
        """The optimum of this level among those of the levels before, which it joins. Raises OutOfWork, Infeasible."""
        h = self._h
        padded = np.zeros(self._size)
        padded[: len(cost)] = cost
        h.changeColsCost(self._size, np.arange(self._size, dtype=np.int32), padded)
        h.setOptionValue("mip_max_nodes", max(self._left, 1))
        h.run()
        info, status = h.getInfo(), h.getModelStatus()
        self._left -= max(info.mip_node_count, 0)
        found = None
        if info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible:
            found = np.round(np.asarray(h.getSolution().col_value)).astype(np.int64)
        if status == highspy.HighsModelStatus.kOptimal and found is not None:
            where = np.flatnonzero(padded).astype(np.int32)
            if len(where):
                h.addRow(-highspy.kHighsInf, float(padded @ found), len(where), where, padded[where])
            return found
        if status == highspy.HighsModelStatus.kInfeasible:
            raise Infeasible
        if status == highspy.HighsModelStatus.kSolutionLimit or info.mip_node_count >= 0:
            raise OutOfWork(info.mip_dual_bound, found)
        raise SolverFailed(f"HiGHS says {h.modelStatusToString(status)}")

    @property
    def open_columns(self) -> NDArray[np.bool_]:
        """Columns that may be more than zero."""
        return np.asarray(self._h.getLp().col_upper_) > 0

    def add_groups(self, groups: Sequence[Group]) -> Ints:
        """One switch per group of columns, on if any of them is used. Returns the cost that counts the switches."""
        h, first = self._h, self._size
        none = np.zeros(0, dtype=np.int32)
        for n, group in enumerate(groups):
            h.addCol(0.0, 0.0, 1.0, 0, none, np.zeros(0))
            columns = np.append(group.columns, first + n).astype(np.int32)
            h.addRow(-highspy.kHighsInf, 0.0, len(columns), columns, np.append(np.ones(len(group.columns)), -float(group.room)))
            for column, limit in zip(group.columns.tolist(), group.limits.tolist(), strict=True):
                h.addRow(-highspy.kHighsInf, 0.0, 2, np.array([column, first + n], dtype=np.int32), np.array([1.0, -float(limit)]))
        self._size += len(groups)
        switches = np.arange(first, self._size, dtype=np.int32)
        h.changeColsIntegrality(len(switches), switches, np.array([highspy.HighsVarType.kInteger] * len(switches)))
        cost = np.zeros(self._size, dtype=np.int64)
        cost[first:] = 1
        return cost
