"""Site status follows types, precedence, generators and silent sites (D14–D20)."""

from __future__ import annotations

from typing import Any, Final

import pytest

from schemas.base import MINUTE_MS
from schemas.commands import (
    CompleteTask,
    ConfirmReport,
    DenyReport,
    ReopenIncident,
    ResolveIncident,
)
from schemas.reports import Measure, Window
from schemas.words import Certainty, EventType, MsgType
from tests.shipped import territory
from tests.unit.alerts.scene import Scene

COLLEGE, PMI = "clg-0921353W", "pmi-04"


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize(
    ("type", "loss", "severity", "status", "capacity"),
    [
        ("closure", None, 3, "closed", 0),
        ("evacuation", 0, 4, "evacuated", 0),
        ("fire", None, 4, "evacuated", 0),
        ("shelter_in_place", None, 3, "sheltering", 0),
        ("outage_power", 80, 3, "closed", 20),
        ("outage_power", 79, 3, "degraded", 21),
        ("outage_water", 40, 3, "degraded", 60),
        ("outage_heating", 60, 3, "degraded", 40),
        ("partial_closure", 50, 2, "degraded", 50),
        ("outage_it", 100, 5, "degraded", 0),
        ("outage_telecom", 10, 2, "degraded", 90),
        ("staff_shortage", 100, 4, "degraded", 0),
        ("sanitary_alert", 0, 3, "degraded", 100),
        ("sanitary_alert", 30, 2, "degraded", 70),
        ("sanitary_alert", 0, 2, "normal", 100),
        ("damage_report", 20, 3, "degraded", 80),
        ("gas_leak", 0, 4, "degraded", 100),
        ("security_incident", 10, 3, "degraded", 90),
        ("supplier_failure", 100, 3, "normal", 100),
        ("transport_disruption", 60, 3, "normal", 100),
        ("info", 50, 3, "normal", 100),
        ("headcount", None, 2, "normal", 100),
    ],
)
def test_the_table_of_types(
    scene: Scene, type: str, loss: float | None, severity: int, status: str, capacity: float
) -> None:
    scene.report(1, type, COLLEGE, capacity_lost_pct=loss, severity=severity)
    assert (scene.status(COLLEGE), scene.site(COLLEGE).capacity_pct) == (status, capacity)


@pytest.mark.parametrize(
    ("supplier", "lost", "meals"),
    [
        (None, None, 100),
        (None, 40, 40),
        ("supplier:{kitchen}", None, 100),
        ("supplier:linge", 100, 0),
    ],
)
def test_a_missing_supplier_reduces_the_meals_of_a_site(
    scene: Scene, supplier: str | None, lost: float | None, meals: float
) -> None:
    kitchen = next(s.kitchen for s in territory().sites if s.id == COLLEGE)
    measure = None if supplier is None else Measure(object=supplier.format(kitchen=kitchen))
    scene.report(1, "supplier_failure", COLLEGE, capacity_lost_pct=lost, measure=measure)
    (cause,) = scene.site(COLLEGE).causes
    assert (scene.status(COLLEGE), cause.loss_pct, cause.meals_lost_pct) == ("normal", 0, meals)


def test_a_generator_leaves_at_least_forty_per_cent(scene: Scene) -> None:
    assert territory().sites[0].id == "cen-1"
    assert territory().sites[0].generator
    scene.report(1, "outage_power", "cen-1", source="supervision", capacity_lost_pct=100)
    assert (scene.status("cen-1"), scene.site("cen-1").capacity_pct) == ("degraded", 40)
    assert [w.code for w in scene.site("cen-1").why] == ["D14:degraded", "generator"], (
        "why it is not closed"
    )
    scene.report(2, "evacuation", "cen-1")
    assert [w.code for w in scene.site("cen-1").why] == ["D14:evacuated"]


@pytest.mark.parametrize(
    ("lost", "status", "capacity"),
    [(None, "degraded", 40), (99, "degraded", 40), (100, "closed", 0)],
)
def test_the_manager_closes_a_site_with_a_generator(
    scene: Scene, lost: float | None, status: str, capacity: float
) -> None:
    """D14: « Non, fermé » of the report form is a power cut with a loss of 100 %."""
    scene.report(1, "outage_power", "cen-1", source="site_manager", capacity_lost_pct=lost)
    site = scene.site("cen-1")
    assert (scene.status("cen-1"), site.capacity_pct) == (status, capacity)
    assert ("generator" in {w.code for w in site.why}) is (status == "degraded")


def test_losses_are_not_added_and_one_lift_reopens_nothing_else(scene: Scene) -> None:
    scene.report(1, "outage_power", PMI, capacity_lost_pct=100)
    scene.report(2, "outage_water", PMI, capacity_lost_pct=60)
    assert scene.site(PMI).capacity_pct == 0
    scene.report(9, "reopening", PMI, lifts=(EventType.OUTAGE_POWER,), severity=1)
    assert (scene.status(PMI), scene.site(PMI).capacity_pct) == ("degraded", 40)


