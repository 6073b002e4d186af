"""Strategies, declared states, arbitration and the age of data (D41, D44, D46, D51)."""

from __future__ import annotations

import pytest

from schemas import commands as cmd
from schemas import reference as ref
from schemas.continuity import AlarmArbitrated, AlarmRaised, StrategyChanged
from schemas.runtime import CommandApplied, CommandRefused
from schemas.words import ActivityState, ClockBase, ClockState, EventType, SiteStatus
from tests.shipped import territory
from tests.unit.continuity.test_area_orders import order
from tests.unit.continuity.world import REALM, World, clock

WHO = {"author": "p-1", "role": "director"}


def _down(world: World) -> World:
    world.hit("cen-1", EventType.EVACUATION, since="09:52")
    world.hit("cen-2", since="09:52")
    return world


def _refused(answer: CommandApplied | CommandRefused) -> tuple[int, str]:
    assert isinstance(answer, CommandRefused), answer
    return answer.status, answer.code


def test_a_strategy_declares_capacity_and_its_end_starts_a_clock_then() -> None:
    world = _down(World())
    answer = world.say(
        cmd.ActivateStrategy(
            activity="COM-01", strategy="SR-TELE", expected_capacity_pct=60, **WHO
        ),
        "10:09",
    )
    assert isinstance(answer, CommandApplied)
    row = world.activity("COM-01")
    assert (row.state, row.capacity_pct, row.strategies, row.next_strategy) == (
        ActivityState.RESTORED,
        60,
        ("SR-TELE",),
        "SR-DEG:smartphones hors SI",
    )
    assert row.path[-1][0].kind == "strategy"
    world.say(cmd.EndStrategy(strategy="COM-01/1", **WHO), "12:00")
    row = world.activity("COM-01")
    assert (row.state, clock(row.rto.started_at), row.rto.alarms) == (
        ActivityState.INTERRUPTED,
        "12:00",
        (),
    )


def test_strategies_are_tried_in_the_order_listed() -> None:
    world = _down(World())
    second = {"activity": "COM-01", "strategy": "SR-DEG", "expected_capacity_pct": 50}
    assert _refused(world.say(cmd.ActivateStrategy(**second, **WHO), "10:00")) == (
        409,
        "strategy_order",
    )
    assert _refused(world.say(cmd.ActivateStrategy(force=True, **second, **WHO), "10:00")) == (
        409,
        "reason_required",
    )
    assert isinstance(
        world.say(cmd.ActivateStrategy(force=True, reason="text:1", **second, **WHO), "10:00"),
        CommandApplied,
    )


def test_an_abandoned_strategy_is_not_the_next_until_another_event() -> None:
    world = _down(World())

    def activate(strategy: str, when: str) -> CommandApplied | CommandRefused:
        return world.say(
            cmd.ActivateStrategy(
                activity="COM-01", strategy=strategy, expected_capacity_pct=60, **WHO
            ),
            when,
        )

    activate("SR-TELE", "10:00")
    world.say(cmd.EndStrategy(strategy="COM-01/1", **WHO), "12:00")
    assert world.activity("COM-01").next_strategy == "SR-DEG:smartphones hors SI"
    activate("SR-DEG", "12:01")
    world.say(cmd.EndStrategy(strategy="COM-01/2", **WHO), "12:30")
    assert world.activity("COM-01").next_strategy == "SR-TELE", "all were tried: the first again"
    world.lift("cen-1", "13:00")
    world.lift("cen-2", "13:00")
    for site in ("cen-1", "cen-2"):
        world.hit(site, EventType.EVACUATION, since="2027-03-11 09:00")
    assert world.activity("COM-01").next_strategy == "SR-TELE"
    assert _refused(activate("SR-DEG", "2027-03-11 09:10")) == (409, "strategy_order"), (
        "another crisis begins at the top of the list"
    )


