"""A pôle's level rises with incidents of its sites and falls only by decision (D27, D31)."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.alerts import LevelRow
from schemas.commands import ResolveIncident, SetLevel
from schemas.runtime import CommandApplied
from schemas.words import EventType, Level
from services.console.sites.queries import compute_pole_levels
from tests.shipped import territory
from tests.unit.alerts.scene import Scene

POLE_OF = {s.id: s.pole for s in territory().sites}
PMI, COLLEGES = "pmi-04", ("clg-0921353W", "clg-0920594W", "clg-0920882J")
MULTI = next(s.id for s in territory().sites if s.pole == "multi")


@pytest.fixture
def scene() -> Scene:
    return Scene()


def _rows(scene: Scene) -> dict[str, LevelRow]:
    return compute_pole_levels(scene.incidents(), POLE_OF)


def _levels(scene: Scene) -> dict[str, int]:
    return {pole: int(row.level) for pole, row in _rows(scene).items()}


def _lower(scene: Scene, minute: float, level: int, **more: Any) -> Any:
    defaults = {
        "author": "dgs",
        "role": "dgs_directeur_de_crise",
        "reason": "text:why",
        "scope": scene.incidents()[0].id,
        "level": Level(level),
    }
    return scene.command(SetLevel.model_validate(defaults | more), minute)


def test_a_pole_level_rises_at_once_in_its_own_pole_with_its_reason(scene: Scene) -> None:
    assert _levels(scene) == {}
    scene.report(0, "closure", PMI, severity=2)
    assert _levels(scene) == {POLE_OF[PMI]: 1}
    report = scene.report(7, "closure", PMI, severity=4)
    scene.report(8, "closure", COLLEGES[0], severity=2)
    assert _levels(scene) == {POLE_OF[PMI]: 2, POLE_OF[COLLEGES[0]]: 1}
    row = _rows(scene)[POLE_OF[PMI]]
    assert (row.id, row.since) == (f"pole:{POLE_OF[PMI]}", scene.at(7))
    assert report in {r for w in row.why for r in w.reports}
    assert {w.args["level"] for w in row.why} == {2}


def test_a_pole_level_falls_only_by_decision_with_a_reason(scene: Scene) -> None:
    pole = POLE_OF[PMI]
    scene.report(0, "closure", PMI, severity=4)
    scene.report(60, "reopening", PMI, lifts=(EventType.CLOSURE,), severity=1)
    scene.step(600)
    assert _levels(scene) == {pole: 2}, "over is not lowered"
    assert _lower(scene, 601, 1, reason=None).code == "reason_required"
    assert _lower(scene, 602, 1, role="responsable_site").status == 403
    assert _levels(scene) == {pole: 2}, "a refused decision lowers nothing"
    assert isinstance(_lower(scene, 603, 1), CommandApplied), "all that raised it is over"
    assert _levels(scene) == {pole: 1}
    row = _rows(scene)[pole]
    assert (row.since, row.why[-1].code, row.why[-1].args["author"]) == (
        scene.at(603),
        "manual",
        "dgs",
    )
    closed = scene.command(
        ResolveIncident(
            author="c", role="coordinator", incident=scene.incidents()[0].id, reason="text:done"
        ),
        604,
    )
    assert isinstance(closed, CommandApplied)
    assert _levels(scene) == {}


def test_a_pole_level_follows_its_highest_incident(scene: Scene) -> None:
    scene.report(0, "outage_power", PMI, severity=4, capacity_lost_pct=100)
    scene.report(1, "closure", "pmi-05", severity=2)
    assert [int(i.level) for i in scene.incidents()] == [2, 1]
    assert _levels(scene) == {POLE_OF[PMI]: 2}
    assert isinstance(_lower(scene, 5, 0, force=True), CommandApplied)
    assert _levels(scene) == {POLE_OF[PMI]: 1}


def test_a_site_of_several_poles_raises_no_pole_level(scene: Scene) -> None:
    scene.report(0, "closure", MULTI, severity=4)
    assert scene.state.level() >= 2
    assert _levels(scene) == {}
