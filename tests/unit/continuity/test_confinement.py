"""Reassignment sends no agent from or to a site that shelters or counts its people (D78)."""

from __future__ import annotations

from collections import Counter

import pytest

from schemas import reassignment as m
from schemas.alerts import AttentionRequested
from schemas.words import EventType
from services.continuity.reassignment.orders import find_open_proposal
from services.continuity.state import list_proposal_lines
from tests.unit.continuity.test_reassigning import answer, approve, refused
from tests.unit.continuity.world import World


def requests(world: World) -> list[m.ProposalRequested]:
    return world.facts(m.ProposalRequested)


def condition(world: World, site: str) -> m.SiteCondition:
    return next(c for c in requests(world)[-1].situation.sites if c.site == site)


def test_sheltering_people_are_offered_no_journey() -> None:
    world = World()
    world.hit("cen-1", EventType.SHELTER_IN_PLACE, since="09:40")
    world.hit("cen-1", EventType.STAFF_SHORTAGE, since="09:40", loss=40)
    world.until("10:40")
    assert requests(world) == []


@pytest.mark.parametrize("loss", [100, 0])
def test_a_sheltering_site_is_neither_source_nor_host_of_another_crisis(loss: int) -> None:
    world = World()
    world.hit("cen-1", EventType.CLOSURE, since="09:40")
    world.hit("cen-2", EventType.SHELTER_IN_PLACE, since="09:40", loss=loss)
    world.until("09:43")
    site_condition = condition(world, "cen-2")
    assert (
        site_condition.confinement,
        site_condition.seat_pct,
        site_condition.staff_pct,
        site_condition.host_ok,
    ) == (
        "sheltering",
        100,
        100,
        False,
    )
    row = answer(world, "09:44")
    ends = {
        end
        for line in list_proposal_lines(world.state, row.id)
        for end in (line.site, line.place, line.need_site)
    }
    assert "cen-1" in ends
    assert "cen-2" not in ends


@pytest.mark.parametrize(("found", "asked"), [(None, False), (5, False), (6, True)])
def test_an_evacuated_site_is_a_source_after_a_complete_headcount(
    found: int | None, asked: bool
) -> None:
    world = World(found=None)
    world.hit("cen-1", EventType.FIRE, since="09:40")
    if found is not None:
        world.count("cen-1", found, 6, "09:50")
    world.until("10:39")
    assert (requests(world) != []) is asked


def test_an_uncounted_evacuated_site_counts_its_planned_staff_after_an_hour() -> None:
    world = World(found=None)
    world.hit("cen-1", EventType.FIRE, since="09:40")
    world.until("10:44")
    site_condition = condition(world, "cen-1")
    assert (site_condition.estimated, site_condition.confinement, site_condition.host_ok) == (
        True,
        None,
        False,
    )
    row = answer(world, "10:45")
    assert row.estimated == ("cen-1",)
    assert {line.site for line in list_proposal_lines(world.state, row.id)} == {"cen-1"}
    assert [
        f.estimated for f in world.facts(AttentionRequested) if f.code == "reassignment_proposed"
    ] == [True]


def test_a_late_count_with_missing_people_holds_an_estimated_site_back_again() -> None:
    world = World(found=None)
    world.hit("cen-1", EventType.FIRE, since="09:40")
    world.until("10:44")
    proposal = answer(world, "10:45").id
    world.count("cen-1", 5, 6, "10:50")
    row = find_open_proposal(world.state)
    assert row is not None
    assert (
        set(row.withdrawn)
        == {line.id for line in list_proposal_lines(world.state, proposal)}
        != set()
    )


def test_an_order_to_shelter_withdraws_the_lines_of_an_open_proposal_at_once() -> None:
    world = World()
    world.hit("cen-1", EventType.CLOSURE, since="09:40")
    world.hit("cen-2", EventType.CLOSURE, since="09:40")
    world.until("09:43")
    proposal = answer(world, "09:44").id
    lines = list_proposal_lines(world.state, proposal)
    world.causes["cen-2"] = []
    world.hit("cen-2", EventType.SHELTER_IN_PLACE, since="09:45")
    row = find_open_proposal(world.state)
    assert row is not None
    confined = {line.id for line in lines if "cen-2" in (line.site, line.place, line.need_site)}
    assert confined
    assert set(row.withdrawn) == confined
    remaining = [line.count for line in lines if line.id not in confined]
    assert row.count_undecided_agents() == sum(remaining) > 0
    assert [f.change for f in world.facts(m.ProposalChanged)] == ["computed", "withdrawn"]
    assert refused(approve(world, "09:45", min(confined))) == (409, "confined")
    approve(world, "09:45")
    approved = {row.id for row in world.state.moved.values()}
    assert approved
    assert not approved & confined


@pytest.mark.parametrize("sheltered", [False, True])
def test_works_that_end_ask_for_no_decision_about_withdrawn_lines(sheltered: bool) -> None:
    world = World()
    world.announce(None, "09:40", quiet="maintenance")
    world.hit("cen-1", EventType.CLOSURE, since="09:40")
    world.until("09:43")
    answer(world, "09:44")
    if sheltered:
        world.hit("cen-1", EventType.SHELTER_IN_PLACE, since="09:50")
    asked_before = len(world.asked("reassignment_proposed"))
    world.announce(None, "09:51")
    asked_again = len(world.asked("reassignment_proposed")) - asked_before
    assert asked_again == (0 if sheltered else 1)


