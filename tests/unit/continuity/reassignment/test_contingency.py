"""Which losses a territory would not survive (docs/reference/reassignment-model.md, §5), and what screening may leave out."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from schemas.reference import Staffing, Substitution
from services.continuity.contingency import Contingency, Lost, totals, worst
from services.continuity.reassignment import Tables
from services.continuity.sensitivity import sensitivity
from tests.model.reassignment import Case
from tests.unit.continuity.reassignment.cases import cell, rule, site, tables
from tests.unit.continuity.reassignment.test_independent import small_cases

WORST = [
    ("cen-1", (487, 276, 12)), ("cen-4", (130, 0, 0)), ("cen-2", (52, 0, 0)), ("cen-5", (48, 0, 0)), ("cul-01", (48, 0, 0)),
    ("cul-04", (48, 0, 0)), ("cen-3", (42, 0, 0)), ("cul-02", (40, 0, 0)), ("sit-01", (28, 0, 0)),
]  # fmt: skip


def test_no_building_alone_stops_vital_work() -> None:
    assert totals(Contingency(tables(), Lost.BUILDING).single()) == {"losses": 253, "unmet": 0}


def test_buildings_with_their_people_are_ranked() -> None:
    ranking = Contingency(tables(), Lost.PEOPLE)
    found = ranking.single()
    assert ranking.solves == 119, "only sites with a demand are solved"
    assert totals(found) == {"losses": 253, "unmet": 50}
    assert [(loss.sites[0], loss.unmet) for loss in worst(found, 9)] == WORST


def test_the_worst_loss_names_who_is_missing() -> None:
    ranking = Contingency(tables(), Lost.PEOPLE)
    found = ranking.explained(worst(ranking.single(), 2)[1])
    assert {(gap.metier, gap.missing) for gap in found.gaps} >= {("electricien_habilite", "people"), ("egoutier", "people")}
    assert sum(gap.count for gap in found.gaps) > 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(small_cases())
def test_what_is_screened_is_what_a_solve_finds(case: Case) -> None:
    for lost in Lost:
        ranking = Contingency(Tables(case.sites, case.staffing), lost)
        for loss in list(ranking.pairs()):
            assert loss.unmet == ranking.explained(loss).unmet, loss


def test_what_one_more_buys() -> None:
    sites = [site("a"), site("b", 500), site("c", 900)]
    rules = [rule("SOL-04", 1), rule("RHF-01", 3, release_pct=100)]
    cells = [cell("a", "SOL-04", "infirmier", 2, 2), cell("b", "RHF-01", "comptable", 4), cell("c", "RHF-01", "comptable", 4)]
    lines = [Substitution(metier="infirmier", by="puericultrice", tenths=1)]
    staffing = Staffing(cells=tuple(cells), rules=tuple(rules), substitutions=tuple(lines))
    found = sensitivity(sites, staffing, Lost.PEOPLE)
    assert [(g.kind, g.what, g.unmet, g.losses) for g in found] == [
        ("agent", "infirmier", (-8, 0, 0), 1), ("generator", "a", (-8, 0, 0), 1),
    ]  # fmt: skip
