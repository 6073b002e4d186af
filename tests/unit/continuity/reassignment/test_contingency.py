"""Ranking finds the losses that a territory would not survive.

Screening leaves out only losses without effect (docs/reference/reassignment-model.md, §5).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from schemas.reference import Staffing, Substitution
from services.continuity.contingency.ranking import (
    ContingencyRanking,
    LossKind,
    count_losses,
    select_worst,
)
from services.continuity.contingency.sensitivity import GainBaseline, rank_gains
from services.continuity.reassignment.model.moves import LineKey, PreviousLine
from services.continuity.reassignment.model.situation import ModelSituation, SiteCapacityState
from services.continuity.reassignment.model.tables import ReferenceTables
from tests.model.reassignment import Case
from tests.unit.continuity.reassignment.cases import cell, people_losses, rule, site, tables
from tests.unit.continuity.reassignment.test_independent import small_cases

WORST = [
    ("cen-1", (487, 276, 12)),
    ("cen-4", (130, 0, 0)),
    ("cen-2", (52, 0, 0)),
    ("cen-5", (48, 0, 0)),
    ("cul-01", (48, 0, 0)),
    ("cul-04", (48, 0, 0)),
    ("cen-3", (42, 0, 0)),
    ("cul-02", (40, 0, 0)),
    ("sit-01", (28, 0, 0)),
]


def test_the_loss_of_one_building_never_stops_vital_work() -> None:
    assert count_losses(ContingencyRanking(tables(), LossKind.BUILDING).single()) == {
        "losses": 253,
        "unmet": 0,
    }


def test_buildings_with_their_people_are_ranked() -> None:
    _, losses, solves = people_losses()
    assert solves == 119, "only sites with a demand are solved"
    assert count_losses(losses) == {"losses": 253, "unmet": 50}
    assert [(loss.sites[0], loss.unmet) for loss in select_worst(losses, 9)] == WORST


def test_the_worst_loss_names_the_missing_people() -> None:
    ranking, losses, _ = people_losses()
    loss = ranking.explain_loss(select_worst(losses, 2)[1])
    assert {(gap.metier, gap.missing) for gap in loss.gaps} >= {
        ("electricien_habilite", "people"),
        ("egoutier", "people"),
    }
    assert sum(gap.count for gap in loss.gaps) > 0


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(small_cases())
def test_screening_matches_a_full_solve(case: Case) -> None:
    for lost in LossKind:
        ranking = ContingencyRanking(ReferenceTables(case.sites, case.staffing), lost)
        for loss in list(ranking.pairs()):
            assert loss.unmet == ranking.explain_loss(loss).unmet, loss


def test_one_more_agent_or_desk_shows_its_gain() -> None:
    sites = [site("a"), site("b", 500), site("c", 900)]
    rules = [rule("SOL-04", 1), rule("RHF-01", 3, release_pct=100)]
    cells = [
        cell("a", "SOL-04", "infirmier", 2, 2),
        cell("b", "RHF-01", "comptable", 4),
        cell("c", "RHF-01", "comptable", 4),
    ]
    lines = [Substitution(metier="infirmier", by="puericultrice", tenths=1)]
    staffing = Staffing(cells=tuple(cells), rules=tuple(rules), substitutions=tuple(lines))
    start = GainBaseline(sites, staffing, LossKind.PEOPLE)
    gains = rank_gains(
        start,
        select_worst(
            ContingencyRanking(ReferenceTables(sites, staffing), LossKind.PEOPLE).single(), 10
        ),
    )
    assert [(g.kind, g.what, g.unmet, g.agents, g.kept, g.losses) for g in gains] == [
        ("agent", "infirmier", (-8, 0, 0), -1, 0, 1),
        ("generator", "a", (-8, 0, 0), -1, 0, 1),
    ]


def test_only_a_second_agent_of_a_metier_keeps_the_activity() -> None:
    sites, rules = [site("a"), site("b", 500)], [rule("SOL-04", 1)]
    staffing = Staffing(
        cells=(cell("a", "SOL-04", "infirmier", 1, 1),), rules=tuple(rules), substitutions=()
    )
    bad = select_worst(
        ContingencyRanking(ReferenceTables(sites, staffing), LossKind.PEOPLE).single(), 10
    )
    (gain,) = [
        g
        for g in rank_gains(GainBaseline(sites, staffing, LossKind.PEOPLE), bad)
        if g.kind == "agent"
    ]
    assert (gain.agents, gain.kept) == (-1, 1)


def test_in_a_crisis_a_fallback_site_gains_the_desks_held_by_approved_lines() -> None:
    """`a` is closed and its agents hold the desks of `b`: those of `c` would find none."""
    sites = [site("a", desks=2), site("b", 500, desks=2), site("c", 900, desks=2)]
    rules = [rule("SOL-04", 1), rule("SOL-01", 1)]
    cells = [cell("a", "SOL-04", "infirmier", 2, 2), cell("c", "SOL-01", "educateur", 2, 2)]
    staffing = Staffing(cells=tuple(cells), rules=tuple(rules), substitutions=())
    approved_line = PreviousLine(
        LineKey("a", "SOL-04", "infirmier", "d", "a", "SOL-04", "infirmier", "b"),
        2,
        is_approved=True,
    )
    start = GainBaseline(
        sites,
        staffing,
        LossKind.BUILDING,
        ModelSituation({"a": SiteCapacityState(100, 0, False)}),
        (approved_line,),
    )
    bad = select_worst(start.ranking(ReferenceTables(sites, staffing)).single(), 10)
    (site_more,) = [g for g in rank_gains(start, bad) if g.kind == "site"]
    assert (
        site_more.what,
        site_more.unmet,
        site_more.agents,
        site_more.kept,
        site_more.losses,
    ) == ("site_central", (-32, 0, 0), -4, 2, 2)
    assert [
        g
        for g in rank_gains(GainBaseline(sites, staffing, LossKind.BUILDING), ())
        if g.kind == "site"
    ] == [], "on a quiet day no desk is missing"


PEAK = """
import itertools
from pathlib import Path
from services.continuity.contingency.ranking import LossKind
from services.continuity.contingency.sensitivity import GainBaseline, iterate_gains
from tests.shipped import territory
found = list(itertools.islice(iterate_gains(GainBaseline(territory().sites, territory().staffing, LossKind.PEOPLE), ()), 1))
assert [g.kind for g in found] == ["generator"], found
print(next(int(line.split()[1]) // 1024 for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")))
"""


def test_a_search_among_many_equal_solutions_stays_small() -> None:
    """HiGHS with presolve took 840 MB for one more generator in a commune without power."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK],
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 400
