"""Reports that only draw an area, and areas on no map (D8, D18)."""

from __future__ import annotations

import pytest

from schemas.commands import LinkReport
from schemas.reports import Window
from schemas.words import EventType, MsgType
from tests.unit.alerts.scene import Scene

SITES = ("cen-1", "par-12")
"""In Nanterre."""


@pytest.fixture
def scene() -> Scene:
    return Scene()


def _drawn(scene: Scene, minute: float, type: str, **fields: object) -> str:
    return scene.report(minute, type, None, severity=3, zone=("92050",), sites=SITES, **fields)


def _level(scene: Scene) -> int:
    row = scene.state.levels.get("territory")
    return row.level if row else 0


def test_the_sites_in_an_area_are_the_zone_and_not_all_of_its_communes(scene: Scene) -> None:
    incident = scene.incident_of(_drawn(scene, 1, "outage_power"))
    assert (incident.kind, incident.communes, incident.zone_sites, incident.members) == (
        "power",
        ("92050",),
        SITES,
        (),
    )
    scene.step(32)
    assert {s for s, row in scene.state.sites.items() if row.status == "unknown"} == set(SITES)


def test_a_report_of_its_own_takes_a_site_out_of_the_zone(scene: Scene) -> None:
    incident = scene.incident_of(_drawn(scene, 1, "outage_power")).id
    scene.report(5, "outage_power", "cen-1", capacity_lost_pct=100)
    row = scene.state.incidents[incident]
    assert (row.members, row.zone_sites) == (("cen-1",), ("par-12",))


def test_a_family_without_a_rule_for_silent_sites_shows_sites_and_asks_no_manager(
    scene: Scene,
) -> None:
    incident = scene.incident_of(_drawn(scene, 1, "fire"))
    assert incident.zone_sites == SITES
    scene.step(600)
    assert not [s for s in SITES if s in scene.state.silences]


def test_a_leak_in_an_area_is_near_the_sites_of_that_area(scene: Scene) -> None:
    """Section 13: the gas plan was proposed only for a leak reported by a site."""
    id = _drawn(scene, 1, "gas_leak", source="pompiers")
    trigger = scene.state.triggers["PT-GAZ:2"]
    assert (trigger.state, trigger.incident, trigger.why[0].reports) == (
        "held",
        scene.incident_of(id).id,
        (id,),
    )
    assert scene.incident_of(id).level == 2


def test_a_leak_in_a_commune_has_no_distance_to_sites(scene: Scene) -> None:
    scene.report(1, "gas_leak", None, commune="92050", source="pompiers")
    assert not scene.state.triggers


def test_announced_and_unconfirmed_reports_hit_no_site(scene: Scene) -> None:
    planned = _drawn(
        scene, 1, "outage_power", effective=(Window(start=scene.at(600), end=scene.at(660)),)
    )
    assert scene.incident_of(planned).zone_sites == ()
    info = _drawn(scene, 2, "info")
    assert scene.state.reports[info].sites == SITES


def _unknown(scene: Scene) -> set[str]:
    return {s for s, row in scene.state.sites.items() if row.status == "unknown"}


def test_neighbours_of_an_incident_that_proved_slight_are_not_silent(scene: Scene) -> None:
    """D18: the zone has an incident of severity 3 at least, also when the 30 min are over."""
    update = MsgType.UPDATE
    first = scene.report(1, "security_incident", "par-12", severity=5, source="police")
    slight = {"source": "police", "msg_type": update, "references": (first,)}
    scene.report(10, "security_incident", "par-12", severity=2, **slight)
    scene.step(45)
    assert not _unknown(scene)
    scene.report(50, "security_incident", "par-12", severity=3, **slight)
    scene.step(81)
    assert "cen-1" in _unknown(scene)


def test_neighbours_stay_silent_while_another_source_tells_of_the_grave_incident(
    scene: Scene,
) -> None:
    first = scene.report(1, "security_incident", "par-12", severity=5, source="police")
    scene.report(5, "security_incident", "par-12", severity=4, source="pompiers")
    slight = {"source": "police", "msg_type": MsgType.UPDATE, "references": (first,)}
    scene.report(10, "security_incident", "par-12", severity=2, **slight)
    scene.step(45)
    assert "cen-1" in _unknown(scene)


def test_sites_of_an_area_that_an_update_left_are_not_silent(scene: Scene) -> None:
    first = _drawn(scene, 1, "outage_power")
    scene.report(
        10,
        "outage_power",
        None,
        severity=3,
        zone=("92050",),
        sites=("cen-1",),
        msg_type=MsgType.UPDATE,
        references=(first,),
    )
    scene.step(45)
    assert _unknown(scene) == {"cen-1"}


def test_an_area_is_not_the_whole_territory(scene: Scene) -> None:
    scene.report(1, "weather_alert", None, severity=5, sites=SITES, source="prefecture")
    assert _level(scene) < 3
    scene.report(2, "weather_alert", None, severity=5, source="prefecture")
    assert _level(scene) == 3


def test_an_unmapped_area_waits_for_a_person_and_acts_once_linked(scene: Scene) -> None:
    id = scene.report(
        1,
        "outage_power",
        None,
        severity=5,
        area="text-1",
        source="prefecture",
        capacity_lost_pct=100,
    )
    row = scene.state.reports[id]
    assert "area_unknown" in row.flags
    assert _level(scene) < 4, "nobody knows whether it is about the territory at all"
    (task,) = [t for t in scene.state.tasks.values() if t.state == "open"]
    assert (task.kind, task.report) == ("link_site", id)
    scene.command(LinkReport(author="coord-pca", role="coordinator", report=id, site="par-12"), 9)
    assert scene.site("par-12").status == "closed"
    (cause,) = scene.site("par-12").causes
    assert (cause.type, cause.since, scene.state.tasks[task.id].state) == (
        EventType.OUTAGE_POWER,
        scene.at(1),
        "void",
    )


def test_a_bulletin_about_an_unmapped_place_sets_no_vigilance(scene: Scene) -> None:
    scene.report(
        1, "weather_alert", None, severity=5, area="text-1", phenomenon="vent", colour="rouge"
    )
    assert "vigilance:vent" not in scene.state.flags


def test_an_unconfirmed_report_about_an_unknown_place_joins_the_queue(scene: Scene) -> None:
    id = scene.report(1, "fire", "nowhere-9", certainty="unconfirmed")
    assert {t.kind for t in scene.state.tasks.values() if t.report == id and t.state == "open"} == {
        "link_site",
        "verify_report",
    }
