"""Rank the next loss of a crisis: N-1 and N-2 from the present situation.

Sites are already closed, and approved lines hold desks and agents; these lines stay, as in a
proposal. A loss matters if it leaves more unmet than is unmet now. Three proofs avoid most solves:
the site is lost already; nobody there is needed and the plan of the present does not use it; or the
plan of the present holds, and a first answer fills the added need. See
`docs/reference/reassignment-model.md`, §6.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final

import numpy as np

from services.continuity.contingency.ranking import (
    NEEDS_CHOICE,
    LossKind,
    SiteLoss,
    Unmet,
    compute_unmet,
)
from services.continuity.reassignment.model.approved import compute_bounds
from services.continuity.reassignment.model.explain import StaffGap, list_unmet_gaps
from services.continuity.reassignment.model.lexicographic import solve_greedily, solve_program
from services.continuity.reassignment.model.moves import OWN_WORK, PreviousLine, find_moves
from services.continuity.reassignment.model.program import Program, build_program
from services.continuity.reassignment.model.situation import (
    ModelSituation,
    Quantities,
    SiteCapacityState,
)
from services.continuity.reassignment.model.tables import Ints, ReferenceTables

PAIRED_SITES: Final = 3
"""Number of gravest losses for which pairs are computed; each costs as much as N-1."""


class CrisisContingency:
    """Ranking of losses on top of a crisis; `approved_lines` are those that are not over."""

    def __init__(
        self,
        tables: ReferenceTables,
        loss_kind: LossKind,
        now: ModelSituation,
        approved_lines: Sequence[PreviousLine] = (),
    ) -> None:
        self._tables, self._lost, self._now, self._approved = (
            tables,
            loss_kind,
            now,
            tuple(approved_lines),
        )
        self._known: dict[int, SiteLoss] = {}
        self.solves = 0
        self.screened = 0

    @property
    def tables(self) -> ReferenceTables:
        return self._tables

    @property
    def unmet(self) -> Unmet:
        """Needs that are unmet now, without a further loss."""
        return compute_unmet(*self._plan)

    def single(self) -> list[SiteLoss]:
        """Return the loss of each site, worst first."""
        return sorted(self.each(), key=SiteLoss.rank)

    def each(self) -> Iterator[SiteLoss]:
        """Yield the loss of each site, in the order of the sites."""
        return (self._next(n) for n in range(len(self._tables.sites)))

    def pairs(self) -> Iterator[SiteLoss]:
        """Yield the pairs of each of the PAIRED gravest sites with every other site."""
        gravest = self._gravest
        for k, first in enumerate(gravest):
            then = self._after(first)
            for n, site in enumerate(self._tables.sites):
                if n not in gravest[: k + 1]:
                    loss = then._next(n)
                    yield SiteLoss(
                        tuple(sorted((self._tables.sites[first].id, site.id))),
                        loss.unmet,
                        (),
                        loss.is_solved,
                        loss.before,
                    )
            self.solves += then.solves
            self.screened += then.screened

    @property
    def paired_sites(self) -> tuple[str, ...]:
        """Sites whose pairs `pairs` computes, every one."""
        return tuple(self._tables.sites[n].id for n in self._gravest)

    @cached_property
    def _gravest(self) -> list[int]:
        return sorted(
            range(len(self._tables.sites)),
            key=lambda n: (*self._next(n).rank()[:3], -self._weight(n), n),
        )[:PAIRED_SITES]

    def explain_loss(self, loss: SiteLoss) -> SiteLoss:
        """Return the loss with the gaps that it adds to those of the present."""
        extended_loss = self.compute_loss(loss.sites)
        now = {(g.site, g.activity, g.metier): g.count for g in list_unmet_gaps(*self._plan)}
        gaps = []
        for gap in extended_loss.gaps:
            more = gap.count - now.get((gap.site, gap.activity, gap.metier), 0)
            if more > 0:
                gaps.append(
                    StaffGap(gap.site, gap.activity, gap.metier, more, gap.missing, gap.why)
                )
        return SiteLoss(loss.sites, extended_loss.unmet, tuple(gaps), before=loss.before)

    def compute_loss(self, sites: Sequence[str]) -> SiteLoss:
        """Return everything that is unmet after the loss of these sites, including present gaps."""
        program, solution = self._solve_program(self._quantities(sites))
        return SiteLoss(
            tuple(sites), compute_unmet(program, solution), list_unmet_gaps(program, solution)
        )

    def _after(self, site: int) -> "CrisisContingency":
        return CrisisContingency(
            self._tables,
            self._lost,
            self._situation((self._tables.sites[site].id,)),
            self._approved,
        )

    def _situation(self, sites: Sequence[str]) -> ModelSituation:
        states = {id: self._lose_site(self._now.of(id)) for id in sites}
        return replace(self._now, sites={**self._now.sites, **states})

    def _lose_site(self, state: SiteCapacityState) -> SiteCapacityState:
        lost_state = self._lost.state
        return SiteCapacityState(
            min(state.staff_pct, lost_state.staff_pct),
            min(state.seat_pct, lost_state.seat_pct),
            False,
        )

    def _quantities(self, sites: Sequence[str]) -> Quantities:
        return Quantities(self._tables, self._situation(sites))

    def _program(self, quantities: Quantities, approved_lines: Sequence[PreviousLine]) -> Program:
        moves, bounds, _ = compute_bounds(
            quantities, find_moves(quantities), approved_lines, stability=False
        )
        return build_program(quantities, moves, bounds)

    def _solve_program(self, quantities: Quantities) -> tuple[Program, Ints]:
        program = self._program(quantities, self._approved)
        self.solves += 1
        return program, solve_program(program, NEEDS_CHOICE).solution

    @cached_property
    def _plan(self) -> tuple[Program, Ints]:
        """Best answer to the present."""
        return self._solve_program(self._quantities(()))

    @cached_property
    def _lines(self) -> tuple[PreviousLine, ...]:
        """Lines of the present plan to keep; own work beyond the minimum only if approved."""
        program, solution = self._plan
        moves, q = program.moves, program.quantities
        used = np.flatnonzero(
            np.where(moves.demand == OWN_WORK, program.lower[: len(moves)], solution[: len(moves)])
        )
        return tuple(
            PreviousLine(
                moves.key(q.tables, q, n),
                int(program.lower[n] if moves.demand[n] == OWN_WORK else solution[n]),
                is_approved=True,
            )
            for n in used.tolist()
        )

    @cached_property
    def _used(self) -> frozenset[int]:
        """Sites that the present plan moves agents between, or whose desks it uses."""
        site_indices: set[int] = set()
        for line in self._lines:
            site_indices.update(
                self._tables.site_index[id]
                for id in (line.key.site, line.key.place, line.key.need_site)
                if id in self._tables.site_index
            )
        return frozenset(site_indices)

    def _next(self, site: int) -> SiteLoss:
        if site not in self._known:
            self._known[site] = self._looked_at(site)
        return self._known[site]

    def _looked_at(self, site: int) -> SiteLoss:
        id, before = self._tables.sites[site].id, self.unmet
        state = self._now.of(id)
        no_worse = SiteLoss((id,), before, is_solved=False, before=before)
        lost_state = self._lose_site(state)
        if (lost_state.staff_pct, lost_state.seat_pct) == (state.staff_pct, state.seat_pct):
            self.screened += 1
            return no_worse
        quantities = self._quantities((id,))
        if site not in self._used and self._needs_nobody_new(site, quantities):
            self.screened += 1
            return no_worse
        loss_program = self._program(quantities, self._lines)
        if compute_unmet(loss_program, solve_greedily(loss_program)) <= before:
            self.screened += 1
            return no_worse
        return SiteLoss((id,), compute_unmet(*self._solve_program(quantities)), before=before)

    def _needs_nobody_new(self, site: int, quantities: Quantities) -> bool:
        def here(q: Quantities) -> list[tuple[int, int, bool, int]]:
            return [
                (d.cell, d.need, d.own_site, d.tele_cap)
                for d in q.demands
                if int(self._tables.cell_site[d.cell]) == site
            ]

        return here(quantities) == here(self._plan[0].quantities)

    def _weight(self, site: int) -> int:
        """Return the minimum agents at a site, to rank losses with equal unmet needs."""
        return sum(self._tables.cells[n].minimum for n in self._tables.cells_of_site.get(site, ()))
