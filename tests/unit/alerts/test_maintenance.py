"""Maintenance (D64) and consequences of a known cause (D65) are shown without calls.

Danger to people is never covered.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from schemas.alerts import AttentionRequested as Asked
from schemas.alerts import LevelChanged, MetricChanged
from schemas.base import MINUTE_MS, Command
from schemas.calling import EscalationChanged, NotificationPlanned, NotificationWithdrawn
from schemas.commands import (
    MergeIncidents,
    ReopenIncident,
    ResolveIncident,
    SetLevel,
    SplitIncident,
)
from schemas.crisis.maintenance import (
    ChangeMaintenance,
    Coverage,
    EndMaintenance,
    MaintenanceChanged,
    PagingWithheld,
    PlanMaintenance,
)
from schemas.matchers import Matcher
from schemas.reports import Measure
from schemas.runtime import CommandApplied, CommandRefused, DeadlineFailed
from schemas.words import EventType, Level
from services.alerts.decider import AlertsDecider
from tests.shipped import territory
from tests.unit.alerts.scene import PARIS, Scene

COLLEGE, OTHER, PMI = "clg-0921353W", "par-05", "pmi-04"


@pytest.fixture
def scene() -> Scene:
    return Scene()


def _plan(
    scene: Scene,
    minute: float,
    until: float,
    *,
    since: float | None = None,
    rrule: str | None = None,
    **covers: Any,
) -> str:
    coverage_fields: dict[str, Any] = {name: tuple(values) for name, values in covers.items()}
    command = PlanMaintenance(
        author="coord-pca",
        role="coordinator",
        reason="text:works",
        covers=Coverage(**coverage_fields),
        rrule=rrule,
        starts_at=scene.at(minute if since is None else since),
        ends_at=scene.at(until),
    )
    answer = scene.command(command, minute)
    assert isinstance(answer, CommandApplied), answer
    return str(answer.result["window"])


def _refusal(scene: Scene, command: Command, minute: float = 0) -> tuple[int, str]:
    answer = scene.command(command, minute)
    assert isinstance(answer, CommandRefused), answer
    return answer.status, answer.code


def _find_commune(site: str) -> str:
    return next(s.commune for s in territory().sites if s.id == site)


def _calls(scene: Scene) -> list[NotificationPlanned]:
    return scene.named(NotificationPlanned)


def _who(**values: Any) -> dict[str, Any]:
    return {"author": "coord-pca", "role": "coordinator", **values}


# ── in the picture, nobody is called ───────────────────────────────────────────────────────────────────────────────


def test_a_report_inside_a_window_is_shown_without_calls(scene: Scene) -> None:
    window = _plan(scene, 0, 240, sites=[COLLEGE])
    report = scene.report(10, "outage_power", COLLEGE, severity=4, capacity_lost_pct=100)
    scene.step(120)

    site = scene.site(COLLEGE)
    (cause,) = site.causes
    assert (site.status, cause.maintenance) == ("closed", (window,))
    assert "maintenance" in site.flags
    assert [w.code for w in site.why][-1] == "D64"
    incident = scene.incident_of(report)
    assert (incident.state, incident.level, incident.quiet) == ("open", 0, "maintenance")
    assert [(w.code, w.args["by"]) for w in incident.why] == [("D64", [window])]
    assert "maintenance" in scene.state.reports[report].flags
    assert not _calls(scene)
    assert not scene.named(EscalationChanged)
    assert not scene.named(LevelChanged)
    assert [(f.incident, f.quiet, f.by) for f in scene.named(PagingWithheld)] == [
        (incident.id, "maintenance", (window,))
    ]


def test_the_end_of_a_window_with_the_cause_still_open_calls(scene: Scene) -> None:
    _plan(scene, 0, 240, sites=[COLLEGE])
    report = scene.report(10, "outage_power", COLLEGE, severity=4, capacity_lost_pct=100)
    scene.step(239)
    assert not _calls(scene)

    scene.step(240)
    incident = scene.incident_of(report)
    assert incident.quiet is None
    assert incident.level >= 2, "severity 4 from the field"
    assert {c.incident for c in _calls(scene)} == {incident.id}
    assert min(c.planned_at for c in _calls(scene)) == scene.at(240)
    assert scene.site(COLLEGE).causes[0].maintenance == ()
    assert "maintenance" not in scene.site(COLLEGE).flags


def test_maintenance_finished_in_time_ends_without_calls(scene: Scene) -> None:
    _plan(scene, 0, 240, sites=[COLLEGE])
    scene.report(10, "outage_power", COLLEGE, severity=4)
    scene.report(200, "reopening", COLLEGE, severity=1, lifts=(EventType.OUTAGE_POWER,))
    scene.step(600)
    assert not _calls(scene)
    assert scene.status(COLLEGE) == "normal"


def test_planned_works_on_many_sites_raise_no_level_and_hold_no_trigger(scene: Scene) -> None:
    """D29: three affected sites of one pôle are N2; planned ones are not affected.

    60 sites end in batches, each a Transaction of its own size.
    """
    sites = [s.id for s in territory().sites if s.kind == "college"][:60]
    _plan(scene, 0, 120, kinds=["college"], types=[EventType.OUTAGE_POWER])
    for n, site in enumerate(sites):
        scene.report(1 + n / 100, "outage_power", site, capacity_lost_pct=100)
    scene.step(119)
    assert scene.state.level() == 0
    assert not scene.state.triggers
    assert not scene.state.counts

    scene.step(121)
    assert scene.state.level() >= 2
    assert sum("hit" in marks for marks in scene.state.marks.values()) == 60
    assert not scene.named(DeadlineFailed)
    assert not [c for c in scene.state.causes.values() if c.maintenance]


def test_planned_works_make_no_neighbour_silent_until_they_last_too_long(scene: Scene) -> None:
    """Works at three sites made 28 others of the commune «sans nouvelles», with a task for each."""
    sites = [site.id for site in territory().sites if site.commune == "92050"]
    _plan(scene, 0, 120, sites=sites[:3])
    for n, site in enumerate(sites[:3]):
        scene.report(1 + n, "outage_power", site, capacity_lost_pct=100)
    scene.step(119)
    assert not scene.state.silences
    assert not scene.state.tasks
    scene.step(149)
    assert not scene.state.silences, "30 minutes from the end of the works"
    scene.step(150)
    assert {scene.status(site) for site in sites[3:]} == {"unknown"}
    managers = {call.scope for call in _calls(scene) if call.template == "verify_request"}
    assert managers == set(sites[3:])


def test_damage_by_planned_works_holds_no_trigger_of_violence(scene: Scene) -> None:
    """Uncovered damage beside an attack in one commune is PT-VIOLENCES and N2."""
    sites = [s.id for s in territory().sites if s.commune == "92050" and s.kind != "site_central"][
        :4
    ]
    _plan(scene, 0, 120, types=[EventType.DAMAGE_REPORT])
    scene.report(0, "security_incident", sites[0])
    for n, site in enumerate(sites[1:]):
        scene.report(1 + n, "damage_report", site)
    scene.step(119)
    assert (scene.state.level(), dict(scene.state.triggers), len(scene.state.security)) == (
        1,
        {},
        1,
    )
    scene.step(121)
    assert scene.state.level() == 2
    assert scene.state.triggers["PT-VIOLENCES:2"].state == "held"


def test_a_planned_isolation_takes_no_system_down(scene: Scene) -> None:
    _plan(scene, 0, 120, types=[EventType.OUTAGE_IT])
    scene.report(
        5,
        "outage_it",
        "sit-01",
        severity=4,
        capacity_lost_pct=100,
        measure=Measure(name="total_isolation", value=True, object="system:*"),
    )
    scene.step(119)
    assert not scene.state.triggers
    scene.step(121)
    assert scene.state.triggers["PCA-rh_finances:0"].state == "held"


@pytest.mark.parametrize(
    ("type", "severity"),
    [
        ("fire", 3),
        ("evacuation", 3),
        ("gas_leak", 2),
        ("shelter_in_place", 3),
        ("security_incident", 3),
        ("outage_power", 5),
    ],
)
def test_danger_to_people_and_severity_5_are_never_covered(
    scene: Scene, type: str, severity: int
) -> None:
    _plan(scene, 0, 240, sites=[COLLEGE])
    report = scene.report(10, type, COLLEGE, severity=severity)
    assert scene.incident_of(report).quiet is None
    assert _calls(scene), "somebody is called"


def test_people_falling_ill_on_a_site_under_maintenance_are_not_covered(scene: Scene) -> None:
    """Forty ill people were N0, without a call."""
    _plan(scene, 0, 240, sites=[COLLEGE])
    scene.report(10, "outage_power", COLLEGE, severity=4)
    assert scene.state.level() == 0
    ill = Measure(name="ill_persons", value=40.0, unit="persons", scope="site")
    report = scene.report(20, "sanitary_alert", COLLEGE, severity=4, measure=ill)
    assert (scene.incident_of(report).quiet, scene.state.level()) == (None, 2)
    assert _calls(scene)


def test_a_danger_on_a_site_under_maintenance_starts_the_calls_of_its_incident(
    scene: Scene,
) -> None:
    _plan(scene, 0, 240, sites=[COLLEGE])
    scene.report(10, "outage_heating", COLLEGE)
    fire = scene.report(20, "fire", COLLEGE, severity=4)
    assert scene.incident_of(fire).quiet is None
    assert any(c.danger and c.incident == scene.incident_of(fire).id for c in _calls(scene))


def test_grave_maintenance_trouble_is_no_longer_covered(scene: Scene) -> None:
    _plan(scene, 0, 240, sites=[COLLEGE])
    report = scene.report(10, "outage_power", COLLEGE)
    assert not _calls(scene)
    scene.report(20, "outage_power", COLLEGE, severity=5, source="enedis")
    assert scene.incident_of(report).quiet is None
    assert _calls(scene)


def test_an_uncovered_report_starts_the_calls_of_the_same_cause(scene: Scene) -> None:
    """Every report of a cause must be covered: a silenced probe does not silence the site's manager."""
    _plan(scene, 0, 240, sources=["supervision"])
    scene.report(10, "outage_it", COLLEGE, source="supervision")
    assert not _calls(scene)
    scene.report(20, "outage_it", COLLEGE, source="site_manager")
    assert scene.site(COLLEGE).causes[0].maintenance == ()
    assert _calls(scene)


