"""Causes correlate by key, absorption, reference, membership or by hand (D21–D26)."""

from __future__ import annotations

import random
from itertools import permutations
from typing import Any

import pytest

from schemas.alerts import IncidentChanged
from schemas.base import DAY_MS, HOUR_MS
from schemas.calling import NotificationPlanned
from schemas.commands import (
    ConfirmReport,
    LinkReport,
    MergeIncidents,
    ResolveIncident,
    SetLevel,
    SplitIncident,
)
from schemas.reports import Measure, Window
from schemas.runtime import CommandApplied, CommandRefused
from schemas.words import Certainty, EventType, Level
from services.alerts.decision import AlertsDecision
from services.alerts.incidents import merging
from services.alerts.incidents.correlation import can_open_incident
from services.alerts.levels.metrics.base import MetricRequest
from services.alerts.levels.metrics.incidents import make_cut_sites
from services.runtime.decider.protocol import Deadline, Firing
from tests.shipped import territory
from tests.unit.alerts.scene import Scene

COLLEGE, PMI = "clg-0921353W", "pmi-04"
KITCHEN = [s.id for s in territory().sites if s.kitchen == "cuisine-centrale-sud"]
DAY = 24 * 60


@pytest.fixture
def scene() -> Scene:
    return Scene()


def _kinds(scene: Scene) -> list[tuple[str, str]]:
    return [(i.kind, i.key) for i in scene.incidents()]


def _measure(name: str | None = None, value: Any = None, **more: Any) -> Measure:
    return Measure(name=name, value=value, **more)


def _command(kind: type, **values: Any) -> Any:
    return kind(author="coord-pca", role="coordinator", reason="text:why", **values)


# ── one family each ────────────────────────────────────────────────────────────────────────────────────────────────


def test_power_cuts_near_in_time_and_place_are_one_incident(scene: Scene) -> None:
    a = scene.report(0, "outage_power", PMI, capacity_lost_pct=100)
    same_commune = scene.report(59, "outage_power", "clg-0921589C", capacity_lost_pct=80)
    far = scene.report(60, "outage_power", "sst-13", capacity_lost_pct=100)
    later = scene.report(130, "outage_power", "clg-0921940J", capacity_lost_pct=80)
    assert scene.incident_of(a) == scene.incident_of(same_commune)
    assert scene.incident_of(far) != scene.incident_of(a)
    assert scene.incident_of(later) not in (scene.incident_of(a), scene.incident_of(far)), (
        "more than an hour after the last cut"
    )
    assert [k for k, _ in _kinds(scene)] == ["power"] * 3

    again = scene.report(135, "outage_power", PMI, capacity_lost_pct=100, source="enedis")
    assert scene.incident_of(again) == scene.incident_of(a) == scene.incident_of(later), (
        "a cut on a member site is the last cut now, and near the later one"
    )
    assert [k for k, _ in _kinds(scene)] == ["power"] * 2


