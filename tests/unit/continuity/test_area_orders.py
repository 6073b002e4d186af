"""Reassignment sends nobody into the area of an order to leave or to shelter (D102)."""

import pytest

from schemas import reassignment as m
from schemas.crisis.area_orders import AreaOrderChanged, AreaOrderRow
from schemas.words import EventType, SiteStatus
from services.continuity.reassignment.orders import find_open_proposal
from services.continuity.state import list_proposal_lines
from tests.unit.continuity.test_reassigning import answer, approve, refused
from tests.unit.continuity.world import REALM, World


def order(
    world: World,
    time: str,
    *sites: str,
    outside: tuple[str, ...] = (),
    status: SiteStatus = SiteStatus.EVACUATED,
) -> None:
    row = AreaOrderRow(
        id="cause-1",
        incident=None,
        order=status,
        report="r-1",
        source="prefecture",
        ordered_at=world.instant(time),
        sites=sites,
        outside=outside,
    )
    id = f"order-{len(world.records())}"
    world.service.feed(REALM, AreaOrderChanged(row=row), id=id, at=world.instant(time))


def hosts(world: World, proposal: str) -> set[str]:
    lines = list_proposal_lines(world.state, proposal)
    return {line.place for line in lines if line.place not in ("telework", line.site)}


def proposed_hosts() -> set[str]:
    """Return where the agents of a closed site go on a day without an order."""
    world = World()
    world.hit("cen-1", EventType.CLOSURE, since="09:40")
    world.until("09:43")
    return hosts(world, answer(world, "09:44").id)


def test_a_site_in_the_area_of_an_order_is_no_host() -> None:
    host = min(proposed_hosts())
    world = World()
    order(world, "09:40", host)
    world.hit("cen-1", EventType.CLOSURE, since="09:40")
    world.until("09:43")
    assert host not in hosts(world, answer(world, "09:44").id)
    (condition,) = [
        c for c in world.facts(m.ProposalRequested)[-1].situation.sites if c.site == host
    ]
    assert (condition.ordered, condition.host_ok, condition.confinement) == (True, False, None)


def test_a_site_that_says_no_lies_outside() -> None:
    host = min(proposed_hosts())
    world = World()
    order(world, "09:40", host)
    order(world, "09:40", host, outside=(host,))
    world.hit("cen-1", EventType.CLOSURE, since="09:40")
    world.until("09:43")
    assert host in hosts(world, answer(world, "09:44").id)
    assert not world.state.area_orders


def test_lines_into_the_area_are_withdrawn_at_once_and_not_approved() -> None:
    world = World()
    world.hit("cen-1", EventType.CLOSURE, since="09:40")
    world.until("09:43")
    proposal = answer(world, "09:44").id
    host = min(hosts(world, proposal))
    order(world, "09:45", host)
    row = find_open_proposal(world.state)
    assert row is not None
    leading_there = {
        line.id for line in list_proposal_lines(world.state, proposal) if line.place == host
    }
    assert set(row.withdrawn) == leading_there != set()
    assert refused(approve(world, "09:46", min(leading_there)))[0] in (409, 412)


def test_an_order_for_an_area_withdraws_no_line_that_a_person_has_decided() -> None:
    """Agents of a decided line are stopped on their way; the decision stays in the log."""
    world = World()
    world.hit("cen-1", EventType.CLOSURE, since="09:40")
    world.until("09:43")
    proposal = answer(world, "09:44").id
    lines = list_proposal_lines(world.state, proposal)
    host = min(hosts(world, proposal))
    there = sorted(line.id for line in lines if line.place == host)
    assert approve(world, "09:45", there[0]) is not None
    order(world, "09:46", host)
    row = find_open_proposal(world.state)
    assert row is not None
    assert set(row.withdrawn) == set(there[1:]) != set()


def test_an_order_for_an_area_alone_asks_for_no_proposal() -> None:
    world = World()
    order(world, "09:40", "cen-1", "cen-2")
    world.until("10:40")
    assert world.facts(m.ProposalRequested) == []


