"""Every cause is called for when an escalation restarts.

Incidents reopen, acknowledgements are withdrawn, and a crisis outlives its incidents.
"""

from __future__ import annotations

from typing import Any

import pytest

from schemas.alerts import AttentionRequested
from schemas.base import DAY_MS
from schemas.calling import (
    AnswerReceived,
    NotificationPlanned,
    NotificationWithdrawn,
    RoleUncovered,
)
from schemas.commands import (
    AcknowledgeIncident,
    EscalateIncident,
    MergeIncidents,
    ReopenIncident,
    ResolveIncident,
    SetLevel,
)
from schemas.oncall import NoteReachability, ReachRow
from schemas.reference import EscalationPolicy, PublishReference
from schemas.reports import Measure, Window
from schemas.runtime import CommandApplied
from schemas.words import Answer, Certainty, MsgType
from tests.shipped import territory
from tests.unit.alerts.scene import Scene
from tests.unit.alerts.test_escalation import (
    CRISIS,
    N2_FIRST,
    PMI,
    Calls,
    _answer,
    _ladder,
    _without,
)

N1_FIRST = ("rs-pmi-04", "ast-technique")
DAY = DAY_MS // 60_000
CELL: dict[str, Any] = {"author": "coord-pca", "role": "coordinator", "reason": "text:why"}


@pytest.fixture
def scene() -> Scene:
    return Scene(check=True)


def _close(scene: Scene, incident: str, minute: float) -> None:
    assert isinstance(
        scene.command(ResolveIncident(**CELL, incident=incident, force=True), minute),
        CommandApplied,
    )


def _gone(scene: Scene, person: str, minute: float) -> None:
    scene.command(
        NoteReachability(
            people=(ReachRow(id=person, points=()),), author="system:directory", role="admin"
        ),
        minute,
    )


# ── incidents that open again ──────────────────────────────────────────────────────────────────────────────────────


def test_an_incident_reopened_by_a_late_report_calls(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=2)
    incident = scene.incidents()[0].id
    _answer(scene, calls, "ast-technique", 1)
    scene.report(30, "reopening", PMI, severity=1)
    _close(scene, incident, 40)
    calls.new()
    scene.report(300, "outage_heating", PMI, occurred=35)
    assert [i.id for i in scene.incidents()] == [incident]
    calls.expect(*N1_FIRST)
    scene.step(315)
    calls.expect("ast-direction")


def test_an_incident_reopened_by_a_person_calls_even_in_the_same_minute(scene: Scene) -> None:
    """The clock of an exercise may stand still between two decisions."""
    for n in range(6):
        calls = Calls(scene)
        calls.new()
        scene.report(n, "closure", f"pmi-0{n + 1}", severity=2)
        incident = scene.incidents()[-1].id
        _close(scene, incident, n)
        calls.new()
        scene.command(ReopenIncident(**CELL, incident=incident), n)
        assert {c.person for c in calls.new()} == {f"rs-pmi-0{n + 1}", "ast-technique"}
        assert _ladder(scene, incident).state == "running"
        _close(scene, incident, n + 0.5)
        assert _ladder(scene, incident).state == "ended"