def test_incidents_that_are_far_apart_are_compared_without_their_reports(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report would cost more with every report before it."""
    scene.report(0, "outage_power", PMI, capacity_lost_pct=100)
    scene.report(1, "outage_power", "sst-13", capacity_lost_pct=100)
    monkeypatch.setattr(merging, "_list_cuts", lambda *_: pytest.fail("read all reports"))
    scene.report(2, "outage_power", PMI, capacity_lost_pct=100, source="enedis")
    assert [k for k, _ in _kinds(scene)] == ["power"] * 2


CHAIN = ("sst-05", "ins-01", "pmi-07", "cul-04", "pmi-20", "gym-12", "pmi-21", "eau-05")
"""Sites from Courbevoie to Suresnes: each is near the next one, the ends are not near."""


@pytest.mark.parametrize("seed", range(12))
def test_one_cut_is_one_incident_in_any_order_of_its_reports(seed: int) -> None:
    """The order of the first reports of S04 decided in half of the cases that it was two."""
    scene, sites = Scene(), list(CHAIN)
    random.Random(seed).shuffle(sites)
    for n, site in enumerate(sites):
        scene.report(n / 10, "outage_power", site, capacity_lost_pct=100)
    assert [k for k, _ in _kinds(scene)] == ["power"]
    (incident,) = scene.incidents()
    assert set(incident.members) == set(CHAIN)
    assert incident.reports_count == len(CHAIN)
    assert incident.level == 2


@pytest.mark.parametrize(
    "cuts",
    [
        ((50, "clg-0922247T"), (110, "clg-0920877D"), (120, "clg-0920880G")),
        ((10, "clg-0921242A"), (60, "clg-0920081N"), (30, "clg-0920653K"), (120, "clg-0920081N")),
    ],
    ids=["in time by one cut and in place by another", "repeated at the same site"],
)
def test_late_reports_of_cuts_are_one_incident_in_any_order(
    cuts: tuple[tuple[int, str], ...],
) -> None:
    """D24: a cut that widened its incident left another one beside it, with calls of its own."""
    for order in permutations(cuts):
        scene = Scene()
        for n, (minute, site) in enumerate(order):
            scene.report(
                240 + n, "outage_power", site, occurred=minute, severity=4, capacity_lost_pct=100
            )
        assert [i.kind for i in scene.incidents()] == ["power"], order
        assert set(scene.incidents()[0].members) == {site for _, site in cuts}, order


def _two_clusters(scene: Scene) -> tuple[str, str]:
    """Cut Courbevoie and Nanterre, which are not near each other."""
    first = scene.report(0, "outage_power", "sst-05", capacity_lost_pct=100)
    second = scene.report(1, "outage_power", "ins-01", capacity_lost_pct=100)
    scene.report(2, "outage_power", "pmi-07", capacity_lost_pct=100)
    assert scene.incident_of(first) != scene.incident_of(second)
    return first, second


def test_a_cut_between_two_incidents_merges_the_smaller_one_into_the_larger(scene: Scene) -> None:
    first, second = _two_clusters(scene)
    small, large = scene.incident_of(first).id, scene.incident_of(second).id
    scene.report(3, "outage_power", "pmi-20", capacity_lost_pct=100)
    assert [i.id for i in scene.incidents()] == [large]
    assert scene.state.incidents[small].merged_into == large
    running = [e for e in scene.state.escalations.values() if e.state == "running"]
    assert [e.incidents for e in running] == [(large,)], "nobody is called for the other one"


def test_a_cut_near_an_incident_that_a_person_split_off_merges_nothing(scene: Scene) -> None:
    first, second = _two_clusters(scene)
    bridge = scene.report(3, "outage_power", "pmi-20", capacity_lost_pct=100)
    scene.command(
        _command(SplitIncident, incident=scene.incident_of(second).id, reports=(first, bridge)), 4
    )
    scene.report(5, "outage_power", "gym-12", capacity_lost_pct=100)
    assert len(scene.incidents()) == 2


def test_three_kilometres_join_two_communes(scene: Scene) -> None:
    a = scene.report(0, "outage_power", "sst-06", capacity_lost_pct=100)  # Nanterre
    b = scene.report(5, "outage_power", "pmi-02", capacity_lost_pct=100)  # Puteaux, 2.2 km
    assert scene.incident_of(a) == scene.incident_of(b)


def test_a_power_cut_absorbs_its_consequences_on_its_sites(scene: Scene) -> None:
    root = scene.report(0, "outage_power", PMI, capacity_lost_pct=100)
    scene.report(1, "outage_power", "clg-0921589C", capacity_lost_pct=100)
    report_ids = [
        scene.report(30, "outage_it", "sit-01", capacity_lost_pct=60),
        scene.report(
            31, "outage_telecom", commune="92050", measure=_measure(object="network:mobile")
        ),
        scene.report(32, "evacuation", PMI, severity=4),
        scene.report(
            33,
            "sanitary_alert",
            PMI,
            measure=_measure("vaccine_fridge_temperature", 8.5, unit="°C", scope="site"),
        ),
        scene.report(34, "transport_disruption", source="idfm"),
        scene.report(
            35,
            "headcount",
            PMI,
            measure=_measure("headcount_found", 4.0, value_of=6.0, scope="site"),
        ),
    ]
    assert {scene.state.reports[r].incident for r in report_ids} == {
        scene.state.reports[root].incident
    }
    after = scene.report(12 * 60 + 2, "outage_it", commune="92050", capacity_lost_pct=60)
    assert scene.incident_of(after).kind == "it", "twelve hours are over"


def test_a_stop_of_public_transport_is_a_flag_until_it_runs_again(scene: Scene) -> None:
    def said() -> object:
        flag = scene.state.flags.get("network:transit")
        return None if flag is None else flag.value

    scene.report(0, "outage_power", PMI, capacity_lost_pct=100)
    scene.report(5, "transport_disruption", source="siter", commune="92050", severity=5)
    scene.report(6, "transport_disruption", source="idfm", severity=3)
    assert said() is None, "a road is not the network, and a line that is late is not a stop"
    scene.report(7, "transport_disruption", source="idfm", severity=4)
    assert said() == "down"
    scene.report(90, "transport_disruption", source="idfm", severity=1)
    assert said() == "up"


def test_a_flood_takes_the_plain_by_and_by(scene: Scene) -> None:
    def river(minute: float, level: float) -> str:
        m = _measure("river_level", level, unit="m", object="station:paris-austerlitz")
        return scene.report(minute, "flood_level", source="vigicrues", severity=2, measure=m)

    root = river(0, 5.9)
    closure = scene.report(10, "closure", "clg-0921239X", severity=4)  # Boulogne, in the flood plan
    dry = scene.report(11, "closure", "sst-13", severity=2)  # Antony
    cut = scene.report(12, "outage_power", "sst-01", capacity_lost_pct=100)
    assert scene.incident_of(closure) == scene.incident_of(root)
    assert scene.incident_of(dry).kind == "site"
    assert scene.incident_of(cut).kind == "power", "the mains are dry below 6.5 m"
    river(200, 6.6)
    late_cut = scene.report(210, "outage_power", "sst-09", capacity_lost_pct=100)
    assert scene.incident_of(late_cut) == scene.incident_of(root)
    absent = scene.report(
        220,
        "staff_shortage",
        "cen-1",
        source="rh",
        measure=_measure("absence_rate", 22.0, unit="%", scope="global"),
    )
    assert scene.incident_of(absent) == scene.incident_of(root)


def test_a_flood_takes_the_order_to_leave_a_commune_where_one_site_has_no_power(
    scene: Scene,
) -> None:
    """D22: a power cut takes the evacuation of its zone, and one site is no zone (D18)."""
    level = _measure("river_level", 5.9, unit="m", object="station:paris-austerlitz")
    root = scene.report(0, "flood_level", source="vigicrues", severity=2, measure=level)
    cut = scene.report(10, "outage_power", "pmi-16", capacity_lost_pct=100)
    order = scene.report(20, "evacuation", commune="92078", source="prefecture", severity=4)
    on_site = scene.report(25, "evacuation", "pmi-16", severity=4)
    assert scene.incident_of(order) == scene.incident_of(root)
    assert scene.incident_of(on_site) == scene.incident_of(cut)


@pytest.mark.parametrize(
    ("operator", "joined"), [((), False), (("92012",), False), (("92050",), True)]
)
@pytest.mark.parametrize("type", ["outage_telecom", "outage_it"])
def test_a_power_cut_of_one_site_takes_no_telecom_failure_of_its_commune(
    scene: Scene, type: str, operator: tuple[str, ...], joined: bool
) -> None:
    """D22: the mobile network of a whole commune was part of the cut at one site, and rang nobody."""
    cut = scene.report(0, "outage_power", PMI, capacity_lost_pct=100)
    if operator:
        customers = _measure("customers_cut", 900.0, object="network:electricity")
        reference = {"references": (cut,), "source": "enedis", "severity": 3}
        scene.report(1, "outage_power", zone=operator, measure=customers, **reference)
    failure = scene.report(20, type, commune="92050", source="operateur_mobile", severity=3)
    assert (scene.incident_of(failure) == scene.incident_of(cut)) is joined
    at_site = scene.report(21, type, PMI)
    assert scene.incident_of(at_site) == scene.incident_of(cut)


def test_a_power_cut_takes_the_order_to_leave_its_zone(scene: Scene) -> None:
    cut = scene.report(0, "outage_power", PMI, capacity_lost_pct=100)
    scene.report(1, "outage_power", "clg-0921589C", capacity_lost_pct=100)
    order = scene.report(20, "evacuation", commune="92050", source="prefecture", severity=4)
    assert scene.incident_of(order) == scene.incident_of(cut)


def test_a_green_or_yellow_bulletin_opens_no_incident_and_joins_an_open_one(scene: Scene) -> None:
    for colour in ("vert", "jaune"):
        calm = scene.report(
            0,
            "weather_alert",
            source="meteo_france",
            phenomenon="canicule",
            colour=colour,
            severity=1,
        )
        assert scene.incident_of(calm) is None
    orange = scene.report(
        10,
        "weather_alert",
        source="meteo_france",
        phenomenon="canicule",
        colour="orange",
        severity=2,
    )
    for colour in ("jaune", "vert"):
        over = scene.report(
            20,
            "weather_alert",
            source="meteo_france",
            phenomenon="canicule",
            colour=colour,
            severity=1,
        )
        assert scene.incident_of(over) == scene.incident_of(orange) is not None
    assert len(scene.incidents()) == 1


@pytest.mark.parametrize(
    ("phenomenon", "kind", "taken"),
    [
        (
            "canicule",
            "heat",
            {
                "type": "sanitary_alert",
                "measure": Measure(name="room_temperature", value=34.0, unit="°C", scope="site"),
            },
        ),
        (
            "canicule",
            "heat",
            {
                "type": "sanitary_alert",
                "measure": Measure(name="ill_persons", value=4.0, object="hazard:heat"),
            },
        ),
        (
            "canicule",
            "heat",
            {
                "type": "outage_it",
                "measure": Measure(name="room_temperature", value=33.0, unit="°C", scope="site"),
            },
        ),
        ("canicule", "heat", {"type": "partial_closure"}),
        ("neige-verglas", "snow", {"type": "outage_heating"}),
        (
            "neige-verglas",
            "snow",
            {
                "type": "staff_shortage",
                "measure": Measure(name="absence_rate", value=40.0, unit="%", scope="site"),
            },
        ),
        (
            "neige-verglas",
            "snow",
            {"type": "supplier_failure", "measure": Measure(object="supplier:concessionnaire")},
        ),
        ("vent", "wind", {"type": "closure"}),
    ],
)
def test_a_hazard_absorbs_the_causes_of_its_family(
    scene: Scene, phenomenon: str, kind: str, taken: dict[str, Any]
) -> None:
    scene.report(0, "weather_alert", source="meteo_france", phenomenon=phenomenon, colour="orange")
    report_fields = dict(taken)
    id = scene.report(
        10,
        report_fields.pop("type"),
        None if "object" in str(report_fields) and "supplier" in str(report_fields) else KITCHEN[0],
        **report_fields,
    )
    assert scene.incident_of(id).kind == kind
    assert len(scene.incidents()) == 1


def test_ill_people_are_one_incident_per_kitchen_over_communes(scene: Scene) -> None:
    communes = {s.commune for s in territory().sites if s.id in KITCHEN}
    assert len(communes) > 1
    ids = [
        scene.report(
            n,
            "sanitary_alert",
            site,
            source=("samu", "ars", "education_nationale", "site_manager")[n],
            measure=_measure("ill_persons", 12.0, unit="persons", scope="site"),
        )
        for n, site in enumerate(KITCHEN[:4])
    ]
    ids.append(
        scene.report(
            9,
            "supplier_failure",
            measure=_measure("sites_not_delivered", 54.0, object="supplier:cuisine-centrale-sud"),
        )
    )
    ids.append(
        scene.report(
            10,
            "info",
            source="ars",
            measure=_measure(
                "food_outbreak_suspected", True, object="supplier:cuisine-centrale-sud"
            ),
        )
    )
    ids.append(scene.report(11, "partial_closure", KITCHEN[7], affected_activities=("EDU-01",)))
    assert {scene.state.reports[i].incident for i in ids} == {scene.incidents()[0].id}
    assert _kinds(scene) == [("kitchen", "cuisine-centrale-sud")]


@pytest.mark.parametrize("object", ["system:*", None, "system:messagerie"])
def test_systems_are_apart_until_an_isolation_makes_them_one(
    scene: Scene, object: str | None
) -> None:
    a = scene.report(0, "outage_it", "sit-01", severity=4, measure=_measure(object="system:ad"))
    b = scene.report(1, "outage_it", measure=_measure(object="system:billetterie"), severity=2)
    assert scene.incident_of(a) != scene.incident_of(b)
    c = scene.report(
        5,
        "outage_it",
        "cen-1",
        severity=5,
        measure=_measure("total_isolation", True, object=object),
    )
    d = scene.report(
        6,
        "outage_telecom",
        "clg-0921354X",
        severity=2,
        measure=_measure(object="system:telephonie"),
    )
    assert scene.incident_of(c) == scene.incident_of(d) == scene.incident_of(a)


def _attack(scene: Scene, minute: float, **changes: Any) -> str:
    measure = _measure("edr_critical", True, object="system:ad")
    return scene.report(minute, "outage_it", "sit-01", source="edr", measure=measure, **changes)


def test_outages_without_a_system_are_one_incident_with_a_cyberattack(scene: Scene) -> None:
    """They called their people for a second and a third incident."""
    before = scene.report(0, "outage_it", "clg-0921354X", severity=3)
    attack = _attack(scene, 5, severity=4)
    after = scene.report(9, "outage_it", "cen-1", severity=3)
    assert scene.incident_of(before) == scene.incident_of(after) == scene.incident_of(attack)
    assert scene.incident_of(attack).key == "ad"
    (row,) = scene.incidents()
    assert set(row.members) == {"clg-0921354X", "sit-01", "cen-1"}


def test_a_report_of_no_cyberattack_reads_no_other_incident(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A storm has hundreds of open incidents, and each of its reports read all of them."""
    monkeypatch.setattr(merging, "_list_it_incidents", lambda *_: pytest.fail("read all incidents"))
    scene.report(0, "outage_it", PMI)
    scene.report(1, "outage_power", COLLEGE)


def test_only_outages_of_its_time_without_a_system_belong_to_a_cyberattack(scene: Scene) -> None:
    old = scene.report(0, "outage_it", "clg-0921354X")
    courier = scene.report(1, "outage_it", measure=_measure(object="system:courrier"))
    rumour = _attack(scene, 13 * 60, certainty="unconfirmed", id="rumour")
    other = scene.report(13 * 60 + 1, "outage_it", "cen-1")
    incidents = {scene.incident_of(r).id for r in (old, courier, other)}
    assert len(incidents) == 3
    scene.command(_command(ConfirmReport, report=rumour), 13 * 60 + 5)
    assert scene.incident_of(rumour) == scene.incident_of(other)
    assert len({scene.incident_of(r).id for r in (old, courier, other)}) == 3


@pytest.mark.parametrize(("hours", "incidents"), [(12, 1), (12.1, 2)])
def test_attacks_of_the_same_half_day_are_one_incident(
    scene: Scene, hours: float, incidents: int
) -> None:
    """The order of arrival chose the one that an outage between both joined."""
    later = _attack(scene, 720, id="later", severity=4)
    outage = scene.report(721, "outage_it", "cen-1", severity=3)
    mail = {"measure": _measure("ciso_declaration", True, object="system:courrier")}
    early = scene.report(722, "outage_it", occurred=720 - 60 * hours, source="rssi", **mail)
    assert scene.incident_of(outage) == scene.incident_of(later)
    assert len({scene.incident_of(r).id for r in (later, outage, early)}) == incidents
    system = scene.report(723, "outage_it", "sit-02", measure=_measure(object="system:courrier"))
    assert scene.incident_of(system) == scene.incident_of(early)
    if incidents == 1:
        running = [e for e in scene.state.escalations.values() if e.state == "running"]
        assert len(running) == 1


def test_an_outage_long_before_a_cyberattack_is_never_its_own(scene: Scene) -> None:
    """Each outage that the attack took made room for an earlier one."""
    attack = _attack(scene, 24 * 60)
    near = scene.report(24 * 60 + 1, "outage_it", "cen-1", occurred=13 * 60)
    old = scene.report(24 * 60 + 2, "outage_it", "clg-0921354X", occurred=11 * 60)
    _attack(scene, 24 * 60 + 3, id="again")
    assert scene.incident_of(near) == scene.incident_of(attack) == scene.incident_of("again")
    assert scene.incident_of(old) != scene.incident_of(attack)


def test_a_site_without_power_keeps_its_outage_beside_a_cyberattack(scene: Scene) -> None:
    attack = _attack(scene, 0)
    cut = scene.report(5, "outage_power", PMI, capacity_lost_pct=100)
    outage = scene.report(9, "outage_it", PMI)
    assert scene.incident_of(outage) == scene.incident_of(cut) != scene.incident_of(attack)


def test_security_gas_fire_strike_and_absence_keep_their_keys(scene: Scene) -> None:
    scene.report(0, "security_incident", commune="92050")
    burnt = scene.report(20, "fire", "clg-0920594W", severity=3)
    assert scene.incident_of(burnt).kind == "security"
    scene.report(0, "gas_leak", "sst-13")
    ordered = scene.report(5, "shelter_in_place", "pmi-03")
    assert scene.incident_of(ordered).kind == "gas"
    scene.report(
        0,
        "staff_shortage",
        "clg-0922143E",
        measure=_measure("absence_rate", 33.0, unit="%", scope="site"),
    )
    scene.report(1, "info", source="rh", measure=_measure("strike_notice", True))
    struck = scene.report(
        2,
        "staff_shortage",
        "sst-10",
        measure=_measure("absence_rate", 40.0, unit="%", scope="site"),
    )
    assert scene.incident_of(struck).kind == "strike"
    assert sorted(_kinds(scene)) == [
        ("absence", "kind:college"),
        ("gas", "92002"),
        ("security", "territory"),
        ("strike", "2027-02-11"),
    ]


@pytest.mark.parametrize(
    "hazard",
    [
        {"type": "info", "source": "rh", "measure": _measure("strike_notice", True)},
        {
            "type": "weather_alert",
            "source": "meteo_france",
            "phenomenon": "neige-verglas",
            "colour": "orange",
        },
    ],
)
def test_absences_belong_to_snow_or_strike_also_when_others_were_known_before(
    scene: Scene, hazard: dict[str, Any]
) -> None:
    absent = {"measure": _measure("absence_rate", 33.0, unit="%", scope="site")}
    before = scene.report(0, "staff_shortage", "clg-0922143E", **absent)
    hazard_fields = dict(hazard)
    scene.report(1, hazard_fields.pop("type"), **hazard_fields)
    after = scene.report(2, "staff_shortage", COLLEGE, **absent)
    assert scene.incident_of(before).kind == "absence"
    assert scene.incident_of(after).kind in ("strike", "snow")


STRIKE = {"source": "rh", "measure": _measure("strike_notice", True)}
SNOW = {"source": "meteo_france", "phenomenon": "neige-verglas", "colour": "orange"}


@pytest.mark.parametrize("snow_first", [True, False])
@pytest.mark.parametrize(("strike_day", "kind"), [(0, "strike"), (1, "snow")])
def test_an_absence_joins_one_of_snow_and_strike_and_opens_nothing(
    scene: Scene, snow_first: bool, strike_day: int, kind: str
) -> None:
    """D22: with both open it had an incident of its own, and called again."""
    begin = scene.at(0) + strike_day * DAY_MS
    hazards: list[tuple[str, dict[str, Any]]] = [
        ("weather_alert", SNOW),
        ("info", STRIKE | {"effective": (Window(start=begin, end=begin + HOUR_MS),)}),
    ]
    for minute, (type, fields) in enumerate(hazards if snow_first else reversed(hazards)):
        scene.report(minute, type, **fields)
    assert {i.kind for i in scene.incidents()} == {"snow", "strike"}
    absent = {"measure": _measure("absence_rate", 33.0, unit="%", scope="site")}
    report = scene.report(5, "staff_shortage", COLLEGE, **absent)
    assert scene.incident_of(report).kind == kind
    assert len(scene.incidents()) == 2


@pytest.mark.parametrize("days", list(permutations((0, 1, 2))))
def test_each_strike_notice_calls_whichever_came_before(
    scene: Scene, days: tuple[int, ...]
) -> None:
    """D28: the second notice stayed at N0, also on its day, and nobody was called."""
    for minute, day in enumerate(days):
        begin = scene.at(0) + day * DAY_MS
        window = Window(start=begin, end=begin + HOUR_MS)
        scene.report(10 + minute, "info", occurred=day, **STRIKE, effective=(window,))
    assert [i.level for i in scene.incidents()] == [1, 1, 1]
    called = {id for row in scene.state.escalations.values() for id in row.incidents}
    assert called == set(scene.state.open_incidents)


@pytest.mark.parametrize(
    "said",
    [
        {"severity": 5, "site": PMI},
        {"severity": 3, "measure": _measure("water_alert", True, object="network:sedif")},
    ],
    ids=["danger", "a second network"],
)
def test_an_announced_warning_counts_from_its_window_on(scene: Scene, said: dict[str, Any]) -> None:
    """D9: it stayed announced for ever, at N0."""
    first = _measure("water_alert", True, object="network:nord")
    scene.report(0, "info", source="prefecture", commune="92004", measure=first)
    window = Window(start=scene.at(60), end=scene.at(120))
    values = {"source": "prefecture", "commune": "92050", "effective": (window,)} | said
    report = scene.report(1, "info", **values)
    scene.step(59)
    assert (scene.incident_of(report).level, scene.state.reports[report].flags) == (0, ("planned",))
    scene.step(60)
    assert (scene.incident_of(report).level, scene.state.reports[report].flags) == (1, ())


@pytest.mark.parametrize(("strike_day", "kind"), [(0, "strike"), (1, "snow")])
def test_snow_and_a_strike_share_roads_parks_and_deliveries_by_the_day(
    scene: Scene, strike_day: int, kind: str
) -> None:
    """D22: each closed park had an incident of its own, and called."""
    begin = scene.at(0) + strike_day * DAY_MS
    scene.report(0, "weather_alert", **SNOW)
    notice = STRIKE | {"effective": (Window(start=begin, end=begin + HOUR_MS),)}
    scene.report(1, "info", **notice)
    reports = [
        scene.report(5, "transport_disruption", commune="92048"),
        scene.report(6, "closure", "par-01", severity=2),
        scene.report(7, "supplier_failure", measure=_measure(object="supplier:grossistes")),
    ]
    assert [scene.incident_of(report).kind for report in reports] == [kind] * 3
    tomorrow = begin + (1 - strike_day) * DAY_MS
    announced = (Window(start=tomorrow, end=tomorrow + HOUR_MS),)
    closing = scene.report(8, "closure", "par-02", severity=2, effective=announced)
    assert scene.incident_of(closing).kind == ("snow" if kind == "strike" else "strike")
    assert len(scene.incidents()) == 2


def test_two_vigilances_beside_a_strike_of_another_day_take_no_closure(scene: Scene) -> None:
    """D23: it stays unknown which of the two closed the park."""
    begin = scene.at(0) + DAY_MS
    scene.report(0, "weather_alert", **SNOW)
    scene.report(1, "weather_alert", **SNOW | {"phenomenon": "vent"})
    notice = STRIKE | {"effective": (Window(start=begin, end=begin + HOUR_MS),)}
    scene.report(2, "info", **notice)
    closing = scene.report(5, "closure", "par-01", severity=2)
    assert scene.incident_of(closing).kind == "site"


@pytest.mark.parametrize(
    ("days", "open_end", "kind"),
    [
        (0, False, "strike"),
        (-1, False, "site"),
        (1, False, "strike"),
        (2, False, "site"),
        (9, True, "strike"),
    ],
    ids=["first day", "day before", "last day", "day after", "open end"],
)
@pytest.mark.parametrize("type", ["closure", "staff_shortage"])
def test_a_strike_takes_reports_of_its_days_alone(
    scene: Scene, type: str, days: int, open_end: bool, kind: str
) -> None:
    """D22: a site that closed the day before a strike called nobody."""
    begin = scene.at(0) + DAY_MS
    window = Window(start=begin, end=None if open_end else begin + DAY_MS)
    notice = scene.report(0, "info", **STRIKE, effective=(window,))
    report = scene.report((days + 1) * 24 * 60, type, "sst-07")
    expected_kind = "absence" if (type, kind) == ("staff_shortage", "site") else kind
    assert scene.incident_of(report).kind == expected_kind
    own_calls = [
        r
        for r in scene.state.escalations.values()
        if r.incidents != (scene.incident_of(notice).id,)
    ]
    assert bool(own_calls) == (kind != "strike")


SEDIF = {"measure": Measure(object="network:sedif")}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"zone": ("92050",), **SEDIF}, {"site_id": PMI}),
        ({"zone": ("92002",), **SEDIF}, {"site_id": PMI}),
        ({"site_id": PMI}, {"zone": ("92050",), **SEDIF}),
    ],
)
def test_water_cuts_without_a_network_join_the_open_incident(
    scene: Scene, first: dict[str, Any], second: dict[str, Any]
) -> None:
    a, b = (
        scene.report(
            n,
            "outage_water",
            report_fields.get("site_id"),
            **{k: v for k, v in report_fields.items() if k != "site_id"},
        )
        for n, report_fields in enumerate((first, second))
    )
    assert scene.incident_of(a) == scene.incident_of(b)
    other = scene.report(5, "outage_water", "sst-13", measure=_measure(object="network:eau-sud"))
    assert scene.incident_of(other) != scene.incident_of(a), "another network is another matter"


