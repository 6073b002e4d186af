"""Reference data are inputs: a change during a crisis is ordered like any other (DESIGN §2)."""

from __future__ import annotations

from schemas import reference as ref
from schemas.commands import ActivatePlan
from schemas.runtime import CommandRefused, RealmOpened
from schemas.words import ActivityState, EventType, SiteStatus
from services.continuity.decider import ContinuityDecider
from services.continuity.state import State
from services.runtime.testing import MemoryService
from tests.unit.continuity.world import REALM, World, clock, hauts_de_seine, opened_by_alerts


def _publish(world: World, section: ref.SectionData, when: str) -> None:
    world.until(when)
    world.service.feed(REALM, ref.ReferencePublished(reference="another", data=section, last=True), at=world.instant(when))


def _activities(**changes: object) -> ref.Activities:
    section = next(s for s in hauts_de_seine().sections if isinstance(s, ref.Activities))
    changed = tuple(a.model_copy(update=changes) if a.id == "COM-03" else a for a in section.activities)
    return section.model_copy(update={"activities": changed})


def test_a_shorter_limit_counts_from_the_start_of_the_running_clock() -> None:
    world = World()
    world.hit("cen-1", EventType.EVACUATION, since="09:52")
    _publish(world, _activities(rto_h=0.5), "10:16")
    row = world.activity("COM-03")
    assert (clock(row.rto.started_at), clock(row.rto.deadline)) == ("09:52", "10:22")
    assert world.alarms("COM-03") == [("rto", 50, "10:16"), ("rto", 80, "10:16")]
    assert world.state.reference == "another"


def test_a_section_waits_for_the_last_one() -> None:
    world = World()
    world.service.feed(REALM, ref.ReferencePublished(reference="another", data=_activities(mbco_pct=99)), at=world.instant("09:41"))
    assert world.activity("COM-03").mbco_pct == 37
    assert world.state.reference == hauts_de_seine().version


def test_an_activity_that_a_new_version_drops_is_left_alone() -> None:
    world = World()
    world.hit("cen-1", EventType.EVACUATION, since="09:52")
    section = _activities()
    _publish(world, section.model_copy(update={"activities": tuple(a for a in section.activities if a.id != "COM-03")}), "10:00")
    world.until("13:00")
    assert world.alarms("COM-03") == []
    assert not [f for f in world.records() if f.name == "DeadlineFailed"]


def test_what_was_heard_before_the_first_reference_data_counts_with_them() -> None:
    service: MemoryService[State] = MemoryService(ContinuityDecider())
    world = World(service=service, published=False)
    world.tell_site("mdph-01", "09:40", "09:40", SiteStatus.UNKNOWN)
    world.flag("system:siter", "down", "09:41")
    refused = world.say(ActivatePlan(author="p", role="coordinator", plan="PT-ELEC"), "09:42")
    assert isinstance(refused, CommandRefused)
    assert refused.code == "no_reference"
    world.publish()
    assert world.activity("SOL-08").state is ActivityState.THREATENED
    assert clock(world.activity("ATT-02").rto.started_at) == "09:41"


def test_an_incomplete_version_fails_as_an_input_and_changes_nothing() -> None:
    service: MemoryService[State] = MemoryService(ContinuityDecider())
    opened_by_alerts(service, RealmOpened(territory="92", title_code="test", started_at=0, lineage=REALM))
    made = service.feed(REALM, ref.ReferencePublished(reference="half", data=_activities(), last=True))
    assert [f.name for f in made.facts] == ["InputFailed"]
    assert service.state(REALM).reference == ""
