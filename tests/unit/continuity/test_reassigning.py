"""Reassignment in a realm: requests to the planner, decisions of persons, and sent orders.

Every sent order was approved.
"""

from __future__ import annotations

import math
from collections import Counter

import pytest

from schemas import reassignment as m
from schemas import reference as ref
from schemas.alerts import AttentionRequested
from schemas.base import Fact
from schemas.commands import ActivateStrategy, DeclareActivity
from schemas.runtime import CommandApplied, CommandRefused
from schemas.topics import PARTITION_COUNT, partition_of
from schemas.words import ActivityState, EventType, SiteStatus
from services.continuity.reassignment import orders
from services.continuity.reassignment.orders import find_open_proposal
from services.continuity.reassignment.proposals import (
    LINES_PER_PART,
    ProposalJob,
    Proposals,
    build_line_key,
)
from services.continuity.state import list_proposal_lines
from services.runtime.kafka.clients import build_headers
from services.runtime.testing import StoredRecord
from tests.shipped import territory
from tests.unit.continuity.world import REALM, World

WHO = {"author": "p-1", "role": "director"}
MOST_BYTES = 256 * 1024
CENTRAL = ("cen-1", "cen-2", "cen-3", "cen-4", "cen-5")


def solve(world: World) -> list[tuple[str, m.ProposalComputed]]:
    """Return the planner's answer to the open request, from the log alone."""
    planner = Proposals()
    for stored in world.service.log.of(REALM):
        planner.observe(stored.transaction)
    job = planner.job(REALM)
    assert job is not None, "nothing was asked"
    return [(id, part) for id, part in planner.solve(job) if isinstance(part, m.ProposalComputed)]


def answer(world: World, when: str) -> m.ProposalRow:
    """Solve and answer; the proposal in force."""
    for id, part in solve(world):
        world.service.feed(REALM, part, id=id, at=world.instant(when))
    row = find_open_proposal(world.state)
    assert row is not None
    return row


def fire(world: World) -> list[Fact]:
    """Run every step that is due now."""
    before = len(world.records())
    while (due := world.service.next_due(REALM)) is not None and due <= world.service.realm(
        REALM
    ).now:
        world.service.feed(REALM, m.ProposalComputed(request="nobody's", part=0, parts=1))
    return [f.message() for f in world.records()[before:]]


def fire_on_the_way() -> World:
    """Return headquarters on fire at 09:40, known at once, with a proposal at 09:43."""
    world = World()
    world.hit("cen-1", EventType.EVACUATION, since="09:40")
    world.until("09:43")
    answer(world, "09:44")
    return world


def refused(said: CommandApplied | CommandRefused) -> tuple[int, str]:
    assert isinstance(said, CommandRefused), said
    return said.status, said.code


def current(world: World) -> m.ProposalRow:
    row = find_open_proposal(world.state)
    assert row is not None
    return row


def approve(
    world: World, when: str, *lines: str, **more: object
) -> CommandApplied | CommandRefused:
    command = m.ApproveReassignments.model_validate(
        {**WHO, "proposal": current(world).id, "lines": lines or None, **more}
    )
    return world.say(command, when)


def check_law(world: World) -> None:
    """Check that orders and approved lines match one to one, with rule and author."""
    decided = {
        line: d
        for f in world.facts(m.ProposalChanged)
        for d in f.row.decisions
        if d.verb == "approve"
        for line in d.lines
    }
    dispatched_rows = [
        f.row for f in world.facts(m.ReassignmentChanged) if f.change == "dispatched"
    ]
    ordered = [line for f in world.facts(m.ReassignmentOrdered) for line in f.row.lines]
    assert sorted(row.id for row in dispatched_rows) == sorted(decided) == sorted(ordered)
    for row in dispatched_rows:
        assert (row.approved_by, row.approved_role, row.rules) == (
            decided[row.id].by,
            decided[row.id].role,
            decided[row.id].rules,
        )
        assert "D49" in row.rules
        assert row.approved_by


# ── asking ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_burst_of_closures_requests_one_computation_after_it_settles() -> None:
    world = World()
    world.hit("cen-1", EventType.EVACUATION, since="09:40")
    world.until("09:42")
    world.hit("cen-2", since="09:42")
    assert world.facts(m.ProposalRequested) == []
    world.until("09:43")
    (proposal_request,) = world.facts(m.ProposalRequested)
    assert {c.site for c in proposal_request.situation.sites if c.seat_pct == 0} == {
        "cen-1",
        "cen-2",
    }
    assert (
        proposal_request.number,
        proposal_request.incident,
        proposal_request.situation.telework,
    ) == (1, "i-1", True)


def test_the_next_request_waits_and_an_equal_one_is_not_repeated() -> None:
    world = fire_on_the_way()
    world.hit("cen-1", EventType.FIRE, since="09:44")  # another cause of the same loss
    world.until("09:55")
    assert len(world.facts(m.ProposalRequested)) == 1
    world.hit("cen-2", since="09:55")
    world.until("09:58")
    assert [f.number for f in world.facts(m.ProposalRequested)] == [1, 2]


def test_silent_sites_in_hit_communes_or_the_flood_zone_host_no_agent() -> None:
    world = World()
    sites = {s.id: s for s in territory().sites}
    commune = next(
        c
        for c in sorted({s.commune for s in sites.values()})
        if sum(s.commune == c for s in sites.values()) > 4
    )
    inside = [s.id for s in sites.values() if s.commune == commune]
    for site in inside[:3]:
        world.hit(site, since="09:40")
    world.tell_site("sit-01", "09:40", "09:40", SiteStatus.UNKNOWN)
    world.announce(None, "09:41", incident="i-2", kind="flood")
    world.until("09:43")
    (proposal_request,) = world.facts(m.ProposalRequested)
    barred = {c.site for c in proposal_request.situation.sites if not c.host_ok}
    assert barred >= {*inside, "sit-01"}
    assert barred >= {s.id for s in sites.values() if s.flood_exposure != "non"}


def test_exposed_sites_host_agents_while_nothing_is_flooded() -> None:
    world = World()
    world.hit("cen-1", EventType.CLOSURE, since="09:40")
    world.until("09:43")
    (proposal_request,) = world.facts(m.ProposalRequested)
    barred = {c.site for c in proposal_request.situation.sites if not c.host_ok}
    exposed = {s.id for s in territory().sites if s.flood_exposure != "non"}
    assert "cen-1" in barred
    assert barred.isdisjoint(exposed - {"cen-1"})


