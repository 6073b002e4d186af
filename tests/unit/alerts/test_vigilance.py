"""Yellow vigilances inform once a day, without a call (D72)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from schemas.alerts import AttentionRequested, Why
from schemas.calling import NotificationPlanned
from schemas.reports import Measure
from schemas.words import Channel, MsgType
from tests.unit.alerts.scene import PARIS, Scene

NIGHT = int(datetime(2027, 2, 11, 3, 15, tzinfo=PARIS).timestamp() * 1000)
MORNING = 225
"""From 03:15 to 07:00."""


@pytest.fixture
def scene() -> Scene:
    return Scene(start=NIGHT, check=True)


def _bulletin(scene: Scene, minute: float, colour: str, phenomenon: str = "vent") -> None:
    source = "vigicrues" if phenomenon == "crues" else "meteo_france"
    scene.report(
        minute, "weather_alert", source=source, phenomenon=phenomenon, colour=colour, severity=3
    )


def _messages(scene: Scene) -> list[NotificationPlanned]:
    return scene.named(NotificationPlanned)


def test_a_yellow_vigilance_at_night_waits_for_the_digest_of_the_morning(scene: Scene) -> None:
    _bulletin(scene, 0, "jaune")
    _bulletin(scene, 20, "jaune", "crues")
    scene.step(MORNING - 1)
    assert (scene.incidents(), scene.state.level(), _messages(scene)) == ([], 0, [])
    scene.step(MORNING)
    messages = _messages(scene)
    assert [m.role for m in messages] == [
        "astreinte_technique",
        "astreinte_direction",
        "coordinateur_pca",
    ]
    assert {m.template for m in messages} == {"vigilance_digest"}
    assert messages[0].values == {"phenomena": "crues|vent", "plans": "PT-CRUE"}
    assert not {c for m in messages for c in m.channels} - {Channel.APP, Channel.EMAIL}
    scene.step(MORNING + 3 * 24 * 60)
    assert len(_messages(scene)) == len(messages), "nothing new, no second message"
    _bulletin(scene, MORNING + 3 * 24 * 60 + 1, "jaune")
    scene.step(MORNING + 4 * 24 * 60)
    assert [m.values["phenomena"] for m in _messages(scene)[len(messages) :]] == ["vent"] * 3


def test_a_vigilance_raised_to_orange_at_night_calls_at_once_without_a_digest(scene: Scene) -> None:
    _bulletin(scene, 0, "jaune")
    _bulletin(scene, 45, "orange")
    assert scene.state.level() == 2
    assert _messages(scene)
    scene.step(MORNING)
    assert "vigilance_digest" not in {m.template for m in _messages(scene)}


def test_a_second_red_phenomenon_joins_the_running_crisis_without_a_second_call(
    scene: Scene,
) -> None:
    """Rule D32: further bulletins call nobody again."""
    _bulletin(scene, 0, "rouge", "vent")
    called = [m.person for m in _messages(scene) if m.answer_expected]
    assert called
    before = len(_messages(scene))
    _bulletin(scene, 2, "rouge", "neige-verglas")
    more = _messages(scene)[before:]
    assert len(scene.incidents()) == 2
    assert not [m for m in more if m.answer_expected]
    assert {m.person for m in more if m.template == "information"} <= set(called)
    assert len(set(called)) == len(called)


def test_a_plan_proposed_by_yellow_alone_calls_no_person(scene: Scene) -> None:
    attention_request = AttentionRequested(
        code="plan_proposed", roles=("coordinateur_pca",), plan="PT-CRUE"
    )
    _bulletin(scene, 0, "jaune", "crues")
    scene.feed(attention_request, at=scene.at(1))
    assert not _messages(scene)
    _bulletin(scene, 2, "orange", "crues")
    before = len(_messages(scene))
    scene.feed(attention_request, at=scene.at(3))
    proposed = _messages(scene)[before:]
    assert [m.template for m in proposed] == ["plan_proposed"]
    why = Why.model_validate_json(str(proposed[0].values["why"]))
    assert (why.metric, why.value, why.reports) == ("vigilance", "orange", ())


def test_the_message_of_a_plan_that_returns_says_the_present_value(scene: Scene) -> None:
    """D49: the river fell since; the plan still waits for a decision, and said the old level."""
    request = AttentionRequested(code="plan_proposed", roles=("coordinateur_pca",), plan="PT-CRUE")
    levels = ((0, 5.9), (60, 5.7))
    for minute, level in levels:
        river = Measure(
            name="river_level", value=level, unit="m", object="station:paris-austerlitz"
        )
        scene.report(minute, "flood_level", measure=river, severity=3)
        scene.feed(request, at=scene.at(minute + 1))
    proposed = [m for m in _messages(scene) if m.template == "plan_proposed"]
    whys = [Why.model_validate_json(str(m.values["why"])) for m in proposed]
    assert [(why.metric, why.value) for why in whys] == [
        ("river_level", level) for _, level in levels
    ]


# ── yellow of the official feeds (D72, D120) ──────────────────────────────────────────────────────


def _information(
    scene: Scene,
    minute: float,
    colour: str,
    *,
    source: str = "meteo_france",
    phenomenon: str = "vent",
    **fields: Any,
) -> str:
    return scene.report(
        minute,
        "info",
        source=source,
        phenomenon=phenomenon,
        colour=colour,
        severity=1,
        **fields,
    )


def test_yellow_that_a_feed_publishes_as_information_is_in_the_digest(scene: Scene) -> None:
    _information(scene, 0, "jaune")
    _information(scene, 1, "jaune", source="vigicrues", phenomenon="crues")
    assert (scene.incidents(), scene.state.level(), _messages(scene)) == ([], 0, [])
    scene.step(MORNING)
    assert {m.values["phenomena"] for m in _messages(scene)} == {"crues|vent"}
    assert {m.values["plans"] for m in _messages(scene)} == {"PT-CRUE"}


def test_the_end_of_a_yellow_that_was_an_information_ends_the_vigilance(scene: Scene) -> None:
    first = _information(scene, 0, "jaune")
    _information(scene, 60, "vert", msg_type=MsgType.CANCEL, references=(first,))
    assert scene.state.flags["vigilance:vent"].value == "vert"
    scene.step(MORNING)
    assert not _messages(scene)


@pytest.mark.parametrize("colour", ["jaune", "vert"])
def test_an_information_lowers_no_orange(scene: Scene, colour: str) -> None:
    _bulletin(scene, 0, "orange")
    _information(scene, 10, colour)
    assert scene.state.flags["vigilance:vent"].value == "orange"


def test_only_the_publisher_declares_yellow_by_an_information(scene: Scene) -> None:
    _information(scene, 0, "jaune", phenomenon="crues")
    _information(scene, 0, "jaune", source="site_manager")
    _information(scene, 0, "orange")
    assert not [id for id in scene.state.flags if id.startswith("vigilance:")]


def test_orange_after_the_yellow_of_a_feed_calls_and_goes_back_to_yellow(scene: Scene) -> None:
    _information(scene, 0, "jaune")
    _bulletin(scene, 30, "orange")
    (orange,) = [r for r in scene.state.reports.values() if r.colour == "orange"]
    assert scene.state.level() == 2
    scene.report(
        60,
        "weather_alert",
        source="meteo_france",
        phenomenon="vent",
        colour="jaune",
        severity=1,
        msg_type=MsgType.CANCEL,
        references=(orange.id,),
    )
    assert scene.state.flags["vigilance:vent"].value == "jaune"
