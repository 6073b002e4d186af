"""Losses of systems, suppliers, kitchens, sites and people, and their strategies. Rule D130."""

from __future__ import annotations

from functools import cache

import pytest

from services.console.dependencies.losses import EvaluatedLoss, LossEvaluator
from services.console.dependencies.network import (
    DependencyNetwork,
    LostResource,
    PresentState,
    ResourceKind,
)
from services.oncall.schedule import OnCallPair
from tests.shipped import territory

DIRECTOR = ("directeur_pole", "solidarites")


@cache
def network() -> DependencyNetwork:
    return DependencyNetwork.of(territory().sections)


def lose(*resources: str, present: PresentState | None = None) -> EvaluatedLoss:
    lost_resources = [LostResource.parse(text) for text in resources]
    return LossEvaluator(network(), present or PresentState()).evaluate(
        *(one for one in lost_resources if one is not None)
    )


def find(loss: EvaluatedLoss, activity: str) -> tuple[bool, tuple[str, ...]]:
    one = next(one for one in loss.hit if one.activity == activity)
    return one.stops, one.strategies


def test_a_lost_system_stops_every_activity_that_requires_it() -> None:
    loss = lose("system:telephonie")
    using = {a.id for a in network().activities.values() if "telephonie" in a.systems}
    assert {one.activity for one in loss.stops} == using
    assert all(one.after_pct == 0 for one in loss.stops)
    assert (loss.first_rto_h, loss.first_dmia_h, loss.vulnerable_public) == (0.5, 1, 3)


def test_a_strategy_carries_only_the_kinds_of_loss_that_it_is_for() -> None:
    by_system = lose("system:telephonie")
    assert find(by_system, "SOL-01")[1] == (
        "SR-DEG:fiche papier + main courante",
        "SR-MUT:119 hors heures",
    )
    assert find(by_system, "EDU-02") == (True, ())
    by_site = lose("kind:site_central")
    assert "SR-TELE" in find(by_site, "RHF-01")[1]


def test_a_fallback_site_carries_nothing_once_its_kind_is_lost_too() -> None:
    alone = lose("kind:site_central")
    both = lose("kind:site_central", "kind:pole_social_sst")
    assert find(alone, "SOL-05")[1] != ()
    listed = network().activities["SOL-01"].strategies
    assert "SR-SITE:pole_social_sst" in listed
    assert "SR-SITE:pole_social_sst" not in find(both, "SOL-01")[1]


def test_a_kitchen_stops_the_meals_only_if_it_feeds_enough_colleges() -> None:
    large, small = lose("kitchen:cuisine-centrale-sud"), lose("kitchen:cuisine-relais-nord")
    assert find(large, "EDU-01")[0]
    assert find(small, "EDU-01") == (False, ())
    assert not small.counts


def test_failures_of_the_crisis_add_up_with_the_next_loss() -> None:
    kitchen = "kitchen:cuisine-centrale-sud"
    half = PresentState(shares={kitchen: 70.0})
    assert not lose("kitchen:cuisine-relais-nord").stops
    tired = PresentState(shares={kitchen: 45.0})
    assert [one.activity for one in lose("kitchen:cuisine-relais-nord", present=tired).stops] == [
        "EDU-01"
    ]
    assert not lose("kitchen:cuisine-relais-nord", present=half).stops
    stopped = PresentState(stopped_activities=frozenset({"SOL-01"}))
    loss = lose("system:si_social", present=stopped)
    assert "SOL-01" not in {one.activity for one in loss.hit}
    assert loss.already == ("SOL-01",)


def test_a_resource_that_is_down_already_is_no_next_loss() -> None:
    present = PresentState(shares={"system:ad": 0.0})
    evaluator = LossEvaluator(network(), present)
    ranked = evaluator.rank_single(network().list_resources(), 1000)
    assert "system:ad" not in {str(loss.resources[0]) for loss in ranked.worst}
    assert "system:telephonie" in {str(loss.resources[0]) for loss in ranked.worst}


def test_the_worst_loss_comes_first_by_criticality_without_strategy() -> None:
    ranked = LossEvaluator(network()).rank_single(network().list_resources(), 1000).worst

    def count_bare(loss: EvaluatedLoss, criticality: int) -> int:
        return sum(
            one.is_bare and network().activities[one.activity].criticality == criticality
            for one in loss.hit
        )

    vital = [count_bare(loss, 1) for loss in ranked]
    assert vital == sorted(vital, reverse=True)
    assert vital[0] > 0