def _fallback_at(world: World, site: str) -> None:
    command = cmd.ActivateStrategy(
        activity="EOM-04", strategy="SR-SITE", expected_capacity_pct=90, site=site, desks=4, **WHO
    )
    assert isinstance(world.say(command, "10:00"), CommandApplied)
    assert world.activity("EOM-04").state is ActivityState.RESTORED


def test_a_lost_fallback_site_ends_its_strategy_and_starts_the_clock() -> None:
    """D51: an out site is no fallback and cannot deliver the expected capacity."""
    world = _down(World())
    _fallback_at(world, "sit-02")
    world.tell_site("sit-02", "10:30", "10:30", SiteStatus.UNKNOWN)
    assert world.activity("EOM-04").strategies, "a site without news keeps what it has"
    world.hit("sit-02", EventType.FIRE, since="11:50", known="12:00")
    row, strategy = world.activity("EOM-04"), world.facts(StrategyChanged)[-1].row
    assert (row.state, row.strategies, clock(row.rto.started_at)) == (
        ActivityState.INTERRUPTED,
        (),
        "11:50",
    )
    assert (strategy.state, clock(strategy.ended_at), strategy.ended_by) == (
        "ended",
        "11:50",
        "system:fallback",
    )
    world.lift("sit-02", "13:00")
    assert world.activity("EOM-04").state is ActivityState.INTERRUPTED, (
        "a person puts it into effect again"
    )


def test_a_dropped_fallback_site_ends_its_strategy() -> None:
    world = _down(World())
    _fallback_at(world, "sit-02")
    sites = next(s for s in territory().sections if isinstance(s, ref.Sites))
    smaller = sites.model_copy(update={"sites": tuple(s for s in sites.sites if s.id != "sit-02")})
    world.service.feed(
        REALM,
        ref.ReferencePublished(reference="smaller", data=smaller, last=True),
        at=world.instant("11:30"),
    )
    row = world.activity("EOM-04")
    assert (row.state, row.strategies, clock(row.rto.started_at)) == (
        ActivityState.INTERRUPTED,
        (),
        "11:30",
    )


@pytest.mark.parametrize(
    ("site", "desks", "code"),
    [
        ("sit-01", 2, "fallback_out"),
        ("sit-02", 25, "fallback_full"),
        ("nowhere", 1, "site_not_found"),
    ],
)
def test_a_fallback_site_must_be_sound_and_have_the_places(
    site: str, desks: int, code: str
) -> None:
    world = _down(World())
    world.hit("sit-01", EventType.CLOSURE, since="09:55")
    command = cmd.ActivateStrategy(
        activity="EOM-01",
        strategy="SR-SITE",
        expected_capacity_pct=70,
        site=site,
        desks=desks,
        **WHO,
    )
    assert _refused(world.say(command, "10:00"))[1] == code


def test_desks_of_a_fallback_site_are_counted_over_all_strategies() -> None:
    world = _down(World())
    for activity, desks, ok in (("EOM-01", 20, True), ("EOM-04", 5, False), ("EOM-04", 4, True)):
        command = cmd.ActivateStrategy(
            activity=activity,
            strategy="SR-SITE",
            expected_capacity_pct=80,
            site="sit-02",
            desks=desks,
            **WHO,
        )
        assert isinstance(world.say(command, "10:00"), CommandApplied) is ok


def test_a_gymnasium_has_the_same_places_as_fallback_and_as_host() -> None:
    """Its own desks are two; the page of plans and the reassignment model count twenty."""
    world = _down(World())
    command = cmd.ActivateStrategy(
        activity="EOM-01",
        strategy="SR-SITE",
        expected_capacity_pct=80,
        site="gym-01",
        desks=21,
        **WHO,
    )
    assert _refused(world.say(command, "10:00")) == (409, "fallback_full")
    assert isinstance(world.say(command.model_copy(update={"desks": 20}), "10:00"), CommandApplied)


