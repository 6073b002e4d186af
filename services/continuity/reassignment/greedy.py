"""The answer that needs no solver: the cheapest line for each demand, the gravest first. A floor, and a first answer when work is short."""

from __future__ import annotations

import numpy as np

from services.continuity.reassignment.moves import OWN_WORK
from services.continuity.reassignment.program import NO_LIMIT, Level, Program
from services.continuity.reassignment.tables import Ints


def first_answer(program: Program) -> Ints:
    """A feasible solution. Never better than the optimum, often far from it."""
    n = len(program.moves)
    solution = program.lower.copy()
    rows_of: list[list[int]] = [[] for _ in range(n)]
    slack: list[int] = []
    for k, row in enumerate(program.rows):
        soft = row.minus is not None or (row.lower > 0 and row.upper >= NO_LIMIT)
        slack.append(NO_LIMIT if soft else row.upper - int(solution[row.columns].sum()))
        if not soft:
            for column in row.columns[row.columns < n].tolist():
                rows_of[column].append(k)
    for column in _order(program):
        room = min((slack[k] for k in rows_of[column]), default=0)
        room = min(room, int(program.upper[column] - solution[column]))
        if room > 0:
            solution[column] += room
            for k in rows_of[column]:
                slack[k] -= room
    return _settled(program, solution)


def _order(program: Program) -> list[int]:
    """Columns of demands by urgency of the gravest criticality, then own work; the cheapest first."""
    moves, q = program.moves, program.quantities
    grave = np.array([(q.tables.rule(d.cell).criticality, -d.urgency) for d in q.demands] + [(9, 0)], dtype=np.int64)[moves.demand]
    index = np.where(moves.demand == OWN_WORK, len(q.demands), moves.demand)
    return [int(c) for c in np.lexsort((moves.grams, moves.minutes, moves.tenths, index, grave[:, 1], grave[:, 0]))]


def _settled(program: Program, solution: Ints) -> Ints:
    """Unmet, idle, excess and shortfall take what the lines leave."""
    n = len(program.moves)
    for row in program.rows:
        total = int(solution[row.columns].sum())
        if row.minus is not None:
            solution[row.minus] = max(0, total - row.upper)
        elif row.lower > 0 and total < row.lower:
            rest = row.columns[row.columns >= n]
            solution[rest[0]] += row.lower - total
    return solution


def greedy_values(program: Program) -> dict[Level, int]:
    """What the first answer costs, level by level."""
    return program.values(first_answer(program))
