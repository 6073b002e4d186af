"""Answer without a solver: the cheapest line for each demand, the gravest demand first.

It is a lower bound of quality, and the first answer if the solver's work runs out.
"""

from __future__ import annotations

import numpy as np

from services.continuity.reassignment.model.moves import OWN_WORK
from services.continuity.reassignment.model.program import NO_LIMIT, Program, ProgramRow
from services.continuity.reassignment.model.tables import Ints


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
