"""A warning that no channel brings goes to the next person responsible for a site (D34)."""

from typing import Any

import pytest

from schemas.alerts import AttentionRequested
from schemas.calling import NotificationPlanned, RoleUncovered, Unreachable
from schemas.oncall import NoteReachability, OverrideDuty, ReachRow
from schemas.runtime import CommandApplied
from schemas.words import Channel, EventType, MsgType
from tests.unit.alerts.scene import Scene
from tests.unit.alerts.test_slow_channels import limit_channels

SITE = "pmi-01"
PLACE = "clg-0921353W"
MANAGER, DEPUTY = f"rs-{SITE}", f"rs-{SITE}-s"


@pytest.fixture
def scene() -> Scene:
    return Scene()


def messages(scene: Scene, *templates: str) -> list[NotificationPlanned]:
    planned = scene.named(NotificationPlanned)
    return [f for f in planned if f.template in templates and f.values["site"] == SITE]


def fail(scene: Scene, minute: float, call: NotificationPlanned) -> None:
    """Report that every channel of a message failed."""
    message = Unreachable(notification=call.notification, person=call.person, at=scene.at(minute))
    scene.feed(message, at=scene.at(minute))


def evacuate(scene: Scene, minute: float = 1) -> str:
    return scene.report(minute, "evacuation", SITE, severity=5, source="pompiers")


def lift(scene: Scene, minute: float) -> None:
    lifts = (EventType.EVACUATION,)
    scene.report(minute, "reopening", SITE, severity=1, source="pompiers", lifts=lifts)


def attend(scene: Scene, code: Any, minute: float, **values: Any) -> None:
    fields = {"roles": ("responsable_site",), "site": SITE, **values}
    scene.feed(AttentionRequested(code=code, **fields), at=scene.at(minute))


def warn(scene: Scene, template: str) -> None:
    """Warn the manager, by an input of each kind."""
    match template:
        case "site_order":
            evacuate(scene)
        case "site_danger":
            scene.report(1, "gas_leak", SITE, severity=4, source="grdf")
        case "reassignment_stopped":
            attend(scene, template, 1, agents=4, barred=PLACE)
        case "headcount_manager":
            attend(scene, template, 1, site=None, sites=(SITE,), found=7, expected=10)


@pytest.mark.parametrize(
    "template", ["site_order", "site_danger", "reassignment_stopped", "headcount_manager"]
)
def test_a_warning_climbs_until_a_channel_brings_it(scene: Scene, template: str) -> None:
    warn(scene, template)
    for number in range(1, 6):
        assert len(messages(scene, template)) == number
        fail(scene, number + 1, messages(scene, template)[-1])
    calls = messages(scene, template)
    assert [(call.role, call.person) for call in calls[:2]] == [
        ("responsable_site", MANAGER),
        ("responsable_site", DEPUTY),
    ]
    assert [call.role for call in calls[2:]] == [
        "directeur_pole",
        "directeur_pole",
        "coordinateur_pca",
        "coordinateur_pca",
    ]
    assert len({call.person for call in calls}) == 6
    assert all(call.danger and not call.answer_expected for call in calls)
    assert [call.channels[0] for call in calls] == [
        Channel.VOICE if template == "headcount_manager" else Channel.APP
    ] * 6
    fail(scene, 9, calls[-1])
    assert len(messages(scene, template)) == 6


def test_the_stand_in_hears_of_the_end_of_the_order(scene: Scene) -> None:
    """The deputy had sent everybody out, and the manager alone heard «fin»."""
    evacuate(scene)
    fail(scene, 2, messages(scene, "site_order")[0])
    fail(scene, 3, messages(scene, "site_order")[0])
    lift(scene, 30)
    ends = messages(scene, "site_order")[2:]
    assert [(f.person, f.values["order"]) for f in ends] == [
        (MANAGER, "lifted"),
        (DEPUTY, "lifted"),
    ]