def test_a_site_gives_the_end_of_its_cause_with_an_unchanged_status(scene: Scene) -> None:
    """D42, D7: clocks stop at the end of a cause, not at its report."""
    scene.report(0, "outage_heating", PMI, capacity_lost_pct=10.0)
    scene.report(1, "outage_water", PMI, capacity_lost_pct=100.0)
    assert scene.site(PMI).lifted_at is None
    scene.report(60, "reopening", PMI, occurred=20, lifts=(EventType.OUTAGE_WATER,))
    assert (scene.status(PMI), scene.site(PMI).lifted_at) == ("degraded", scene.at(20))
    scene.report(70, "info", PMI, severity=1)
    assert scene.site(PMI).lifted_at == scene.at(20)
    scene.report(80, "reopening", PMI, occurred=75, lifts=(EventType.OUTAGE_HEATING,))
    assert (scene.status(PMI), scene.site(PMI).since, scene.site(PMI).lifted_at) == (
        "normal",
        scene.at(75),
        scene.at(75),
    )


def test_a_closure_after_a_fire_turns_evacuated_to_closed(scene: Scene) -> None:
    scene.report(0, "fire", PMI, severity=4)
    scene.report(60, "closure", PMI, severity=4)
    assert scene.status(PMI) == "closed"


def test_only_a_later_closure_turns_evacuated_to_closed(scene: Scene) -> None:
    scene.report(0, "fire", PMI, severity=4)
    scene.report(1, "closure", PMI, occurred=0, severity=4)
    assert scene.status(PMI) == "evacuated"


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        ("shelter_in_place", "evacuation", "evacuated"),
        ("evacuation", "shelter_in_place", "sheltering"),
        ("fire", "shelter_in_place", "sheltering"),
    ],
)
def test_two_opposite_orders_of_the_same_minute_are_contested(
    scene: Scene, first: str, second: str, status: str
) -> None:
    """Neither is the latest (D5): the one heard of last stands, and a person verifies."""
    scene.report(1, first, PMI, severity=4, source="pompiers")
    scene.report(2, second, PMI, occurred=1, severity=4, source="police")
    assert scene.status(PMI) == status
    assert "contested" in scene.site(PMI).flags
    (task,) = [t for t in scene.state.tasks.values() if t.kind == "contested"]
    assert (task.site, task.state.value) == (PMI, "open")
    scene.report(9, first, PMI, severity=4, source="pompiers")
    assert scene.status(PMI) != status, "a later order stands"


def test_a_site_shut_before_the_fire_is_closed_when_that_is_repeated(scene: Scene) -> None:
    scene.report(0, "closure", PMI)
    scene.report(60, "fire", PMI, severity=4)
    assert scene.status(PMI) == "evacuated"
    scene.report(120, "closure", PMI, source="direction_education")
    assert scene.status(PMI) == "closed"


def test_a_reopening_without_lifts_lifts_the_only_type_or_asks(scene: Scene) -> None:
    scene.report(1, "closure", COLLEGE)
    scene.report(2, "reopening", COLLEGE, severity=1)
    assert scene.status(COLLEGE) == "normal"

    scene.report(1, "closure", PMI)
    scene.report(1, "outage_water", PMI, capacity_lost_pct=20)
    scene.report(2, "reopening", PMI, severity=1)
    assert scene.status(PMI) == "closed"
    (task,) = [t for t in scene.state.tasks.values() if t.kind == "lift_which"]
    assert task.candidates == ("closure", "outage_water")


@pytest.mark.parametrize("site", [COLLEGE, None])
def test_an_exhausted_reopening_no_longer_asks_for_its_types(
    scene: Scene, site: str | None
) -> None:
    """The task of two causes outlived both."""
    common_fields: dict[str, Any] = (
        {} if site else {"source": "prefecture", "zone": ("92050", "92012")}
    )
    for minute, type in enumerate(
        ("evacuation", "shelter_in_place" if site is None else "outage_water")
    ):
        scene.report(minute, type, site, **common_fields)
    part = (
        {"commune": "92050", "source": "prefecture", "lifts": (EventType.EVACUATION,)}
        if site is None
        else {}
    )
    scene.report(5, "reopening", site, severity=1, **part)
    (task,) = [t for t in scene.state.tasks.values() if t.kind == "lift_which"]
    scene.report(
        8,
        "reopening",
        site,
        severity=1,
        lifts=(EventType.EVACUATION, EventType.OUTAGE_WATER),
        **common_fields,
    )
    assert scene.state.tasks[task.id].state == "void"


def test_a_reopening_without_lifts_ignores_announced_causes(scene: Scene) -> None:
    scene.report(
        0, "closure", COLLEGE, effective=(Window(start=scene.at(5000), end=scene.at(6000)),)
    )
    scene.report(1, "outage_water", COLLEGE, capacity_lost_pct=50)
    scene.report(60, "reopening", COLLEGE, severity=1)
    assert scene.status(COLLEGE) == "normal"
    scene.report(70, "reopening", COLLEGE, severity=1)
    assert not scene.state.open_tasks
    scene.step(5001)
    assert scene.status(COLLEGE) == "closed"


