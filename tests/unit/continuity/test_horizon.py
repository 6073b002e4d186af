"""No agent arrives after the end; every order has a start and an end (D80)."""

from __future__ import annotations

from collections import Counter

import pytest

from schemas import reassignment as m
from schemas.alerts import AttentionRequested
from schemas.words import EventType
from services.continuity.state import list_proposal_lines
from tests.unit.continuity.test_reassigning import answer, approve, fire, refused
from tests.unit.continuity.world import World, at

SETUP_MIN, HOME_MIN = 30, 60


def proposed(world: World, when: str) -> list[m.LineRow]:
    row = answer(world, when)
    return list_proposal_lines(world.state, row.id)


@pytest.mark.parametrize(("end", "longest_min"), [("10:19", 36), ("11:43", 120), (None, 240)])
def test_no_agent_is_sent_to_arrive_after_the_return_of_power(
    end: str | None, longest_min: int
) -> None:
    """Power back in 36 min gives no trip of 75 min and no telework either."""
    world = World()
    world.hit("cen-4", since="09:40", end=end)
    world.hit("par-01", since="09:40", end=end)
    world.until("09:43")
    lines = proposed(world, "09:44")
    ways = {line.minutes + SETUP_MIN for line in lines if line.place not in (line.site, "telework")}
    homes = [line for line in lines if line.place == "telework"]
    assert all(minutes <= longest_min for minutes in ways)
    assert (homes != []) is (longest_min >= HOME_MIN)


def test_an_unannounced_end_bars_no_line() -> None:
    """Two outages, of which one has no announced end: the site is not back before both are over."""
    world = World()
    world.hit("cen-4", since="09:40", end="10:00")
    world.hit("cen-4", EventType.CLOSURE, since="09:40", incident=None)
    world.until("09:43")
    assert proposed(world, "09:44") != []


def test_a_missing_proposal_gives_the_early_return_of_the_site() -> None:
    world = World()
    world.hit("cen-1", since="09:40", end="10:00")
    world.until("09:43")
    row = answer(world, "09:44")
    assert "back_soon" in {reason.code for gap in (*row.unmet, *row.idle) for reason in gap.why}


def test_an_announced_end_asks_for_another_proposal() -> None:
    world = World()
    world.hit("cen-4", since="09:40")
    world.until("09:43")
    answer(world, "09:44")
    world.announce("10:30", "09:50")
    world.until("10:00")
    situation = world.facts(m.ProposalRequested)[-1].situation
    assert [c.ends_at for c in situation.sites if c.site == "cen-4"] == [at("2027-02-11 10:30")]


def test_a_line_with_late_arrival_cannot_be_approved() -> None:
    world = World()
    world.hit("cen-4", since="09:40", end="12:00")
    world.until("09:43")
    (line, *_) = [
        line for line in proposed(world, "09:44") if line.place not in (line.site, "telework")
    ]
    assert refused(approve(world, "11:45", line.id)) == (412, "back_soon")


def test_an_order_of_a_sunday_night_begins_when_its_work_opens() -> None:
    world = World(day="2027-11-14", start="03:00")
    world.hit("cen-1", EventType.CLOSURE, since="03:15")
    world.until("03:18")
    answer(world, "03:19")
    approve(world, "03:19")
    fire(world)
    lines_by_activity = {
        row.need_activity or row.activity: row for row in world.state.moved.values()
    }
    now = at("2027-11-14 03:19")
    assert lines_by_activity["RHF-04"].starts_at == at("2027-11-15 08:00"), "of its own calendar"
    assert lines_by_activity["SOL-05"].starts_at == at("2027-11-15 08:00"), (
        "may stop for two days: office hours"
    )
    assert {row.starts_at for row in world.state.moved.values()} == {now, at("2027-11-15 08:00")}
    (order,) = [
        f.row
        for f in world.facts(m.ReassignmentOrdered)
        if f.row.site == "cen-1" and f.row.id.endswith("/0")
    ]
    assert (order.starts_at, order.ends_at) == (now, None), (
        "some of it never closes; nobody knows the end"
    )


def test_an_order_gives_its_manager_start_and_end() -> None:
    world = World()
    world.hit("cen-4", since="09:40", end="18:00")
    world.until("09:43")
    answer(world, "09:44")
    approve(world, "09:45")
    fire(world)
    orders = [
        f
        for f in world.facts(AttentionRequested)
        if f.code == "reassignment_order" and f.site == "cen-4"
    ]
    assert [(f.begins_at, f.ends_at) for f in orders] == [
        (at("2027-02-11 09:45"), at("2027-02-11 18:00"))
    ]
    lines = [row for row in world.state.moved.values() if row.site == "cen-4"]
    away = Counter({row.place: 0 for row in lines if row.place not in ("cen-4", "telework")})
    for row in lines:
        if row.place in away:
            away[row.place] += row.count
    assert away
    (order,) = orders
    assert order.hosts is not None
    assert order.host_count == len(away)
    assert [away[id] for id in order.hosts.split(",")] == sorted(away.values(), reverse=True)[:3]
    assert (order.stay_home or 0) + away.total() == order.agents


def test_work_opening_after_the_end_sends_no_agent() -> None:
    world = World(day="2027-02-12", start="18:20")
    world.hit("cen-1", since="18:20", end="22:00")
    world.until("18:23")
    opens = world.facts(m.ProposalRequested)[-1].situation.opens
    assert opens["RHF-04"] == at("2027-02-15 08:00")
    served = {line.need_activity or line.activity for line in proposed(world, "18:24")}
    assert served
    assert served.isdisjoint(opens)