@pytest.mark.parametrize("where", ["92050", "92073"], ids=["same commune", "another one"])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_water_cut_and_its_network_are_one_incident_in_any_order(
    scene: Scene, order: tuple[int, ...], where: str
) -> None:
    """D24: a restriction after the cut of a site opened an incident of its own, and called again."""
    restriction = _measure("water_restriction", True, object="network:sedif")
    reports: list[tuple[str, str | None, dict[str, Any]]] = [
        ("outage_water", PMI, {}),
        ("outage_water", "sst-07", {}),
        ("info", None, {"source": "prefecture", "commune": where, "measure": restriction}),
    ]
    for minute, n in enumerate(order):
        type, site, values = reports[n]
        scene.report(10 + minute, type, site, occurred=5, **values)
    assert _kinds(scene) == [("water", "sedif")]
    assert scene.incidents()[0].members == (PMI, "sst-07")
    other = scene.report(20, "outage_water", "sst-13", measure=_measure(object="network:eau-sud"))
    assert scene.incident_of(other).key == "eau-sud"


def test_a_failed_supplier_of_a_site_is_the_kitchen_of_that_site(scene: Scene) -> None:
    for n, site in enumerate(KITCHEN[:3]):
        scene.report(n, "supplier_failure", site)
    assert _kinds(scene) == [("kitchen", "cuisine-centrale-sud")]


