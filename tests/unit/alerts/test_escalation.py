"""Escalations, read as runbooks, call in time and never stall (D32–D35)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import pytest

from schemas.alerts import AttentionRequested
from schemas.base import MINUTE_MS
from schemas.calling import (
    AnswerReceived,
    AnswerRecorded,
    EscalationChanged,
    NotificationPlanned,
    NotificationUrged,
    NotificationWithdrawn,
    RoleUncovered,
    Unreachable,
)
from schemas.commands import (
    AcknowledgeIncident,
    CompleteTask,
    EscalateIncident,
    ReapplyPolicy,
    ResolveIncident,
    SetLevel,
)
from schemas.crisis.handovers import AcceptHandover, DraftHandover, HandoverPage, SignHandover
from schemas.people.attendance import AttendanceMode, StateAttendance
from schemas.reference import EscalationPolicy, Holder, PublishReference, Roster, RosterSection
from schemas.reports import Measure
from schemas.runtime import CommandApplied, CommandRefused
from schemas.words import Answer, Channel, Level
from services.alerts.decision import AlertsDecision
from services.alerts.escalation.oncall import find_quiet_end
from services.runtime.decider.protocol import Deadline, Firing
from tests.shipped import territory
from tests.unit.alerts.scene import PARIS, START, Scene

PMI, COLLEGE = "pmi-04", "clg-0921353W"


@pytest.fixture
def scene() -> Scene:
    return Scene()


class Calls:
    """Notifications of a scene.

    `expect` returns the new ones; an unexpected one fails the test.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene, self._seen = scene, 0

    def new(self) -> list[NotificationPlanned]:
        """Return new notifications, without those to managers of sites (test_managers)."""
        planned = [
            c
            for c in self.scene.named(NotificationPlanned)
            if c.template not in ("site_order", "site_danger", "verify_request")
        ]
        fresh, self._seen = planned[self._seen :], len(planned)
        return fresh

    def expect(self, *persons: str) -> list[NotificationPlanned]:
        fresh = self.new()
        assert sorted(c.person for c in fresh) == sorted(persons)
        return fresh

    def expect_nobody(self) -> None:
        self.expect()

    def of(self, person: str) -> NotificationPlanned:
        """Return the newest call of a person, which an answer is about."""
        return next(
            c
            for c in reversed(self.scene.named(NotificationPlanned))
            if c.person == person and c.answer_expected
        )


def _answer(
    scene: Scene, calls: Calls, person: str, minute: float, answer: Answer = Answer.ACK
) -> None:
    call = calls.of(person)
    scene.feed(
        AnswerReceived(
            notification=call.notification,
            person=person,
            answer=answer,
            channel="sms",
            at=scene.at(minute),
        ),
        at=scene.at(minute),
    )


def _ladder(scene: Scene, scope: str) -> Any:
    return scene.state.escalations[scene.state.ladders[scope]]


def _without(*roles: str, deputies: Iterable[str] = ()) -> Roster:
    """Build the territory's roster without holders of these roles; `deputies` keep one."""
    roster = next(s.roster for s in territory().sections if isinstance(s, RosterSection))
    holders = tuple(
        Holder(
            role=h.role, scope=h.scope, holder=None, deputy=h.deputy if h.role in deputies else None
        )
        if h.role in roles
        else h
        for h in roster.holders
    )
    return Roster(holders=holders, channels=roster.channels)


N2_FIRST = ("ast-direction", "dir-solidarites", "coord-pca", "ast-technique")
CRISIS = (
    "ast-direction",
    "ast-technique",
    "dgs",
    "coord-pca",
    "main-courante",
    "cel-situation",
    "cel-rh",
    "cel-logistique",
    "cel-si",
    "cel-com",
    "cel-juridique",
    *(
        f"dir-{p}"
        for p in (
            "solidarites",
            "education",
            "attractivite",
            "logement",
            "communication",
            "rh_finances",
            "commande_logistique",
            "evaluation_orga",
        )
    ),
)


# ── N1, N2 ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_site_incident_calls_its_manager_then_the_director_on_call(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=2)
    first = calls.expect("rs-pmi-04", "ast-technique")
    assert {(c.level, c.wave, c.cycle, c.template) for c in first} == {(1, 1, 1, "incident_wave")}
    assert first[0].channels == ("app", "sms")
    assert first[0].ack_by == scene.at(15)
    assert first[0].values["number"] == "92-2027-0211-01"

    scene.step(14.9)
    calls.expect_nobody()
    scene.step(15)
    (second,) = calls.expect("ast-direction")
    assert second.channels == ("sms", "voice")


def test_one_acknowledgement_stops_an_n1_escalation(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=2)
    calls.new()
    _answer(scene, calls, "ast-technique", 3)
    incident = scene.incidents()[0]
    assert (incident.state, incident.acknowledged_by) == ("acknowledged", ("ast-technique",))
    assert _ladder(scene, incident.id).state == "answered"
    scene.step(300)
    calls.expect_nobody()
    assert scene.service.next_due(scene.realm) is None


MACHINE: dict[str, Any] = {"source": "supervision", "source_key": "src-pd"}


@pytest.mark.parametrize("severity", [3, 4], ids=["n1", "n2"])
def test_an_acknowledgement_at_the_source_of_an_alert_stops_its_escalation(
    scene: Scene, severity: int
) -> None:
    calls = Calls(scene)
    alert = scene.report(0, "outage_it", PMI, severity=severity, capacity_lost_pct=10.0, **MACHINE)
    calls.new()
    scene.report(
        3, "info", PMI, acknowledges=True, references=(alert,), **(MACHINE | {"severity": 1})
    )
    incident = scene.incidents()[0]
    assert (incident.state, incident.acknowledged_by) == ("acknowledged", ("src-pd",))
    assert _ladder(scene, incident.id).state == "answered"
    assert scene.named(EscalationChanged)[-1].change == "taken_at_source"
    scene.step(25)
    calls.expect_nobody()