# ── what a window covers ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("covers", "covered"),
    [
        ({"sites": [COLLEGE]}, True),
        ({"sites": [OTHER]}, False),
        ({"kinds": ["college"]}, True),
        ({"kinds": ["parc"]}, False),
        ({"types": [EventType.OUTAGE_IT]}, True),
        ({"types": [EventType.OUTAGE_POWER]}, False),
        ({"sources": ["supervision"]}, True),
        ({"sources": ["src-1"]}, True),
        ({"sources": ["rh"]}, False),
        ({"sites": [COLLEGE], "types": [EventType.OUTAGE_POWER]}, False),
        ({"matchers": [Matcher(name="alertname", value="Down")]}, True),
        ({"matchers": [Matcher(name="alertname", value="Do.*", regex=True)]}, True),
        ({"matchers": [Matcher(name="alertname", value="ow", regex=True)]}, False),
        (
            {
                "sources": ["supervision"],
                "matchers": [Matcher(name="alertname", value="Down", equal=False)],
            },
            False,
        ),
        ({"sources": ["supervision"], "matchers": [Matcher(name="env", value="")]}, True),
        (
            {
                "sources": ["supervision"],
                "matchers": [Matcher(name="env", value=".+", regex=True, equal=False)],
            },
            True,
        ),
        (
            {
                "matchers": [
                    Matcher(name="alertname", value="Down"),
                    Matcher(name="env", value="prod"),
                ]
            },
            False,
        ),
    ],
)
def test_every_condition_of_a_window_must_hold(
    scene: Scene, covers: dict[str, Any], covered: bool
) -> None:
    _plan(scene, 0, 60, **covers)
    report = scene.report(
        1,
        "outage_it",
        COLLEGE,
        source="supervision",
        source_key="src-1",
        labels={"alertname": "Down"},
    )
    assert (scene.incident_of(report).quiet == "maintenance") is covered
    assert bool(_calls(scene)) is not covered


