"""A danger that nobody can find is escalated, and asks where it is (D8)."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.alerts import TaskRow
from schemas.calling import NotificationPlanned
from schemas.commands import (
    AcknowledgeIncident,
    DenyReport,
    LinkReport,
    MergeIncidents,
    ResolveIncident,
)
from schemas.runtime import CommandApplied, CommandRefused
from schemas.words import Certainty, IncidentState, MsgType, TaskState
from tests.unit.alerts.scene import Scene
from tests.unit.alerts.test_escalation import PMI, Calls

CELL: dict[str, Any] = {"author": "coord-pca", "role": "coordinator"}
NOWHERE: dict[str, dict[str, Any]] = {
    "no place": {},
    "an unknown commune": {"commune": "99999"},
    "an unknown zone": {"zone": ("99998", "99999")},
    "an unknown site": {"site": "clg-nowhere"},
}


@pytest.fixture
def scene() -> Scene:
    return Scene(check=True)


def questions(scene: Scene) -> list[TaskRow]:
    return [
        t for t in scene.state.tasks.values() if t.kind == "link_site" and t.state is TaskState.OPEN
    ]


@pytest.mark.parametrize("place", NOWHERE.values(), ids=NOWHERE)
def test_a_danger_without_a_place_asks_where_it_is(scene: Scene, place: dict[str, Any]) -> None:
    report = scene.report(0, "fire", severity=4, **place)
    (question,) = questions(scene)
    assert (question.report, question.due_at) == (report, scene.at(5))


@pytest.mark.parametrize("name", ["no place", "an unknown commune", "an unknown zone"])
def test_a_danger_without_a_place_is_escalated_as_danger(scene: Scene, name: str) -> None:
    calls = Calls(scene)
    scene.report(0, "fire", severity=4, **NOWHERE[name])
    assert scene.incidents()[0].danger
    called = calls.new()
    assert called
    assert all(call.danger for call in called)


def test_a_person_in_danger_without_a_place_asks_too(scene: Scene) -> None:
    scene.report(0, "outage_power", severity=5)
    assert len(questions(scene)) == 1


@pytest.mark.parametrize(
    ("type", "values"),
    [
        ("outage_it", {"severity": 3}),
        ("weather_alert", {"severity": 5}),
        ("fire", {"site": PMI}),
        ("fire", {"commune": "92050"}),
        ("fire", {"zone": ("99999", "92050")}),
        ("fire", {"sites": (PMI,)}),
        ("fire", {"certainty": Certainty.RUMOUR}),
    ],
)
def test_nothing_else_asks(scene: Scene, type: str, values: dict[str, Any]) -> None:
    scene.report(0, type, **values)
    assert questions(scene) == []


def test_a_commune_of_elsewhere_is_named_and_asks_only_for_danger(scene: Scene) -> None:
    report = scene.report(0, "outage_power", commune="75116")
    assert "commune_unknown" in scene.state.reports[report].flags
    assert questions(scene) == []


# ── the place is given ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("place", NOWHERE.values(), ids=NOWHERE)
def test_linking_moves_the_fire_to_its_site(scene: Scene, place: dict[str, Any]) -> None:
    report = scene.report(0, "fire", severity=4, **place)
    done = scene.command(LinkReport(**CELL, report=report, site=PMI), 3)
    assert isinstance(done, CommandApplied)
    assert questions(scene) == []
    assert scene.site(PMI).status.value in ("closed", "evacuated")
    (incident,) = scene.incidents()
    assert (incident.members, incident.danger) == ((PMI,), True)
    acting = [c for c in scene.state.causes.values() if c.lifted_at is None]
    assert [c.site for c in acting] == [PMI]
    assert isinstance(scene.command(LinkReport(**CELL, report=report, site=PMI), 4), CommandRefused)


@pytest.mark.parametrize("type", ["fire", "evacuation", "shelter_in_place"])
def test_a_correction_with_the_place_moves_the_danger_to_its_site(scene: Scene, type: str) -> None:
    """«FEU», then «mermoz»: the people of the site have left, and somebody has to count them."""
    calls = Calls(scene)
    report = scene.report(0, type, severity=4, persons_concerned=30)
    (incident,) = scene.incidents()
    first = calls.new()[0]
    scene.command(AcknowledgeIncident(author=first.person, role="cell", incident=incident.id), 1)
    scene.report(
        2,
        type,
        PMI,
        occurred=0,
        severity=4,
        persons_concerned=30,
        msg_type=MsgType.UPDATE,
        references=(report,),
    )
    acting = [c for c in scene.state.causes.values() if c.lifted_at is None]
    assert [(c.site, c.since) for c in acting] == [(PMI, scene.at(0))]
    assert scene.site(PMI).confinement is not None
    assert [t.site for t in scene.state.tasks.values() if t.kind == "headcount"] == [PMI]
    (incident,) = scene.incidents()
    assert (incident.members, incident.danger, incident.persons_concerned) == ((PMI,), True, 30)
    assert incident.acknowledged_by, "the same danger calls nobody again"


def _fire_in_two_texts(scene: Scene) -> str:
    first = scene.report(0, "fire", severity=4)
    scene.report(
        2, "fire", PMI, occurred=0, severity=4, msg_type=MsgType.UPDATE, references=(first,)
    )
    assert scene.site(PMI).confinement == "counting"
    return first


def test_a_withdrawal_of_the_first_of_two_texts_ends_the_danger_at_its_site(scene: Scene) -> None:
    """The sender knows the id of the first text alone."""
    first = _fire_in_two_texts(scene)
    scene.report(4, "fire", severity=4, msg_type=MsgType.CANCEL, references=(first,))
    assert scene.status(PMI) == "normal"
    assert [c for c in scene.state.causes.values() if c.lifted_at is None] == []


def test_a_denial_of_the_first_of_two_texts_ends_the_danger_at_its_site(scene: Scene) -> None:
    first = _fire_in_two_texts(scene)
    scene.command(DenyReport(**CELL, report=first, reason="text:r"), 4)
    assert scene.status(PMI) == "normal"


@pytest.mark.parametrize("way", ["withdrawal", "denial"])
@pytest.mark.parametrize("version", ["first text", "place"])
def test_an_error_in_two_texts_is_no_danger_any_more(scene: Scene, version: str, way: str) -> None:
    """The mark of danger stood for ever: the other text counted as a danger of its own."""
    first = _fire_in_two_texts(scene)
    (place,) = set(scene.state.reports) - {first}
    error = first if version == "first text" else place
    if way == "denial":
        scene.command(DenyReport(**CELL, report=error, reason="text:r"), 4)
    else:
        scene.report(4, "fire", severity=4, msg_type=MsgType.CANCEL, references=(error,))
    (incident,) = scene.incidents()
    assert not incident.danger
    calls = Calls(scene)
    scene.report(
        6, "fire", PMI, severity=4, msg_type=MsgType.UPDATE, references=(first,), id="again"
    )
    assert scene.incidents()[0].danger, "a later word is not withdrawn with it"
    assert any(call.danger for call in calls.new())


def test_a_manager_takes_back_a_danger_elsewhere_in_two_texts(scene: Scene) -> None:
    """A manager speaks of another site as any agent: two kinds of source, one sender."""
    first = scene.report(0, "fire", severity=4, source="site_manager", source_key="p-1")
    second = {"severity": 4, "source": "agent", "source_key": "p-1", "references": (first,)}
    scene.report(2, "fire", PMI, occurred=0, msg_type=MsgType.UPDATE, **second)
    scene.command(DenyReport(**CELL, report=first, reason="text:r"), 4)
    assert scene.status(PMI) == "normal"
    assert not scene.incidents()[0].danger


def test_a_withdrawal_leaves_the_danger_that_others_reported(scene: Scene) -> None:
    first = scene.report(0, "fire", PMI, severity=4)
    scene.report(
        1,
        "fire",
        PMI,
        severity=4,
        source="pompiers",
        msg_type=MsgType.UPDATE,
        references=(first,),
    )
    scene.report(4, "fire", PMI, severity=4, msg_type=MsgType.CANCEL, references=(first,))
    assert scene.incidents()[0].danger


def test_a_withdrawal_leaves_an_update_of_a_later_time(scene: Scene) -> None:
    """The withdrawal waited on a device while the fire broke out again."""
    first = scene.report(0, "fire", PMI, severity=4)
    scene.report(6, "fire", PMI, severity=4, msg_type=MsgType.UPDATE, references=(first,))
    scene.report(
        8, "fire", PMI, occurred=3, severity=4, msg_type=MsgType.CANCEL, references=(first,)
    )
    assert scene.incidents()[0].danger
    assert scene.site(PMI).confinement == "counting"


def test_a_further_update_of_the_first_text_stays_at_the_site(scene: Scene) -> None:
    first = _fire_in_two_texts(scene)
    scene.report(4, "fire", severity=5, msg_type=MsgType.UPDATE, references=(first,))
    assert questions(scene) == [], "its place is known"
    assert [(c.site, c.severity) for c in scene.state.causes.values() if c.lifted_at is None] == [
        (PMI, 5)
    ]


def test_a_correction_with_the_place_answers(scene: Scene) -> None:
    report = scene.report(0, "fire", severity=4)
    scene.report(3, "fire", PMI, severity=4, msg_type=MsgType.UPDATE, references=(report,))
    assert questions(scene) == []
    assert [i.members for i in scene.incidents()] == [(PMI,)]


@pytest.mark.parametrize("place", NOWHERE.values(), ids=NOWHERE)
def test_an_update_without_a_place_takes_the_question_over(
    scene: Scene, place: dict[str, Any]
) -> None:
    first = scene.report(0, "fire", severity=4, **place)
    update = scene.report(
        2, "fire", severity=5, msg_type=MsgType.UPDATE, references=(first,), **place
    )
    assert [q.report for q in questions(scene)] == [update]
    scene.command(LinkReport(**CELL, report=update, site=PMI), 3)
    assert questions(scene) == []
    assert [c.site for c in scene.state.causes.values() if c.lifted_at is None] == [PMI]
    assert [i.members for i in scene.incidents()] == [(PMI,)]


def test_an_update_of_an_unknown_report_asks_for_its_place(scene: Scene) -> None:
    report = scene.report(0, "fire", msg_type=MsgType.UPDATE, references=("gone",))
    assert [q.report for q in questions(scene)] == [report]


def test_a_later_report_of_the_same_incident_answers(scene: Scene) -> None:
    first = scene.report(0, "fire", severity=4)
    scene.report(3, "evacuation", PMI, severity=4, references=(first,))
    assert scene.incident_of(first).members == (PMI,)
    assert questions(scene) == []


def test_a_merge_with_an_incident_at_a_place_answers(scene: Scene) -> None:
    first, second = scene.report(0, "fire", severity=4), scene.report(1, "fire", PMI, severity=4)
    a, b = scene.incident_of(first), scene.incident_of(second)
    assert a.id != b.id
    scene.command(
        MergeIncidents(**CELL, incident=a.id, into=b.id, reason="text:why", expected=None), 2
    )
    assert questions(scene) == []


@pytest.mark.parametrize("answer", ["link", "update", "report"])
@pytest.mark.parametrize("which", [0, 1])
def test_an_answer_about_one_danger_leaves_the_question_about_another(
    scene: Scene, answer: str, which: int
) -> None:
    fires = [scene.report(n, "fire", severity=4, source=("cell", "public")[n]) for n in (0, 1)]
    assert scene.incident_of(fires[0]).id == scene.incident_of(fires[1]).id
    references = {"references": (fires[which],)}
    match answer:
        case "link":
            scene.command(LinkReport(**CELL, report=fires[which], site=PMI), 3)
        case "update":
            for minute in (3, 4):
                scene.report(minute, "fire", PMI, severity=4, msg_type=MsgType.UPDATE, **references)
        case _:
            scene.report(3, "evacuation", PMI, severity=4, **references)
    assert [q.report for q in questions(scene)] == [fires[1 - which]]


def test_a_report_elsewhere_answers_nothing(scene: Scene) -> None:
    scene.report(0, "fire", severity=4)
    scene.report(1, "fire", PMI, severity=4)
    assert len(questions(scene)) == 1


@pytest.mark.parametrize("end", ["denied", "cancelled", "closed"])
def test_the_question_ends_with_the_danger(scene: Scene, end: str) -> None:
    report = scene.report(0, "fire", severity=4)
    match end:
        case "denied":
            scene.command(DenyReport(**CELL, report=report), 2)
        case "cancelled":
            scene.report(2, "fire", msg_type=MsgType.CANCEL, references=(report,))
        case _:
            incident = scene.incidents()[0].id
            scene.command(
                ResolveIncident(**CELL, incident=incident, force=True, reason="text:why"), 2
            )
            assert scene.state.incidents[incident].state is IncidentState.CLOSED
    assert questions(scene) == []


# ── an Update that names another place ────────────────────────────────────────────────────────────

COLLEGE = "clg-0921393P"
ELSEWHERE: dict[str, dict[str, Any]] = {
    "another site": {"site": "pmi-19"},
    "its commune": {"commune": "92044"},
    "no place": {},
}


@pytest.mark.parametrize("place", ELSEWHERE.values(), ids=ELSEWHERE)
@pytest.mark.parametrize(
    ("type", "status"), [("fire", "evacuated"), ("gas_leak", "degraded"), ("closure", "closed")]
)
def test_an_update_that_names_a_site_tells_of_trouble_there(
    scene: Scene, type: str, status: str, place: dict[str, Any]
) -> None:
    """It changed the trouble elsewhere alone: nobody left the burning college."""
    values = {"severity": 4, "source": "police"}
    first = scene.report(0, type, **values, **place)
    scene.report(5, type, COLLEGE, **values, msg_type=MsgType.UPDATE, references=(first,))
    assert scene.status(COLLEGE) == status
    orders = {n.person for n in scene.named(NotificationPlanned) if n.template.startswith("site_")}
    assert (f"rs-{COLLEGE}" in orders) is (type != "closure")


def test_a_second_place_counts_beside_the_first(scene: Scene) -> None:
    """The second of two names may be the right one; a person denies the other alone."""
    first = _fire_in_two_texts(scene)
    (wrong,) = set(scene.state.reports) - {first}
    scene.report(4, "fire", COLLEGE, severity=4, msg_type=MsgType.UPDATE, references=(first,))
    assert (scene.status(PMI), scene.status(COLLEGE)) == ("evacuated", "evacuated")
    scene.command(DenyReport(**CELL, report=wrong, reason="text:r"), 6)
    assert (scene.status(PMI), scene.status(COLLEGE)) == ("normal", "evacuated")


def test_the_order_of_an_update_elsewhere_does_not_matter(scene: Scene) -> None:
    scene.report(0, "evacuation", COLLEGE, severity=4, msg_type=MsgType.UPDATE, references=("a",))
    first = scene.report(3, "evacuation", "pmi-19", occurred=-2, severity=4, id="a")
    assert (scene.status("pmi-19"), scene.status(COLLEGE)) == ("evacuated", "evacuated")
    assert "superseded" not in scene.state.reports[first].flags


def test_a_further_update_changes_the_trouble_at_its_own_site(scene: Scene) -> None:
    first = scene.report(0, "outage_water", "pmi-19", severity=4, capacity_lost_pct=80)
    for minute, lost in ((5, 80), (9, 20)):
        scene.report(
            minute,
            "outage_water",
            COLLEGE,
            severity=3,
            capacity_lost_pct=lost,
            msg_type=MsgType.UPDATE,
            references=(first,),
        )
    assert [scene.site(s).capacity_pct for s in ("pmi-19", COLLEGE)] == [20, 80]


# ── people of a trouble that is told of anew ──────────────────────────────────────────────────────


def test_people_of_a_danger_count_once_when_a_person_links_its_site(scene: Scene) -> None:
    """They counted twice: once without a place, once at the site."""
    report = scene.report(0, "fire", severity=5, persons_concerned=3)
    scene.command(LinkReport(**CELL, report=report, site=COLLEGE), 4)
    assert scene.incidents()[0].persons_concerned == 3


def test_people_of_a_danger_stay_when_a_second_text_names_its_site(scene: Scene) -> None:
    first = scene.report(0, "fire", severity=5, persons_concerned=3)
    scene.report(2, "fire", COLLEGE, severity=5, msg_type=MsgType.UPDATE, references=(first,))
    assert scene.incidents()[0].persons_concerned == 3
    assert [c.persons for c in scene.state.causes.values() if c.lifted_at is None] == [3]


def test_people_of_a_closure_count_once_when_it_becomes_partial(scene: Scene) -> None:
    first = scene.report(0, "closure", COLLEGE, persons_concerned=30)
    scene.report(
        5,
        "partial_closure",
        COLLEGE,
        persons_concerned=30,
        msg_type=MsgType.UPDATE,
        references=(first,),
    )
    assert scene.incidents()[0].persons_concerned == 30