def test_an_announced_reopening_lifts_nothing_yet(scene: Scene) -> None:
    """D9, D17: the site was open at once.

    It is expected to open then, and an unconfirmed opening asks a person.
    """
    scene.report(0, "closure", COLLEGE)
    monday = (Window(start=scene.at(600), end=None),)
    scene.report(10, "reopening", COLLEGE, lifts=(EventType.CLOSURE,), effective=monday, severity=1)
    assert scene.status(COLLEGE) == "closed"
    assert scene.site(COLLEGE).causes[0].expected_end == scene.at(600)
    scene.report(20, "closure", COLLEGE, occurred=5, source="rectorat")
    assert scene.site(COLLEGE).causes[0].sources == ("site_manager", "rectorat"), (
        "a late word on it is not over already"
    )
    scene.step(600)
    assert (scene.status(COLLEGE), scene.site(COLLEGE).flags) == ("closed", ("overdue",))
    assert [t.kind for t in scene.state.tasks.values()] == ["overdue_cause"]
    scene.report(
        605, "reopening", COLLEGE, lifts=(EventType.CLOSURE,), effective=monday, severity=1
    )
    assert scene.status(COLLEGE) == "normal"
    assert scene.site(COLLEGE).since == scene.at(600), "it opened with its window"


@pytest.mark.parametrize(
    ("down", "up", "flag"),
    [
        ({"type": "supplier_failure"}, {"type": "reopening"}, "kitchen:cuisine-centrale-sud"),
        (
            {"type": "outage_it", "capacity_lost_pct": 100},
            {"type": "info", "name": "system_restored", "value": True},
            "system:paie",
        ),
        (
            {"type": "transport_disruption", "name": "road_closed", "value": True},
            {"type": "transport_disruption", "name": "road_closed", "value": False},
            "road:A86",
        ),
    ],
)
def test_an_announced_return_withdraws_nothing_yet(
    scene: Scene, down: dict[str, Any], up: dict[str, Any], flag: str
) -> None:
    """D9: a failed kitchen served all its meals until the day of its announced return."""
    flag_states = []
    for minute, base_fields in ((0, down), (10, up)):
        report_fields, about = dict(base_fields), flag.replace("kitchen:", "supplier:")
        measure = Measure(
            name=report_fields.pop("name", None),
            value=report_fields.pop("value", None),
            object=about,
        )
        announced = (Window(start=scene.at(600), end=None),) if minute else ()
        source = {"road": "siter", "kitchen": "concessionnaire_restauration"}.get(
            flag.partition(":")[0], "operateur"
        )
        scene.report(
            minute,
            report_fields.pop("type"),
            source=source,
            measure=measure,
            effective=announced,
            **report_fields,
        )
        flag_states.append(scene.state.flags[flag])
    assert flag_states[0] == flag_states[1]
    assert len(scene.state.placeless) == (down["type"] != "transport_disruption")


def test_desks_still_shut_are_a_partial_closure(scene: Scene) -> None:
    scene.report(1, "fire", "cen-1", severity=5)
    desks = Measure(
        name="desks_available", value=820.0, value_of=1569.0, unit="count", scope="site"
    )
    scene.report(600, "reopening", "cen-1", lifts=(EventType.FIRE,), severity=1, measure=desks)
    assert (scene.status("cen-1"), scene.site("cen-1").capacity_pct) == ("degraded", 52.3)
    desks = Measure(
        name="desks_available", value=1569.0, value_of=1569.0, unit="count", scope="site"
    )
    scene.report(
        900, "reopening", "cen-1", lifts=(EventType.PARTIAL_CLOSURE,), severity=1, measure=desks
    )
    assert scene.status("cen-1") == "normal"


def test_the_default_total_of_desks_is_that_of_the_site(scene: Scene) -> None:
    scene.report(1, "fire", "cen-2", severity=4)
    desks = Measure(name="desks_available", value=90.0, unit="count", scope="site")
    scene.report(60, "reopening", "cen-2", lifts=(EventType.FIRE,), severity=1, measure=desks)
    assert (scene.status("cen-2"), scene.site("cen-2").capacity_pct) == ("degraded", 25), (
        "90 of 360"
    )


def test_past_its_expected_end_a_cause_stays_and_a_task_asks(scene: Scene) -> None:
    scene.report(0, "closure", COLLEGE, expected_duration_h=1)
    scene.step(59)
    assert not scene.state.tasks
    scene.step(61)
    assert scene.status(COLLEGE) == "closed"
    assert scene.site(COLLEGE).flags == ("overdue",)
    (task,) = scene.state.tasks.values()
    assert (task.kind, task.site, task.state) == ("overdue_cause", COLLEGE, "open")

    scene.command(
        CompleteTask(author="rs-x", role="site_manager", task=task.id, outcome="lifted"), 70
    )
    assert scene.status(COLLEGE) == "normal"
    assert scene.state.tasks[task.id].state == "done"


# ── silence ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _cut(scene: Scene, customers: float = 180_000, minute: float = 5) -> str:
    measure = Measure(
        name="customers_cut", value=customers, unit="count", object="network:electricity"
    )
    return scene.report(
        minute,
        "outage_power",
        source="enedis",
        commune="92050",
        zone=("92050",),
        severity=4,
        measure=measure,
    )


def _cut_of(scene: Scene, minute: float, customers: float, **more: object) -> str:
    report_fields: dict[str, object] = {
        "source": "enedis",
        "zone": ("92050",),
        "severity": 4,
    } | more
    return scene.report(
        minute,
        "outage_power",
        measure=Measure(name="customers_cut", value=customers, object="network:electricity"),
        **report_fields,
    )  # type: ignore[arg-type]


def _unknown(scene: Scene) -> set[str]:
    return {i for i, row in scene.state.sites.items() if row.status == "unknown"}