def test_a_cause_without_a_site_is_covered_too(scene: Scene) -> None:
    _plan(scene, 0, 60, sources=["supervision"])
    report = scene.report(
        1,
        "outage_it",
        source="supervision",
        measure=Measure(object="system:messagerie"),
        capacity_lost_pct=100,
    )
    assert scene.incident_of(report).quiet == "maintenance"
    assert scene.state.flags["system:messagerie"].maintenance
    scene.step(61)
    assert scene.incident_of(report).quiet is None
    assert not scene.state.flags["system:messagerie"].maintenance
    assert _calls(scene)


# ── before, during, after ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_window_over_a_running_incident_ends_its_escalation_until_the_window_ends(
    scene: Scene,
) -> None:
    report = scene.report(0, "outage_power", COLLEGE)
    called = len(_calls(scene))
    assert called
    _plan(scene, 5, 60, sites=[COLLEGE])
    scene.step(6)
    incident = scene.incident_of(report)
    assert incident.quiet == "maintenance"
    (ladder,) = [e for e in scene.state.escalations.values() if e.scope == incident.id]
    assert ladder.state == "ended"
    assert {f.why for f in scene.named(NotificationWithdrawn)} == {"maintenance"}
    scene.step(59)
    assert len(_calls(scene)) == called

    scene.step(60)
    assert len(_calls(scene)) > called
    assert scene.incident_of(report).level == incident.level