def test_a_reopened_crisis_calls_once(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", "cen-2")
    incident = scene.incidents()[0].id
    _close(scene, incident, 10)
    scene.command(
        SetLevel(
            **CELL | {"role": "dgs_directeur_de_crise"}, scope="territory", level=0, force=True
        ),
        11,
    )
    calls.new()
    scene.command(ReopenIncident(**CELL, incident=incident), 20)
    calls.expect(*CRISIS)
    assert [e.state for e in scene.state.escalations.values() if e.started_at >= scene.at(20)] == [
        "running"
    ]


def test_a_merge_into_an_incident_without_calls_continues_the_calls(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=4)
    b = scene.incidents()[0].id
    scene.command(SetLevel(**CELL, scope=b, level=1, force=True), 1)
    assert _ladder(scene, b).state == "ended", "a fall ends the ladder of the level that is left"
    scene.report(2, "closure", "sst-13", severity=2)
    a = next(i.id for i in scene.incidents() if i.id != b)
    calls.new()
    scene.command(MergeIncidents(**CELL, incident=a, into=b), 3)
    assert "rs-sst-13" in {c.person for c in calls.new()}
    assert _ladder(scene, b).state == "running"


def test_people_called_for_a_merged_incident_alone_learn_that_their_call_is_over(
    scene: Scene,
) -> None:
    """They waited for an answer of theirs to matter, and heard of no end."""
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=2, id="a")
    scene.report(0, "closure", "pmi-05", severity=2, id="b")
    a, b = scene.incident_of("a").id, scene.incident_of("b").id
    mine = {c.person: c.notification for c in calls.new() if c.incident == a}
    scene.command(MergeIncidents(**CELL, incident=a, into=b), 5)
    ends = {w.notification: w.why for w in scene.named(NotificationWithdrawn)}
    assert {person: ends[call] for person, call in mine.items()} == {
        "rs-pmi-04": "joined",
        "ast-technique": "superseded",
    }


# ── danger ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _answered_danger(scene: Scene, calls: Calls) -> str:
    """Report a gas leak at a site, acknowledge it and return its incident."""
    scene.report(0, "gas_leak", PMI, severity=3, id="leak")
    called = {c.person for c in calls.new()}
    for n, person in enumerate(sorted(called)):
        _answer(scene, calls, person, 1 + n / 10)
    incident = scene.incidents()[0].id
    assert _ladder(scene, incident).state == "answered"
    calls.new()
    return str(incident)


def _other_site_of_the_commune(scene: Scene) -> str:
    sites = {s.id: s for s in territory().sites}
    return next(
        s.id
        for s in sites.values()
        if s.commune == sites[PMI].commune and s.id != PMI and s.kind != "site_central"
    )


@pytest.mark.parametrize("what", ["fire", "security_incident"])
def test_a_second_danger_calls_people_again_after_their_answer(scene: Scene, what: str) -> None:
    calls = Calls(scene)
    incident = _answered_danger(scene, calls)
    scene.report(30, what, PMI, severity=3, msg_type=MsgType.UPDATE, references=("leak",))
    assert scene.incidents()[0].id == incident
    calls.expect(*N2_FIRST)
    assert (_ladder(scene, incident).state, scene.state.incidents[incident].state) == (
        "running",
        "open",
    )


def test_a_danger_at_another_site_of_the_incident_calls_again(scene: Scene) -> None:
    calls = Calls(scene)
    incident = _answered_danger(scene, calls)
    other = _other_site_of_the_commune(scene)
    order = scene.report(30, "evacuation", other, severity=3)
    assert scene.incident_of(order).id == incident
    assert {c.person for c in calls.new()} >= set(N2_FIRST)
    assert _ladder(scene, incident).state == "running"


@pytest.mark.parametrize(
    "again",
    [
        {"type": "gas_leak"},
        {"type": "gas_leak", "source": "fire_brigade"},
        {"type": "evacuation"},
        {"type": "fire", "references": ("leak",), "effective": (Window(start=0, end=1),)},
        {"type": "fire", "references": ("leak",), "effective": (Window(start=2**42, end=None),)},
        {"type": "fire", "references": ("leak",), "certainty": Certainty.UNCONFIRMED},
        {"type": "outage_power", "capacity_lost_pct": 50},
    ],
    ids=[
        "the same",
        "another source",
        "what is done about it",
        "over",
        "announced",
        "unconfirmed",
        "no danger",
    ],
)
def test_a_report_without_new_danger_keeps_the_answer(scene: Scene, again: dict[str, Any]) -> None:
    calls = Calls(scene)
    incident = _answered_danger(scene, calls)
    scene.report(30, again.pop("type"), PMI, severity=3, **again)
    calls.expect_nobody()
    assert _ladder(scene, incident).state == "answered"


FIRE: dict[str, Any] = {"severity": 4, "source_key": "person.a"}
"""A fire without a place, of one sender."""