def test_agents_already_away_stay_at_their_host() -> None:
    """No agent is sent back to a sheltering site."""
    world = World()
    world.hit("cen-1", EventType.CLOSURE, since="09:40")
    world.hit("cen-2", EventType.CLOSURE, since="09:40")
    world.until("09:43")
    answer(world, "09:44")
    approve(world, "09:44")
    before = {
        row.id: row.needed
        for row in world.state.moved.values()
        if row.site == "cen-2" and row.place != "cen-2"
    }
    assert before
    world.causes["cen-2"] = []
    world.hit("cen-2", EventType.SHELTER_IN_PLACE, since="09:50")
    world.until("10:30")
    answer(world, "10:31")
    after = {id: row.needed for id, row in world.state.moved.items() if id in before}
    assert after == before


def on_the_way() -> tuple[World, str, int]:
    """Return a world, a host, and the number of agents with an order to go there."""
    world = World(found=None)
    world.hit("cen-1", EventType.CLOSURE, since="09:40")
    world.until("09:43")
    answer(world, "09:44")
    approve(world, "09:44")
    world.until("09:45")
    agents = Counter[str]()
    for row in world.state.moved.values():
        if row.place not in ("telework", row.site):
            agents[row.place] += row.count
    (host, count), *_ = agents.most_common(1)
    return world, host, count


def notices(world: World, code: str) -> list[tuple[str | None, int | None, str | None]]:
    return [(one.site, one.agents, one.barred) for one in world.asked(code)]


@pytest.mark.parametrize(
    "order", [EventType.FIRE, EventType.EVACUATION, EventType.SHELTER_IN_PLACE]
)
def test_agents_on_their_way_to_an_order_are_stopped_at_once(order: EventType) -> None:
    """The order stood for an hour before their manager heard that the place is lost."""
    world, host, count = on_the_way()
    world.hit(host, order, since="09:50", incident="i-2")
    assert notices(world, "reassignment_stopped") == [("cen-1", count, host)]
    (notice,) = world.asked("reassignment_stopped")
    assert (notice.roles, notice.incident) == (("responsable_site",), "i-2")
    world.hit(host, EventType.OUTAGE_POWER, since="09:55", incident="i-2")
    assert len(world.asked("reassignment_stopped")) == 1


def test_a_closed_place_stops_no_agents_before_its_lines_are_void() -> None:
    world, host, _ = on_the_way()
    world.hit(host, EventType.CLOSURE, since="09:50")
    assert notices(world, "reassignment_stopped") == []


def test_agents_at_work_are_not_stopped() -> None:
    """They are people of the place, which its own order reaches."""
    world, host, _ = on_the_way()
    arrived = [row.id for row in world.state.moved.values() if row.place == host]
    command = m.ArriveReassignment(
        author="p-1", role="site_manager", line=arrived[0], lines=tuple(arrived[1:])
    )
    world.say(command, "09:48")
    world.hit(host, EventType.FIRE, since="09:50")
    assert notices(world, "reassignment_stopped") == []


def test_the_end_of_an_order_says_that_agents_may_go_on() -> None:
    world, host, count = on_the_way()
    world.hit(host, EventType.SHELTER_IN_PLACE, since="09:50")
    assert notices(world, "reassignment_resumed") == []
    world.lift(host, "10:20")
    assert notices(world, "reassignment_resumed") == [("cen-1", count, host)]


def test_a_place_still_closed_after_its_order_calls_no_agents() -> None:
    world, host, _ = on_the_way()
    world.hit(host, EventType.SHELTER_IN_PLACE, since="09:50")
    world.hit(host, EventType.CLOSURE, since="09:55")
    world.lift(host, "10:20", EventType.SHELTER_IN_PLACE)
    assert notices(world, "reassignment_resumed") == []


def test_agents_go_on_once_the_place_has_its_seats_back_after_its_order() -> None:
    """The order ended before the closure; the proposal kept the lines, and nobody was sent on."""
    world, host, count = on_the_way()
    world.hit(host, EventType.SHELTER_IN_PLACE, since="09:50")
    world.hit(host, EventType.CLOSURE, since="09:55")
    world.lift(host, "10:20", EventType.SHELTER_IN_PLACE)
    world.lift(host, "10:21", EventType.CLOSURE)
    assert notices(world, "reassignment_resumed") == [("cen-1", count, host)]
    world.hit(host, EventType.CLOSURE, since="10:30")
    world.lift(host, "10:31", EventType.CLOSURE)
    assert len(notices(world, "reassignment_resumed")) == 1, "once"


def test_a_requested_computation_reports_confined_people() -> None:
    world = World()
    world.hit("cen-1", EventType.SHELTER_IN_PLACE, since="09:40")
    command = m.ComputeReassignments(author="p-1", role="director")
    assert refused(world.say(command, "09:45")) == (409, "confined")
