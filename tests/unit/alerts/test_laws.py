"""Laws that hold for every history: replay, dumps, duplicates, arrival order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.calling import NotificationPlanned
from schemas.commands import (
    AcknowledgeIncident,
    ConfirmReport,
    DenyReport,
    MergeIncidents,
    ResolveIncident,
    SetLevel,
    SplitIncident,
)
from schemas.crisis.maintenance import (
    Coverage,
    EndMaintenance,
    LeasesRenewed,
    PlanMaintenance,
    Renewal,
)
from schemas.reports import Lease, Measure, ReportReceived, Window
from schemas.runtime import InputDuplicate, StepTo
from schemas.words import Certainty, EventType, Level, MsgType
from services.alerts.decider import AlertsDecider
from services.alerts.evolve.causes import evolve_cause
from services.alerts.state import State
from services.runtime.decider.maps import Map
from services.runtime.decider.protocol import Deadline, Deadlines
from tests.unit.alerts.scene import Scene, report_of, scenario

SITES = (
    "pmi-04",
    "pmi-05",
    "cen-2",
    "clg-0921353W",
    "clg-0921239X",
    "clg-0921631Y",
    "par-03",
    "sit-01",
    "nowhere",
    None,
)
MEASURES = (
    None,
    Measure(name="customers_cut", value=30_000.0, object="network:electricity"),
    Measure(name="customers_cut", value=0.0, object="network:electricity"),
    Measure(name="ill_persons", value=12.0, unit="persons", scope="site"),
    Measure(name="absence_rate", value=45.0, unit="%", scope="site"),
    Measure(name="absence_rate", value=17.0, unit="%", scope="global"),
    Measure(name="river_level", value=6.6, unit="m", object="station:paris-austerlitz"),
    Measure(name="total_isolation", value=True, object="system:*"),
    Measure(name="evacuees", value=60.0, scope="zone"),
    Measure(name="desks_available", value=10.0, value_of=20.0, scope="site"),
    Measure(object="supplier:cuisine-centrale-sud"),
    Measure(object="system:paie"),
    Measure(name="road_closed", value=True, object="road:A86"),
    Measure(name="not a number", value="x"),
    Measure(name="customers_cut", value="nan", object="network:electricity"),
    Measure(name="absence_rate", value="inf", unit="%", scope="site"),
)
_COVERED = (
    Coverage(kinds=("college", "parc")),
    Coverage(sources=("site_manager", "enedis")),
    Coverage(types=(EventType.OUTAGE_POWER,)),
    Coverage(sites=SITES[:4]),
)
FEW = settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def reports(draw: st.DrawFn, types: tuple[EventType, ...] = tuple(EventType)) -> dict[str, Any]:
    """Draw reports in any shape that intake accepts; `after` = minutes since the one before."""
    start = draw(st.integers(0, 300))
    return {
        "after": draw(st.integers(0, 90)),
        "late": draw(st.integers(-10, 120)),
        "type": draw(st.sampled_from(types)),
        "site_id": draw(st.sampled_from(SITES)),
        "commune": draw(st.sampled_from((None, "92050", "92012", "92999"))),
        "severity": draw(st.integers(1, 5)),
        "certainty": draw(
            st.sampled_from(
                (Certainty.CONFIRMED, Certainty.CONFIRMED, Certainty.UNCONFIRMED, Certainty.RUMOUR)
            )
        ),
        "msg_type": draw(
            st.sampled_from((MsgType.ALERT, MsgType.ALERT, MsgType.UPDATE, MsgType.CANCEL))
        ),
        "refers": draw(st.integers(0, 6)),
        "lease": draw(st.sampled_from((None, None, 10, 200))),
        "source_key": "k",
        "source": draw(st.sampled_from(("site_manager", "enedis", "rh", "meteo_france"))),
        "capacity_lost_pct": draw(st.sampled_from((None, 0.0, 30.0, 100.0))),
        "expected_duration_h": draw(st.sampled_from((None, 0.5, 4.0, 100.0))),
        "measure": draw(st.sampled_from(MEASURES)),
        "lifts": draw(
            st.sampled_from(((), (EventType.CLOSURE,), (EventType.OUTAGE_POWER, EventType.FIRE)))
        ),
        "phenomenon": draw(st.sampled_from((None, "crues", "canicule", "orages"))),
        "colour": draw(st.sampled_from((None, "jaune", "rouge", "mauve"))),
        "effective": draw(
            st.sampled_from(
                ((), ((start, start + 60),), ((start, None),), ((0, 30), (start + 30, start + 40)))
            )
        ),
    }


def _feed(scene: Scene, given_: dict[str, Any], clock: float, ids: list[str]) -> float:
    values = dict(given_)
    clock += values.pop("after")
    late, refers, effective, lease = (
        values.pop("late"),
        values.pop("refers"),
        values.pop("effective"),
        values.pop("lease"),
    )
    references = (ids[-refers],) if 0 < refers <= len(ids) else ()
    windows = tuple(
        Window(start=scene.at(a), end=None if b is None else scene.at(b)) for a, b in effective
    )
    id = f"r{len(ids)}"
    ids.append(id)
    message = ReportReceived(
        report_id=id,
        references=references,
        effective=windows,
        occurred_at=scene.at(clock - late),
        recorded_at=scene.at(clock),
        lease=None if lease is None else Lease(until=scene.at(clock + lease)),
        **values,
    )
    scene.feed(message, at=scene.at(clock), id=id)
    return clock


def _decide(scene: Scene, which: int) -> None:
    """Draw a decision on the current state; refused ones are fine."""
    incidents, who = (
        scene.state.open_incidents,
        {"author": "dgs", "role": "admin", "reason": "text:x"},
    )
    now = scene.service.clock
    last = max(scene.state.reports, default="none")
    makers: list[Callable[[], Any]] = [
        lambda: AcknowledgeIncident(incident=incidents[-1] if incidents else "none", **who),
        lambda: ResolveIncident(incident=incidents[0] if incidents else "none", force=True, **who),
        lambda: MergeIncidents(
            incident=incidents[-1] if incidents else "none",
            into=incidents[0] if incidents else "none",
            **who,
        ),
        lambda: SplitIncident(
            incident=incidents[0] if incidents else "none", reports=(last,), **who
        ),
        lambda: ConfirmReport(report=last, **who),
        lambda: DenyReport(report=last, **who),
        lambda: SetLevel(scope="territory", level=Level(which % 5), force=True, **who),
        lambda: PlanMaintenance(
            covers=_COVERED[which % len(_COVERED)],
            starts_at=now,
            ends_at=now + (1 + which) * 600_000,
            **who,
        ),
        lambda: PlanMaintenance(
            covers=_COVERED[which % len(_COVERED)],
            starts_at=now,
            ends_at=now + 3_600_000,
            rrule="FREQ=DAILY",
            **who,
        ),
        lambda: EndMaintenance(window=max(scene.state.maintenance, default="none"), **who),
        lambda: LeasesRenewed(
            source_key="k",
            leases=tuple(Renewal(report=r, until=now + 600_000) for r in scene.state.leases),
        ),
    ]
    scene.feed(makers[which % len(makers)]())


def play(scene: Scene, history: list[tuple[dict[str, Any], int, int]]) -> None:
    """Send reports with drawn decisions between them, and advance the time."""
    clock, ids = 0.0, list[str]()
    for report, decision, wait in history:
        clock = _feed(scene, report, clock, ids)
        if decision < 20:
            _decide(scene, decision)
        clock += wait
        scene.step(clock)
        failed = [f for f in scene.facts if type(f).__name__ in ("InputFailed", "DeadlineFailed")]
        assert not failed, failed


def _indexes(state: State) -> dict[str, Any]:
    return {
        f.name: getattr(state, f.name) for f in fields(state) if not f.init and f.name != "rules"
    }


@FEW
@given(
    st.lists(st.tuples(reports(), st.integers(0, 30), st.integers(0, 200)), min_size=1, max_size=12)
)
def test_no_input_fails_and_every_prefix_replays_to_the_same_state(
    history: list[tuple[dict[str, Any], int, int]],
) -> None:
    scene, decider = Scene(check=True), AlertsDecider()
    play(scene, history)
    state = scene.state
    loaded = decider.load(state.realm, state.lineage, decider.dump(state))
    assert loaded == state
    assert _indexes(loaded) == _indexes(state), (
        "an index does not depend on the order in which rows came"
    )


@FEW
@given(st.lists(reports(), min_size=1, max_size=8), st.data())
def test_the_same_report_twice_changes_nothing(
    history: list[dict[str, Any]], data: st.DataObject
) -> None:
    scene, clock, ids = Scene(), 0.0, list[str]()
    for report in history:
        clock = _feed(scene, report, clock, ids)
    scene.step(clock)  # what was due by now has happened
    before = scene.state
    again = data.draw(st.sampled_from(ids))
    row = scene.state.reports[again]
    same = ReportReceived(
        report_id=again, source=row.source, type=row.type, severity=5, occurred_at=row.occurred_at
    )
    assert not scene.feed(same, at=scene.at(clock), id="another-envelope")
    assert [type(f) for f in scene.feed(same, at=scene.at(clock), id=again)] == [InputDuplicate]
    assert scene.state == before


STATUS_TYPES = (
    EventType.CLOSURE,
    EventType.OUTAGE_POWER,
    EventType.EVACUATION,
    EventType.FIRE,
    EventType.SHELTER_IN_PLACE,
    EventType.REOPENING,
)


@FEW
@given(
    st.lists(
        st.tuples(
            st.sampled_from(STATUS_TYPES),
            st.sampled_from(SITES[:4]),
            st.integers(1, 5),
            st.sampled_from(("site_manager", "rh")),
            st.booleans(),
            st.booleans(),
        ),
        min_size=2,
        max_size=9,
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_arrival_does_not_change_the_status_of_sites(
    said: list[tuple[EventType, str, int, str, bool, bool]], shuffle: Any
) -> None:
    """D7: state is ordered by occurred_at.

    Stated exceptions: a reopening without `lifts`, silent sites (by recorded_at), levels and
    incidents (known at their time), the newest count of a day or expected end among equal times.
    """
    lifts = {
        False: (EventType.CLOSURE, EventType.OUTAGE_POWER),
        True: (EventType.EVACUATION, EventType.SHELTER_IN_PLACE, EventType.CLOSURE),
    }
    tomorrow = (Window(start=Scene().at(1440), end=Scene().at(1500)),)
    messages = [
        {
            "type": t.value,
            "site": site,
            "occurred": float(n),
            "severity": severity,
            "source": source,
            "lifts": lifts[which],
            "id": f"r{n}",
            "effective": tomorrow if announced and t is not EventType.REOPENING else (),
        }
        for n, (t, site, severity, source, which, announced) in enumerate(said)
    ]

    def shown(order: list[dict[str, Any]]) -> dict[str, Any]:
        scene = Scene()
        for n, message in enumerate(order):
            values = dict(message)
            scene.report(20 + n, values.pop("type"), values.pop("site"), **values)
        return {
            id: (
                row.status,
                row.capacity_pct,
                row.flags,
                {
                    (c.type, c.planned, c.since, c.severity, c.loss_pct, frozenset(c.sources))
                    for c in row.causes
                },
            )
            for id, row in scene.state.sites.items()
        }

    permuted = list(messages)
    shuffle.shuffle(permuted)
    assert shown(permuted) == shown(messages)


PAYROLL: dict[str, dict[str, Any]] = {
    "down": {
        "type": "outage_it",
        "severity": 4,
        "capacity_lost_pct": 100,
        "measure": Measure(object="system:paie"),
    },
    "degraded": {
        "type": "outage_it",
        "severity": 3,
        "capacity_lost_pct": 40,
        "measure": Measure(object="system:paie"),
    },
    "up": {
        "type": "info",
        "severity": 1,
        "measure": Measure(name="system_restored", value=True, object="system:paie"),
    },
}


@FEW
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(PAYROLL)), st.sampled_from(("supervision", "cellule_si"))),
        min_size=2,
        max_size=6,
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_arrival_does_not_change_the_start_of_an_outage(
    said: list[tuple[str, str]], shuffle: Any
) -> None:
    """D7. The end of an outage is exempt: a return that arrives first has stopped the clocks."""
    messages = [
        PAYROLL[value] | {"source": source, "occurred": float(n), "id": f"r{n}"}
        for n, (value, source) in enumerate(said)
    ]

    def shown(order: list[dict[str, Any]]) -> tuple[Any, int | None]:
        scene = Scene()
        for n, message in enumerate(order):
            values = dict(message)
            scene.report(20 + n, values.pop("type"), **values)
        flag = scene.state.flags["system:paie"]
        return flag.value, None if flag.value == "up" else flag.since

    permuted = list(messages)
    shuffle.shuffle(permuted)
    assert shown(permuted) == shown(messages)


@settings(FEW, max_examples=12)
@given(st.lists(st.tuples(reports(), st.booleans(), st.integers(0, 120)), min_size=1, max_size=7))
def test_no_unanswered_escalation_stops_calling(
    history: list[tuple[dict[str, Any], bool, int]],
) -> None:
    """D33, D35: each open incident with a level has an escalation.

    It calls, was acknowledged or called all people in vain, unless a person lowers or closes the
    incident.
    """
    scene, clock, ids = Scene(), 0.0, list[str]()
    for report, answered, wait in history:
        clock = _feed(scene, report, clock, ids)
        if answered and scene.state.open_incidents:
            scene.feed(
                AcknowledgeIncident(
                    incident=scene.state.open_incidents[-1], author="dgs", role="admin"
                )
            )
        clock += wait
        scene.step(clock)
        ladders = list(scene.state.escalations.values())
        assert all((row.state == "running") == (row.next_at is not None) for row in ladders)
        assert all(row.acknowledged_by for row in ladders if row.state == "answered")
        called = {
            i
            for row in ladders
            if row.state in ("running", "answered", "exhausted")
            for i in row.incidents
        }
        loud = {
            i
            for i in scene.state.open_incidents
            if scene.state.incidents[i].level and scene.state.incidents[i].quiet is None
        }
        assert loud <= called
    planned = [f.notification for f in scene.facts if isinstance(f, NotificationPlanned)]
    assert len(planned) == len(set(planned)), "nobody is called twice by one call"


MATTERS = {
    ("outage_power", None): ("sst-06", "cen-4", "cen-5"),
    ("outage_water", "network:nord"): ("sst-13", "pmi-03"),
    ("outage_water", "network:sud"): ("pmi-28", "ase-05"),
    ("outage_it", "system:paie"): ("sst-12", "pmi-39"),
    ("outage_it", "system:courrier"): ("ase-04", "gym-03"),
    ("gas_leak", None): ("sst-07", "pmi-01"),
    ("security_incident", None): ("sst-05", "pmi-20"),
}
"""Sites hit by (type, cause).

