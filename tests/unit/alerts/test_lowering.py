"""The end of all causes of an incident proposes to lower it, and a person decides (D72)."""

from __future__ import annotations

import pytest

from schemas.calling import NotificationPlanned
from schemas.commands import SetLevel
from schemas.reports import Measure
from schemas.runtime import CommandApplied, CommandRefused
from schemas.words import EventType, Level, MsgType
from tests.unit.alerts.scene import Scene

PMI, COLLEGE = "pmi-04", "clg-0921353W"


@pytest.fixture
def scene() -> Scene:
    return Scene(check=True)


def _lower(scene: Scene, minute: float, incident: str) -> CommandApplied | CommandRefused:
    command = SetLevel(
        author="d", role="directeur_pole", reason="text:why", scope=incident, level=Level.N1
    )
    return scene.command(command, minute)


def test_lowering_is_proposed_when_the_last_cause_is_over_and_a_person_decides(
    scene: Scene,
) -> None:
    first = scene.report(0, "outage_power", PMI, severity=4, capacity_lost_pct=100)
    scene.report(1, "partial_closure", PMI, capacity_lost_pct=10)
    incident = scene.incident_of(first).id
    refused = _lower(scene, 2, incident)
    assert isinstance(refused, CommandRefused)
    scene.report(30, "reopening", PMI, lifts=(EventType.OUTAGE_POWER,), severity=1)
    assert scene.incident_of(first).over_since is None, "it is closed in part still"
    scene.report(40, "reopening", PMI, lifts=(EventType.PARTIAL_CLOSURE,), severity=1)
    assert (scene.incident_of(first).over_since, scene.incident_of(first).level) == (
        scene.at(40),
        2,
    )
    assert isinstance(_lower(scene, 41, incident), CommandApplied)


@pytest.mark.parametrize("end", ["reopening", "withdrawal"])
def test_calls_about_an_incident_that_is_over_say_so(scene: Scene, end: str) -> None:
    """D72: the report was an error, and the crisis director was called to join the team."""
    report = scene.report(0, "evacuation", "mdph-01", severity=4, source_key="k")
    scene.step(10)
    if end == "withdrawal":
        scene.report(
            12,
            "evacuation",
            "mdph-01",
            msg_type=MsgType.CANCEL,
            references=(report,),
            source_key="k",
        )
    else:
        scene.report(12, "reopening", "mdph-01", lifts=(EventType.EVACUATION,))
    scene.step(20)
    calls = [n for n in scene.named(NotificationPlanned) if n.wave is not None]
    is_over = {(n.wave, n.values.get("over", False)) for n in calls}
    assert is_over == {(1, False), (2, False), (3, True)}


def test_a_reopened_cause_ends_the_proposal_to_lower(scene: Scene) -> None:
    first = scene.report(0, "outage_power", PMI, severity=4, capacity_lost_pct=100)
    scene.report(30, "reopening", PMI, severity=1)
    assert scene.incident_of(first).over_since == scene.at(30)
    scene.report(35, "outage_power", PMI, severity=4, capacity_lost_pct=100)
    assert scene.incident_of(first).over_since is None


def test_a_hazard_is_over_when_its_vigilance_is_yellow_and_its_causes_are_over(
    scene: Scene,
) -> None:
    common_fields = {"source": "meteo_france", "phenomenon": "vent", "severity": 3}
    storm = scene.report(0, "weather_alert", colour="orange", **common_fields)
    scene.report(10, "damage_report", COLLEGE, capacity_lost_pct=20)
    scene.report(60, "reopening", COLLEGE, severity=1)
    assert scene.incident_of(storm).over_since is None
    scene.report(90, "weather_alert", colour="jaune", **common_fields)
    assert scene.incident_of(storm).over_since == scene.at(90)


def test_a_plan_that_raised_a_lowered_incident_raises_it_again(scene: Scene) -> None:
    """D31: only the fall of the territory armed the threshold of the plan."""

    def read(minute: float, metres: float) -> str:
        reading = Measure(
            name="river_level", value=metres, unit="m", object="station:paris-austerlitz"
        )
        return scene.report(minute, "flood_level", source="vigicrues", severity=2, measure=reading)

    flood = scene.incident_of(read(0, 5.02)).id
    read(10, 4.98)
    assert isinstance(_lower(scene, 12, flood), CommandApplied)
    calls = len(scene.named(NotificationPlanned))
    read(20, 4.99)
    assert (scene.state.incidents[flood].level, len(scene.named(NotificationPlanned))) == (1, calls)
    read(30, 5.0)
    assert scene.state.incidents[flood].level == 2
    assert len(scene.named(NotificationPlanned)) > calls