def test_a_cut_covered_by_a_later_window_is_not_restored(scene: Scene) -> None:
    scene.report(0, "outage_power", COLLEGE)
    _plan(scene, 5, 60, sites=[COLLEGE])
    scene.step(6)
    assert not scene.state.marks[COLLEGE]
    scene.step(60)
    scene.report(70, "reopening", COLLEGE, severity=1, lifts=(EventType.OUTAGE_POWER,))
    assert set(scene.state.marks[COLLEGE]) == {"lifted:outage_power"}


@pytest.mark.parametrize("late", [False, True])
def test_customers_cut_by_works_are_shown_alone_and_never_count(scene: Scene, late: bool) -> None:
    def figure(minute: float, source: str, customers: float, occurred: float) -> str:
        measure = Measure(name="customers_cut", value=customers, object="network:electricity")
        return scene.report(
            minute,
            "outage_power",
            zone=("92050",),
            severity=2,
            source=source,
            measure=measure,
            occurred=occurred,
        )

    _plan(scene, 0, 60, sources=["enedis"])
    planned = figure(5, "enedis", 25_000.0, 5)
    assert scene.incident_of(planned).customers_cut == 25_000, "in the picture"

    cut = scene.report(6, "outage_power", "pmi-05", severity=2, capacity_lost_pct=10)
    assert scene.incident_of(cut).id == scene.incident_of(planned).id
    assert scene.incident_of(planned).customers_cut is None
    figure(10, "rte", 400.0, 4 if late else 9)
    assert scene.incident_of(planned).customers_cut == 400
    scene.step(59)
    assert (scene.state.level(), dict(scene.state.triggers)) == (1, {})

    scene.step(61)
    assert scene.incident_of(planned).customers_cut == (25_000 if late else 400), (
        "the newest figure"
    )
    assert ("PT-ELEC:2" in scene.state.triggers) is late


