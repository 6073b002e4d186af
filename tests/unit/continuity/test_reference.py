"""Reference data are inputs: a change during a crisis is ordered like any other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from schemas import reference as ref
from schemas.commands import ActivatePlan, CompleteCard, DeclareActivity, TickBox
from schemas.plans import Card
from schemas.predicates import AllOf, Manual, Measured
from schemas.runtime import CommandRefused, RealmOpened
from schemas.words import ActivityState, CardState, ClockState, EventType, PlanState, SiteStatus
from services.continuity.decider import ContinuityDecider
from services.continuity.state import ContinuityState
from services.runtime.testing import MemoryService
from tests.shipped import territory
from tests.unit.continuity.world import REALM, World, clock, opened_by_alerts, publish


def _publish(world: World, section: ref.SectionData, when: str) -> None:
    world.until(when)
    world.service.feed(
        REALM,
        ref.ReferencePublished(reference="another", data=section, last=True),
        at=world.instant(when),
    )


def _activities(**changes: object) -> ref.Activities:
    section = next(s for s in territory().sections if isinstance(s, ref.Activities))
    changed = tuple(
        a.model_copy(update=changes) if a.id == "COM-03" else a for a in section.activities
    )
    return section.model_copy(update={"activities": changed})


def test_a_shorter_limit_counts_from_the_start_of_the_running_clock() -> None:
    world = World()
    world.hit("cen-1", EventType.EVACUATION, since="09:52")
    _publish(world, _activities(rto_h=0.5), "10:16")
    row = world.activity("COM-03")
    assert (clock(row.rto.started_at), clock(row.rto.deadline)) == ("09:52", "10:22")
    assert world.alarms("COM-03") == [("rto", 50, "10:16"), ("rto", 80, "10:16")]
    assert world.state.reference == "another"


def test_new_percentages_and_thresholds_apply_to_running_clocks() -> None:
    """Otherwise they wait for the next percentage of the version before."""
    world = World()
    world.hit("cen-1", EventType.EVACUATION, since="09:52")
    watched = Measured(
        metric="activity_rto_pct", args={"activities": ["COM-03"]}, op=">=", value=55
    )

    def watching(plan: ref.Plan) -> ref.Plan:
        return (
            plan.model_copy(update={"triggers": (ref.Trigger(level=2, text="", when=watched),)})
            if plan.id == "PT-ELEC"
            else plan
        )

    policy = next(s for s in territory().sections if isinstance(s, ref.EscalationPolicy))
    alarms = (*policy.policy.alarms, ref.Alarm(base="rto", pct=40, to=("coordinateur_pca",)))
    world.until("10:28")
    world.service.feed(REALM, ref.ReferencePublished(reference="another", data=_plans(watching)))
    _publish(
        world,
        policy.model_copy(update={"policy": policy.policy.model_copy(update={"alarms": alarms})}),
        "10:28",
    )
    world.until("10:29")
    assert world.alarms("COM-03") == [("rto", 50, "10:22"), ("rto", 40, "10:28")]
    assert world.metrics(watched.key) == [60.0]


def test_a_section_waits_for_the_last_one() -> None:
    world = World()
    world.service.feed(
        REALM,
        ref.ReferencePublished(reference="another", data=_activities(mbco_pct=99)),
        at=world.instant("09:41"),
    )
    assert world.activity("COM-03").mbco_pct == 37
    assert world.state.reference == territory().version


def test_an_activity_dropped_by_a_new_version_has_no_running_clock() -> None:
    """It stayed interrupted for ever, first in the queue: nothing could end it any more."""
    world = World()
    world.hit("cen-1", EventType.EVACUATION, since="09:52")
    section = _activities()
    _publish(
        world,
        section.model_copy(
            update={"activities": tuple(a for a in section.activities if a.id != "COM-03")}
        ),
        "10:00",
    )
    world.until("13:00")
    assert world.alarms("COM-03") == []
    row = world.activity("COM-03")
    assert (row.state, row.capacity_pct, row.path) == (ActivityState.NOMINAL, 100, ())
    assert [(c.state, clock(c.stopped_at), c.next_at) for c in (row.rto, row.dmia)] == [
        (ClockState.STOPPED, "10:00", None)
    ] * 2
    assert not [f for f in world.records() if f.name == "DeadlineFailed"]


def test_a_dropped_activity_comes_back_as_its_sites_are() -> None:
    """Its declared state and the clocks of its sites ended with it."""
    world = World()
    world.hit("pmi-04", EventType.CLOSURE, since="09:52")
    declaration = DeclareActivity(
        author="p", role="coordinator", activity="SOL-04", state=ActivityState.INTERRUPTED
    )
    world.say(declaration, "09:55")
    section = _activities()
    others = tuple(a for a in section.activities if a.id != "SOL-04")
    _publish(world, section.model_copy(update={"activities": others}), "10:00")
    assert (stopped := world.local("SOL-04", "pmi-04")) is not None
    assert [(c.state, clock(c.stopped_at)) for c in stopped.clocks] == [
        (ClockState.STOPPED, "10:00")
    ] * 2
    assert world.activity("SOL-04").local_running == 0
    _publish(world, section, "10:20")
    row, local_row = world.activity("SOL-04"), world.local("SOL-04", "pmi-04")
    assert (row.state, row.declared, row.local_running) == (ActivityState.DEGRADED, None, 1)
    assert local_row is not None
    assert local_row.clocks[0].state is ClockState.RUNNING
    assert clock(local_row.clocks[0].started_at) == "09:52"


def _publish_changed(
    world: World, change: Callable[[ref.SectionData], ref.SectionData], when: str
) -> None:
    """Publish every section of the shipped territory after a change, as another version."""
    world.until(when)
    sections = [change(section) for section in territory().sections]
    for n, section in enumerate(sections):
        published = ref.ReferencePublished(
            reference="another", data=section, last=n == len(sections) - 1
        )
        world.service.feed(REALM, published, at=world.instant(when))


def _without_local_clocks(section: ref.SectionData) -> ref.SectionData:
    if not isinstance(section, ref.EscalationPolicy):
        return section
    return section.model_copy(
        update={"policy": section.policy.model_copy(update={"local_clocks": ()})}
    )


def _without_site(section: ref.SectionData) -> ref.SectionData:
    match section:
        case ref.Sites(sites=sites):
            return section.model_copy(update={"sites": tuple(s for s in sites if s.id != "pmi-04")})
        case ref.Staffing(cells=cells):
            return section.model_copy(
                update={"cells": tuple(c for c in cells if c.site != "pmi-04")}
            )
        case _:
            return section


@pytest.mark.parametrize("change", [_without_local_clocks, _without_site])
def test_a_local_clock_dropped_by_a_new_version_stops_without_a_deadline(
    change: Callable[[ref.SectionData], ref.SectionData],
) -> None:
    world = World()
    world.hit("pmi-04", EventType.CLOSURE, since="09:52")
    assert (running := world.local("SOL-04", "pmi-04")) is not None
    assert running.clocks[0].state is ClockState.RUNNING
    _publish_changed(world, change, "10:20")
    assert (stopped := world.local("SOL-04", "pmi-04")) is not None
    assert [(c.state, clock(c.stopped_at), c.next_at) for c in stopped.clocks] == [
        (ClockState.STOPPED, "10:20", None)
    ] * 2
    assert world.activity("SOL-04").local_running == 0
    steps = sum(f.name == "AgendaChanged" for f in world.records())
    world.until("2027-02-13 10:00")
    assert world.alarms("SOL-04", "pmi-04") == []
    assert sum(f.name == "AgendaChanged" for f in world.records()) < steps + 50, (
        "time passes without a step in each millisecond"
    )


def test_versions_of_one_millisecond_give_facts_with_ids_of_their_own() -> None:
    """The deadline that reads clocks again fired twice at one time, with the same ids."""
    world = World()
    world.hit("cen-1", EventType.EVACUATION, since="09:52")
    section = next(s for s in territory().sections if isinstance(s, ref.EscalationPolicy))
    world.until("10:28")
    for pct in (40, 45):
        alarms = (*section.policy.alarms, ref.Alarm(base="rto", pct=pct, to=("coordinateur_pca",)))
        policy = section.policy.model_copy(update={"alarms": alarms})
        _publish(world, section.model_copy(update={"policy": policy}), "10:28")
    world.until("10:29")
    assert world.alarms("COM-03")[-1] == ("rto", 45, "10:28")
    assert [id for id, n in Counter(r.id for r in world.records()).items() if n > 1] == []


def _plans(change: Callable[[ref.Plan], ref.Plan | None]) -> ref.Plans:
    section = next(s for s in territory().sections if isinstance(s, ref.Plans))
    return section.model_copy(
        update={"plans": tuple(made for p in section.plans if (made := change(p)) is not None)}
    )


def test_an_active_plan_dropped_by_a_new_version_ends_with_a_recorded_reason() -> None:
    """It was invisible: its cards and its stand-down could not be reached."""
    world = World()
    world.trigger("PT-ELEC", 2, "09:41")
    world.say(ActivatePlan(author="p", role="coordinator", plan="PT-ELEC"), "09:50")
    _publish(world, _plans(lambda p: None if p.id == "PT-ELEC" else p), "10:00")
    assert (world.plan("PT-ELEC").state, world.plan("PT-ELEC").decided_by) == (
        PlanState.LIFTED,
        "system:reference",
    )
    assert world.plan_changes("PT-ELEC")[-1] == "dropped"
    _publish(world, _plans(lambda p: p), "11:00")
    world.trigger("PT-ELEC", 2, "12:00")
    assert world.plan("PT-ELEC").state is PlanState.PROPOSED


def test_finished_work_of_a_running_plan_stays_with_its_task() -> None:
    """Ids of cards are places in the list.

    A task inserted before others must not inherit their finished work.
    """
    world = World()
    world.trigger("PT-TIAC", 3, "09:50")
    world.say(ActivatePlan(author="p", role="coordinator", plan="PT-TIAC"), "09:55")
    world.say(CompleteCard(author="p", role="coordinator", plan="PT-TIAC", card="TIA-F02"), "09:56")
    world.say(TickBox(author="p", role="coordinator", plan="PT-TIAC", box=1), "09:57")

    def longer(plan: ref.Plan) -> ref.Plan:
        if plan.id != "PT-TIAC" or plan.stand_down is None:
            return plan
        cards = (
            Card(id="F1", t_min=30, role="cellule_com", task="Répondre à la presse"),
            *plan.cards,
        )
        cards = tuple(
            card.model_copy(update={"id": f"F{n}", "depends_on": ()})
            for n, card in enumerate(cards, 1)
        )
        boxes = AllOf(
            all=(Manual(manual="familles prévenues"), Manual(manual="analyses conformes"))
        )
        return plan.model_copy(
            update={
                "cards": cards,
                "stand_down": plan.stand_down.model_copy(update={"when": boxes}),
            }
        )

    _publish(world, _plans(longer), "10:00")
    row = world.plan("PT-TIAC")
    assert [(c.id, c.state, clock(c.due_at)) for c in row.cards[:3]] == [
        ("F1", CardState.TO_DO, "10:20"),
        ("F2", CardState.NOT_APPLICABLE, "10:00"),
        ("F3", CardState.DONE, "10:05"),
    ]
    assert [(box.text, box.by) for box in row.boxes] == [
        ("familles prévenues", None),
        ("analyses conformes", "p"),
    ]
    world.say(TickBox(author="p", role="coordinator", plan="PT-TIAC", box=0), "10:10")
    assert world.plan("PT-TIAC").stand_down_proposed


def test_facts_before_the_first_reference_data_count_with_them() -> None:
    world = World(published=False)
    world.tell_site("mdph-01", "09:40", "09:40", SiteStatus.UNKNOWN)
    world.flag("system:siter", "down", "09:41")
    world.flag("kitchen:sct-nanterre", "down", "09:41", effective="12:00")
    refused = world.say(ActivatePlan(author="p", role="coordinator", plan="PT-ELEC"), "09:42")
    assert isinstance(refused, CommandRefused)
    assert refused.code == "no_reference"
    publish(world.service)
    assert world.activity("SOL-08").state is ActivityState.THREATENED
    assert clock(world.activity("ATT-02").rto.started_at) == "09:41"
    assert world.state.due["dependency:kitchen:sct-nanterre"] == world.instant("12:00"), (
        "announced for later"
    )


def test_an_incomplete_version_fails_as_an_input_and_changes_nothing() -> None:
    service: MemoryService[ContinuityState] = MemoryService(ContinuityDecider())
    opened_by_alerts(
        service, RealmOpened(territory="92", title_code="test", started_at=0, lineage=REALM)
    )
    made = service.feed(
        REALM, ref.ReferencePublished(reference="half", data=_activities(), last=True)
    )
    assert [f.name for f in made.facts] == ["InputFailed"]
    assert service.state(REALM).reference == ""


def test_new_reference_data_fit_into_a_record_with_all_clocks_running() -> None:
    """Percentages and open hours that are others are read one activity after the other."""
    world = World(start="09:00")
    world.flag("flag:total_isolation", True, "09:10")
    for site in territory().sites:
        world.hit(site.id, EventType.CLOSURE, "09:20")

    def earlier(section: ref.SectionData) -> ref.SectionData:
        if not isinstance(section, ref.EscalationPolicy):
            return section
        alarms = (*section.policy.alarms, ref.Alarm(base="rto", pct=1, to=("coordinateur_pca",)))
        return section.model_copy(
            update={"policy": section.policy.model_copy(update={"alarms": alarms})}
        )

    _publish_changed(world, earlier, "09:50")
    assert world.state.reference == "another"
    world.until("09:51")
    assert not [f.data for f in world.records() if f.name in ("InputFailed", "DeadlineFailed")]
    running = [
        row
        for row in world.state.activities.values()
        if row.rto.state is ClockState.RUNNING and row.rto.consumed_pct >= 1
    ]
    assert running
    assert all(1 in row.rto.alarms for row in running)


def test_a_system_required_by_many_activities_fits_into_records() -> None:
    world, count = World(start="09:00"), 200
    section = next(s for s in territory().sections if isinstance(s, ref.Activities))
    needy = next(a for a in section.activities if a.id == "COM-01")
    more = tuple(
        needy.model_copy(update={"id": f"COM-{n}", "systems": ("ad",)})
        for n in range(100, 100 + count)
    )
    _publish(
        world, section.model_copy(update={"activities": (*section.activities, *more)}), "09:05"
    )
    world.flag("flag:total_isolation", True, "09:10")
    world.until("09:11")
    assert not [f.data for f in world.records() if f.name in ("InputFailed", "DeadlineFailed")]
    rows = [world.activity(a.id) for a in more]
    assert {(row.state, clock(row.rto.started_at)) for row in rows} == {
        (ActivityState.INTERRUPTED, "09:10")
    }


@pytest.mark.parametrize("held", ["flag", "days"])
def test_a_shorter_limit_of_single_sites_counts_at_once(held: str) -> None:
    """D43: under a flag, and from the midnight that opens its window.

    Their clocks waited for their own next percentage.
    """
    policy = next(s for s in territory().sections if isinstance(s, ref.EscalationPolicy))
    when: dict[str, Any] = (
        {"flag": "total_isolation"} if held == "flag" else {"days_of_month": (12,)}
    )
    shorter = (
        *policy.policy.surcharges,
        ref.Surcharge(activity="SOL-06", dmia_h=4, rto_h=2, **when),
    )
    section = policy.model_copy(
        update={"policy": policy.policy.model_copy(update={"surcharges": shorter})}
    )
    world = World()
    world.service.feed(REALM, ref.ReferencePublished(reference="shorter", data=section, last=True))
    world.hit("sst-01", EventType.CLOSURE, since="10:00")
    if held == "flag":
        world.flag("flag:total_isolation", True, "13:00")
    world.until("13:00" if held == "flag" else "2027-02-12 00:00")
    row = world.local("SOL-06", "sst-01")
    assert row is not None
    assert [(c.limit_h, clock(c.deadline)) for c in row.clocks] == [(2, "12:00"), (4, "14:00")]
    assert ("rto", 100, "13:00" if held == "flag" else "00:00") in world.alarms("SOL-06", "sst-01")


def test_a_card_that_is_withdrawn_while_its_plan_runs_stays_in_the_run() -> None:
    world = World()
    world.trigger("PT-TIAC", 3, "09:50")
    world.say(ActivatePlan(author="p", role="coordinator", plan="PT-TIAC"), "09:55")
    gone = "TIA-F02"

    def shorter(plan: ref.Plan) -> ref.Plan:
        if plan.id != "PT-TIAC":
            return plan
        rest = tuple(
            card.model_copy(update={"depends_on": ()}) for card in plan.cards if card.id != gone
        )
        return plan.model_copy(update={"cards": rest})

    _publish(world, _plans(shorter), "10:00")
    withdrawn_cards = [card for card in world.plan("PT-TIAC").cards if card.task]
    assert [card.id for card in withdrawn_cards] == [gone]
    world.say(CompleteCard(author="p", role="coordinator", plan="PT-TIAC", card=gone), "10:05")
    done = next(card for card in world.plan("PT-TIAC").cards if card.id == gone)
    assert (done.state, done.task) == (CardState.DONE, withdrawn_cards[0].task)