def test_a_silent_site_in_the_operators_zone_is_unknown_after_thirty_minutes(scene: Scene) -> None:
    scene.report(0, "info", "par-05", severity=1)
    _cut(scene)
    scene.report(20, "info", PMI, severity=1)
    scene.step(34)
    assert not _unknown(scene)
    scene.step(35)
    silent = _unknown(scene)
    nanterre = {s.id for s in territory().sites if s.commune == "92050"}
    assert silent == nanterre - {PMI}, (
        "« rien à signaler » is a word; what was said before the cut is none"
    )
    tasks = {t.site: t for t in scene.state.tasks.values() if t.kind == "verify_site"}
    assert set(tasks) == silent
    assert {t.due_at - t.opened_at for t in tasks.values() if t.due_at} == {30 * MINUTE_MS}, (
        "the delay of the policy: later it is overdue"
    )

    scene.report(40, "info", "par-05", severity=1)
    assert scene.status("par-05") == "normal"
    assert next(t for t in scene.state.tasks.values() if t.site == "par-05").state == "void"
    scene.step(5000)
    assert scene.status("cen-3") == "unknown", "time never turns it to normal"


@pytest.mark.parametrize(
    ("end", "status"),
    [("", "unknown"), ("lifted", "normal"), ("withdrawn", "normal")],
)
def test_silent_sites_under_a_restriction_of_water_are_unknown(
    scene: Scene, end: str, status: str
) -> None:
    """D18: an order that came as an information counted as an error, and asked no site."""
    measure = Measure(name="water_restriction", value=True)
    values: dict[str, Any] = {"source": "prefecture", "zone": ("92072",), "severity": 4}
    report = scene.report(0, "info", measure=measure, **values)
    if end == "lifted":
        scene.report(5, "info", measure=measure.model_copy(update={"value": False}), **values)
    elif end == "withdrawn":
        scene.report(5, "info", msg_type=MsgType.CANCEL, references=(report,), **values)
    scene.step(29)
    assert scene.status("clg-0921244C") == "normal"
    scene.step(31)
    assert scene.status("clg-0921244C") == status


@pytest.mark.parametrize("ended", [(), ("92072",), ("92072", "92050")])
def test_the_end_of_a_cut_of_water_leaves_no_silent_site(
    scene: Scene, ended: tuple[str, ...]
) -> None:
    """D18: the cut was over before the sites had their 30 minutes, and they became unknown."""
    for commune in ("92072", "92050"):
        scene.report(0, "outage_water", source="delegataire_eau", zone=(commune,))
    for commune in ended:
        scene.report(
            10,
            "reopening",
            source="delegataire_eau",
            zone=(commune,),
            lifts=(EventType.OUTAGE_WATER,),
        )
    scene.step(31)
    unknown = {s.commune for s in territory().sites if s.id in _unknown(scene)}
    assert unknown == {"92072", "92050"} - set(ended)


@pytest.mark.parametrize("end", ["reopening", "info"])
def test_the_end_of_a_cut_of_water_in_one_commune_leaves_no_silent_site_there(
    scene: Scene, end: str
) -> None:
    """D16, D18: one report cut two communes, and the one reopened first counted as cut."""
    order = Measure(name="water_restriction", value=True)
    values: dict[str, Any] = {"source": "prefecture"}
    scene.report(0, "outage_water", zone=("92072", "92050"), measure=order, **values)
    if end == "reopening":
        values["lifts"] = (EventType.OUTAGE_WATER,)
    over = order.model_copy(update={"value": False})
    scene.report(10, end, zone=("92072",), severity=1, measure=over, **values)
    scene.step(31)
    assert {s.commune for s in territory().sites if s.id in _unknown(scene)} == {"92050"}


def test_a_cut_of_water_that_begins_again_asks_its_silent_sites(scene: Scene) -> None:
    for minute, type in ((0, "outage_water"), (10, "reopening"), (40, "outage_water")):
        lifts = (EventType.OUTAGE_WATER,) if type == "reopening" else ()
        scene.report(minute, type, source="delegataire_eau", zone=("92072",), lifts=lifts)
    scene.step(69)
    assert not _unknown(scene)
    scene.step(71)
    assert "clg-0921244C" in _unknown(scene)


@pytest.mark.parametrize("by_person", [True, False])
def test_silent_sites_in_the_zone_of_a_reopened_incident_are_judged(
    scene: Scene, by_person: bool
) -> None:
    incident = scene.incident_of(_cut(scene)).id
    scene.report(8, "info", PMI, severity=1)
    scene.command(
        ResolveIncident(
            author="c", role="coordinator", reason="text:x", incident=incident, force=True
        ),
        10,
    )
    scene.step(50)
    assert not _unknown(scene)
    if by_person:
        scene.command(ReopenIncident(author="c", role="coordinator", incident=incident), 60)
    else:
        assert (
            scene.incident_of(
                scene.report(60, "outage_power", "pmi-05", occurred=8, capacity_lost_pct=100)
            ).id
            == incident
        )
    scene.step(89)
    assert not _unknown(scene)
    scene.step(90)
    spoke = {PMI} if by_person else {PMI, "pmi-05"}
    assert _unknown(scene) == {s.id for s in territory().sites if s.commune == "92050"} - spoke