def test_a_recurring_window_covers_each_of_its_nights_and_nothing_between(scene: Scene) -> None:
    first = datetime(2027, 2, 14, 22, tzinfo=PARIS)
    scene = Scene(
        start=int(first.timestamp() * 1000), opened=int(first.timestamp() * 1000) - 60 * MINUTE_MS
    )
    day, night = 24 * 60, 8 * 60
    window = _plan(scene, -30, night, since=0, rrule="FREQ=WEEKLY;BYDAY=SU", sites=[COLLEGE])
    assert scene.state.maintenance[window].state == "planned"
    scene.report(60, "outage_it", COLLEGE)
    scene.report(120, "reopening", COLLEGE, severity=1, lifts=(EventType.OUTAGE_IT,))
    scene.step(night)
    assert scene.state.maintenance[window].state == "planned"
    assert not _calls(scene)
    scene.report(7 * day + 60, "outage_it", PMI)
    calls = len(_calls(scene))
    assert calls, "another site is not covered"
    scene.report(7 * day + 61, "outage_power", COLLEGE, severity=3)
    assert scene.site(COLLEGE).causes[0].maintenance == (window,)
    assert len(_calls(scene)) == calls
    assert [f.change for f in scene.named(MaintenanceChanged) if f.change != "sweep"] == [
        "planned",
        "begun",
        "paused",
        "begun",
    ]


def test_ending_a_window_early_calls_for_open_causes(scene: Scene) -> None:
    window = _plan(scene, 0, 240, sites=[COLLEGE])
    report = scene.report(10, "outage_power", COLLEGE)
    answer = scene.command(EndMaintenance(**_who(window=window, expected=0)), 30)
    assert isinstance(answer, CommandApplied)
    scene.step(31)
    row = scene.state.maintenance[window]
    assert (row.state, row.over_by, row.over_at, row.version) == (
        "over",
        "coord-pca",
        scene.at(30),
        1,
    )
    assert scene.incident_of(report).quiet is None
    assert _calls(scene)


def test_changing_a_window_covers_its_new_scope(scene: Scene) -> None:
    window = _plan(scene, 0, 240, sites=[COLLEGE])
    scene.report(10, "outage_power", COLLEGE)
    new = ChangeMaintenance(
        **_who(
            window=window,
            covers=Coverage(sites=(OTHER,)),
            starts_at=scene.at(0),
            ends_at=scene.at(300),
            expected=0,
        )
    )
    assert isinstance(scene.command(new, 20), CommandApplied)
    scene.step(21)
    assert scene.site(COLLEGE).causes[0].maintenance == ()
    assert _calls(scene)
    assert _refusal(scene, new, 22) == (412, "version_conflict")


def test_alarms_of_activities_wait_with_their_incident(scene: Scene) -> None:
    """D44: an RTO consumed by maintenance is shown without a call; its value holds no predicate."""
    _plan(scene, 0, 240, sites=[COLLEGE])
    report = scene.report(10, "outage_power", COLLEGE)
    incident = scene.incident_of(report).id
    scene.feed(
        Asked(
            code="alarm",
            roles=("dgs_directeur_de_crise",),
            base="rto",
            pct=80,
            activity="EDU-01",
            incident=incident,
        )
    )
    assert not _calls(scene)
    assert scene.named(PagingWithheld)[-1].roles == ("dgs_directeur_de_crise",)
    key = next(m.key for m in _continuity_leaves())
    scene.feed(MetricChanged(key=key, value=500.0, at=scene.at(20), reports=(report,)))
    assert scene.state.level() == 0
    scene.step(240)
    assert scene.state.level() > 0


def _continuity_leaves() -> list[Any]:
    from schemas.predicates import list_measured

    return [
        m
        for level in territory().policy.levels
        for m in list_measured(level.when)
        if m.metric == "activity_rto_pct"
    ]