def test_a_place_is_given_once_to_a_strategy_or_to_reassigned_agents() -> None:
    """D51: never above the declared desks."""
    world = fire_on_the_way()
    approve(world, "09:45")
    fire(world)
    desks = {s.id: s.desks for s in territory().sites if s.kind != "gymnase"}
    agents_by_place = Counter(
        {
            row.place: row.count
            for row in world.state.moved.values()
            if row.place in desks and row.place != row.site
        }
    )
    host, agents = next(
        (place, count) for place, count in sorted(agents_by_place.items()) if desks[place] > count
    )

    def hold(site: str, seats: int) -> CommandApplied | CommandRefused:
        return world.say(
            ActivateStrategy(
                activity="EOM-01",
                strategy="SR-SITE",
                expected_capacity_pct=80,
                site=site,
                desks=seats,
                force=True,
                reason="text:1",
                **WHO,
            ),
            "09:50",
        )

    no = hold(host, desks[host])
    assert refused(no) == (409, "fallback_full")
    assert isinstance(no, CommandRefused)
    assert no.values["taken"] >= agents
    other = next(
        site
        for site in sorted(desks)
        if site not in agents_by_place and desks[site] > 1 and site != "cen-1"
    )
    assert isinstance(hold(other, 1), CommandApplied)
    assert isinstance(world.say(m.ComputeReassignments(**WHO), "09:51"), CommandApplied)
    conditions = {c.site: c for c in world.facts(m.ProposalRequested)[-1].situation.sites}
    assert not conditions[other].host_ok


def test_isolation_stops_telework_unless_a_person_decides_otherwise() -> None:
    world = World()
    world.hit("cen-1", EventType.EVACUATION, since="09:40")
    world.flag("flag:total_isolation", True, "09:41")
    world.until("09:43")
    assert world.facts(m.ProposalRequested)[-1].situation.telework is False
    assert isinstance(
        world.say(m.ComputeReassignments(telework=True, transit=False, **WHO), "09:44"),
        CommandApplied,
    )
    last = world.facts(m.ProposalRequested)[-1]
    assert (last.situation.telework, last.situation.transit, last.asked_by) == (True, False, "p-1")


def test_stopped_trains_make_people_drive() -> None:
    world = World()
    world.hit("cen-1", EventType.EVACUATION, since="09:40")
    world.flag("network:transit", "down", "09:41")
    world.until("09:43")
    assert world.facts(m.ProposalRequested)[-1].situation.transit is False
    world.flag("network:transit", "up", "09:50")
    world.until("09:53")
    assert world.facts(m.ProposalRequested)[-1].situation.transit is True


def test_the_same_log_gives_the_same_answer_byte_for_byte() -> None:
    world = World()
    for site in CENTRAL[:3]:
        world.hit(site, since="09:40")
    world.until("09:43")
    one, other = ([part.model_dump_json() for _, part in solve(world)] for _ in range(2))
    assert one == other
    assert len(one[0]) > 1000


def test_an_answer_to_an_older_question_changes_nothing() -> None:
    world = World()
    world.hit("cen-1", EventType.EVACUATION, since="09:40")
    world.until("09:43")
    old = solve(world)
    world.say(m.ComputeReassignments(preference=m.Preference.FEWEST, **WHO), "09:44")
    for id, part in old:
        assert world.service.feed(REALM, part, id=id).facts == ()
    row = answer(world, "09:45")
    assert (row.preference, row.number) == (m.Preference.FEWEST, 2)


def test_preferences_change_the_moves_and_keep_the_needs() -> None:
    world = fire_on_the_way()
    proposals = {m.Preference.BEST: current(world)}
    for preference, when in (
        (m.Preference.FEWEST, "09:45"),
        (m.Preference.LEAST_CO2, "09:46"),
        (m.Preference.FASTEST, "09:47"),
    ):
        world.say(m.ComputeReassignments(preference=preference, **WHO), when)
        proposals[preference] = answer(world, when)
    assert (
        len({tuple(row.objective[u] for u in ("U1", "U2", "U3")) for row in proposals.values()})
        == 1
    )
    assert (
        proposals[m.Preference.FEWEST].travelling
        == min(row.travelling for row in proposals.values())
        < proposals[m.Preference.BEST].travelling
    )
    assert (
        proposals[m.Preference.LEAST_CO2].objective["C"]
        <= proposals[m.Preference.BEST].objective["C"]
    )
    assert (
        proposals[m.Preference.FASTEST].objective["D"]
        <= proposals[m.Preference.BEST].objective["D"]
    )


def test_the_fire_of_the_headquarters_gives_the_figures_of_the_model() -> None:
    """docs/reference/reassignment-model.md, §5, S10-fire: demand 311, displaced 1460, 58 idle."""
    row = current(fire_on_the_way())
    assert (row.demand, row.displaced, row.suspended_agents, row.idle_agents, row.unmet_agents) == (
        311,
        1460,
        19,
        58,
        0,
    )
    assert (row.objective["D"], row.objective["C"], row.open_level) == (5428, 10165, None)
    assert row.objective[m.TRAVEL_MINUTES_KEY] == 5428, (
        "nobody gives more than their share: all of level D are minutes that people travel"
    )
    assert row.own_work + row.idle_agents <= row.displaced
    assert row.idle[0].why, "what is not possible names its reason"


def test_an_impossible_computation_is_reported_and_not_repeated() -> None:
    world = World()
    empty = ref.Staffing(
        cells=(ref.StaffCell(site="nowhere", activity="SOL-01", metier="x", staff=1, minimum=1),),
        rules=(),
        substitutions=(),
    )
    world.service.feed(REALM, ref.ReferencePublished(reference="broken", data=empty))
    world.service.feed(
        REALM, ref.ReferencePublished(reference="broken", data=territory().sections[-1], last=True)
    )
    world.hit("cen-1", EventType.EVACUATION, since="09:40")
    world.until("09:43")
    for id, part in solve(world):
        world.service.feed(REALM, part, id=id)
    (failed,) = [f.row for f in world.facts(m.ProposalChanged) if f.change == "failed"]
    assert failed.failure is not None
    assert "nowhere" in failed.failure
    world.until("11:00")
    assert len(world.facts(m.ProposalRequested)) == 1


