"""Reports of one trouble that nobody has confirmed are one question (D6)."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.alerts import TaskRow, list_asked_reports
from schemas.base import Command
from schemas.calling import NotificationPlanned
from schemas.commands import ConfirmReport, DenyReport, TakeTask
from schemas.reports import Measure
from schemas.runtime import CommandApplied
from schemas.words import Certainty, MsgType, TaskState
from services.alerts.reports.verification import MAX_JOINED
from services.console.public.document import PublicStatus, read_public_status
from services.continuity.decider import extract_site
from tests.unit.alerts.scene import Scene
from tests.unit.alerts.test_escalation import PMI

CELL: dict[str, Any] = {"author": "coord-pca", "role": "coordinator"}
DOUBT: dict[str, Any] = {"source": "public", "certainty": Certainty.UNCONFIRMED}


@pytest.fixture
def scene() -> Scene:
    return Scene(check=True)


def doubt(scene: Scene, minute: float, type: str = "fire", site: str | None = PMI, **v: Any) -> str:
    return scene.report(minute, type, site, **(DOUBT | v))


def questions(scene: Scene) -> list[TaskRow]:
    rows = (t for t in scene.state.tasks.values() if t.kind == "verify_report")
    return [t for t in rows if t.state in (TaskState.OPEN, TaskState.TAKEN)]


def test_five_fires_at_one_site_are_one_question(scene: Scene) -> None:
    reports = [doubt(scene, minute) for minute in range(5)]
    (question,) = questions(scene)
    assert list_asked_reports(question) == tuple(reports)
    assert question.due_at == scene.at(30), "the first decides how long it may wait"


def test_other_troubles_and_other_sites_are_questions_of_their_own(scene: Scene) -> None:
    doubt(scene, 0)
    doubt(scene, 1, "outage_water")
    doubt(scene, 2, site="pmi-05")
    assert len(questions(scene)) == 3


def test_reports_without_a_site_join_within_their_incident(scene: Scene) -> None:
    water = scene.report(0, "outage_water", commune="92050", source="veolia")
    assert scene.incident_of(water) is not None
    for minute in (1, 2):
        doubt(scene, minute, "outage_water", None, commune="92050", references=(water,))
    for minute in (3, 4):
        doubt(scene, minute, "fire", None, commune="92012")
    assert sorted(len(list_asked_reports(q)) for q in questions(scene)) == [1, 1, 2]


def test_a_taken_question_hides_no_new_report(scene: Scene) -> None:
    doubt(scene, 0)
    scene.command(TakeTask(**CELL, task=questions(scene)[0].id), 1)
    newer = doubt(scene, 2)
    assert [q.report for q in questions(scene) if q.state is TaskState.OPEN] == [newer]


def test_a_question_has_a_bound(scene: Scene) -> None:
    for n in range(MAX_JOINED + 2):
        doubt(scene, n / 10)
    assert sorted(len(list_asked_reports(q)) for q in questions(scene)) == [1, MAX_JOINED + 1]


# ── answers ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("confirmed", [0, 1, 2])
def test_one_confirmation_answers_for_all(scene: Scene, confirmed: int) -> None:
    reports = [doubt(scene, minute) for minute in range(3)]
    scene.command(ConfirmReport(**CELL, report=reports[confirmed]), 5)
    assert questions(scene) == []
    assert scene.incidents()[0].danger


@pytest.mark.parametrize("confirmed", [0, 2])
def test_a_confirmed_trouble_leaves_the_person_in_danger_to_verify(
    scene: Scene, confirmed: int
) -> None:
    reports = [doubt(scene, n, "outage_power", severity=s) for n, s in enumerate((3, 5, 2))]
    scene.command(ConfirmReport(**CELL, report=reports[confirmed]), 5)
    (question,) = questions(scene)
    assert list_asked_reports(question) == (reports[1],)
    assert question.due_at == scene.at(30)


@pytest.mark.parametrize("denied", [0, 1, 2])
def test_a_denial_is_about_its_own_report(scene: Scene, denied: int) -> None:
    reports = [doubt(scene, minute) for minute in range(3)]
    scene.command(DenyReport(**CELL, report=reports[denied]), 5)
    (question,) = questions(scene)
    assert list_asked_reports(question) == tuple(r for r in reports if r != reports[denied])
    for report in list_asked_reports(question):
        scene.command(DenyReport(**CELL, report=report), 6)
    assert questions(scene) == []


def test_a_second_source_confirms_all_reports_of_the_first(scene: Scene) -> None:
    reports = [doubt(scene, minute) for minute in range(3)]
    doubt(scene, 4, source="site_manager")
    assert questions(scene) == []
    assert {scene.state.reports[r].confirmation for r in reports} == {"confirmed"}


@pytest.mark.parametrize("by_person", [True, False])
def test_a_trouble_that_was_confirmed_later_counts_like_any_other(
    scene: Scene, by_person: bool
) -> None:
    """Its cause stayed unconfirmed: no clock, no message to the site, no line on public pages."""
    report = doubt(scene, 1, "evacuation", severity=4)
    if by_person:
        scene.command(ConfirmReport(**CELL, report=report), 5)
    else:
        doubt(scene, 5, "evacuation", severity=4, source="police")
    (cause,) = scene.site(PMI).causes
    assert cause.certainty is Certainty.CONFIRMED
    believed = extract_site(scene.site(PMI), None)
    assert [c.type for c in believed.causes] == ["evacuation"]
    assert read_public_status(scene.site(PMI)) is PublicStatus.CLOSED
    orders = [n for n in scene.named(NotificationPlanned) if n.template == "site_order"]
    assert [n.person for n in orders] == [f"rs-{PMI}"]


def test_an_update_replaces_its_own_report(scene: Scene) -> None:
    reports = [doubt(scene, minute) for minute in range(2)]
    scene.report(5, "fire", PMI, msg_type=MsgType.UPDATE, references=(reports[0],))
    assert reports[0] not in [r for q in questions(scene) for r in list_asked_reports(q)]


def test_a_report_is_in_one_question_when_the_first_one_of_another_is_replaced(
    scene: Scene,
) -> None:
    """A second task asked about it, and no answer ended both."""
    first = scene.report(0, "damage_report", PMI, severity=1, certainty=Certainty.UNCONFIRMED)
    second = scene.report(
        1,
        "damage_report",
        PMI,
        severity=1,
        source="site_manager",
        certainty=Certainty.UNCONFIRMED,
        measure=Measure(name="customers_cut", value=30_000.0),
    )
    scene.report(2, "closure", PMI, msg_type=MsgType.UPDATE, references=(first,))
    tasks = [t for t in scene.state.tasks.values() if t.kind == "verify_report" and not t.done_at]
    assert [list_asked_reports(t) for t in tasks] == [(second,)]


@pytest.mark.parametrize("answer", [ConfirmReport, DenyReport])
def test_a_question_of_more_than_a_week_can_be_answered(answer: type[Command]) -> None:
    """A live realm forgets other reports after 7 days."""
    scene = Scene(realm="92")
    report = doubt(scene, 0)
    for day in range(1, 10):
        scene.step(day * 24 * 60)
    command = answer(report=report, reason="text:1", **CELL)
    assert isinstance(scene.command(command, 9 * 24 * 60 + 1), CommandApplied)
    assert not questions(scene)


def test_the_newest_questions_are_kept_when_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The record of kept reports stays small when many of them wait for a person."""
    monkeypatch.setattr("services.alerts.decider._MAX_KEPT_IDS", 2)
    scene = Scene(realm="92")
    first, second, third = (doubt(scene, hour * 60) for hour in range(3))
    for day in range(1, 10):
        scene.step(day * 24 * 60)
    kept_reports = [report for report in (first, second, third) if report in scene.state.reports]
    assert kept_reports == [second, third]
