"""The real decider reaches the level that the rules in words give, or one that a plan asks for."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.alerts import TriggerChanged
from schemas.reports import Measure
from tests.model.levels import FLAGS, Level, Place, Said
from tests.shipped import territory
from tests.unit.alerts.scene import Scene

FEW = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
PLACES = {s.id: Place(s.id, s.kind, s.pole, s.generator) for s in territory().sites}
TROUBLE = (
    "closure",
    "outage_power",
    "outage_heating",
    "outage_water",
    "evacuation",
    "security_incident",
    "partial_closure",
)
FLAG_SOURCES = {
    "strike_notice": "rh",
    "cod_active": "prefecture",
    "orsec_means_requested": "prefecture",
    "total_isolation": "rssi",
}


def list_sites() -> list[str]:
    """Return three sites of each pôle, two central ones and a computer room, if there are any."""
    by_pole: dict[str, list[str]] = {}
    for place in PLACES.values():
        by_pole.setdefault(place.pole, []).append(place.id)
    sites = [site for of_pole in by_pole.values() for site in sorted(of_pole)[:3]]
    for kind, most in (("site_central", 2), ("datacenter", 1), ("parc", 3), ("college", 3)):
        sites += sorted(p.id for p in PLACES.values() if p.kind == kind)[:most]
    return sorted(set(sites))


SITES = list_sites()
at_sites = st.builds(
    Said,
    type=st.sampled_from(TROUBLE),
    site=st.sampled_from(SITES),
    severity=st.integers(1, 5),
    loss=st.sampled_from((0, 30, 79, 80, 100)),
)
ends = st.builds(Said, type=st.just("reopening"), site=st.sampled_from(SITES))
colours = st.builds(
    Said, type=st.just("weather_alert"), colour=st.sampled_from(("vert", "jaune", "orange"))
)
flags = st.builds(Said, type=st.just("info"), flag=st.sampled_from(sorted(FLAGS)))
histories = st.lists(
    st.one_of(at_sites, at_sites, at_sites, at_sites, ends, colours, flags),
    min_size=1,
    max_size=14,
)


def send(scene: Scene, minute: float, report: Said) -> None:
    fields: dict[str, Any] = {"severity": report.severity}
    if report.colour:
        fields |= {"phenomenon": "vent", "colour": report.colour, "source": "meteo_france"}
    elif report.flag:
        measure = Measure(name=report.flag, value=True)
        fields |= {"measure": measure, "source": FLAG_SOURCES[report.flag], "severity": 2}
    elif report.type == "reopening":
        fields |= {"lifts": TROUBLE, "severity": 1}
    else:
        fields["capacity_lost_pct"] = float(report.loss)
    scene.report(minute, report.type, report.site or None, **fields)


@FEW
@given(histories)
def test_the_level_is_that_of_the_rules_in_words_or_of_a_plan(history: list[Said]) -> None:
    scene, level = Scene(), Level(PLACES)
    for number, report in enumerate(history):
        send(scene, float(number), report)
        expected = level.hear(report)
        rows = [f.row for f in scene.named(TriggerChanged) if f.row.state == "held"]
        plan_level = max((int(row.level or 0) for row in rows), default=0)
        assert int(scene.state.level()) == max(expected, plan_level), (report, [r.id for r in rows])