def test_an_answer_refused_by_continuity_is_not_sent_again() -> None:
    """It stays in the dead letters.

    The planner continues with other realms, and with the next request of this one.
    """
    world = World()
    world.hit("cen-1", EventType.EVACUATION, since="09:40")
    world.until("09:43")
    planner = Proposals()

    def job() -> ProposalJob | None:
        for stored in world.service.log.of(REALM)[len(observed_records) :]:
            planner.observe(stored.transaction)
            observed_records.append(stored)
        return planner.job(REALM)

    observed_records: list[StoredRecord] = []
    first = job()
    assert first is not None
    (id, part), *_ = planner.solve(first)
    world.service.feed_raw(
        partition_of(REALM, PARTITION_COUNT),
        REALM.encode(),
        b"{",
        build_headers(part.wire_type(), id=id, source="t"),
    )
    assert job() is None
    assert list(planner.jobs()) == []
    assert isinstance(
        world.say(m.ComputeReassignments.model_validate(WHO), "09:50"), CommandApplied
    )
    second = job()
    assert second is not None
    assert second.id != first.id


def _fail(world: World, when: str) -> m.ProposalRow:
    """Make the planner fail at the open request and answer with its error."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "services.continuity.reassignment.proposals.solve_situation", lambda *_: math.sqrt(-1)
        )
        ((id, part),) = solve(world)
    world.service.feed(REALM, part, id=id, at=world.instant(when))
    return world.facts(m.ProposalChanged)[-1].row


def test_a_failing_computation_is_answered_and_does_not_stop_the_planner() -> None:
    world = World()
    world.hit("cen-1", EventType.EVACUATION, since="09:40")
    world.until("09:43")
    failed = _fail(world, "09:44")
    assert failed.state is m.ProposalState.FAILED
    assert (failed.failure or "").startswith("ValueError: ")


def test_a_failed_computation_keeps_the_proposal_in_force() -> None:
    world = fire_on_the_way()
    before = current(world)
    assert isinstance(
        world.say(m.ComputeReassignments(**WHO, preference=m.Preference.FASTEST), "09:50"),
        CommandApplied,
    )
    assert _fail(world, "09:51").state is m.ProposalState.FAILED
    assert current(world).id == before.id, "people still see it as open"
    assert isinstance(approve(world, "09:52"), CommandApplied)
    fire(world)
    check_law(world)
    assert len(world.state.moved) == before.lines
    world.hit("cen-2", since="09:55")
    world.until("10:00")
    after = answer(world, "10:01")
    assert [
        f.row.superseded_by for f in world.facts(m.ProposalChanged) if f.change == "superseded"
    ] == [after.id]


# ── deciding ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_approved_line_is_sent_once_to_its_managers_by_count() -> None:
    world = fire_on_the_way()
    lines = list_proposal_lines(world.state, current(world).id)
    first = [line for line in lines if line.criticality == 1 and line.need_activity][:5]
    outcome = approve(world, "09:50", *(line.id for line in first))
    assert isinstance(outcome, CommandApplied)
    assert outcome.result["agents"] == sum(line.count for line in first)
    fire(world)
    check_law(world)
    orders = {f.row.site: f.row for f in world.facts(m.ReassignmentOrdered)}
    assert orders["cen-1"].leave == sum(line.count for line in first)
    hosts = {line.place for line in first} - {"telework"}
    assert {site: orders[site].come for site in hosts} == {
        h: sum(x.count for x in first if x.place == h) for h in hosts
    }
    requests_by_site = {a.site: a for a in world.asked("reassignment_order")}
    assert requests_by_site.keys() == {"cen-1"} | hosts
    assert requests_by_site["cen-1"].roles == ("responsable_site",)
    assert requests_by_site["cen-1"].agents == orders["cen-1"].leave
    assert isinstance(approve(world, "09:51"), CommandApplied), "the rest"
    fire(world)
    check_law(world)
    assert refused(approve(world, "09:52")) == (409, "nothing_to_decide")


def test_an_order_of_many_lines_reaches_its_site_as_one_message() -> None:
    """The second part of a long order was told apart, and ten minutes later."""
    world = fire_on_the_way()
    approve(world, "09:50")
    fire(world)
    parts = [f.row for f in world.facts(m.ReassignmentOrdered) if f.row.site == "cen-1"]
    assert len(parts) > 1, "the lines are recorded in parts"
    (message,) = [one for one in world.asked("reassignment_order") if one.site == "cen-1"]
    assert message.agents == sum(part.leave for part in parts)
    assert message.stay_home == sum(part.stay_home for part in parts)
    assert message.begins_at == min(part.starts_at or 0 for part in parts)


def test_a_full_approval_fits_into_transactions() -> None:
    world = World()
    for site in CENTRAL:
        world.hit(site, since="09:40")
    world.until("09:43")
    parts = solve(world)
    assert len(parts) > 2
    assert all(len(part.lines) <= LINES_PER_PART for _, part in parts)
    row = answer(world, "09:44")
    assert row.lines > 2 * LINES_PER_PART
    assert isinstance(approve(world, "09:50"), CommandApplied)
    fire(world)
    check_law(world)
    assert (
        max(
            len(stored.raw)
            for stored in world.service.log.of(REALM)
            if "Reference" not in str(stored.transaction.facts[:1])
        )
        < MOST_BYTES
    )
    assert sum(r.count for r in world.state.moved.values()) == row.agents


def test_a_person_without_the_right_is_refused_and_no_order_is_sent() -> None:
    world = fire_on_the_way()
    assert refused(approve(world, "09:50", author="p-2", role="site_manager")) == (
        403,
        "role_too_low",
    )
    assert refused(approve(world, "09:50", author="p-2", role="observer")) == (403, "role_too_low")
    fire(world)
    assert world.facts(m.ReassignmentOrdered) == []


def test_a_stale_decision_gets_the_changes() -> None:
    world = fire_on_the_way()
    first_proposal, some = (
        current(world),
        [line.id for line in list_proposal_lines(world.state, current(world).id)][:2],
    )
    assert isinstance(approve(world, "09:50", *some, expected=0), CommandApplied)
    outcome = approve(world, "09:51", expected=0)
    assert isinstance(outcome, CommandRefused)
    assert (outcome.status, outcome.code, outcome.values["by"], outcome.values["lines"]) == (
        412,
        "version_conflict",
        "p-1",
        2,
    )
    assert refused(approve(world, "09:51", some[0])) == (409, "already")
    assert refused(approve(world, "09:51", "unknown")) == (404, "line_not_found")
    fire(world)
    world.hit("cen-2", since="09:52")
    world.until("09:56")
    new = answer(world, "09:57")
    outcome = world.say(
        m.ApproveReassignments(proposal=first_proposal.id, expected=1, **WHO), "09:58"
    )
    assert isinstance(outcome, CommandRefused)
    assert (outcome.status, outcome.code, outcome.values["current"]) == (
        412,
        "proposal_superseded",
        new.id,
    )
    assert int(outcome.values["new"] or 0) > 0
    assert refused(world.say(m.ApproveReassignments(proposal="never", **WHO), "09:59"))[0] == 412
    check_law(world)


def test_no_agent_is_sent_to_a_place_lost_since() -> None:
    world = fire_on_the_way()
    lines = list_proposal_lines(world.state, current(world).id)
    place = next(line.place for line in lines if line.place not in ("telework", line.site))
    there = {line.id for line in lines if line.place == place}
    world.hit(place, since="09:46")
    assert refused(approve(world, "09:47", min(there))) == (412, "place_lost")
    assert isinstance(approve(world, "09:47"), CommandApplied)
    fire(world)
    check_law(world)
    assert set(world.state.moved) == {line.id for line in lines} - there


@pytest.mark.parametrize("taken", ["silent", "held"])
def test_no_agent_is_sent_to_a_place_that_no_longer_hosts(taken: str) -> None:
    """One site fell silent meanwhile, and a strategy took the desks of the other (D51)."""
    world = fire_on_the_way()
    lines = list_proposal_lines(world.state, current(world).id)
    host = next(line.place for line in lines if line.place not in ("telework", line.site))
    there = {line.id for line in lines if line.place == host}
    if taken == "silent":
        world.tell_site(host, "09:46", "09:46", SiteStatus.UNKNOWN)
    else:
        hold = ActivateStrategy(
            activity="EOM-01",
            strategy="SR-SITE",
            expected_capacity_pct=80,
            site=host,
            desks=2,
            **WHO,
        )
        assert isinstance(world.say(hold, "09:46"), CommandApplied)
    assert refused(approve(world, "09:47", min(there))) == (412, "place_lost")
    assert isinstance(approve(world, "09:47"), CommandApplied)
    fire(world)
    assert set(world.state.moved) == {line.id for line in lines} - there
    world.until("10:10")
    assert [f.number for f in world.facts(m.ProposalRequested)][-1] > 1, (
        "the next proposal says where else"
    )


def test_help_stays_away_from_a_lost_site() -> None:
    """It lacks people, not seats: fewer seats keep no helper away, zero seats do."""
    world = World()
    world.hit("par-01", EventType.STAFF_SHORTAGE, since="09:40")
    world.until("09:43")
    answer(world, "09:44")
    lines = list_proposal_lines(world.state, current(world).id)
    there = {line.id for line in lines if line.place == line.need_site == "par-01"}
    assert there
    world.hit("par-01", since="09:45", loss=40)
    first = min(there)
    assert isinstance(approve(world, "09:46", first), CommandApplied)
    world.hit("par-01", EventType.FIRE, since="09:47")
    assert refused(approve(world, "09:48", *(there - {first}))) == (412, "place_lost")
    fire(world)
    check_law(world)
    assert set(world.state.moved) == {first}


def test_no_agent_is_sent_home_after_telework_stopped() -> None:
    world = fire_on_the_way()
    lines = list_proposal_lines(world.state, current(world).id)
    at_home = {line.id for line in lines if line.place == "telework"}
    assert at_home
    world.flag("flag:total_isolation", True, "09:46")
    assert refused(approve(world, "09:47", min(at_home))) == (412, "telework_off")
    assert isinstance(approve(world, "09:47"), CommandApplied)
    fire(world)
    check_law(world)
    assert set(world.state.moved) == {line.id for line in lines} - at_home


def test_no_agent_leaves_a_site_that_is_back() -> None:
    """The next proposal comes minutes later.

    Before it came, an approval sent people away from their own desks.
    """
    world = World()
    world.hit("cen-1", EventType.EVACUATION, since="09:40")
    world.hit("cen-2", since="09:40")
    world.until("09:43")
    answer(world, "09:44")
    lines = list_proposal_lines(world.state, current(world).id)
    gone = {
        line.id
        for line in lines
        if (line.site, line.supply) == ("cen-1", "displaced") or line.need_site == "cen-1"
    }
    assert 0 < len(gone) < len(lines)
    world.lift("cen-1", "09:46")
    assert refused(approve(world, "09:47", min(gone))) == (412, "site_back")
    assert isinstance(approve(world, "09:47"), CommandApplied)
    fire(world)
    check_law(world)
    assert set(world.state.moved) == {line.id for line in lines} - gone - {
        line.id for line in lines if line.place == "cen-1"
    }


def test_no_agent_helps_at_a_site_without_needs() -> None:
    world = World()
    world.hit("par-01", EventType.STAFF_SHORTAGE, since="09:40")
    world.until("09:43")
    answer(world, "09:44")
    world.lift("par-01", "09:46")
    assert refused(approve(world, "09:47")) == (412, "site_back")
    fire(world)
    assert not world.state.moved


def test_a_declined_line_is_never_sent() -> None:
    world = fire_on_the_way()
    some = [line.id for line in list_proposal_lines(world.state, current(world).id)][:3]
    decline = m.DeclineReassignments(proposal=current(world).id, lines=tuple(some), **WHO)
    assert refused(world.say(decline, "09:50")) == (409, "reason_required")
    assert isinstance(
        world.say(decline.model_copy(update={"reason": "text:t"}), "09:51"), CommandApplied
    )
    assert isinstance(approve(world, "09:52"), CommandApplied)
    fire(world)
    check_law(world)
    assert not set(some) & set(world.state.moved)


def test_the_planners_answer_keeps_a_decision_made_meanwhile() -> None:
    world = fire_on_the_way()
    places = {line.place for line in list_proposal_lines(world.state, current(world).id)}
    world.hit(
        next(s.id for s in territory().sites if s.kind == "culture" and s.id not in places),
        since="09:50",
    )
    world.until("09:53")
    old = solve(world)
    assert isinstance(approve(world, "09:54"), CommandApplied)
    fire(world)
    moved = dict(world.state.moved)
    for id, part in old:
        assert world.service.feed(REALM, part, id=id).facts == (), (
            "it was computed without the approval"
        )
    row = answer(world, "09:55")
    assert row.kept == sum(r.count for r in moved.values())
    assert all(world.state.moved[id] == one for id, one in moved.items()), "what was approved stays"


# ── a second event ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_second_event_voids_only_lines_that_lost_their_place() -> None:
    world = fire_on_the_way()
    assert isinstance(approve(world, "09:50"), CommandApplied)
    fire(world)
    before = dict(world.state.moved)
    host = max(
        {r.place for r in before.values()} - {"telework", "cen-1"},
        key=lambda h: (sum(r.count for r in before.values() if r.place == h), h),
    )
    world.hit(host, since="10:30")
    world.until("11:00")
    row = answer(world, "11:01")
    lost = {id for id, r in before.items() if r.place == host}
    assert lost
    assert {f.row.id for f in world.facts(m.ReassignmentChanged) if f.change == "void"} == lost
    assert set(world.state.moved) == set(before) - lost
    assert row.kept == sum(r.count for id, r in before.items() if id not in lost)
    (void_notice,) = world.asked("reassignment_void")
    assert (void_notice.site, void_notice.agents) == ("cen-1", sum(before[id].count for id in lost))
    check_law(world)


def test_a_new_proposal_changes_seen_lines_as_little_as_possible() -> None:
    world = fire_on_the_way()
    before = {
        build_line_key(line): line.count
        for line in list_proposal_lines(world.state, current(world).id)
    }
    world.hit("cul-01", since="09:50")
    world.until("09:55")
    row = answer(world, "09:56")
    after = {build_line_key(line): line.count for line in list_proposal_lines(world.state, row.id)}
    assert row.objective["K"] == 0
    assert all(after.get(key, 0) >= count for key, count in before.items())


def test_a_line_is_accepted_arrived_and_released_in_order() -> None:
    world = fire_on_the_way()
    (line,) = [line.id for line in list_proposal_lines(world.state, current(world).id)][:1]
    manager = {"author": "p-3", "role": "site_manager"}
    assert refused(world.say(m.AcceptReassignment(line=line, **manager), "09:49")) == (
        404,
        "line_not_found",
    )
    approve(world, "09:50", line)
    fire(world)
    assert refused(
        world.say(m.AcceptReassignment(line=line, author="p-4", role="observer"), "09:51")
    ) == (403, "not_allowed")
    assert isinstance(
        world.say(m.AcceptReassignment(line=line, **manager), "09:52"), CommandApplied
    )
    assert refused(world.say(m.AcceptReassignment(line=line, **manager), "09:53")) == (
        409,
        "already",
    )
    assert isinstance(
        world.say(m.ArriveReassignment(line=line, **manager), "10:30"), CommandApplied
    )
    assert isinstance(
        world.say(m.ReleaseReassignment(line=line, **manager), "17:00"), CommandApplied
    )
    last = world.facts(m.ReassignmentChanged)[-1].row
    assert (last.state, last.by, last.accepted_at, last.ended_at) == (
        m.LineState.RELEASED,
        "p-3",
        world.instant("09:52"),
        world.instant("17:00"),
    )
    assert line not in world.state.moved


REFUSAL = {"author": "p-3", "role": "site_manager", "reason": "text:why"}


def get_move(line: m.LineRow) -> tuple[str, str, str, str]:
    return (line.site, line.activity, line.metier, line.place)


def order_all(world: World) -> list[m.ReassignmentRow]:
    """Approve the proposal; return the dispatched lines that go to another site, largest first."""
    assert isinstance(approve(world, "09:50"), CommandApplied)
    fire(world)
    rows = [row for row in world.state.moved.values() if row.place not in ("telework", row.site)]
    return sorted(rows, key=lambda row: (-row.count, row.id))


def test_a_refused_order_is_off_and_never_proposed_again() -> None:
    world = fire_on_the_way()
    line = order_all(world)[0]
    move = get_move(line)
    same_move = tuple(r.id for r in world.state.moved.values() if get_move(r) == move)
    command = m.RefuseReassignment(line=same_move[0], lines=same_move[1:], **REFUSAL)
    assert isinstance(world.say(command, "09:55"), CommandApplied)
    row = world.facts(m.ReassignmentChanged)[-1].row
    assert (row.state, row.by, row.reason, row.ended_at) == (
        m.LineState.REFUSED,
        "p-3",
        "text:why",
        world.instant("09:55"),
    )
    assert not set(same_move) & set(world.state.moved)
    world.until("11:00")
    refused_moves = world.facts(m.ProposalRequested)[-1].situation.refused
    assert [(one.site, one.activity, one.metier, one.place) for one in refused_moves] == [move]
    proposal = answer(world, "11:01")
    lines = list_proposal_lines(world.state, proposal.id)
    assert move not in {get_move(one) for one in lines}
    assert any((one.site, one.metier) == (line.site, line.metier) for one in lines), (
        "the agents are proposed for another place"
    )
    world.until("14:00")
    assert len(world.facts(m.ProposalRequested)) == 2, "one refusal asks once"


def test_a_line_that_repeats_a_refused_move_is_not_approved() -> None:
    world = fire_on_the_way()
    lines = list_proposal_lines(world.state, current(world).id)
    counts = Counter(get_move(line) for line in lines)
    move = next(move for move, count in counts.items() if count > 1)
    ordered, repeated = [line.id for line in lines if get_move(line) == move][:2]
    assert isinstance(approve(world, "09:50", ordered), CommandApplied)
    fire(world)
    assert isinstance(
        world.say(m.RefuseReassignment(line=ordered, **REFUSAL), "09:55"), CommandApplied
    )
    assert refused(approve(world, "09:56", repeated)) == (412, "move_refused")
    assert isinstance(approve(world, "09:57"), CommandApplied), "the others hold"
    fire(world)
    assert repeated not in world.state.moved


def test_a_refusal_informs_the_cell_and_both_sites() -> None:
    world = fire_on_the_way()
    line = order_all(world)[0]
    assert isinstance(
        world.say(m.RefuseReassignment(line=line.id, **REFUSAL), "09:55"), CommandApplied
    )
    notices = {(one.roles, one.site): one for one in world.asked("reassignment_refused")}
    assert set(notices) == {
        (world.state.bia.policy.reassignment.told, line.site),  # type: ignore[union-attr]
        (("responsable_site",), line.site),
        (("responsable_site",), line.place),
    }
    host = notices[("responsable_site",), line.place]
    assert (host.agents, host.come) == (None, line.count)


def test_a_refusal_needs_a_reason_a_site_and_agents_on_the_way() -> None:
    world = fire_on_the_way()
    line = order_all(world)[0].id
    no_reason = {name: value for name, value in REFUSAL.items() if name != "reason"}
    assert refused(world.say(m.RefuseReassignment(line=line, **no_reason), "09:51")) == (
        409,
        "reason_required",
    )
    observer = REFUSAL | {"role": "observer"}
    assert refused(world.say(m.RefuseReassignment(line=line, **observer), "09:52")) == (
        403,
        "not_allowed",
    )
    world.say(m.AcceptReassignment(line=line, author="p-3", role="site_manager"), "09:53")
    world.say(m.ArriveReassignment(line=line, author="p-3", role="site_manager"), "10:30")
    assert refused(world.say(m.RefuseReassignment(line=line, **REFUSAL), "10:31")) == (
        409,
        "already",
    )
    assert not world.state.refused


def test_a_refusal_voids_no_order_for_the_same_place() -> None:
    """Another order of the same agents to that place is under way; its people have set out."""
    world = fire_on_the_way()
    rows = order_all(world)
    counts = Counter(get_move(row) for row in rows)
    move = next(move for move, count in counts.items() if count > 1)
    first, *others = [row.id for row in rows if get_move(row) == move]
    assert isinstance(
        world.say(m.RefuseReassignment(line=first, **REFUSAL), "09:55"), CommandApplied
    )
    world.hit("cul-01", since="10:10")
    world.until("11:00")
    answer(world, "11:01")
    assert set(others) <= set(world.state.moved)


def test_vital_work_asks_the_planner_at_once_after_a_refusal() -> None:
    world = fire_on_the_way()
    order_all(world)
    vital = next(row for row in world.state.moved.values() if row.criticality == 1)
    before = len(world.facts(m.ProposalRequested))
    assert isinstance(
        world.say(m.RefuseReassignment(line=vital.id, **REFUSAL), "09:51"), CommandApplied
    )
    assert len(world.facts(m.ProposalRequested)) == before + 1


def test_a_refusal_ends_with_the_crisis() -> None:
    world = fire_on_the_way()
    rows = order_all(world)
    world.say(m.RefuseReassignment(line=rows[0].id, **REFUSAL), "09:55")
    assert len(world.state.refused) == 1
    world.until("11:00")
    answer(world, "11:01")
    world.lift("cen-1", "12:00")
    for row in list(world.state.moved.values()):
        world.say(m.ReleaseReassignment(line=row.id, **REFUSAL), "12:01")
    world.until("14:00")
    assert find_open_proposal(world.state) is None
    assert not world.state.refused


def test_one_acceptance_of_many_lines_keeps_earlier_acceptances() -> None:
    world = fire_on_the_way()
    first, *more = [line.id for line in list_proposal_lines(world.state, current(world).id)][:4]
    manager = {"author": "p-3", "role": "site_manager"}
    approve(world, "09:50", first, *more)
    fire(world)
    assert isinstance(
        world.say(m.AcceptReassignment(line=more[0], **manager), "09:51"), CommandApplied
    )
    outcome = world.say(m.AcceptReassignment(line=first, lines=tuple(more), **manager), "09:52")
    assert isinstance(outcome, CommandApplied)
    agents = sum(world.state.moved[id].count for id in (first, *more[1:]))
    assert (outcome.result["lines"], outcome.result["agents"]) == (3, agents)
    assert world.state.moved[more[0]].accepted_at == world.instant("09:51"), (
        "what was said before stands"
    )
    assert refused(
        world.say(m.AcceptReassignment(line=first, lines=tuple(more), **manager), "09:53")
    ) == (409, "already")
    for no_line in ("no-such", ""):
        unknown = world.say(m.ArriveReassignment(line=first, lines=(no_line,), **manager), "10:00")
        assert refused(unknown) == (404, "line_not_found")
    assert world.state.moved[first].arrived_at is None, "refused whole"
    assert isinstance(
        world.say(m.ArriveReassignment(line=first, lines=tuple(more), **manager), "10:30"),
        CommandApplied,
    )
    assert {world.state.moved[id].state for id in (first, *more)} == {m.LineState.ARRIVED}


def test_the_return_of_a_site_frees_its_people_elsewhere() -> None:
    world = fire_on_the_way()
    approve(world, "09:50")
    fire(world)
    world.lift("cen-1", "14:00")
    world.until("14:30")
    for id, part in solve(world):
        world.service.feed(REALM, part, id=id, at=world.instant("14:31"))
    assert {r.needed for r in world.state.moved.values()} == {0}
    assert all(r.state is m.LineState.DISPATCHED for r in world.state.moved.values()), (
        "a person sends them home"
    )
    assert refused(world.say(m.ComputeReassignments(**WHO), "14:40")) == (409, "nothing_hit")


def test_agents_of_a_site_that_sheltered_come_back_after_the_crisis() -> None:
    """The last question to the planner hid the closure, so nobody was ever called back."""
    world = World()
    world.hit("cen-1", EventType.CLOSURE, since="09:40")
    world.until("09:43")
    answer(world, "09:44")
    approve(world, "09:50")
    fire(world)
    world.hit("cen-1", EventType.SHELTER_IN_PLACE, since="13:00")
    world.until("13:40")
    answer(world, "13:41")
    assert world.asked("reassignment_over") == []
    world.lift("cen-1", "13:42")
    world.until("15:00")
    answer(world, "15:01")
    assert {r.needed for r in world.state.moved.values()} == {0}
    assert world.asked("reassignment_over")
    number = len(world.facts(m.ProposalRequested))
    world.until("20:00")
    assert len(world.facts(m.ProposalRequested)) == number, "asked once"


def test_the_managers_of_both_ends_hear_of_the_end_of_a_crisis() -> None:
    """Their agents stayed away until somebody looked at the page."""
    world = fire_on_the_way()
    approve(world, "09:50")
    fire(world)
    moved = list(world.state.moved.values())
    world.lift("cen-1", "14:00")
    world.until("14:30")
    assert world.asked("reassignment_over") == []
    answer(world, "14:31")
    notices = {one.site: one for one in world.asked("reassignment_over")}
    hosts = {row.place for row in moved} - {"telework", "cen-1"}
    assert notices.keys() == {"cen-1"} | hosts
    assert len(world.asked("reassignment_over")) == len(notices), "each site hears it once"
    assert {one.roles for one in notices.values()} == {("responsable_site",)}
    assert notices["cen-1"].agents == sum(row.count for row in moved)
    assert sum(notices[site].come or 0 for site in hosts) == sum(
        row.count for row in moved if row.place in hosts
    )


def test_agents_called_back_are_ordered_again_when_they_are_needed_again() -> None:
    """Both ends had heard that the agents come back; the page counted on them, and nobody came."""
    world = fire_on_the_way()
    approve(world, "09:50")
    fire(world)
    first_orders = {one.site: one for one in world.asked("reassignment_order")}
    world.lift("cen-1", "14:00")
    world.until("14:30")
    answer(world, "14:31")
    world.hit("cen-1", EventType.CLOSURE, since="14:40", incident="i-2")
    world.until("15:30")
    answer(world, "15:31")
    orders = world.asked("reassignment_order")[len(first_orders) :]
    assert {one.site for one in orders} == first_orders.keys()
    assert len(orders) == len(first_orders), "each site hears it once"
    for one in orders:
        first = first_orders[one.site]
        assert (one.agents, one.hosts, one.come) == (first.agents, first.hosts, first.come)
        assert (one.begins_at, one.incident) == (world.instant("15:31"), "i-2")
    number = len(world.asked("reassignment_order"))
    world.hit("sst-03", EventType.OUTAGE_WATER, since="15:40", loss=60)
    world.until("16:30")
    answer(world, "16:31")
    assert len(world.asked("reassignment_order")) == number, "once"


def test_agents_needed_less_and_again_within_a_crisis_get_no_second_order() -> None:
    world = needs_have_moved()
    answer(world, "11:31")
    idle = [row.id for row in world.state.moved.values() if row.needed == 0]
    assert idle
    number = len(world.asked("reassignment_order"))
    world.hit("sst-04", EventType.STAFF_SHORTAGE, since="11:40")
    world.until("12:30")
    answer(world, "12:31")
    assert any(world.state.moved[id].needed for id in idle)
    assert len(world.asked("reassignment_order")) == number


def needs_have_moved() -> World:
    """Return a proposal that counts on agents of sst-03.

    They help at a site with its staff back; other sites need them now.
    """
    world = World()
    world.hit("sst-03", EventType.OUTAGE_WATER, since="09:40", loss=60)
    world.hit("sst-04", EventType.STAFF_SHORTAGE, since="09:40")
    world.until("09:43")
    answer(world, "09:44")
    approve(world, "09:45")
    fire(world)
    world.lift("sst-04", "10:30")
    for site in ("sst-05", "cen-3"):
        world.hit(site, EventType.STAFF_SHORTAGE, since="10:31")
    world.until("11:30")
    return world


def cell(line: m.LineRow) -> tuple[str, str, str]:
    return line.site, line.activity, line.metier


def test_an_approval_recalls_unneeded_agents_so_that_each_has_one_order() -> None:
    world = needs_have_moved()
    row = answer(world, "11:31")
    lines = list_proposal_lines(world.state, row.id)
    away = {r.id: r for r in world.state.moved.values() if not r.needed}
    on_them = [line for line in lines if line.recalled]
    assert on_them
    assert {cell(line) for line in on_them} <= {cell(r) for r in away.values()}
    one = next(line for line in on_them if line.place != "telework")
    outcome = approve(world, "11:32", one.id)
    back = [r for r in away.values() if cell(r) == cell(one)]
    assert isinstance(outcome, CommandApplied)
    assert outcome.result["recalled"] == sum(r.count for r in back)
    fire(world)
    ended = [f.row for f in world.facts(m.ReassignmentChanged) if f.change == "released"]
    assert {(r.id, r.by, r.ended_at) for r in ended} == {
        (r.id, "p-1", world.instant("11:32")) for r in back
    }
    recalls_by_site = {a.site: (a.agents, a.come) for a in world.asked("reassignment_recalled")}
    hosts = Counter({r.place: 0 for r in back if r.place not in ("telework", one.site)})
    for r in back:
        hosts[r.place] += r.count if r.place in hosts else 0
    assert recalls_by_site == {one.site: (outcome.result["recalled"], None)} | {
        host: (None, n) for host, n in hosts.items()
    }
    assert isinstance(approve(world, "11:33"), CommandApplied), "the others go as well"
    fire(world)
    check_law(world)


def test_an_approval_keeps_agents_that_it_does_not_count_on() -> None:
    world = needs_have_moved()
    row = answer(world, "11:31")
    line = next(line for line in list_proposal_lines(world.state, row.id) if not line.recalled)
    outcome = approve(world, "11:32", line.id)
    assert isinstance(outcome, CommandApplied)
    assert outcome.result["recalled"] == 0
    fire(world)
    assert not [f for f in world.facts(m.ReassignmentChanged) if f.change == "released"]


def test_spare_agents_of_a_needed_line_wait_for_a_person() -> None:
    """No approval ends that line, because some of its agents are needed there.

    Lines that count on the others are refused.
    """
    world = needs_have_moved()
    parts = solve(world)
    kept_lines = {one.line: one for _, part in parts for one in part.kept}
    line = next(line for _, part in parts for line in part.lines if line.recalled)
    away = next(
        r
        for r in world.state.moved.values()
        if cell(r) == cell(line) and r.id in kept_lines and r.count > 1
    )
    for id, part in parts:
        needed = tuple(
            k.model_copy(update={"needed": 1}) if k.line == away.id else k for k in part.kept
        )
        changed_lines = tuple(
            x.model_copy(update={"recalled": 0, "held": 1}) if x.id == line.id else x
            for x in part.lines
        )
        world.service.feed(
            REALM,
            part.model_copy(update={"kept": needed, "lines": changed_lines}),
            id=id,
            at=world.instant("11:31"),
        )
    assert refused(approve(world, "11:32", line.id)) == (412, "agents_elsewhere")
    assert isinstance(approve(world, "11:33"), CommandApplied)
    fire(world)
    assert line.id not in world.state.moved
    assert away.id in world.state.moved
    assert isinstance(
        world.say(m.ReleaseReassignment(line=away.id, author="p-3", role="site_manager"), "11:34"),
        CommandApplied,
    )
    assert isinstance(approve(world, "11:35", line.id), CommandApplied)
    fire(world)
    check_law(world)


def test_a_proposal_without_counted_lines_recalls_all_unneeded_agents() -> None:
    """Logs from before this was computed."""
    world = needs_have_moved()
    for id, part in solve(world):
        silent = tuple(
            line.model_copy(update={"recalled": None, "held": None}) for line in part.lines
        )
        world.service.feed(
            REALM, part.model_copy(update={"lines": silent}), id=id, at=world.instant("11:31")
        )
    cells = {cell(line) for line in list_proposal_lines(world.state, current(world).id)}
    away = [r.id for r in world.state.moved.values() if not r.needed and cell(r) in cells]
    assert away
    assert isinstance(approve(world, "11:32"), CommandApplied)
    fire(world)
    assert set(away).isdisjoint(world.state.moved)
    check_law(world)


def test_a_recall_in_parts_reaches_each_site_as_one_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = needs_have_moved()
    answer(world, "11:31")
    monkeypatch.setattr(orders, "LINES_PER_STEP", 1)
    assert isinstance(approve(world, "11:32"), CommandApplied)
    fire(world)
    released = [f.row for f in world.facts(m.ReassignmentChanged) if f.change == "released"]
    assert len(released) > 1
    recalls = world.asked("reassignment_recalled")
    sites = [one.site for one in recalls]
    assert len(sites) == len(set(sites)), "no site is told twice"
    assert sum(one.agents or 0 for one in recalls) == sum(row.count for row in released)


def test_a_proposal_lapses_when_all_sites_are_back() -> None:
    world = fire_on_the_way()
    world.lift("cen-1", "10:30")
    world.until("10:40")
    assert find_open_proposal(world.state) is None
    assert world.facts(m.ProposalChanged)[-1].change == "lapsed"


def test_a_proposal_lapses_with_the_last_agents_of_an_ended_crisis() -> None:
    world = fire_on_the_way()
    approve(world, "09:50")
    fire(world)
    world.lift("cen-1", "14:00")
    world.until("14:30")
    answer(world, "14:31")
    ids = sorted(world.state.moved)
    for n in range(0, len(ids), m.MAX_LINES_PER_STEP):
        one, *more = ids[n : n + m.MAX_LINES_PER_STEP]
        assert isinstance(
            world.say(m.ReleaseReassignment(**WHO, line=one, lines=tuple(more)), "15:00"),
            CommandApplied,
        )
    assert not world.state.moved
    world.until("18:00")
    assert find_open_proposal(world.state) is None
    assert world.facts(m.ProposalChanged)[-1].change == "lapsed"


# ── reference data ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_site_dropped_from_the_reference_data_releases_its_people_with_a_list() -> None:
    world = fire_on_the_way()
    approve(world, "09:50")
    fire(world)
    before = dict(world.state.moved)
    host = min({r.place for r in before.values()} - {"telework", "cen-1"})
    for n, section in enumerate(territory().sections):
        if isinstance(section, ref.Sites):
            section = section.model_copy(  # noqa: PLW2901
                update={"sites": tuple(s for s in section.sites if s.id != host)}
            )
        if isinstance(section, ref.Staffing):
            section = section.model_copy(  # noqa: PLW2901
                update={"cells": tuple(c for c in section.cells if c.site != host)}
            )
        last = n == len(territory().sections) - 1
        world.service.feed(
            REALM,
            ref.ReferencePublished(reference="smaller", data=section, last=last),
            at=world.instant("10:00"),
        )
    fire(world)
    void = {f.row.id: f.row for f in world.facts(m.ReassignmentChanged) if f.change == "void"}
    assert void.keys() == {id for id, r in before.items() if r.place == host}
    assert {row.cause for row in void.values()} == {"site_removed"}
    assert world.asked("reassignment_void")[0].agents == sum(row.count for row in void.values())


def test_no_agent_is_sent_to_a_site_dropped_from_the_reference_data() -> None:
    world = fire_on_the_way()
    lines = list_proposal_lines(world.state, current(world).id)
    host = min({line.place for line in lines} - {"telework", "cen-1"})
    sites = next(s for s in territory().sections if isinstance(s, ref.Sites))
    smaller = sites.model_copy(update={"sites": tuple(s for s in sites.sites if s.id != host)})
    world.service.feed(
        REALM,
        ref.ReferencePublished(reference="smaller", data=smaller, last=True),
        at=world.instant("09:45"),
    )
    there = {line.id for line in lines if host in (line.place, line.need_site)}
    assert refused(approve(world, "09:46", min(there))) == (412, "place_lost")
    assert isinstance(approve(world, "09:46"), CommandApplied)
    assert set(world.state.moved) == {line.id for line in lines} - there


@pytest.mark.parametrize("role", ["liaison", "kiosk", "source"])
def test_other_roles_neither_compute_nor_carry_out(role: str) -> None:
    world = fire_on_the_way()
    assert refused(world.say(m.ComputeReassignments(author="p", role=role), "09:50"))[0] == 403


def test_other_decisions_ask_no_planner() -> None:
    world = World()
    world.say(DeclareActivity(activity="COM-01", state=ActivityState.DEGRADED, **WHO), "10:00")
    world.until("12:00")
    assert world.facts(m.ProposalRequested) == []
    assert not any(
        isinstance(f, AttentionRequested) and f.code.startswith("reassignment")
        for f in world.facts(AttentionRequested)
    )
