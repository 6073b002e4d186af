"""No agent arrives after the end; every order has a start and an end (D80)."""

from __future__ import annotations

from collections import Counter

import pytest

from schemas import reassignment as m
from schemas.alerts import AttentionRequested
from schemas.runtime import CommandApplied, CommandRefused
from schemas.words import EventType
from services.continuity.activities.impact_analysis import choose_work_calendar
from services.continuity.reassignment.site_conditions import is_too_late
from services.continuity.state import list_proposal_lines
from tests.shipped import territory
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


NOON = at("2027-02-11 12:00")
LEFT = m.LineRow(
    id="l-1",
    site="cen-1",
    activity="RHF-04",
    metier="agent",
    supply="displaced",
    place="cen-2",
    count=1,
    criticality=1,
    minutes=20,
)
HELP = LEFT.model_copy(update={"need_site": "par-01", "need_activity": "SOL-05"})


def late(line: m.LineRow, left_min: int, **opens_min: int) -> bool:
    """Tell whether a line is too late for a site that is back in so many minutes."""
    situation = m.Situation(
        sites=(),
        elapsed_h=0,
        at=NOON,
        opens={activity.replace("_", "-"): NOON + n * 60_000 for activity, n in opens_min.items()},
        setup_min=SETUP_MIN,
        home_min=HOME_MIN,
    )
    site = line.need_site or line.site
    return is_too_late(
        situation, m.SiteCondition(site=site, ends_at=NOON + left_min * 60_000), line
    )


@pytest.mark.parametrize(
    ("place", "needed_min"), [("cen-2", 20 + SETUP_MIN), ("telework", HOME_MIN), ("cen-1", 0)]
)
def test_the_way_and_the_setup_fit_before_the_return_of_the_site(
    place: str, needed_min: int
) -> None:
    """Work at the own site needs no way."""
    line = LEFT.model_copy(update={"place": place})
    assert not late(line, needed_min + 1)
    assert late(line, needed_min - 1)


def test_the_work_opens_before_the_return_of_the_site() -> None:
    assert late(LEFT, 300, RHF_04=300)
    assert not late(LEFT, 301, RHF_04=300)
    assert not late(HELP, 300, RHF_04=300), "the opening of the work to do counts"
    assert late(HELP, 300, SOL_05=300)


def test_without_an_announced_end_no_line_is_too_late() -> None:
    situation = m.Situation(sites=(), elapsed_h=0, at=NOON)
    assert not is_too_late(situation, m.SiteCondition(site="cen-1"), LEFT)


def test_a_site_is_back_at_the_last_announced_end_of_all_that_hits_it() -> None:
    def describe(second_end: str | None) -> m.SiteCondition:
        world = World()
        world.hit("cen-4", since="09:40", end="12:00")
        world.hit("cen-4", EventType.CLOSURE, since="09:40", end=second_end, incident=None)
        world.until("09:43")
        situation = world.facts(m.ProposalRequested)[-1].situation
        return next(c for c in situation.sites if c.site == "cen-4")

    assert describe("18:00").ends_at == at("2027-02-11 18:00")
    assert describe("10:00").ends_at == at("2027-02-11 12:00")
    assert describe(None).ends_at is None


def test_the_return_of_the_site_that_needs_help_counts() -> None:
    """The site that the agents leave may be lost for days."""
    world = World()
    world.hit("cen-4", EventType.CLOSURE, since="09:40", incident=None)
    world.hit("par-01", EventType.STAFF_SHORTAGE, since="09:40", end="18:00")
    world.until("09:43")
    line = next(
        one
        for one in proposed(world, "09:44")
        if one.need_site == "par-01" != one.site and one.place == "par-01"
    )
    outcome = approve(world, "17:50", line.id)
    assert isinstance(outcome, CommandRefused)
    assert (outcome.code, outcome.values["site"]) == ("back_soon", "par-01")


def test_an_approval_of_all_lines_leaves_out_those_that_are_too_late() -> None:
    world = World()
    world.hit("cen-4", since="09:40", end="12:00")
    world.hit("cen-1", EventType.CLOSURE, since="09:40", incident=None)
    world.until("09:43")
    lines = proposed(world, "09:44")
    assert {line.need_site or line.site for line in lines} > {"cen-4"}
    assert isinstance(approve(world, "11:59"), CommandApplied)
    moved = [line for line in lines if line.id in world.state.moved]
    assert moved
    assert all(
        line.place == line.site for line in moved if (line.need_site or line.site) == "cen-4"
    )


def test_an_order_for_several_sites_lasts_until_the_last_is_back() -> None:
    def order(other_end: str | None) -> m.OrderRow:
        world = World()
        world.hit("cen-4", since="09:40", end="18:00")
        world.hit("cen-1", EventType.CLOSURE, since="09:40", end=other_end, incident=None)
        world.until("09:43")
        answer(world, "09:44")
        approve(world, "09:45")
        fire(world)
        ends = {
            f.row.site: {world.state.moved[id].ends_at for id in f.row.lines}
            for f in world.facts(m.ReassignmentOrdered)
        }
        assert any(len(one) == 2 for one in ends.values()), ends
        return next(f.row for f in world.facts(m.ReassignmentOrdered) if len(ends[f.row.site]) == 2)

    assert order("20:00").ends_at == at("2027-02-11 20:00")
    assert order(None).ends_at is None


@pytest.mark.parametrize(("rto_h", "closed"), [(23, False), (24, True)])
def test_work_without_a_calendar_waits_for_office_hours_if_it_may_stop_for_a_day(
    rto_h: int, *, closed: bool
) -> None:
    policy = territory().policy
    activity = next(
        a
        for a in territory().activities
        if a.id not in policy.calendar_of_activity and not a.continuous
    ).model_copy(update={"rto_h": rto_h})
    calendar = choose_work_calendar(activity, policy)
    assert calendar == (policy.reassignment.work_calendar if closed else "")