def test_a_fire_in_the_commune_of_a_gas_leak_is_no_order(scene: Scene) -> None:
    leak = scene.report(0, "gas_leak", "sst-13")
    near, burnt = [s.id for s in territory().sites if s.commune == "92002" and s.id != "sst-13"][:2]
    report_ids = [
        scene.report(n, type, near)
        for n, type in enumerate(("evacuation", "shelter_in_place", "closure", "outage_power"))
    ]
    assert {scene.state.reports[r].incident for r in report_ids} == {
        scene.state.reports[leak].incident
    }
    assert scene.incident_of(scene.report(9, "fire", burnt, severity=4)).kind == "fire"


def test_a_fire_absorbs_trouble_on_its_site_roads_and_systems_for_two_hours(scene: Scene) -> None:
    root = scene.report(0, "fire", "cen-1", severity=5)
    road = scene.report(38, "transport_disruption", source="siter", commune="92050")
    core = scene.report(
        55, "outage_it", "sit-01", capacity_lost_pct=50, measure=_measure(object="system:reseau")
    )
    shut = scene.report(300, "closure", "cen-1", severity=5)
    assert {scene.state.reports[r].incident for r in (root, road, core, shut)} == {
        scene.incidents()[0].id
    }
    late = scene.report(300, "outage_it", "cen-2", capacity_lost_pct=20)
    assert scene.incident_of(late).kind == "it"


# ── D21, D23, D24 ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_reference_wins_over_every_other_rule(scene: Scene) -> None:
    first = scene.report(0, "closure", "sst-13")
    scene.report(1, "outage_power", PMI, capacity_lost_pct=100)
    id = scene.report(2, "outage_power", "clg-0921589C", references=(first,), capacity_lost_pct=80)
    assert scene.incident_of(id) == scene.incident_of(first)
    assert scene.state.reports[id].why[-1].code == "D21"


def test_a_cause_without_key_joins_the_gravest_on_its_site_then_a_single_hazard(
    scene: Scene,
) -> None:
    scene.report(
        0, "weather_alert", source="meteo_france", phenomenon="neige-verglas", colour="orange"
    )
    scene.report(1, "outage_power", PMI, capacity_lost_pct=100)
    on_site = scene.report(2, "partial_closure", PMI)
    hazard = scene.report(3, "closure", "par-01", severity=2)
    assert scene.incident_of(on_site).kind == "power"
    assert scene.incident_of(hazard).kind == "snow"
    scene.report(4, "weather_alert", source="meteo_france", phenomenon="canicule", colour="orange")
    two = scene.report(5, "closure", "par-02", severity=2)
    assert scene.incident_of(two).key == "site:par-02", "two hazards would take it: none does"