def _answered_fire_without_a_place(scene: Scene, calls: Calls) -> str:
    scene.report(0, "fire", id="fire", **FIRE)
    incident = scene.incidents()[0].id
    for n, person in enumerate(sorted({c.person for c in calls.new()})):
        _answer(scene, calls, person, 1 + n / 10)
    assert _ladder(scene, incident).state == "answered"
    calls.new()
    return str(incident)


@pytest.mark.parametrize("what", ["fire", "evacuation", "gas_leak"])
def test_a_danger_without_a_place_of_another_sender_calls_again(scene: Scene, what: str) -> None:
    """It is probably elsewhere; the second fire of a night rang nobody."""
    calls = Calls(scene)
    incident = _answered_fire_without_a_place(scene, calls)
    second = scene.report(30, what, **FIRE | {"source_key": "person.b"})
    again = _ladder(scene, scene.incident_of(second).id)
    assert again.state == "running"
    assert {c.person for c in calls.new()} >= {"ast-technique", "ast-direction"}
    assert len([t for t in scene.state.tasks.values() if t.kind == "link_site"]) == 2
    assert what != "fire" or scene.incident_of(second).id == incident


@pytest.mark.parametrize(
    "again",
    [{}, {"source_key": "person.b", "references": ("fire",)}],
    ids=["the same sender", "about the first"],
)
def test_the_same_danger_without_a_place_keeps_the_answer(
    scene: Scene, again: dict[str, Any]
) -> None:
    calls = Calls(scene)
    incident = _answered_fire_without_a_place(scene, calls)
    scene.report(30, "fire", **FIRE | again)
    calls.expect_nobody()
    assert _ladder(scene, incident).state == "answered"


def test_dangers_during_an_unanswered_escalation_call_once(scene: Scene) -> None:
    calls = Calls(scene)
    incident = _answered_danger(scene, calls)
    for n, what in enumerate(("fire", "security_incident")):
        scene.report(30 + n, what, PMI, severity=3, msg_type=MsgType.UPDATE, references=("leak",))
    called = [c.person for c in calls.new()]
    assert len(called) == len(set(called))
    assert _ladder(scene, incident).state == "running"


# ── answers that are taken back, or given on a page ────────────────────────────────────────────────────────────────


def test_a_withdrawn_acknowledgement_no_longer_counts_and_the_escalation_continues(
    scene: Scene,
) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=2)
    calls.new()
    _answer(scene, calls, "ast-technique", 1)
    _answer(scene, calls, "ast-technique", 2, Answer.DECLINE)
    calls.expect("ast-technique-s")
    incident = scene.incidents()[0]
    ladder = _ladder(scene, incident.id)
    assert (ladder.state, ladder.acknowledged_by, ladder.waves[0].positive) == ("running", (), 0)
    assert (incident.state, incident.acknowledged_by) == ("open", ())
    scene.step(15)
    calls.expect("ast-direction")


def test_a_late_withdrawal_gives_the_deputy_the_full_time_of_the_wave(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=2)
    calls.new()
    _answer(scene, calls, "ast-technique", 1)
    _answer(scene, calls, "ast-technique", 120, Answer.DECLINE)
    calls.expect("ast-technique-s")
    scene.step(134.9)
    calls.expect_nobody()
    scene.step(135)
    calls.expect("ast-direction")


def test_an_unneeded_acknowledgement_can_be_withdrawn_without_calls(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=4)
    calls.new()
    for n, person in enumerate(N2_FIRST):
        _answer(scene, calls, person, 1 + n)
    _answer(scene, calls, "ast-technique", 9, Answer.DECLINE)
    calls.expect("ast-technique-s")
    assert (
        _ladder(scene, scene.incidents()[0].id).state,
        len(scene.incidents()[0].acknowledged_by),
    ) == ("answered", 3)


