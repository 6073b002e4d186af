"""Capacity, states and paths of activities (D40, D41, D45, D47)."""

from __future__ import annotations

import pytest

from schemas.words import ActivityState, ClockState, EventType, SiteStatus
from tests.shipped import territory
from tests.unit.continuity.world import World, clock


def test_capacity_is_the_mean_of_kinds_weighted_by_staff() -> None:
    world = World()
    world.hit("sst-01", loss=50)
    sites = world.state.bia.sites if world.state.bia else {}
    staff = {s.id: max(s.staff, 1) for s in sites.values() if s.kind == "pole_social_sst"}
    share = staff["sst-01"] / sum(staff.values())
    assert world.activity("SOL-06").capacity_pct == pytest.approx(100 - 50 * share, abs=0.05)
    assert world.activity("SOL-01").capacity_pct == pytest.approx(100 - 50 * share / 2, abs=0.05), (
        "central sites are whole"
    )


def test_a_degraded_activity_never_shows_its_whole_capacity() -> None:
    world = World()
    world.hit("sst-01", EventType.OUTAGE_WATER, loss=0.4)
    row = world.activity("SOL-06")
    assert (row.state, row.capacity_pct) == (ActivityState.DEGRADED, 99.9)


def test_losses_of_one_site_are_not_added() -> None:
    world = World()
    world.hit("mdph-01", EventType.STAFF_SHORTAGE, loss=30)
    world.hit("mdph-01", EventType.OUTAGE_WATER, loss=40)
    assert world.activity("SOL-08").capacity_pct == 60


def test_places_served_by_an_activity_do_not_count() -> None:
    world = World()
    world.hit("gym-07")
    world.hit("par-01", EventType.CLOSURE)
    assert world.activity("EDU-06").state is ActivityState.NOMINAL
    assert world.activity("ATT-03").state is ActivityState.NOMINAL


def test_closing_a_museum_is_no_interruption_but_a_power_cut_is() -> None:
    world = World()
    world.hit("cul-01", EventType.CLOSURE)
    assert (world.activity("ATT-05").state, world.activity("ATT-05").capacity_pct) == (
        ActivityState.THREATENED,
        100,
    )
    assert world.local("ATT-05", "cul-01") is None
    world.hit("cul-01", since="10:00")
    assert world.local("ATT-05", "cul-01") is not None


@pytest.mark.parametrize(
    ("value", "capacity", "state"),
    [("down", 0.0, "interrupted"), ("degraded", 100.0, "threatened"), ("up", 100.0, "nominal")],
)
def test_a_system_that_is_down_limits_the_activities_that_require_it(
    value: str, capacity: float, state: str
) -> None:
    world = World()
    world.flag("system:siter", value, "10:00")
    row = world.activity("ATT-02")
    assert (row.capacity_pct, row.state) == (capacity, state)
    if value == "down":
        assert [s.kind for s in row.path[0]] == ["report", "system", "activity", "pole"]


def test_total_isolation_spares_systems_hosted_elsewhere() -> None:
    world = World(day="2027-05-18", start="06:40")
    world.flag("flag:total_isolation", True, "06:40")
    assert world.activity("SOL-06").state is ActivityState.INTERRUPTED
    assert world.activity("ATT-02").rto.state is ClockState.NEVER
    assert world.activity("EDU-04").rto.state is ClockState.NEVER
    for system in ("si_social", "telephonie"):
        world.flag(f"system:{system}", "up", "12:00")
    row = world.activity("SOL-06")
    assert (row.state, row.rto.state) == (ActivityState.NOMINAL, ClockState.STOPPED)
    assert world.activity("SOL-01").state is ActivityState.INTERRUPTED, "the mail is still cut"


def test_a_failed_kitchen_stops_its_colleges_from_its_named_day_on() -> None:
    """S03: no delivery tomorrow, service at 07:00; 31 of 54 served end the interruption."""
    world = World(day="2027-01-14", start="15:20")
    world.flag("kitchen:cuisine-centrale-sud", "down", "15:20", effective="2027-01-15 00:00")
    assert world.activity("EDU-01").state is ActivityState.NOMINAL
    world.until("2027-01-15 07:10")
    row = world.activity("EDU-01")
    assert (row.state, row.rto.state) == (ActivityState.INTERRUPTED, ClockState.RUNNING)
    assert row.rto.deadline == world.instant("2027-01-15 10:00")
    world.flag("kitchen:cuisine-centrale-sud", 100 * 31 / 54, "2027-01-15 08:00")
    row = world.activity("EDU-01")
    assert (row.state, row.rto.state) == (ActivityState.RESTORED, ClockState.STOPPED)
    assert row.local_running == 0, "a share does not say whom"
    assert row.rto.alarms == ()
    world.flag("kitchen:cuisine-centrale-sud", 100.0, "2027-01-18 08:00")
    assert world.activity("EDU-01").state is ActivityState.NOMINAL