def test_a_late_report_on_a_closed_incident_makes_no_silent_site_unknown(scene: Scene) -> None:
    """D18: only open incidents have a zone.

    After the crisis the whole commune became unknown, with a task per site.
    """
    first = scene.report(0, "outage_power", PMI, capacity_lost_pct=100)
    for site in (PMI, "pmi-05"):
        scene.report(60, "reopening", site, lifts=(EventType.OUTAGE_POWER,), severity=1)
    incident = scene.incident_of(first).id
    scene.command(ResolveIncident(author="c", role="coordinator", incident=incident), 65)
    late = scene.report(70, "outage_power", "pmi-05", occurred=20, capacity_lost_pct=100)
    assert (scene.incident_of(late).id, scene.incident_of(late).state) == (incident, "closed")
    scene.step(200)
    assert not _unknown(scene)
    scene.command(ReopenIncident(author="c", role="coordinator", incident=incident), 210)
    scene.step(240)
    assert not _unknown(scene), "nothing is cut"
    scene.report(241, "outage_power", "pmi-05", capacity_lost_pct=100)
    scene.step(271)
    assert "pmi-06" in _unknown(scene), "the zone is known when it is opened again"


def test_a_cut_absorbed_by_a_flood_keeps_its_zone_and_its_all_clear(scene: Scene) -> None:
    """D18, D20, D22: no site was asked.

    After the operator's all-clear its report stayed open and its customers stayed cut.
    """
    plain = next(c.insee for c in scene.state.territory.communes.values() if c.seine_flood_plan)
    here = [s.id for s in territory().sites if s.commune == plain]
    scene.report(0, "weather_alert", source="vigicrues", phenomenon="crues", colour="orange")
    scene.report(
        1,
        "flood_level",
        source="vigicrues",
        measure=Measure(name="river_level", value=6.6, object="station:paris-austerlitz"),
    )
    common_fields = {"source": "enedis", "commune": plain}
    cut = scene.report(
        5, "outage_power", measure=Measure(name="customers_cut", value=30_000.0), **common_fields
    )
    scene.report(6, "outage_power", here[0], capacity_lost_pct=100)
    assert scene.incident_of(cut).kind == "flood"
    scene.step(35)
    assert set(here[1:]) <= _unknown(scene)
    clear = scene.report(
        100, "info", severity=1, measure=Measure(name="customers_cut", value=0.0), **common_fields
    )
    assert scene.incident_of(clear) == scene.incident_of(cut)
    assert scene.incident_of(cut).customers_cut == 0
    assert not scene.state.placeless
    scene.step(160)
    assert scene.status(here[0]) == "unknown"
    assert scene.site(here[0]).causes, "its cause stays open until someone speaks"


def test_a_denied_unconfirmed_report_is_no_news_of_a_silent_site(scene: Scene) -> None:
    _cut(scene)
    doubt = scene.report(10, "outage_power", PMI, certainty=Certainty.UNCONFIRMED, source="voisin")
    assert scene.status(PMI) == "unknown"
    scene.step(36)
    assert [
        t.state for t in scene.state.tasks.values() if (t.kind, t.site) == ("verify_site", PMI)
    ] == ["open"]
    scene.command(DenyReport(author="c", role="coordinator", report=doubt), 40)
    assert (scene.status(PMI), scene.site(PMI).since) == ("unknown", scene.at(10))
    scene.report(50, "info", PMI, severity=1)
    assert scene.status(PMI) == "normal"


@pytest.mark.parametrize("way", ["denied", "cancelled"])
def test_a_site_is_unknown_when_only_unconfirmed_reports_of_it_are_left(
    scene: Scene, way: str
) -> None:
    """It was normal again, though a report of people leaving waited for an answer."""
    closure = scene.report(0, "closure", PMI)
    scene.report(20, "evacuation", PMI, certainty=Certainty.UNCONFIRMED, source="voisin")
    assert scene.status(PMI) == "closed"
    if way == "denied":
        scene.command(DenyReport(author="c", role="coordinator", report=closure), 30)
    else:
        scene.report(30, "closure", PMI, msg_type=MsgType.CANCEL, references=(closure,))
    expected = ("unknown", scene.at(20)) if way == "denied" else ("normal", scene.at(30))
    assert (scene.status(PMI), scene.site(PMI).since) == expected, "the sender's word is newer"


def test_a_leak_that_was_an_error_makes_no_neighbour_silent(scene: Scene) -> None:
    """D3, D18: 30 min after a false alarm, its neighbours were asked whether they were well."""
    error = scene.report(0, "gas_leak", PMI)
    scene.report(10, "gas_leak", PMI, msg_type=MsgType.CANCEL, references=(error,))
    scene.step(31)
    assert _unknown(scene) == set()
    scene.report(40, "gas_leak", PMI, source="pompiers")
    scene.step(69)
    assert _unknown(scene) == set()
    scene.step(70)
    assert "cen-4" in _unknown(scene)


_ENDED_TROUBLES: Final[dict[str, tuple[str, dict[str, Any], str]]] = {
    "gas": ("gas_leak", {}, "cen-4"),
    "security": ("security_incident", {"severity": 4}, "pmi-06"),
    "power": ("outage_power", {"capacity_lost_pct": 100}, "pmi-06"),
}