def test_an_order_that_is_over_goes_no_further(scene: Scene) -> None:
    evacuate(scene)
    lift(scene, 30)
    order, end = messages(scene, "site_order")
    fail(scene, 31, order)
    assert messages(scene, "site_order") == [order, end]
    fail(scene, 32, end)
    assert [(f.person, f.values["order"]) for f in messages(scene, "site_order")[2:]] == [
        (DEPUTY, "lifted")
    ]


def test_a_danger_that_was_withdrawn_goes_no_further(scene: Scene) -> None:
    report = scene.report(1, "gas_leak", SITE, severity=4, source="grdf")
    cancel = {"msg_type": MsgType.CANCEL, "references": (report,), "source": "grdf"}
    scene.report(5, "gas_leak", SITE, severity=4, **cancel)
    danger, end = messages(scene, "site_danger")
    fail(scene, 6, danger)
    assert messages(scene, "site_danger") == [danger, end]


@pytest.mark.parametrize("how", ["withdrawn", "reopened"])
def test_the_warned_people_hear_of_the_end_of_a_danger(scene: Scene, how: str) -> None:
    """The site had brought everybody to safety, and nobody said that the leak was closed."""
    report = scene.report(1, "gas_leak", SITE, severity=4, source="grdf")
    fail(scene, 2, messages(scene, "site_danger")[0])
    if how == "withdrawn":
        cancel = {"msg_type": MsgType.CANCEL, "references": (report,)}
        scene.report(30, "gas_leak", SITE, severity=4, source="grdf", **cancel)
    else:
        scene.report(30, "reopening", SITE, source="grdf", lifts=(EventType.GAS_LEAK,))
    ends = messages(scene, "site_danger")[2:]
    assert [(f.person, f.values.get("ended"), f.danger) for f in ends] == [
        (MANAGER, "gas_leak", False),
        (DEPUTY, "gas_leak", False),
    ]


def test_the_manager_is_not_informed_of_the_own_end_of_a_danger(scene: Scene) -> None:
    scene.report(1, "gas_leak", SITE, severity=4, source="grdf")
    scene.report(30, "reopening", SITE, lifts=(EventType.GAS_LEAK,))
    assert scene.status(SITE) == "normal"
    assert len(messages(scene, "site_danger")) == 1


def test_one_of_two_dangers_at_a_site_ends_without_a_message(scene: Scene) -> None:
    scene.report(1, "gas_leak", SITE, severity=4, source="grdf")
    scene.report(2, "security_incident", SITE, severity=4, source="police")
    scene.report(30, "reopening", SITE, source="grdf", lifts=(EventType.GAS_LEAK,))
    assert [f.values.get("ended") for f in messages(scene, "site_danger")] == [None, None]


def test_the_end_of_a_danger_under_an_order_waits_for_the_end_of_the_order(scene: Scene) -> None:
    scene.report(1, "gas_leak", SITE, severity=4, source="grdf")
    evacuate(scene, 2)
    scene.report(30, "reopening", SITE, source="grdf", lifts=(EventType.GAS_LEAK,))
    assert len(messages(scene, "site_danger")) == 1
    lift(scene, 40)
    assert [f.values["order"] for f in messages(scene, "site_order")] == ["evacuated", "lifted"]
    assert len(messages(scene, "site_danger")) == 1


def test_a_mail_that_fails_beside_a_text_message_repeats_no_warning(scene: Scene) -> None:
    limit_channels(scene, Channel.EMAIL, MANAGER)
    evacuate(scene)
    mail, text = messages(scene, "site_order")
    assert (mail.person, text.person) == (MANAGER, DEPUTY)
    fail(scene, 2, mail)
    assert len(messages(scene, "site_order")) == 2
    fail(scene, 3, text)
    assert [f.role for f in messages(scene, "site_order")[2:]] == ["directeur_pole"]


def test_the_end_reaches_a_former_manager_like_the_new_one(scene: Scene) -> None:
    evacuate(scene)
    override = OverrideDuty(
        author="coord",
        role="coordinator",
        person="rs-pmi-02",
        start=scene.at(8),
        end=scene.at(600),
        role_on_call="responsable_site",
        scope=SITE,
        reason="text:leave",
    )
    assert isinstance(scene.command(override, 2), CommandApplied)
    lift(scene, 30)
    ends = messages(scene, "site_order")[1:]
    assert [f.person for f in ends] == ["rs-pmi-02", MANAGER]