def test_an_order_for_an_area_stops_agents_on_their_way_into_it() -> None:
    """Only the cell's page said so; the managers of the agents heard nothing."""
    world = World()
    world.hit("cen-1", EventType.CLOSURE, since="09:40")
    world.until("09:43")
    proposal = answer(world, "09:44").id
    approve(world, "09:44")
    world.until("09:45")
    host = min(hosts(world, proposal))
    count = sum(row.count for row in world.state.moved.values() if row.place == host)
    order(world, "09:50", host)
    (stopped,) = world.asked("reassignment_stopped")
    assert (stopped.site, stopped.agents, stopped.barred) == ("cen-1", count, host)
    assert world.asked("reassignment_resumed") == []
    order(world, "10:00", host, outside=(host,))
    (resumed,) = world.asked("reassignment_resumed")
    assert (resumed.site, resumed.agents, resumed.barred) == ("cen-1", count, host)


def test_agents_are_called_back_to_no_site_in_the_area_of_an_order() -> None:
    """Their manager had to bring those on their way back into the area that people leave."""
    world = World()
    world.hit("cen-1", EventType.CLOSURE, since="09:40")
    world.until("09:43")
    proposal = answer(world, "09:44").id
    approve(world, "09:44")
    world.until("09:45")
    host = min(hosts(world, proposal))
    order(world, "09:50", host, "cen-1")
    (stopped,) = world.asked("reassignment_stopped")
    assert (stopped.site, stopped.barred, stopped.barred_homes) == ("cen-1", host, "cen-1")


def test_the_end_of_a_crisis_brings_no_agents_back_into_the_area_of_an_order() -> None:
    """Both managers read «organisez leur retour dès maintenant»."""
    world = World()
    world.hit("cen-1", EventType.CLOSURE, since="09:40")
    world.until("09:43")
    answer(world, "09:44")
    approve(world, "09:44")
    world.until("09:45")
    order(world, "13:00", "cen-1")
    world.lift("cen-1", "14:00")
    world.until("14:30")
    answer(world, "14:31")
    notices = world.asked("reassignment_over")
    assert {notice.barred_homes for notice in notices} == {"cen-1"}
    assert len(notices) == len({notice.site for notice in notices}) > 1, "each site hears it once"


def test_no_agents_leave_a_site_in_the_area_of_an_order_to_shelter() -> None:
    """Its lines were still approved, and sent people out of the building that shelters."""
    world = World()
    world.hit("cen-1", EventType.CLOSURE, since="09:40")
    world.until("09:43")
    proposal = answer(world, "09:44").id
    leaving = {
        line.id for line in list_proposal_lines(world.state, proposal) if line.site == "cen-1"
    }
    order(world, "09:45", "cen-1", status=SiteStatus.SHELTERING)
    row = find_open_proposal(world.state)
    assert row is not None
    assert leaving <= set(row.withdrawn)
    assert refused(approve(world, "09:46", min(leaving)))[0] in (409, 412)
    order(world, "09:50", "cen-1", outside=("cen-1",), status=SiteStatus.SHELTERING)
    world.until("10:10")
    again = answer(world, "10:11").id
    assert any(line.site == "cen-1" for line in list_proposal_lines(world.state, again))


@pytest.mark.parametrize(
    ("status", "is_helped"), [(SiteStatus.EVACUATED, True), (SiteStatus.SHELTERING, False)]
)
def test_help_is_found_for_sites_that_people_leave_and_not_where_they_shelter(
    status: SiteStatus, is_helped: bool
) -> None:
    """D78 and D102: the agents of a sheltering site go on with its work."""
    world = World()
    order(world, "09:40", "cen-1", status=status)
    for site in ("cen-1", "cen-2"):
        world.hit(site, EventType.CLOSURE, since="09:40")
    world.until("09:43")
    proposal = answer(world, "09:44").id
    lines = list_proposal_lines(world.state, proposal)
    assert any("cen-1" in (line.need_site, line.site) for line in lines) is is_helped
    assert "cen-1" not in {line.place for line in lines}
    assert "cen-2" in {line.site for line in lines}
