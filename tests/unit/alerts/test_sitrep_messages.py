"""A validated situation report reaches the roles that its author names (D54)."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.alerts import AttentionRequested
from schemas.calling import NotificationPlanned
from schemas.commands import CompleteTask, SetLevel
from schemas.continuity import SitrepIssued, SitrepRow
from schemas.runtime import CommandApplied
from schemas.words import Level
from tests.unit.alerts.scene import Scene

DIRECTOR: dict[str, Any] = {"author": "dgs", "role": "dgs_directeur_de_crise", "reason": "text:x"}


def _issue(scene: Scene, *recipients: str) -> list[NotificationPlanned]:
    row = SitrepRow(
        id="2",
        number=2,
        as_of=scene.at(60),
        issued_at=scene.at(61),
        issued_by="coord-1",
        role="coordinateur_pca",
        level=3,
        text_id="t-1",
        sha256="ab" * 32,
        next_at=scene.at(120),
        recipients=recipients,
    )
    scene.feed(SitrepIssued(row=row), at=scene.at(61))
    return [n for n in scene.named(NotificationPlanned) if n.template == "sitrep"]


def test_each_recipient_gets_number_level_and_times() -> None:
    scene = Scene()
    notifications = _issue(scene, "coordinateur_pca", "liaison_cod")
    assert [(n.role, n.answer_expected) for n in notifications] == [
        ("coordinateur_pca", False),
        ("liaison_cod", False),
    ]
    assert notifications[0].values == {
        "sitrep": 2,
        "sitrep_level": 3,
        "as_of": scene.at(60),
        "next_at": scene.at(120),
    }


def test_a_role_of_poles_is_reached_where_incidents_are_open() -> None:
    """The director of the hit pôle, ticked by the form at N2, never got the report."""
    scene = Scene()
    assert _issue(scene, "directeur_pole") == []
    scene = Scene()
    scene.report(1, "evacuation", "clg-0921353W", severity=4, source="pompiers")
    (notification,) = _issue(scene, "directeur_pole")
    assert (notification.role, notification.scope) == ("directeur_pole", "education")


def test_a_report_without_recipients_sends_no_message() -> None:
    assert _issue(Scene()) == []


@pytest.mark.parametrize(("level", "state"), [(Level.N0, "void"), (Level.N1, "open")])
def test_the_task_for_a_report_ends_at_a_level_without_a_rhythm(level: Level, state: str) -> None:
    scene = Scene()
    scene.command(SetLevel(**DIRECTOR, scope="territory", level=Level.N2), 0)
    due = AttentionRequested(code="sitrep_due", roles=(), limit_at=scene.at(60))
    scene.feed(due, at=scene.at(60))
    answer = scene.command(SetLevel(**DIRECTOR, scope="territory", level=level, force=True), 90)
    assert isinstance(answer, CommandApplied), answer
    (task,) = [t for t in scene.state.tasks.values() if t.kind == "sitrep"]
    assert task.state == state


@pytest.mark.parametrize(("level", "due_at"), [(Level.N2, 120), (Level.N0, None)])
def test_a_report_ticked_off_without_a_validation_is_asked_for_again(
    level: Level, due_at: int | None
) -> None:
    """A tick once ended the rhythm of the whole crisis."""
    scene = Scene()
    if level > Level.N0:
        scene.report(0, "closure", "pmi-04", severity=4)
    due = AttentionRequested(code="sitrep_due", roles=(), limit_at=scene.at(60))
    scene.feed(due, at=scene.at(60))
    (task,) = [t for t in scene.state.tasks.values() if t.kind == "sitrep"]
    command = CompleteTask(author="coord-1", role="coordinator", task=task.id)
    assert isinstance(scene.command(command, 60), CommandApplied)
    waiting = [t for t in scene.state.tasks.values() if t.kind == "sitrep" and t.done_at is None]
    assert [t.due_at for t in waiting] == ([] if due_at is None else [scene.at(due_at)])
    _issue(scene)
    assert all(t.done_at is not None for t in scene.state.tasks.values() if t.kind == "sitrep")
