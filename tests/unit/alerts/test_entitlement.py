"""An unentitled or unlikely value counts only once confirmed; its report is kept (D76)."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.commands import ConfirmReport
from schemas.reports import Measure
from schemas.runtime import CommandApplied
from schemas.words import Certainty, EventType, Level
from services.alerts.reports.judgement import CELL_ROLE
from tests.unit.alerts.scene import Scene, report_of, scenario

RIVER = "river:paris-austerlitz"


@pytest.fixture
def scene() -> Scene:
    return Scene(check=True)


def _river(
    scene: Scene, minute: float, level: float, source: str = "vigicrues", severity: int = 5
) -> str:
    measure = Measure(name="river_level", value=level, unit="m", object="station:paris-austerlitz")
    return scene.report(minute, "flood_level", source=source, severity=severity, measure=measure)


def _info(scene: Scene, minute: float, name: str, source: str, **values: Any) -> str:
    return scene.report(
        minute, "info", source=source, measure=Measure(name=name, value=True, unit="bool"), **values
    )


def _tasks(scene: Scene, report: str) -> list[tuple[str, str | None]]:
    return [
        (t.kind, t.owner)
        for t in scene.state.tasks.values()
        if t.report == report and t.state in ("open", "taken")
    ]


def _confirm(scene: Scene, minute: float, report: str) -> Any:
    return scene.command(ConfirmReport(author="ana", role="cell", report=report), minute)


def test_a_flag_of_another_source_has_no_effect_and_asks_the_cell(scene: Scene) -> None:
    id = _info(scene, 0, "cod_active", "site_manager")
    row = scene.state.reports[id]
    assert row.flags == ("measure_unentitled",)
    assert row.held is not None
    assert row.held.measure == Measure(name="cod_active", value=True, unit="bool")
    assert "flag:cod_active" not in scene.state.flags
    assert (scene.state.level(), dict(scene.state.triggers)) == (0, {})
    assert _tasks(scene, id) == [("verify_report", CELL_ROLE)]


def test_a_person_confirms_the_declaration_of_an_unentitled_source(scene: Scene) -> None:
    id = _info(scene, 0, "cod_active", "site_manager")
    assert isinstance(_confirm(scene, 10, id), CommandApplied)
    row = scene.state.reports[id]
    assert (row.held, row.flags, row.verified_by) == (None, (), "ana")
    assert scene.state.flags["flag:cod_active"].since == scene.at(0), "with its own time"
    assert scene.state.level() == 3
    assert _tasks(scene, id) == []


def test_a_second_source_confirms_the_report_and_not_its_measure(scene: Scene) -> None:
    _info(scene, 0, "cod_active", "site_manager")
    _info(scene, 1, "cod_active", "technician")
    assert "flag:cod_active" not in scene.state.flags


def test_a_report_does_not_join_the_question_about_a_held_value(scene: Scene) -> None:
    """The cell looks into the value; somebody has to find out whether the danger is true."""
    value = _info(scene, 0, "cod_active", "site_manager", site="pmi-04")
    unsure = {"severity": 5, "source": "public", "certainty": Certainty.UNCONFIRMED}
    danger = scene.report(1, "info", "pmi-04", **unsure)
    assert _tasks(scene, value) == [("verify_report", CELL_ROLE)]
    assert _tasks(scene, danger) == [("verify_report", None)]


@pytest.mark.parametrize(
    ("level", "source", "flag"),
    [(46.0, "vigicrues", "to_confirm"), (6.6, "site_manager", "measure_unentitled")],
)
def test_an_uncounted_river_level_leaves_an_incident_to_examine(
    scene: Scene, level: float, source: str, flag: str
) -> None:
    id = _river(scene, 0, level, source)
    assert scene.state.reports[id].flags == (flag,)
    assert RIVER not in scene.state.flags
    assert (scene.state.level(), dict(scene.state.triggers)) == (1, {})
    assert scene.incident_of(id).severity == 0


def test_a_stuck_gauge_does_not_confirm_itself(scene: Scene) -> None:
    for minute in (0, 15, 30):
        _river(scene, minute, 46.0)
    assert RIVER not in scene.state.flags
    assert scene.state.level() == 1


def test_a_jump_waits_for_a_second_reading_near_it(scene: Scene) -> None:
    _river(scene, 0, 3.0, severity=2)
    first = _river(scene, 15, 6.6)
    assert scene.state.reports[first].flags == ("to_confirm",)
    assert scene.state.flags[RIVER].value == 3.0
    assert "PT-CRUE:4" not in scene.state.triggers
    _river(scene, 30, 6.7)
    assert scene.state.flags[RIVER].value == 6.7
    assert scene.state.reports[first].held is None
    assert "PT-CRUE:4" in scene.state.triggers
    assert _tasks(scene, first) == []


def test_a_reading_near_the_last_one_leaves_the_jump_alone(scene: Scene) -> None:
    _river(scene, 0, 3.0, severity=2)
    first = _river(scene, 15, 6.6)
    _river(scene, 30, 3.1, severity=2)
    assert scene.state.flags[RIVER].value == 3.1
    assert scene.state.reports[first].flags == ("to_confirm",)


@pytest.mark.parametrize(
    ("phenomenon", "source", "stands"),
    [
        ("vent", "meteo_france", True),
        ("vent", "vigicrues", False),
        ("vent", "prefecture", False),
        ("vent", "site_manager", False),
        ("crues", "vigicrues", True),
        ("crues", "meteo_france", False),
    ],
)
def test_colours_come_from_their_entitled_source(
    scene: Scene, phenomenon: str, source: str, stands: bool
) -> None:
    id = scene.report(
        0, "weather_alert", source=source, phenomenon=phenomenon, colour="rouge", severity=4
    )
    assert (f"vigilance:{phenomenon}" in scene.state.flags) is stands
    assert (scene.state.reports[id].incident is not None) is stands, (
        "without a colour that counts there is no bulletin"
    )
    assert (scene.state.level() > 0) is stands


def test_the_prefecture_repeats_a_colour_and_creates_none(scene: Scene) -> None:
    scene.report(
        0, "weather_alert", source="meteo_france", phenomenon="vent", colour="orange", severity=3
    )
    repeated = scene.report(
        5, "weather_alert", source="prefecture", phenomenon="vent", colour="orange", severity=3
    )
    graver = scene.report(
        6, "weather_alert", source="prefecture", phenomenon="vent", colour="rouge", severity=4
    )
    assert scene.state.reports[repeated].held is None
    assert scene.state.reports[graver].flags == ("measure_unentitled",)
    assert scene.state.flags["vigilance:vent"].value == "orange"


def test_a_system_is_down_for_all_only_by_an_entitled_or_confirmed_report(scene: Scene) -> None:
    down: dict[str, Any] = {
        "severity": 4,
        "capacity_lost_pct": 100,
        "measure": Measure(object="system:paie"),
    }
    id = scene.report(0, "outage_it", source="communication", **down)
    assert scene.state.reports[id].flags == ("measure_unentitled",)
    assert "system:paie" not in scene.state.flags
    _confirm(scene, 5, id)
    assert scene.state.flags["system:paie"].value == "down"


def test_a_site_without_its_systems_is_hit_without_a_question(scene: Scene) -> None:
    id = scene.report(
        0, "outage_it", "pmi-05", measure=Measure(object="system:paie"), capacity_lost_pct=40
    )
    assert (scene.state.reports[id].held, scene.status("pmi-05")) == (None, "degraded")
    assert "system:paie" not in scene.state.flags


@pytest.mark.parametrize(("source", "level"), [("site_manager", 3), ("pompiers", 4)])
def test_only_entitled_sources_declare_the_long_loss_of_a_central_site(
    scene: Scene, source: str, level: int
) -> None:
    id = scene.report(0, "closure", "cen-2", severity=4, expected_duration_h=100, source=source)
    assert scene.state.level() == level
    assert scene.status("cen-2") == "closed", "whoever says so"
    assert ("to_confirm" in scene.state.reports[id].flags) is (level == 3)


def test_a_long_failure_on_a_closed_central_site_makes_it_no_longer_closed(scene: Scene) -> None:
    scene.report(0, "closure", "cen-2", severity=4, expected_duration_h=5, source="pompiers")
    scene.report(
        1, "outage_it", "cen-2", severity=4, expected_duration_h=720, capacity_lost_pct=100
    )
    assert scene.state.level() == 3


def test_a_person_confirms_how_long_a_central_site_is_lost(scene: Scene) -> None:
    id = scene.report(0, "closure", "cen-2", severity=4, expected_duration_h=100)
    _confirm(scene, 5, id)
    assert scene.state.level() == 4
    assert [c.type for c in scene.site("cen-2").causes] == ["closure"]


def test_a_count_beyond_its_own_whole_waits(scene: Scene) -> None:
    count = Measure(
        name="headcount_found", value=240.0, value_of=214.0, unit="persons", scope="site"
    )
    id = scene.report(0, "headcount", "clg-0921494Z", measure=count)
    assert scene.state.reports[id].flags == ("to_confirm",)


def test_a_reopening_with_desks_still_held_opens_nothing(scene: Scene) -> None:
    scene.report(0, "closure", "cen-2", severity=4)
    scene.report(
        5,
        "reopening",
        "cen-2",
        severity=1,
        measure=Measure(name="desks_available", value=99_999.0, value_of=100_000.0),
    )
    assert scene.status("cen-2") == "closed"


def test_a_level_raised_by_an_info_has_an_incident_and_calls(scene: Scene) -> None:
    """The alarm of the EDR raised N2 without a call: N1 and N2 escalate incidents only."""
    id = _info(scene, 0, "edr_critical", "edr")
    assert scene.state.level() == 2
    incident = scene.incident_of(id)
    assert (incident.level, [w.code for w in scene.state.reports[id].why]) == (Level.N2, ["D76"])
    assert [(e.ladder, e.state) for e in scene.state.escalations.values()] == [("N2", "running")]


def test_only_a_report_on_the_same_network_ends_the_stop_of_transport(scene: Scene) -> None:
    """A delay of one line put all trains and buses back."""
    scene.report(0, "transport_disruption", source="idfm", severity=4)
    scene.report(
        5,
        "transport_disruption",
        source="idfm",
        severity=1,
        measure=Measure(object="network:rer-c"),
    )
    assert scene.state.flags["network:transit"].value == "down"
    scene.report(9, "transport_disruption", source="idfm", severity=1)
    assert scene.state.flags["network:transit"].value == "up"


@pytest.mark.parametrize(
    ("stopped", "reopened", "state"),
    [
        (None, None, "up"),
        ("network:transit", "network:transit", "up"),
        ("network:rer-a", "network:rer-b", "down"),
        (None, "road:A86", "down"),
    ],
)
def test_a_reopening_of_the_same_network_ends_the_stop_of_transport(
    scene: Scene, stopped: str | None, reopened: str | None, state: str
) -> None:
    """D16, D76: transport that was reported to run again stayed down."""
    scene.report(0, "transport_disruption", source="idfm", severity=4, measure=_measure_of(stopped))
    assert scene.state.flags["network:transit"].value == "down"
    scene.report(
        5,
        "reopening",
        source="idfm",
        severity=1,
        lifts=(EventType.TRANSPORT_DISRUPTION,),
        measure=_measure_of(reopened),
    )
    assert scene.state.flags["network:transit"].value == state


def _measure_of(object_: str | None) -> Measure | None:
    return None if object_ is None else Measure(object=object_)


def test_a_measure_without_a_rule_is_marked_as_such(scene: Scene) -> None:
    odd = scene.report(0, "info", measure=Measure(name="moral", value=3.0))
    read = scene.report(1, "info", measure=Measure(name="meals_saved", value=3.0))
    assert (scene.state.reports[odd].flags, scene.state.reports[read].flags) == (
        ("unknown_measure",),
        (),
    )


def test_every_measure_of_the_shipped_scenarios_counts() -> None:
    counted, computer_rooms = 0, []
    for id in ("S01", "S02", "S03", "S04", "S05", "S10", "S11", "S20", "S21"):
        played = scenario(id)
        scene = Scene(start=played.start, opened=played.opening)
        for event in played.events:
            report = report_of(event)
            scene.feed(report, id=report.report_id, at=event.reported_at)
            row = scene.state.reports[report.report_id]
            counted += row.measure is not None and row.measure.name is not None
            if row.held is not None:
                computer_rooms.append(
                    (row.source, row.type.value, row.held.measure and row.held.measure.name)
                )
    assert counted >= 387
    assert set(computer_rooms) <= {("site_manager", "outage_it", None)}, (
        "no measure: a room's manager speaks of systems of all"
    )