@pytest.mark.parametrize(
    "other",
    [{"source": "site_manager"}, {"source": "supervision", "source_key": "src-other"}],
    ids=["person", "machine"],
)
def test_an_incident_with_other_reports_waits_for_the_called_people(
    scene: Scene, other: dict[str, Any]
) -> None:
    calls = Calls(scene)
    alert = scene.report(0, "outage_it", PMI, capacity_lost_pct=10.0, **MACHINE)
    scene.report(1, "outage_it", PMI, capacity_lost_pct=10.0, **other)
    calls.new()
    scene.report(
        3, "info", PMI, acknowledges=True, references=(alert,), **(MACHINE | {"severity": 1})
    )
    assert (scene.incidents()[0].state, _ladder(scene, scene.incidents()[0].id).state) == (
        "open",
        "running",
    )
    scene.step(15)
    calls.expect("ast-direction")


def test_no_source_stops_the_escalation_of_a_crisis(scene: Scene) -> None:
    alert = scene.report(0, "outage_it", "sit-01", severity=5, capacity_lost_pct=10.0, **MACHINE)
    crisis = scene.state.ladders["territory"]
    scene.report(
        3, "info", "sit-01", acknowledges=True, references=(alert,), **(MACHINE | {"severity": 1})
    )
    assert scene.state.escalations[crisis].state == "running"
    assert scene.incidents()[0].acknowledged_by == ("src-pd",)


def test_the_quorum_counts_distinct_persons_of_a_wave(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=4)
    calls.expect(*N2_FIRST)
    _answer(scene, calls, "coord-pca", 2)
    _answer(scene, calls, "coord-pca", 3)
    scene.step(10)
    calls.expect("dir-solidarites-s")


def test_a_late_answer_counts_for_its_own_wave_and_stops_later_ones(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=4)
    calls.new()
    _answer(scene, calls, "coord-pca", 2)
    scene.step(10)
    calls.expect("dir-solidarites-s")
    _answer(scene, calls, "dir-solidarites", 12)
    assert scene.named(AnswerRecorded)[-1].late
    assert _ladder(scene, scene.incidents()[0].id).state == "answered"
    scene.step(60)
    calls.expect_nobody()


def test_a_decline_calls_the_deputy_at_once(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=4)
    calls.new()
    _answer(scene, calls, "dir-solidarites", 1, Answer.DECLINE)
    (deputy,) = calls.expect("dir-solidarites-s")
    assert (deputy.wave, deputy.role, deputy.planned_at) == (1, "directeur_pole", scene.at(1))
    _answer(scene, calls, "dir-solidarites-s", 2)
    _answer(scene, calls, "coord-pca", 3)
    assert _ladder(scene, scene.incidents()[0].id).state == "answered"


@pytest.mark.parametrize(
    ("instead", "called"),
    [
        ("dir-education", "dir-education"),
        ("cel-rh", "dir-solidarites-s"),
        ("x", "dir-solidarites-s"),
    ],
)
def test_a_decline_may_name_a_person_of_the_same_role(
    scene: Scene, instead: str, called: str
) -> None:
    """A link calls only holders of the role; otherwise the deputy is called."""
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=4)
    calls.new()
    call = calls.of("dir-solidarites")
    scene.feed(
        AnswerReceived(
            notification=call.notification,
            person=call.person,
            answer=Answer.DECLINE,
            channel="link",
            at=scene.at(1),
            instead=instead,
        ),
        at=scene.at(1),
    )
    (next_call,) = calls.expect(called)
    assert (next_call.role, next_call.scope, next_call.wave) == ("directeur_pole", call.scope, 1)


def test_a_deputy_called_in_vain_in_a_former_cycle_is_called_again(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=2)
    _answer(scene, calls, "ast-technique", 1, Answer.DECLINE)
    scene.step(30)
    calls.new()
    _answer(scene, calls, "ast-technique", 31, Answer.DECLINE)
    (deputy,) = calls.expect("ast-technique-s")
    assert (deputy.wave, deputy.cycle) == (1, 2)
    scene.feed(
        Unreachable(
            notification=calls.of("ast-technique").notification,
            person="ast-technique",
            at=scene.at(32),
        ),
        at=scene.at(32),
    )
    calls.expect_nobody()


def test_an_unreachable_person_is_replaced_as_after_a_decline(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=4)
    calls.new()
    call = calls.of("ast-technique")
    scene.feed(
        Unreachable(notification=call.notification, person="ast-technique", at=scene.at(1)),
        at=scene.at(1),
    )
    calls.expect("ast-technique-s")


def test_an_uncovered_role_is_recorded_calls_its_deputy_and_fires_the_next_wave_at_once() -> None:
    scene = Scene(roster=_without("coordinateur_pca", deputies=["coordinateur_pca"]))
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=4)
    called = calls.expect(
        "dir-solidarites", "coord-pca-s", "ast-technique", "ast-direction", "dir-solidarites-s"
    )
    assert {c.planned_at for c in called} == {scene.at(0)}
    assert [(u.role, u.scope) for u in scene.named(RoleUncovered)] == [("coordinateur_pca", None)]
    assert _ladder(scene, scene.incidents()[0].id).uncovered_roles == ("coordinateur_pca",)


def test_an_escalation_of_uncovered_roles_still_reaches_a_person() -> None:
    scene = Scene(
        roster=_without(
            "coordinateur_pca",
            "astreinte_technique",
            "directeur_pole",
            "astreinte_direction",
            "suppleant_directeur_pole",
        )
    )
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=4)
    calls.expect("dgs")


