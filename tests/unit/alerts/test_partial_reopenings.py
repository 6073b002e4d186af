"""Reopenings that each cover a part of the communes of a closure lift it together (D16)."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from schemas.crisis.causes import Cause
from schemas.words import EventType, MsgType
from tests.shipped import territory
from tests.unit.alerts.scene import Scene

COMMUNES = ("92050", "92026")
CLOSURE = (EventType.CLOSURE,)


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.report(0, "closure", zone=COMMUNES, severity=3, source="prefecture")
    return scene


def reopen(scene: Scene, minute: float, *communes: str, occurred: float | None = None) -> str:
    return scene.report(
        minute,
        "reopening",
        zone=communes,
        severity=1,
        lifts=CLOSURE,
        source="prefecture",
        occurred=occurred,
    )


def closure(scene: Scene) -> Cause:
    (cause,) = (c for c in scene.state.causes.values() if c.type is EventType.CLOSURE)
    return cause


def questions(scene: Scene) -> list[str]:
    return [t.state.value for t in scene.state.tasks.values() if t.kind == "lift_which"]


@pytest.mark.parametrize("order", list(permutations(range(2))))
def test_two_halves_lift_a_closure_in_any_order(scene: Scene, order: tuple[int, ...]) -> None:
    """Each half alone asked a person, and nothing ever lifted it."""
    minutes = (30, 50)
    reopen(scene, 60, COMMUNES[order[0]], occurred=minutes[order[0]])
    assert closure(scene).lifted_at is None
    assert questions(scene) == ["open"]
    reopen(scene, 61, COMMUNES[order[1]], occurred=minutes[order[1]])
    assert closure(scene).lifted_at == scene.at(50)
    assert "open" not in questions(scene)


def test_a_half_that_was_closed_again_is_not_open(scene: Scene) -> None:
    def list_open() -> list[Cause]:
        causes = scene.state.causes.values()
        return [c for c in causes if c.type is EventType.CLOSURE and c.lifted_at is None]

    reopen(scene, 30, COMMUNES[0])
    scene.report(40, "closure", zone=COMMUNES, severity=3, source="prefecture")
    reopen(scene, 50, COMMUNES[1])
    assert [cause.since for cause in list_open()] == [scene.at(40)]
    reopen(scene, 60, COMMUNES[0])
    assert list_open() == []


def test_the_same_half_twice_lifts_nothing(scene: Scene) -> None:
    reopen(scene, 30, COMMUNES[0])
    reopen(scene, 40, COMMUNES[0])
    assert closure(scene).lifted_at is None


@pytest.mark.parametrize("withdrawn", [0, 1])
def test_a_withdrawn_half_restores_the_closure(scene: Scene, withdrawn: int) -> None:
    halves = [reopen(scene, 30 + n, commune) for n, commune in enumerate(COMMUNES)]
    assert closure(scene).lifted_at is not None
    scene.report(
        40,
        "reopening",
        zone=(COMMUNES[withdrawn],),
        severity=1,
        source="prefecture",
        msg_type=MsgType.CANCEL,
        references=(halves[withdrawn],),
    )
    assert closure(scene).lifted_at is None


def test_a_withdrawn_half_counts_no_more(scene: Scene) -> None:
    first = reopen(scene, 30, COMMUNES[0])
    scene.report(
        35,
        "reopening",
        zone=(COMMUNES[0],),
        severity=1,
        source="prefecture",
        msg_type=MsgType.CANCEL,
        references=(first,),
    )
    reopen(scene, 40, COMMUNES[1])
    assert closure(scene).lifted_at is None


@pytest.mark.parametrize("again", [False, True])
def test_sites_of_a_reopened_commune_are_silent_once_it_is_hit_again(again: bool) -> None:
    """D18: an end that is older than the newest order ends nothing of it."""
    scene = Scene()
    order: dict[str, Any] = {"zone": ("92050", "92004"), "severity": 3}
    scene.report(0, "outage_water", source="gestionnaire_eau", **order)
    end = {"zone": ("92050",), "lifts": (EventType.OUTAGE_WATER,), "severity": 1}
    scene.report(5, "reopening", source="gestionnaire_eau", **end)
    if again:
        scene.report(10, "outage_water", source="ars", **order)
    scene.step(31)
    scene.step(32)
    silent = {s.commune for s in territory().sites if scene.status(s.id) == "unknown"}
    assert silent == ({"92050", "92004"} if again else {"92004"})