@pytest.mark.parametrize("family", sorted(_ENDED_TROUBLES))
@pytest.mark.parametrize("is_over", [False, True])
def test_trouble_that_is_over_asks_no_silent_site(scene: Scene, family: str, is_over: bool) -> None:
    """D18: a leak was closed after ten minutes, and its neighbours were asked all the same."""
    type, values, neighbour = _ENDED_TROUBLES[family]
    sites = (PMI, "pmi-05") if family == "power" else (PMI,)
    for site in sites:
        scene.report(0, type, site, **values)
    for site in sites if is_over else ():
        scene.report(10, "reopening", site, lifts=(EventType(type),), severity=1)
    scene.step(31)
    assert (neighbour in _unknown(scene)) is not is_over
    scene.report(40, type, PMI, source="pompiers", **values)
    scene.step(71)
    assert neighbour in _unknown(scene)


@pytest.mark.parametrize("is_over", [False, True])
def test_the_all_clear_of_the_operator_leaves_no_silent_site_in_its_zone(
    scene: Scene, is_over: bool
) -> None:
    _cut(scene)
    if is_over:
        _cut_of(scene, 20, 0)
    scene.step(36)
    assert ("cen-3" in _unknown(scene)) is not is_over


def test_a_river_that_fell_again_asks_no_silent_site(scene: Scene) -> None:
    for minute, level in ((0, 5.31), (200, 5.0)):
        measure = Measure(
            name="river_level", value=level, unit="m", object="station:paris-austerlitz"
        )
        scene.report(minute, "flood_level", source="vigicrues", severity=2, measure=measure)
    scene.step(241)
    assert not _unknown(scene)


def test_a_small_cut_has_no_zone_until_two_sites_of_a_commune_report(scene: Scene) -> None:
    _cut(scene, customers=2100)
    scene.report(6, "outage_power", PMI, capacity_lost_pct=100)
    scene.step(60)
    assert not _unknown(scene)
    scene.report(61, "outage_power", "pmi-05", capacity_lost_pct=100)
    scene.step(91)
    assert "pmi-06" in _unknown(scene)


@pytest.mark.parametrize(
    "said",
    [{"type": "reopening"}, {"type": "info"}, {"type": "outage_water", "msg_type": "Cancel"}],
)
def test_only_the_order_itself_makes_the_zone_of_a_water_incident(
    scene: Scene, said: dict[str, str]
) -> None:
    """Drinkable water in another commune made its silent sites unknown."""
    order = scene.report(
        0,
        "outage_water",
        source="prefecture",
        zone=("92050",),
        measure=Measure(name="water_restriction", value=True),
    )
    report_fields = dict(said)
    scene.report(
        5,
        report_fields.pop("type"),
        source="prefecture",
        zone=("92002",),
        references=(order,),
        severity=1,
        **report_fields,
    )
    scene.step(60)
    assert {s.commune for s in territory().sites if s.id in _unknown(scene)} <= {"92050"}


def test_an_unknown_evacuated_site_shows_the_graver_status(scene: Scene) -> None:
    scene.report(-20, "evacuation", "pmi-06", severity=4)
    _cut(scene)
    scene.step(36)
    assert scene.status("pmi-06") == "evacuated"
    assert "pmi-05" in _unknown(scene)


def test_a_silent_site_stays_closed_by_an_outage_of_its_own(scene: Scene) -> None:
    own = scene.report(0, "outage_power", PMI, capacity_lost_pct=100)
    zone = _cut(scene, minute=100)
    assert scene.incident_of(own) != scene.incident_of(zone)
    scene.step(131)
    assert scene.state.silences[PMI].incident == scene.incident_of(zone).id
    assert scene.status(PMI) == "closed"


def test_a_late_confirmation_of_an_earlier_report_keeps_a_site_silent(scene: Scene) -> None:
    before = scene.report(
        -200, "sanitary_alert", PMI, certainty=Certainty.UNCONFIRMED, source="voisin", severity=2
    )
    scene.report(-190, "info", PMI, severity=1)
    _cut(scene)
    since = scene.report(
        20, "sanitary_alert", "pmi-05", certainty=Certainty.UNCONFIRMED, source="voisin", severity=2
    )
    scene.step(36)
    for report in (before, since):
        scene.command(ConfirmReport(author="c", role="coordinator", report=report), 60)
    assert scene.status(PMI) == "unknown"
    assert [
        t.state for t in scene.state.tasks.values() if (t.kind, t.site) == ("verify_site", PMI)
    ] == ["open"]
    assert scene.status("pmi-05") == "normal"


@pytest.mark.parametrize(("recorded", "status"), [(99, "unknown"), (101, "closed")])
def test_only_reports_after_the_all_clear_end_its_silent_site(
    scene: Scene, recorded: float, status: str
) -> None:
    scene.report(0, "outage_power", PMI, capacity_lost_pct=100)
    _cut_of(scene, 1, 30_000)
    for minute in sorted((recorded, 100)):
        if minute == 100:
            _cut_of(scene, 100, 0)
        else:
            scene.report(
                minute,
                "sanitary_alert",
                PMI,
                id="doubt",
                certainty=Certainty.UNCONFIRMED,
                source="voisin",
                severity=2,
            )
    scene.step(161)
    assert scene.status(PMI) == "unknown"
    scene.command(ConfirmReport(author="c", role="coordinator", report="doubt"), 170)
    assert scene.status(PMI) == status


