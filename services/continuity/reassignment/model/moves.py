"""Find every admissible line of a situation: agents, need, place and cost.

Lines of an earlier proposal that people decided or have seen are kept. See
`docs/reference/reassignment-model.md`, §3, and §4, Incremental.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.continuity.reassignment.model.situation import OPTIMISED_CRITICALITIES, Quantities
from services.continuity.reassignment.model.tables import LONGEST_MIN, Ints, ReferenceTables

TELEWORK = "telework"
"""Place of a line without a host."""
OWN_WORK_NAME = "own"
"""Replaces the demand in the key of displaced agents that continue their own work."""
DISPLACED, RELEASABLE = "d", "r"
AT_HOME: Final = -1
"""Place index of telework."""
OWN_WORK: Final = -1
"""Demand index of displaced agents that continue their own work."""
DONOR_TENTHS: Final = {4: 1, 3: 2, 2: 4, 1: 6}
"""Penalty by criticality of the work that an agent leaves; displaced agents have none."""
PLACE_TENTHS: Final = 1
"""Penalty of an unusual kind of host, and of telework for only part of the work."""
_Block = tuple[Ints, NDArray[np.bool_], Ints, Ints, Ints, Ints, Ints]


@dataclass(frozen=True, slots=True)
class LineKey:
    """Identity of a line: agents, need, place.

    The `need_*` fields are empty for agents that continue their own work.
    """

    site: str
    activity: str
    metier: str
    supply: str
    """`d` displaced, `r` releasable."""
    need_site: str
    need_activity: str
    need_metier: str
    place: str
    """A site, or `telework`."""

    @property
    def own_work(self) -> bool:
        return not self.need_activity

    def fields(self) -> tuple[str, ...]:
        """Return the fields in order."""
        if self.own_work:
            return (self.site, self.activity, self.metier, OWN_WORK_NAME, self.place)
        return (
            self.site,
            self.activity,
            self.metier,
            self.supply,
            self.need_site,
            self.need_activity,
            self.need_metier,
            self.place,
        )

    def list_hash_fields(self) -> tuple[str, ...]:
        """Return the fields as level H hashes them: telework is `tele` there."""
        return (*self.fields()[:-1], "tele" if self.place == TELEWORK else self.place)


@dataclass(frozen=True, slots=True)
class PreviousLine:
    key: LineKey
    count: int
    is_approved: bool
    """An approved line is a lower bound; any other only weighs on stability (K)."""


@dataclass(frozen=True, slots=True)
class Moves:
    """Parallel columns, one entry per admissible line."""

    cell: Ints
    is_released: NDArray[np.bool_]
    demand: Ints
    place: Ints
    tenths: Ints
    minutes: Ints
    grams: Ints

    def __len__(self) -> int:
        return len(self.cell)

    def key(self, tables: ReferenceTables, quantities: Quantities, n: int) -> LineKey:
        """Return the key of a move: agents, need, place."""
        cell = tables.cells[int(self.cell[n])]
        place = TELEWORK if self.place[n] == AT_HOME else tables.sites[int(self.place[n])].id
        supply = RELEASABLE if self.is_released[n] else DISPLACED
        if self.demand[n] == OWN_WORK:
            return LineKey(cell.site, cell.activity, cell.metier, supply, "", "", "", place)
        need = tables.cells[quantities.demands[int(self.demand[n])].cell]
        return LineKey(
            cell.site,
            cell.activity,
            cell.metier,
            supply,
            need.site,
            need.activity,
            need.metier,
            place,
        )


def find_moves(quantities: Quantities) -> Moves:
    """Find all moves, by demand, then own work; in key order inside each."""
    blocks = [*_iterate_demand_moves(quantities), *_iterate_own_work_moves(quantities)]
    if not blocks:
        none = np.zeros(0, dtype=np.int64)
        return Moves(none, np.zeros(0, dtype=np.bool_), none, none, none, none, none)
    columns = [np.concatenate(parts) for parts in zip(*blocks, strict=True)]
    moves = Moves(*columns)
    if not quantities.situation.refused:
        return moves
    is_open = ~_find_refused(quantities, moves)
    return Moves(*(column[is_open] for column in columns))


def _find_refused(quantities: Quantities, moves: Moves) -> NDArray[np.bool_]:
    """Return which moves a site has refused: these agents do not go to that place. Rule D101."""
    tables = quantities.tables
    is_refused = np.zeros(len(moves), dtype=np.bool_)
    for site, activity, metier, place in quantities.situation.refused:
        to = AT_HOME if place == TELEWORK else tables.site_index.get(place)
        index = tables.site_index.get(site)
        cells = tables.cells_of_site.get(index, ()) if index is not None else ()
        mine = [n for n in cells if _is_cell(tables, n, activity, metier)]
        if to is not None and mine:
            is_refused |= np.isin(moves.cell, mine) & (moves.place == to)
    return is_refused


def _is_cell(tables: ReferenceTables, n: int, activity: str, metier: str) -> bool:
    return (tables.cells[n].activity, tables.cells[n].metier) == (activity, metier)


def _iterate_demand_moves(q: Quantities) -> Iterator[_Block]:
    tables = q.tables
    ways = tables.ways(q.situation.transit)
    displaced_counts, releasable = (
        np.array(q.displaced, dtype=np.int64),
        np.array(q.releasable, dtype=np.int64),
    )
    desk = np.array([tables.rules[c.activity].needs_desk for c in tables.cells], dtype=np.bool_)
    donor = np.array(
        [DONOR_TENTHS[tables.rules[c.activity].criticality] for c in tables.cells], dtype=np.int64
    )
    supplies: dict[str, tuple[Ints, NDArray[np.bool_], Ints]] = {}
    for index, demand in enumerate(q.demands):
        cell = tables.cells[demand.cell]
        if cell.metier not in supplies:
            able = tables.helpers[cell.metier]
            cells = np.array([h[0] for h in able], dtype=np.int64)
            tenths = np.array([h[1] for h in able], dtype=np.int64)
            idle, spare = displaced_counts[cells] > 0, releasable[cells] > 0
            supplies[cell.metier] = (
                np.concatenate([cells[idle], cells[spare]]),
                np.concatenate(
                    [np.zeros(idle.sum(), dtype=np.bool_), np.ones(spare.sum(), dtype=np.bool_)]
                ),
                np.concatenate([tenths[idle], tenths[spare] + donor[cells[spare]]]),
            )
        cells, releases, tenths = supplies[cell.metier]
        others = ~(releases & (cells == demand.cell))
        cells, releases, tenths = cells[others], releases[others], tenths[others]
        if not len(cells):
            continue
        places, extra = _list_places(
            q, demand.cell, own_site=demand.own_site, tele=demand.tele_cap > 0
        )
        if not places:
            continue
        homes = tables.cell_site[cells]
        where = np.array(places, dtype=np.int64)
        minutes = ways.minutes[np.ix_(homes, where)]
        grams = ways.grams[np.ix_(homes, where)]
        left_min, horizon = q.situation.left_min(cell.site, cell.activity), q.situation.horizon
        ready = np.where(homes[:, None] == where[None, :], 0, minutes + horizon.setup_min)
        is_allowed = (minutes <= LONGEST_MIN) & (ready <= left_min)
        if places[-1] == AT_HOME:
            minutes[:, -1], grams[:, -1] = 0, 0
            is_allowed[:, -1] = desk[cells] & (horizon.home_min <= left_min)
        rows, columns = np.nonzero(is_allowed)
        yield (
            cells[rows],
            releases[rows],
            np.full(len(rows), index, dtype=np.int64),
            where[columns],
            tenths[rows] + np.array(extra, dtype=np.int64)[columns],
            minutes[rows, columns],
            grams[rows, columns],
        )


def _list_places(
    q: Quantities, cell: int, *, own_site: bool, tele: bool
) -> tuple[list[int], list[int]]:
    """Return the places for a demand with their penalties in tenths; telework last."""
    site, rule = int(q.tables.cell_site[cell]), q.tables.rule(cell)
    places, extra = [], []
    if own_site:
        places.append(site)
        extra.append(0)
    if not rule.site_bound:
        for host in q.hosts(site, rule.activity):
            places.append(host)
            extra.append(0 if q.tables.sites[host].kind in rule.home_kinds else PLACE_TENTHS)
    if tele:
        places.append(AT_HOME)
        extra.append(0 if rule.tele_pct == 100 else PLACE_TENTHS)
    return places, extra


def _iterate_own_work_moves(q: Quantities) -> Iterator[_Block]:
    tables = q.tables
    ways = tables.ways(q.situation.transit)
    for cell, count in enumerate(q.displaced):
        rule = tables.rule(cell)
        if not count or rule.site_bound or rule.criticality not in OPTIMISED_CRITICALITIES:
            continue
        site = int(tables.cell_site[cell])
        left_min, horizon = (
            q.situation.left_min(tables.sites[site].id, rule.activity),
            q.situation.horizon,
        )
        longest_min = min(LONGEST_MIN, left_min - horizon.setup_min)
        places = [
            host
            for host in q.hosts(site, rule.activity)
            if tables.sites[host].kind in rule.home_kinds
            and ways.minutes[site, host] <= longest_min
        ]
        minutes = [int(ways.minutes[site, host]) for host in places]
        grams = [int(ways.grams[site, host]) for host in places]
        at_home = q.situation.telework and horizon.home_min <= left_min
        if at_home and rule.needs_desk and count * rule.tele_pct // 100:
            places, minutes, grams = [*places, AT_HOME], [*minutes, 0], [*grams, 0]
        size = len(places)
        yield (
            np.full(size, cell, dtype=np.int64),
            np.zeros(size, dtype=np.bool_),
            np.full(size, OWN_WORK, dtype=np.int64),
            np.array(places, dtype=np.int64),
            np.zeros(size, dtype=np.int64),
            np.array(minutes, dtype=np.int64),
            np.array(grams, dtype=np.int64),
        )