def test_the_person_warned_of_a_stop_hears_that_agents_may_go_on(scene: Scene) -> None:
    """Without a reachable manager the director kept the agents, and nobody told the end."""
    reach = tuple(ReachRow(id=person, points=()) for person in (MANAGER, DEPUTY))
    scene.command(NoteReachability(author="adm", role="admin", people=reach), 0)
    attend(scene, "reassignment_stopped", 1, agents=4, barred=PLACE)
    (stop,) = messages(scene, "reassignment_stopped")
    fail(scene, 2, stop)
    attend(scene, "reassignment_resumed", 30, agents=4, barred=PLACE)
    people = [f.person for f in messages(scene, "reassignment_stopped")]
    ends = messages(scene, "reassignment_resumed")
    assert [f.person for f in ends] == people
    assert not any(f.danger for f in ends)
    fail(scene, 31, stop)
    assert len(messages(scene, "reassignment_stopped")) == 2, "the stop is over"


def test_one_stand_in_is_called_once_for_a_headcount_of_several_sites(scene: Scene) -> None:
    sites = (SITE, "pmi-02")
    reach = tuple(ReachRow(id=f"rs-{site}-s", points=()) for site in sites)
    scene.command(NoteReachability(author="adm", role="admin", people=reach), 0)
    attend(scene, "headcount_manager", 1, site=None, sites=sites, found=7, expected=10)
    planned = [f for f in scene.named(NotificationPlanned) if f.template == "headcount_manager"]
    for minute, call in enumerate(planned, 2):
        fail(scene, minute, call)
    roles = [f.role for f in scene.named(NotificationPlanned) if f.template == "headcount_manager"]
    assert roles == ["responsable_site", "responsable_site", "directeur_pole"]


def test_each_site_of_an_unreachable_manager_gets_its_stand_in(scene: Scene) -> None:
    """The manager of two sites was called for the first one, and nobody for the second."""
    override = OverrideDuty(
        author="coord",
        role="coordinator",
        person=MANAGER,
        start=scene.at(0),
        end=scene.at(600),
        role_on_call="responsable_site",
        scope="pmi-02",
        reason="text:leave",
    )
    assert isinstance(scene.command(override, 0), CommandApplied)
    attend(scene, "headcount_manager", 1, site=None, sites=(SITE, "pmi-02"), found=7, expected=10)
    (call,) = scene.named(NotificationPlanned)
    assert (call.person, call.values["site"]) == (MANAGER, f"{SITE},pmi-02")
    fail(scene, 2, call)
    assert [f.scope for f in scene.named(RoleUncovered)] == [SITE, "pmi-02"]
    fail(scene, 3, call)
    stand_ins = scene.named(NotificationPlanned)[1:]
    assert [(f.person, f.values["site"]) for f in stand_ins] == [
        (DEPUTY, SITE),
        ("rs-pmi-02-s", "pmi-02"),
    ]
    assert [f.scope for f in stand_ins] == [f.values["site"] for f in stand_ins]


def test_a_request_that_does_not_reach_the_holder_of_a_role_goes_to_the_deputy(
    scene: Scene,
) -> None:
    """An order for forty agents waited for a telephone that was off."""
    attend(scene, "reassignment_order", 1, agents=40, hosts=PLACE, host_count=1, come=0)
    (call,) = messages(scene, "reassignment_order")
    assert call.person == MANAGER
    fail(scene, 2, call)
    fail(scene, 3, call)
    first, second = messages(scene, "reassignment_order")
    assert (second.person, second.role, second.values) == (DEPUTY, first.role, first.values)
    fail(scene, 4, second)
    assert len(messages(scene, "reassignment_order")) == 2
    assert scene.named(RoleUncovered)[-1].role == "responsable_site"
