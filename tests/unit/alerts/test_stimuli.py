"""Stimuli of an exercise: planned, skipped, restored, noted, in exercises alone. Rule D94."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.base import Command
from schemas.crisis.stimuli import (
    MOST_NOTES,
    NoteStimulus,
    PlanStimulus,
    RestoreStimulus,
    SkipStimulus,
    StimulusChanged,
)
from schemas.topics import is_live
from services.alerts.decider import AlertsDecider
from tests.unit.alerts.scene import Scene
from tests.unit.alerts.test_communication import apply, refusal

ORGANISER: dict[str, Any] = {"author": "p-1", "role": "coordinator"}
OBSERVER: dict[str, Any] = {"author": "p-2", "role": "observer"}
AT = 1_802_335_200_000


@pytest.fixture
def scene() -> Scene:
    return Scene()


def plan(id: str = "E1", **values: Any) -> Command:
    return PlanStimulus(**({"stimulus": id, "at": AT, "text_id": "t-1"} | ORGANISER | values))


def list_changes(scene: Scene) -> list[str]:
    return [f.change for f in scene.facts if isinstance(f, StimulusChanged)]


def test_a_stimulus_is_planned_skipped_restored_and_noted(scene: Scene) -> None:
    assert apply(scene, plan()) == {"stimulus": "E1", "skipped": False, "version": 0}
    skip = SkipStimulus(stimulus="E1", expected=0, **ORGANISER)
    assert apply(scene, skip) == {"stimulus": "E1", "skipped": True, "version": 1}
    apply(scene, RestoreStimulus(stimulus="E1", **ORGANISER))
    apply(scene, NoteStimulus(stimulus="E1", mark=2, text_id="t-9", **OBSERVER))
    row = scene.state.stimuli["E1"]
    assert (row.skipped, row.version, row.at) == (False, 3, AT)
    (note,) = row.notes
    assert (note.by, note.role, note.mark, note.text_id) == ("p-2", "observer", 2, "t-9")


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (plan(), (409, "stimulus_known")),
        (plan("E2", role="cell"), (403, "role_not_allowed")),
        (SkipStimulus(stimulus="E1", **OBSERVER), (403, "role_not_allowed")),
        (SkipStimulus(stimulus="E9", **ORGANISER), (404, "stimulus_not_found")),
        (SkipStimulus(stimulus="E1", expected=4, **ORGANISER), (412, "version_conflict")),
        (RestoreStimulus(stimulus="E1", **ORGANISER), (409, "stimulus_state")),
        (NoteStimulus(stimulus="E1", **OBSERVER), (409, "note_empty")),
    ],
)
def test_a_command_that_does_not_fit_is_refused(
    scene: Scene, command: Command, answer: tuple[int, str]
) -> None:
    apply(scene, plan())
    assert refusal(scene, command) == answer
    assert scene.state.stimuli["E1"].version == 0


def test_a_stimulus_that_was_played_is_not_skipped(scene: Scene) -> None:
    """The list shows it as played, because its report is in the realm."""
    apply(scene, plan())
    apply(scene, plan("E2"))
    scene.report(1, "closure", "cen-1", alias="E1")
    assert refusal(scene, SkipStimulus(stimulus="E1", **ORGANISER)) == (409, "stimulus_played")
    apply(scene, SkipStimulus(stimulus="E2", **ORGANISER))
    assert [id for id, row in scene.state.stimuli.items() if row.skipped] == ["E2"]


def test_notes_are_bounded(scene: Scene) -> None:
    apply(scene, plan())
    note = NoteStimulus(stimulus="E1", mark=3, **OBSERVER)
    for _ in range(MOST_NOTES):
        apply(scene, note)
    assert refusal(scene, note) == (409, "notes_full")


def test_a_live_realm_has_no_stimuli() -> None:
    live = Scene(realm="92")
    assert is_live(live.state.realm)
    assert refusal(live, plan()) == (409, "stimulus_live")


def test_a_stimulus_survives_a_snapshot(scene: Scene) -> None:
    apply(scene, plan())
    apply(scene, NoteStimulus(stimulus="E1", mark=1, **OBSERVER))
    decider = AlertsDecider()
    dump = decider.dump(scene.state)
    loaded = decider.load(scene.state.realm, scene.state.lineage, dump)
    assert loaded == scene.state
    assert loaded.stimuli["E1"].notes[0].mark == 1
