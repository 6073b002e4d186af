"""Build the linear program of a situation: columns, rows and the cost of each level.

See `docs/reference/reassignment-model.md`, §3 and §4.

A solver gets arrays: the matrix by columns, and the limits of columns and rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import highspy
import numpy as np
from numpy.typing import NDArray

from services.continuity.reassignment.model.moves import AT_HOME, OWN_WORK, Moves
from services.continuity.reassignment.model.situation import OPTIMISED_CRITICALITIES, Quantities
from services.continuity.reassignment.model.tables import Ints

FAIR_SHARE: Final = 20
"""A pôle gives one agent in twenty before more agents cost something (constraint 7)."""
EXCESS_MIN: Final = 60
"""Minutes that an agent beyond the fair share weighs at level D."""
KEPT_FRACTION: Final = 10
"""One displaced agent in ten is not moved to other work (R9)."""
NO_LIMIT: Final = 1 << 40
Reals = NDArray[np.float64]


class ObjectiveLevel(StrEnum):
    """Levels of the lexicographic objective, first to last."""

    U1 = "U1"
    U2 = "U2"
    U3 = "U3"
    K = "K"
    I = "I"  # noqa: E741  the name of the level
    Q = "Q"
    D = "D"
    S = "S"
    C = "C"


@dataclass(frozen=True, slots=True)
class ProgramRow:
    """Constraint: the sum of the columns, less `minus`, lies between two limits."""

    columns: Ints
    lower: int
    upper: int
    minus: int | None = None
    """Column that is subtracted."""

    def sum(self, solution: Ints) -> int:
        """Compute the sum for a solution."""
        return int(solution[self.columns].sum()) - (
            0 if self.minus is None else int(solution[self.minus])
        )


@dataclass(frozen=True, slots=True)
class MoveBounds:
    """Earlier decisions as bounds of the moves.

    `floor` is the least number of agents per move; `barred_columns` may only keep
    approved agents; `kept_count` weighs on level K.
    """

    floor: Ints
    barred_columns: Ints
    """Columns of `moves` that may not exceed their floor."""
    earlier_columns: Ints
    """Columns of `moves` of an earlier proposal."""
    kept_count: Ints
    desks: Mapping[int, int]
    """Free desks of hosts of approved lines, regardless of `host_ok`."""


@dataclass(frozen=True, slots=True)
class Program:
    """Integer program; all columns are ≥ 0.

    Columns are moves, then unmet per demand, idle per displaced cell, excess per pôle, shortfall
    per kept line.
    """

    moves: Moves
    quantities: Quantities
    rows: tuple[ProgramRow, ...]
    lower: Ints
    upper: Ints
    costs: Mapping[ObjectiveLevel, Ints]
    idle_cells: tuple[int, ...]
    bounds: MoveBounds
    groups: Ints
    """Group (site, activity, host) of each move; -1 for work at its own site or at home."""

    @property
    def size(self) -> int:
        return len(self.lower)

    def holds(self, solution: Ints) -> bool:
        """Check whether a solution keeps every row and bound exactly."""
        if np.any(solution < self.lower) or np.any(solution > self.upper):
            return False
        return all(row.lower <= row.sum(solution) <= row.upper for row in self.rows)

    def values(self, solution: Ints) -> dict[ObjectiveLevel, int]:
        """Return the cost of a solution, level by level."""
        return {level: int(cost @ solution) for level, cost in self.costs.items()}


def build_empty_bounds(moves: Moves) -> MoveBounds:
    """Return the bounds without earlier decisions."""
    none = np.zeros(0, dtype=np.int64)
    return MoveBounds(np.zeros(len(moves), dtype=np.int64), none, none, none, {})


def build_program(quantities: Quantities, moves: Moves, bounds: MoveBounds) -> Program:
    """Build the program of these moves under these bounds."""
    q, tables, n = quantities, quantities.tables, len(moves)
    idle_cells = tuple(
        cell for cell, count in enumerate(q.displaced) if count and cell not in q.confined
    )
    first_unmet = n
    first_idle = first_unmet + len(q.demands)
    first_excess = first_idle + len(idle_cells)
    first_short = first_excess + len(tables.poles)
    size = first_short + len(bounds.earlier_columns)
    rows = [
        *_build_supply_rows(q, moves, idle_cells, first_idle),
        *_build_demand_rows(q, moves, first_unmet),
        *_build_telework_rows(q, moves),
        *_build_desk_rows(q, moves, bounds),
        *_build_kept_rows(q, moves),
        *_build_fairness_rows(q, moves, first_excess),
        *(
            ProgramRow(np.array([c, first_short + k], dtype=np.int64), int(count), NO_LIMIT)
            for k, (c, count) in enumerate(
                zip(bounds.earlier_columns.tolist(), bounds.kept_count.tolist(), strict=True)
            )
        ),
    ]
    lower = np.zeros(size, dtype=np.int64)
    lower[:n] = bounds.floor
    upper = np.full(size, NO_LIMIT, dtype=np.int64)
    upper[bounds.barred_columns] = bounds.floor[bounds.barred_columns]
    costs = {level: np.zeros(size, dtype=np.int64) for level in ObjectiveLevel}
    for k, demand in enumerate(q.demands):
        costs[ObjectiveLevel(f"U{tables.rule(demand.cell).criticality}")][first_unmet + k] = (
            demand.urgency
        )
        costs[ObjectiveLevel.S][first_unmet + k] = tables.vulnerable_public(demand.cell)
    for k, cell in enumerate(idle_cells):
        costs[ObjectiveLevel.I][first_idle + k] = (
            tables.rule(cell).criticality in OPTIMISED_CRITICALITIES
        )
    costs[ObjectiveLevel.K][first_short:] = 1
    costs[ObjectiveLevel.Q][:n] = moves.tenths
    costs[ObjectiveLevel.D][:n] = moves.minutes
    costs[ObjectiveLevel.D][first_excess:first_short] = EXCESS_MIN
    costs[ObjectiveLevel.C][:n] = moves.grams
    return Program(
        moves, q, tuple(rows), lower, upper, costs, idle_cells, bounds, _number_groups(q, moves)
    )


def _group_columns(key: Ints, among: Ints) -> list[tuple[int, Ints]]:
    """Group the columns `among` by their `key`, both ascending."""
    order = among[np.argsort(key[among], kind="stable")]
    if not len(order):
        return []
    edges = np.flatnonzero(np.diff(key[order])) + 1
    return [(int(key[part[0]]), part) for part in np.split(order, edges)]


def _build_supply_rows(
    q: Quantities, moves: Moves, idle_cells: Sequence[int], first_idle: int
) -> list[ProgramRow]:
    displaced_columns = dict(_group_columns(moves.cell, np.flatnonzero(~moves.is_released)))
    none = np.zeros(0, dtype=np.int64)
    rows = [
        ProgramRow(
            np.append(displaced_columns.get(cell, none), first_idle + k),
            q.displaced[cell],
            q.displaced[cell],
        )
        for k, cell in enumerate(idle_cells)
    ]
    rows += [
        ProgramRow(displaced_columns[cell], 0, q.displaced[cell])
        for cell in sorted(q.confined)
        if cell in displaced_columns
    ]
    return rows + [
        ProgramRow(columns, 0, q.releasable[cell])
        for cell, columns in _group_columns(moves.cell, np.flatnonzero(moves.is_released))
    ]


def _build_demand_rows(q: Quantities, moves: Moves, first_unmet: int) -> list[ProgramRow]:
    filling = dict(_group_columns(moves.demand, np.flatnonzero(moves.demand != OWN_WORK)))
    none = np.zeros(0, dtype=np.int64)
    rows = [
        ProgramRow(np.append(filling.get(k, none), first_unmet + k), d.need, d.need)
        for k, d in enumerate(q.demands)
    ]
    at_home = _group_columns(
        moves.demand, np.flatnonzero((moves.demand != OWN_WORK) & (moves.place == AT_HOME))
    )
    return rows + [ProgramRow(columns, 0, q.demands[k].tele_cap) for k, columns in at_home]


def _build_telework_rows(q: Quantities, moves: Moves) -> list[ProgramRow]:
    rows = []
    for cell, columns in _group_columns(
        moves.cell, np.flatnonzero(~moves.is_released & (moves.place == AT_HOME))
    ):
        count, pct = q.displaced[cell], q.tables.rule(cell).tele_pct or 100
        if pct < 100 and cell not in q.confined:
            rows.append(ProgramRow(columns, 0, count * pct // 100))
    return rows


def _build_desk_rows(q: Quantities, moves: Moves, bounds: MoveBounds) -> list[ProgramRow]:
    tables = q.tables
    desk = np.array([tables.rule(d.cell).needs_desk for d in q.demands] + [False], dtype=np.bool_)
    site = np.array([int(tables.cell_site[d.cell]) for d in q.demands] + [AT_HOME], dtype=np.int64)
    own = np.array(
        [tables.rule(cell).needs_desk for cell in range(len(tables.cells))], dtype=np.bool_
    )
    filling = moves.demand != OWN_WORK
    takes = np.where(
        filling, desk[moves.demand] & (moves.place != site[moves.demand]), own[moves.cell]
    ) & (moves.place != AT_HOME)
    return [
        ProgramRow(columns, 0, bounds.desks.get(host, q.free_desks[host]))
        for host, columns in _group_columns(moves.place, np.flatnonzero(takes))
    ]


def _build_kept_rows(q: Quantities, moves: Moves) -> list[ProgramRow]:
    need_cell = np.array([d.cell for d in q.demands] + [-1], dtype=np.int64)[moves.demand]
    away = np.flatnonzero(
        ~moves.is_released & (moves.demand != OWN_WORK) & (need_cell != moves.cell)
    )
    return [
        ProgramRow(columns, 0, q.displaced[cell] - q.displaced[cell] // KEPT_FRACTION)
        for cell, columns in _group_columns(moves.cell, away)
        if q.displaced[cell] >= KEPT_FRACTION and cell not in q.confined
    ]


def _build_fairness_rows(q: Quantities, moves: Moves, first_excess: int) -> list[ProgramRow]:
    staff = np.bincount(
        q.tables.cell_pole, weights=[c.staff for c in q.tables.cells], minlength=len(q.tables.poles)
    )
    rows = []
    for pole, columns in _group_columns(
        q.tables.cell_pole[moves.cell], np.flatnonzero(moves.is_released)
    ):
        rows.append(
            ProgramRow(
                columns, -NO_LIMIT, int(staff[pole]) // FAIR_SHARE, minus=first_excess + pole
            )
        )
    return rows


def _number_groups(q: Quantities, moves: Moves) -> Ints:
    """Assign numbers to the groups (site, activity, host) of the moves; -1 at home or own site."""
    tables = q.tables
    need_cell = np.array([d.cell for d in q.demands] + [-1], dtype=np.int64)[moves.demand]
    work_cell = np.where(moves.demand == OWN_WORK, moves.cell, need_cell)
    names = {activity: n for n, activity in enumerate(sorted(tables.rules))}
    activity = np.array([names[c.activity] for c in tables.cells], dtype=np.int64)[work_cell]
    code = (tables.cell_site[work_cell] * len(names) + activity) * len(tables.sites) + moves.place
    away = (moves.place != AT_HOME) & (moves.place != tables.cell_site[work_cell])
    groups = np.full(len(moves), -1, dtype=np.int64)
    groups[away] = np.unique(code[away], return_inverse=True)[1]
    return groups


class ProgramMatrix:
    """Nonzero entries in the order of their columns."""

    def __init__(self, program: Program) -> None:
        none = np.zeros(0, dtype=np.int64)
        parts = [
            row.columns if row.minus is None else np.append(row.columns, row.minus)
            for row in program.rows
        ]
        columns = np.concatenate([none, *parts])
        order = np.argsort(columns, kind="stable")
        values = np.ones(len(columns))
        ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
        values[
            [
                end - 1
                for end, row in zip(ends.tolist(), program.rows, strict=True)
                if row.minus is not None
            ]
        ] = -1.0
        self._columns = columns[order]
        self._rows = np.repeat(
            np.arange(len(parts), dtype=np.int32), [len(part) for part in parts]
        )[order]
        self._values = values[order]
        self._starts = np.searchsorted(self._columns, np.arange(program.size + 1))

    def of(self, columns: Ints) -> tuple[NDArray[np.int32], NDArray[np.int32], Reals]:
        """Return starts, row indices and values of some columns, in the form of HiGHS.

        There is one start more than there are columns.
        """
        begin, end = self._starts[columns], self._starts[columns + 1]
        starts = np.append(0, np.cumsum(end - begin))
        entries = np.repeat(begin - starts[:-1], end - begin) + np.arange(starts[-1])
        return starts.astype(np.int32), self._rows[entries], self._values[entries]

    def compute_reduced_costs(self, cost: Reals, duals: Reals) -> Reals:
        """Compute the reduced costs of all columns from the duals of the rows."""
        return cost - np.bincount(
            self._columns, weights=self._values * duals[self._rows], minlength=len(cost)
        )


@dataclass(frozen=True, slots=True)
class ProgramLimits:
    """Limits of columns and rows; infinite if there is no limit."""

    lower: Reals
    upper: Reals
    row_lower: Reals
    row_upper: Reals

    @classmethod
    def of_program(cls, program: Program) -> "ProgramLimits":
        row_lower = np.array([row.lower for row in program.rows], dtype=np.int64)
        row_upper = np.array([row.upper for row in program.rows], dtype=np.int64)
        return cls(
            _convert_to_reals(program.lower),
            _convert_to_reals(program.upper),
            _convert_to_reals(row_lower),
            _convert_to_reals(row_upper),
        )

    @property
    def open(self) -> NDArray[np.bool_]:
        """Columns that may take more than one value."""
        return self.lower < self.upper

    def hold(self, columns: NDArray[np.bool_], values: Reals) -> None:
        """Fix these columns at their values."""
        self.lower[columns] = self.upper[columns] = values[columns]

    def hold_rows(self, rows: NDArray[np.int32], sums: Reals) -> Reals:
        """Fix these rows at the limit nearer to their sum, and return that limit."""
        lower, upper = self.row_lower[rows], self.row_upper[rows]
        side = np.where(np.abs(sums[rows] - lower) <= np.abs(sums[rows] - upper), lower, upper)
        self.row_lower[rows] = self.row_upper[rows] = side
        return side


def _convert_to_reals(values: Ints) -> Reals:
    reals = values.astype(np.float64)
    reals[values >= NO_LIMIT] = highspy.kHighsInf
    reals[values <= -NO_LIMIT] = -highspy.kHighsInf
    return reals