def test_merging_a_calling_incident_into_maintenance_calls_once(scene: Scene) -> None:
    _plan(scene, 0, 240, sites=[COLLEGE])
    works = scene.incident_of(scene.report(10, "outage_it", COLLEGE))
    loud = scene.incident_of(scene.report(11, "damage_report", PMI, severity=4))
    assert works.id != loud.id
    before = len(_calls(scene))
    assert isinstance(
        scene.command(
            MergeIncidents(**_who(incident=loud.id, into=works.id, reason="text:why")), 12
        ),
        CommandApplied,
    )
    assert scene.state.incidents[works.id].quiet is None
    called = [c.person for c in _calls(scene)[before:]]
    assert called
    assert len(set(called)) == len(called)


def test_maintenance_split_off_a_calling_incident_stays_quiet(scene: Scene) -> None:
    _plan(scene, 0, 240, sites=[COLLEGE])
    loud = scene.report(9, "outage_power", PMI, capacity_lost_pct=100)
    works = scene.report(10, "outage_power", COLLEGE, capacity_lost_pct=100)
    scene.command(
        MergeIncidents(
            **_who(
                incident=scene.incident_of(works).id,
                into=scene.incident_of(loud).id,
                reason="text:why",
            )
        ),
        11,
    )
    both = scene.incident_of(loud)
    assert scene.incident_of(works).id == both.id
    answer = scene.command(
        SplitIncident(**_who(incident=both.id, reports=(works,), reason="text:why")), 12
    )
    assert isinstance(answer, CommandApplied), answer
    assert scene.incident_of(works).quiet == "maintenance"
    assert scene.incident_of(loud).quiet is None


# ── refusals ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"covers": Coverage()}, (409, "window_covers_all")),
        (
            {"covers": Coverage(matchers=(Matcher(name="env", value="prod", equal=False),))},
            (409, "window_covers_all"),
        ),
        ({"covers": Coverage(types=(EventType.FIRE,))}, (409, "window_danger")),
        ({"covers": Coverage(sites=("nowhere",))}, (404, "site_not_found")),
        ({"ends_at": 5}, (409, "window_empty")),
        ({"starts_at": 1, "ends_at": 2}, (409, "window_past")),
        ({"rrule": "FREQ=MONTHLY", "ends": 60 * 24 * 40}, (409, "window_too_long")),
        ({"role": "observer"}, (403, "role_not_allowed")),
        ({"role": "source"}, (403, "role_not_allowed")),
    ],
)
def test_an_impossible_window_is_refused(
    scene: Scene, values: dict[str, Any], expected: tuple[int, str]
) -> None:
    values = dict(values)
    ends = scene.at(values.pop("ends", 60))
    command_fields = (
        _who(covers=Coverage(sites=(COLLEGE,)), starts_at=scene.at(0), ends_at=ends) | values
    )
    assert _refusal(scene, PlanMaintenance(**command_fields)) == expected
    assert not scene.state.maintenance


def test_a_source_silences_its_own_alerts_and_sees_no_other_window(scene: Scene) -> None:
    own = PlanMaintenance(
        author="src-1",
        role="source",
        covers=Coverage(sources=("src-1",), matchers=(Matcher(name="a", value="b"),)),
        origin="alertmanager",
        starts_at=scene.at(0),
        ends_at=scene.at(60),
    )
    assert isinstance(scene.command(own, 0), CommandApplied)
    others = _plan(scene, 1, 60, sites=[COLLEGE])
    assert _refusal(scene, EndMaintenance(author="src-1", role="source", window=others), 2) == (
        404,
        "window_not_found",
    )


def test_an_ended_window_stays_ended(scene: Scene) -> None:
    window = _plan(scene, 0, 30, sites=[COLLEGE])
    scene.step(31)
    assert scene.state.maintenance[window].state == "over"
    assert _refusal(scene, EndMaintenance(**_who(window=window)), 32) == (409, "window_over")
    assert _refusal(scene, EndMaintenance(**_who(window="none")), 32) == (404, "window_not_found")