def test_an_acknowledgement_on_the_page_without_a_call_can_be_withdrawn(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=2)
    incident = scene.incidents()[0].id
    calls.new()
    scene.command(AcknowledgeIncident(author="cel-rh", role="cell", incident=incident), 4)
    scene.command(
        AcknowledgeIncident(author="cel-rh", role="cell", incident=incident, answer=Answer.DECLINE),
        5,
    )
    assert (_ladder(scene, incident).state, scene.incidents()[0].state) == ("running", "open")
    scene.step(15)
    calls.expect("ast-direction")


@pytest.mark.parametrize("answer", list(Answer))
def test_an_answer_on_the_page_stops_the_call_to_that_person(scene: Scene, answer: Answer) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=2)
    mine = calls.of("rs-pmi-04")
    scene.command(
        AcknowledgeIncident(
            author="rs-pmi-04", role="site_manager", incident=scene.incidents()[0].id, answer=answer
        ),
        1,
    )
    assert [(w.notification, w.why) for w in scene.named(NotificationWithdrawn)] == [
        (mine.notification, answer.value)
    ]


def test_one_answer_ends_all_calls_of_an_escalation_to_that_person(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=4)
    scene.step(35)
    first, again = [c for c in scene.named(NotificationPlanned) if c.person == "ast-technique"]
    scene.feed(
        AnswerReceived(
            notification=first.notification,
            person="ast-technique",
            answer=Answer.ACK,
            channel="sms",
            at=scene.at(36),
        ),
        at=scene.at(36),
    )
    assert [(w.notification, w.why) for w in scene.named(NotificationWithdrawn)] == [
        (again.notification, "ack")
    ]
    calls.new()


def test_a_standing_alert_can_be_escalated_by_hand(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=2)
    incident = scene.incidents()[0].id
    scene.step(200)
    assert _ladder(scene, incident).state == "exhausted"
    calls.new()
    assert isinstance(
        scene.command(EscalateIncident(**CELL, incident=incident), 201), CommandApplied
    )
    calls.expect(*N1_FIRST)
    scene.step(216)
    calls.expect("ast-direction")
    scene.step(300)
    calls.expect_nobody()
    assert _ladder(scene, incident).state == "exhausted"


# ── nobody, or nobody who can be reached ───────────────────────────────────────────────────────────────────────────


def test_information_goes_to_the_deputy_of_an_unreachable_holder(scene: Scene) -> None:
    calls = Calls(scene)
    _gone(scene, "dir-education", 0)
    scene.feed(
        AttentionRequested(
            code="alarm", roles=("directeur_pole",), pole="education", base="rto", pct=50
        ),
        at=scene.at(1),
    )
    calls.expect("dir-education-s")