def test_an_ended_cause_of_a_site_takes_no_cause_from_the_current_hazard(scene: Scene) -> None:
    """D23: a closure for the heat joined the power cut of the morning on that site."""
    cut = scene.report(0, "outage_power", COLLEGE, capacity_lost_pct=100)
    scene.report(60, "reopening", COLLEGE, lifts=(EventType.OUTAGE_POWER,), severity=1)
    hot = scene.report(
        90, "weather_alert", source="meteo_france", phenomenon="canicule", colour="orange"
    )
    shut = scene.report(300, "closure", COLLEGE, severity=2)
    assert scene.incident_of(shut) == scene.incident_of(hot)
    scene.command(_command(ResolveIncident, incident=scene.incident_of(hot).id, force=True), 310)
    again = scene.report(320, "outage_heating", COLLEGE, severity=2)
    assert scene.incident_of(again) == scene.incident_of(cut), (
        "without one it stays with what the site is a member of"
    )


def test_absorption_in_an_area_comes_before_other_causes_of_the_site(scene: Scene) -> None:
    """The first rule that applies wins: D22 before D23.

    An order around a gas leak joined the incident of an absence on the same site.
    """
    absent: dict[str, Any] = {
        "severity": 2,
        "measure": _measure("absence_rate", 30.0, unit="%", scope="site"),
    }
    for site in ("pmi-03", KITCHEN[3]):
        scene.report(0, "staff_shortage", site, **absent)
    leak = scene.report(10, "gas_leak", "sst-13", severity=4)
    ordered = scene.report(12, "evacuation", "pmi-03", severity=4, source="pompiers")
    kitchen = scene.report(
        15, "supplier_failure", severity=4, measure=_measure(object="supplier:cuisine-centrale-sud")
    )
    meals = scene.report(17, "partial_closure", KITCHEN[3], affected_activities=("EDU-01",))
    assert (scene.incident_of(ordered), scene.incident_of(meals)) == (
        scene.incident_of(leak),
        scene.incident_of(kitchen),
    )
    burnt = scene.report(20, "fire", "pmi-03", severity=5)
    out = scene.report(21, "shelter_in_place", "pmi-03", severity=4)
    assert scene.incident_of(out) == scene.incident_of(burnt), (
        "nearer still is what burns on the site itself"
    )


def test_info_headcounts_and_rumours_open_nothing(scene: Scene) -> None:
    scene.report(0, "info", PMI)
    scene.report(1, "headcount", PMI, measure=_measure("headcount_found", 1.0, value_of=2.0))
    assert not scene.incidents()
    assert scene.state.level() == 0


def test_a_site_offering_desks_serves_the_incident_and_its_trouble_joins_it(scene: Scene) -> None:
    scene.report(0, "fire", "cen-1", severity=5)
    scene.report(
        60,
        "info",
        "sst-08",
        severity=1,
        measure=_measure("desks_offered", 24.0, unit="count", scope="site"),
    )
    full = scene.report(DAY, "partial_closure", "sst-08", capacity_lost_pct=20, severity=2)
    assert scene.incident_of(full).kind == "fire"


# ── D25, D26 ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _two(scene: Scene) -> tuple[Any, Any]:
    a = scene.report(0, "outage_power", PMI, capacity_lost_pct=100, severity=4)
    b = scene.report(1, "outage_power", "sst-13", capacity_lost_pct=100)
    return scene.incident_of(a), scene.incident_of(b)


def test_a_merge_moves_members_and_reports_and_keeps_one_id(scene: Scene) -> None:
    a, b = _two(scene)
    assert isinstance(
        scene.command(_command(MergeIncidents, incident=a.id, into=b.id, expected=a.version), 5),
        CommandApplied,
    )
    merged, merge_target = scene.state.incidents[a.id], scene.state.incidents[b.id]
    assert (merged.state, merged.merged_into) == ("merged", b.id)
    assert merge_target.members == (PMI, "sst-13")
    assert merge_target.level == 2, "the higher of both"
    assert {scene.state.reports[r].incident for r in scene.state.reports} == {b.id}
    assert scene.state.escalations[scene.state.ladders[a.id]].state == "superseded"

    later = scene.report(10, "outage_power", "pmi-05", capacity_lost_pct=100)
    assert scene.incident_of(later).id == b.id, "correlation follows the merge"
    assert scene.state.counts.get((b.id, "hit", "pole:solidarites")) == 3


def test_a_merge_and_a_split_are_logged_with_a_reason(scene: Scene) -> None:
    a, b = _two(scene)
    more = scene.report(2, "outage_power", "pmi-05", capacity_lost_pct=100)
    for command in (
        _command(MergeIncidents, incident=a.id, into=b.id),
        _command(SplitIncident, incident=a.id, reports=(more,)),
    ):
        refused = scene.command(command.model_copy(update={"reason": None}), 5)
        assert isinstance(refused, CommandRefused)
        assert (refused.status, refused.code) == (409, "reason_required")


@pytest.mark.parametrize("kind", [MergeIncidents, SplitIncident])
def test_regrouping_the_same_facts_does_not_raise_a_lowered_level(scene: Scene, kind: type) -> None:
    """A merge makes the higher level of both (D25), and the same facts raise nothing again (D31)."""
    grave = scene.report(0, "outage_power", PMI, capacity_lost_pct=100, severity=4)
    scene.report(1, "outage_power", "pmi-05", capacity_lost_pct=100, severity=2)
    other = scene.report(2, "outage_power", "sst-13", capacity_lost_pct=100, severity=2)
    a, b = scene.incident_of(grave), scene.incident_of(other)
    for scope in (a.id, "territory"):
        scene.command(
            _command(SetLevel, scope=scope, level=Level.N1, force=True).model_copy(
                update={"role": "directeur_pole"}
            ),
            5,
        )
    assert (scene.incident_of(grave).level, scene.state.level()) == (1, 1)
    scene.command(
        _command(
            kind,
            incident=a.id,
            **({"into": b.id} if kind is MergeIncidents else {"reports": (grave,)}),
        ),
        9,
    )
    assert (scene.incident_of(grave).level, scene.state.level()) == (1, 1)
    scene.report(10, "fire", "sst-13", severity=5)
    assert scene.state.level() >= 2, "a new fact does"


def test_a_split_is_not_undone_by_correlation(scene: Scene) -> None:
    a = scene.report(0, "outage_power", PMI, capacity_lost_pct=100, severity=4)
    b = scene.report(1, "outage_power", "pmi-05", capacity_lost_pct=100)
    incident = scene.incident_of(a)
    done = scene.command(_command(SplitIncident, incident=incident.id, reports=(b,)), 5)
    assert isinstance(done, CommandApplied)
    apart = scene.incident_of(b)
    assert apart.id != incident.id
    assert (apart.members, scene.incident_of(a).members) == (("pmi-05",), (PMI,))
    again = scene.report(9, "outage_power", "pmi-05", source="enedis", capacity_lost_pct=100)
    assert scene.incident_of(again) == scene.state.incidents[apart.id], (
        "one more word on a cause that was split off"
    )
    assert scene.site("pmi-05").causes[0].incident == apart.id


def test_a_new_cut_on_a_split_off_site_joins_the_new_incident(scene: Scene) -> None:
    a = scene.report(0, "outage_power", PMI, capacity_lost_pct=100, severity=4)
    b = scene.report(1, "outage_power", "pmi-05", capacity_lost_pct=100)
    scene.command(_command(SplitIncident, incident=scene.incident_of(a).id, reports=(b,)), 5)
    scene.report(9, "reopening", "pmi-05", lifts=(EventType.OUTAGE_POWER,), severity=1)
    again = scene.report(20, "outage_power", "pmi-05", capacity_lost_pct=100)
    assert scene.incident_of(again) == scene.incident_of(b)


def test_a_split_off_place_draws_no_later_cut_back(scene: Scene) -> None:
    """D25: the incident kept the commune of a split-off report and took its next cut."""
    a, b = _two(scene)
    scene.command(_command(MergeIncidents, incident=a.id, into=b.id), 2)
    (gone,) = [r.id for r in scene.state.reports.values() if r.site == PMI]
    scene.command(_command(SplitIncident, incident=b.id, reports=(gone,)), 3)
    apart, remaining_incident = scene.incident_of(gone), scene.state.incidents[b.id]
    assert set(apart.communes).isdisjoint(remaining_incident.communes)
    later = scene.report(10, "outage_power", "pmi-05", capacity_lost_pct=100)
    assert scene.incident_of(later).id == apart.id