# ── inhibition (D65) ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_power_cut_explains_later_outages_on_its_site(scene: Scene) -> None:
    cut = scene.report(0, "outage_power", COLLEGE, capacity_lost_pct=100)
    calls = len(_calls(scene))
    heating = scene.report(5, "outage_water", COLLEGE, capacity_lost_pct=10)
    causes = {c.type: c for c in scene.site(COLLEGE).causes}
    assert causes[EventType.OUTAGE_WATER].inhibited_by == causes[EventType.OUTAGE_POWER].id
    assert scene.incident_of(heating).id != scene.incident_of(cut).id, "a network of its own"
    assert scene.incident_of(heating).quiet == "inhibited"
    assert scene.incident_of(heating).level >= 1, "it counts in the picture"
    assert len(_calls(scene)) == calls
    assert scene.named(PagingWithheld)[-1].quiet == "inhibited"


def test_a_consequence_outliving_its_cause_calls(scene: Scene) -> None:
    scene.report(0, "outage_power", COLLEGE)
    water = scene.report(5, "outage_water", COLLEGE)
    calls = len(_calls(scene))
    scene.report(30, "reopening", COLLEGE, severity=1, lifts=(EventType.OUTAGE_POWER,))
    assert scene.incident_of(water).quiet is None
    assert [c.incident for c in _calls(scene)[calls:]].count(scene.incident_of(water).id)


def test_a_consequence_reported_first_is_explained_afterwards(scene: Scene) -> None:
    water = scene.report(5, "outage_water", COLLEGE)
    assert _calls(scene)
    scene.report(8, "outage_power", COLLEGE, occurred=4)
    assert scene.incident_of(water).quiet == "inhibited"


@pytest.mark.parametrize(
    ("type", "values"),
    [
        ("outage_water", {"severity": 4}),  # graver than its cause
        ("outage_water", {"occurred": -60}),  # began long before it
        ("gas_leak", {}),  # danger
        ("damage_report", {}),  # not a consequence that the reference data name
    ],
)
def test_an_unexplained_trouble_calls(scene: Scene, type: str, values: dict[str, Any]) -> None:
    scene.report(0, "outage_power", COLLEGE)
    report = scene.report(5, type, COLLEGE, **values)
    assert scene.incident_of(report).quiet is None


@pytest.mark.parametrize("works", [True, False])
@pytest.mark.parametrize("alert_first", [True, False])
def test_an_official_declaration_beside_a_suppressed_cause_calls(
    scene: Scene, works: bool, alert_first: bool
) -> None:
    """A site without water for a known reason does not silence the water alert of its commune."""
    if works:
        _plan(scene, 0, 300, sites=[COLLEGE])
    else:
        scene.report(0, "outage_power", COLLEGE)
    alert = Measure(name="water_alert", value=True)
    commune = _find_commune(COLLEGE)
    water, warned = "", ""
    for minute, is_alert in ((5, alert_first), (8, not alert_first)):
        if is_alert:
            warned = scene.report(minute, "info", zone=(commune,), measure=alert)
        else:
            water = scene.report(minute, "outage_water", COLLEGE, capacity_lost_pct=10)
    incident = scene.incident_of(warned)
    assert incident.id == scene.incident_of(water).id
    assert (incident.quiet, incident.level) == (None, Level.N2)
    called = {c.person for c in _calls(scene) if c.incident == incident.id and c.answer_expected}
    assert {"ast-direction", "coord-pca", "ast-technique"} <= called
    assert not scene.named(NotificationWithdrawn)
    scene.report(
        60, "info", zone=(commune,), severity=1, measure=Measure(name="water_alert", value=False)
    )
    assert scene.incident_of(water).quiet == ("maintenance" if works else "inhibited")


