"""Reassignment sends no agent from or to a site that shelters or counts its people (D78)."""

from __future__ import annotations

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
    world.until("10:40")
    assert requests(world) == []


def test_a_sheltering_site_is_neither_source_nor_host_of_another_crisis() -> None:
    world = World()
    world.hit("cen-1", EventType.CLOSURE, since="09:40")
    world.hit("cen-2", EventType.SHELTER_IN_PLACE, since="09:40")
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
    assert [f.change for f in world.facts(m.ProposalChanged)] == ["computed", "withdrawn"]
    assert refused(approve(world, "09:45", min(confined))) == (409, "confined")
    approve(world, "09:45")
    approved = {row.id for row in world.state.moved.values()}
    assert approved
    assert not approved & confined


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


def test_a_requested_computation_reports_confined_people() -> None:
    world = World()
    world.hit("cen-1", EventType.SHELTER_IN_PLACE, since="09:40")
    command = m.ComputeReassignments(author="p-1", role="director")
    assert refused(world.say(command, "09:45")) == (409, "confined")
