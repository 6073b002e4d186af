"""Pages compare a pôle's remaining capacity with its minimum (D40, D41)."""

from __future__ import annotations

from schemas import continuity as c
from schemas import reference as ref
from schemas.words import ActivityState, ClockBase, ClockState
from services.console.continuity.pole_capacity import PoleCapacity, compute_pole_capacities
from services.console.read_model.reference_index import IndexedReference
from tests.shipped import territory

CLOCK = c.ClockRow(base=ClockBase.RTO, state=ClockState.NEVER, limit_h=1)


def reference() -> IndexedReference:
    return IndexedReference.of(
        territory().version,
        {str(n): s.model_dump(mode="json") for n, s in enumerate(territory().sections)},
    )


def row(static: ref.Activity, capacity_pct: float) -> c.ActivityRow:
    return c.ActivityRow(
        id=static.id,
        pole=static.pole,
        criticality=static.criticality,
        state=ActivityState.DEGRADED,
        capacity_pct=capacity_pct,
        mbco_pct=static.mbco_pct,
        since=0,
        rto=CLOCK,
        dmia=CLOCK,
    )


def weighted(activities: list[tuple[ref.Activity, float]]) -> float:
    return round(
        sum(max(one.staff, 1) * pct for one, pct in activities)
        / sum(max(one.staff, 1) for one, _ in activities),
        2,
    )


def test_a_pole_has_the_capacity_and_the_minimum_of_its_activities_by_their_staff() -> None:
    reference_index = reference()
    first, *others = [
        one for one in reference_index.activities.values() if one.pole == "solidarites"
    ]
    assert len({one.staff for one in (first, *others)}) > 1, "a plain mean would be another figure"
    capacities = compute_pole_capacities(reference_index, {first.id: row(first, 30.0)})
    assert capacities["solidarites"].now_pct == weighted(
        [(first, 30.0), *((one, 100.0) for one in others)]
    )
    assert capacities["solidarites"].minimum_pct == weighted(
        [(one, one.mbco_pct) for one in (first, *others)]
    )
    assert all(
        capacity.now_pct == 100 and capacity.below == 0
        for pole, capacity in capacities.items()
        if pole != "solidarites"
    )
    assert set(capacities) == set(reference_index.poles)


def test_an_activity_at_its_minimum_is_not_below_it_and_sums_hide_no_other() -> None:
    reference_index = reference()
    mine = [one for one in reference_index.activities.values() if one.pole == "education"]
    at_minimum = compute_pole_capacities(
        reference_index, {one.id: row(one, one.mbco_pct) for one in mine}
    )["education"]
    assert at_minimum == PoleCapacity(at_minimum.minimum_pct, at_minimum.minimum_pct, 0)
    small = min((one for one in mine if one.mbco_pct), key=lambda one: one.staff)
    hidden = compute_pole_capacities(
        reference_index, {small.id: row(small, small.mbco_pct - 0.01)}
    )["education"]
    assert hidden.now_pct > hidden.minimum_pct
    assert hidden.below == 1
