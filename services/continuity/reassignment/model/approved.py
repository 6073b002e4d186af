"""Turn earlier decisions into bounds of the next program.

See `docs/reference/reassignment-model.md`, §4, Incremental.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.continuity.reassignment.model.moves import (
    AT_HOME,
    DISPLACED,
    DONOR_TENTHS,
    OWN_WORK,
    PLACE_TENTHS,
    TELEWORK,
    LineKey,
    Moves,
    PreviousLine,
)
from services.continuity.reassignment.model.program import KEPT_FRACTION, MoveBounds
from services.continuity.reassignment.model.situation import AgentDemand, Quantities
from services.continuity.reassignment.model.tables import Ints


@dataclass(frozen=True, slots=True)
class KeptLine:
    """Approved line after its reduction: `count` of `before` agents stay.

    They stay in one or two moves, because spare agents may have become displaced.
    """

    key: LineKey
    before: int
    count: int


@dataclass(frozen=True, slots=True)
class _Column:
    cell: int
    is_released: bool
    demand: int
    place: int


class _MoveIndex:
    """Index of the moves; a few hundred of tens of thousands are looked up."""

    def __init__(self, q: Quantities, moves: Moves) -> None:
        self._demands, self._places = len(q.demands) + 1, len(q.tables.sites) + 1
        codes = (
            ((moves.cell * 2 + moves.is_released) * self._demands + moves.demand + 1) * self._places
            + moves.place
            + 1
        )
        self._order = np.argsort(codes, kind="stable")
        self._codes = codes[self._order]

    def of(self, column: _Column) -> int | None:
        """Return the number of a move; None if it is not admissible as a new one."""
        code = (
            ((column.cell * 2 + column.is_released) * self._demands + column.demand + 1)
            * self._places
            + column.place
            + 1
        )
        at = int(np.searchsorted(self._codes, code))
        return int(self._order[at]) if at < len(self._codes) and self._codes[at] == code else None


class _Remaining:
    """Agents, needs and desks that the approved lines have not used yet."""

    def __init__(self, q: Quantities) -> None:
        self.q = q
        self.displaced, self.releasable = list(q.displaced), list(q.releasable)
        self.away = [
            d if c in q.confined else d - d // KEPT_FRACTION for c, d in enumerate(q.displaced)
        ]
        self.at_home = [
            d if c in q.confined else d * (q.tables.rule(c).tele_pct or 100) // 100
            for c, d in enumerate(q.displaced)
        ]
        self.need = [d.need for d in q.demands]
        self.tele = [d.tele_cap for d in q.demands]
        self.desks = list(q.desks_left)

    def take_agents(self, column: _Column, most: int, *, desk: bool) -> int:
        """Use up to `most` agents of a column and return the number used."""
        cell, place = column.cell, column.place
        demand = None if column.demand == OWN_WORK else self.q.demands[column.demand]
        elsewhere = demand is not None and demand.cell != cell
        limits = [most, self.releasable[cell] if column.is_released else self.displaced[cell]]
        if demand is not None:
            limits.append(self.need[column.demand])
            if place == AT_HOME:
                limits.append(self.tele[column.demand])
        if not column.is_released:
            if elsewhere:
                limits.append(self.away[cell])
            if place == AT_HOME:
                limits.append(self.at_home[cell])
        if desk:
            limits.append(self.desks[place])
        count = max(0, min(limits))
        if column.is_released:
            self.releasable[cell] -= count
        else:
            self.displaced[cell] -= count
            self.away[cell] -= count if elsewhere else 0
            self.at_home[cell] -= count if place == AT_HOME else 0
        if demand is not None:
            self.need[column.demand] -= count
            self.tele[column.demand] -= count if place == AT_HOME else 0
        if desk:
            self.desks[place] -= count
        return count


def compute_bounds(
    q: Quantities, moves: Moves, previous: Sequence[PreviousLine], *, stability: bool
) -> tuple[Moves, MoveBounds, tuple[KeptLine, ...]]:
    """Return all moves, the bounds, and the fate of every approved line.

    The moves include those that only approved lines keep.
    """
    _count_agents_away(q, previous)
    index = _MoveIndex(q, moves)
    needs = {d.cell: n for n, d in enumerate(q.demands)}
    remaining = _Remaining(q)
    floors: dict[_Column, int] = {}
    line_fates: list[KeptLine] = []
    for line in sorted((p for p in previous if p.is_approved), key=lambda p: p.key.fields()):
        stay = 0
        for column in _list_columns(q, needs, line.key):
            count = remaining.take_agents(column, line.count - stay, desk=_takes_desk(q, column))
            if count:
                floors[column] = floors.get(column, 0) + count
                stay += count
        line_fates.append(KeptLine(line.key, line.count, stay))
    extra = sorted(
        (c for c in floors if index.of(c) is None),
        key=lambda c: (c.cell, c.is_released, c.demand, c.place),
    )
    column_range = range(len(moves), len(moves) + len(extra))
    column_by_line = dict(zip(extra, column_range, strict=True))
    moves = _append_moves(q, moves, extra)

    def place_of(column: _Column) -> int | None:
        return column_by_line[column] if column in column_by_line else index.of(column)

    floor = np.zeros(len(moves), dtype=np.int64)
    for column, count in floors.items():
        at = place_of(column)
        assert at is not None
        floor[at] = count
    weigh = _weigh_seen_lines(q, needs, previous, index, floor) if stability else {}
    return (
        moves,
        MoveBounds(
            floor,
            np.array(column_range, dtype=np.int64),
            np.array(list(weigh), dtype=np.int64),
            np.array(list(weigh.values()), dtype=np.int64),
            {c.place: q.desks_left[c.place] for c in extra if c.place != AT_HOME},
        ),
        tuple(line_fates),
    )


def _count_agents_away(q: Quantities, previous: Sequence[PreviousLine]) -> None:
    """Count agents that left a site before it became confined; they continue elsewhere (D78)."""
    for line in previous:
        cell = q.tables.cell_index.get((line.key.site, line.key.activity, line.key.metier))
        if line.is_approved and cell in q.confined:
            able = q.displaced if line.key.supply == DISPLACED else q.releasable
            able[cell] += line.count


def _weigh_seen_lines(
    q: Quantities,
    needs: dict[int, int],
    previous: Sequence[PreviousLine],
    index: _MoveIndex,
    floor: Ints,
) -> dict[int, int]:
    """Return moves that people saw but did not approve, with their agents, if still admissible.

    The count includes the agents approved for the same move.
    """
    agents_by_move: dict[int, int] = {}
    for line in sorted((p for p in previous if not p.is_approved), key=lambda p: p.key.fields()):
        for column in _list_columns(q, needs, line.key)[:1]:
            if (at := index.of(column)) is not None:
                agents_by_move[at] = agents_by_move.get(at, int(floor[at])) + line.count
    return agents_by_move


def _list_columns(q: Quantities, needs: dict[int, int], key: LineKey) -> list[_Column]:
    """Return the moves open to the agents of a line, or none if the line is void.

    First as they were, then with spare agents that became displaced.
    """
    tables = q.tables
    cell = tables.cell_index.get((key.site, key.activity, key.metier))
    place = AT_HOME if key.place == TELEWORK else tables.site_index.get(key.place)
    if cell is None or place is None:
        return []
    demand = OWN_WORK
    if not key.own_work:
        need_cell = tables.cell_index.get((key.need_site, key.need_activity, key.need_metier))
        if need_cell is None or need_cell not in needs:
            return []
        demand = needs[need_cell]
    if not _is_still_open(q, None if demand == OWN_WORK else q.demands[demand], place):
        return []
    supplies = (False,) if key.supply == DISPLACED else (True, False)
    return [_Column(cell, is_released, demand, place) for is_released in supplies]


def _is_still_open(q: Quantities, demand: AgentDemand | None, place: int) -> bool:
    """Check whether a place still accepts a line.

    A host that lost seats does not. The own site of a need does while the need may be filled there.
    """
    if place == AT_HOME:
        return q.situation.telework
    if demand is not None and place == int(q.tables.cell_site[demand.cell]):
        return demand.own_site
    return q.situation.of(q.tables.sites[place].id).seat_pct == 100


def _takes_desk(q: Quantities, column: _Column) -> bool:
    if column.place == AT_HOME:
        return False
    if column.demand == OWN_WORK:
        return q.tables.rule(column.cell).needs_desk
    need = q.demands[column.demand].cell
    return q.tables.rule(need).needs_desk and column.place != int(q.tables.cell_site[need])


def _append_moves(q: Quantities, moves: Moves, extra: Sequence[_Column]) -> Moves:
    """Append moves that are no longer admissible as new ones, with their costs."""
    if not extra:
        return moves
    tables, ways = q.tables, q.tables.ways(q.situation.transit)
    tenths, minutes, grams = [], [], []
    for column in extra:
        home = int(tables.cell_site[column.cell])
        minutes.append(0 if column.place == AT_HOME else int(ways.minutes[home, column.place]))
        grams.append(0 if column.place == AT_HOME else int(ways.grams[home, column.place]))
        tenths.append(0 if column.demand == OWN_WORK else _compute_tenths(q, column))
    return replace(
        moves,
        cell=np.append(moves.cell, [c.cell for c in extra]),
        is_released=np.append(moves.is_released, [c.is_released for c in extra]),
        demand=np.append(moves.demand, [c.demand for c in extra]),
        place=np.append(moves.place, [c.place for c in extra]),
        tenths=np.append(moves.tenths, tenths),
        minutes=np.append(moves.minutes, minutes),
        grams=np.append(moves.grams, grams),
    )


def _compute_tenths(q: Quantities, column: _Column) -> int:
    tables = q.tables
    need = q.demands[column.demand].cell
    rule = tables.rule(need)
    skill = next(
        (
            tenths
            for cell, tenths, _ in tables.helpers[tables.cells[need].metier]
            if cell == column.cell
        ),
        0,
    )
    donor = DONOR_TENTHS[tables.rule(column.cell).criticality] if column.is_released else 0
    if column.place == AT_HOME:
        return skill + donor + (0 if rule.tele_pct == 100 else PLACE_TENTHS)
    usual = (
        column.place == int(tables.cell_site[need])
        or tables.sites[column.place].kind in rule.home_kinds
    )
    return skill + donor + (0 if usual else PLACE_TENTHS)
