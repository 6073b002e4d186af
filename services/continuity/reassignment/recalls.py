"""Match idle reassigned agents with the new lines that use them, so that no agent has two orders.

The planner marks on each new line the agents that are idle elsewhere. Approving the line ends the
lines of their cell that no longer need any agent ([ADR
41](docs/adr/0041-release-idle-staff-when-a-reassignment-is-approved.md)). It does not end a line
that still needs some of its agents: a new line that counts on the others waits until a person has
released them. Pure.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from schemas.reassignment import ACTIVE_LINE_STATES, KeptRow, LineRow, ReassignmentRow
from services.continuity.reassignment.model.moves import LineKey
from services.continuity.reassignment.model.situation import ModelSituation, Quantities
from services.continuity.reassignment.model.tables import ReferenceTables

Cell = tuple[str, str, str]
"""(site, activity, métier)"""


def get_cell(line: LineRow | LineKey) -> Cell:
    """Return the cell of a line's agents."""
    return line.site, line.activity, line.metier


class IdleAgents(NamedTuple):
    """Idle agents elsewhere that a new line uses.

    `recalled_count` agents belong to lines that need none of their agents, `held_count` agents to
    lines that need some.
    """

    recalled_count: int = 0
    held_count: int = 0


def count_idle_agents(
    tables: ReferenceTables,
    situation: ModelSituation,
    reassignments: Iterable[ReassignmentRow],
    approved_lines: Iterable[KeptRow],
    new: Sequence[tuple[LineKey, int]],
) -> list[IdleAgents]:
    """Count for each new line, in order, the idle agents that it uses.

    Agents at their own site go first, then those of a line that needs none. `approved_lines` are
    the approved lines that are void or need another number than before; `new` are lines with their
    agents.
    """
    kept_by_line = {one.line: one for one in approved_lines}
    agents_away: Counter[Cell] = Counter()
    whole: Counter[Cell] = Counter()
    in_part: Counter[Cell] = Counter()
    for row in reassignments:
        one = kept_by_line.get(row.id, KeptRow(line=row.id, needed=row.needed))
        if not one.void:
            agents_away[get_cell(row)] += row.count
            (in_part if one.needed else whole)[get_cell(row)] += row.count - one.needed
    if not any(whole.values()) and not any(in_part.values()):
        return [IdleAgents()] * len(new)
    quantities = Quantities(tables, situation)
    at_home = Counter(
        {
            cell: max(0, _count_movable(quantities, cell) - agents_away[cell])
            for cell in whole | in_part
        }
    )
    return [_assign_agents(get_cell(key), count, at_home, whole, in_part) for key, count in new]


def _assign_agents(
    cell: Cell, count: int, at_home: Counter[Cell], whole: Counter[Cell], in_part: Counter[Cell]
) -> IdleAgents:
    """Assign the agents of one line, and reduce the remaining ones."""
    count -= _take_agents(at_home, cell, count)
    agents = _take_agents(whole, cell, count)
    return IdleAgents(agents, _take_agents(in_part, cell, count - agents))


def _take_agents(some: Counter[Cell], cell: Cell, most: int) -> int:
    agents = min(some[cell], most)
    some[cell] -= agents
    return agents


def _count_movable(quantities: Quantities, cell: Cell) -> int:
    """Count the agents that the situation displaces or spares."""
    n = quantities.tables.cell_index.get(cell)
    return 0 if n is None else quantities.displaced[n] + quantities.releasable[n]


def is_held(line: LineRow, reassignments: Iterable[ReassignmentRow]) -> bool:
    """Check whether agents of the line would have two orders.

    That is so if their approved line still needs some of its agents, so that no approval ends it.
    """
    if line.held == 0:
        return False
    return any(
        get_cell(row) == get_cell(line) and row.needed < row.count and not _is_over(row)
        for row in reassignments
    )


def list_recalled_lines(
    reassignments: Iterable[ReassignmentRow], approved_lines: Collection[LineRow]
) -> list[ReassignmentRow]:
    """List the lines that end if these are approved: those of the same cells that need no agent."""
    cells = {get_cell(line) for line in approved_lines if line.recalled != 0}
    return sorted(
        (row for row in reassignments if get_cell(row) in cells and _is_over(row)),
        key=lambda row: row.id,
    )


def _is_over(row: ReassignmentRow) -> bool:
    return row.needed == 0 and row.state in ACTIVE_LINE_STATES
