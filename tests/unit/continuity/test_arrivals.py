"""Arrived agents count as capacity of their work (D81)."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

from schemas import reassignment as m
from schemas.commands import ActivateStrategy
from schemas.runtime import CommandApplied
from schemas.words import ActivityState, ClockState, EventType
from services.continuity.activities.assessment import add_arrived_agents
from services.continuity.activities.capacity import assess_capacity
from services.continuity.state import ContinuityState
from tests.unit.continuity.test_reassigning import WHO, answer, approve, fire
from tests.unit.continuity.world import World, clock

ACTIVITY = "LOG-04"
"""Under its MBCO when the headquarters are closed; its agents work at home."""
HOSTED = "RHF-05"
"""Its agents work at other sites."""


@cache
def _ordered() -> World:
    world = World()
    world.hit("cen-1", EventType.CLOSURE, since="09:40")
    world.until("09:43")
    answer(world, "09:44")
    approve(world, "09:45")
    fire(world)
    return world


@pytest.fixture
def world() -> World:
    """Close the headquarters at 09:40, with all orders sent at 09:45."""
    made = _ordered()
    copied = World()
    copied.service, copied.causes = made.service.copy(), dict(made.causes)
    return copied


def lines(world: World, activity: str = ACTIVITY) -> list[m.ReassignmentRow]:
    return sorted(
        (row for row in world.state.moved.values() if row.worked_activity == activity),
        key=lambda row: row.id,
    )


def step(world: World, command: type[m.Step], when: str, rows: list[m.ReassignmentRow]) -> None:
    ids = [row.id for row in rows]
    for n in range(0, len(ids), m.MAX_LINES_PER_STEP):
        some = ids[n : n + m.MAX_LINES_PER_STEP]
        outcome = world.say(
            command.model_validate({**WHO, "line": some[0], "lines": tuple(some[1:])}), when
        )
        assert isinstance(outcome, CommandApplied), outcome
    fire(world)


def test_arrivals_bring_an_activity_back_and_stop_its_clocks(world: World) -> None:
    before = world.activity(ACTIVITY)
    assert (before.state, before.rto.state, before.arrived) == (
        ActivityState.INTERRUPTED,
        ClockState.RUNNING,
        0,
    )
    step(world, m.ArriveReassignment, "10:30", lines(world))
    after, count = world.activity(ACTIVITY), sum(row.count for row in lines(world))
    staff = world.state.bia.needs[ACTIVITY].activity.staff  # type: ignore[union-attr]
    assert after.arrived == count
    assert after.capacity_pct == pytest.approx(
        min(100.0, before.capacity_pct + 100 * count / staff), abs=0.2
    )
    assert after.computed_pct == before.computed_pct, "of its sites alone"
    assert after.state is ActivityState.RESTORED
    assert [(c.state, clock(c.stopped_at)) for c in (after.rto, after.dmia)] == [
        (ClockState.STOPPED, "10:30")
    ] * 2


def test_orders_not_yet_carried_out_do_not_count(world: World) -> None:
    step(world, m.AcceptReassignment, "10:00", lines(world))
    assert world.activity(ACTIVITY).arrived == 0
    assert world.activity(ACTIVITY).state is ActivityState.INTERRUPTED


def test_the_return_of_arrived_agents_continues_the_same_clock(world: World) -> None:
    step(world, m.ArriveReassignment, "10:30", lines(world))
    step(world, m.ReleaseReassignment, "11:00", lines(world))
    row = world.activity(ACTIVITY)
    assert (row.state, row.arrived) == (ActivityState.INTERRUPTED, 0)
    assert row.rto.state is ClockState.RUNNING
    assert [(clock(a), clock(b)) for a, b in row.rto.pauses] == [("10:30", "11:00")], (
        "D42: a pause, not counted"
    )


def test_a_system_that_is_down_bounds_the_gain_of_arrivals(world: World) -> None:
    system = world.state.bia.needs[ACTIVITY].activity.systems[0]  # type: ignore[union-attr]
    step(world, m.ArriveReassignment, "10:30", lines(world))
    world.flag(f"system:{system}", "down", "10:40")
    assert (world.activity(ACTIVITY).capacity_pct, world.activity(ACTIVITY).state) == (
        0,
        ActivityState.INTERRUPTED,
    )


def test_a_declared_strategy_overrides_arrivals(world: World) -> None:
    (name, *_rest) = world.state.bia.needs[ACTIVITY].activity.strategies  # type: ignore[union-attr]
    step(world, m.ArriveReassignment, "10:30", lines(world))
    command_fields = {**WHO, "activity": ACTIVITY, "strategy": name, "expected_capacity_pct": 71}
    assert isinstance(
        world.say(ActivateStrategy.model_validate(command_fields), "10:40"), CommandApplied
    )
    assert world.activity(ACTIVITY).capacity_pct == 71


def test_a_lost_place_takes_its_arrivals_away(world: World) -> None:
    away = [row for row in lines(world, HOSTED) if row.place not in (row.site, "telework")]
    step(world, m.ArriveReassignment, "10:30", away)
    assert world.activity(HOSTED).arrived == sum(row.count for row in away)
    world.hit(away[0].place, EventType.CLOSURE, since="10:40")
    world.until("11:20")
    answer(world, "11:21")
    fire(world)
    assert world.activity(HOSTED).arrived == sum(
        row.count for row in away if row.place != away[0].place
    )


def test_agents_stay_counted_after_the_crisis_until_somebody_confirms_their_return(
    world: World,
) -> None:
    step(world, m.ArriveReassignment, "10:30", lines(world))
    world.lift("cen-1", "11:00")
    world.until("11:30")
    answer(world, "11:31")
    fire(world)
    assert world.asked("reassignment_over")
    count = sum(row.count for row in lines(world))
    assert world.activity(ACTIVITY).arrived == count > 0
    step(world, m.ReleaseReassignment, "12:00", lines(world))
    assert world.activity(ACTIVITY).arrived == 0


def test_arrivals_bring_no_meals_that_a_kitchen_does_not_cook() -> None:
    """More agents at a college serve no more meals than its kitchen brings."""
    world = World()
    world.flag("kitchen:cuisine-centrale-sud", "down", "10:00")
    assert world.state.bia is not None
    need = world.state.bia.needs["EDU-01"]
    assessment = assess_capacity(world.state, need, world.instant("10:01"))
    assert assessment.points < need.whole
    assert add_arrived_agents(need, assessment, need.activity.staff) == assessment.points


def test_a_restored_state_counts_the_same_arrivals(world: World) -> None:
    step(world, m.ArriveReassignment, "10:30", lines(world))
    state = world.state
    assert state.arrivals[ACTIVITY] == sum(row.count for row in lines(world))
    assert dict(ContinuityState.restore(state).arrivals) == dict(state.arrivals)


def test_agents_that_arrive_in_one_millisecond_get_facts_with_ids_of_their_own(
    world: World,
) -> None:
    """The deadline that settles an activity fired twice at one time, with the same ids."""
    first, *others = lines(world)
    step(world, m.ArriveReassignment, "10:30", [first])
    step(world, m.ArriveReassignment, "10:30", others)
    assert [id for id, n in Counter(r.id for r in world.records()).items() if n > 1] == []
