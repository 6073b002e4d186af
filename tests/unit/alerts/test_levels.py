"""Levels N0–N4 rise at once, stay, fall by decision, and arm again by the margin (D27–D31)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from schemas.alerts import LevelChanged, MetricChanged, ThresholdChanged, TriggerChanged
from schemas.calling import NotificationPlanned
from schemas.commands import MergeIncidents, ResolveIncident, SetLevel
from schemas.predicates import metric_key
from schemas.reports import Measure, ReportReceived
from schemas.runtime import CommandApplied, CommandRefused
from schemas.words import Certainty, EventType, Level
from services.alerts.decider import AlertsDecider
from services.runtime.decider.protocol import Input
from services.runtime.process.settings import REPOSITORY
from tests.unit.alerts.scene import Scene

PMI, COLLEGES = "pmi-04", ("clg-0921353W", "clg-0920594W", "clg-0920882J", "clg-0921589C")


@pytest.fixture
def scene() -> Scene:
    return Scene()


def _river(scene: Scene, minute: float, level: float) -> None:
    measure = Measure(name="river_level", value=level, unit="m", object="station:paris-austerlitz")
    scene.report(minute, "flood_level", source="vigicrues", severity=2, measure=measure)


def _vigilance(scene: Scene, minute: float, colour: str, phenomenon: str = "canicule") -> None:
    scene.report(
        minute,
        "weather_alert",
        source="meteo_france",
        phenomenon=phenomenon,
        colour=colour,
        severity=2,
    )


def _lower(
    scene: Scene, minute: float, level: int, role: str = "dgs_directeur_de_crise", **more: Any
) -> Any:
    command_fields = {
        "author": "dgs",
        "role": role,
        "reason": "text:why",
        "scope": "territory",
        "level": Level(level),
    } | more
    return scene.command(SetLevel(**command_fields), minute)


@pytest.mark.parametrize(
    ("given", "level"),
    [
        ({"type": "closure", "site": "par-05", "severity": 2}, 1),
        ({"type": "closure", "site": PMI, "severity": 4}, 2),
        ({"type": "transport_disruption", "severity": 4}, 2),
        ({"type": "partial_closure", "site": "cen-2", "severity": 3, "capacity_lost_pct": 20}, 2),
        ({"type": "outage_it", "site": "sit-01", "severity": 5}, 3),
        ({"type": "closure", "site": "cen-2", "severity": 3}, 3),
        (
            {
                "type": "closure",
                "site": "cen-2",
                "severity": 5,
                "expected_duration_h": 72,
                "source": "pompiers",
            },
            4,
        ),
        ({"type": "weather_alert", "source": "meteo_france", "severity": 5}, 3),
        (
            {
                "type": "weather_alert",
                "source": "meteo_france",
                "phenomenon": "canicule",
                "colour": "rouge",
                "severity": 5,
            },
            3,
        ),
        ({"type": "flood_level", "source": "vigicrues", "severity": 5}, 3),
        ({"type": "security_incident", "source": "prefecture", "severity": 5}, 4),
        ({"type": "weather_alert", "source": "site_manager", "severity": 5}, 1),
        ({"type": "info", "site": "cen-1", "severity": 5}, 1),
        ({"type": "info", "site": "cen-1", "severity": 4}, 0),
    ],
)
def test_one_report_raises_the_level_of_the_policy(
    scene: Scene, given: dict[str, Any], level: int
) -> None:
    values = dict(given)
    scene.report(1, values.pop("type"), values.pop("site", None), **values)
    assert scene.state.level() == level


def test_three_sites_of_one_pole_are_n2_and_two_poles_with_three_out_are_n3(scene: Scene) -> None:
    for n, site in enumerate(COLLEGES[:3]):
        scene.report(n, "closure", site)
    assert scene.state.level() == 2
    for n, site in enumerate(("pmi-04", "pmi-05", "pmi-06")):
        assert scene.state.level() == 2
        scene.report(5 + n, "closure", site)
    assert scene.state.level() == 3
    reason = scene.state.levels["territory"].why[-1]
    assert (reason.metric, reason.value, reason.threshold, len(reason.reports)) == (
        "poles_out",
        2,
        2,
        6,
    )


def test_three_incidents_at_sites_of_one_pole_call_its_director(scene: Scene) -> None:
    """D32: the territory rose to N2 and no incident did, so that nobody was called."""
    ids = [scene.report(n, "closure", site) for n, site in enumerate(COLLEGES[:3])]
    incidents = [scene.incident_of(id) for id in ids]
    assert len({i.id for i in incidents}) == 3
    assert [i.level for i in incidents] == [Level.N2, Level.N1, Level.N1]
    assert incidents[0].why[-1].metric == "sites_hit"
    scene.step(60)
    called = {call.role for call in scene.named(NotificationPlanned)}
    assert "directeur_pole" in called


def test_preventive_closures_of_severity_two_are_not_out(scene: Scene) -> None:
    for n in range(1, 9):
        scene.report(n, "closure", f"par-0{n}", severity=2)
        scene.report(n, "closure", f"pmi-0{n}", severity=2)
    assert scene.state.level() == 1


@pytest.mark.parametrize(
    "place",
    [
        "docs/tutorial/first-five-minutes.md",
        "docs/how-to/post-reports.md",
        "services/cli/system/up.py",
    ],
)
def test_a_first_report_by_the_book_is_no_crisis(scene: Scene, place: str) -> None:
    """D72: N2 at most, with fewer than eight people called even without answers.

    Newcomers copy it from the tutorial, and from what `vigie up` shows.
    """
    command_match = re.search(r"\breport (--[^\"`\n]+)", (REPOSITORY / place).read_text())
    assert command_match is not None
    option = dict(re.findall(r"--(\S+) (\S+)", command_match[1]))
    scene.report(0, option["type"], option["site"], severity=int(option["severity"]))
    scene.step(300)
    assert scene.state.level() <= 2
    assert 0 < len({call.person for call in scene.named(NotificationPlanned)}) < 8


def test_closing_to_the_public_is_no_major_incident(scene: Scene) -> None:
    """D72: parks, gymnasiums and museums close as routine, but are not evacuated as routine."""
    for n, site in enumerate(
        ("par-05", "par-06", "par-07", "gym-01", "gym-02", "gym-03", "spo-01", "cul-01")
    ):
        scene.report(n, "closure" if n % 2 else "partial_closure", site, severity=4)
    assert scene.state.level() == 1
    assert scene.status("gym-01") == "closed"
    scene.report(20, "evacuation", "par-05", severity=4)
    assert scene.state.level() == 2


def test_a_level_held_by_a_merged_incident_blocks_lowering_its_target(scene: Scene) -> None:
    """D31: a trigger names the incident that made it hold, also when that was merged since."""
    cuts = [
        scene.report(n, "outage_power", site, severity=2, capacity_lost_pct=10)
        for n, site in enumerate(("pmi-04", "pmi-05", "pmi-06"))
    ]
    into = scene.incident_of(scene.report(5, "closure", "sst-13", severity=2)).id
    merge = MergeIncidents(
        author="c",
        role="coordinator",
        reason="text:why",
        incident=scene.incident_of(cuts[0]).id,
        into=into,
    )
    scene.command(merge, 6)
    assert (scene.state.triggers["PT-ELEC:2"].state, scene.state.incidents[into].level) == (
        "held",
        2,
    )
    refused = _lower(scene, 7, 1, role="directeur_pole", scope=into)
    assert isinstance(refused, CommandRefused)
    assert refused.code == "predicate_holds"


def test_a_falling_measure_lowers_nothing_and_a_river_crosses_a_threshold_once(
    scene: Scene,
) -> None:
    for n, level in enumerate((4.5, 4.7, 5.1, 5.05, 5.2, 5.81, 5.7, 5.9, 5.0)):
        _river(scene, n * 10, level)
    assert [f.row.level for f in scene.named(LevelChanged)] == [1, 2, 3]
    levels = [f.row.level for f in scene.named(TriggerChanged) if f.row.plan == "PT-CRUE"]
    assert levels == [1, 2, 3]


def test_a_trigger_is_armed_again_an_hour_below_it_by_the_margin(scene: Scene) -> None:
    _river(scene, 0, 5.85)
    _river(scene, 10, 5.75)
    scene.step(600)
    assert scene.state.triggers["PT-CRUE:3"].state == "held", "five centimetres below are not below"
    _river(scene, 610, 5.69)
    _river(scene, 640, 5.81)
    scene.step(700)
    assert scene.state.triggers["PT-CRUE:3"].state == "held", "it came back within the hour"
    _river(scene, 710, 5.6)
    scene.step(769)
    assert scene.state.triggers["PT-CRUE:3"].state == "held"
    scene.step(770)
    assert scene.state.triggers["PT-CRUE:3"].state == "released"
    _river(scene, 800, 5.9)
    row = scene.state.triggers["PT-CRUE:3"]
    assert (row.state, row.since) == ("held", scene.at(800))


def test_a_metric_back_inside_the_margin_does_not_arm_its_trigger(scene: Scene) -> None:
    _river(scene, 0, 5.85)
    _river(scene, 10, 5.7)
    _river(scene, 20, 5.75)
    scene.step(70)
    assert scene.state.triggers["PT-CRUE:3"].state == "held", "its hour is void"
    _river(scene, 80, 5.7)
    scene.step(139)
    assert scene.state.triggers["PT-CRUE:3"].state == "held"
    scene.step(140)
    assert scene.state.triggers["PT-CRUE:3"].state == "released"


def test_a_trigger_keeps_the_values_behind_it(scene: Scene) -> None:
    _river(scene, 0, 5.02)
    row = scene.state.triggers["PT-CRUE:2"]
    (why,) = row.why
    assert (why.metric, why.op, why.threshold, why.value, why.reports) == (
        "river_level",
        ">=",
        5.0,
        5.02,
        ("rep-1",),
    )
    assert row.incident == scene.incidents()[0].id


def test_the_level_of_an_incident_is_its_own(scene: Scene) -> None:
    scene.report(0, "outage_power", PMI, severity=4, capacity_lost_pct=100)
    scene.report(1, "closure", "sst-13", severity=2)
    by_kind = {i.kind: i.level for i in scene.incidents()}
    assert by_kind == {"power": 2, "site": 1}
    assert scene.incidents()[0].why[-1].args["level"] == 2


# ── N4 proposed, metrics of continuity ─────────────────────────────────────────────────────────────────────────────


def _metric(
    scene: Scene,
    minute: float,
    name: str,
    args: dict[str, Any],
    value: float,
    reports: tuple[str, ...] = (),
) -> None:
    scene.feed(
        MetricChanged(
            key=metric_key(name, args), value=value, at=scene.at(minute), reports=reports
        ),
        at=scene.at(minute),
    )


def test_an_exceeded_dmia_proposes_n4_without_setting_it(scene: Scene) -> None:
    scene.report(0, "closure", "cen-2", severity=3)
    _metric(
        scene, 30, "activity_dmia_pct", {"criticality": [1], "sauf_activites": ["EOM-04"]}, 100.0
    )
    row = scene.state.levels["territory"]
    assert (row.level, row.proposed) == (3, 4)
    assert row.proposed_why[0].metric == "activity_dmia_pct"
    proposed = [f for f in scene.named(LevelChanged) if f.row.proposed == 4]
    assert len(proposed) == 1


def test_a_proposed_level_can_be_refused_with_a_reason(scene: Scene) -> None:
    scene.report(0, "closure", "cen-2", severity=3)
    _metric(
        scene, 30, "activity_dmia_pct", {"criticality": [1], "sauf_activites": ["EOM-04"]}, 100.0
    )
    assert _lower(scene, 31, 3, role="director").code == "not_pilot"
    assert _lower(scene, 32, 3, reason=None).code == "reason_required"
    assert isinstance(_lower(scene, 33, 3), CommandApplied)
    row = scene.state.levels["territory"]
    assert (row.level, row.proposed, row.proposed_why) == (3, None, ())
    assert row.why[-1].args == {"author": "dgs", "level": 3, "refused": 4, "reason": "text:why"}
    _metric(
        scene, 40, "activity_dmia_pct", {"criticality": [1], "sauf_activites": ["EOM-04"]}, 101.0
    )
    assert scene.state.levels["territory"].proposed is None, "the same facts propose nothing again"
    assert _lower(scene, 41, 3).code == "level_unchanged"


def test_an_rto_half_used_makes_n2_of_the_incident_behind_it(scene: Scene) -> None:
    report = scene.report(0, "outage_power", "eau-06", severity=2, capacity_lost_pct=40)
    assert scene.state.level() == 1
    _metric(scene, 20, "activity_rto_pct", {"criticality": [1, 2]}, 50.0, (report,))
    assert scene.incidents()[0].level == 2
    _metric(scene, 30, "activity_rto_pct", {"criticality": [1, 2]}, 60.0, (report,))
    assert [f.row.level for f in scene.named(LevelChanged)] == [1, 2]


def test_a_level_holds_the_plans_triggered_by_it(scene: Scene) -> None:
    scene.report(
        0, "info", source="prefecture", measure=Measure(name="cod_active", value=True, unit="bool")
    )
    assert scene.state.level() == 3
    assert scene.state.levels["territory"].proposed == 4
    assert {"PCA-communication:0", "PCA-evaluation_orga:0"} <= set(scene.state.triggers)


# ── down ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_only_a_pilot_of_the_level_lowers_it_with_a_reason_and_not_while_it_holds(
    scene: Scene,
) -> None:
    _vigilance(scene, 0, "rouge")
    assert _lower(scene, 10, 2, role="director").code == "not_pilot"
    assert _lower(scene, 11, 2, reason=None).code == "reason_required"
    assert _lower(scene, 12, 2).code == "predicate_holds"
    assert isinstance(_lower(scene, 13, 2, force=True), CommandApplied)
    assert scene.state.level() == 2


def test_the_territory_falls_below_no_open_incident(scene: Scene) -> None:
    """D31: the territory would be at N1 while one of its incidents is at N2."""
    incident = scene.incident_of(scene.report(0, "closure", "par-05", severity=2))
    raised = _lower(scene, 5, 2, role="coordinator", scope=incident.id)
    assert isinstance(raised, CommandApplied)
    assert (scene.incidents()[0].level, scene.state.level()) == (2, 2)
    refused = _lower(scene, 10, 1, role="directeur_pole")
    assert (refused.code, refused.values) == ("incident_above", {"incidents": incident.number})
    lowered = _lower(scene, 11, 1, role="directeur_pole", scope=incident.id)
    assert isinstance(lowered, CommandApplied)
    assert isinstance(_lower(scene, 12, 1, role="directeur_pole"), CommandApplied)


def test_lowering_by_hand_arms_triggers_that_no_longer_hold(scene: Scene) -> None:
    """D31: red came back within the hour after a person had lowered the level, without a call."""
    _vigilance(scene, 0, "rouge")
    _vigilance(scene, 5, "orange")
    assert scene.state.level() == 3, "latched"
    for minute, scope in ((10, scene.incidents()[0].id), (11, "territory")):
        assert isinstance(_lower(scene, minute, 2, scope=scope), CommandApplied)
    _vigilance(scene, 20, "rouge")
    assert scene.state.level() == 3
    assert [e.ladder for e in scene.state.escalations.values() if e.state == "running"] == ["N3"]


def test_lowering_by_hand_leaves_triggers_that_still_hold(scene: Scene) -> None:
    _vigilance(scene, 0, "rouge")
    _lower(scene, 10, 2, force=True)
    _vigilance(scene, 20, "rouge")
    assert scene.state.level() == 2, "the same facts"


def test_the_same_facts_do_not_raise_it_again(scene: Scene) -> None:
    _vigilance(scene, 0, "rouge")
    _lower(scene, 10, 2, force=True)
    _vigilance(scene, 20, "rouge")
    scene.report(21, "closure", "par-05", severity=2)
    assert scene.state.level() == 2
    _vigilance(scene, 30, "orange")
    _vigilance(scene, 100, "rouge")
    assert scene.state.level() == 3, "below for an hour, then again"


def test_the_pilot_lowers_without_force_after_the_cause_of_the_level_ended(scene: Scene) -> None:
    scene.report(0, "closure", "cen-2", severity=3)
    scene.report(60, "reopening", "cen-2", lifts=(EventType.CLOSURE,), severity=1)
    assert scene.state.level() == 3
    incident = scene.incidents()[0]
    closed = scene.command(
        ResolveIncident(author="c", role="coordinator", incident=incident.id, reason="text:done"),
        61,
    )
    assert isinstance(closed, CommandApplied)
    assert scene.state.level() == 3, "closing an incident lowers nothing"
    assert isinstance(_lower(scene, 62, 0), CommandApplied)
    assert scene.state.level() == 0


def test_a_level_may_be_raised_by_hand_and_versions_guard_it(scene: Scene) -> None:
    raised = _lower(scene, 0, 3, role="coordinator", expected=0)
    assert isinstance(raised, CommandApplied)
    assert raised.result["version"] == 1
    stale = _lower(scene, 1, 4, role="coordinator", expected=0)
    assert isinstance(stale, CommandRefused)
    assert stale.status == 412
    assert scene.state.escalations[scene.state.ladders["territory"]].ladder == "N3"


# ── stand-down, and what time alone changes ────────────────────────────────────────────────────────────────────────


def test_the_measured_part_of_a_stand_down_appears_after_its_plan_was_triggered(
    scene: Scene,
) -> None:
    assert not scene.state.triggers, "no river is below a threshold that was never passed"
    _river(scene, 0, 4.7)
    assert "PT-CRUE:stand-down" not in scene.state.triggers
    _river(scene, 100, 4.49)
    row = scene.state.triggers["PT-CRUE:stand-down"]
    assert (row.state, row.since, row.level) == ("held", scene.at(100), 0)
    _river(scene, 160, 4.5)
    assert scene.state.triggers["PT-CRUE:stand-down"].state == "released", (
        "no margin: the hour begins again"
    )


def test_two_quiet_nights_are_noticed_when_nothing_else_happens(scene: Scene) -> None:
    for minute in (0, 10, 20):
        scene.report(minute, "security_incident", commune="92050", severity=3)
    assert scene.state.triggers["PT-VIOLENCES:2"].state == "held"
    scene.step(20 + 2880)
    assert "PT-VIOLENCES:stand-down" not in scene.state.triggers
    scene.step(20 + 2881)
    assert scene.state.triggers["PT-VIOLENCES:stand-down"].state == "held"
    assert scene.state.triggers["PT-VIOLENCES:2"].state == "released"
    assert scene.service.next_due(scene.realm) is None or scene.service.next_due(
        scene.realm
    ) > scene.at(2902)


OF_TWO_POLES = {
    "education": ("spo-01", "spo-02", "spo-03"),
    "solidarites": ("sst-01", "sst-02", "sst-03"),
}


def _called_directors(scene: Scene) -> list[str]:
    planned = scene.named(NotificationPlanned)
    return [str(f.scope) for f in planned if f.role == "directeur_pole"]


def test_three_sites_of_each_of_two_poles_in_own_incidents_call_both_directors(
    scene: Scene,
) -> None:
    """The count of the worst pôle was latched: the second director heard nothing."""
    sites = [site for of_pole in OF_TWO_POLES.values() for site in of_pole]
    for n, site in enumerate(sites):
        scene.report(2 * n, "damage_report", site, severity=3)
    assert _called_directors(scene) == ["education", "solidarites"]
    assert [i.level for i in scene.incidents()].count(Level.N2) == 2


def test_a_second_pole_in_the_same_incident_calls_its_director_once(scene: Scene) -> None:
    sites = ("cul-04", "cul-08", "par-05", "gym-07", "clg-0921394R", "clg-0921589C")
    for n, site in enumerate(sites):
        scene.report(2 * n, "security_incident", site, severity=3)
    scene.report(14, "security_incident", "gym-07", severity=3, source="police")
    assert _called_directors(scene) == ["attractivite", "education"]
    (row,) = scene.incidents()
    (running,) = [e for e in scene.state.escalations.values() if e.state == "running"]
    assert (row.level, running.level) == (Level.N2, Level.N2)


def _decide_with_old_thresholds(scene: Scene, site: str, type: EventType) -> list[str]:
    """Put back the thresholds of all pôles of an older log; return the directors called next."""
    thresholds = scene.state.thresholds
    for id, threshold in scene.state.thresholds.items():
        branch, at, incident = id.partition("@")
        if branch.startswith("N2#2:"):
            thresholds = thresholds.delete(id).set(f"N2#2{at}{incident}", threshold)
    at_ms = scene.at(12)
    message = ReportReceived(
        report_id="after",
        source="site_manager",
        site_id=site,
        type=type,
        severity=3,
        certainty=Certainty.CONFIRMED,
        occurred_at=at_ms,
        recorded_at=at_ms,
    )
    report = Input(
        "after", scene.realm, scene.realm, "test", message, at_ms, at_ms, "after", "after"
    )
    facts = AlertsDecider().decide(scene.state.put(thresholds=thresholds), report)
    recorded = {f.id for f in facts if isinstance(f, ThresholdChanged) and not f.held}
    assert recorded == {id for id in thresholds if id.startswith("N2#2")}
    planned = [f for f in facts if isinstance(f, NotificationPlanned)]
    return [str(f.scope) for f in planned if f.role == "directeur_pole"]


OF_ONE_INCIDENT = {
    "attractivite": ("cul-04", "cul-08", "par-05"),
    "education": ("gym-07", "clg-0921394R", "clg-0921589C"),
}


@pytest.mark.parametrize(
    ("type", "sites_by_pole", "more"),
    [
        (EventType.DAMAGE_REPORT, OF_TWO_POLES, "spo-04"),
        (EventType.SECURITY_INCIDENT, OF_ONE_INCIDENT, "cul-01"),
    ],
)
def test_after_an_upgrade_only_directors_that_were_left_out_are_called(
    scene: Scene, type: EventType, sites_by_pole: dict[str, tuple[str, ...]], more: str
) -> None:
    """A second pôle was latched without the call of its director, in the middle of a crisis."""
    (first_pole, first), (second_pole, second) = sites_by_pole.items()
    for n, site in enumerate((*first, *second[:2])):
        scene.report(2 * n, type, site, severity=3)
    assert _called_directors(scene) == [first_pole]
    assert _decide_with_old_thresholds(scene, more, type) == []
    assert _decide_with_old_thresholds(scene, second[2], type) == [second_pole]


def test_an_upgrade_raises_no_level_that_a_person_lowered(scene: Scene) -> None:
    for n, site in enumerate(OF_TWO_POLES["education"]):
        scene.report(2 * n, "damage_report", site, severity=3)
    main = next(i for i in scene.incidents() if i.level == Level.N2)
    lower = {"level": Level.N1, "reason": "text:x", "force": True}
    scene.command(SetLevel(author="c", role="coordinator", scope=main.id, **lower), 9)
    assert scene.incident_of("rep-1").level == Level.N1
    assert _decide_with_old_thresholds(scene, "spo-04", EventType.DAMAGE_REPORT) == []
