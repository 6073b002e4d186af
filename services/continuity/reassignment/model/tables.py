"""Index the reference tables and the ways between all sites; built once per reference version."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.reference import ReassignmentRule, Site, StaffCell, Staffing, Substitution
from services.travel import CAR_MODE, TRANSIT_AT_MOST_MIN, TRANSIT_MODE, compute_distance_m

Ints = NDArray[np.int64]

LONGEST_MIN: Final = 75
"""Longest way to work: a day of 10 h minus a shift of 7.5 h, halved (R5)."""


class TablesInvalid(ValueError):
    """Error: the tables contradict one another; the message says where."""


@dataclass(frozen=True, slots=True)
class TravelWays:
    """Ways between all sites: minutes one way, grams of CO2 both ways, mode."""

    minutes: Ints
    grams: Ints
    by_transit: NDArray[np.bool_]


def _compute_ride(road: Ints, mode: tuple[int, int, int]) -> tuple[Ints, Ints]:
    start, speed, grams = mode
    return start + -(-60 * road // speed), (2 * road * grams + 500) // 1000


class ReferenceTables:
    """Sites, cells, rules and substitutions. Cells are in key order: (site, activity, métier)."""

    def __init__(self, sites: Iterable[Site], staffing: Staffing) -> None:
        self.sites: tuple[Site, ...] = tuple(sorted(sites, key=lambda s: s.id))
        self.site_index: Mapping[str, int] = {s.id: n for n, s in enumerate(self.sites)}
        self.rules: Mapping[str, ReassignmentRule] = {r.activity: r for r in staffing.rules}
        self.cells: tuple[StaffCell, ...] = tuple(
            sorted(staffing.cells, key=lambda c: (c.site, c.activity, c.metier))
        )
        self.cell_index: Mapping[tuple[str, str, str], int] = {
            (c.site, c.activity, c.metier): n for n, c in enumerate(self.cells)
        }
        self.substitutions: Mapping[str, tuple[Substitution, ...]] = _group_by_metier(
            staffing.substitutions
        )
        for cell in self.cells:
            if cell.site not in self.site_index:
                raise TablesInvalid(f"cell {cell.site} {cell.activity} {cell.metier}: no such site")
            if cell.activity not in self.rules:
                raise TablesInvalid(
                    f"cell {cell.site} {cell.activity} {cell.metier}: no rule for this activity"
                )
        self.cell_site: Ints = np.array(
            [self.site_index[c.site] for c in self.cells], dtype=np.int64
        )
        poles = sorted({r.pole for r in self.rules.values()})
        self.poles: tuple[str, ...] = tuple(poles)
        self.cell_pole: Ints = np.array(
            [poles.index(self.rules[c.activity].pole) for c in self.cells], dtype=np.int64
        )
        self.cells_of_site: Mapping[int, tuple[int, ...]] = self._cells_of_site()

    def rule(self, cell: int) -> ReassignmentRule:
        """Return the rule of a cell's activity."""
        return self.rules[self.cells[cell].activity]

    def vulnerable_public(self, cell: int) -> int:
        """Return how much vulnerable people depend on a cell, by its site or activity. Rule D82."""
        return max(
            self.sites[int(self.cell_site[cell])].vulnerable_public,
            self.rule(cell).vulnerable_public,
        )

    def vulnerable_of_site(self, site: str) -> int:
        """Return how much vulnerable people depend on a site, by itself or its activities.

        Rule D82.
        """
        index = self.site_index[site]
        return max(
            (self.vulnerable_public(cell) for cell in self.cells_of_site.get(index, ())),
            default=self.sites[index].vulnerable_public,
        )

    def desks(self, site: int) -> int:
        """Return the desks of a host."""
        host_site = self.sites[site]
        return host_site.places

    @cached_property
    def distances(self) -> Ints:
        """Metres as the crow flies, by index."""
        n = len(self.sites)
        distances_m = np.zeros((n, n), dtype=np.int64)
        for i, a in enumerate(self.sites):
            for j in range(i + 1, n):
                distances_m[i, j] = distances_m[j, i] = compute_distance_m(a, self.sites[j])
        return distances_m

    @cached_property
    def nearest(self) -> tuple[tuple[int, ...], ...]:
        """Other sites of each site, near to far; ties by id."""
        n = len(self.sites)
        return tuple(
            tuple(int(j) for j in np.argsort(self.distances[i], kind="stable") if j != i)
            for i in range(n)
        )

    def ways(self, transit: bool) -> TravelWays:
        """Return the ways with or without public transport."""
        return self._with_transit if transit else self._by_car

    @cached_property
    def _road(self) -> Ints:
        return (13 * self.distances + 5) // 10

    @cached_property
    def _by_car(self) -> TravelWays:
        minutes, grams = _compute_ride(self._road, CAR_MODE)
        np.fill_diagonal(minutes, 0)
        np.fill_diagonal(grams, 0)
        return TravelWays(minutes, grams, np.zeros(minutes.shape, dtype=np.bool_))

    @cached_property
    def _with_transit(self) -> TravelWays:
        minutes, grams = _compute_ride(self._road, TRANSIT_MODE)
        near = minutes <= TRANSIT_AT_MOST_MIN
        car = self._by_car
        minutes, grams = np.where(near, minutes, car.minutes), np.where(near, grams, car.grams)
        np.fill_diagonal(minutes, 0)
        np.fill_diagonal(grams, 0)
        return TravelWays(minutes, grams, near)

    def _cells_of_site(self) -> dict[int, tuple[int, ...]]:
        cells_by_site: dict[int, list[int]] = {}
        for n, site in enumerate(self.cell_site.tolist()):
            cells_by_site.setdefault(site, []).append(n)
        return {site: tuple(cells) for site, cells in cells_by_site.items()}

    @cached_property
    def helpers(self) -> Mapping[str, tuple[tuple[int, int, str | None], ...]]:
        """Métier → cells that may do it, with the penalty in tenths and the condition (R1 to R4).

        See `docs/reference/reassignment-model.md`, §2, Métier.
        """
        by_metier: dict[str, list[int]] = {}
        for n, cell in enumerate(self.cells):
            by_metier.setdefault(cell.metier, []).append(n)
        helpers_by_metier: dict[str, tuple[tuple[int, int, str | None], ...]] = {}
        for metier in sorted({c.metier for c in self.cells}):
            able: list[tuple[int, int, str | None]] = [
                (n, 0, None) for n in by_metier.get(metier, ())
            ]
            for line in self.substitutions.get(metier, ()):
                able += [
                    (n, line.tenths, line.condition)
                    for n in by_metier.get(line.by, ())
                    if self._is_allowed(line, n)
                ]
            helpers_by_metier[metier] = tuple(sorted(able, key=lambda h: h[0]))
        return helpers_by_metier

    def _is_allowed(self, line: Substitution, cell: int) -> bool:
        """Check whether the agents of a cell meet the hard condition of a substitution."""
        match line.condition:
            case "R2":
                return self.cells[cell].activity in CHECKED_ACTIVITIES
            case "R3":
                kitchen = self.sites[int(self.cell_site[cell])].kitchen
                return (
                    kitchen == ON_SITE_KITCHEN
                    if line.metier == COOK_METIER
                    else kitchen is not None
                )
            case _:
                return True


CHECKED_ACTIVITIES: Final = frozenset(("SOL-01", "SOL-02", "SOL-03", "SOL-04", "SOL-06"))
"""Activities with agents of checked honorability (R2)."""
COOK_METIER: Final = "cuisinier"
ON_SITE_KITCHEN: Final = "sur-place"


def _group_by_metier(lines: Iterable[Substitution]) -> dict[str, tuple[Substitution, ...]]:
    lines_by_metier: dict[str, list[Substitution]] = {}
    for line in lines:
        lines_by_metier.setdefault(line.metier, []).append(line)
    return {
        metier: tuple(sorted(lines, key=lambda s: s.by))
        for metier, lines in lines_by_metier.items()
    }
