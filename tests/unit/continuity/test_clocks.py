"""RTO and DMIA clocks: start by the fact, stop, go on, alarm once (D42–D44)."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import reference as ref
from schemas.base import HOUR_MS, MINUTE_MS
from schemas.words import ActivityState, ClockBase, ClockState, EventType, SiteStatus
from services.continuity.activities.calendars import PARIS, OpenHours, get_local_day
from services.continuity.activities.clocks import (
    MOST_PAUSES,
    ClockLimit,
    Interruption,
    begin_interruption,
    compute_consumed_ms,
    compute_limits,
)
from services.continuity.activities.impact_analysis import ActivityNeed, compile_impact_analysis
from services.runtime.decider.maps import Map
from tests.shipped import territory
from tests.unit.continuity.world import REALM, World, clock
from tests.unit.continuity.world import at as instant

SST = [f"sst-{n:02}" for n in range(1, 14)]


def compiled(activity: ref.Activity, policy: ref.Escalation) -> ActivityNeed:
    """Return the analysis with this activity in place of the one of its name."""
    sections = {}
    for section in territory().sections:
        if isinstance(section, ref.Activities):
            others = tuple(a for a in section.activities if a.id != activity.id)
            section = section.model_copy(update={"activities": (*others, activity)})  # noqa: PLW2901
        elif isinstance(section, ref.EscalationPolicy):
            section = section.model_copy(update={"policy": policy})  # noqa: PLW2901
        sections[section.section] = ref.ReferencePublished(reference="v", data=section)
    return compile_impact_analysis("v", Map(sections)).needs[activity.id]


def _mdph(world: World, since: str = "09:46", **more: object) -> None:
    world.hit("mdph-01", since=since, **more)  # type: ignore[arg-type]


def test_a_clock_starts_at_the_event_not_at_its_report() -> None:
    world = World()
    world.hit("cul-04", since="09:45", known="10:20")
    local = world.local("ATT-05", "cul-04")
    assert local is not None
    assert clock(local.clocks[0].started_at) == "09:45"
    assert world.alarms("ATT-05", "cul-04") == [
        ("rto", 50, "10:20"),
        ("rto", 80, "10:20"),
        ("rto", 100, "10:20"),
    ], "at once, each once"
    world.until("10:45")
    assert world.alarms("ATT-05", "cul-04")[3:] == [("dmia", 80, "10:33"), ("dmia", 100, "10:45")]


def test_a_late_report_moves_a_running_clock_back() -> None:
    world = World()
    world.hit("cen-1", EventType.EVACUATION, since="09:52")
    assert clock(world.activity("COM-03").rto.started_at) == "09:52"
    world.hit("cen-2", since="09:41", known="10:00")
    world.hit("cen-1", since="09:42", known="10:01", loss=60)
    assert clock(world.activity("COM-03").rto.started_at) == "09:52", (
        "still above the MBCO at 09:42"
    )
    world.hit("cen-3", since="09:43", known="10:02")
    world.hit("cen-5", since="09:44", known="10:03")
    assert clock(world.activity("COM-03").rto.started_at) == "09:44", (
        "in the order of the facts, the fourth one took it under 37 %"
    )


def test_back_within_an_hour_is_the_same_clock_and_the_pause_does_not_count() -> None:
    world = World()
    world.hit("ase-06", since="10:00")
    world.until("10:31")
    world.lift("ase-06", "10:40")
    stopped = world.local("SOL-02", "ase-06")
    assert stopped is not None
    assert (stopped.clocks[0].state, stopped.clocks[0].consumed_pct) == (ClockState.STOPPED, 66.66)
    world.hit("ase-06", since="11:30")
    running = world.local("SOL-02", "ase-06")
    assert running is not None
    assert [clock(t) for t in (running.clocks[0].started_at, running.clocks[0].deadline)] == [
        "10:00",
        "11:50",
    ]
    world.until("11:50")
    assert world.alarms("SOL-02", "ase-06") == [
        ("rto", 50, "10:30"),
        ("rto", 80, "11:38"),
        ("rto", 100, "11:50"),
    ], "50 % not again"


def test_after_more_than_an_hour_a_new_clock_runs_with_alarms_of_its_own() -> None:
    world = World()
    world.hit("ase-06", since="10:00")
    world.lift("ase-06", "10:40")
    world.hit("ase-06", since="11:41")
    world.until("12:11")
    assert world.alarms("SOL-02", "ase-06") == [("rto", 50, "10:30"), ("rto", 50, "12:11")]


def test_a_stop_takes_the_time_of_the_reopening() -> None:
    world = World()
    world.hit("ase-06", since="10:00")
    world.lift("ase-06", "10:20", known="10:25")
    local = world.local("SOL-02", "ase-06")
    assert local is not None
    assert clock(local.clocks[0].stopped_at) == "10:20"


def test_a_late_reported_stop_counts_from_its_time_beside_other_causes() -> None:
    """The site stays degraded: its status says of nothing that ended."""
    world = World()
    world.hit("ase-06", EventType.PARTIAL_CLOSURE, since="09:50", loss=10)
    world.hit("ase-06", EventType.OUTAGE_WATER, since="10:00")
    world.lift("ase-06", "10:20", EventType.OUTAGE_WATER, known="11:00")
    local = world.local("SOL-02", "ase-06")
    assert local is not None
    assert [clock(c.stopped_at) for c in local.clocks] == ["10:20", "10:20"]


def test_a_cause_paused_between_two_windows_ends_now() -> None:
    """Its site reported an earlier end, but that belongs to another cause."""
    world = World()
    world.hit("ase-06", EventType.PARTIAL_CLOSURE, since="09:40", loss=10)
    world.hit("ase-06", EventType.OUTAGE_WATER, since="10:00")
    world.lift("ase-06", "10:05", EventType.PARTIAL_CLOSURE)
    world.causes["ase-06"] = [
        c.model_copy(update={"planned": True}) for c in world.causes["ase-06"]
    ]
    world.tell_site("ase-06", "10:30", "10:30", lifted="10:05")
    local = world.local("SOL-02", "ase-06")
    assert local is not None
    assert clock(local.clocks[0].stopped_at) == "10:30"


def test_an_activity_returns_with_the_last_of_its_needs() -> None:
    """The last site to tell of it was not the last to be open again."""
    needed = _sites_back_until_restored()
    world = World()
    for site in SST:
        world.hit(site, since="10:00")
    for site in SST[: needed - 1]:
        world.lift(site, "11:30")
    assert world.activity("SOL-06").state is ActivityState.INTERRUPTED
    world.lift(SST[needed - 1], "10:30", known="12:00")
    row = world.activity("SOL-06")
    assert (row.state, clock(row.rto.stopped_at), clock(row.dmia.stopped_at)) == (
        ActivityState.RESTORED,
        "11:30",
        "11:30",
    )


def _sites_back_until_restored() -> int:
    world = World()
    for site in SST:
        world.hit(site, since="10:00")
    for n, site in enumerate(SST, 1):
        world.lift(site, "11:30")
        if world.activity("SOL-06").state is not ActivityState.INTERRUPTED:
            return n
    raise AssertionError("never")


def test_short_limits_run_only_in_open_hours() -> None:
    world = World(start="07:00")
    for site in SST:
        world.hit(site, since="07:30")
    row = world.activity("SOL-06")
    assert (row.state, row.rto.ticking) == (ActivityState.INTERRUPTED, False)
    assert clock(row.rto.deadline) == "16:30", "eight hours from the opening at 08:30"
    world.until("08:30")
    assert world.activity("SOL-06").rto.ticking, "the row changes at the opening"
    world.until("12:30")
    assert world.alarms("SOL-06") == [("rto", 50, "12:30")]


def test_both_limits_of_an_activity_count_the_same_hours() -> None:
    """An RTO of 8 open hours from Friday on ended after the DMIA of 24 h.

    The DMIA counted the night and the weekend.
    """
    world = World()
    for site in SST:
        world.hit(site, since="10:00")
    row = world.activity("SOL-06")
    assert (row.rto.limit_h, row.dmia.limit_h) == (8, 24)
    assert row.dmia.deadline == world.instant("2027-02-15 16:00"), (
        "24 h open from 08:30 to 17:30, Monday to Friday"
    )
    assert row.rto.deadline is not None
    assert row.rto.deadline < row.dmia.deadline


def test_an_rto_of_24_hours_counts_all_hours() -> None:
    world = World()
    world.hit("mdph-01", since="10:00")
    row = world.activity("SOL-08")
    assert (row.rto.deadline, row.dmia.deadline) == (
        world.instant("2027-02-14 10:00"),
        world.instant("2027-02-16 10:00"),
    )


def test_a_continuous_activity_counts_all_hours_of_any_calendar() -> None:
    bia = World().state.bia
    assert bia is not None
    need = bia.needs["SOL-06"]
    assert need.hours is not None
    children = need.activity.model_copy(update={"continuous": True})
    policy = bia.policy
    assert compiled(children, policy).hours is None


@pytest.mark.parametrize("friday", [16, 17, 18, 40, 64])
def test_no_rto_ends_after_its_dmia(friday: int) -> None:
    """Every activity, with and without each shorter limit, from any hour of a weekend."""
    bia, start = World().state.bia, instant("2027-02-12 00:00") + friday * HOUR_MS
    assert bia is not None
    for need in bia.needs.values():
        flags = frozenset(f"flag:{s.flag}" for s in need.by_flag)
        causes = [s.cause for s in need.by_cause]
        for day in range(get_local_day(start), get_local_day(start) + 31):
            for limits in (compute_limits(need, day), compute_limits(need, day, flags, causes)):
                rto, dmia = (limit.advance(start, limit.ms) for limit in (limits.rto, limits.dmia))
                assert rto is not None, need.id
                assert dmia is not None, need.id
                assert rto <= dmia, need.id


def test_entering_a_shorter_limit_raises_its_past_alarms() -> None:
    """D43, scenario S05: benefits stop on the 18th; on the 20th their DMIA becomes 24 hours."""
    world = World(day="2027-05-18", start="06:40")
    world.flag("flag:total_isolation", True, "06:40")
    assert world.activity("SOL-05").dmia.limit_h == 72
    world.until("2027-05-20 00:00")
    row = world.activity("SOL-05")
    assert row.dmia.limit_h == row.rto.limit_h == 24
    assert world.alarms("SOL-05") == [
        ("rto", 50, "06:40"),
        ("rto", 80, "21:04"),
        ("rto", 100, "00:00"),
        ("dmia", 80, "00:00"),
        ("dmia", 100, "00:00"),
    ]


def test_the_cold_chain_shortens_a_local_limit_only_while_power_is_cut() -> None:
    world = World()
    world.hit("pmi-04", since="09:40")
    world.hit("pmi-04", EventType.CLOSURE, since="09:50")
    local = world.local("SOL-04", "pmi-04")
    assert local is not None
    assert (local.clocks[0].limit_h, local.clocks[1].limit_h) == (2, 4)
    world.lift("pmi-04", "10:30", EventType.OUTAGE_POWER)
    local = world.local("SOL-04", "pmi-04")
    assert local is not None
    assert (local.clocks[0].limit_h, local.clocks[1].limit_h, local.clocks[0].state) == (
        24,
        48,
        ClockState.RUNNING,
    )


def test_time_alone_rewrites_a_row_only_at_its_own_instants() -> None:
    world = World()
    _mdph(world)
    rows_before = world.rows_written("SOL-08")
    world.tell_site("mdph-01", "10:00", "09:46")
    world.until("12:00")
    assert world.rows_written("SOL-08") == rows_before


def test_a_clock_with_all_alarms_raised_has_no_deadline() -> None:
    world = World()
    world.hit("ase-06", since="10:00")
    world.until("12:00")
    assert world.next_deadline() is None


def test_silent_sites_keep_their_clocks_running() -> None:
    """D20, D40: an unknown site keeps its last capacity."""
    world = World()
    world.hit("ase-06", since="10:00")
    world.causes["ase-06"] = []
    world.tell_site("ase-06", "10:20", "10:20", SiteStatus.UNKNOWN)
    local = world.local("SOL-02", "ase-06")
    assert local is not None
    assert (local.capacity_pct, local.clocks[0].state) == (0, ClockState.RUNNING)


def test_many_local_alarms_of_one_instant_come_in_bounded_steps() -> None:
    """A failed kitchen of 54 colleges, reported after four open hours, has 270 alarms.

    One step raises at most 60.
    """
    world = World(day="2027-01-15", start="07:00")
    world.flag("kitchen:cuisine-centrale-sud", "down", "11:30", since="07:00")
    world.until("11:31")
    raised = [a for a in world.asked("alarm") if a.activity == "EDU-01" and a.site is not None]
    assert len(raised) == len({(a.site, a.base, a.pct) for a in raised}) == 54 * 5
    per_step = [
        sum(f.name == "AlarmRaised" for f in s.transaction.facts) for s in world.service.log
    ]
    assert max(per_step) <= 60 + 5


def test_a_local_clock_without_a_continuation_leaves_the_row() -> None:
    world = World()
    world.hit("ase-06", since="10:00")
    world.lift("ase-06", "10:30")
    world.hit("ase-02", since="11:30", loss=20)
    assert world.local("SOL-02", "ase-06") is not None
    world.hit("ase-02", since="11:31", loss=30)
    assert world.local("SOL-02", "ase-06") is None


def test_a_clock_stops_at_the_end_of_its_cause_not_at_the_start_of_a_lesser_one() -> None:
    """The status of the site begins with the remaining cause, hours before.

    The clock stood at 0 % and a new interruption began from nothing.
    """
    world = World(start="07:50")
    world.hit("ase-06", EventType.OUTAGE_WATER, since="08:00", loss=20)
    world.hit("ase-06", EventType.CLOSURE, since="10:00")
    world.causes["ase-06"] = [c for c in world.causes["ase-06"] if c.type is EventType.OUTAGE_WATER]
    world.tell_site("ase-06", "10:55", since="08:00")
    stopped = world.local("SOL-02", "ase-06")
    assert stopped is not None
    rto = stopped.clocks[0]
    assert (rto.state, clock(rto.started_at), clock(rto.stopped_at), rto.consumed_pct) == (
        ClockState.STOPPED,
        "10:00",
        "10:55",
        91.66,
    )
    world.hit("ase-06", EventType.CLOSURE, since="11:20")
    running = world.local("SOL-02", "ase-06")
    assert running is not None
    assert clock(running.clocks[0].deadline) == "11:25"


# ── what comes and goes ────────────────────────────────────────────────────────────────────────────────────────────

OFFICE = OpenHours(frozenset(range(1, 6)), 8 * 60, 18 * 60)


@pytest.mark.parametrize("calendar", [None, OFFICE])
@given(
    st.lists(
        st.tuples(st.integers(1, 600), st.integers(1, 60)), min_size=MOST_PAUSES + 2, max_size=90
    )
)
@settings(max_examples=60)
def test_joined_pauses_count_the_same_time(
    calendar: OpenHours | None, turns: list[tuple[int, int]]
) -> None:
    """Minutes out and minutes back, repeated: the consumed time is exact to the millisecond.

    Open hours and all hours are covered.
    """
    limit = ClockLimit(ClockBase.RTO, 8, 8 * HOUR_MS, calendar)
    at = started = instant("2027-03-26 16:00")  # a Friday; the clocks change on the Sunday
    ran, measured = 0, Interruption(at)
    for out_min, back_min in turns:
        until = at + out_min * MINUTE_MS
        ran += limit.compute_elapsed_ms(at, until)
        measured = measured.stop(until)
        assert compute_consumed_ms(limit, measured, until) == ran
        at = until + back_min * MINUTE_MS
        measured = begin_interruption(measured, at, limit)
    assert (len(measured.pauses), measured.started_at, measured.resumed_at) == (
        MOST_PAUSES,
        started,
        at,
    )
    assert all(a <= b <= c for (a, b), (c, _) in pairwise(measured.pauses))


def test_a_site_flapping_for_days_fits_the_transactions() -> None:
    """One more pause in every row exceeded a Transaction after some hundred changes.

    No fact could be written any more.
    """
    world = World()
    minute = instant("2027-02-11 10:00")
    for n in range(3 * MOST_PAUSES):
        out, back = (
            datetime.fromtimestamp((minute + (n * 20 + step) * MINUTE_MS) / 1000, PARIS).strftime(
                "%Y-%m-%d %H:%M"
            )
            for step in (0, 10)
        )
        world.hit("cen-1", EventType.CLOSURE, out)
        world.lift("cen-1", back)
    sizes = [len(stored.transaction.dump()) for stored in world.service.log.of(REALM)[-4:]]
    assert max(sizes) < 64 * 1024
    assert {len(row.rto.pauses) for row in world.state.activities.values()} <= {0, MOST_PAUSES}


def test_a_late_report_continues_a_long_stopped_local_clock() -> None:
    """A start within 60 min of the stop continues the clock at any time of arrival.

    Its alarms are not raised twice.
    """
    world = World()
    world.hit("ase-06", since="10:00")
    world.lift("ase-06", "10:40")
    world.hit("ase-06", EventType.CLOSURE, since="10:50", known="12:30")
    running = world.local("SOL-02", "ase-06")
    assert running is not None
    assert [
        clock(t)
        for t in (
            running.clocks[0].started_at,
            running.clocks[0].pauses[0][0],
            running.clocks[0].pauses[0][1],
        )
    ] == ["10:00", "10:40", "10:50"]
    assert [a for a in world.alarms("SOL-02", "ase-06") if a[0] == "rto"] == [
        ("rto", 50, "10:30"),
        ("rto", 80, "12:30"),
        ("rto", 100, "12:30"),
    ]