def test_an_escalation_restarts_three_times_then_leaves_a_standing_alert(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=2)
    fired = []
    for minute in range(0, 200, 1):
        scene.step(minute)
        fired += [(minute, c.wave, c.cycle) for c in calls.new() if c.person != "rs-pmi-04"]
    assert fired == [
        (0, 1, 1),
        (15, 2, 1),
        (30, 1, 2),
        (45, 2, 2),
        (60, 1, 3),
        (75, 2, 3),
        (90, 1, 4),
        (105, 2, 4),
    ]
    ladder = _ladder(scene, scene.incidents()[0].id)
    assert (ladder.state, ladder.next_at) == ("exhausted", None)


def test_answers_add_up_over_the_cycles(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=4)
    calls.new()
    _answer(scene, calls, "coord-pca", 1)
    scene.step(20)
    calls.new()
    scene.step(35)
    again = calls.expect("ast-direction", "dir-solidarites", "ast-technique")
    assert {c.cycle for c in again} == {2}, "who said yes is not called again"
    _answer(scene, calls, "ast-technique", 36)
    assert _ladder(scene, scene.incidents()[0].id).state == "answered"


# ── rises ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_rise_starts_the_higher_escalation_at_once_and_withdraws_unanswered_calls(
    scene: Scene,
) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=2)
    low = calls.expect("rs-pmi-04", "ast-technique")
    _answer(scene, calls, "ast-technique", 1)
    scene.report(2, "closure", PMI, severity=4, source="supervision")
    high = calls.expect(*N2_FIRST)
    assert {(c.level, c.previous_level, c.template) for c in high} == {(2, 1, "level_raised")}, (
        "who said yes to N1 must say it again"
    )
    withdrawn = {w.notification for w in scene.named(NotificationWithdrawn)}
    assert withdrawn == {c.notification for c in low if c.person == "rs-pmi-04"}
    scene.step(300)
    assert not [c for c in calls.new() if c.level == 1]


def test_a_rise_asks_the_former_person_in_charge_for_a_new_acknowledgement(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=4)
    scene.step(10)
    calls.new()
    _answer(scene, calls, "dir-solidarites-s", 11)
    incident = scene.incidents()[0]
    assert incident.state == "acknowledged"
    scene.command(
        SetLevel(author="coord-pca", role="coordinator", level=Level.N3, scope=incident.id), 12
    )
    called = {c.person: c for c in calls.expect(*CRISIS, "dir-solidarites-s")}
    assert {(c.level, c.previous_level, c.template) for c in called.values()} == {
        (3, 2, "level_raised")
    }
    again = {person for person, c in called.items() if not c.values.get("first_call")}
    assert again == {*called} & {*N2_FIRST, "dir-solidarites-s"}, (
        "nobody else is asked to answer again"
    )
    assert called["dir-solidarites-s"].role == "suppleant_directeur_pole"
    incident = scene.incidents()[0]
    assert (incident.state, incident.acknowledged_by) == ("open", ()), (
        "nobody has answered for the crisis yet"
    )
    _answer(scene, calls, "dir-solidarites-s", 13)
    assert _ladder(scene, "territory").acknowledged_by == ("dir-solidarites-s",)
    assert scene.incidents()[0].state == "acknowledged"


