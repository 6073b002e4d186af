"""Laws hold for any history.

The fold equals the run, the order of arrival does not matter, alarms exist once, snapshots are
whole. Every `World` already checks after each input that folding the record gives the state
(`MemoryService`).
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.alerts import AttentionRequested
from schemas.base import Instant
from schemas.runtime import StepTo
from schemas.words import ClockState, EventType
from services.continuity.decider import ContinuityDecider
from services.continuity.state import NO_LOCAL_CLOCKS
from tests.unit.continuity.world import REALM, World

SITES = [
    "cen-1",
    "cen-2",
    "cen-4",
    "sit-01",
    "sst-06",
    "pmi-04",
    "ase-06",
    "cul-04",
    "mdph-01",
    "clg-0921353W",
    "clg-0922578C",
]
KINDS = [EventType.OUTAGE_POWER, EventType.CLOSURE, EventType.OUTAGE_WATER]
hits = st.tuples(
    st.sampled_from(SITES),
    st.sampled_from(KINDS),
    st.integers(0, 59),
    st.sampled_from([20, 60, 100]),
)
histories = st.lists(st.tuples(hits, st.integers(0, 40), st.booleans()), max_size=14)
few = settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])


def _play(history: list[Any]) -> World:
    world, minute = World(start="09:00"), 60
    for (site, kind, since, loss), later, lift in history:
        minute = min(minute + later, 13 * 60)
        known_at = f"{9 + minute // 60:02}:{minute % 60:02}"
        if lift:
            world.lift(site, known_at, kind)
        else:
            world.hit(site, kind, since=f"09:{since:02}", known=known_at, loss=loss)
    return world


@few
@given(histories)
def test_a_snapshot_holds_the_whole_state(history: list[Any]) -> None:
    world, decider = _play(history), ContinuityDecider()
    assert decider.load(REALM, REALM, decider.dump(world.state)) == world.state


@few
@given(histories)
def test_every_alarm_of_a_clock_is_requested_once(history: list[Any]) -> None:
    world = _play(history)
    world.until("2027-02-12 06:00")
    for row in world.state.activities.values():
        for clocks in [
            (row.rto, row.dmia),
            *(one.clocks for one in world.state.local.get(row.id, NO_LOCAL_CLOCKS).values()),
        ]:
            for clock in clocks:
                if clock.state is ClockState.RUNNING:
                    assert len(clock.alarms) == len(set(clock.alarms))
    raised = [f.data["row"]["id"] for f in world.records() if f.name == "AlarmRaised"]
    assert (
        len(raised)
        == len(set(raised))
        == sum(a.code == "alarm" for a in world.facts(AttentionRequested))
    )


def _begun(world: World, activity: str) -> dict[str, Instant | None]:
    return {
        site: one.clocks[0].started_at
        for site, one in world.state.local.get(activity, NO_LOCAL_CLOCKS).items()
    }


@few
@given(
    st.lists(hits, min_size=1, max_size=8, unique_by=lambda h: (h[0], h[1])),
    st.randoms(use_true_random=False),
)
def test_the_final_state_does_not_depend_on_the_order_of_arrival(
    found: list[Any], random: Any
) -> None:
    def learnt(order: list[Any]) -> dict[str, tuple[Any, ...]]:
        world = World(start="10:00")
        for site, kind, since, loss in order:
            world.hit(site, kind, since=f"09:{since:02}", known="10:00", loss=loss)
        return {
            row.id: (
                row.computed,
                row.capacity_pct,
                row.rto.started_at,
                row.dmia.deadline,
                _begun(world, row.id),
            )
            for row in world.state.activities.values()
        }

    shuffled = list(found)
    random.shuffle(shuffled)
    assert learnt(found) == learnt(shuffled)


def test_late_ticks_leave_clocks_and_alarms_exact() -> None:
    """One tick three hours late gives the same starts, limits and alarms.

    They equal those of a tick at each deadline, to the millisecond.
    """

    def played(*, late: bool) -> tuple[dict[str, Any], list[Any]]:
        world = World()
        world.hit("cen-1")
        end = world.instant("13:00")
        if late:
            world.service.feed(REALM, StepTo(), at=end)
            while (due := world.service.next_due(REALM)) is not None and due <= end:
                world.service.feed(REALM, StepTo(), at=end)
        world.until("13:00")
        clocks = {
            row.id: (
                row.rto.started_at,
                row.rto.deadline,
                row.dmia.deadline,
                row.rto.alarms,
                row.dmia.alarms,
            )
            for row in world.state.activities.values()
        }
        keys = ("activity", "site", "base", "pct", "raised_at", "limit_at")
        return clocks, sorted(
            str([f.data["row"].get(key) for key in keys])
            for f in world.records()
            if f.name == "AlarmRaised"
        )

    exact, late = played(late=False), played(late=True)
    assert len(exact[1]) > 20
    assert late == exact