def test_in_a_flood_an_exposed_site_is_no_fallback() -> None:
    world = _down(World())
    world.announce(None, "09:55", incident="i-2", kind="flood")
    exposed = next(
        s.id
        for s in (world.state.bia.sites.values() if world.state.bia else ())
        if s.flood_exposure != "non" and s.desks
    )
    command = cmd.ActivateStrategy(
        activity="EOM-01",
        strategy="SR-SITE",
        expected_capacity_pct=70,
        site=exposed,
        desks=1,
        **WHO,
    )
    assert _refused(world.say(command, "10:00")) == (409, "fallback_exposed")


def test_a_site_in_the_area_of_an_order_is_no_fallback_until_it_says_no() -> None:
    """D102: an activity could move into streets that the préfet has evacuated."""
    world = _down(World())
    order(world, "09:55", "sit-02")
    command = cmd.ActivateStrategy(
        activity="EOM-01",
        strategy="SR-SITE",
        expected_capacity_pct=70,
        site="sit-02",
        desks=1,
        **WHO,
    )
    assert _refused(world.say(command, "10:00")) == (409, "fallback_ordered")
    order(world, "10:01", "sit-02", outside=("sit-02",))
    assert isinstance(world.say(command, "10:02"), CommandApplied)


def test_a_declared_state_wins_and_both_are_shown() -> None:
    world = _down(World())
    world.say(cmd.DeclareActivity(activity="COM-02", state=ActivityState.DEGRADED, **WHO), "10:00")
    row = world.activity("COM-02")
    assert (row.state, row.declared, row.computed, row.rto.state) == (
        ActivityState.DEGRADED,
        ActivityState.DEGRADED,
        ActivityState.INTERRUPTED,
        ClockState.STOPPED,
    )
    world.say(cmd.DeclareActivity(activity="COM-02", state=None, **WHO), "10:20")
    assert world.activity("COM-02").state is ActivityState.INTERRUPTED
    assert world.activity("COM-02").rto.pauses == (
        (world.instant("10:00"), world.instant("10:20")),
    )


def test_a_declared_interruption_starts_a_clock_at_its_named_time() -> None:
    world = World()
    declared = cmd.DeclareActivity(
        activity="SOL-01",
        state=ActivityState.INTERRUPTED,
        occurred_at=world.instant("09:30"),
        **WHO,
    )
    world.say(declared, "09:45")
    assert clock(world.activity("SOL-01").rto.started_at) == "09:30"


def test_a_declared_return_stops_the_clock_at_its_named_time() -> None:
    world = _down(World())
    back = cmd.DeclareActivity(
        activity="COM-02", state=ActivityState.RESTORED, occurred_at=world.instant("10:00"), **WHO
    )
    world.say(back, "10:30")
    row = world.activity("COM-02")
    assert (
        clock(row.rto.started_at),
        clock(row.rto.stopped_at),
        clock(row.dmia.stopped_at),
        clock(row.since),
    ) == ("09:52", "10:00", "10:00", "10:00")


def test_a_withdrawn_declared_interruption_ends_at_its_named_time() -> None:
    world = World()
    world.say(
        cmd.DeclareActivity(
            activity="SOL-01",
            state=ActivityState.INTERRUPTED,
            occurred_at=world.instant("09:30"),
            **WHO,
        ),
        "09:45",
    )
    world.say(
        cmd.DeclareActivity(
            activity="SOL-01", state=None, occurred_at=world.instant("10:00"), **WHO
        ),
        "10:30",
    )
    assert clock(world.activity("SOL-01").rto.stopped_at) == "10:00"


def test_an_observer_cannot_declare() -> None:
    command = cmd.DeclareActivity(
        activity="SOL-01", state=ActivityState.INTERRUPTED, author="p", role="observer"
    )
    assert _refused(World().say(command, "09:45")) == (403, "role_too_low")


