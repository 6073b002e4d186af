"""S04, power cut Nanterre – La Défense, as the mock-ups show it at 10:16 (T+36)."""

from __future__ import annotations

import pytest

from schemas.base import Instant
from schemas.commands import ActivateStrategy
from schemas.words import ActivityState, ClockBase, ClockState, EventType
from services.simulation.scenarios import load_scenario
from tests.unit.continuity.world import ROOT, World, clock

ANNOUNCED = "13:42"
"""The operator's word at 09:51: four hours from 09:42."""
_ON_SITES = (
    EventType.OUTAGE_POWER,
    EventType.EVACUATION,
    EventType.OUTAGE_IT,
    EventType.SANITARY_ALERT,
)


def _play(until: str, decisions: dict[str, ActivateStrategy] | None = None) -> World:
    """Play the site events of S04 in order of arrival, with decisions between them."""
    world, decided = World(), dict(sorted((decisions or {}).items()))
    for event in load_scenario(ROOT / "scenarios", "S04").events:
        reported_at, body = str(clock(event.reported_at)), event.body
        if reported_at > until:
            break
        for when in [w for w in decided if w <= reported_at]:
            world.say(decided.pop(when), when)
        if event.id == "S04-E001":
            world.announce(ANNOUNCED, reported_at)
        kind, site, since = EventType(body["type"]), body.get("site_id"), body["occurred_at"][11:16]
        if site and kind in _ON_SITES:
            loss = 100 if kind is EventType.EVACUATION else body["capacity_lost_pct"]
            world.hit(site, kind, since=since, known=reported_at, loss=loss)
        if site and kind is EventType.REOPENING:
            world.lift(site, since, *(EventType(t) for t in body["lifts"]), known=reported_at)
    world.until(until)
    return world


@pytest.fixture(scope="module")
def at_10_16() -> World:
    """Return the crisis with the two strategies that the mock-ups show as declared."""
    declare = {
        "10:02": ActivateStrategy(
            author="p-1",
            role="coordinator",
            activity="EOM-04",
            strategy="SR-SITE",
            expected_capacity_pct=80,
        ),
        "10:09": ActivateStrategy(
            author="p-1",
            role="coordinator",
            activity="COM-01",
            strategy="SR-TELE",
            expected_capacity_pct=60,
        ),
    }
    return _play("10:16", declare)


@pytest.mark.parametrize(
    ("activity", "capacity", "started", "rto", "dmia"),
    [
        ("CPL-01", 4, "09:52", "10:07", "10:22"),
        ("COM-02", 4, "09:52", "10:22", "10:52"),
        ("COM-04", 4, "09:45", "10:45", "11:45"),
        ("COM-03", 4, "09:52", "10:52", "11:52"),
        ("EOM-01", 32, "10:12", "11:12", "12:12"),
        ("SOL-01", 40, "09:46", "11:46", "13:46"),
        ("EDU-03", 4, "09:52", "11:52", "13:52"),
        ("RHF-04", 4, "09:52", "11:52", "13:52"),
    ],
)
def test_the_clocks_of_the_territory_match_the_mock_up(
    at_10_16: World, activity: str, capacity: int, started: str, rto: str, dmia: str
) -> None:
    row = at_10_16.activity(activity)
    assert (row.state, int(row.capacity_pct)) == (ActivityState.INTERRUPTED, capacity)
    assert (clock(row.rto.started_at), clock(row.rto.deadline), clock(row.dmia.deadline)) == (
        started,
        rto,
        dmia,
    )


@pytest.mark.parametrize(
    ("activity", "site", "started", "rto", "dmia"),
    [
        ("SOL-02", "ase-06", "09:44", "10:44", "11:44"),
        ("SOL-02", "ase-02", "09:46", "10:46", "11:46"),
        ("ATT-05", "cul-04", "09:45", "10:15", "10:45"),
        ("SOL-04", "pmi-04", "09:40", "11:40", "13:40"),
    ],
)
def test_the_local_clocks_match_the_mock_up(
    at_10_16: World, activity: str, site: str, started: str, rto: str, dmia: str
) -> None:
    local = at_10_16.local(activity, site)
    assert local is not None
    assert local.capacity_pct == 0
    clock_times = [
        clock(at)
        for at in (local.clocks[0].started_at, local.clocks[0].deadline, local.clocks[1].deadline)
    ]
    assert clock_times == [started, rto, dmia]


def test_the_number_of_hit_activities_matches_the_mock_up(at_10_16: World) -> None:
    states = [row.state for row in at_10_16.state.activities.values()]
    counted = {state: states.count(state) for state in ActivityState}
    assert counted == {
        ActivityState.INTERRUPTED: 28,
        ActivityState.DEGRADED: 23,
        ActivityState.RESTORED: 2,
        ActivityState.NOMINAL: 2,
        ActivityState.THREATENED: 0,
    }
    local = {
        id: row.local_running for id, row in at_10_16.state.activities.items() if row.local_running
    }
    assert local == {
        "SOL-02": 2,
        "SOL-04": 7,
        "SOL-06": 3,
        "SOL-08": 1,
        "EDU-01": 11,
        "EDU-02": 11,
        "ATT-05": 1,
        "CPL-01": 4,
    }
    assert sum(local.values()) == 40


def test_five_breaches_are_forecast_while_power_is_announced_for_13_42(at_10_16: World) -> None:
    breaches = {
        id: clock(row.forecast_breach_at)
        for id, row in at_10_16.state.activities.items()
        if row.forecast_breach_at
    }
    assert breaches == {
        "CPL-01": "10:22",
        "COM-02": "10:52",
        "COM-03": "11:52",
        "COM-04": "11:45",
        "EOM-01": "12:12",
    }
    pmi = at_10_16.local("SOL-04", "pmi-04")
    assert pmi is not None
    assert clock(pmi.forecast_breach_at) == "13:40"