def test_a_person_in_charge_learns_that_the_incident_joins_the_crisis(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", "cen-2")
    scene.report(1, "closure", PMI, severity=4)
    calls.new()
    _answer(scene, calls, "dgs", 2)
    _answer(scene, calls, "ast-technique", 2)
    own = next(i.id for i in scene.incidents() if PMI in i.members)
    scene.command(SetLevel(author="coord-pca", role="coordinator", level=Level.N3, scope=own), 5)
    assert {(c.template, c.answer_expected) for c in calls.expect("dgs", "ast-technique")} == {
        ("information", False)
    }


def test_n3_is_one_escalation_of_the_realm(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", "cen-2")
    crisis = calls.expect(*CRISIS)
    assert {c.level for c in crisis} == {3}
    ladder = _ladder(scene, "territory")
    assert (ladder.scope, ladder.incidents) == ("territory", (scene.incidents()[0].id,))

    _answer(scene, calls, "dgs", 2)
    scene.report(5, "closure", "cen-3")
    (notification,) = calls.expect("dgs")
    assert (notification.answer_expected, notification.template) == (False, "information"), (
        "it joins: information, no new acknowledgement"
    )
    assert not notification.danger
    assert len(_ladder(scene, "territory").incidents) == 2
    assert len([e for e in scene.state.escalations.values() if e.level >= 3]) == 1


def test_everybody_called_for_a_crisis_learns_of_a_danger_that_joins_it(scene: Scene) -> None:
    """D32: the others had a call for a closed building, and heard of no fire."""
    calls = Calls(scene)
    scene.report(0, "closure", "cen-2")
    calls.expect(*CRISIS)
    _answer(scene, calls, "dgs", 2)
    fire = scene.report(5, "fire", "sit-02", severity=5)
    messages = calls.expect(*CRISIS)
    assert {(c.template, c.answer_expected, c.danger) for c in messages} == {
        ("information", False, True)
    }
    assert {c.incident for c in messages} == {scene.incident_of(fire).id}


def test_the_second_wave_calls_the_deputies_of_missing_acknowledgements(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", "cen-2")
    calls.new()
    for n, person in enumerate(("dgs", "cel-si", "dir-education")):
        _answer(scene, calls, person, 1 + n)
    scene.step(10)
    expected = {f"{p}-s" for p in CRISIS} - {"dgs-s", "cel-si-s", "dir-education-s"}
    assert {c.person for c in calls.new()} == expected
    scene.step(15)
    calls.expect("elu-astreinte")


def test_eight_answers_end_the_first_wave_of_n3(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", "cen-2")
    calls.new()
    for n, person in enumerate(CRISIS[:8]):
        _answer(scene, calls, person, 1 + n)
    ladder = _ladder(scene, "territory")
    assert (ladder.state, ladder.waves[0].state, ladder.waves[1].state) == (
        "answered",
        "satisfied",
        "skipped",
    )
    scene.step(60)
    calls.expect_nobody()


def test_a_rise_from_n3_to_n4_needs_every_answer_again(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", "cen-2")
    calls.new()
    _answer(scene, calls, "dgs", 1)
    scene.report(3, "closure", "cen-2", severity=4, expected_duration_h=100, source="pompiers")
    called = calls.new()
    assert {"president", "elu-astreinte", "dgs", "liaison-cod"} <= {c.person for c in called}
    assert {(c.level, c.previous_level) for c in called} == {(4, 3)}
    states = sorted((e.ladder, e.state) for e in scene.state.escalations.values())
    assert states == [("N3", "superseded"), ("N4", "running")]


def test_an_active_cod_calls_its_liaison_officer_at_once_and_no_other_crisis_does(
    scene: Scene,
) -> None:
    """D73: N4 calls them in any case, N3 while the COD is active."""
    calls = Calls(scene)
    scene.report(0, "closure", "cen-2")
    assert "liaison-cod" not in {c.person for c in calls.new()}
    assert "liaison_cod" not in _ladder(scene, "territory").waves[0].roles
    scene.report(5, "info", source="prefecture", measure=Measure(name="cod_active", value=True))
    (liaison,) = calls.expect("liaison-cod")
    assert (liaison.role, liaison.wave, liaison.answer_expected) == ("liaison_cod", 1, True)
    assert "liaison_cod" in _ladder(scene, "territory").waves[0].roles
    scene.report(6, "info", source="prefecture", measure=Measure(name="cod_active", value=True))
    calls.expect_nobody()


def test_each_cycle_asks_anew_whether_the_cod_is_active(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", "cen-2")
    scene.report(5, "info", source="prefecture", measure=Measure(name="cod_active", value=True))
    scene.step(15)
    assert [c.person for c in calls.new()].count("liaison-cod") == 1
    scene.step(30)
    assert [c.person for c in calls.new()].count("liaison-cod") == 1
    scene.report(31, "info", source="prefecture", measure=Measure(name="cod_active", value=False))
    scene.step(60)
    called = [c.person for c in calls.new()]
    assert "dgs" in called
    assert "liaison-cod" not in called


def test_an_active_cod_without_a_liaison_officer_calls_the_deputy_and_reports_it_once() -> None:
    scene = Scene(roster=_without("liaison_cod", deputies=["liaison_cod"]))
    calls = Calls(scene)
    scene.report(0, "closure", "cen-2")
    calls.new()
    scene.report(5, "info", source="prefecture", measure=Measure(name="cod_active", value=True))
    calls.expect("liaison-cod-s")
    scene.report(6, "info", source="prefecture", measure=Measure(name="strike_notice", value=True))
    assert [f.role for f in scene.named(RoleUncovered)] == ["liaison_cod"]
    assert _ladder(scene, "territory").uncovered_roles == ("liaison_cod",)


def test_n4_calls_those_on_duty_and_the_directors_of_all_poles_at_once(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", "cen-2", severity=4, expected_duration_h=100, source="pompiers")
    assert sorted(c.person for c in calls.new()) == sorted(
        {*CRISIS, "president", "elu-astreinte", "liaison-cod"}
    )


def test_one_person_in_two_roles_of_a_step_is_called_once() -> None:
    roster = _without()
    holders = tuple(
        h.model_copy(update={"holder": "dgs"})
        if h.role in ("astreinte_direction", "cellule_rh")
        else h
        for h in roster.holders
    )
    scene = Scene(roster=roster.model_copy(update={"holders": holders}))
    calls = Calls(scene)
    scene.report(0, "closure", "cen-2")
    called = [c.person for c in calls.new()]
    assert called.count("dgs") == 1
    assert set(called) == {*CRISIS} - {"ast-direction", "cel-rh"}


@pytest.fixture
def director_on_duty() -> Scene:
    """Return a scene with one person as director of a pôle and duty executive."""
    roster = _without()
    holders = tuple(
        h.model_copy(update={"holder": "dir-education"}) if h.role == "astreinte_direction" else h
        for h in roster.holders
    )
    return Scene(roster=roster.model_copy(update={"holders": holders}))


def test_a_decline_in_two_roles_is_replaced_in_both(director_on_duty: Scene) -> None:
    calls = Calls(director_on_duty)
    director_on_duty.report(0, "closure", "cen-2")
    assert [c.person for c in calls.new()].count("dir-education") == 1
    _answer(director_on_duty, calls, "dir-education", 1, Answer.DECLINE)
    called = {c.person: c for c in calls.expect("ast-direction-s", "dir-education-s")}
    assert (called["dir-education-s"].role, called["dir-education-s"].scope) == (
        "directeur_pole",
        "education",
    )


def test_a_missing_answer_in_two_roles_is_replaced_in_both(director_on_duty: Scene) -> None:
    calls = Calls(director_on_duty)
    director_on_duty.report(0, "closure", "cen-2")
    director_on_duty.step(10)
    assert {"ast-direction-s", "dir-education-s"} <= {c.person for c in calls.new()}


def test_an_empty_step_calls_the_next_one_at_once(scene: Scene) -> None:
    """D34: no pôle is concerned, so none has a director or a deputy to be called."""
    calls = Calls(scene)
    scene.report(0, "outage_telecom", severity=2)
    calls.expect("ast-technique")
    scene.command(
        SetLevel(
            author="coord-pca", role="coordinator", level=Level.N2, scope=scene.incidents()[0].id
        ),
        1,
    )
    calls.expect("ast-direction", "coord-pca", "ast-technique")
    scene.step(11)
    calls.expect("dgs")
    assert [w.state for w in _ladder(scene, scene.incidents()[0].id).waves] == [
        "fired",
        "fired",
        "fired",
    ]


def test_a_strike_of_no_pole_calls_the_director_on_call_at_once(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(
        0, "info", source="rh", severity=2, measure=Measure(name="strike_notice", value=True)
    )
    calls.expect("ast-direction")


@pytest.mark.parametrize(
    ("said", "called"),
    [
        (
            {"type": "staff_shortage", "site": PMI, "capacity_lost_pct": 30},
            {"rs-pmi-04", "dir-solidarites"},
        ),
        ({"type": "sanitary_alert", "site": PMI}, {"rs-pmi-04", "ast-direction"}),
        ({"type": "closure", "site": PMI}, {"rs-pmi-04", "ast-technique"}),
    ],
)
def test_a_non_technical_incident_calls_no_technician(
    scene: Scene, said: dict[str, Any], called: set[str]
) -> None:
    """D73, `qui_par_nature`."""
    calls = Calls(scene)
    scene.report(0, **said, severity=2)
    assert {c.person for c in calls.new()} == called


def test_a_territory_predicate_without_an_incident_starts_the_crisis_escalation(
    scene: Scene,
) -> None:
    calls = Calls(scene)
    scene.report(0, "info", source="prefecture", measure=Measure(name="cod_active", value=True))
    assert {c.person for c in calls.new()} == {*CRISIS, "liaison-cod"}
    assert _ladder(scene, "territory").incidents == ()


def test_danger_to_people_is_marked(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "fire", PMI, severity=3)
    assert all(c.danger for c in calls.new())
    scene.report(1, "closure", "sst-13", severity=2)
    assert not any(c.danger for c in calls.new())


# ── people's decisions ─────────────────────────────────────────────────────────────────────────────────────────────


def test_acknowledging_on_the_page_is_an_answer(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=2)
    calls.new()
    incident = scene.incidents()[0]
    done = scene.command(
        AcknowledgeIncident(author="rs-pmi-04", role="site_manager", incident=incident.id), 4
    )
    assert isinstance(done, CommandApplied)
    assert done.result == {"incident": incident.id, "state": "acknowledged", "version": 1}
    assert _ladder(scene, incident.id).state == "answered"
    assert scene.named(AnswerRecorded)[0].person == "rs-pmi-04"


def test_an_uncalled_person_may_acknowledge(scene: Scene) -> None:
    scene.report(0, "closure", PMI, severity=2)
    incident = scene.incidents()[0]
    scene.command(AcknowledgeIncident(author="cel-rh", role="cell", incident=incident.id), 4)
    assert _ladder(scene, incident.id).acknowledged_by == ("cel-rh",)
    assert _ladder(scene, incident.id).state == "answered"


def test_escalating_by_hand_fires_the_next_wave_now(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=2)
    calls.new()
    scene.command(
        EscalateIncident(author="coord-pca", role="coordinator", incident=scene.incidents()[0].id),
        3,
    )
    calls.expect("ast-direction")
    scene.step(18)
    assert {(c.cycle, c.wave) for c in calls.new()} == {(2, 1)}


def test_escalating_by_hand_passes_over_a_step_that_has_answered(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=2)
    calls.new()
    incident = scene.incidents()[0].id
    scene.command(
        AcknowledgeIncident(author="ast-direction", role="director", incident=incident), 2
    )
    scene.command(EscalateIncident(author="coord-pca", role="coordinator", incident=incident), 3)
    calls.expect("rs-pmi-04", "ast-technique")


def test_escalating_by_hand_is_refused_if_every_person_has_answered(scene: Scene) -> None:
    scene.report(0, "closure", PMI, severity=2)
    incident = scene.incidents()[0].id
    for n, person in enumerate(("ast-direction", "rs-pmi-04", "ast-technique")):
        scene.command(AcknowledgeIncident(author=person, role="director", incident=incident), n)
    before = _ladder(scene, incident)
    answer = scene.command(
        EscalateIncident(author="coord-pca", role="coordinator", incident=incident), 5
    )
    assert isinstance(answer, CommandRefused)
    assert (answer.status, answer.code) == (409, "nobody_left")
    assert _ladder(scene, incident) == before


def _with_waves(scene: Scene, minute: float, second: int) -> None:
    """Return another policy: N1 calls the technician, then the head of administration."""
    waves = territory().policy.ladders["N1"]
    second = waves[1].model_copy(update={"after_min": second, "who": ("dgs_directeur_de_crise",)})
    ladders = {
        **territory().policy.ladders,
        "N1": (waves[0].model_copy(update={"who": ("astreinte_technique",)}), second),
    }
    policy = EscalationPolicy(policy=territory().policy.model_copy(update={"ladders": ladders}))
    scene.command(
        PublishReference(
            author="coord-pca", role="coordinator", reference=f"r-{minute}", data=policy, last=True
        ),
        minute,
    )


def _reapply(
    scene: Scene, minute: float, role: str = "coordinator"
) -> CommandApplied | CommandRefused:
    incident = next(iter(scene.state.incidents))
    return scene.command(ReapplyPolicy(author="coord-pca", role=role, incident=incident), minute)


def test_a_running_escalation_changes_its_policy_only_by_decision(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=2)
    calls.expect("rs-pmi-04", "ast-technique")
    _with_waves(scene, 2, second=30)
    before = _ladder(scene, scene.incidents()[0].id)
    assert isinstance(_reapply(scene, 3), CommandApplied)
    after = _ladder(scene, before.scope)
    assert before.policy != after.policy == scene.state.version
    scene.step(29)
    calls.expect_nobody()
    scene.step(30)
    calls.expect("dgs")
    scene.step(45)
    calls.expect("ast-technique")  # the next cycle is the new policy's from its first wave on


def test_steps_due_under_the_new_policy_fire_at_once(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=2)
    calls.new()
    _with_waves(scene, 5, second=4)
    scene.step(6)
    calls.expect_nobody()
    _reapply(scene, 6)
    scene.step(6.1)
    calls.expect("dgs")


def test_an_answer_stands_when_another_policy_is_applied(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=2)
    incident = scene.incidents()[0].id
    calls.new()
    scene.command(
        AcknowledgeIncident(author="rs-pmi-04", role="site_manager", incident=incident), 1
    )
    _with_waves(scene, 2, second=4)
    _reapply(scene, 3)
    assert (_ladder(scene, incident).state, _ladder(scene, incident).acknowledged_by) == (
        "answered",
        ("rs-pmi-04",),
    )
    scene.step(60)
    calls.expect_nobody()


def test_a_policy_is_applied_again_only_if_it_changed_and_by_an_entitled_person(
    scene: Scene,
) -> None:
    scene.report(0, "closure", PMI, severity=2)
    refused = [_reapply(scene, 1)]
    _with_waves(scene, 2, second=30)
    refused += [_reapply(scene, 3, role="technician")]
    scene.command(
        ResolveIncident(
            author="c",
            role="coordinator",
            incident=scene.incidents()[0].id,
            force=True,
            reason="text:no",
        ),
        4,
    )
    refused += [_reapply(scene, 5)]
    codes = [r.code for r in refused if isinstance(r, CommandRefused)]
    assert codes == ["policy_in_force", "role_not_allowed", "incident_not_open"]


def test_closing_an_incident_ends_its_escalation(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=2)
    planned = calls.new()
    scene.command(
        ResolveIncident(
            author="c",
            role="coordinator",
            incident=scene.incidents()[0].id,
            force=True,
            reason="text:no",
        ),
        3,
    )
    assert {w.notification for w in scene.named(NotificationWithdrawn)} == {
        c.notification for c in planned
    }
    scene.step(300)
    calls.expect_nobody()


# ── time ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_after_a_stall_only_the_newest_due_step_fires() -> None:
    scene = Scene(realm="92")
    calls = Calls(scene)
    scene.report(0, "closure", "cen-2")
    calls.new()
    scene.report(16, "info", "par-01", severity=1)
    called = calls.new()
    assert {c.person for c in called} == {"elu-astreinte"}, (
        "wave 2 was due at 10, wave 3 at 15: the newest fires"
    )
    assert called[0].planned_at == scene.at(16)
    assert [w.state for w in _ladder(scene, "territory").waves] == ["fired", "superseded", "fired"]


def test_a_running_escalation_keeps_its_first_policy(scene: Scene) -> None:
    from services.territory.publish import build_reference_commands

    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=2)
    calls.new()
    before = _ladder(scene, scene.incidents()[0].id).policy
    for id, command in build_reference_commands(territory(), scene.realm, "system:t", "admin"):
        scene.feed(
            command.model_copy(update={"reference": "next"}), id=f"next-{id}", at=scene.at(5)
        )
    assert scene.state.version == "next"
    scene.step(15)
    calls.expect("ast-direction")
    assert _ladder(scene, scene.incidents()[0].id).policy == before


# ── from continuity ────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_alarm_reaches_its_named_roles(scene: Scene) -> None:
    calls = Calls(scene)
    attention_request = AttentionRequested(
        code="alarm",
        roles=("directeur_pole", "coordinateur_pca"),
        pole="education",
        activity="EDU-01",
        base="rto",
        pct=50,
        limit_at=scene.at(90),
    )
    scene.feed(attention_request, at=scene.at(1))
    notifications = calls.expect("dir-education", "coord-pca")
    assert {
        (c.template, c.answer_expected, c.values["activity"], c.values["pct"])
        for c in notifications
    } == {("alarm_rto", False, "EDU-01", 50)}


def test_an_alarm_for_an_unheld_role_is_recorded() -> None:
    scene = Scene(roster=_without("elu_astreinte"))
    scene.feed(
        AttentionRequested(code="alarm", roles=("elu_astreinte",), base="rto", pct=100),
        at=scene.at(1),
    )
    assert [u.role for u in scene.named(RoleUncovered)] == ["elu_astreinte"]


@pytest.mark.parametrize(("type", "tells"), [("fire", True), ("outage_water", False)])
def test_a_proposed_plan_tells_the_danger_of_its_incident_while_it_lasts(
    scene: Scene, type: str, tells: bool
) -> None:
    """D70: the message names the gravest incident, so it says whether people may be in danger."""
    report = scene.report(0, type, COLLEGE, severity=4)
    request = AttentionRequested(code="plan_proposed", roles=("coordinateur_pca",), plan="PT-ELEC")
    scene.feed(request, at=scene.at(1))
    scene.report(3, "reopening", COLLEGE)
    assert scene.incident_of(report).over_since is not None
    scene.feed(request, at=scene.at(4))
    proposals = [c for c in scene.named(NotificationPlanned) if c.template == "plan_proposed"]
    assert [bool(c.values.get("danger")) for c in proposals] == [tells, False]


@pytest.mark.parametrize("relieves", [False, True])
def test_alarms_come_hourly_to_people_in_charge_of_the_crisis(scene: Scene, relieves: bool) -> None:
    """D73: at the next full hour, without voice.

    They have answered, or they relieve others in the cell. Other people get alarms at once.
    """
    attention_request = AttentionRequested(
        code="alarm", roles=("dgs_directeur_de_crise", "elu_astreinte"), base="rto", pct=100
    )
    calls = Calls(scene)
    scene.report(0, "closure", "cen-2", severity=3)
    calls.new()
    if relieves:
        present: dict[str, Any] = {"mode": AttendanceMode.ON_SITE, "function": None}
        scene.command(StateAttendance(author="dgs", role="director", person="dgs", **present), 1)
    else:
        _answer(scene, calls, "dgs", 1)
    scene.feed(attention_request, at=scene.at(2))
    alarms_by_role = {
        c.role: c for c in scene.named(NotificationPlanned) if c.template == "alarm_rto"
    }
    assert alarms_by_role["dgs_directeur_de_crise"].quiet_until == scene.at(20), (
        "a scene begins at 09:40"
    )
    assert Channel.VOICE not in alarms_by_role["dgs_directeur_de_crise"].channels
    assert alarms_by_role["elu_astreinte"].quiet_until is None


def test_every_step_of_an_escalation_is_a_row(scene: Scene) -> None:
    scene.report(0, "closure", PMI, severity=2)
    scene.step(15)
    assert [f.change for f in scene.named(EscalationChanged)] == ["started", "wave"]


# ── quiet hours (D36) ──────────────────────────────────────────────────────────────────────────────────────────────

EVENING = START + (11 * 60 + 20) * MINUTE_MS
"""Thursday, 21:00."""


def _held(calls: Calls) -> dict[str, int | None]:
    return {c.person: c.quiet_until for c in calls.new()}


def _night(minute: float, roster: Roster | None = None) -> tuple[Scene, Calls]:
    """Close a site with severity 2 (N1), some minutes after 21:00."""
    scene = Scene(start=EVENING, roster=roster)
    calls = Calls(scene)
    scene.report(minute, "closure", PMI, severity=2)
    return scene, calls


def test_quiet_hours_hold_back_calls_to_people_off_call_until_seven() -> None:
    _, calls = _night(0)
    assert _held(calls) == {"rs-pmi-04": EVENING + 10 * 60 * MINUTE_MS, "ast-technique": None}


@pytest.mark.parametrize(("minute", "held"), [(-1, False), (0, True), (599, True), (600, False)])
def test_quiet_hours_run_from_nine_in_the_evening_to_seven(minute: int, held: bool) -> None:
    scene = Scene(start=EVENING, opened=EVENING - 60 * MINUTE_MS)
    calls = Calls(scene)
    scene.report(minute, "closure", PMI, severity=2)
    assert (_held(calls)["rs-pmi-04"] is not None) is held


def test_quiet_hours_end_at_seven_on_the_wall_when_the_clocks_change() -> None:
    start = int(datetime(2027, 3, 27, 23, tzinfo=PARIS).timestamp() * 1000)
    scene = Scene(start=start)
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=2)
    assert _held(calls)["rs-pmi-04"] == start + 7 * 60 * MINUTE_MS, (
        "23:00 to 07:00 with one hour less"
    )


def test_a_site_manager_replacing_an_on_call_person_is_on_call() -> None:
    roster = next(s.roster for s in territory().sections if isinstance(s, RosterSection))
    holders = tuple(
        h.model_copy(update={"deputy": "rs-pmi-04"}) if h.role == "astreinte_technique" else h
        for h in roster.holders
    )
    _, calls = _night(30, roster.model_copy(update={"holders": holders}))
    assert _held(calls) == {"rs-pmi-04": None, "ast-technique": None}


def test_quiet_hours_hold_back_no_call_to_a_stand_in_of_an_on_call_role() -> None:
    """D36: a stand-in is in no schedule, and slept through the call of the technician on call."""
    scene, _ = _night(30)
    now = scene.at(30)
    firing = Firing(Deadline(now, "x"), scene.realm, scene.realm, now, now)
    draft = AlertsDecision(scene.state, firing)
    ends = {
        role: find_quiet_end(draft, "remplacant", role, Level.N1)
        for role in ("responsable_site", "astreinte_technique")
    }
    assert ends == {"responsable_site": scene.at(600), "astreinte_technique": None}


def test_quiet_hours_hold_back_nothing_above_n1_and_no_danger() -> None:
    scene, calls = _night(30)
    calls.new()
    scene.report(31, "closure", PMI, severity=4, source="supervision")
    assert set(_held(calls).values()) == {None}
    scene, calls = _night(30)
    calls.new()
    scene.report(31, "gas_leak", "sst-13", severity=3)
    assert set(_held(calls).values()) == {None}


def test_later_danger_to_people_releases_held_back_calls() -> None:
    """The manager of a site that is evacuated at night must not hear of it at seven."""
    night = int(datetime(2027, 2, 11, 22, 0, tzinfo=PARIS).timestamp() * 1000)
    scene = Scene(start=night)
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=2)
    calls.expect("rs-pmi-04", "ast-technique")
    manager_call = calls.of("rs-pmi-04")
    assert manager_call.quiet_until is not None
    _answer(scene, calls, "ast-technique", 1)
    scene.report(5, "evacuation", PMI)
    assert [u.notification for u in scene.named(NotificationUrged)] == [
        manager_call.notification
    ], "who answered is not called again"
    scene.report(6, "fire", PMI)
    assert len(scene.named(NotificationUrged)) == 1


def test_quiet_hours_hold_back_alarms_of_n1_to_people_off_call() -> None:
    scene, calls = _night(30)
    calls.new()
    attention_request = AttentionRequested(
        code="alarm",
        roles=("directeur_pole", "coordinateur_pca"),
        pole="education",
        activity="EDU-01",
        base="rto",
        pct=50,
    )
    scene.feed(attention_request, at=scene.at(40))
    assert _held(calls) == {"dir-education": scene.at(600), "coord-pca": None}


# ── relief of the cell (D39) ───────────────────────────────────────────────────────────────────────────────────────


def _crisis(scene: Scene) -> Calls:
    calls = Calls(scene)
    scene.report(0, "closure", "cen-2")
    calls.new()
    return calls


def _reliefs(scene: Scene) -> list[Any]:
    return [t for t in scene.state.tasks.values() if t.kind == "relief"]


def test_an_hour_before_the_end_of_a_cell_shift_a_named_person_must_decide(scene: Scene) -> None:
    calls = _crisis(scene)
    _answer(scene, calls, "cel-rh", 5)
    scene.step(5 + 9 * 60 - 1)
    assert not _reliefs(scene)
    calls.new()
    scene.step(5 + 9 * 60)
    notifications = [c for c in calls.new() if c.template == "shift_ending"]
    assert [(c.person, c.answer_expected, c.values["shift_end"]) for c in notifications] == [
        ("cel-rh", False, scene.at(5 + 600)),
        ("coord-pca", False, scene.at(5 + 600)),
    ]
    (task,) = _reliefs(scene)
    assert (task.post, task.owner, task.due_at, task.state) == (
        "cellule_rh",
        "coordinateur_pca",
        scene.at(5 + 600),
        "open",
    )
    done = scene.command(
        CompleteTask(author="coord-pca", role="coordinator", task=task.id, outcome="done"),
        5 + 9 * 60 + 1,
    )
    assert isinstance(done, CommandApplied)
    assert _reliefs(scene)[0].taken_by == "coord-pca"
    scene.step(5 + 24 * 60)
    assert len(_reliefs(scene)) == 1, "one warning for one shift"


def test_a_signed_handover_completes_the_task_of_the_shift(scene: Scene) -> None:
    calls = _crisis(scene)
    _answer(scene, calls, "cel-rh", 5)
    scene.step(5 + 9 * 60 - 1)
    scene.step(5 + 9 * 60)
    who = {"author": "cel-rh", "role": "cellule_rh"}
    page = HandoverPage(text_id="d", sha256="ab" * 32, as_of=scene.at(0))
    for command in (
        DraftHandover(text_id="t", recipients=("coordinateur_pca",), **who),
        SignHandover(handover="1", page=page, **who),
        AcceptHandover(handover="1", author="cel-rh-2", role="cellule_rh"),
    ):
        assert [t.state for t in _reliefs(scene)] == ["open"]
        assert isinstance(scene.command(command, 5 + 9 * 60 + 1), CommandApplied)
    (task,) = _reliefs(scene)
    assert (task.state, task.taken_by, task.outcome) == ("done", "cel-rh-2", "done")


def test_a_person_on_call_at_home_has_no_cell_shift(scene: Scene) -> None:
    calls = _crisis(scene)
    _answer(scene, calls, "dgs", 5)
    scene.step(5 + 12 * 60)
    assert not _reliefs(scene)


def test_a_second_answer_within_a_shift_does_not_prolong_it(scene: Scene) -> None:
    calls = _crisis(scene)
    _answer(scene, calls, "cel-rh", 5)
    scene.report(60, "closure", "cen-2", severity=4, expected_duration_h=100, source="pompiers")
    _answer(scene, calls, "cel-rh", 62)
    for minute in range(120, 5 + 9 * 60 + 1, 85):  # a record holds so many calls
        scene.step(minute)
    assert [t.due_at for t in _reliefs(scene)] == [scene.at(5 + 600)]


def test_leaving_and_the_end_of_the_crisis_end_a_shift(scene: Scene) -> None:
    calls = _crisis(scene)
    _answer(scene, calls, "cel-rh", 5)
    _answer(scene, calls, "cel-si", 6)
    _answer(scene, calls, "cel-rh", 30, Answer.DECLINE)
    incident = scene.incidents()[0].id
    for scope in (incident, "territory"):
        command = SetLevel(
            author="dgs",
            role="dgs_directeur_de_crise",
            scope=scope,
            level=Level.N1,
            reason="text:why",
            force=True,
        )
        assert isinstance(scene.command(command, 100), CommandApplied)
    scene.step(24 * 60)
    assert not _reliefs(scene)
    assert not scene.state.shifts


# ── cards and proposals of a plan without a pôle (D50, D52) ────────────────────────────────────────────────────────


def test_an_overdue_card_of_a_role_of_sites_or_poles_reaches_those_that_the_incident_concerns(
    scene: Scene,
) -> None:
    calls = Calls(scene)
    first = scene.report(0, "gas_leak", PMI, severity=3)
    scene.report(1, "evacuation", "pmi-05", references=(first,))
    scene.report(1, "closure", "par-01")
    incident = scene.incident_of(first)
    assert set(incident.members) >= {PMI, "pmi-05"}
    calls.new()
    for role in ("responsable_site", "directeur_pole"):
        attention_request = AttentionRequested(
            code="card_overdue",
            roles=(role,),
            plan="PT-GAZ",
            card="F1",
            limit_at=scene.at(5),
            incident=incident.id,
        )
        scene.feed(attention_request, at=scene.at(6))
    notifications = calls.expect("rs-pmi-04", "rs-pmi-05", "dir-solidarites")
    assert {(c.role, c.scope) for c in notifications} == {
        ("responsable_site", PMI),
        ("responsable_site", "pmi-05"),
        ("directeur_pole", "solidarites"),
    }
    assert not scene.named(RoleUncovered)


def test_a_message_without_a_concerned_site_role_is_not_sent_and_recorded(scene: Scene) -> None:
    calls = Calls(scene)
    attention_request = AttentionRequested(
        code="card_overdue",
        roles=("responsable_site",),
        plan="PT-GAZ",
        card="F1",
        limit_at=scene.at(5),
    )
    scene.feed(attention_request, at=scene.at(6))
    calls.expect_nobody()
    assert [u.role for u in scene.named(RoleUncovered)] == ["responsable_site"]
