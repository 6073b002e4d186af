"""The planner finds the missing rankings, and continuity records its answers."""

from __future__ import annotations

from dataclasses import replace

from schemas import reference as ref
from schemas.crisis.contingency import ContingencyChanged, ContingencyComputed, ContingencyRow
from schemas.words import EventType
from services.continuity.contingency.current_crisis import CrisisContingency
from services.continuity.contingency.ranking import ContingencyRanking, LossKind
from services.continuity.contingency.sensitivity import GainBaseline
from services.continuity.reassignment.model.situation import ModelSituation, SiteCapacityState
from services.continuity.reassignment.model.tables import ReferenceTables
from services.continuity.reassignment.planner import (
    SHOWN_GAPS,
    ContingencyPlanner,
    RankingJob,
    build_gains_answer,
    build_ranking_answer,
    iterate_losses,
    iterate_row_gains,
)
from services.continuity.reassignment.proposals import Proposals
from tests.shipped import territory
from tests.unit.continuity.reassignment.cases import cell, rule, site
from tests.unit.continuity.test_reassigning import answer as answer_proposal
from tests.unit.continuity.test_reassigning import approve, fire
from tests.unit.continuity.world import REALM, World


def _computed(reference: str) -> ContingencyComputed:
    row = ContingencyRow(
        id="n1-people", n=1, lost="people", reference=reference, losses=253, unmet=50, worst=()
    )
    return ContingencyComputed(row=row)


def _observed(world: World, realm: str = "92") -> ContingencyPlanner:
    """Return a planner that has read the log, as if the realm had this name."""
    proposals = Proposals()
    planner = ContingencyPlanner(proposals)
    for stored in world.service.log.of(REALM):
        transaction = replace(stored.transaction, realm=realm)
        proposals.observe(transaction)
        planner.observe(transaction)
    return planner


def _row(planner: ContingencyPlanner, job: RankingJob) -> ContingencyRow:
    row = planner.task(job).row
    assert row is not None
    return row


def test_a_ranking_of_the_version_in_force_is_recorded_with_its_time() -> None:
    world = World()
    (fact,) = world.service.feed(
        REALM, _computed(territory().version), at=world.instant("09:50")
    ).facts
    changed = fact.message()
    assert isinstance(changed, ContingencyChanged)
    assert (changed.row.unmet, changed.row.computed_at) == (50, world.instant("09:50"))


def test_a_ranking_of_another_version_changes_nothing() -> None:
    world = World()
    assert world.service.feed(REALM, _computed("another"), at=world.instant("09:50")).facts == ()


def test_a_planner_computes_missing_rankings_quick_ones_first() -> None:
    world, version = World(), territory().version
    assert _observed(world).next_job() == RankingJob("92", version, 1, LossKind.PEOPLE)
    world.service.feed(REALM, _computed(version), at=world.instant("09:50"))
    planner = _observed(world)
    again = planner.next_job()
    assert again == RankingJob("92", version, 1, LossKind.BUILDING)
    assert again is not None
    assert planner.is_wanted(again)
    assert not planner.is_wanted(RankingJob("92", version, 1, LossKind.PEOPLE)), "it is in the log"
    more = RankingJob("92", version, 1, LossKind.PEOPLE, gains=True)
    assert planner.next_job({again}) == more, (
        "what failed once is not tried for ever, nor what would start from it"
    )
    assert planner.next_job({again, more}) == RankingJob("92", version, 2, LossKind.PEOPLE)


def test_gains_follow_their_ranking_and_are_computed_once() -> None:
    world, version = World(), territory().version
    assert not _observed(world).is_wanted(
        RankingJob("92", version, 1, LossKind.PEOPLE, gains=True)
    ), "there is nothing to start from yet"
    for row in (
        _computed(version),
        ContingencyComputed(
            row=_computed(version).row.model_copy(update={"id": "n1-building", "lost": "building"})
        ),
    ):
        world.service.feed(REALM, row, at=world.instant("09:50"))
    planner = _observed(world)
    job = planner.next_job()
    assert job == RankingJob("92", version, 1, LossKind.PEOPLE, gains=True)
    assert job is not None
    world.service.feed(REALM, build_gains_answer(_row(planner, job), ()), at=world.instant("09:52"))
    after = _observed(world)
    assert not after.is_wanted(job)
    assert after.next_job() == RankingJob("92", version, 1, LossKind.BUILDING, gains=True)


def test_a_new_version_asks_for_everything_again() -> None:
    world, before = World(), territory()
    world.service.feed(REALM, _computed(before.version), at=world.instant("09:50"))
    world.service.feed(
        REALM,
        ref.ReferencePublished(reference="another", data=before.sections[-1], last=True),
        at=world.instant("10:00"),
    )
    planner = _observed(world)
    assert planner.next_job() == RankingJob("92", "another", 1, LossKind.PEOPLE)
    assert not planner.is_wanted(RankingJob("92", before.version, 1, LossKind.BUILDING))


def test_simulated_realms_and_realms_without_staffing_are_not_ranked() -> None:
    assert _observed(World(), realm="92~ex-7").next_job() is None
    assert _observed(World(published=False)).next_job() is None