def test_alarms_are_raised_each_once_in_their_minute(at_10_16: World) -> None:
    assert at_10_16.alarms("CPL-01") == [
        ("rto", 50, "09:59"),
        ("rto", 80, "10:04"),
        ("rto", 100, "10:07"),
        ("dmia", 80, "10:16"),
    ]
    assert at_10_16.alarms("COM-02") == [("rto", 50, "10:07"), ("rto", 80, "10:16")]


def test_the_secretariat_of_the_cell_makes_no_crisis_by_itself(at_10_16: World) -> None:
    """D74: its limits are 15 and 30 minutes."""
    bia = at_10_16.state.bia
    assert bia is not None
    metrics = [m for m in bia.metrics if '"sauf_activites":["EOM-04"]' in m.key]
    assert {m.name for m in metrics} == {"activity_rto_pct", "activity_dmia_pct"}
    assert not any("EOM-04" in m.activities for m in metrics)
    assert all("CPL-01" in m.activities for m in metrics)


def test_elected_officials_learn_of_criticality_one_and_two_only(at_10_16: World) -> None:
    """D73: at 100 %, of any other activity the director of its pôle and the coordinator."""
    bia = at_10_16.state.bia
    assert bia is not None
    recipients = bia.recipients
    assert "elu_astreinte" in recipients(ClockBase.RTO, 100, 2)
    assert "elu_astreinte" in recipients(ClockBase.DMIA, 100, 1)
    for base in (ClockBase.RTO, ClockBase.DMIA):
        assert recipients(base, 100, 3) == ("directeur_pole", "coordinateur_pca")


def test_a_declared_strategy_stops_the_clock(at_10_16: World) -> None:
    row = at_10_16.activity("COM-01")
    assert (row.state, row.capacity_pct, int(row.computed_pct)) == (ActivityState.RESTORED, 60.0, 4)
    assert (row.rto.state, clock(row.rto.stopped_at)) == (ClockState.STOPPED, "10:09")


@pytest.mark.parametrize(
    ("activity", "capacity"),
    [
        ("SOL-02", 77),
        ("SOL-07", 41),
        ("EDU-01", 91),
        ("EDU-02", 92),
        ("EDU-04", 76),
        ("ATT-01", 48),
        ("ATT-02", 52),
        ("ATT-03", 100),
        ("ATT-04", 88),
        ("ATT-05", 76),
        ("LOG-01", 27),
        ("RHF-07", 4),
        ("CPL-02", 40),
        ("EOM-02", 60),
    ],
)
def test_the_other_activities_have_their_capacities(
    at_10_16: World, activity: str, capacity: int
) -> None:
    assert at_10_16.activity(activity).capacity_pct == pytest.approx(capacity, abs=0.6)
    assert at_10_16.activity(activity).rto.state is ClockState.NEVER


def test_the_path_names_report_site_activity_and_pole(at_10_16: World) -> None:
    steps = [(s.kind, s.id) for s in at_10_16.activity("CPL-01").path[0]]
    assert [kind for kind, _ in steps] == ["report", "site", "activity", "pole"]
    assert steps[1:] == [("site", "cen-1"), ("activity", "CPL-01"), ("pole", "commande_logistique")]


# ── the whole scenario, nobody answering: expectations S04-C12, C13, C18, C22 ──────────────────────────────────────


@pytest.fixture(scope="module")
def whole() -> World:
    return _play("13:53")


def _minutes(world: World, alarm: tuple[str, int, str | None]) -> float:
    assert alarm[2] is not None
    at: Instant = world.instant(alarm[2])
    return (at - world.instant("09:40")) / 60_000


def test_the_security_of_central_sites_is_interrupted_at_t_60(whole: World) -> None:
    assert ("rto", 100, "10:07") in whole.alarms("CPL-01")


def test_the_cold_chain_of_a_cut_off_pmi_has_a_limit_of_four_hours(whole: World) -> None:
    alarms = whole.alarms("SOL-04", "pmi-04")
    assert 60 <= _minutes(whole, alarms[0]) <= 62
    assert ("dmia", 80) not in [alarm[:2] for alarm in alarms], (
        "power is back at T+183, before T+192"
    )


def test_the_meals_of_a_cut_off_college_alarm_after_half_of_three_hours(whole: World) -> None:
    assert 90 <= _minutes(whole, whole.alarms("EDU-01", "clg-0921353W")[0]) <= 96


def test_each_alarm_of_a_clock_exists_once(whole: World) -> None:
    alarm_keys = [(a.activity, a.site, a.base, a.pct) for a in whole.asked("alarm")]
    assert len(alarm_keys) == len(set(alarm_keys))


def test_alerts_receives_the_thresholds_of_its_predicates(whole: World) -> None:
    assert whole.metrics('activity_rto_pct{"criticality":[1],"sauf_activites":["EOM-04"]}')[:2] == [
        0.0,
        80.0,
    ]
    assert (
        whole.metrics('activity_dmia_pct{"criticality":[1],"sauf_activites":["EOM-04"]}')[1]
        == 100.0
    )
    capacity = whole.metrics(
        'activity_capacity_min{"activities":["ATT-01","ATT-02","ATT-03","ATT-05"]}'
    )
    assert capacity[0] == 100.0
    assert 80 <= capacity[1] < 95, "the stand-down holds from 95"
    assert min(capacity) < 80