def test_a_deputy_carries_the_loss_of_the_holder_and_no_pair_of_both() -> None:
    present = PresentState(on_call={DIRECTOR: OnCallPair("dir-a", "dir-b")})
    alone = lose("person:dir-a", present=present)
    assert [(r.role, r.left) for r in alone.roles] == [("directeur_pole", "dir-b")]
    assert (alone.counts, alone.undecided) == (False, ())
    both = lose("person:dir-a", "person:dir-b", present=present)
    assert both.roles[0].left is None
    assert both.undecided == ("PCA-solidarites",)
    pairs = LossEvaluator(network(), present).rank_pairs(
        LossEvaluator(network(), present).people, 10, together=True
    )
    assert [loss.together for loss in pairs.worst] == [("directeur_pole@solidarites",)]


def test_a_person_with_several_roles_is_ranked_by_the_roles_left_empty() -> None:
    present = PresentState(
        on_call={
            DIRECTOR: OnCallPair("dir-a", None),
            ("cellule_si", None): OnCallPair("dir-a", None),
            ("cellule_com", None): OnCallPair("dir-c", None),
        }
    )
    evaluator = LossEvaluator(network(), present)
    ranked = evaluator.rank_single(evaluator.people, 10).worst
    assert [loss.resources[0].id for loss in ranked] == ["dir-a", "dir-c"]
    assert sum(role.left is None for role in ranked[0].roles) == 2


def test_cards_of_a_pole_have_no_owner_without_a_role_of_the_whole_territory() -> None:
    """D130: only the cards of plans of no pôle were counted."""
    posts = {
        ("cellule_rh", None): OnCallPair("rh-a", None),
        ("directeur_pole", "rh_finances"): OnCallPair("rh-b", None),
    }
    cards = [
        card
        for plan in network().plans.values()
        for card in plan.cards
        if (card.role, card.deputy_role, card.deputy_pole)
        == ("cellule_rh", "directeur_pole", "rh_finances")
    ]
    lost = lose("person:rh-a", "person:rh-b", present=PresentState(on_call=posts))
    assert lost.orphan_cards == len(cards) > 0
    assert lose("person:rh-a", present=PresentState(on_call=posts)).orphan_cards == 0


@pytest.mark.parametrize(
    ("resource", "plan", "after_h"),
    [
        ("system:ad", "PCA-evaluation_orga", 0.0),
        ("system:si_finances", "PCA-rh_finances", 0.0),
        ("system:telephonie", "PCA-solidarites", 0.5),
        ("kitchen:cuisine-centrale-sud", "PCA-education", 0.0),
    ],
)
def test_a_plan_is_foreseen_at_the_hour_its_trigger_holds(
    resource: str, plan: str, after_h: float
) -> None:
    assert (plan, after_h) in {(p.plan, p.after_h) for p in lose(resource).plans}


def test_a_plan_that_is_proposed_already_is_not_foreseen_again() -> None:
    present = PresentState(plans=frozenset({"PCA-evaluation_orga"}))
    assert "PCA-evaluation_orga" not in {p.plan for p in lose("system:ad", present=present).plans}


def test_a_pair_that_shares_nothing_ranks_as_the_sum_of_both() -> None:
    evaluator = LossEvaluator(network())
    ids = ("system:si_mdph", "system:siter", "system:gmao", "kind:gymnase", "kind:site_central")
    resources = [one for text in ids if (one := LostResource.parse(text)) is not None]
    pairs = evaluator.rank_pairs(resources, 100).worst
    exact = [evaluator.evaluate(*loss.resources).rank for loss in pairs]
    assert exact == sorted(exact)
    assert len(pairs) >= 6


def test_a_pair_names_the_activities_that_neither_loss_stops_alone() -> None:
    evaluator = LossEvaluator(network())
    places = [r for r in network().list_resources() if r.kind is ResourceKind.SITE_KIND]
    pairs = evaluator.rank_pairs(places, 200, together=True).worst
    assert pairs
    for loss in pairs:
        singles = [evaluator.evaluate(one) for one in loss.resources]
        alone = {one.activity for single in singles for one in single.stops}
        assert alone.isdisjoint(loss.together)


def test_a_territory_without_sections_has_nothing_to_lose() -> None:
    empty = DependencyNetwork.of(())
    assert empty.list_resources() == ()
    assert LossEvaluator(empty).rank_pairs((), 10).total == 0
