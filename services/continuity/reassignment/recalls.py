"""Nobody has two orders: agents whom no work needs any more where an approved line sent them, and new lines that count on them. Pure.

The planner says of each new line how many of its agents are such. Approving it ends the lines of their cell that need nobody (ADR 41). A line that needs others
of its agents still is not ended by that: what counts on the rest waits until a person has released it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from schemas.reassignment import UNDER_WAY, KeptRow, LineRow, ReassignmentRow
from services.continuity.reassignment.model.previous import LineKey
from services.continuity.reassignment.model.situation import Quantities, Situation
from services.continuity.reassignment.model.tables import Tables

Cell = tuple[str, str, str]
"""(site, activity, métier)"""


def cell_of(line: LineRow | LineKey) -> Cell:
    """Whose agents they are."""
    return line.site, line.activity, line.metier


# ── the planner ────────────────────────────────────────────────────────────────────────────────────────────────────


class Called(NamedTuple):
    """Of the agents of a new line: who are elsewhere for nothing, by whether their line needs nobody or others of its agents."""

    recalled: int = 0
    held: int = 0


def called(
    tables: Tables,
    situation: Situation,
    moved: Iterable[ReassignmentRow],
    kept: Iterable[KeptRow],
    new: Sequence[tuple[LineKey, int]],
) -> list[Called]:
    """Of each new line, in their order: whoever may go from their own site goes first, then who is elsewhere by a line that needs nobody.

    `kept`: approved lines that are void or of which the situation needs another number than before; `new`: lines with their agents.
    """
    known = {one.line: one for one in kept}
    sent: Counter[Cell] = Counter()
    whole: Counter[Cell] = Counter()
    in_part: Counter[Cell] = Counter()
    for row in moved:
        one = known.get(row.id, KeptRow(line=row.id, needed=row.needed))
        if not one.void:
            sent[cell_of(row)] += row.count
            (in_part if one.needed else whole)[cell_of(row)] += row.count - one.needed
    if not any(whole.values()) and not any(in_part.values()):
        return [Called()] * len(new)
    quantities = Quantities(tables, situation)
    at_home = Counter(
        {cell: max(0, _movable(quantities, cell) - sent[cell]) for cell in whole | in_part}
    )
    return [_called(cell_of(key), count, at_home, whole, in_part) for key, count in new]


def _called(
    cell: Cell, count: int, at_home: Counter[Cell], whole: Counter[Cell], in_part: Counter[Cell]
) -> Called:
    """Takes the agents of one line."""
    count -= _take(at_home, cell, count)
    recalled = _take(whole, cell, count)
    return Called(recalled, _take(in_part, cell, count - recalled))


def _take(some: Counter[Cell], cell: Cell, most: int) -> int:
    taken = min(some[cell], most)
    some[cell] -= taken
    return taken


def _movable(quantities: Quantities, cell: Cell) -> int:
    """Agents whom the situation displaces or spares."""
    n = quantities.tables.cell_index.get(cell)
    return 0 if n is None else quantities.displaced[n] + quantities.releasable[n]


# ── the decision ───────────────────────────────────────────────────────────────────────────────────────────────────


def is_held(line: LineRow, moved: Iterable[ReassignmentRow]) -> bool:
    """True if agents of the line would have two orders: their approved line needs others of its agents, so no approval ends it."""
    if line.held == 0:
        return False
    return any(
        cell_of(row) == cell_of(line) and row.needed < row.count and not _is_over(row)
        for row in moved
    )


def called_back(
    moved: Iterable[ReassignmentRow], approved: Collection[LineRow]
) -> list[ReassignmentRow]:
    """Lines that are over when these are approved: of the cells that they count on, all that need nobody, in their order."""
    cells = {cell_of(line) for line in approved if line.recalled != 0}
    return sorted(
        (row for row in moved if cell_of(row) in cells and _is_over(row)), key=lambda row: row.id
    )


def _is_over(row: ReassignmentRow) -> bool:
    return row.needed == 0 and row.state in UNDER_WAY
