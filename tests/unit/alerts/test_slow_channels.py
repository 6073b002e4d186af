"""Orders reach somebody by a fast channel, not a mailbox alone (D34)."""

from typing import Any

import pytest

from schemas.alerts import AttentionRequested
from schemas.calling import NotificationPlanned, Unreachable
from schemas.oncall import NoteReachability, Reach, ReachRow
from schemas.words import Answer, Channel, EventType
from tests.unit.alerts.scene import Scene
from tests.unit.alerts.test_area_orders import (
    answer,
    calls,
    complete,
    inside,
    order,
    row,
    settle,
    task,
    withdrawn,
)

SITE = "pmi-01"


@pytest.fixture
def scene() -> Scene:
    return Scene()


def limit_channels(scene: Scene, channel: Channel, *people: str) -> None:
    """Leave these people one channel."""
    points = (Reach(channel=channel, verified_at=scene.start),)
    rows = tuple(ReachRow(id=person, points=points) for person in people)
    scene.command(NoteReachability(author="adm", role="admin", people=rows), 0)


def messages(scene: Scene, template: str) -> list[tuple[str, Any]]:
    planned = [f for f in scene.named(NotificationPlanned) if f.template == template]
    return [(f.person, f.values.get("order")) for f in planned if f.values["site"] == SITE]


@pytest.mark.parametrize("channel", [Channel.EMAIL, Channel.CHAT, Channel.WEBHOOK])
def test_an_order_for_a_manager_with_a_slow_channel_reaches_the_deputy_at_once(
    scene: Scene, channel: Channel
) -> None:
    """An order to leave waited in a mailbox at night."""
    limit_channels(scene, channel, f"rs-{SITE}")
    scene.report(1, "evacuation", SITE, severity=5, source="pompiers")
    assert messages(scene, "site_order") == [
        (f"rs-{SITE}", "evacuated"),
        (f"rs-{SITE}-s", "evacuated"),
    ]
    lifts = (EventType.EVACUATION,)
    scene.report(9, "reopening", SITE, severity=1, source="pompiers", lifts=lifts)
    assert messages(scene, "site_order")[2:] == [
        (f"rs-{SITE}", "lifted"),
        (f"rs-{SITE}-s", "lifted"),
    ]


@pytest.mark.parametrize("channel", [Channel.APP, Channel.SMS, Channel.VOICE])
def test_a_manager_with_one_fast_channel_alone_gets_the_order(
    scene: Scene, channel: Channel
) -> None:
    limit_channels(scene, channel, f"rs-{SITE}")
    scene.report(1, "evacuation", SITE, severity=5, source="pompiers")
    assert messages(scene, "site_order") == [(f"rs-{SITE}", "evacuated")]


def test_an_order_passes_everybody_with_a_mailbox_alone_up_to_the_director(scene: Scene) -> None:
    limit_channels(scene, Channel.EMAIL, f"rs-{SITE}", f"rs-{SITE}-s")
    scene.report(1, "evacuation", SITE, severity=5, source="pompiers")
    first, second = [f for f in scene.named(NotificationPlanned) if f.template == "site_order"]
    assert (first.person, second.role) == (f"rs-{SITE}", "directeur_pole")
    assert first.danger
    assert second.danger


def test_an_order_that_no_fast_channel_carries_goes_to_the_manager_once(scene: Scene) -> None:
    roster = scene.state.territory.roster
    assert roster is not None
    people = {holder.holder for holder in roster.holders}
    deputies = {holder.deputy for holder in roster.holders}
    everybody = sorted(person for person in people | deputies if person)
    for start in range(0, len(everybody), 100):
        limit_channels(scene, Channel.EMAIL, *everybody[start : start + 100])
    scene.report(1, "evacuation", SITE, severity=5, source="pompiers")
    assert messages(scene, "site_order") == [(f"rs-{SITE}", "evacuated")]


def test_a_question_about_an_area_goes_to_the_mailbox_and_to_a_fast_channel(scene: Scene) -> None:
    site = inside(scene)[0]
    limit_channels(scene, Channel.EMAIL, f"rs-{site}")
    order(scene, 1)
    slow, fast = calls(scene, site)
    assert (slow.person, fast.person) == (f"rs-{site}", f"rs-{site}-s")
    assert slow.values["task"] == fast.values["task"] == task(scene, site).id
    assert task(scene, site).calls == (slow.notification, fast.notification)
    assert task(scene, site).owner == f"responsable_site:{site}"
    settle(scene, 12)
    assert len(calls(scene, site)) == 2, "the deputy was called at once"
    answer(scene, 13, fast, Answer.ACK)
    assert scene.status(site) == "evacuated"
    assert withdrawn(scene) == {slow.notification}


def test_both_hear_of_the_end_of_the_order_for_the_area(scene: Scene) -> None:
    site = inside(scene)[0]
    limit_channels(scene, Channel.EMAIL, f"rs-{site}")
    order(scene, 1)
    order(scene, 5, "reopening", severity=1, lifts=(EventType.EVACUATION,))
    settle(scene, 5.1)
    assert row(scene).ended_at is not None
    ends = [call.person for call in calls(scene, site) if call.values["order"] == "lifted"]
    assert ends == [f"rs-{site}", f"rs-{site}-s"]


def test_an_unreachable_manager_is_followed_by_a_person_with_a_fast_channel(scene: Scene) -> None:
    site = inside(scene)[0]
    limit_channels(scene, Channel.EMAIL, f"rs-{site}-s")
    order(scene, 1)
    (call,) = calls(scene, site)
    message = Unreachable(notification=call.notification, person=call.person, at=scene.at(2))
    scene.feed(message, at=scene.at(2))
    settle(scene, 3)
    roles = [(f.person, f.role) for f in calls(scene, site)[1:]]
    assert roles[0] == (f"rs-{site}-s", "responsable_site")
    assert roles[1][1] == "directeur_pole"
    complete(scene, 4, site, "concerned")
    assert scene.status(site) == "evacuated"


def test_a_danger_and_a_stop_of_agents_use_a_fast_channel_too(scene: Scene) -> None:
    limit_channels(scene, Channel.EMAIL, f"rs-{SITE}")
    scene.report(1, "gas_leak", SITE, severity=3, source="grdf")
    stop = AttentionRequested(
        code="reassignment_stopped",
        roles=("responsable_site",),
        site=SITE,
        agents=4,
        barred="cen-1",
    )
    scene.feed(stop, at=scene.at(5))
    for template in ("site_danger", "reassignment_stopped"):
        people = [person for person, _order in messages(scene, template)]
        assert people == [f"rs-{SITE}", f"rs-{SITE}-s"], template
