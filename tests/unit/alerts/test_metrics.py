"""Metrics of section 13 count current, confirmed sites and durations since the start of a cause."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.commands import DenyReport
from schemas.predicates import Measured
from schemas.reports import Measure, Window
from schemas.words import Certainty, EventType, MsgType
from services.alerts.decision import AlertsDecision
from services.alerts.levels.metrics import bind_metric
from services.alerts.levels.metrics.incidents import find_fullest_window
from services.runtime.decider.protocol import Deadline, Firing
from tests.shipped import territory
from tests.unit.alerts.scene import Scene
from tests.unit.alerts.test_laws import FEW

PMI = ("pmi-04", "pmi-05", "pmi-06", "pmi-07")
COLLEGES = tuple(s.id for s in territory().sites if s.kind == "college")
ABSENT = Measure(name="absence_rate", value=60.0, unit="%", scope="site")
DAY = 24 * 60


@pytest.fixture
def scene() -> Scene:
    return Scene()


def _value(scene: Scene, metric: str, minute: float, **args: Any) -> float | None:
    """Return a metric of the territory at T + minute."""
    at = scene.at(minute)
    draft = AlertsDecision(
        scene.state, Firing(Deadline(at, "test"), scene.realm, scene.realm, at, at)
    )
    return bind_metric(
        Measured(metric=metric, op=">=", value=1, args=args), draft.territory, {}
    ).value(draft, None)


def _withdraw(scene: Scene, minute: float, report: str, denied: bool) -> None:
    row = scene.state.reports[report]
    if denied:
        scene.command(
            DenyReport(author="c", role="coordinator", reason="text:x", report=report), minute
        )
    else:
        scene.report(
            minute,
            row.type.value,
            row.site,
            msg_type=MsgType.CANCEL,
            references=(report,),
            source=row.source,
            severity=1,
        )


# ── rumours (D6) ───────────────────────────────────────────────────────────────────────────────────────────────────


class _CountedReports(dict[str, Any]):
    """Reports that count how often one is looked up."""

    lookups = 0

    def __getitem__(self, id: str) -> Any:
        self.lookups += 1
        return super().__getitem__(id)


def test_a_flood_of_unconfirmed_reports_is_not_walked_for_the_severity_of_rumours(
    scene: Scene,
) -> None:
    """Each report of a flood walked all those before it, twice."""
    for n in range(20):
        scene.report(n / 10, "fire", PMI[n % 4], source=f"s{n}", certainty=Certainty.UNCONFIRMED)
    mild, grave = (
        scene.report(5, "info", source="rumour", certainty=Certainty.RUMOUR, severity=severity)
        for severity in (2, 3)
    )
    at, reports = scene.at(6), _CountedReports(scene.state.reports)
    draft = AlertsDecision(
        scene.state.put(reports=reports),
        Firing(Deadline(at, "test"), scene.realm, scene.realm, at, at),
    )
    metric = bind_metric(
        Measured(metric="rumour_severity", op=">=", value=1, args={}), draft.territory, {}
    )
    assert (metric.value(draft, None), metric.reports(draft, None)) == (3, (grave,))
    assert reports.lookups == 0
    _withdraw(scene, 7, grave, denied=True)
    assert _value(scene, "rumour_severity", 8) == 2
    _withdraw(scene, 9, mild, denied=True)
    assert _value(scene, "rumour_severity", 10) == 0


# ── withdrawn (D3, D6) ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("denied", [True, False])
def test_withdrawn_cuts_and_events_hold_no_threshold(scene: Scene, denied: bool) -> None:
    cuts = [
        scene.report(n, "outage_power", site, severity=2, capacity_lost_pct=10)
        for n, site in enumerate(PMI[:2])
    ]
    fights = [scene.report(n, "security_incident", commune="92050", source=f"s{n}") for n in (3, 4)]
    for report in (*cuts, *fights):
        _withdraw(scene, 5, report, denied)
    scene.report(6, "outage_power", PMI[2], severity=2, capacity_lost_pct=10)
    scene.report(7, "security_incident", commune="92050", source="police")
    assert (len(scene.state.cuts), len(scene.state.security)) == (1, 1)
    assert not scene.state.triggers, (
        "three cuts in ten minutes are PT-ELEC, three events in a commune PT-VIOLENCES"
    )


def test_withdrawn_absences_of_yesterday_are_no_epidemic_day(scene: Scene) -> None:
    for day in range(2):
        report_ids = [
            scene.report(day * DAY + n / 10, "staff_shortage", site, severity=2, measure=ABSENT)
            for n, site in enumerate(COLLEGES[:11])
        ]
        for n, report in enumerate(report_ids if day == 0 else ()):
            _withdraw(scene, 30 + n / 10, report, denied=False)
    assert _value(scene, "sites_below_opening", DAY + 30, kind="college", days=2) == 0, (
        "only one day is known"
    )
    assert scene.state.level() == 1


def test_only_sites_with_returned_current_are_restored(scene: Scene) -> None:
    cuts = [
        scene.report(n, "outage_power", site, capacity_lost_pct=100) for n, site in enumerate(PMI)
    ]
    assert _value(scene, "restored_share", 5, cause="outage_power") == 0
    _withdraw(scene, 5, cuts[0], denied=False)
    _withdraw(scene, 6, cuts[1], denied=True)
    assert _value(scene, "restored_share", 7, cause="outage_power") == 0
    scene.report(8, "reopening", PMI[2], severity=1, lifts=(EventType.OUTAGE_POWER,))
    assert _value(scene, "restored_share", 9, cause="outage_power") == 50


# ── durations ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_short_closure_announced_long_before_stays_short(scene: Scene) -> None:
    """Ten hours announced ten days ahead are not the 72 h of N4 and of a transverse loss."""
    day, end = 10 * DAY, 10 * DAY + 600
    window = Window(start=scene.at(day), end=scene.at(end))
    scene.report(
        0, "closure", "cen-2", severity=4, effective=(window,), estimated_end=scene.at(end)
    )
    scene.step(day + 1)
    assert scene.status("cen-2") == "closed"
    assert _value(scene, "expected_unavailability_h", day + 1, kind="site_central") == 10
    assert _value(scene, "transverse_loss", day + 1) == 0
    assert scene.state.level() == 3


# ── windows in time ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_site_with_flapping_current_hides_no_common_cut(scene: Scene) -> None:
    for n in range(4):
        scene.report(2 * n, "outage_power", PMI[0], severity=2, capacity_lost_pct=10)
        scene.report(2 * n + 1, "reopening", PMI[0], severity=1, lifts=(EventType.OUTAGE_POWER,))
    for n, site in enumerate(PMI[1:]):
        scene.report(60 + n, "outage_power", site, severity=2, capacity_lost_pct=10)
    assert _value(scene, "outage_power_sites", 70, window_min=10) == 3
    assert scene.state.triggers["PT-ELEC:2"].state == "held"


def test_an_event_in_several_communes_counts_in_each_of_them(scene: Scene) -> None:
    """For the commune with most events, too; in the territory it is one."""
    scene.report(0, "security_incident", zone=("92050", "92025", "92004"), source="police")
    scene.report(30, "damage_report", PMI[0])
    window: dict[str, Any] = {"min_severity": 3, "window_min": 60}
    assert _value(scene, "security_communes", 31, **window) == 3
    assert _value(scene, "security_events", 31, per="commune", **window) == 2
    assert _value(scene, "security_events", 31, **window) == 2


@FEW
@given(
    st.lists(st.tuples(st.integers(0, 60), st.sampled_from("abcde")), max_size=20),
    st.integers(0, 30),
)
def test_the_fullest_window_holds_as_many_different_things_as_any(
    said: list[tuple[int, str]], width: int
) -> None:
    events = [(at, "", what) for at, what in sorted(said)]
    best = find_fullest_window(events, width)
    assert not best or best[-1][0] - best[0][0] <= width
    most = max(
        (len({w for b, _, w in events if at <= b <= at + width}) for at, _, _ in events), default=0
    )
    assert len({what for _, _, what in best}) == most


# ── laws ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@FEW
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ("outage_power", "security_incident", "damage_report", "staff_shortage")
            ),
            st.sampled_from(PMI),
            st.booleans(),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_a_fully_withdrawn_event_leaves_no_count(said: list[tuple[str, str, bool]]) -> None:
    scene = Scene()
    for n, (type, site, _denied) in enumerate(said):
        scene.report(
            n, type, site, id=f"r{n}", measure=ABSENT if type == "staff_shortage" else None
        )
    for n, (_type, _site, denied) in enumerate(said):
        _withdraw(scene, 20 + n, f"r{n}", denied)
    assert (scene.state.cuts, scene.state.security, dict(scene.state.presence)) == ((), (), {})
    assert not [key for key in scene.state.agenda.due if key.startswith("decay:")], (
        "nothing is left that time alone would change"
    )


DRY: str = "fuel_stations_dry_pct"


def _declare_dry(
    scene: Scene, minute: float, pct: float, site: str | None = None, **more: Any
) -> str:
    """Declare the share of fuel stations that are dry; return the report."""
    measure = Measure(name=DRY, value=pct, unit="%", scope="global")
    fields: dict[str, Any] = {"source": "prefecture", "severity": 2, "measure": measure}
    return scene.report(minute, "info", site, **fields | more)


def _list_holding(scene: Scene) -> set[str]:
    """Return the conditions of the logistics plan that hold."""
    prefix = "PCA-commande_logistique:"
    return {
        id.removeprefix(prefix)
        for id, trigger in scene.state.triggers.items()
        if id.startswith(prefix) and trigger.state == "held"
    }


def test_a_declared_figure_proposes_the_plan_that_compares_it(scene: Scene) -> None:
    _declare_dry(scene, 1, 29)
    assert _value(scene, "measure", 2, name=DRY) == 29
    assert _list_holding(scene) <= {"stand-down"}
    _declare_dry(scene, 10, 30)
    trigger = next(
        t
        for id, t in scene.state.triggers.items()
        if id.startswith("PCA-commande_log") and t.state == "held"
    )
    assert [(why.metric, why.args.get("name"), why.value) for why in trigger.why] == [
        ("measure", DRY, 30.0)
    ]


def test_the_newest_figure_of_the_territory_counts(scene: Scene) -> None:
    _declare_dry(scene, 20, 40)
    _declare_dry(scene, 21, 90, occurred=10)
    _declare_dry(scene, 22, 100, site="cen-1")
    assert _value(scene, "measure", 23, name=DRY) == 40, "neither an older one nor that of one site"


@pytest.mark.parametrize("denied", [True, False])
def test_a_withdrawn_figure_is_no_figure(scene: Scene, denied: bool) -> None:
    report = _declare_dry(scene, 1, 80)
    _withdraw(scene, 2, report, denied)
    assert _value(scene, "measure", 3, name=DRY) is None
    first = _declare_dry(scene, 4, 10)
    _withdraw(scene, 6, _declare_dry(scene, 5, 80), denied)
    assert _value(scene, "measure", 7, name=DRY) == 10
    assert scene.state.flags[f"measure:{DRY}"].reports == (first,)


def test_an_announced_or_unentitled_figure_does_not_count(scene: Scene) -> None:
    _declare_dry(scene, 1, 80, effective=(Window(start=scene.at(600)),))
    _declare_dry(scene, 2, 80, source="site_manager")
    _declare_dry(scene, 3, 120)
    assert _value(scene, "measure", 4, name=DRY) is None


def test_without_a_figure_the_plan_may_still_be_stood_down(scene: Scene) -> None:
    """The stand-down names the figure; a crisis without one must be able to end."""
    scene.report(1, "evacuation", "cen-1", severity=4)
    scene.report(60, "reopening", "cen-1", severity=1)
    assert "stand-down" in "".join(_list_holding(scene))
    _declare_dry(scene, 70, 50)
    assert "stand-down" not in "".join(_list_holding(scene))
