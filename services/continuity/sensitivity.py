"""What one trained agent, one fallback site or one generator more would buy: the same losses solved again with it.

The gain is the change of U1, U2, U3, summed over the losses that leave something unmet (negative is better). A new agent or site is put at the place
that is nearest to all others; it has no duties of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.reference import ReassignmentRule, Site, StaffCell, Staffing
from services.continuity.contingency import NOTHING, Contingency, Loss, Lost, Unmet
from services.continuity.reassignment.situation import SiteState, Situation
from services.continuity.reassignment.tables import Tables

NEW: Final = "~new"
"""Id of what does not exist yet; sorts after every site and activity."""
FALLBACK_DESKS: Final = 20
"""As many as a gymnasium counts."""
WITH_GENERATOR: Final = SiteState(100, 40, False)
WITHOUT_GENERATOR: Final = SiteState(100, 0, False)
"""A cut of 100 %: closed without a generator, at most 60 % lost with one (DOMAIN §3)."""


@dataclass(frozen=True, slots=True)
class Gain:
    """`kind`: agent (of a métier), site (of a kind), generator (at a site). `unmet`: change, negative is better."""

    kind: str
    what: str
    unmet: Unmet
    losses: int
    """Over how many losses."""


def sensitivity(sites: Sequence[Site], staffing: Staffing, lost: Lost) -> tuple[Gain, ...]:
    """Everything that buys something, the best first."""
    tables = Tables(sites, staffing)
    ranking = Contingency(tables, lost)
    bad = [ranking.explained(loss) for loss in ranking.single() if loss.unmet != NOTHING]
    found = [*_agents(tables, staffing, lost, bad), *_sites(tables, staffing, lost, bad), *_generators(sites, staffing)]
    return tuple(sorted((g for g in found if g.unmet < NOTHING), key=lambda g: (g.unmet, g.kind, g.what)))


def _agents(tables: Tables, staffing: Staffing, lost: Lost, bad: Sequence[Loss]) -> Iterable[Gain]:
    home = _middle(tables)
    spare = ReassignmentRule(
        activity=NEW,
        pole=NEW,
        criticality=4,
        rto_h=240,
        site_bound=False,
        needs_desk=True,
        tele_pct=0,
        release_pct=100,
        home_kinds=(),
        host_kinds=(),
    )
    metiers = sorted({gap.metier for loss in bad for gap in loss.gaps if gap.missing == "people"})
    for metier in metiers:
        cell = StaffCell(site=home, activity=NEW, metier=metier, staff=1, minimum=0)
        more = Staffing(cells=(*staffing.cells, cell), rules=(*staffing.rules, spare), substitutions=staffing.substitutions)
        touched = [loss for loss in bad if any(gap.metier == metier for gap in loss.gaps)]
        yield _gain("agent", metier, Contingency(Tables(tables.sites, more), lost), touched)


def _sites(tables: Tables, staffing: Staffing, lost: Lost, bad: Sequence[Loss]) -> Iterable[Gain]:
    middle = tables.sites[tables.site_index[_middle(tables)]]
    short = [loss for loss in bad if any(gap.missing == "seats" for gap in loss.gaps)]
    kinds = sorted(
        {kind for loss in short for gap in loss.gaps if gap.missing == "seats" for kind in tables.rules[gap.activity].host_kinds}
    )
    for kind in kinds:
        new = middle.model_copy(update={"id": NEW, "kind": kind, "desks": FALLBACK_DESKS, "staff": 0})
        yield _gain("site", kind, Contingency(Tables((*tables.sites, new), staffing), lost), short)


def _generators(sites: Sequence[Site], staffing: Staffing) -> Iterable[Gain]:
    """Each commune without power; then again with a generator at each of its sites that closed."""
    tables = Tables(sites, staffing)
    for commune in sorted({s.commune for s in sites}):
        there = [s for s in tables.sites if s.commune == commune]
        cut = {s.id: WITH_GENERATOR if s.generator else WITHOUT_GENERATOR for s in there}
        before = _cut(tables, cut)
        if before == NOTHING:
            continue
        for site in there:
            if not site.generator:
                after = _cut(tables, cut | {site.id: WITH_GENERATOR})
                yield Gain("generator", site.id, _difference(after, before), 1)


def _cut(tables: Tables, cut: dict[str, SiteState]) -> Unmet:
    return Contingency(tables, Lost.BUILDING, Situation(cut)).explained(Loss((), NOTHING)).unmet


def _gain(kind: str, what: str, ranking: Contingency, losses: Sequence[Loss]) -> Gain:
    change = NOTHING
    for loss in losses:
        again = ranking.explained(loss).unmet
        change = tuple(c + d for c, d in zip(change, _difference(again, loss.unmet), strict=True))  # type: ignore[assignment]
    return Gain(kind, what, change, len(losses))


def _difference(after: Unmet, before: Unmet) -> Unmet:
    return after[0] - before[0], after[1] - before[1], after[2] - before[2]


def _middle(tables: Tables) -> str:
    """The site that is nearest to all others."""
    return tables.sites[int(tables.distances.sum(axis=1).argmin())].id
