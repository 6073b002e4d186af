"""Managers are informed, without a call, of orders and of silence about their site (D18, D79)."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.alerts import AttentionRequested
from schemas.calling import AnswerReceived, NotificationPlanned, RoleUncovered
from schemas.commands import DenyReport, MergeIncidents, ResolveIncident, SetLevel
from schemas.oncall import NoteReachability, OverrideDuty, ReachRow
from schemas.reports import Measure, Window
from schemas.runtime import CommandApplied
from schemas.words import Answer, Certainty, Channel, MsgType
from tests.unit.alerts.scene import Scene

COLLEGE = "clg-0921353W"
PMI = "pmi-01"
CELL: dict[str, Any] = {"author": "coord", "role": "coordinateur_pca", "reason": "text:x"}


@pytest.fixture
def scene() -> Scene:
    return Scene()


def told(scene: Scene, template: str) -> list[NotificationPlanned]:
    return [f for f in scene.named(NotificationPlanned) if f.template == template]


@pytest.mark.parametrize(
    ("type", "order"),
    [("evacuation", "evacuated"), ("fire", "evacuated"), ("shelter_in_place", "sheltering")],
)
def test_a_manager_learns_of_an_order_given_by_another(scene: Scene, type: str, order: str) -> None:
    scene.report(1, type, COLLEGE, severity=4, source="pompiers")
    (one,) = told(scene, "site_order")
    assert (one.person, one.scope, one.danger, one.answer_expected) == (
        f"rs-{COLLEGE}",
        COLLEGE,
        True,
        False,
    )
    assert one.values["order"] == order
    assert one.values["site"] == COLLEGE
    assert one.values["since"] == one.values["ordered_at"] == scene.at(1)
    assert one.values["giver"] == "pompiers"


@pytest.mark.parametrize(
    ("absent", "recipient"),
    [
        ((f"rs-{COLLEGE}",), ("responsable_site", COLLEGE)),
        ((f"rs-{COLLEGE}", f"rs-{COLLEGE}-s"), ("directeur_pole", "education")),
        (
            (f"rs-{COLLEGE}", f"rs-{COLLEGE}-s", "dir-education", "dir-education-s"),
            ("coordinateur_pca", None),
        ),
    ],
)
def test_an_order_without_a_reachable_manager_goes_higher(
    scene: Scene, absent: tuple[str, ...], recipient: tuple[str, str | None]
) -> None:
    """Rule D34: no silent wait while people have to leave."""
    reach = tuple(ReachRow(id=person, points=()) for person in absent)
    scene.command(NoteReachability(author="adm", role="admin", people=reach), 0)
    scene.report(1, "evacuation", COLLEGE, severity=4, source="pompiers")
    scene.report(30, "reopening", COLLEGE, severity=1, source="pompiers", lifts=("evacuation",))
    orders = told(scene, "site_order")
    assert [f.values["order"] for f in orders] == ["evacuated", "lifted"]
    assert {(f.role, f.scope) for f in orders} == {recipient}
    assert {f.values["site"] for f in orders} == {COLLEGE}
    uncovered = [f for f in scene.named(RoleUncovered) if f.escalation is None]
    assert ("responsable_site" in {f.role for f in uncovered}) == (len(absent) > 1)


@pytest.mark.parametrize(
    ("absent", "role"),
    [((), "responsable_site"), ((f"rs-{PMI}", f"rs-{PMI}-s"), "directeur_pole")],
)
def test_a_journey_into_danger_is_stopped_despite_an_absent_manager(
    scene: Scene, absent: tuple[str, ...], role: str
) -> None:
    reach = tuple(ReachRow(id=person, points=()) for person in absent)
    scene.command(NoteReachability(author="adm", role="admin", people=reach), 0)
    stop = AttentionRequested(
        code="reassignment_stopped",
        roles=("responsable_site",),
        site=PMI,
        agents=4,
        barred=COLLEGE,
        barred_homes=PMI,
    )
    scene.feed(stop, at=scene.at(700))
    (one,) = told(scene, "reassignment_stopped")
    assert (one.role, one.danger, one.quiet_until) == (role, True, None)
    assert (one.values["site"], one.values["agents"], one.values["barred"]) == (PMI, 4, COLLEGE)
    assert one.values["barred_homes"] == PMI


HEADCOUNT = AttentionRequested(
    code="headcount_manager",
    roles=("responsable_site",),
    sites=(PMI, COLLEGE),
    found=7,
    expected=10,
)


def test_a_headcount_calls_the_stand_in_of_a_manager_once(scene: Scene) -> None:
    """Delivery called the manager of the roster, in spite of a leave."""
    for n, site in enumerate((PMI, COLLEGE)):
        override = OverrideDuty(
            author="coord",
            role="coordinator",
            person="rs-pmi-02",
            start=scene.at(n),
            end=scene.at(600),
            role_on_call="responsable_site",
            scope=site,
            reason="text:leave",
        )
        assert isinstance(scene.command(override, n), CommandApplied)
    scene.feed(HEADCOUNT, at=scene.at(33))
    (call,) = told(scene, "headcount_manager")
    assert (call.person, call.scope, call.danger, call.quiet_until) == (
        "rs-pmi-02",
        PMI,
        True,
        None,
    )
    assert call.channels[0] is Channel.VOICE
    assert call.values["site"] == f"{PMI},{COLLEGE}"
    assert (call.values["found"], call.values["expected"]) == (7, 10)


def test_a_headcount_without_a_reachable_manager_calls_the_director(scene: Scene) -> None:
    reach = tuple(ReachRow(id=person, points=()) for person in (f"rs-{PMI}", f"rs-{PMI}-s"))
    scene.command(NoteReachability(author="adm", role="admin", people=reach), 0)
    scene.feed(HEADCOUNT, at=scene.at(33))
    calls = told(scene, "headcount_manager")
    assert [(c.role, c.values["site"]) for c in calls] == [
        ("directeur_pole", PMI),
        ("responsable_site", COLLEGE),
    ]


@pytest.mark.parametrize(
    ("type", "severity", "source"),
    [("gas_leak", 3, "grdf"), ("security_incident", 4, "police"), ("outage_power", 5, "pompiers")],
)
def test_a_manager_learns_of_a_danger_at_the_site_from_others(
    scene: Scene, type: str, severity: int, source: str
) -> None:
    """Rule D2: at N2 the escalation calls the direction, and nobody told the people on site."""
    scene.report(1, type, COLLEGE, severity=severity, source=source)
    (one,) = told(scene, "site_danger")
    assert (one.person, one.scope, one.danger, one.answer_expected) == (
        f"rs-{COLLEGE}",
        COLLEGE,
        True,
        False,
    )
    assert (one.values["site"], one.values["hazard"]) == (COLLEGE, type)
    assert (one.values["ordered_at"], one.values["giver"]) == (scene.at(1), source)
    scene.report(2, type, COLLEGE, severity=severity, source="samu")
    assert len(told(scene, "site_danger")) == 1, "the same danger is told once"


def test_a_known_or_unconfirmed_danger_informs_no_manager(scene: Scene) -> None:
    scene.report(1, "gas_leak", COLLEGE, severity=4)
    scene.report(2, "gas_leak", "pmi-02", severity=4, source="citizen", certainty="unconfirmed")
    scene.report(3, "fire", "pmi-03", severity=4, source="pompiers")
    assert not told(scene, "site_danger"), "an own report, an unconfirmed one, an order"


def test_a_manager_called_for_a_danger_gets_no_message_beside(scene: Scene) -> None:
    scene.report(1, "security_incident", COLLEGE, severity=3, source="police")
    assert f"rs-{COLLEGE}" in {c.person for c in told(scene, "incident_wave")}
    assert not told(scene, "site_danger")


def test_a_manager_is_not_informed_of_their_own_order(scene: Scene) -> None:
    scene.report(1, "evacuation", COLLEGE, severity=4, source="site_manager")
    assert not told(scene, "site_order")


def test_a_rumour_of_an_order_informs_no_manager(scene: Scene) -> None:
    scene.report(1, "evacuation", COLLEGE, severity=4, source="rumour", certainty=Certainty.RUMOUR)
    scene.report(
        2, "evacuation", COLLEGE, severity=4, source="commune", certainty=Certainty.UNCONFIRMED
    )
    assert not told(scene, "site_order")


def test_an_order_and_its_end_are_sent_once_each(scene: Scene) -> None:
    scene.report(1, "evacuation", COLLEGE, severity=4, source="pompiers")
    scene.report(2, "evacuation", COLLEGE, severity=4, source="police")
    scene.report(30, "reopening", COLLEGE, severity=1, source="pompiers", lifts=("evacuation",))
    assert [f.values["order"] for f in told(scene, "site_order")] == ["evacuated", "lifted"]
    assert [f.values.get("ended") for f in told(scene, "site_order")] == [None, "evacuated"]
    assert [f.danger for f in told(scene, "site_order")] == [True, False]


def test_each_manager_of_a_silent_site_in_an_affected_zone_is_asked_once(scene: Scene) -> None:
    cut = Measure(name="customers_cut", value=30_000.0)
    scene.report(0, "outage_power", source="enedis", zone=("92050",), severity=4, measure=cut)
    assert not told(scene, "verify_request"), "their thirty minutes are not over"
    scene.report(10, "info", PMI, severity=1, source="site_manager")
    scene.step(31)
    verify_requests = told(scene, "verify_request")
    silent = {site for site, row in scene.state.sites.items() if row.status == "unknown"}
    assert {f.scope for f in verify_requests} == silent != set()
    assert len(verify_requests) == len({f.person for f in verify_requests})
    assert not any(f.danger or f.answer_expected for f in verify_requests)


def _answer_crisis(scene: Scene, minute: float) -> None:
    call = next(f for f in scene.named(NotificationPlanned) if f.answer_expected and f.level >= 3)
    answer = AnswerReceived(
        notification=call.notification,
        person=call.person,
        answer=Answer.ACK,
        channel="app",
        at=scene.at(minute),
    )
    scene.feed(answer, at=scene.at(minute))


@pytest.mark.parametrize("level_first", [True, False])
def test_the_end_of_a_crisis_thanks_each_person_in_charge_once(
    scene: Scene, *, level_first: bool
) -> None:
    """The last incident is closed and the level has fallen, in either order."""
    scene.report(0, "closure", "cen-2")
    incident = scene.incidents()[0].id
    _answer_crisis(scene, 1)
    lower = SetLevel(
        **CELL | {"role": "dgs_directeur_de_crise"}, scope="territory", level=0, force=True
    )
    close = ResolveIncident(**CELL, incident=incident, force=True)
    for minute, decision in enumerate((lower, close) if level_first else (close, lower), 10):
        assert not told(scene, "crisis_end")
        scene.command(decision, minute)
    (thanks,) = told(scene, "crisis_end")
    assert thanks.incident == incident
    assert not thanks.answer_expected


def _answer_call(scene: Scene, minute: float) -> str:
    call = next(f for f in scene.named(NotificationPlanned) if f.answer_expected)
    answer = AnswerReceived(
        notification=call.notification,
        person=call.person,
        answer=Answer.ACK,
        channel="app",
        at=scene.at(minute),
    )
    scene.feed(answer, at=scene.at(minute))
    return call.person


@pytest.mark.parametrize("denied", [False, True])
def test_people_in_charge_learn_that_the_only_report_was_an_error(
    scene: Scene, *, denied: bool
) -> None:
    """They may be on their way in the night: nothing told them."""
    report = scene.report(0, "gas_leak", COLLEGE, severity=4)
    person = _answer_call(scene, 1)
    if denied:
        scene.command(DenyReport(**CELL, report=report), 2)
    else:
        scene.report(
            2, "gas_leak", COLLEGE, severity=4, msg_type=MsgType.CANCEL, references=(report,)
        )
    (message,) = told(scene, "report_withdrawn")
    assert (message.person, message.incident) == (person, scene.incidents()[0].id)
    assert not message.answer_expected
    assert message.quiet_until is None
    assert not scene.incidents()[0].danger


def test_people_in_charge_of_a_crisis_learn_that_a_later_incident_was_an_error(
    scene: Scene,
) -> None:
    """The cell had heard that the headquarters was evacuated, and nobody took it back."""
    scene.report(0, "closure", "cen-2")
    _answer_crisis(scene, 1)
    (person,) = scene.incidents()[0].acknowledged_by
    report = scene.report(30, "evacuation", "cen-1", severity=4, source="pompiers")
    joined = scene.incident_of(report)
    assert (joined.level, joined.acknowledged_by) == (3, ())
    cancel = {"msg_type": MsgType.CANCEL, "references": (report,), "source": "pompiers"}
    scene.report(40, "evacuation", "cen-1", severity=4, **cancel)
    (message,) = told(scene, "report_withdrawn")
    assert (message.person, message.incident) == (person, joined.id)


def test_people_in_charge_of_a_merged_incident_learn_of_the_error(scene: Scene) -> None:
    """The technician on the way to the first site heard nothing of the other incident."""
    reports = [scene.report(0, "gas_leak", COLLEGE, severity=4), scene.report(0, "closure", PMI)]
    first, second = (scene.incident_of(report).id for report in reports)
    person = _answer_call(scene, 1)
    assert person in scene.incident_of(reports[0]).acknowledged_by
    merge = MergeIncidents(**CELL, incident=first, into=second)
    assert isinstance(scene.command(merge, 2), CommandApplied)
    for type, site, report in zip(("gas_leak", "closure"), (COLLEGE, PMI), reports, strict=True):
        scene.report(3, type, site, severity=4, msg_type=MsgType.CANCEL, references=(report,))
    (message,) = told(scene, "report_withdrawn")
    assert (message.person, message.incident) == (person, second)


def test_a_yes_to_a_call_from_before_the_error_hears_of_it(scene: Scene) -> None:
    """The text message was read late, and its yes sent somebody to an error."""
    report = scene.report(0, "gas_leak", COLLEGE, severity=4)
    scene.report(2, "gas_leak", COLLEGE, severity=4, msg_type=MsgType.CANCEL, references=(report,))
    assert not told(scene, "report_withdrawn")
    person = _answer_call(scene, 5)
    _answer_call(scene, 6)
    assert [message.person for message in told(scene, "report_withdrawn")] == [person], "once"


def test_a_yes_beside_another_trouble_hears_of_no_error(scene: Scene) -> None:
    report = scene.report(0, "gas_leak", COLLEGE, severity=4)
    scene.report(0, "outage_power", COLLEGE)
    scene.report(2, "gas_leak", COLLEGE, severity=4, msg_type=MsgType.CANCEL, references=(report,))
    _answer_call(scene, 5)
    assert not told(scene, "report_withdrawn")


def test_a_withdrawal_beside_another_trouble_keeps_the_danger(
    scene: Scene,
) -> None:
    gas = scene.report(0, "gas_leak", COLLEGE, severity=4)
    power = scene.report(0, "outage_power", COLLEGE)
    _answer_call(scene, 1)
    scene.report(2, "outage_power", COLLEGE, msg_type=MsgType.CANCEL, references=(power,))
    assert scene.incident_of(gas).danger
    assert not told(scene, "report_withdrawn")


def test_a_danger_after_a_false_alarm_calls_again(scene: Scene) -> None:
    report = scene.report(0, "gas_leak", COLLEGE, severity=4)
    person = _answer_call(scene, 1)
    scene.report(2, "gas_leak", COLLEGE, severity=4, msg_type=MsgType.CANCEL, references=(report,))
    calls = len([f for f in scene.named(NotificationPlanned) if f.answer_expected])
    scene.report(10, "gas_leak", COLLEGE, severity=4)
    assert scene.incident_of(report).danger
    again = [f for f in scene.named(NotificationPlanned) if f.answer_expected][calls:]
    assert person in {f.person for f in again}


def test_a_manager_learns_of_an_announced_danger_when_it_begins(scene: Scene) -> None:
    later = (Window(start=scene.at(60), end=scene.at(120)),)
    scene.report(1, "security_incident", COLLEGE, severity=5, source="police", effective=later)
    assert not told(scene, "site_danger")
    scene.step(61)
    assert len(told(scene, "site_danger")) == 1