def test_a_consequence_of_level_n3_sends_its_alarms_and_calls_when_reopened(scene: Scene) -> None:
    """D65: an explained trouble calls only from N3 on.

    An exceeded RTO on a central site informed no person.
    """
    network = scene.incident_of(scene.report(0, "outage_it", "cen-2", capacity_lost_pct=50)).id
    scene.report(5, "outage_power", "cen-2", severity=4, capacity_lost_pct=100)
    alarm = Asked(
        code="alarm",
        roles=("dgs_directeur_de_crise",),
        base="rto",
        pct=100,
        incident=network,
        activity="CPL-01",
    )

    def told(minute: float) -> int:
        before = len(scene.named(NotificationPlanned))
        scene.feed(alarm, at=scene.at(minute))
        return len(scene.named(NotificationPlanned)) - before

    assert (scene.state.incidents[network].quiet, told(6)) == ("inhibited", 0)
    scene.command(SetLevel(**_who(scope=network, level=Level.N3, reason="text:why")), 7)
    assert (scene.state.incidents[network].quiet, told(8)) == ("inhibited", 1)
    scene.command(ResolveIncident(**_who(incident=network, force=True, reason="text:why")), 9)
    withheld = len(scene.named(PagingWithheld))
    scene.command(ReopenIncident(**_who(incident=network, reason="text:why")), 10)
    assert len(scene.named(PagingWithheld)) == withheld
    assert network in scene.state.escalations[scene.state.ladders["territory"]].incidents


def test_a_computer_room_is_a_cause_of_its_own(scene: Scene) -> None:
    room = next(s.id for s in territory().sites if s.kind == "datacenter")
    scene.report(0, "outage_power", room)
    scene.report(5, "outage_it", room)
    assert not any(c.inhibited_by for c in scene.site(room).causes)


@pytest.mark.parametrize("update", [True, False])
def test_maintenance_stays_quiet_under_any_number_of_repeated_reports(update: bool) -> None:
    """A cause names 500 of its reports.

    The first report beyond them was not covered, raised the level and called people at night.
    """
    scene = Scene(check=False)
    scene.command(
        PlanMaintenance(
            author="c",
            role="coordinator",
            reason="text:x",
            covers=Coverage(sites=("cen-1",)),
            starts_at=scene.at(-10),
            ends_at=scene.at(600),
        ),
        -5,
    )
    first = scene.report(0, "outage_it", "cen-1", severity=4)
    more: dict[str, Any] = {"msg_type": "Update", "references": (first,)} if update else {}
    for n in range(510):
        scene.report(1 + n, "outage_it", "cen-1", severity=4, **more)
    (incident,) = scene.incidents()
    assert (incident.quiet, incident.level) == ("maintenance", 0)
    assert not scene.state.calls
    state = scene.state
    loaded = AlertsDecider().load(state.realm, state.lineage, AlertsDecider().dump(state))
    assert (loaded.voices, loaded.severities, loaded.hushed) == (
        state.voices,
        state.severities,
        state.hushed,
    )
    scene.step(601)
    assert scene.incidents()[0].quiet is None
    assert scene.state.calls, "at the end of the window what is open calls"


def test_a_window_silences_a_running_cause_of_any_number_of_reports() -> None:
    scene = Scene()
    first = scene.report(0, "outage_it", "cen-1", severity=3)
    for n in range(510):
        scene.report(
            1 + n, "outage_it", "cen-1", severity=3, msg_type="Update", references=(first,)
        )
    assert scene.incidents()[0].quiet is None
    covers = Coverage(sites=("cen-1",))
    scene.command(
        PlanMaintenance(
            author="c",
            role="coordinator",
            reason="text:x",
            covers=covers,
            starts_at=scene.at(511),
            ends_at=scene.at(900),
        ),
        511,
    )
    scene.step(512)
    assert scene.incidents()[0].quiet == "maintenance"
