"""Rumours, kitchens and announced absences follow D6, D13, D40 and section 13."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.calling import NotificationPlanned
from schemas.reports import Measure, Window
from schemas.words import Certainty
from services.alerts.decision import AlertsDecision
from services.alerts.levels.metrics import load_metric_types
from services.alerts.levels.metrics.base import BoundMetric, MetricRequest
from services.alerts.levels.metrics.declared import make_catering_down
from services.alerts.levels.metrics.people import make_forecast_absence, make_rumour_severity
from services.runtime.decider.protocol import Deadline, Firing
from tests.shipped import territory
from tests.unit.alerts.scene import Scene

COLLEGES = [s for s in territory().sites if s.kind == "college"]
OWN = [s.id for s in COLLEGES if s.kitchen == "sur-place"]
WITHOUT = [s.id for s in COLLEGES if not s.kitchen]
SHARED = "cuisine-centrale-sud"
SERVED = [s.id for s in COLLEGES if s.kitchen == SHARED]


@pytest.fixture
def scene() -> Scene:
    return Scene(check=True)


def _read(scene: Scene, make: Any, minute: float, **args: Any) -> float | None:
    at = scene.at(minute)
    draft = AlertsDecision(scene.state, Firing(Deadline(at, "x"), scene.realm, scene.realm, at, at))
    metric: BoundMetric = make(MetricRequest(args, draft.territory, {}))
    return metric.value(draft, None)


def test_an_unconfirmed_event_is_no_rumour(scene: Scene) -> None:
    """Possible smoke on a site proposed the communication plan."""
    scene.report(0, "fire", OWN[0], severity=4, certainty=Certainty.UNCONFIRMED)
    scene.report(1, "info", OWN[1], severity=3, certainty=Certainty.UNCONFIRMED)
    assert _read(scene, make_rumour_severity, 2) == 0
    scene.report(3, "info", severity=2, certainty=Certainty.UNCONFIRMED)
    assert _read(scene, make_rumour_severity, 4) == 2
    scene.report(5, "security_incident", OWN[0], severity=4, certainty=Certainty.RUMOUR)
    assert _read(scene, make_rumour_severity, 6) == 4


def _catering(scene: Scene, minute: float = 60) -> float | None:
    return _read(scene, make_catering_down, minute, kind="college")


def test_meals_fail_at_a_college_for_any_reason(scene: Scene) -> None:
    scene.report(0, "closure", OWN[0])
    scene.report(1, "outage_water", OWN[1], capacity_lost_pct=30)
    scene.report(2, "supplier_failure", OWN[2], capacity_lost_pct=60)
    scene.report(3, "partial_closure", OWN[3], capacity_lost_pct=50)
    scene.report(4, "closure", WITHOUT[0])
    assert _catering(scene) == 3, (
        "half of the meals is enough, and who has no kitchen has none to lose"
    )


def test_a_college_is_without_meals_once(scene: Scene) -> None:
    scene.report(0, "closure", SERVED[0])
    scene.report(
        1,
        "supplier_failure",
        source="concessionnaire_restauration",
        severity=4,
        capacity_lost_pct=100,
        measure=Measure(object=f"supplier:{SHARED}"),
    )
    assert _catering(scene) == len(SERVED)
    scene.report(
        2,
        "reopening",
        source="concessionnaire_restauration",
        severity=1,
        measure=Measure(object=f"supplier:{SHARED}"),
    )
    assert _catering(scene) == 1, "it is closed still"


@pytest.mark.parametrize(("type_", "severity"), [("supplier_failure", 3), ("info", 2)])
def test_sites_that_a_caterer_says_it_does_not_serve_have_no_meals(
    scene: Scene, type_: str, severity: int
) -> None:
    """D40: 48 sites without meals were none when the caterer said «40 sur 88 servis»."""
    caterer = "supplier:concessionnaire_restauration"
    served = Measure(name="colleges_served", value=40.0, value_of=88.0, object=caterer)
    scene.report(0, type_, source="concessionnaire_restauration", severity=severity, measure=served)
    assert _catering(scene) == 48


def test_a_water_cut_stops_the_meals_and_not_the_college(scene: Scene) -> None:
    scene.report(0, "outage_water", OWN[0], capacity_lost_pct=30)
    [cause] = scene.site(OWN[0]).causes
    assert (cause.loss_pct, cause.meals_lost_pct) == (30, 100)
    scene.report(1, "outage_water", WITHOUT[0], capacity_lost_pct=30)
    [cause] = scene.site(WITHOUT[0]).causes
    assert cause.meals_lost_pct == 0


@pytest.mark.parametrize("name", ["forecast_absence", "absence_rate"])
def test_an_announced_rate_covers_its_day_only(scene: Scene, name: str) -> None:
    assert "forecast_absence" in load_metric_types()
    day = (Window(start=scene.at(24 * 60), end=scene.at(34 * 60)),)
    scene.report(
        0,
        "staff_shortage",
        source="rh",
        effective=day,
        measure=Measure(name=name, value=45.0, unit="%", scope="global"),
    )
    assert _read(scene, make_forecast_absence, 1, scope="global") == 45
    assert _read(scene, make_forecast_absence, 33 * 60, scope="global") == 45
    assert _read(scene, make_forecast_absence, 34 * 60, scope="global") == 0
    assert _read(scene, make_forecast_absence, 1, scope="kind:college") == 0


def test_a_newer_rate_of_the_same_day_replaces_it_and_another_day_stands_beside(
    scene: Scene,
) -> None:
    def announce(minute: float, rate: float, hour: float) -> None:
        day = (Window(start=scene.at(hour * 60), end=scene.at((hour + 8) * 60)),)
        measure = Measure(name="forecast_absence", value=rate, unit="%", scope="global")
        scene.report(minute, "staff_shortage", source="rh", effective=day, measure=measure)

    announce(0, 60.0, 24)
    announce(5, 20.0, 48)
    announce(10, 30.0, 24)
    assert _read(scene, make_forecast_absence, 11, scope="global") == 30
    assert _read(scene, make_forecast_absence, 33 * 60, scope="global") == 20


def test_a_forecast_without_a_day_covers_tomorrow(scene: Scene) -> None:
    scene.report(
        0,
        "staff_shortage",
        source="rh",
        measure=Measure(name="forecast_absence", value=45.0, unit="%", scope="global"),
    )
    assert _read(scene, make_forecast_absence, 38 * 60, scope="global") == 45
    assert _read(scene, make_forecast_absence, 39 * 60, scope="global") == 0


@pytest.mark.parametrize("place", [{"site": "pmi-04"}, {"commune": "92050"}, {}])
def test_an_information_of_danger_to_people_opens_an_incident(place: dict[str, Any]) -> None:
    """D2, D24: a warning of the préfecture that no type fits calls like any danger."""
    scene = Scene()
    report = scene.report(0, "info", source="prefecture", severity=5, **place)
    incident = scene.incident_of(report)
    assert (incident.danger, int(incident.level)) == (True, 1)
    calls = [f for f in scene.facts if isinstance(f, NotificationPlanned)]
    assert {call.person for call in calls} >= {"ast-technique"}
    assert all(call.danger for call in calls)


def test_an_information_of_danger_joins_an_incident_at_its_site() -> None:
    scene = Scene()
    fire = scene.report(0, "fire", "pmi-04")
    report = scene.report(1, "info", "pmi-04", severity=5, source="pompiers")
    assert scene.incident_of(report) == scene.incident_of(fire)


@pytest.mark.parametrize("severity", [4, 5])
def test_an_unconfirmed_information_of_danger_asks_a_person(severity: int) -> None:
    scene = Scene()
    scene.report(0, "info", "pmi-04", severity=severity, certainty="unconfirmed", source="agent")
    questions = [t.kind for t in scene.state.tasks.values()]
    assert questions == (["verify_report"] if severity == 5 else [])
    assert not scene.incidents()