def test_the_answer_holds_the_gravest_losses_and_the_missing_people() -> None:
    rules = [rule(f"SOL-{n:02}", 1) for n in range(20)]
    cells = [cell("a", r.activity, "infirmier", 1, 1) for r in rules]
    staffing = ref.Staffing(cells=tuple(cells), rules=tuple(rules), substitutions=())
    ranking, job = (
        ContingencyRanking(ReferenceTables([site("a"), site("b", 500)], staffing), LossKind.PEOPLE),
        RankingJob("92", "v", 1, LossKind.PEOPLE),
    )
    row = build_ranking_answer(ranking, job, list(iterate_losses(ranking, job))).row
    assert (row.id, row.losses, row.unmet) == ("n1-people", 2, 1)
    (loss,) = row.worst
    assert (loss.sites, loss.u1) == (("a",), 160)
    assert (len(loss.gaps), loss.gaps_more) == (SHOWN_GAPS, 20 - SHOWN_GAPS)
    assert (loss.gaps[0].metier, loss.gaps[0].missing) == ("infirmier", "people")


def test_the_answer_gives_the_gain_of_one_more() -> None:
    staffing = ref.Staffing(
        cells=(cell("a", "SOL-04", "infirmier", 1, 1),),
        rules=(rule("SOL-04", 1),),
        substitutions=(),
    )
    sites = (site("a"), site("b", 500))
    start, job = (
        GainBaseline(sites, staffing, LossKind.PEOPLE),
        RankingJob("92", "v", 1, LossKind.PEOPLE),
    )
    ranking = ContingencyRanking(ReferenceTables(sites, staffing), LossKind.PEOPLE)
    ranked = build_ranking_answer(ranking, job, list(iterate_losses(ranking, job))).row
    assert ranked.gains is None
    row = build_gains_answer(ranked, iterate_row_gains(start, ranked)).row
    assert row.gains is not None
    assert row.worst == ranked.worst
    assert [(g.kind, g.what, g.agents, g.kept) for g in row.gains] == [
        ("agent", "infirmier", -1, 1)
    ]


# ── from the present of a crisis ───────────────────────────────────────────────────────────────────────────────────


def _hit() -> World:
    world = World()
    world.hit("cen-2", EventType.EVACUATION, since="09:40")
    world.until("09:43")
    answer_proposal(world, "09:44")
    return world


def _ranked(
    world: World, job: RankingJob, planner: ContingencyPlanner, at: str
) -> ContingencyChanged:
    """Return the answer to a job without evaluated losses; these tests need only its time."""
    task = planner.task(job)
    computed = build_ranking_answer(task.ranking(), job, [], task.present())
    (fact,) = world.service.feed(REALM, computed, at=world.instant(at)).facts
    message = fact.message()
    assert isinstance(message, ContingencyChanged)
    return message


def test_a_crisis_is_ranked_before_quiet_days() -> None:
    world = _hit()
    planner = _observed(world)
    job = planner.next_job()
    assert job is not None
    assert (job.id, bool(job.stamp)) == ("now-n1-people", True)
    task = planner.task(job)
    assert isinstance(task.ranking(), CrisisContingency)
    present = task.present()
    assert present is not None
    assert (present.number, present.sites_hit, present.held) == (1, 1, 0)


def test_pairs_from_a_crisis_name_their_sites() -> None:
    staffing = ref.Staffing(
        cells=(cell("a", "SOL-04", "infirmier", 1, 1),),
        rules=(rule("SOL-04", 1),),
        substitutions=(),
    )
    tables = ReferenceTables([site(id, 500 * n) for n, id in enumerate("abcde")], staffing)
    ranking, job = (
        CrisisContingency(
            tables, LossKind.PEOPLE, ModelSituation({"e": SiteCapacityState(100, 0, False)})
        ),
        RankingJob("92", "v", 2, LossKind.PEOPLE, "r:1"),
    )
    row = build_ranking_answer(ranking, job, list(iterate_losses(ranking, job))).row
    assert (row.paired, row.losses) == (("a", "b", "c"), 4 + 3 + 2)
    quiet = ContingencyRanking(tables, LossKind.PEOPLE)
    assert (
        build_ranking_answer(quiet, replace(job, stamp=""), list(quiet.pairs())).row.paired == ()
    ), "every pair"


def test_an_approval_asks_for_a_new_ranking() -> None:
    world = _hit()
    before = _observed(world)
    job = before.next_job()
    assert job is not None
    assert _ranked(world, job, before, "09:45").row.present is not None
    again = _observed(world)
    assert not again.is_wanted(job), "it is in the log"
    assert again.next_job() == replace(job, loss_kind=LossKind.BUILDING)
    approve(world, "09:50")
    fire(world)
    approved = _observed(world)
    then = approved.next_job()
    assert then is not None
    assert (then.id, then.stamp != job.stamp) == (job.id, True)
    assert before.is_wanted(replace(job, loss_kind=LossKind.BUILDING)), (
        "a ranking that was begun is finished"
    )
    present = approved.task(then).present()
    assert present is not None
    assert present.held > 0


def test_the_end_of_a_crisis_removes_its_rankings() -> None:
    world = _hit()
    planner = _observed(world)
    job = planner.next_job()
    assert job is not None
    _ranked(world, job, planner, "09:45")
    world.lift("cen-2", "10:30")
    world.until("11:30")
    after = _observed(world)
    over = after.next_job()
    assert over is not None
    assert (over.id, over.stamp.endswith(":over")) == ("now-n1-people", True)
    assert not after.is_wanted(job), "nobody waits for it any more"
    row = _ranked(world, over, after, "11:31").row
    assert row.present is not None
    assert (row.losses, row.present.sites_hit, row.present.held) == (0, 0, 0)
    assert list(iterate_losses(after.task(over).ranking(), over, row.present)) == []


def test_a_quiet_realm_has_no_ranking_of_the_present() -> None:
    job = _observed(World()).next_job()
    assert job is not None
    assert job.stamp == ""
