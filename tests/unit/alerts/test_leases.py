"""Machine alerts hold, renew, lapse and end by lease; the newest end stands (D66)."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.calling import NotificationPlanned
from schemas.crisis.maintenance import Coverage, LeasesRenewed, PlanMaintenance, Renewal
from schemas.matchers import Matcher
from schemas.reports import Lease, ReportReceived
from schemas.words import EventType
from tests.unit.alerts.scene import Scene

COLLEGE = "clg-0921353W"


@pytest.fixture
def scene() -> Scene:
    return Scene()


def _alert(
    scene: Scene,
    minute: float,
    until: float,
    *,
    explicit: bool = True,
    site: str | None = COLLEGE,
    **values: Any,
) -> str:
    lease = Lease(until=scene.at(until), explicit=explicit)
    return scene.report(
        minute,
        "outage_it",
        site,
        source="supervision",
        source_key="src-1",
        dialect="alertmanager",
        lease=lease,
        **values,
    )


def _renew(
    scene: Scene,
    minute: float,
    report: str,
    until: float,
    *,
    explicit: bool = True,
    source: str = "src-1",
) -> None:
    scene.feed(
        LeasesRenewed(
            source_key=source,
            leases=(Renewal(report=report, until=scene.at(until), explicit=explicit),),
        ),
        at=scene.at(minute),
    )


def _end(
    scene: Scene,
    minute: float,
    report: str,
    *,
    site: str | None = COLLEGE,
    occurred: float | None = None,
    lifts: EventType = EventType.OUTAGE_IT,
) -> None:
    scene.report(
        minute,
        "reopening",
        site,
        severity=1,
        lifts=(lifts,),
        references=(report,),
        source="supervision",
        source_key="src-1",
        occurred=occurred,
    )


def _is_open(scene: Scene, report: str) -> bool:
    claim = scene.state.leases[report].claim
    return any(claim in c.reports and c.lifted_at is None for c in scene.state.causes.values())


def test_an_unrenewed_alert_ends_with_its_lease(scene: Scene) -> None:
    report = _alert(scene, 0, 4)
    scene.step(3.9)
    assert _is_open(scene, report)
    scene.step(60)
    assert not _is_open(scene, report)
    assert scene.status(COLLEGE) == "normal"
    lease = scene.state.leases[report]
    assert (lease.state, lease.until) == ("lapsed", scene.at(4))
    (end,) = [r for r in scene.state.reports.values() if r.dialect == "lease"]
    assert (end.type, end.occurred_at, end.references) == (
        "reopening",
        scene.at(4),
        (report, report),
    )


def test_a_repeated_end_ends_no_later_alert(scene: Scene) -> None:
    """D4: an end that was delivered again took an alert that came between with it."""
    end = {
        "report_id": "the-end",
        "source": "supervision",
        "source_key": "src-1",
        "type": EventType.REOPENING,
        "severity": 1,
        "lifts": (EventType.OUTAGE_IT,),
        "references": ("the-alert",),
    }
    for minute in (0, 10):
        if minute:
            _alert(scene, 5, 600, id="the-alert")
        scene.feed(
            ReportReceived(**end, occurred_at=scene.at(minute), recorded_at=scene.at(minute)),
            at=scene.at(minute),
        )
    assert _is_open(scene, "the-alert")
    assert scene.state.leases["the-alert"].state == "held"


def test_a_renewed_alert_holds(scene: Scene) -> None:
    report = _alert(scene, 0, 4)
    for minute in range(1, 30):
        _renew(scene, minute, report, minute + 4)
    assert _is_open(scene, report)
    assert len(scene.state.reports) == 1, "a renewal is no report"
    scene.step(33)
    assert not _is_open(scene, report)


def test_a_lapsed_alert_begins_again_with_its_next_report(scene: Scene) -> None:
    report = _alert(scene, 0, 4)
    scene.step(10)
    assert not _is_open(scene, report)
    _renew(scene, 12, report, 16)
    assert _is_open(scene, report)
    (cause,) = scene.site(COLLEGE).causes
    assert cause.since == scene.at(12)
    assert scene.incident_of(scene.state.leases[report].claim).id == scene.incident_of(report).id
    _end(scene, 14, report)
    assert not _is_open(scene, report)
    assert scene.state.leases[report].state == "ended"


def test_an_end_by_a_late_clock_ends_an_alert_that_began_again(scene: Scene) -> None:
    """The trouble stayed open without an end: its lease was over, and nothing renewed it."""
    report = _alert(scene, 0, 4)
    scene.step(5)
    _renew(scene, 6, report, 30)
    _end(scene, 9, report, occurred=5)
    scene.step(9.1)
    assert not _is_open(scene, report)
    assert scene.status(COLLEGE) == "normal"


def test_a_lease_never_overrules_an_end_named_by_the_sender(scene: Scene) -> None:
    report = _alert(scene, 0, 60)
    _renew(scene, 1, report, 6, explicit=False)
    scene.step(30)
    assert _is_open(scene, report)
    scene.step(61)
    assert not _is_open(scene, report)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((6, False), (4, True), 4),
        ((6, False), (9, False), 9),
        ((6, True), (4, True), 4),
        ((6, True), (9, False), 9),
    ],
)
def test_the_newest_report_of_the_end_stands(
    scene: Scene, first: tuple[int, bool], second: tuple[int, bool], expected: int
) -> None:
    report = _alert(scene, 0, first[0], explicit=first[1])
    _renew(scene, 1, report, second[0], explicit=second[1])
    assert scene.state.leases[report].until == scene.at(expected)


def test_an_end_later_than_a_lapse_stands_instead_of_it(scene: Scene) -> None:
    report = _alert(scene, 0, 4)
    scene.step(5)
    _end(scene, 9, report, occurred=8)
    (cause,) = scene.state.causes.values()
    assert cause.lifted_at == scene.at(8)
    assert (scene.state.leases[report].state, scene.state.leases[report].until) == (
        "ended",
        scene.at(8),
    )


def test_an_ended_alert_is_not_renewed(scene: Scene) -> None:
    report = _alert(scene, 0, 4)
    _end(scene, 1, report)
    _renew(scene, 2, report, 6)
    assert scene.state.leases[report].state == "ended"
    assert not _is_open(scene, report)


def test_only_its_own_sender_renews_an_alert(scene: Scene) -> None:
    report = _alert(scene, 0, 4)
    _renew(scene, 1, report, 60, source="src-2")
    assert scene.state.leases[report].until == scene.at(4)


def test_the_end_of_one_alert_on_a_cause_leaves_the_other(scene: Scene) -> None:
    """D4 makes them one cause; it is over when the last of them is."""
    first = _alert(scene, 0, 30, labels={"alertname": "A"})
    second = _alert(scene, 1, 30, labels={"alertname": "B"})
    assert len(scene.site(COLLEGE).causes) == 1
    _end(scene, 2, first)
    assert scene.site(COLLEGE).causes[0].reports == (second,)
    scene.step(40)
    assert scene.status(COLLEGE) == "normal"


@pytest.mark.parametrize("order", [("alert", "manager"), ("manager", "alert")])
def test_a_lapse_ends_no_danger_that_somebody_else_reported(
    scene: Scene, order: tuple[str, str]
) -> None:
    """A monitoring system that lost its line put out a fire that the site had reported."""
    for minute, sender in enumerate(order):
        lease = Lease(until=scene.at(4), explicit=False) if sender == "alert" else None
        scene.report(
            minute,
            "fire",
            COLLEGE,
            id=sender,
            source="supervision" if lease else "site_manager",
            source_key="src-1" if lease else None,
            lease=lease,
        )
    scene.step(10)
    assert scene.state.leases["alert"].state == "lapsed"
    (cause,) = scene.site(COLLEGE).causes
    assert (cause.type, cause.reports) == (EventType.FIRE, ("manager",))
    _end(scene, 12, "alert", lifts=EventType.FIRE)
    assert scene.status(COLLEGE) == "normal", "its end is a statement about the fire"


def test_a_danger_reported_late_holds_after_a_lapse(scene: Scene) -> None:
    """A fire seen at 2 min and told at 10 min was over, by the lapse at 4 min."""
    scene.report(
        0,
        "fire",
        COLLEGE,
        id="alert",
        source="supervision",
        source_key="src-1",
        lease=Lease(until=scene.at(4), explicit=False),
    )
    scene.step(6)
    assert scene.status(COLLEGE) == "normal"
    scene.report(10, "fire", COLLEGE, id="manager", source="site_manager", occurred=2)
    (cause,) = scene.site(COLLEGE).causes
    assert (cause.type, cause.reports) == (EventType.FIRE, ("manager",))
    _end(scene, 12, "alert", lifts=EventType.FIRE)
    assert scene.status(COLLEGE) == "normal"
    scene.report(14, "fire", COLLEGE, source="site_manager", occurred=3)
    assert scene.status(COLLEGE) == "normal", "somebody told of the end in the meantime"


def test_an_alert_without_a_site_ends_too(scene: Scene) -> None:
    report = _alert(scene, 0, 30, site=None)
    _end(scene, 2, report, site=None)
    assert not _is_open(scene, report)
    other = _alert(scene, 3, 5, site=None)
    scene.step(6)
    assert not _is_open(scene, other)


def test_a_silenced_alert_names_its_window(scene: Scene) -> None:
    report = _alert(scene, 0, 300, labels={"alertname": "A"})
    covers = Coverage(sources=("src-1",), matchers=(Matcher(name="alertname", value="A"),))
    scene.command(
        PlanMaintenance(
            author="src-1",
            role="source",
            origin="alertmanager",
            covers=covers,
            starts_at=scene.at(1),
            ends_at=scene.at(10),
        ),
        1,
    )
    scene.step(2)
    window = next(iter(scene.state.maintenance))
    assert (scene.state.leases[report].quiet, scene.state.leases[report].quiet_by) == (
        "maintenance",
        (window,),
    )
    late = _alert(scene, 3, 300, labels={"alertname": "A", "instance": "2"}, site="pmi-04")
    assert scene.state.leases[late].quiet_by == (window,)
    calls = len(scene.named(NotificationPlanned))
    scene.step(11)
    assert scene.state.leases[report].quiet is scene.state.leases[late].quiet is None
    assert len(scene.named(NotificationPlanned)) > calls