def test_a_missing_director_is_noticed_beside_a_pole_without_any(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(1, "closure", "cen-2")
    _answer(scene, calls, "dir-solidarites", 2, Answer.DECLINE)
    _answer(scene, calls, "dir-solidarites-s", 3, Answer.DECLINE)
    assert _ladder(scene, "territory").uncovered_roles == ("directeur_pole:solidarites",)
    mine = next(c for c in scene.named(NotificationPlanned) if c.person == "dir-education")
    _gone(scene, "dir-education", 4)
    assert (mine.notification, "person_gone") in [
        (w.notification, w.why) for w in scene.named(NotificationWithdrawn)
    ]


def test_an_unheld_mandatory_role_goes_to_its_deputy_even_after_the_quorum() -> None:
    scene = Scene(roster=_without("elu_astreinte", deputies=["elu_astreinte"]))
    policy = territory().policy.model_copy(update={"never_skipped": ("elu_astreinte",)})
    data = EscalationPolicy(policy=policy)
    scene.command(
        PublishReference(
            author="coord-pca", role="coordinator", reference="r-2", data=data, last=True
        ),
        0,
    )
    calls = Calls(scene)
    scene.report(1, "closure", "cen-2")
    for n, person in enumerate(CRISIS[:8]):
        _answer(scene, calls, person, 2 + n)
    assert _ladder(scene, "territory").state == "answered"
    assert [c.person for c in calls.new() if c.role == "elu_astreinte"] == ["elu-astreinte-s"]
    assert ("elu_astreinte", None) in [(u.role, u.scope) for u in scene.named(RoleUncovered)]


# ── a crisis that outlives its incidents ───────────────────────────────────────────────────────────────────────────


def _crisis(scene: Scene, calls: Calls) -> str:
    """Raise a crisis, acknowledge it and return its incident."""
    scene.report(0, "closure", "cen-2")
    calls.new()
    for n, person in enumerate(CRISIS[:8]):
        _answer(scene, calls, person, 1 + n)
    return str(scene.incidents()[0].id)


def test_a_new_incident_of_an_unanswered_crisis_calls_all_roles(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", "cen-2")
    scene.step(100)  # a record holds so many calls: what is left fires at the next input
    scene.step(300)
    assert _ladder(scene, "territory").state == "exhausted"
    calls.new()
    scene.report(301, "fire", "sit-02", severity=5)
    called = calls.expect(*CRISIS)
    assert {(c.answer_expected, c.previous_level) for c in called} == {(True, None)}


def test_a_restarted_call_names_the_unanswered_incidents(scene: Scene) -> None:
    """Its alert stood until an answer, and stopped when another incident reached the crisis."""
    scene.report(
        0,
        "closure",
        PMI,
        severity=1,
        measure=Measure(name="river_level", value=6.6, unit="m", object="station:paris-austerlitz"),
    )
    for minute in range(60, 301, 60):  # a record holds so many calls
        scene.step(minute)
    old = _ladder(scene, "territory")
    assert (old.state, int(old.level)) == ("exhausted", 4)
    scene.report(301, "fire", "sit-02", severity=5)
    ladder = next(e for e in scene.state.escalations.values() if e.state == "running")
    assert (ladder.scope, int(ladder.level), set(ladder.incidents)) == (
        "territory",
        4,
        {i.id for i in scene.incidents()},
    )
    assert len(ladder.incidents) == 2


def test_a_new_incident_after_the_last_closure_of_a_crisis_calls_all_roles(scene: Scene) -> None:
    calls = Calls(scene)
    _close(scene, _crisis(scene, calls), 60)
    scene.report(90, "fire", "sit-02", severity=5)
    calls.expect(*CRISIS)
    assert sorted(e.state for e in scene.state.escalations.values() if e.level == 3) == [
        "running",
        "superseded",
    ]


def test_a_crisis_continues_after_its_first_incident_is_forgotten() -> None:
    scene = Scene(realm="92")
    calls = Calls(scene)
    first = _crisis(scene, calls)
    scene.report(10, "fire", "sit-02", severity=5)
    second = next(i.id for i in scene.incidents() if i.id != first)
    scene.report(20, "reopening", "cen-2", severity=1)
    _close(scene, first, 30)
    late = 12 * DAY
    for day in range(1, 13):
        scene.step(day * DAY)
    calls.new()
    _answer(scene, calls, CRISIS[8], late + 1)
    assert scene.state.incidents[second].acknowledged_by[-1] == CRISIS[8]
    done = scene.command(EscalateIncident(**CELL, incident=second), late + 2)
    assert isinstance(done, CommandApplied)
    assert {c.incident for c in calls.new()} == {second}
    assert isinstance(
        scene.command(
            SetLevel(
                **CELL | {"role": "dgs_directeur_de_crise"}, scope="territory", level=1, force=True
            ),
            late + 3,
        ),
        CommandApplied,
    )
    _close(scene, second, late + 4)


def test_messages_of_a_crisis_name_an_open_incident(scene: Scene) -> None:
    calls = Calls(scene)
    first = _crisis(scene, calls)
    scene.report(10, "fire", "sit-02", severity=5)
    second = next(i.id for i in scene.incidents() if i.id != first)
    scene.command(MergeIncidents(**CELL, incident=first, into=second), 20)
    calls.new()
    scene.command(EscalateIncident(**CELL, incident=second), 30)
    assert {c.incident for c in calls.new()} == {second}