No family here absorbs reports of another, and the cuts are in one commune within an hour.
"""
HITS = [(*matter, site) for matter, sites in MATTERS.items() for site in sites]


@FEW
@given(
    st.lists(st.tuples(st.sampled_from(HITS), st.integers(1, 5)), min_size=2, max_size=10),
    st.randoms(use_true_random=False),
)
def test_the_order_of_arrival_does_not_change_the_correlation(
    said: list[tuple[Any, int]], shuffle: Any
) -> None:
    """D22, D24: one incident per shared cause in any order of arrival.

    Stated exceptions: absorption only by an existing or young incident (a flood, a cut, a fire;
    the cluster of a cut after its hour), and causes that join the gravest or the single incident
    of that moment (D23).
    """
    messages = [
        {
            "type": type,
            "site": site,
            "occurred": float(n),
            "severity": severity,
            "measure": cause and Measure(object=cause),
            "id": f"r{n}",
        }
        for n, ((type, cause, site), severity) in enumerate(said)
    ]

    def together(order: list[dict[str, Any]]) -> set[tuple[str, str, frozenset[str]]]:
        scene = Scene()
        for n, message in enumerate(order):
            values = dict(message)
            scene.report(20 + n, values.pop("type"), values.pop("site"), **values)
        groups: dict[str, set[str]] = {}
        for row in scene.state.reports.values():
            groups.setdefault(str(row.incident), set()).add(row.id)
        return {
            (i.kind, i.key, frozenset(reports))
            for id, reports in groups.items()
            for i in (scene.state.incidents[id],)
        }

    permuted = list(messages)
    shuffle.shuffle(permuted)
    assert together(permuted) == together(messages)
    causes = {(type, cause) for (type, cause, _site), _severity in said}
    assert len(together(messages)) == len(causes)


def _orange(phenomenon: str) -> tuple[str, None, dict[str, Any]]:
    return "weather_alert", None, {"phenomenon": phenomenon, "colour": "orange"}


def _ill(site: str, persons: float) -> tuple[str, str, dict[str, Any]]:
    measure = Measure(name="ill_persons", value=persons, unit="personnes", scope="site")
    return "sanitary_alert", site, {"measure": measure}


def _notice(source: str, *days: int) -> tuple[str, None, dict[str, Any]]:
    return (
        "info",
        None,
        {
            "source": source,
            "measure": Measure(name="strike_notice", value=True),
            "effective": tuple(
                Window(start=Scene().at(1440 * day), end=Scene().at(1440 * day + 600))
                for day in days
            ),
        },
    )


def _level(metres: float) -> tuple[str, None, dict[str, Any]]:
    station = "station:paris-austerlitz"
    measure = Measure(name="river_level", value=metres, unit="m", object=station)
    return "flood_level", None, {"measure": measure}


FAMILIES: dict[str, tuple[tuple[str, str | None, dict[str, Any]], ...]] = {
    "fire, one site": (("fire", "sst-06", {}), ("fire", "sst-06", {"source": "pompiers"})),
    "fire, another site": (("fire", "pmi-20", {}),),
    "kitchen of the south": (
        _ill("clg-0921243B", 5),
        _ill("clg-0921786S", 9),
        ("supplier_failure", "clg-0921507N", {}),
        ("supplier_failure", None, {"measure": Measure(object="supplier:cuisine-centrale-sud")}),
    ),
    "kitchen of the north": (
        _ill("clg-0922565N", 5),
        ("supplier_failure", "clg-0921547G", {}),
    ),
    "absence, PMI": (("staff_shortage", "pmi-01", {}), ("staff_shortage", "pmi-02", {})),
    "absence, collèges": (("staff_shortage", "clg-0921868F", {}),),
    "wind": (_orange("vent"),),
    "heat": (_orange("canicule"),),
    "flood": (_orange("crues"), _level(4.8), _level(4.9)),
}
"""Family with its key → its reports. No family absorbs reports of another.