def test_after_the_all_clear_a_silent_site_is_unknown_and_its_causes_stay(scene: Scene) -> None:
    scene.report(0, "outage_power", PMI, capacity_lost_pct=100)
    scene.report(0, "outage_power", "pmi-05", capacity_lost_pct=100)
    _cut(scene)
    _cut(scene, customers=0, minute=100)
    scene.report(130, "info", "pmi-05", severity=1)
    scene.step(161)
    assert scene.status(PMI) == "unknown"
    assert scene.site(PMI).causes, "its cause stays open and clocks run"
    assert scene.site(PMI).capacity_pct == 0
    assert scene.status("pmi-05") == "closed", "it spoke and did not say that current is back"
    scene.report(170, "reopening", PMI, lifts=(EventType.OUTAGE_POWER,), severity=1)
    assert scene.status(PMI) == "normal"


def test_a_repeated_all_clear_postpones_nothing(scene: Scene) -> None:
    scene.report(0, "outage_power", PMI, capacity_lost_pct=100)
    _cut_of(scene, 1, 30_000)
    for minute in (100, 130, 159):
        _cut_of(scene, minute, 0)
    scene.step(160)
    assert (scene.status(PMI), scene.site(PMI).since) == ("unknown", scene.at(160))


def test_an_older_figure_arriving_after_the_all_clear_is_over(scene: Scene) -> None:
    """D7: nothing could end it, and its incident could not be closed."""
    _cut_of(scene, 1, 30_000)
    _cut_of(scene, 60, 0)
    late = scene.report(
        70,
        "outage_power",
        source="enedis",
        zone=("92050",),
        occurred=20,
        measure=Measure(name="customers_cut", value=35_000.0),
    )
    assert scene.state.reports[late].reason == "over_already"
    assert not scene.state.placeless
    assert scene.incident_of(late).customers_cut == 0
    again = scene.report(
        80,
        "outage_power",
        source="enedis",
        zone=("92050",),
        measure=Measure(name="customers_cut", value=900.0),
    )
    assert scene.state.placeless["outage_power"], "a newer one is not"
    assert scene.incident_of(again) == scene.incident_of(late)


def test_a_later_announcement_is_no_other_cause_after_the_all_clear(scene: Scene) -> None:
    scene.report(0, "outage_power", PMI, capacity_lost_pct=100)
    scene.report(
        0,
        "partial_closure",
        PMI,
        severity=2,
        effective=(Window(start=scene.at(5000), end=scene.at(6000)),),
    )
    _cut_of(scene, 1, 30_000)
    _cut_of(scene, 100, 0)
    scene.step(160)
    assert scene.status(PMI) == "unknown"


def test_a_cut_after_the_all_clear_withdraws_it(scene: Scene) -> None:
    scene.report(0, "outage_power", PMI, capacity_lost_pct=100)
    _cut_of(scene, 1, 30_000)
    _cut_of(scene, 100, 0)
    _cut_of(scene, 130, 12_000)
    scene.step(161)
    assert scene.status(PMI) == "closed", "it is dark again: nobody has to say that current is back"
    _cut_of(scene, 200, 0)
    scene.step(260)
    assert scene.status(PMI) == "unknown"


def test_an_all_clear_older_than_the_newest_figure_has_no_effect(scene: Scene) -> None:
    scene.report(0, "outage_power", PMI, capacity_lost_pct=100)
    _cut_of(scene, 1, 30_000)
    _cut_of(scene, 70, 12_000, occurred=50)
    _cut_of(scene, 80, 0, occurred=30)
    scene.step(400)
    assert scene.status(PMI) == "closed"
    assert not [
        c for c in scene.state.causes.values() if c.site is None and c.lifted_at is not None
    ]


@pytest.mark.parametrize(("customers", "hit"), [(20_000, False), (20_001, True)])
def test_the_communes_named_before_are_the_zone_once_the_figure_grows(
    scene: Scene, customers: float, hit: bool
) -> None:
    first = _cut_of(scene, 0, 15_000)
    _cut_of(scene, 10, customers, zone=(), msg_type="Update", references=(first,))
    scene.step(39)
    assert not _unknown(scene)
    scene.step(40)
    assert bool(_unknown(scene)) is hit


def test_river_levels_put_exposed_sites_into_the_zone_by_threshold(scene: Scene) -> None:
    def reads(minute: float, level: float) -> None:
        measure = Measure(
            name="river_level", value=level, unit="m", object="station:paris-austerlitz"
        )
        scene.report(minute, "flood_level", source="vigicrues", severity=2, measure=measure)

    exposed = {s.id: s.flood_exposure for s in territory().sites}
    reads(0, 5.0)
    scene.step(300)
    assert not _unknown(scene)
    reads(301, 5.31)
    scene.step(301 + 239)
    assert not _unknown(scene)
    scene.step(301 + 240)
    assert {exposed[s] for s in _unknown(scene)} == {"oui"}
    reads(600, 7.1)
    for minute in range(600, 600 + 241, 60):  # a record holds so many calls
        scene.step(minute)
    assert {exposed[s] for s in _unknown(scene)} == {"oui", "tier1", "tier2"}


# ── D17: an overdue cause waits for a person ───────────────────────────────────────────────────────────────────────


def _waiting(scene: Scene) -> list[tuple[str, tuple[str, ...]]]:
    return [(t.kind, t.candidates) for t in scene.state.tasks.values() if t.state == "open"]