def test_a_split_off_report_stays_apart_when_its_site_is_found(scene: Scene) -> None:
    scene.report(0, "closure", COLLEGE)
    a = scene.report(1, "closure", "clg-unknown", commune="92050", source="police")
    b = scene.report(2, "closure", "clg-unknown-too", commune="92050", source="police")
    scene.command(_command(SplitIncident, incident=scene.incident_of(a).id, reports=(b,)), 3)
    apart = scene.incident_of(b).id
    scene.command(_command(LinkReport, report=b, site=COLLEGE), 5)
    assert scene.incident_of(b).id == apart


def test_people_count_from_any_report_and_in_their_own_incident(scene: Scene) -> None:
    """Only the first report on a cause counted its people, and split-off people stayed behind."""
    fire = scene.report(0, "fire", "cen-1", source="pompiers")
    scene.report(2, "fire", "cen-1", source="gardien", persons_concerned=600)
    evacuation = scene.report(3, "evacuation", "cen-1", persons_concerned=550, references=(fire,))
    other = scene.report(4, "evacuation", "cen-2", persons_concerned=40, references=(fire,))
    assert scene.incident_of(fire).persons_concerned == 640
    scene.report(5, "fire", "cen-1", source="pompiers", persons_concerned=620)
    assert scene.incident_of(evacuation).persons_concerned == 660, "of one site the most, once"
    scene.command(_command(SplitIncident, incident=scene.incident_of(fire).id, reports=(other,)), 6)
    assert (
        scene.incident_of(fire).persons_concerned,
        scene.incident_of(other).persons_concerned,
    ) == (620, 40)


def test_the_customers_of_a_split_off_figure_leave_with_it(scene: Scene) -> None:
    """D25, section 13: both incidents counted the customers, and the all-clear reached only one.

    The plan stayed active forever.
    """
    cut = scene.report(0, "outage_power", PMI, severity=2, capacity_lost_pct=10)
    common_fields: dict[str, Any] = {"source": "enedis", "zone": ("92050",), "severity": 2}
    before = scene.report(
        1, "outage_power", **common_fields, measure=_measure("customers_cut", 40.0)
    )
    figure = scene.report(
        2, "outage_power", **common_fields, measure=_measure("customers_cut", 25_000.0)
    )
    scene.command(_command(SplitIncident, incident=scene.incident_of(cut).id, reports=(figure,)), 5)
    assert (scene.incident_of(before).customers_cut, scene.incident_of(figure).customers_cut) == (
        40,
        25_000,
    )
    scene.report(
        9,
        "info",
        source="enedis",
        severity=1,
        references=(figure,),
        measure=_measure("customers_cut", 0.0),
    )
    scene.step(200)
    assert scene.state.triggers["PT-ELEC:2"].state == "released"


def test_a_split_keeps_the_danger_to_people(scene: Scene) -> None:
    """Its messages could be held back and throttled, and works could have kept it quiet."""
    fire = scene.report(0, "fire", "cen-1", severity=4)
    info_report = scene.report(1, "info", "cen-1", severity=5)
    scene.report(2, "outage_heating", "cen-1", severity=2)
    scene.command(
        _command(SplitIncident, incident=scene.incident_of(fire).id, reports=(fire, info_report)), 5
    )
    apart = scene.incident_of(fire)
    assert (apart.danger, apart.severity) == (True, 4), "an info counts for no severity"
    assert all(c.danger for c in scene.state.calls.values() if c.incident == apart.id)


def test_messages_of_a_merged_incident_name_its_gravest_trouble(scene: Scene) -> None:
    """They named the lesser one: the causes of the first still led to the merged incident."""
    fire = scene.report(0, "fire", PMI, severity=5)
    closure = scene.report(1, "closure", COLLEGE, severity=2)
    into = scene.incident_of(closure).id
    scene.command(_command(MergeIncidents, incident=scene.incident_of(fire).id, into=into), 5)
    calls = [n for n in scene.named(NotificationPlanned) if n.planned_at >= scene.at(5)]
    assert {n.values["event"] for n in calls if "event" in n.values} == {"fire"}


def test_each_part_of_a_split_incident_tells_of_its_own_reports(scene: Scene) -> None:
    """The first part kept the danger, severity, end and silent sites of the second."""
    cut = scene.report(0, "outage_power", PMI, severity=3, capacity_lost_pct=100)
    zone = scene.report(
        1,
        "outage_power",
        source="enedis",
        zone=("92050",),
        severity=2,
        measure=_measure("customers_cut", 30_000.0),
        estimated_end=scene.at(300),
    )
    evacuation = scene.report(2, "evacuation", PMI, severity=4, source="pompiers")
    whole = scene.incident_of(cut)
    assert (whole.severity, whole.danger, whole.estimated_end) == (4, True, scene.at(300))
    assert whole.zone_sites
    scene.command(_command(SplitIncident, incident=whole.id, reports=(zone, evacuation)), 5)
    first, second = scene.incident_of(cut), scene.incident_of(zone)
    assert (first.severity, first.danger, first.estimated_end) == (3, False, None)
    assert (second.severity, second.danger, second.estimated_end) == (4, True, scene.at(300))
    assert (first.zone_sites, second.zone_sites) == ((), whole.zone_sites)
    scene.step(120)
    silences = {s.incident for s in scene.state.silences.values() if s.rule == "D18"}
    assert silences == {second.id}, "its silent sites are asked for"


def test_a_split_takes_the_declarations_and_tasks_of_its_reports(scene: Scene) -> None:
    """The forecast of a supplier came from an incident that told of it no more."""
    closure = scene.report(0, "closure", COLLEGE)
    failure = scene.report(
        1, "supplier_failure", measure=_measure(object="supplier:cuisine-centrale-sud")
    )
    evacuation = scene.report(2, "evacuation", PMI)
    for report in (failure, evacuation):
        scene.command(
            _command(
                MergeIncidents,
                incident=scene.incident_of(report).id,
                into=scene.incident_of(closure).id,
            ),
            5,
        )
    whole = scene.incident_of(closure).id
    scene.command(_command(SplitIncident, incident=whole, reports=(failure, evacuation)), 6)
    apart = scene.incident_of(failure).id
    assert scene.state.flags["kitchen:cuisine-centrale-sud"].incident == apart
    tasks = {t.site: t.incident for t in scene.state.tasks.values() if t.kind == "headcount"}
    assert tasks[PMI] == apart


def test_a_cause_with_the_key_of_a_merged_incident_joins_the_merge_target(scene: Scene) -> None:
    a = scene.report(0, "outage_it", "cen-1", measure=_measure(object="system:paie"))
    b = scene.report(1, "closure", "sst-13")
    c = scene.report(2, "damage_report", "par-01")
    scene.command(
        _command(MergeIncidents, incident=scene.incident_of(a).id, into=scene.incident_of(b).id), 5
    )
    scene.command(
        _command(MergeIncidents, incident=scene.incident_of(b).id, into=scene.incident_of(c).id), 6
    )
    later = scene.report(7, "outage_it", "cen-2", measure=_measure(object="system:paie"))
    assert scene.incident_of(later) == scene.incident_of(c)


def test_a_cut_near_a_merged_power_incident_joins_the_merge_target(scene: Scene) -> None:
    """D25: later correlation undoes no merge; each cut in the cluster opened a new incident."""
    a = scene.report(0, "outage_power", PMI, capacity_lost_pct=100)
    b = scene.report(1, "closure", "sst-13", severity=2)
    scene.command(
        _command(MergeIncidents, incident=scene.incident_of(a).id, into=scene.incident_of(b).id), 5
    )
    common_fields: dict[str, Any] = {"source": "enedis", "zone": ("92050",)}
    later = [
        scene.report(10, "outage_power", "pmi-05", capacity_lost_pct=100),
        scene.report(
            11, "outage_power", PMI, capacity_lost_pct=100, measure=_measure("ups_charge", 5.0)
        ),
        scene.report(12, "outage_power", **common_fields, measure=_measure("customers_cut", 900.0)),
        scene.report(
            300, "info", **common_fields, severity=1, measure=_measure("customers_cut", 0.0)
        ),
    ]
    assert {scene.incident_of(r).id for r in later} == {scene.incident_of(b).id}
    assert scene.incident_of(b).customers_cut == 0
    far = scene.report(305, "outage_power", "clg-0921239X", capacity_lost_pct=100)
    assert scene.incident_of(far) != scene.incident_of(b)