def test_a_failed_supplier_of_one_college_stops_only_its_meals() -> None:
    world, closed = World(), World()
    served = sorted(s.id for s in territory().sites if s.kitchen == "cuisine-centrale-sud")
    for site in served[:10]:
        world.hit(
            site, EventType.SUPPLIER_FAILURE, loss=0, meals_lost_pct=100, effect=SiteStatus.NORMAL
        )
        closed.hit(site, EventType.CLOSURE)
    row = world.activity("EDU-01")
    assert (row.state, row.local_running) == (ActivityState.DEGRADED, 10)
    assert row.capacity_pct == closed.activity("EDU-01").capacity_pct
    assert world.activity("EDU-02").capacity_pct == 100, "the college itself is well"

    world.flag("kitchen:cuisine-centrale-sud", "down", "10:00")
    lost_twice = world.activity("EDU-01").capacity_pct
    for site in served[:10]:
        world.lift(site, "10:10")
    assert world.activity("EDU-01").capacity_pct == lost_twice, "losses are not added (D14)"
    world.flag("kitchen:cuisine-centrale-sud", "up", "10:20")
    assert world.activity("EDU-01").capacity_pct == 100


def test_a_supplier_threatens_and_a_stated_share_limits() -> None:
    world = World()
    world.flag("supplier:concessionnaire_restauration", "down", "10:00")
    assert world.activity("EDU-01").state is ActivityState.THREATENED
    world.flag("supplier:concessionnaire_restauration", 60.0, "10:10")
    assert (world.activity("EDU-01").state, world.activity("EDU-01").capacity_pct) == (
        ActivityState.DEGRADED,
        60,
    )


def test_an_unknown_site_only_threatens() -> None:
    world = World()
    world.tell_site("mdph-01", "10:10", "10:10", SiteStatus.UNKNOWN)
    row = world.activity("SOL-08")
    assert (row.state, row.capacity_pct) == (ActivityState.THREATENED, 100)


def test_unconfirmed_and_planned_causes_reduce_no_capacity() -> None:
    world = World()
    world.hit("mdph-01", certainty="unconfirmed")
    world.hit("mdph-01", EventType.CLOSURE, planned=True)
    assert world.activity("SOL-08").capacity_pct == 100


def test_restored_lasts_until_the_causes_close() -> None:
    world = World()
    world.hit("mdph-01", since="09:46")
    world.hit("mdph-01", EventType.OUTAGE_HEATING, since="10:00", loss=20)
    world.lift("mdph-01", "10:30", EventType.OUTAGE_POWER)
    row = world.activity("SOL-08")
    assert (row.state, clock(row.since), row.capacity_pct) == (ActivityState.RESTORED, "10:30", 80)
    world.lift("mdph-01", "11:00")
    assert world.activity("SOL-08").state is ActivityState.NOMINAL


# ── forecast ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_breach_is_forecast_at_once_and_withdrawn_by_a_better_announcement() -> None:
    world = World()
    world.hit("cen-1", EventType.EVACUATION, since="09:52")
    assert world.activity("COM-03").forecast_breach_at is None, "nobody announced an end"
    world.announce("13:42", "10:00")
    assert clock(world.activity("COM-03").forecast_breach_at) == "11:52"
    forecast_activities = [a.activity for a in world.asked("forecast")]
    assert "COM-03" in forecast_activities
    assert len(forecast_activities) == len(set(forecast_activities))
    world.announce("11:30", "10:05")
    assert world.activity("COM-03").forecast_breach_at is None


def test_the_forecast_follows_an_incident_into_the_one_it_was_merged_into() -> None:
    """The end that the other incident announced afterwards reached no activity of the first."""
    world = World()
    world.hit("cen-1", EventType.EVACUATION, since="09:52")
    world.announce(None, "10:00")
    world.announce("13:42", "10:01", incident="i-2")
    assert world.activity("COM-03").forecast_breach_at is None
    world.announce(None, "10:05", merged_into="i-2")
    assert clock(world.activity("COM-03").forecast_breach_at) == "11:52"
    world.announce("11:30", "10:10", incident="i-2")
    assert world.activity("COM-03").forecast_breach_at is None


def test_the_forecast_depends_only_on_causes_that_block_the_return() -> None:
    world = World()
    world.hit("cen-1", EventType.EVACUATION, since="09:52", end="11:00", incident=None)
    world.hit("cen-3", since="09:53", end="2027-03-01 08:00", incident=None)
    row = world.activity("COM-03")
    assert (clock(row.expected_end), row.forecast_breach_at) == ("11:00", None), (
        "230 of 2300 agents cannot keep it under 37 %"
    )


def test_a_past_end_forecasts_nothing() -> None:
    world = World()
    world.hit("cen-1", EventType.EVACUATION, since="09:52", end="10:00", incident=None)
    world.hit("cen-2", since="10:30")
    assert world.activity("COM-03").expected_end is None


def test_an_announced_return_disappears_after_its_time_without_a_return() -> None:
    """Its next percentage is hours away: until then the page went on saying that it holds."""
    world = World()
    for site in ("cen-1", "cen-2", "cen-3", "cen-4", "cen-5"):
        world.hit(site, since="09:40")
    world.announce("10:30", "09:55")
    world.until("10:29")
    assert clock(world.activity("COM-05").expected_end) == "10:30"
    world.until("10:30")
    assert world.activity("COM-05").expected_end is None
    assert all(row.expected_end is None for row in world.state.activities.values())
