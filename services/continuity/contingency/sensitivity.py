"""Compute the gain of one more trained agent, fallback site or generator.

The gravest losses are solved again with it, on a quiet day or in a crisis. Every figure is the
difference of two solves, never read off the duals. A new agent or site is placed at the site
nearest to all others; it has no duties of its own. A generator is tried at each site that a power
cut in its commune would close.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from schemas.reference import ReassignmentRule, Site, StaffCell, Staffing
from services.continuity.contingency.current_crisis import CrisisContingency
from services.continuity.contingency.ranking import NOTHING_UNMET, LossKind, SiteLoss, Unmet
from services.continuity.reassignment.model.moves import PreviousLine
from services.continuity.reassignment.model.situation import ModelSituation, SiteCapacityState
from services.continuity.reassignment.model.tables import ReferenceTables

NEW_ID: Final = "~new"
"""Id of the added agent or site; it sorts after every site and activity."""
FALLBACK_DESKS: Final = 20
"""Desks of a new site, as in a gymnasium."""
WITH_GENERATOR: Final = SiteCapacityState(100, 40, False)
WITHOUT_GENERATOR: Final = SiteCapacityState(100, 0, False)
"""Site in a power cut of 100 %: closed without a generator, at most 60 % lost with one."""
SOLVED_LOSSES: Final = 10
"""Gravest losses that are solved again."""
TRIED_METIERS: Final = 20
"""Métiers with the most missing agents that are tried; bounds the number of solves."""

GainKind = Literal["agent", "site", "generator"]


@dataclass(frozen=True, slots=True)
class ResourceGain:
    """Gain of one more agent (of a métier), site (of a kind) or generator (at a site).

    Changes are negative if better: `unmet` weighted by urgency, `agents` as a count.
    """

    kind: GainKind
    what: str
    unmet: Unmet
    agents: int
    kept: int
    """Activities that stay above their minimum only with it, summed over the losses."""
    losses: int
    """Number of losses."""

    def rank(self) -> tuple[Unmet, int, int, str, str]:
        """Return a sort key that puts the best first."""
        return self.unmet, self.agents, -self.kept, self.kind, self.what


@dataclass(frozen=True, slots=True)
class GainBaseline:
    """Starting point: a territory on a quiet day, or in a crisis with its approved lines."""

    sites: Sequence[Site]
    staffing: Staffing
    loss_kind: LossKind
    now: ModelSituation = ModelSituation()
    approved_lines: Sequence[PreviousLine] = ()

    def ranking(self, tables: ReferenceTables) -> CrisisContingency:
        """Build the ranking for this start with other tables."""
        return CrisisContingency(tables, self.loss_kind, self.now, self.approved_lines)


def rank_gains(start: GainBaseline, gravest: Sequence[SiteLoss]) -> tuple[ResourceGain, ...]:
    """Return every gain over these losses, best first."""
    return select_gains(iterate_gains(start, gravest))


def select_gains(gains: Iterable[ResourceGain]) -> tuple[ResourceGain, ...]:
    """Select the gains that reduce the unmet need, best first."""
    return tuple(sorted((g for g in gains if g.unmet < NOTHING_UNMET), key=ResourceGain.rank))


def iterate_gains(start: GainBaseline, gravest: Sequence[SiteLoss]) -> Iterator[ResourceGain]:
    """Yield one gain after another, so that the caller can stop between them.

    The first MOST_LOSSES of `gravest` count.
    """
    tables = ReferenceTables(start.sites, start.staffing)
    plain = start.ranking(tables)
    bad = [plain.compute_loss(loss.sites) for loss in gravest[:SOLVED_LOSSES]]
    yield from _iterate_agent_gains(start, tables, bad)
    yield from _iterate_site_gains(start, tables, bad)
    yield from _iterate_generator_gains(start, tables)


def _iterate_agent_gains(
    start: GainBaseline, tables: ReferenceTables, bad: Sequence[SiteLoss]
) -> Iterator[ResourceGain]:
    home, staffing = (
        _find_central_site(tables, {*start.now.sites, *(id for loss in bad for id in loss.sites)}),
        start.staffing,
    )
    spare = ReassignmentRule(
        activity=NEW_ID,
        pole=NEW_ID,
        criticality=4,
        rto_h=240,
        site_bound=False,
        needs_desk=True,
        tele_pct=0,
        release_pct=100,
        home_kinds=(),
        host_kinds=(),
    )
    missing: Counter[str] = Counter()
    for loss in bad:
        for gap in loss.gaps:
            missing[gap.metier] += gap.count if gap.missing == "people" else 0
    for metier in sorted(+missing, key=lambda m: (-missing[m], m))[:TRIED_METIERS]:
        cell = StaffCell(site=home, activity=NEW_ID, metier=metier, staff=1, minimum=0)
        more = Staffing(
            cells=(*staffing.cells, cell),
            rules=(*staffing.rules, spare),
            substitutions=staffing.substitutions,
        )
        losses = [loss for loss in bad if any(gap.metier == metier for gap in loss.gaps)]
        yield _compute_gain(
            "agent", metier, start.ranking(ReferenceTables(tables.sites, more)), losses
        )


def _iterate_site_gains(
    start: GainBaseline, tables: ReferenceTables, bad: Sequence[SiteLoss]
) -> Iterator[ResourceGain]:
    middle = tables.sites[tables.site_index[_find_central_site(tables, ())]]
    short = [loss for loss in bad if any(gap.missing == "seats" for gap in loss.gaps)]
    kinds = sorted(
        {
            kind
            for loss in short
            for gap in loss.gaps
            if gap.missing == "seats"
            for kind in tables.rules[gap.activity].host_kinds
        }
    )
    for kind in kinds:
        new = middle.model_copy(
            update={"id": NEW_ID, "kind": kind, "desks": FALLBACK_DESKS, "staff": 0}
        )
        yield _compute_gain(
            "site",
            kind,
            start.ranking(ReferenceTables((*tables.sites, new), start.staffing)),
            short,
        )


def _iterate_generator_gains(
    start: GainBaseline, tables: ReferenceTables
) -> Iterator[ResourceGain]:
    """Yield the gain of a generator at each site that closes in a power cut of its commune."""
    for commune in sorted({s.commune for s in start.sites}):
        there = [s for s in tables.sites if s.commune == commune]
        states = {s.id: WITH_GENERATOR if s.generator else WITHOUT_GENERATOR for s in there}
        before = _solve_power_cut(start, tables, states)
        if before.unmet == NOTHING_UNMET:
            continue
        for site in there:
            if not site.generator:
                yield _sum_differences(
                    "generator",
                    site.id,
                    [(_solve_power_cut(start, tables, states | {site.id: WITH_GENERATOR}), before)],
                )


def _solve_power_cut(
    start: GainBaseline, tables: ReferenceTables, states: dict[str, SiteCapacityState]
) -> SiteLoss:
    sites = {id: _combine_states(start.now.of(id), state) for id, state in states.items()}
    dark = replace(start.now, sites={**start.now.sites, **sites})
    return CrisisContingency(tables, LossKind.BUILDING, dark, start.approved_lines).compute_loss(())


def _combine_states(a: SiteCapacityState, b: SiteCapacityState) -> SiteCapacityState:
    return SiteCapacityState(
        min(a.staff_pct, b.staff_pct),
        min(a.seat_pct, b.seat_pct),
        a.host_ok and b.host_ok,
        a.is_confined or b.is_confined,
    )


def _compute_gain(
    kind: GainKind, what: str, ranking: CrisisContingency, losses: Sequence[SiteLoss]
) -> ResourceGain:
    return _sum_differences(
        kind, what, [(ranking.compute_loss(loss.sites), loss) for loss in losses]
    )


def _sum_differences(
    kind: GainKind, what: str, pairs: Sequence[tuple[SiteLoss, SiteLoss]]
) -> ResourceGain:
    """Sum the differences of (after, before) over the losses."""
    change, agents, spared_activities = [0, 0, 0], 0, 0
    for after, before in pairs:
        change = [c + a - b for c, a, b in zip(change, after.unmet, before.unmet, strict=True)]
        agents += sum(g.count for g in after.gaps) - sum(g.count for g in before.gaps)
        spared_activities += len({g.activity for g in before.gaps}) - len(
            {g.activity for g in after.gaps}
        )
    return ResourceGain(
        kind, what, (change[0], change[1], change[2]), agents, spared_activities, len(pairs)
    )


def _find_central_site(tables: ReferenceTables, without: Collection[str]) -> str:
    """Return the site nearest to all others; a site of `without` only if there is no other."""
    away = tables.distances.sum(axis=1).tolist()
    return min(tables.sites, key=lambda s: (s.id in without, away[tables.site_index[s.id]])).id
