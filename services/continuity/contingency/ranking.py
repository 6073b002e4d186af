"""Rank the losses that a territory would not survive: N-1 (each site) and N-2 (each pair).

The rank is the need that stays unmet after the best reassignment. Every single loss is solved,
as in the contingency analysis of power grids; a pair of independent losses needs no solve.
Two losses are independent if neither plan uses the other's site, both fit every host and every
helper together, and neither site is a host or a possible helper of the other's deficit. Then their
deficits add up. See `docs/reference/reassignment-model.md`, §5 and §6.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.continuity.reassignment.model.explain import StaffGap, list_unmet_gaps
from services.continuity.reassignment.model.lexicographic import SolveChoice, solve_program
from services.continuity.reassignment.model.moves import AT_HOME, OWN_WORK, find_moves
from services.continuity.reassignment.model.program import (
    ObjectiveLevel,
    Program,
    build_empty_bounds,
    build_program,
)
from services.continuity.reassignment.model.situation import (
    ModelSituation,
    Quantities,
    SiteCapacityState,
)
from services.continuity.reassignment.model.tables import Ints, ReferenceTables

Unmet = tuple[int, int, int]
"""U1, U2, U3."""
NOTHING_UNMET: Final[Unmet] = (0, 0, 0)
NEEDS_CHOICE: Final = SolveChoice(needs_only=True)


def compute_unmet(program: Program, solution: Ints) -> Unmet:
    """Return U1, U2, U3 of a solution."""
    values = program.values(solution)
    return values[ObjectiveLevel.U1], values[ObjectiveLevel.U2], values[ObjectiveLevel.U3]


class LossKind(StrEnum):
    """Kind of loss of a site."""

    BUILDING = "building"
    """0 % of the seats; the people are safe."""
    PEOPLE = "people"
    """Building and people."""

    @property
    def state(self) -> SiteCapacityState:
        return SiteCapacityState(100 if self is LossKind.BUILDING else 0, 0, False)


@dataclass(frozen=True, slots=True)
class SiteLoss:
    """Sites lost together and the unmet need; `before` is the need unmet without this loss.

    `is_solved` is False if screening gave the result.
    """

    sites: tuple[str, ...]
    unmet: Unmet
    gaps: tuple[StaffGap, ...] = ()
    is_solved: bool = True
    before: Unmet = NOTHING_UNMET

    @property
    def counts(self) -> bool:
        """True if it leaves more unmet than without the loss."""
        return self.unmet > self.before

    def rank(self) -> tuple[int, int, int, tuple[str, ...]]:
        """Return a sort key that puts the gravest first."""
        return -self.unmet[0], -self.unmet[1], -self.unmet[2], self.sites


@dataclass(frozen=True, slots=True)
class _LossPlan:
    """Resources that the best answer to one loss uses, by site and cell."""

    unmet: Unmet
    uses: NDArray[np.bool_]
    desks: Ints
    helpers: Ints
    deficit: NDArray[np.bool_]
    """Hosts and possible helpers of the unmet need."""


class ContingencyRanking:
    """Ranking of losses on top of a base situation.

    The default is a quiet day with telework and public transport.
    """

    def __init__(
        self,
        tables: ReferenceTables,
        loss_kind: LossKind,
        base: ModelSituation = ModelSituation(),  # noqa: B008
    ) -> None:  # noqa: B008, RUF100
        self._tables, self._lost, self._base = tables, loss_kind, base
        self._plans: dict[int, _LossPlan] = {}
        self.solves = 0
        self.screened = 0

    @property
    def tables(self) -> ReferenceTables:
        return self._tables

    def single(self) -> list[SiteLoss]:
        """Return the loss of each site, worst first."""
        return sorted(self.each(), key=SiteLoss.rank)

    def each(self) -> Iterator[SiteLoss]:
        """Yield the loss of each site, in the order of the sites."""
        for n, site in enumerate(self._tables.sites):
            yield SiteLoss((site.id,), self._plan(n).unmet)

    def pairs(self) -> Iterator[SiteLoss]:
        """Yield the loss of each pair of sites in order. Independent pairs need no solve."""
        sites = self._tables.sites
        plans = [self._plan(n) for n in range(len(sites))]
        room = _SharedResources(self._tables, self._base, plans)
        for i in range(len(sites)):
            apart = room.independent(i)
            for j in range(i + 1, len(sites)):
                if apart[j]:
                    self.screened += 1
                    yield SiteLoss(
                        (sites[i].id, sites[j].id),
                        _add_unmet(plans[i].unmet, plans[j].unmet),
                        is_solved=False,
                    )
                else:
                    yield SiteLoss(
                        (sites[i].id, sites[j].id), self._solve((sites[i].id, sites[j].id))[1]
                    )

    def explain_loss(self, loss: SiteLoss) -> SiteLoss:
        """Return the loss with its gaps and their reasons."""
        program, unmet, solution = self._solve(loss.sites)
        return SiteLoss(loss.sites, unmet, list_unmet_gaps(program, solution))

    def _situation(self, sites: Iterable[str]) -> ModelSituation:
        states = dict.fromkeys(sites, self._lost.state)
        return replace(self._base, sites={**self._base.sites, **states})

    def _solve(self, sites: Sequence[str]) -> tuple[Program, Unmet, Ints]:
        quantities = Quantities(self._tables, self._situation(sites))
        moves = find_moves(quantities)
        program = build_program(quantities, moves, build_empty_bounds(moves))
        self.solves += 1
        solution = solve_program(program, NEEDS_CHOICE).solution
        return program, compute_unmet(program, solution), solution

    def _plan(self, site: int) -> _LossPlan:
        if site not in self._plans:
            self._plans[site] = self._plan_loss(site)
        return self._plans[site]

    def _plan_loss(self, site: int) -> _LossPlan:
        tables, id = self._tables, self._tables.sites[site].id
        sites, cells = len(tables.sites), len(tables.cells)
        plan = _LossPlan(
            NOTHING_UNMET,
            np.zeros(sites, dtype=np.bool_),
            np.zeros(sites, dtype=np.int64),
            np.zeros(cells, dtype=np.int64),
            np.zeros(sites, dtype=np.bool_),
        )
        if not self._base.sites and not Quantities(tables, self._situation((id,))).demands:
            return plan
        program, unmet, solution = self._solve((id,))
        q, moves = program.quantities, program.moves
        for n in np.flatnonzero(solution[: len(moves)]).tolist():
            cell, place, count = int(moves.cell[n]), int(moves.place[n]), int(solution[n])
            if moves.demand[n] == OWN_WORK:  # own work beyond the minimum never counts as a need
                continue
            need = q.demands[int(moves.demand[n])].cell
            plan.uses[int(tables.cell_site[cell])] = True
            if moves.is_released[n]:
                plan.helpers[cell] += count
            if place != AT_HOME:
                plan.uses[place] = True
                if tables.rule(need).needs_desk and place != int(tables.cell_site[need]):
                    plan.desks[place] += count
        first = len(moves)
        for n, demand in enumerate(q.demands):
            if not solution[first + n]:
                continue
            rule = tables.rule(demand.cell)
            for host in tables.nearest[int(tables.cell_site[demand.cell])]:
                if tables.sites[host].kind in rule.host_kinds and not rule.site_bound:
                    plan.deficit[host] = True
            for helper, _, _ in tables.helpers[tables.cells[demand.cell].metier]:
                plan.deficit[int(tables.cell_site[helper])] = True
        return _LossPlan(unmet, plan.uses, plan.desks, plan.helpers, plan.deficit)


class _SharedResources:
    """Desks of every host and agents of every helper, to check that two plans fit together."""

    def __init__(
        self, tables: ReferenceTables, base: ModelSituation, plans: Sequence[_LossPlan]
    ) -> None:
        quiet = Quantities(tables, base)
        self._desks, self._spare = np.array(quiet.free_desks), np.array(quiet.releasable)
        self._uses = np.array([p.uses for p in plans])
        self._taken_desks, self._taken_helpers = (
            np.array([p.desks for p in plans]),
            np.array([p.helpers for p in plans]),
        )
        self._deficit = np.array([p.deficit for p in plans])

    def independent(self, i: int) -> NDArray[np.bool_]:
        """Return True for each other site with a loss that is independent of the loss of `i`."""
        apart = ~(self._uses[i] | self._uses[:, i] | self._deficit[i] | self._deficit[:, i])
        fits = np.all(self._taken_desks + self._taken_desks[i] <= self._desks, axis=1)
        fits &= np.all(self._taken_helpers + self._taken_helpers[i] <= self._spare, axis=1)
        return np.asarray(apart & fits, dtype=np.bool_)


def _add_unmet(a: Unmet, b: Unmet) -> Unmet:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def select_worst(
    losses: Iterable[SiteLoss], most: int, tables: ReferenceTables | None = None
) -> list[SiteLoss]:
    """Return the gravest losses that count, worst first.

    Among equals, the first is the one on which more vulnerable people depend (D82).
    """

    def rank(loss: SiteLoss) -> tuple[int, int, int, int, tuple[str, ...]]:
        u1, u2, u3, sites = loss.rank()
        dependent = (
            max((tables.vulnerable_of_site(site) for site in sites), default=0)
            if tables is not None
            else 0
        )
        return u1, u2, u3, -dependent, sites

    return sorted((loss for loss in losses if loss.counts), key=rank)[:most]


def count_losses(losses: Iterable[SiteLoss]) -> Mapping[str, int]:
    """Count the losses, and those of them that count."""
    loss_counts = [loss.counts for loss in losses]
    return {"losses": len(loss_counts), "unmet": sum(loss_counts)}