def test_a_higher_count_alone_is_sent_to_pictures_only(scene: Scene) -> None:
    """Continuity needs the family, the open state and the announced end.

    A crisis of 250 cuts must not send it 250 inputs.
    """

    def routed() -> list[bool]:
        return [f.routed for f in scene.named(IncidentChanged)]

    cut = scene.report(0, "outage_power", PMI, capacity_lost_pct=100)
    assert routed() == [True], "opened"
    scene.report(1, "outage_power", "pmi-05", capacity_lost_pct=100)
    scene.report(2, "outage_power", "pmi-05", severity=4, source="enedis")
    incident = scene.incident_of(cut)
    assert (routed()[1:], len(incident.members), incident.severity) == ([False, True], 2, 4), (
        "its level rose: a refused plan may return"
    )
    end = _measure("estimated_end", "2027-02-11T18:00:00+01:00")
    scene.report(3, "info", PMI, references=(cut,), severity=1, measure=end)
    assert routed()[3:] == [True], "an end is announced"
    scene.command(_command(ResolveIncident, incident=incident.id, force=True), 5)
    assert routed()[4:] == [True], "closed"


def test_a_merge_keeps_people_ends_and_silent_sites_of_both(scene: Scene) -> None:
    cut = {"source": "enedis", "commune": "92050", "severity": 4}
    a = scene.report(
        0,
        "outage_power",
        **cut,
        measure=_measure("customers_cut", 30_000.0, object="network:electricity"),
    )
    scene.report(
        1,
        "info",
        **{**cut, "severity": 1},
        references=(a,),
        measure=_measure("estimated_end", "2027-02-11T18:00:00+01:00"),
    )
    b = scene.report(2, "evacuation", "sst-13", persons_concerned=40)
    silent = set(scene.incident_of(a).zone_sites)
    assert silent
    scene.command(
        _command(MergeIncidents, incident=scene.incident_of(a).id, into=scene.incident_of(b).id), 5
    )
    merge_target = scene.incident_of(b)
    assert (
        merge_target.persons_concerned,
        merge_target.estimated_end is not None,
        set(merge_target.zone_sites),
    ) == (
        40,
        True,
        silent,
    )
    scene.step(29)
    assert not [s for s in silent if scene.status(s) == "unknown"]
    scene.step(31)
    assert {s for s in silent if scene.status(s) == "unknown"} == silent, (
        "silent in the zone for 30 minutes (D18)"
    )


def test_cuts_of_both_count_together_after_a_merge(scene: Scene) -> None:
    """The scope of a metric is the incident with all that was merged into it."""
    near, far = (PMI, "pmi-05", "clg-0921589C"), ("sst-13", "pmi-03")
    a = [
        scene.report(n, "outage_power", site, capacity_lost_pct=100) for n, site in enumerate(near)
    ]
    b = [
        scene.report(5 + n, "outage_power", site, capacity_lost_pct=100)
        for n, site in enumerate(far)
    ]
    one, other = scene.incident_of(a[0]), scene.incident_of(b[0])
    assert one != other
    scene.command(_command(MergeIncidents, incident=one.id, into=other.id), 20)
    draft = AlertsDecision(
        scene.state,
        Firing(Deadline(scene.at(20), "x"), scene.realm, scene.realm, scene.at(20), scene.at(20)),
    )
    metric = make_cut_sites(MetricRequest({"window_min": 60}, draft.territory, {}))
    assert metric.value(draft, other.id) == 5