Two fires in communes far from each other, a river too low to cut the mains.
"""
CALLED_FAMILIES: dict[str, tuple[tuple[str, str | None, dict[str, Any]], ...]] = {
    "strike today": (_notice("rh"), _notice("organisations_syndicales")),
    "strike tomorrow": (_notice("rh", 1),),
    "strike in two days": (_notice("rh", 2),),
    "snow": (_orange("neige-verglas"),),
    "security": (
        ("security_incident", "sst-05", {}),
        ("security_incident", None, {"commune": "92050", "source": "police"}),
    ),
    "gas": (("gas_leak", "sst-07", {}), ("gas_leak", "pmi-01", {})),
}
"""Families beside a strike and snow, which absorb absences."""


@FEW
@given(st.data(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_change_the_incidents_of_any_family(
    data: st.DataObject, shuffle: Any
) -> None:
    """D22, D24: one incident for each key, as grave, with the same sites, and somebody called.

    Stated exceptions: those of the test of the correlation. A level that incidents reach together
    (D32) goes to one of those that have arrived.
    """
    families = data.draw(st.sampled_from((FAMILIES, CALLED_FAMILIES)))
    names = data.draw(st.lists(st.sampled_from(tuple(families)), min_size=2, max_size=8))
    messages = [
        (f"r{n}", float(3 * n), data.draw(st.sampled_from(families[name])))
        for n, name in enumerate(names)
    ]

    def together(order: list[Any]) -> tuple[dict[tuple[Any, ...], Level], bool]:
        scene = Scene()
        for n, (id, occurred, (type, site, values)) in enumerate(order):
            scene.report(40 + n, type, site, occurred=occurred, id=id, **values)
        ladders = scene.state.escalations.values()
        called = {id for ladder in ladders if ladder.state == "running" for id in ladder.incidents}
        assert {incident.id for incident in scene.incidents()} <= called
        groups: dict[str, set[str]] = {}
        for id, _, _ in messages:
            groups.setdefault(scene.incident_of(id).id, set()).add(id)
        is_common = any(w.metric == "sites_hit" for i in scene.incidents() for w in i.why)
        levels = {
            (i.kind, i.key, i.severity, i.danger, i.members, frozenset(groups[i.id])): i.level
            for i in scene.incidents()
        }
        return levels, is_common

    permuted = list(messages)
    shuffle.shuffle(permuted)
    (levels, is_common), (other_levels, is_other_common) = together(permuted), together(messages)
    assert levels.keys() == other_levels.keys()
    assert levels == other_levels or is_common or is_other_common
    assert len(levels) == len(set(names))


def _attack(name: str, source: str, object: str | None = None) -> dict[str, Any]:
    return {"source": source, "measure": Measure(name=name, value=True, object=object)}


ATTACK: tuple[tuple[str, str | None, dict[str, Any]], ...] = (
    ("outage_it", "sit-01", _attack("edr_critical", "edr", "system:ad")),
    ("outage_it", None, _attack("ciso_declaration", "rssi")),
    ("outage_it", "sst-12", {}),
    ("outage_it", None, {"commune": "92050"}),
    ("outage_it", None, {"measure": Measure(object="system:ad")}),
    ("outage_it", "sit-02", _attack("edr_critical", "edr", "system:sirh")),
)
"""Reports of a cyberattack, and of outages beside it that name its system or none."""


@FEW
@given(st.permutations(range(len(ATTACK))), st.integers(0, 1))
def test_the_order_of_arrival_does_not_change_a_cyberattack(order: list[int], courier: int) -> None:
    """D22, D24: all attacks and outages without a named system are one, another system is not."""
    scene = Scene()
    for n in order:
        type, site, values = ATTACK[n]
        scene.report(40 + order.index(n), type, site, occurred=float(3 * n), id=f"r{n}", **values)
        if n == courier:
            other = Measure(object="system:courrier")
            scene.report(40 + order.index(n), "outage_it", "ase-04", measure=other, id="other")
    reports = {scene.incident_of(f"r{n}").id for n in range(len(ATTACK))}
    assert len(reports) == 1
    assert scene.incident_of("r0").key in ("ad", "sirh")
    assert len(scene.incidents()) == 2


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.one_of(st.none(), st.integers(0, 20)))))
def test_the_agenda_gives_the_earliest_deadline_after_any_history(
    steps: list[tuple[str, int | None]],
) -> None:
    agenda, model = Deadlines(), dict[str, int]()
    for key, due in steps:
        agenda = agenda.arm(key, due)
        model.pop(key, None)
        if due is not None:
            model[key] = due
        earliest = min(((d, k) for k, d in model.items()), default=None)
        assert agenda.first() == (None if earliest is None else Deadline(*earliest))
    assert agenda.due == Map(model)


def test_a_scenario_replayed_from_its_log_and_from_any_dump_is_the_same() -> None:
    play, decider = scenario("S04"), AlertsDecider()
    scene = Scene(start=play.start, check=True)
    for n, event in enumerate(play.events):
        scene.feed(report_of(event), at=event.reported_at, id=event.id)
        if n % 15 == 0:
            loaded = decider.load(scene.realm, scene.realm, decider.dump(scene.state))
            assert loaded == scene.state
            assert _indexes(loaded) == _indexes(scene.state)


def test_the_cost_of_a_report_does_not_grow_with_the_reports_before_it() -> None:
    """Counted in facts and bytes: one report on its own site writes a constant amount."""
    scene = Scene()
    sizes = []
    for n in range(400):
        scene.feed(StepTo(), at=scene.at(n * 3))
        scene.report(n * 3, "info", "par-05", severity=1)
        sizes.append(len(scene.service.log.of(scene.realm)[-1].raw))
    assert max(sizes[10:]) - min(sizes[10:]) < 40
    assert scene.state.agenda.first() is None


def test_a_live_realm_forgets_items_beyond_reference() -> None:
    """D4, D26: ids for 7 days, or while their incident is open and 72 h after.

    The log keeps everything.
    """
    scene, day = Scene(realm="92", check=True), 24 * 60
    old = scene.report(0, "info", "par-01", severity=1)
    closed = scene.report(1, "closure", "pmi-04", severity=2)
    still = scene.report(2, "closure", "sst-13", severity=2)
    scene.report(60, "reopening", "pmi-04", lifts=(EventType.CLOSURE,), severity=1)
    incident = scene.incident_of(closed)
    scene.command(
        ResolveIncident(author="c", role="coordinator", incident=incident.id, reason="text:x"), 61
    )

    scene.report(8 * day - 5, "info", "par-02", severity=1)
    assert {old, closed, still} <= set(scene.state.reports)
    scene.report(8 * day + 5, "info", "par-02", severity=1)
    assert old not in scene.state.reports
    assert closed in scene.state.reports, "its incident may still take a late report"
    scene.report(12 * day, "info", "par-02", severity=1)
    assert closed not in scene.state.reports
    assert incident.id not in scene.state.incidents
    assert still in scene.state.reports, "its incident is open"
    assert scene.status("sst-13") == "closed"
    assert not any(
        c.notification in scene.state.calls
        for c in scene.named(NotificationPlanned)
        if c.incident == incident.id
    )


def test_a_finished_simulated_realm_has_no_deadline() -> None:
    scene = Scene()
    scene.report(0, "info", "par-01", severity=1)
    assert scene.service.next_due(scene.realm) is None


def test_the_newest_report_gives_the_presence_of_a_day_in_any_order_of_reading() -> None:
    scene = Scene()
    first = scene.report(0, "staff_shortage", "cen-2", capacity_lost_pct=0.0)
    scene.report(
        10,
        "staff_shortage",
        "cen-2",
        capacity_lost_pct=0.0,
        msg_type=MsgType.CANCEL,
        references=(first,),
    )
    scene.report(20, "staff_shortage", "cen-2", capacity_lost_pct=30.0)
    causes = list(scene.state.causes.values())
    assert len(causes) == 2, "the second begins after the first was over"
    presences = []
    for order in (causes, causes[::-1]):
        state = Scene().state
        for cause in order:
            state = evolve_cause(state, cause)
        presences.append(state.presence)
    assert presences[0] == presences[1] == scene.state.presence
    [[presence_values]] = [day.values() for day in presences[0].values()]
    assert max(presence_values.values()).pct == 70.0
