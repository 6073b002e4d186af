"""Plans that count on the same fallback sites are shown before their activation (D51)."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from schemas import alerts as a
from schemas import continuity as c
from schemas import reassignment as g
from schemas.crisis.area_orders import AreaOrderRow
from schemas.words import ActivityState, ClockBase, ClockState, IncidentState, PlanState, SiteStatus
from services.console.continuity.fallbacks import PlanCollision, RealmRows, find_collisions
from services.console.read_model.reference_index import IndexedReference
from tests.integration.console import crisis
from tests.shipped import territory

SOLIDARITY, EDUCATION = "PCA-solidarites", "PCA-education"
CHILDREN, GYMNASIUMS = "SOL-02", "EDU-06"
"""Activities of these two pôles: at least 280 and 20 agents, both with `SR-SITE:…gymnase`.

The territory has 12 gymnasiums of 20 places.
"""


@cache
def reference() -> IndexedReference:
    return IndexedReference.of(
        territory().version,
        {str(n): s.model_dump(mode="json") for n, s in enumerate(territory().sections)},
    )


def _activity(id: str, state: ActivityState = ActivityState.INTERRUPTED) -> c.ActivityRow:
    static, clock = (
        reference().activities[id],
        c.ClockRow(base=ClockBase.RTO, state=ClockState.NEVER, limit_h=1),
    )
    return c.ActivityRow(
        id=id,
        pole=static.pole,
        criticality=static.criticality,
        state=state,
        capacity_pct=0,
        mbco_pct=static.mbco_pct,
        since=0,
        rto=clock,
        dmia=clock,
    )


def _plan(id: str, state: PlanState) -> c.PlanRow:
    return c.PlanRow(
        id=id, state=state, decides=reference().plans[id].decides, pole=reference().plans[id].pole
    )


def _situation(
    mine: PlanState = PlanState.PROPOSED, other: PlanState = PlanState.ACTIVE
) -> RealmRows:
    return RealmRows(
        activities={id: _activity(id) for id in (CHILDREN, GYMNASIUMS)},
        plans={SOLIDARITY: _plan(SOLIDARITY, mine), EDUCATION: _plan(EDUCATION, other)},
    )


def test_two_plans_needing_more_than_the_free_places_collide() -> None:
    assert find_collisions(reference(), _situation()) == [
        PlanCollision(
            SOLIDARITY,
            EDUCATION,
            "gymnase",
            (GYMNASIUMS, CHILDREN),
            needed=300,
            free=240,
            sound=12,
            held=(),
        )
    ]


def test_a_collision_is_shown_on_both_undecided_plans() -> None:
    collisions = find_collisions(reference(), _situation(other=PlanState.PROPOSED))
    assert [(x.plan, x.other) for x in collisions] == [
        (EDUCATION, SOLIDARITY),
        (SOLIDARITY, EDUCATION),
    ]


@pytest.mark.parametrize("other", [PlanState.VALID, PlanState.REFUSED, PlanState.LIFTED])
def test_an_inactive_plan_takes_no_place(other: PlanState) -> None:
    assert [
        x for x in find_collisions(reference(), _situation(other=other)) if x.other == EDUCATION
    ] == []


@pytest.mark.parametrize(
    "mine", [PlanState.VALID, PlanState.REFUSED, PlanState.LIFTED, PlanState.RETEX_CLOSED]
)
def test_an_unproposed_plan_shows_its_collision_before_activation(mine: PlanState) -> None:
    assert [(x.plan, x.other) for x in find_collisions(reference(), _situation(mine=mine))] == [
        (SOLIDARITY, EDUCATION)
    ]


@pytest.mark.parametrize("mine", [PlanState.DRAFT, PlanState.IN_REVIEW, PlanState.ARCHIVED])
def test_a_plan_that_cannot_be_activated_shows_no_collision(mine: PlanState) -> None:
    assert find_collisions(reference(), _situation(mine=mine)) == []


def test_a_decided_collision_is_no_longer_shown() -> None:
    assert find_collisions(reference(), _situation(mine=PlanState.ACTIVE)) == []


def test_a_site_in_the_area_of_an_order_is_no_free_place() -> None:
    """D102: nobody is sent into an area that people leave."""
    gyms = sorted(id for id, site in reference().sites.items() if site.kind == "gymnase")
    order = AreaOrderRow(
        id="o-1",
        incident=None,
        order=SiteStatus.EVACUATED,
        report="r-1",
        source="prefecture",
        ordered_at=0,
        sites=tuple(gyms[:3]),
        outside=(gyms[2],),
    )
    ordered = replace(_situation(), area_orders={"o-1": order})
    (collision,) = find_collisions(reference(), ordered)
    assert (collision.sound, collision.free) == (10, 200)
    over = replace(_situation(), area_orders={"o-1": order.model_copy(update={"ended_at": 1})})
    assert find_collisions(reference(), over)[0].sound == 12


def test_an_unaffected_activity_needs_no_place() -> None:
    now = _situation()
    calm = {**now.activities, GYMNASIUMS: _activity(GYMNASIUMS, ActivityState.NOMINAL)}
    assert find_collisions(reference(), replace(now, activities=calm)) == []


def test_closed_sites_and_taken_places_are_not_free() -> None:
    now = _situation()
    gyms = sorted(id for id, site in reference().sites.items() if site.kind == "gymnase")
    shut = a.SiteRow(id=gyms[0], status=SiteStatus.CLOSED, since=0, capacity_pct=0)
    line = g.ReassignmentRow(
        id="l-1",
        site="cen-1",
        activity="RHF-01",
        metier="gestionnaire_paie",
        supply="displaced",
        place=gyms[1],
        count=8,
        criticality=1,
        proposal="p",
        decision="d",
        state=g.LineState.ARRIVED,
        needed=8,
        approved_by="x",
        approved_role="director",
        approved_at=0,
        rules=(),
    )
    (collision,) = find_collisions(
        reference(), replace(now, sites={gyms[0]: shut}, reassignments={"l-1": line})
    )
    assert (collision.sound, collision.free) == (11, 11 * 20 - 8)
    (back,) = find_collisions(
        reference(),
        replace(
            now, reassignments={"l-1": line.model_copy(update={"state": g.LineState.RELEASED})}
        ),
    )
    assert back.free == 240


def test_a_site_held_by_the_other_plan_is_named() -> None:
    now = _situation()
    gym = min(id for id, site in reference().sites.items() if site.kind == "gymnase")
    fallback_strategy = c.StrategyRow(
        id=f"{GYMNASIUMS}/1",
        activity=GYMNASIUMS,
        strategy="SR-SITE:gymnase",
        state="active",
        expected_capacity_pct=50,
        site=gym,
        desks=20,
        started_at=0,
        started_by="x",
    )
    (collision,) = find_collisions(
        reference(), replace(now, strategies={fallback_strategy.id: fallback_strategy})
    )
    assert (collision.held, collision.activities, collision.needed, collision.free) == (
        (gym,),
        (CHILDREN,),
        280,
        220,
    )


def test_in_a_flood_exposed_sites_host_no_agent() -> None:
    gym = min(id for id, site in reference().sites.items() if site.kind == "gymnase")
    flood = crisis.incident(0, (), "opened").row.model_copy(update={"kind": "flood"})
    low = {
        **reference().sites,
        gym: reference().sites[gym].model_copy(update={"flood_exposure": "tier1"}),
    }
    wet = replace(reference(), names=replace(reference().names, sites=low))
    (collision,) = find_collisions(wet, replace(_situation(), incidents={flood.id: flood}))
    assert collision.sound == 11
    (over,) = find_collisions(
        wet,
        replace(
            _situation(),
            incidents={flood.id: flood.model_copy(update={"state": IncidentState.CLOSED})},
        ),
    )
    assert over.sound == 12