def test_a_cause_reported_overdue_waits_for_a_person_too(scene: Scene) -> None:
    scene.report(180, "closure", COLLEGE, occurred=0, expected_duration_h=1)
    assert scene.site(COLLEGE).flags == ("overdue",)
    assert _waiting(scene) == [("overdue_cause", ("closure",))]


@pytest.mark.parametrize(("until", "asked"), [(None, True), (3 * 60, False)])
def test_an_announcement_without_an_end_is_overdue_after_its_duration(
    scene: Scene, until: int | None, asked: bool
) -> None:
    """S03: a kitchen stops from tomorrow on, for 72 h.

    A window with an end ends the cause itself (D9).
    """
    window = Window(start=scene.at(60), end=None if until is None else scene.at(until))
    scene.report(0, "closure", COLLEGE, effective=(window,), expected_duration_h=1)
    assert scene.site(COLLEGE).causes[0].expected_end == scene.at(120), "from its window on"
    scene.step(119)
    assert (scene.status(COLLEGE), _waiting(scene)) == ("closed", [])
    scene.step(121)
    assert scene.status(COLLEGE) == "closed"
    assert ("overdue" in scene.site(COLLEGE).flags, bool(_waiting(scene))) == (asked, asked)


def test_a_postponed_cause_is_not_overdue_before_its_start(scene: Scene) -> None:
    closure = scene.report(
        0, "closure", COLLEGE, effective=(Window(start=scene.at(60)),), expected_duration_h=1
    )
    scene.report(
        30,
        "closure",
        COLLEGE,
        msg_type="Update",
        references=(closure,),
        effective=(Window(start=scene.at(600)),),
    )
    scene.step(599)
    assert _waiting(scene) == []
    scene.step(601)
    assert _waiting(scene) == [("overdue_cause", ("closure",))], "nobody has said another end"


def test_another_end_is_an_answer_and_every_overdue_type_is_asked_about(scene: Scene) -> None:
    closure = scene.report(0, "closure", COLLEGE, expected_duration_h=1)
    scene.report(0, "outage_heating", COLLEGE, expected_duration_h=1.5)
    scene.step(95)
    assert _waiting(scene) == [("overdue_cause", ("closure", "outage_heating"))]
    scene.report(
        100, "closure", COLLEGE, msg_type="Update", references=(closure,), expected_duration_h=5
    )
    (task,) = [t for t in scene.state.tasks.values() if t.state == "open"]
    scene.command(CompleteTask(author="c", role="coordinator", task=task.id, outcome="lifted"), 101)
    assert [(c.type, c.overdue) for c in scene.site(COLLEGE).causes] == [("closure", False)]
    assert _waiting(scene) == []
    scene.step(500)
    assert _waiting(scene) == [("overdue_cause", ("closure",))]
    scene.report(501, "closure", COLLEGE, expected_duration_h=5)
    assert _waiting(scene) == [], "it has another end"


@pytest.mark.parametrize("by_person", [True, False])
def test_the_task_of_a_cause_without_a_site_ends_with_it_and_ends_it(
    scene: Scene, by_person: bool
) -> None:
    id = scene.report(0, "outage_power", source="enedis", commune="92050", expected_duration_h=1)
    scene.step(61)
    (task,) = scene.state.tasks.values()
    if by_person:
        scene.command(
            CompleteTask(author="c", role="coordinator", task=task.id, outcome="lifted"), 70
        )
    else:
        scene.report(70, "outage_power", source="enedis", msg_type="Cancel", references=(id,))
    assert scene.state.tasks[task.id].state == ("done" if by_person else "void")
    assert not scene.state.placeless


def test_after_the_largest_blackout_every_silent_site_is_unknown() -> None:
    """D20: the effects of 207 sites exceeded one Transaction, and the deadline failed."""
    scene = Scene()
    for n, site in enumerate(territory().sites):
        scene.report(n * 0.05, "outage_power", site.id, capacity_lost_pct=100)
    incident = max(scene.incidents(), key=lambda i: len(i.members))
    assert len(incident.members) > 200
    cut = min(scene.state.incident_reports[incident.id])
    restored = Measure(name="customers_cut", value=0.0, object="network:electricity")
    scene.report(60, "info", source="enedis", severity=1, references=(cut,), measure=restored)
    for _ in range(9):
        scene.step(121)
    assert {scene.status(s) for s in incident.members} == {"unknown"}
    assert not [f for f in scene.facts if type(f).__name__ == "DeadlineFailed"]


def test_an_unknown_site_dates_from_the_first_unconfirmed_report_it_has_not_answered(
    scene: Scene,
) -> None:
    """D6: the own word of a site settles earlier doubts."""
    doubt: dict[str, Any] = {"certainty": Certainty.UNCONFIRMED, "source": "voisin"}
    scene.report(5, "evacuation", PMI, **doubt)
    scene.report(10, "info", PMI, severity=1)
    closure = scene.report(15, "closure", PMI, source="agent")
    scene.report(20, "fire", PMI, **doubt)
    scene.report(25, "damage_report", PMI, **doubt)
    scene.command(DenyReport(author="c", role="coordinator", report=closure), 30)
    assert (scene.status(PMI), scene.site(PMI).since) == ("unknown", scene.at(20))