def test_a_whole_rto_demands_an_arbitration_and_80_percent_of_a_dmia_the_next_strategy() -> None:
    world = _down(World())
    world.until("10:16")
    alarms = {
        (a.base, a.pct): a
        for f in world.facts(AlarmRaised)
        if (a := f.row).activity == "CPL-01" and a.site is None
    }
    assert alarms[ClockBase.RTO, 100].demands == "arbitration"
    assert (alarms[ClockBase.DMIA, 80].demands, alarms[ClockBase.DMIA, 80].strategy) == (
        "next_strategy",
        "SR-FOUR:renfort gardiennage",
    )
    command = cmd.ArbitrateAlarm(alarm=alarms[ClockBase.RTO, 100].id, **WHO)
    assert _refused(world.say(command, "10:20")) == (409, "reason_required")
    world.say(command.model_copy(update={"reason": "text:7"}), "10:21")
    answered = world.facts(AlarmArbitrated)[0].row
    assert (answered.arbitrated_by, answered.reason, clock(answered.arbitrated_at)) == (
        "p-1",
        "text:7",
        "10:21",
    )
    assert _refused(world.say(command.model_copy(update={"reason": "text:8"}), "10:22")) == (
        404,
        "alarm_not_found",
    )


def test_data_older_than_the_pdma_raise_an_alarm_and_ask_for_re_entry() -> None:
    world = World()
    answer = world.say(cmd.DeclareDataAge(activity="SOL-01", age_h=0.5, **WHO), "12:00")
    assert isinstance(answer, CommandApplied)
    assert not answer.result["lost"]
    world.say(cmd.DeclareDataAge(activity="SOL-01", age_h=48, **WHO), "12:05")
    assert [(f.row.base, f.row.demands) for f in world.facts(AlarmRaised)] == [
        (ClockBase.PDMA, "reentry")
    ]
    assert [a.activity for a in world.asked("reentry")] == ["SOL-01"]


def test_restored_by_strategy_counts_for_alerts_too() -> None:
    world = _down(World())
    key = 'activity_capacity_min{"activities":["EOM-01","EOM-02"]}'
    assert world.metrics(key)[-1] < 80
    world.say(
        cmd.ActivateStrategy(
            activity="EOM-01", strategy="SR-SITE", expected_capacity_pct=90, **WHO
        ),
        "10:00",
    )
    assert world.metrics(key)[-1] == 90


def test_a_backdated_withdrawal_keeps_the_time_of_a_strategy() -> None:
    world = _down(World())
    world.say(
        cmd.ActivateStrategy(
            activity="COM-01", strategy="SR-TELE", expected_capacity_pct=60, **WHO
        ),
        "10:09",
    )
    world.say(cmd.EndStrategy(strategy="COM-01/1", **WHO), "12:00")
    world.say(cmd.DeclareActivity(activity="COM-01", state=ActivityState.NOMINAL, **WHO), "12:05")
    withdrawn = cmd.DeclareActivity(
        activity="COM-01", state=None, occurred_at=world.instant("10:00"), **WHO
    )
    assert isinstance(world.say(withdrawn, "12:10"), CommandApplied)
    assert clock(world.activity("COM-01").rto.started_at) == "12:00"


def test_a_strategy_of_a_dropped_activity_can_be_ended() -> None:
    """It holds desks that would stay blocked."""
    world = _down(World())
    world.say(
        cmd.ActivateStrategy(
            activity="COM-01", strategy="SR-TELE", expected_capacity_pct=60, **WHO
        ),
        "10:09",
    )
    section = next(s for s in territory().sections if isinstance(s, ref.Activities))
    fewer = section.model_copy(
        update={"activities": tuple(a for a in section.activities if a.id != "COM-01")}
    )
    world.service.feed(
        REALM,
        ref.ReferencePublished(reference="fewer", data=fewer, last=True),
        at=world.instant("11:00"),
    )
    assert isinstance(
        world.say(cmd.EndStrategy(strategy="COM-01/1", **WHO), "12:00"), CommandApplied
    )
    assert world.state.strategies["COM-01/1"].state == "ended"
