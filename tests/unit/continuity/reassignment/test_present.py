"""N-1 and N-2 from a crisis: spared solves equal full solves, approved lines keep their desks."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from schemas.reference import Staffing
from services.continuity.contingency.current_crisis import PAIRED_SITES, CrisisContingency
from services.continuity.contingency.ranking import (
    NOTHING_UNMET,
    ContingencyRanking,
    LossKind,
    count_losses,
    select_worst,
)
from services.continuity.reassignment.model.moves import PreviousLine
from services.continuity.reassignment.model.situation import (
    ModelSituation,
    Quantities,
    SiteCapacityState,
)
from services.continuity.reassignment.model.tables import ReferenceTables
from tests.model.reassignment import Case
from tests.unit.continuity.reassignment.cases import cell, people_losses, rule, site, small, tables
from tests.unit.continuity.reassignment.test_independent import small_cases

CLOSED = SiteCapacityState(100, 0, False)


@settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(small_cases())
def test_spared_solves_leave_no_more_work_undone(case: Case) -> None:
    now = ModelSituation(
        {s: SiteCapacityState(*state) for s, state in case.touched.items()},
        case.elapsed_h,
        case.transit,
        case.tele,
    )
    for lost in LossKind:
        ranking = CrisisContingency(ReferenceTables(case.sites, case.staffing), lost, now)
        for loss in [*ranking.each(), *ranking.pairs()]:
            solved = ranking.explain_loss(loss).unmet
            assert (
                (solved == loss.unmet) if loss.is_solved else (solved <= loss.unmet == loss.before)
            ), loss


def test_a_quiet_present_is_a_quiet_day() -> None:
    losses = CrisisContingency(tables(), LossKind.PEOPLE, ModelSituation()).single()
    _, quiet, _ = people_losses()
    assert [(x.sites, x.unmet) for x in select_worst(losses, 50)] == [
        (x.sites, x.unmet) for x in select_worst(quiet, 50)
    ]
    assert count_losses(losses) == count_losses(quiet)


def _desks() -> tuple[ReferenceTables, PreviousLine]:
    """Close `a` while approved lines hold desks.

    Its two agents of SOL-04 sit at the only two free desks, those of `b`; only `b` could seat the
    desk worker of `c`.
    """
    rules = [rule("SOL-04", 1), rule("SOL-01", 1)]
    made = small(
        [site("a", desks=2), site("b", 500, desks=2), site("c", 900, desks=2)],
        rules,
        [cell("a", "SOL-04", "infirmier", 2, 2), cell("c", "SOL-01", "educateur", 2, 2)],
    )
    q = Quantities(made, ModelSituation({"a": CLOSED}))
    line = CrisisContingency(made, LossKind.BUILDING, q.situation)._lines[0]
    return made, line


def test_desks_that_hold_approved_agents_are_no_longer_free() -> None:
    made, line = _desks()
    assert (line.key.place, line.count) == ("b", 2)
    now = ModelSituation({"a": CLOSED})
    losses = select_worst(CrisisContingency(made, LossKind.BUILDING, now, (line,)).single(), 9)
    assert {loss.sites[0]: loss.unmet for loss in losses} == {"b": (16, 0, 0), "c": (16, 0, 0)}
    assert all(loss.before == NOTHING_UNMET for loss in losses)
    assert select_worst(ContingencyRanking(made, LossKind.BUILDING).single(), 9) == [], (
        "on a quiet day either site alone finds its desks"
    )


def test_the_loss_of_a_host_voids_its_approved_lines() -> None:
    made, line = _desks()
    sites = (*made.sites, site("d", 1200, desks=1))
    tables_ = ReferenceTables(
        sites, Staffing(cells=made.cells, rules=tuple(made.rules.values()), substitutions=())
    )
    ranking = CrisisContingency(tables_, LossKind.BUILDING, ModelSituation({"a": CLOSED}), (line,))
    losses_by_site = {loss.sites[0]: loss for loss in ranking.single()}
    assert losses_by_site["b"].unmet[0] > 0, "one desk is left for two"
    (gap,) = ranking.explain_loss(losses_by_site["b"]).gaps
    assert (gap.activity, gap.count, gap.missing) == ("SOL-04", 1, "seats")


def test_already_missing_work_is_not_counted_again() -> None:
    rules = [rule("SOL-04", 1)]
    made = small(
        [site("a"), site("b", 500)],
        rules,
        [cell("a", "SOL-04", "infirmier", 1, 1), cell("b", "SOL-04", "infirmier", 2, 2)],
    )
    ranking = CrisisContingency(
        made, LossKind.PEOPLE, ModelSituation({"a": SiteCapacityState(0, 0, False)})
    )
    assert ranking.unmet == (8, 0, 0)
    (site_loss,) = select_worst(ranking.single(), 9)
    assert (site_loss.sites, site_loss.unmet, site_loss.before) == (("b",), (24, 0, 0), (8, 0, 0))
    assert [(g.site, g.count) for g in ranking.explain_loss(site_loss).gaps] == [("b", 2)]
    assert not next(loss for loss in ranking.single() if loss.sites == ("a",)).counts, (
        "it is lost already"
    )


def test_pairs_begin_with_the_gravest_losses() -> None:
    rules = [rule("SOL-04", 1)]
    made = small(
        [site(s, 100 * n) for n, s in enumerate("abcdef")],
        rules,
        [cell(s, "SOL-04", "infirmier", 2, 2) for s in "abcd"],
    )
    ranking = CrisisContingency(made, LossKind.PEOPLE, ModelSituation({"f": CLOSED}))
    pairs = list(ranking.pairs())
    assert len(pairs) == len({p.sites for p in pairs}) == 5 + 4 + 3
    assert len(ranking.paired_sites) == PAIRED_SITES == 3
    assert all(set(p.sites) & set(ranking.paired_sites) for p in pairs)
    assert select_worst(pairs, 1)[0].unmet == (32, 0, 0)