def test_an_incident_of_any_size_can_be_merged() -> None:
    scene = Scene(check=True)
    a, b = scene.report(0, "closure", PMI), scene.report(0, "closure", "sst-13")
    for n in range(400):
        scene.report(1 + n * 0.01, "info", PMI, severity=1, labels={"text": "x" * 500})
    merged, into = scene.incident_of(a).id, scene.incident_of(b).id
    assert isinstance(
        scene.command(_command(MergeIncidents, incident=merged, into=into), 10), CommandApplied
    )
    assert scene.incident_of(a).id in (merged, into)
    for _ in range(400 // 60 + 1):
        scene.step(10)
    assert {r.incident for r in scene.state.reports.values()} == {into}
    assert scene.state.incidents[into].reports_count == 402
    assert not [f for f in scene.facts if type(f).__name__ in ("InputFailed", "DeadlineFailed")]
    assert scene.service.next_due(scene.realm) is None or scene.service.next_due(
        scene.realm
    ) > scene.at(10)


@pytest.mark.parametrize(
    "said",
    [
        {
            "type": "transport_disruption",
            "commune": "92050",
            "measure": _measure("road_closed", True, object="road:A86"),
        },
        {
            "type": "transport_disruption",
            "measure": _measure("road_closed", True, object="road:A86"),
        },
        {"type": "closure", "commune": "92050"},
    ],
)
def test_repeated_reports_of_a_commune_or_road_are_one_incident(
    scene: Scene, said: dict[str, Any]
) -> None:
    """D23: each word of a machine that repeats itself every minute opened one more."""
    report_ids = [scene.report(n, source="siter", **said) for n in range(5)]
    assert len({scene.state.reports[r].incident for r in report_ids}) == 1
    other = scene.report(
        6,
        "transport_disruption",
        source="siter",
        commune="92050",
        measure=_measure("road_closed", True, object="road:D7"),
    )
    assert scene.incident_of(other) != scene.incident_of(report_ids[0]), (
        "another road is another matter"
    )


def test_decisions_on_an_older_version_are_refused(scene: Scene) -> None:
    a, b = _two(scene)
    refused = scene.command(_command(MergeIncidents, incident=a.id, into=b.id, expected=7), 5)
    assert isinstance(refused, CommandRefused)
    assert (refused.status, refused.code) == (412, "version_conflict")


def test_a_late_report_is_an_addendum_to_an_incident_closed_less_than_72_hours_ago(
    scene: Scene,
) -> None:
    a = scene.report(0, "outage_power", PMI, capacity_lost_pct=100)
    scene.report(60, "reopening", PMI, lifts=(EventType.OUTAGE_POWER,), severity=1)
    incident = scene.incident_of(a)
    scene.command(_command(ResolveIncident, incident=incident.id), 120)
    over = scene.report(
        DAY, "outage_power", PMI, occurred=5, source="enedis", capacity_lost_pct=100
    )
    assert scene.incident_of(over).id == incident.id
    assert scene.state.incidents[incident.id].state == "closed", "its cause is lifted"
    still = scene.report(DAY + 1, "outage_power", "pmi-05", occurred=6, capacity_lost_pct=100)
    assert scene.incident_of(still).id == incident.id
    assert scene.state.incidents[incident.id].state == "open", "reopened: its cause is open"


def test_a_late_report_of_another_family_is_no_addendum(scene: Scene) -> None:
    """D22 before D26: a break-in reopened the power cut that its site had been through."""
    a = scene.report(0, "outage_power", PMI, capacity_lost_pct=100)
    scene.report(60, "reopening", PMI, lifts=(EventType.OUTAGE_POWER,), severity=1)
    scene.command(_command(ResolveIncident, incident=scene.incident_of(a).id), 65)
    theft = scene.report(70, "security_incident", PMI, occurred=50, severity=4)
    assert (scene.incident_of(theft).kind, scene.incident_of(a).state) == ("security", "closed")
    cold = scene.report(
        80, "sanitary_alert", PMI, occurred=50, measure=_measure("vaccine_fridge_temperature", 12.0)
    )
    assert scene.incident_of(cold).kind != "power", "the site has an open cause"
    evacuation = scene.report(90, "evacuation", "pmi-05", occurred=50)
    assert scene.incident_of(evacuation).kind != "power"


@pytest.mark.parametrize(("minutes", "joins"), [(-1, True), (0, False), (1, False)])
def test_72_hours_after_its_end_an_incident_takes_no_late_report(
    scene: Scene, minutes: int, joins: bool
) -> None:
    """D26: a late report joins an incident that was closed less than 72 h ago."""
    a = scene.report(0, "closure", "sst-13")
    scene.report(60, "reopening", "sst-13", lifts=(EventType.CLOSURE,), severity=1)
    scene.command(_command(ResolveIncident, incident=scene.incident_of(a).id), 120)
    late = scene.report(120 + 3 * DAY + minutes, "closure", "sst-13", occurred=10)
    assert (scene.incident_of(late).id == scene.incident_of(a).id) is joins


def test_a_report_on_a_cause_of_a_closed_incident_moves_it_to_its_own_incident(
    scene: Scene,
) -> None:
    """The new incident had no cause: it could be closed at once, and its levels counted no site."""
    first = scene.incident_of(scene.report(0, "evacuation", "cen-1", severity=5))
    scene.command(_command(ResolveIncident, incident=first.id, force=True), 10)
    again = scene.report(20, "evacuation", "cen-1", severity=5, source="pompiers")
    incident = scene.incident_of(again)
    assert incident.id != first.id
    assert scene.site("cen-1").causes[0].incident == incident.id
    refused = scene.command(_command(ResolveIncident, incident=incident.id), 30)
    assert isinstance(refused, CommandRefused)
    assert refused.code == "causes_open"


def test_a_late_report_reopens_an_incident_and_its_calls(scene: Scene) -> None:
    """Its level was reached before its closure, so no person was called for it."""
    a = scene.report(0, "outage_power", PMI, capacity_lost_pct=100, severity=4)
    scene.report(60, "reopening", PMI, lifts=(EventType.OUTAGE_POWER,), severity=1)
    scene.command(_command(ResolveIncident, incident=scene.incident_of(a).id), 120)
    before = len(scene.state.calls)
    scene.report(200, "outage_power", "pmi-05", occurred=6, capacity_lost_pct=100, severity=4)
    incident = scene.incident_of(a)
    assert (incident.state, scene.state.escalations[scene.state.ladders[incident.id]].state) == (
        "open",
        "running",
    )
    assert len(scene.state.calls) > before


@pytest.mark.parametrize("how", ["by reference", "late"])
@pytest.mark.parametrize(
    ("severity", "lost", "state", "level"),
    [(5, 100, "open", 3), (2, 100, "open", 2), (2, 10, "closed", 2), (1, 5, "closed", 2)],
)
def test_a_graver_report_reopens_the_incident_closed_over_its_cause(
    scene: Scene, how: str, severity: int, lost: float, state: str, level: int
) -> None:
    """D26: damage of severity 5 on a central site was an unread addendum.

    A repetition of known facts overturns no decision.
    """
    first = scene.report(0, "damage_report", "cen-1", severity=2, capacity_lost_pct=10)
    incident = scene.incident_of(first).id
    scene.command(_command(SetLevel, scope=incident, level=Level.N2), 5)
    scene.command(_command(ResolveIncident, incident=incident, force=True), 10)
    calls = len(scene.state.calls)
    report_fields: dict[str, Any] = {"severity": severity, "capacity_lost_pct": lost}
    if how == "late":
        report_id = scene.report(
            30, "damage_report", "cen-1", occurred=5, source="pompiers", **report_fields
        )
    else:
        report_id = scene.report(
            30, "damage_report", "cen-1", msg_type="Update", references=(first,), **report_fields
        )
    assert (scene.incident_of(report_id).id, scene.incident_of(report_id).state) == (
        incident,
        state,
    )
    assert scene.incident_of(report_id).level == level
    assert (len(scene.state.calls) > calls) is (state == "open")


# ── damage and violence (D75) ──────────────────────────────────────────────────────────────────────────────────────


def test_three_leaks_in_three_communes_are_no_violence(scene: Scene) -> None:
    sites = [
        next(s.id for s in territory().sites if s.commune == c and s.kind == "college")
        for c in ("92050", "92012", "92002")
    ]
    for n, site in enumerate(sites):
        scene.report(60 * n, "damage_report", site, capacity_lost_pct=20)
    assert [i.kind for i in scene.incidents()] == ["site", "site", "site"]
    assert not scene.state.triggers


@pytest.mark.parametrize(
    ("site", "minute", "kind"),
    [("near", 700, "security"), ("near", 721, "site"), ("far", 10, "site")],
)
def test_damage_is_violence_near_a_security_incident_for_twelve_hours(
    scene: Scene, site: str, minute: float, kind: str
) -> None:
    """One site in the commune next to it, one at the other end of the département."""
    scene.report(0, "security_incident", commune="92050", source="police")
    place = {"near": "92062", "far": "92002"}[site]
    report_id = scene.report(
        minute, "damage_report", next(s.id for s in territory().sites if s.commune == place)
    )
    assert scene.incident_of(report_id).kind == kind


def test_closures_far_from_a_security_incident_are_their_own(scene: Scene) -> None:
    first = scene.report(0, "security_incident", commune="92050", source="police")
    there = scene.report(
        60, "closure", next(s.id for s in territory().sites if s.commune == "92050"), severity=2
    )
    far = scene.report(
        61, "closure", next(s.id for s in territory().sites if s.commune == "92002"), severity=2
    )
    late = scene.report(
        61 + 24 * 60,
        "closure",
        next(s.id for s in territory().sites if s.commune == "92062"),
        severity=2,
    )
    violence = scene.incident_of(first).id
    assert scene.incident_of(there).id == violence
    assert [scene.incident_of(r).kind for r in (far, late)] == ["site", "site"]


@pytest.mark.parametrize("phenomenon", ["vent", "neige-verglas"])
def test_damage_in_a_storm_belongs_to_the_storm(scene: Scene, phenomenon: str) -> None:
    storm = scene.report(
        0,
        "weather_alert",
        source="meteo_france",
        phenomenon=phenomenon,
        colour="orange",
        severity=3,
    )
    report_ids = [
        scene.report(9 + n, "damage_report", s)
        for n, s in enumerate(("pmi-04", "sst-13", "par-01", "pmi-05", "sst-01"))
    ]
    assert {scene.incident_of(r).id for r in report_ids} == {scene.incident_of(storm).id}
    assert "PT-VIOLENCES:2" not in scene.state.triggers


@pytest.mark.parametrize(
    ("severity", "occurred", "state"), [(5, 30, "open"), (3, 30, "closed"), (5, 5, "closed")]
)
def test_a_raised_bulletin_reopens_the_closed_incident(
    scene: Scene, severity: int, occurred: float, state: str
) -> None:
    """Extreme weather of an authority is N3: in a closed incident it counted for nothing."""
    common_fields: dict[str, Any] = {"source": "meteo_france", "phenomenon": "vent"}
    first = scene.report(0, "weather_alert", **common_fields, colour="orange", severity=3)
    scene.command(_command(ResolveIncident, incident=scene.incident_of(first).id), 10)
    scene.report(
        30,
        "weather_alert",
        **common_fields,
        colour="orange",
        severity=severity,
        occurred=occurred,
        msg_type="Update",
        references=(first,),
    )
    assert scene.incident_of(first).state == state
    assert (scene.state.level() == 3) is (state == "open")


def test_reopened_communes_end_their_own_causes_only(scene: Scene) -> None:
    """An evacuation of communes ended only by its cancellation.

    Its people counted as evacuated forever.
    """
    common_fields = {
        "source": "prefecture",
        "severity": 4,
        "measure": _measure("evacuees", 300.0, scope="zone"),
    }
    two = scene.report(0, "evacuation", zone=("92050", "92012"), **common_fields)
    scene.report(1, "evacuation", commune="92002", **common_fields)
    part = scene.report(
        50,
        "reopening",
        source="prefecture",
        commune="92050",
        lifts=(EventType.EVACUATION,),
        severity=1,
    )
    assert len(scene.state.placeless["evacuation"]) == 2
    doubts = [t for t in scene.state.tasks.values() if t.kind != "area_order"]
    assert [(t.kind, t.report) for t in doubts] == [("lift_which", part)]
    scene.report(
        60,
        "reopening",
        source="prefecture",
        zone=("92012", "92050"),
        lifts=(EventType.EVACUATION,),
        severity=1,
    )
    (remaining_cause,) = scene.state.placeless["evacuation"]
    assert scene.state.causes[remaining_cause].commune == "92002"
    assert scene.incident_of(two) is not None


@pytest.mark.parametrize("certainty", list(Certainty))
def test_only_a_confirmed_report_can_open_an_incident(scene: Scene, certainty: Certainty) -> None:
    """D24: neither a rumour nor an unconfirmed report opens one, by whichever way it is placed."""
    report = scene.report(0, "closure", PMI, certainty=certainty)
    row = scene.state.reports[report]
    assert can_open_incident(row) is (row.confirmation == "confirmed")
    assert bool(scene.incidents()) is (row.confirmation == "confirmed")
