"""Among equal answers the best one serves vulnerable people (D82)."""

from __future__ import annotations

import pytest

from schemas.words import EventType
from services.continuity.contingency.ranking import SiteLoss, select_worst
from services.continuity.reassignment.model.lexicographic import SolveChoice
from services.continuity.reassignment.model.plan import (
    SolvedProposal,
    SolveOptions,
    solve_situation_program,
)
from services.continuity.reassignment.model.situation import ModelSituation, SiteCapacityState
from services.continuity.reassignment.model.tables import ReferenceTables
from services.continuity.reassignment.proposals import _select_new_lines
from tests.unit.continuity.reassignment.cases import (
    EXPECTED,
    cell,
    rule,
    site,
    situation,
    small,
    tables,
)
from tests.unit.continuity.test_reassigning import answer
from tests.unit.continuity.world import World

SHORT = ModelSituation({"a": SiteCapacityState(staff_pct=0), "b": SiteCapacityState(staff_pct=0)})
SOLIDARY = SolveOptions(SolveChoice(solidarity=True))


def twins(dependent: str) -> ReferenceTables:
    """Return two equal sites a kilometre from the only substitute.

    Vulnerable people depend on one of them.
    """
    sites = [site("a", -1000), site("b", 1000), site("m", 0)]
    sites = [s.model_copy(update={"vulnerable_public": 3 * (s.id == dependent)}) for s in sites]
    rules = [rule("SOL-01"), rule("SOL-09", 4, release_pct=100)]
    cells = [
        cell("a", "SOL-01", "agent", 1, 1),
        cell("b", "SOL-01", "agent", 1, 1),
        cell("m", "SOL-09", "agent", 1),
    ]
    return small(sites, rules, cells)


def served(proposal: SolvedProposal) -> list[str]:
    return [line.key.need_site for line in proposal.lines]


@pytest.mark.parametrize("dependent", ["a", "b"])
@pytest.mark.parametrize("prefer", [None, "fewest", "least_co2", "fastest"])
def test_the_only_helper_goes_to_the_site_of_vulnerable_people(
    dependent: str, prefer: str | None
) -> None:
    proposal = solve_situation_program(
        twins(dependent), SHORT, (), SolveOptions(SolveChoice(solidarity=True, prefer=prefer))
    )
    assert served(proposal) == [dependent]
    assert proposal.objective["S"] == 0


def test_solidarity_comes_after_more_urgent_needs() -> None:
    """A graver need is not left for it: criticality decides first."""
    made = twins("b")
    rules = [rule("SOL-01"), rule("SOL-02", 2), rule("SOL-09", 4, release_pct=100)]
    cells = [
        cell("a", "SOL-01", "agent", 1, 1),
        cell("b", "SOL-02", "agent", 1, 1),
        cell("m", "SOL-09", "agent", 1),
    ]
    assert served(
        solve_situation_program(small(list(made.sites), rules, cells), SHORT, (), SOLIDARY)
    ) == ["a"]


@pytest.mark.parametrize("name", ["S10-fire", "S01-90h", "STR-11"])
def test_solidarity_leaves_the_earlier_levels_unchanged(name: str) -> None:
    objective, expected = (
        solve_situation_program(tables(), situation(name), (), SOLIDARY).objective,
        EXPECTED[name]["optimum"],
    )
    assert {level: objective[level] for level in ("U1", "U2", "U3", "I", "Q", "D")} == {
        k: v for k, v in expected.items() if k != "C"
    }


def test_a_loss_for_vulnerable_people_comes_first_among_equals() -> None:
    losses = [SiteLoss((site,), (4, 0, 0)) for site in ("a", "b", "m")] + [
        SiteLoss(("m", "a"), (9, 0, 0))
    ]
    assert [loss.sites for loss in select_worst(losses, 9, twins("b"))] == [
        ("m", "a"),
        ("b",),
        ("a",),
        ("m",),
    ]


@pytest.mark.parametrize(("of_site", "of_activity"), [(3, 0), (0, 3), (1, 3), (3, 1)])
def test_the_higher_value_of_site_and_activity_counts(of_site: int, of_activity: int) -> None:
    """It ranks the losses of a site, and the lines of a proposal."""
    sites = [
        site("a").model_copy(update={"vulnerable_public": of_site}),
        site("b").model_copy(update={"vulnerable_public": 2}),
    ]
    rules = [rule("COM-01", vulnerable_public=of_activity)]
    cells = [cell("a", "COM-01", "agent", 1, 1), cell("b", "COM-01", "agent", 1, 1)]
    made = small(sites, rules, cells)
    assert made.vulnerable_public(0) == made.vulnerable_of_site("a") == 3


def test_the_lines_of_a_proposal_name_the_work_of_vulnerable_people_first() -> None:
    """The id of its activity would put it last."""
    sites = [site("a", -1000), site("b", 1000), site("m", 0)]
    rules = [
        rule("COM-01"),
        rule("SOL-01", vulnerable_public=2),
        rule("SOL-09", 4, release_pct=100),
    ]
    cells = [
        cell("a", "COM-01", "agent", 1, 1),
        cell("b", "SOL-01", "agent", 1, 1),
        cell("m", "SOL-09", "agent", 2),
    ]
    made = small(sites, rules, cells)
    proposal = solve_situation_program(made, SHORT, (), SOLIDARY)
    assert len(proposal.lines) == 2
    assert [line.key.need_activity for line in _select_new_lines(proposal, made)] == [
        "SOL-01",
        "COM-01",
    ]


def test_the_planner_of_a_realm_weighs_vulnerable_people() -> None:
    world = World()
    world.hit("par-01", EventType.STAFF_SHORTAGE, since="09:40")
    world.until("09:43")
    assert "S" in answer(world, "09:44").objective
