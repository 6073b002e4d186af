"""Reports may be repeated, updated, cancelled, contradicted, late or planned (D1–D13)."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from schemas.alerts import ReportChanged
from schemas.calling import EscalationChanged, NotificationPlanned
from schemas.commands import CompleteTask, ConfirmReport, DenyReport, LinkReport, ResolveIncident
from schemas.reports import Measure, ReportReceived, Window
from schemas.runtime import CommandApplied, CommandRefused
from schemas.words import Certainty, EventType, IncidentState, MsgType
from services.alerts.decider import AlertsDecider
from services.alerts.decision import AlertsDecision
from services.alerts.evolve import evolve_escalation, evolve_incident
from services.alerts.evolve.causes import evolve_cause
from services.alerts.levels.metrics.base import MetricRequest
from services.alerts.levels.metrics.sites import make_logistics_need
from services.runtime.decider.protocol import Deadline, Firing
from tests.unit.alerts.scene import Scene

COLLEGE, PMI, PARK = "clg-0921353W", "pmi-04", "par-05"


@pytest.fixture
def scene() -> Scene:
    return Scene()


def list_severities(scene: Scene) -> list[int]:
    return [
        severity
        for by_incident in scene.state.severities.values()
        for severity, _ in by_incident.values()
    ]


def _cell(kind: type, **values: object) -> object:
    return kind(author="coord-pca", role="coordinator", **values)


def test_the_content_of_a_report_is_kept(scene: Scene) -> None:
    """D1: of its urgency nothing was left."""
    report_fields: dict[str, Any] = {
        "commune": "92050",
        "zone": ("92050",),
        "severity": 1,
        "certainty": Certainty.UNCONFIRMED,
        "urgency": "Immediate",
        "msg_type": MsgType.UPDATE,
        "references": ("r-0",),
        "measure": Measure(name="x", value=1.0, value_of=2.0, object="road:D7"),
        "phenomenon": "vent",
        "colour": "jaune",
        "effective": (Window(start=scene.at(0), end=scene.at(9)),),
        "lifts": (EventType.FIRE,),
        "capacity_lost_pct": 10,
        "affected_activities": ("EDU-01",),
        "plan_hint": "PT-CRUE",
    }
    id = scene.report(0, "partial_closure", COLLEGE, **report_fields)
    row = scene.state.reports[id]
    assert {name: getattr(row, name) for name in report_fields} == report_fields


# ── D4 ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_second_source_on_an_open_cause_adds_no_second_cause(scene: Scene) -> None:
    first = scene.report(1, "outage_power", COLLEGE, occurred=0, capacity_lost_pct=80)
    second = scene.report(
        9,
        "outage_power",
        COLLEGE,
        occurred=-5,
        capacity_lost_pct=90,
        severity=4,
        source="education_nationale",
    )

    row = scene.state.reports[second]
    assert (row.state, row.of, row.reason) == ("duplicate", first, "same_cause")
    (cause,) = scene.site(COLLEGE).causes
    assert cause.sources == ("site_manager", "education_nationale")
    assert (cause.severity, cause.loss_pct, cause.since) == (4, 90, scene.at(-5)), (
        "the worse of both, the earlier time"
    )
    assert scene.incident_of(first).duplicates_count == 1


def test_the_same_id_a_second_time_has_no_effect_at_all(scene: Scene) -> None:
    id = scene.report(1, "closure", COLLEGE)
    before = scene.state
    again = scene.state.reports[id]
    facts = scene.feed(
        ReportReceived(
            report_id=id,
            source="site_manager",
            site_id=COLLEGE,
            type=EventType.CLOSURE,
            severity=5,
            occurred_at=again.occurred_at,
        ),
        at=scene.at(2),
    )
    assert not facts
    assert scene.state == before


@pytest.mark.parametrize("seconds", [0, 35], ids=["same-time", "alert-by-the-shown-clock"])
def test_the_last_of_two_reports_of_one_instant_stands(scene: Scene, seconds: int) -> None:
    """A reopening between two steps lifted nothing: another source's alert had the same time."""

    def say(id: str, type_: EventType, **values: Any) -> None:
        report = ReportReceived(
            report_id=id,
            site_id=PMI,
            type=type_,
            severity=4,
            **{"source": "site_manager", "occurred_at": None} | values,
        )
        scene.feed(report, at=scene.at(0))

    instant = scene.at(seconds / 60)
    say("cut", EventType.OUTAGE_POWER, source="supervision", occurred_at=instant)
    assert scene.status(PMI) != "normal"
    say("over", EventType.REOPENING, lifts=(EventType.OUTAGE_POWER,))
    assert scene.status(PMI) == "normal"
    say("again", EventType.OUTAGE_POWER, source="supervision")
    assert scene.status(PMI) != "normal"
    report_times = [scene.state.reports[id].occurred_at for id in ("cut", "over", "again")]
    assert report_times == [instant, instant + 1, instant + 2]


def test_a_report_dated_days_ahead_displaces_no_other(scene: Scene) -> None:
    window = (Window(start=scene.at(3000), end=scene.at(3100)),)
    scene.report(0, "outage_power", PMI, occurred=2900, effective=window)
    report = ReportReceived(
        report_id="r",
        source="cell",
        site_id=PMI,
        type=EventType.OUTAGE_WATER,
        severity=3,
        occurred_at=None,
    )
    scene.feed(report, at=scene.at(0))
    assert scene.state.reports["r"].occurred_at == scene.at(0)


def test_a_report_without_a_time_counts_from_its_recording(scene: Scene) -> None:
    """The front door does not know the time of an exercise."""
    scene.step(10)
    scene.feed(
        ReportReceived(
            report_id="r",
            source="cell",
            site_id=COLLEGE,
            type=EventType.CLOSURE,
            severity=4,
            occurred_at=None,
        )
    )
    row = scene.state.reports["r"]
    assert (row.occurred_at, row.recorded_at, row.flags) == (scene.at(10), scene.at(10), ())


def test_another_measure_on_the_same_site_is_another_cause(scene: Scene) -> None:
    scene.report(
        1,
        "sanitary_alert",
        PMI,
        measure=Measure(name="room_temperature", value=31.0, unit="°C", scope="site"),
    )
    scene.report(
        2,
        "sanitary_alert",
        PMI,
        measure=Measure(name="vaccine_fridge_temperature", value=8.5, unit="°C", scope="site"),
    )
    assert len(scene.site(PMI).causes) == 2


# ── D3 ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_update_with_refs_replaces_the_values(scene: Scene) -> None:
    first = scene.report(
        1, "outage_power", COLLEGE, capacity_lost_pct=100, severity=4, expected_duration_h=2
    )
    scene.report(
        5,
        "outage_power",
        COLLEGE,
        capacity_lost_pct=30,
        severity=2,
        msg_type=MsgType.UPDATE,
        references=(first,),
    )
    (cause,) = scene.site(COLLEGE).causes
    assert (cause.loss_pct, cause.severity) == (30, 2)
    assert scene.status(COLLEGE) == "degraded"
    assert "superseded" in scene.state.reports[first].flags


def test_an_older_update_replaces_nothing(scene: Scene) -> None:
    first = scene.report(10, "outage_power", COLLEGE, capacity_lost_pct=100)
    scene.report(
        12,
        "outage_power",
        COLLEGE,
        occurred=5,
        capacity_lost_pct=10,
        msg_type=MsgType.UPDATE,
        references=(first,),
    )
    assert scene.site(COLLEGE).causes[0].loss_pct == 100


@pytest.mark.parametrize(("type", "counts"), [("weather_alert", 3), ("info", 5)])
def test_an_update_replaces_the_severity_of_equal_reports_only(
    scene: Scene, type: str, counts: int
) -> None:
    """D3: a lowered bulletin held N4; a repeated report took its severity away."""
    first = scene.report(
        0, "weather_alert", source="meteo_france", phenomenon="vent", colour="orange", severity=5
    )
    scene.report(
        5,
        type,
        source="meteo_france",
        phenomenon="vent",
        severity=3,
        msg_type=MsgType.UPDATE,
        references=(first,),
    )
    assert max(list_severities(scene)) == counts
    assert ("superseded" in scene.state.reports[first].flags) is (counts == 3)


def test_an_update_of_another_type_is_a_cause_of_its_own(scene: Scene) -> None:
    """A gas leak reported as an update of a damage was no leak."""
    damage = scene.report(0, "damage_report", COLLEGE, capacity_lost_pct=10)
    leak = scene.report(
        9, "gas_leak", COLLEGE, severity=4, msg_type=MsgType.UPDATE, references=(damage,)
    )
    assert [(c.type, c.severity) for c in scene.site(COLLEGE).causes] == [
        ("damage_report", 3),
        ("gas_leak", 4),
    ]
    assert scene.incident_of(leak) == scene.incident_of(damage)


def test_an_update_keeps_the_report_of_another_source(scene: Scene) -> None:
    """The update replaced the whole cause.

    D4: the worse of two sources counts. D3: an update replaces the report that it refers to.
    """
    first = scene.report(0, "outage_power", COLLEGE, capacity_lost_pct=40, severity=2)
    mine = {"msg_type": MsgType.UPDATE, "references": (first,)}
    theirs = scene.report(
        5, "outage_power", COLLEGE, source="supervision", capacity_lost_pct=100, severity=4
    )
    scene.report(10, "outage_power", COLLEGE, **mine, capacity_lost_pct=30, severity=1)
    (cause,) = scene.site(COLLEGE).causes
    assert (cause.severity, cause.loss_pct, scene.status(COLLEGE)) == (4, 100, "closed")
    for minute, lost in (
        (15, 60),
        (20, 50),
    ):  # a monitor always refers to its first one: its newest word is what it says
        update_fields = {
            "source": "supervision",
            "msg_type": MsgType.UPDATE,
            "references": (theirs,),
        }
        scene.report(
            minute, "outage_power", COLLEGE, **update_fields, capacity_lost_pct=lost, severity=3
        )
        assert scene.site(COLLEGE).causes[0].loss_pct == lost, "it was the worse, and says less now"
    scene.report(25, "outage_power", COLLEGE, **mine, capacity_lost_pct=10, severity=1)
    assert (scene.site(COLLEGE).causes[0].severity, scene.site(COLLEGE).causes[0].loss_pct) == (
        3,
        50,
    )
    scene.report(
        30,
        "outage_power",
        COLLEGE,
        msg_type=MsgType.UPDATE,
        references=(theirs,),
        source="enedis",
        capacity_lost_pct=20,
        severity=2,
    )
    assert scene.site(COLLEGE).causes[0].sources == ("site_manager", "supervision", "enedis")


def test_a_partial_opening_by_one_source_keeps_the_closure_of_another(scene: Scene) -> None:
    shut = scene.report(0, "closure", COLLEGE, severity=2)
    scene.report(5, "closure", COLLEGE, source="education_nationale", severity=4)
    scene.report(
        10,
        "partial_closure",
        COLLEGE,
        capacity_lost_pct=20,
        msg_type=MsgType.UPDATE,
        references=(shut,),
    )
    assert scene.status(COLLEGE) == "closed"
    assert {(c.type, c.sources) for c in scene.site(COLLEGE).causes} == {
        ("closure", ("education_nationale",)),
        ("partial_closure", ("site_manager",)),
    }


@pytest.mark.parametrize(("occurred", "status"), [(30, "degraded"), (-5, "closed")])
def test_a_partial_opening_by_update_replaces_the_closure(
    scene: Scene, occurred: float, status: str
) -> None:
    shut = scene.report(0, "closure", COLLEGE)
    part = {"capacity_lost_pct": 20, "msg_type": MsgType.UPDATE, "references": (shut,)}
    scene.report(30, "partial_closure", COLLEGE, occurred=occurred, **part)
    assert scene.status(COLLEGE) == status, "an older word replaces nothing"
    assert len(scene.site(COLLEGE).causes) == 1


def test_references_may_use_the_senders_own_ids(scene: Scene) -> None:
    first = scene.report(1, "closure", COLLEGE, alias="their-1", source_key="k")
    scene.report(
        2, "closure", COLLEGE, msg_type=MsgType.CANCEL, references=("their-1",), source_key="k"
    )
    assert scene.status(COLLEGE) == "normal"
    assert "cancelled" in scene.state.reports[first].flags


def test_a_corrected_message_calls_people_only_after_confirmation(scene: Scene) -> None:
    """D6: as any single unconfirmed word; the reason stands with the report."""
    id = scene.report(
        1, "fire", COLLEGE, severity=5, certainty="unconfirmed", corrected_by="p-cell"
    )
    row = scene.state.reports[id]
    assert (row.corrected_by, row.confirmation) == ("p-cell", "unconfirmed")
    assert [why.value for why in row.why if why.code == "corrected"] == ["p-cell"]
    assert not scene.state.incidents
    later = scene.report(2, "fire", COLLEGE, severity=5)
    assert "corrected_by" not in scene.state.reports[later].model_dump(mode="json"), (
        "a source's own word is recorded as before"
    )


def test_a_cancel_with_refs_lifts_the_cause_and_keeps_the_report(scene: Scene) -> None:
    first = scene.report(1, "closure", COLLEGE, severity=5)
    scene.report(3, "closure", COLLEGE, msg_type=MsgType.CANCEL, references=(first,))
    assert scene.status(COLLEGE) == "normal"
    assert scene.state.reports[first].state == "applied"
    assert not scene.state.severities, "a cancelled report counts for no severity"


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1)])
def test_a_cancel_ends_no_report_of_a_later_time(order: tuple[int, ...]) -> None:
    """D7: closed at 0, cancelled at 5, closed at 10 by another source, in any order."""
    scene = Scene()
    reports: list[dict[str, Any]] = [
        {"occurred": 0, "id": "first"},
        {"occurred": 5, "msg_type": MsgType.CANCEL, "references": ("first",)},
        {"occurred": 10, "source": "rh"},
    ]
    for n, which in enumerate(order):
        scene.report(30 + n, "closure", COLLEGE, **reports[which])
    assert (scene.status(COLLEGE), scene.site(COLLEGE).since) == ("closed", scene.at(10))
    assert scene.site(COLLEGE).causes[0].sources == ("rh",)


def test_a_withdrawn_reopening_leaves_the_site_unchanged(scene: Scene) -> None:
    shut = scene.report(0, "closure", COLLEGE, severity=4)
    open_ = scene.report(
        10,
        "reopening",
        COLLEGE,
        severity=1,
        measure=Measure(name="desks_available", value=1.0, value_of=2.0),
    )
    incident = scene.incident_of(shut)
    scene.command(_cell(ResolveIncident, incident=incident.id, force=True, reason="text:x"), 11)  # type: ignore[arg-type]
    assert scene.status(COLLEGE) == "degraded"
    scene.report(12, "reopening", COLLEGE, severity=1, msg_type=MsgType.CANCEL, references=(open_,))
    assert (scene.status(COLLEGE), scene.site(COLLEGE).since) == ("closed", scene.at(0))
    assert [c.type for c in scene.site(COLLEGE).causes] == ["closure"]
    assert scene.state.incidents[incident.id].state == "open"


def test_a_withdrawn_reopening_restores_no_withdrawn_report(scene: Scene) -> None:
    shut = scene.report(0, "closure", COLLEGE)
    open_ = scene.report(10, "reopening", COLLEGE, severity=1, lifts=(EventType.CLOSURE,))
    scene.report(11, "closure", COLLEGE, severity=1, msg_type=MsgType.CANCEL, references=(shut,))
    scene.report(12, "reopening", COLLEGE, severity=1, msg_type=MsgType.CANCEL, references=(open_,))
    assert scene.status(COLLEGE) == "normal"


def test_a_denied_reopening_beside_a_second_one_changes_nothing(scene: Scene) -> None:
    scene.report(0, "closure", COLLEGE)
    first = scene.report(10, "reopening", COLLEGE, severity=1, lifts=(EventType.CLOSURE,))
    scene.report(11, "reopening", COLLEGE, severity=1, lifts=(EventType.CLOSURE,), source="rh")
    scene.command(_cell(DenyReport, report=first), 12)  # type: ignore[arg-type]
    assert scene.status(COLLEGE) == "normal"


def test_a_wrongly_denied_report_holds_again_after_confirmation(scene: Scene) -> None:
    id = scene.report(0, "closure", COLLEGE)
    scene.command(_cell(DenyReport, report=id), 5)  # type: ignore[arg-type]
    assert scene.status(COLLEGE) == "normal"
    scene.command(_cell(ConfirmReport, report=id), 6)  # type: ignore[arg-type]
    assert (scene.status(COLLEGE), scene.site(COLLEGE).since) == ("closed", scene.at(0))


@pytest.mark.parametrize("by_person", [True, False])
def test_a_withdrawn_report_asks_for_no_link_and_has_no_effect_when_linked(
    scene: Scene, by_person: bool
) -> None:
    id = scene.report(0, "closure", "clg-unknown")
    if by_person:
        scene.command(_cell(DenyReport, report=id), 5)  # type: ignore[arg-type]
    else:
        scene.report(5, "closure", msg_type=MsgType.CANCEL, references=(id,))
    assert {t.state for t in scene.state.tasks.values()} == {"void"}
    assert isinstance(scene.command(_cell(LinkReport, report=id, site=COLLEGE), 6), CommandApplied)  # type: ignore[arg-type]
    assert scene.status(COLLEGE) == "normal"
    assert scene.state.reports[id].site == COLLEGE
    assert not [t for t in scene.state.tasks.values() if t.state == "open"]


def test_a_cancel_without_refs_applies_its_value_or_asks_a_person(scene: Scene) -> None:
    scene.report(0, "weather_alert", source="meteo_france", phenomenon="canicule", colour="orange")
    scene.report(
        5,
        "weather_alert",
        source="meteo_france",
        phenomenon="canicule",
        colour="jaune",
        msg_type=MsgType.CANCEL,
    )
    assert scene.state.flags["vigilance:canicule"].value == "jaune"

    rumour = scene.report(6, "info", source="rumour", certainty=Certainty.RUMOUR, severity=3)
    scene.report(8, "info", source="prefecture_police", msg_type=MsgType.CANCEL, severity=1)
    (task,) = scene.state.tasks.values()
    assert (task.kind, task.state, task.candidates) == ("link_denial", "open", (rumour,))


@pytest.mark.parametrize("object", [None, "network:electricity", "zone:nord"])
def test_zero_customers_cut_is_the_all_clear_for_any_named_area(
    scene: Scene, object: str | None
) -> None:
    """D3, D20: without its network the Cancel joined nothing.

    30 000 customers stayed cut forever.
    """
    scene.report(0, "outage_power", PMI, capacity_lost_pct=100)
    common_fields: dict[str, Any] = {"source": "enedis", "zone": ("92050",)}
    cut = scene.report(
        1,
        "outage_power",
        **common_fields,
        severity=4,
        measure=Measure(name="customers_cut", value=30_000.0, object=object),
    )
    none = Measure(name="customers_cut", value=0.0, object=object)
    clear = scene.report(
        100, "outage_power", **common_fields, severity=1, msg_type=MsgType.CANCEL, measure=none
    )
    assert scene.incident_of(clear) == scene.incident_of(cut)
    assert scene.incident_of(cut).customers_cut == 0
    assert not scene.state.placeless.get("outage_power")
    scene.step(160)
    assert scene.status(PMI) == "unknown", "silent for an hour after it"


# ── D5 ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "order", [(0, 1, 2), (0, 2, 1), (2, 0, 1), (1, 0, 2), (1, 2, 0), (2, 1, 0)]
)
def test_simultaneous_opening_and_closure_keep_the_closure_and_ask_to_verify(
    order: tuple[int, ...],
) -> None:
    scene = Scene()
    reports: list[dict[str, Any]] = [
        {"type": "closure", "occurred": 1},
        {
            "type": "reopening",
            "occurred": 10,
            "source": "rh",
            "lifts": (EventType.CLOSURE,),
            "severity": 1,
        },
        {"type": "closure", "occurred": 12, "source": "education_nationale"},
    ]
    for n, which in enumerate(order):
        report_fields = dict(reports[which])
        scene.report(30 + n, report_fields.pop("type"), COLLEGE, **report_fields)
    row = scene.site(COLLEGE)
    assert (row.status, row.flags, row.since) == ("closed", ("contested",), scene.at(12))
    assert [t.kind for t in scene.state.tasks.values() if t.state == "open"] == ["contested"]
    assert [w.code for w in row.why] == ["D14:closed", "contested"]


def test_a_reopening_without_named_types_is_contradicted_too(scene: Scene) -> None:
    scene.report(0, "closure", COLLEGE)
    opened = scene.report(10, "reopening", COLLEGE, source="rh", severity=1)
    assert scene.state.reports[opened].lifts == ("closure",), "the only open type (D16)"
    scene.report(14, "closure", COLLEGE, source="education_nationale")
    assert (scene.status(COLLEGE), scene.site(COLLEGE).flags) == ("closed", ("contested",))


@pytest.mark.parametrize(
    ("site", "values", "flagged"),
    [
        (PMI, {"lifts": (EventType.CLOSURE,)}, True),
        (PMI, {}, True),
        (COLLEGE, {"lifts": (EventType.OUTAGE_POWER,)}, True),
        (COLLEGE, {"lifts": (EventType.OUTAGE_POWER, EventType.CLOSURE)}, False),
        (COLLEGE, {}, False),
        (COLLEGE, {"lifts": (EventType.CLOSURE,), "occurred": -30}, False),
        (PMI, {"measure": Measure(name="desks_available", value=5.0)}, False),
        ("zzz-9", {"lifts": (EventType.CLOSURE,)}, False),
    ],
)
def test_a_reopening_that_lifts_nothing_says_so(
    scene: Scene, site: str, values: dict[str, Any], flagged: bool
) -> None:
    """The sender of another site read «pris en compte»."""
    scene.report(0, "closure", COLLEGE)
    opened = scene.report(10, "reopening", site, severity=1, **values)
    assert ("lifts_nothing" in scene.state.reports[opened].flags) is flagged


def test_an_examined_contradiction_no_longer_counts(scene: Scene) -> None:
    """D5: its site was shown as contested for ever."""
    scene.report(10, "reopening", COLLEGE, lifts=(EventType.CLOSURE,), severity=1)
    scene.report(12, "closure", COLLEGE, source="police")
    (task,) = scene.state.tasks.values()
    scene.command(_cell(CompleteTask, task=task.id, outcome="confirmed"), 20)  # type: ignore[arg-type]
    assert (scene.status(COLLEGE), scene.site(COLLEGE).flags) == ("closed", ())
    assert scene.state.tasks[task.id].state == "done"


def test_a_closure_long_after_a_reopening_is_no_contradiction(scene: Scene) -> None:
    scene.report(1, "closure", COLLEGE)
    scene.report(60, "closure", COLLEGE, source="education_nationale")
    scene.report(
        61, "reopening", COLLEGE, occurred=20, source="rh", lifts=(EventType.CLOSURE,), severity=1
    )
    row = scene.site(COLLEGE)
    assert (row.status, row.flags, row.since) == ("closed", (), scene.at(60))


def test_an_announcement_just_after_a_reopening_is_no_contradiction(scene: Scene) -> None:
    scene.report(0, "reopening", COLLEGE, source="rh", lifts=(EventType.CLOSURE,), severity=1)
    scene.report(
        4, "closure", COLLEGE, effective=(Window(start=scene.at(1440), end=scene.at(1500)),)
    )
    assert scene.site(COLLEGE).flags == ()
    assert not scene.state.tasks


def test_the_latest_order_of_evacuation_and_shelter_stands(scene: Scene) -> None:
    scene.report(5, "evacuation", COLLEGE, severity=4)
    scene.report(6, "shelter_in_place", COLLEGE, severity=4)
    assert scene.status(COLLEGE) == "sheltering"
    scene.report(7, "evacuation", COLLEGE, occurred=4, severity=4, source="pompiers")
    assert scene.status(COLLEGE) == "sheltering", (
        "an older order that arrives later changes nothing"
    )
    scene.report(9, "evacuation", COLLEGE, severity=4, source="pompiers")
    assert scene.status(COLLEGE) == "evacuated"
    assert [c.type for c in scene.site(COLLEGE).causes] == ["evacuation"]
    assert {r.type for r in scene.state.reports.values()} == {"evacuation", "shelter_in_place"}, (
        "both stay in the log"
    )


@pytest.mark.parametrize("left", ["evacuation", "fire"])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_later_order_to_leave_ends_shelter_in_any_order_of_arrival(
    scene: Scene, order: tuple[int, ...], left: str
) -> None:
    reports: list[dict[str, Any]] = [
        {"type": "shelter_in_place", "occurred": 5, "source": "pompiers"},
        {"type": left, "occurred": 10, "source": "pompiers"},
        {"type": "reopening", "occurred": 60, "severity": 1, "lifts": (EventType(left),)},
    ]
    for n, which in enumerate(order):
        scene.report(61 + n, reports[which].pop("type"), COLLEGE, **reports[which])
    assert (scene.status(COLLEGE), scene.site(COLLEGE).capacity_pct) == ("normal", 100)


def test_an_order_to_shelter_of_the_very_time_stands_if_it_is_heard_last(scene: Scene) -> None:
    """D5: a form tells minutes, and its sender corrects the order within one."""
    scene.report(5, "evacuation", COLLEGE, severity=4)
    scene.report(7, "shelter_in_place", COLLEGE, occurred=5, severity=4)
    assert scene.status(COLLEGE) == "sheltering"
    scene.report(8, "evacuation", COLLEGE, occurred=5, severity=4)
    assert scene.status(COLLEGE) == "evacuated"


def test_an_order_to_shelter_after_the_one_to_leave_stands(scene: Scene) -> None:
    scene.report(5, "shelter_in_place", COLLEGE, source="pompiers")
    scene.report(12, "shelter_in_place", COLLEGE, source="prefecture")
    scene.report(14, "evacuation", COLLEGE, occurred=10)
    (shelter,) = [c for c in scene.site(COLLEGE).causes if c.type == "shelter_in_place"]
    assert (shelter.since, shelter.sources, shelter.contested) == (
        scene.at(12),
        ("prefecture",),
        False,
    )
    assert scene.status(COLLEGE) == "sheltering"


@pytest.mark.parametrize("by_person", [True, False])
def test_a_withdrawn_order_to_leave_ends_nothing(scene: Scene, by_person: bool) -> None:
    scene.report(5, "shelter_in_place", COLLEGE)
    order = scene.report(10, "evacuation", COLLEGE)
    if by_person:
        scene.command(_cell(DenyReport, report=order), 20)  # type: ignore[arg-type]
    else:
        scene.report(20, "evacuation", COLLEGE, msg_type="Cancel", references=(order,), severity=1)
    assert scene.status(COLLEGE) == "sheltering"
    scene.report(21, "shelter_in_place", COLLEGE, occurred=4, source="pompiers")
    assert scene.site(COLLEGE).causes[0].since == scene.at(4)


def test_an_announced_order_to_leave_ends_shelter_at_its_start(scene: Scene) -> None:
    scene.report(5, "shelter_in_place", COLLEGE)
    scene.report(
        10, "evacuation", COLLEGE, effective=(Window(start=scene.at(60), end=scene.at(120)),)
    )
    assert scene.status(COLLEGE) == "sheltering"
    scene.step(61)
    assert scene.status(COLLEGE) == "evacuated"
    scene.step(121)
    assert scene.status(COLLEGE) == "normal"


# ── D6 ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_rumour_opens_nothing_and_counts_for_nothing(scene: Scene) -> None:
    id = scene.report(1, "fire", "cen-1", source="rumour", certainty=Certainty.RUMOUR, severity=5)
    assert not scene.incidents()
    assert scene.state.level() == 0
    assert scene.status("cen-1") == "normal"
    assert scene.state.reports[id].incident is None
    assert [t.plan for t in scene.state.triggers.values()] == ["PCA-communication"]


def test_a_site_with_only_an_unconfirmed_report_is_unknown(scene: Scene) -> None:
    id = scene.report(1, "closure", COLLEGE, certainty=Certainty.UNCONFIRMED)
    assert scene.status(COLLEGE) == "unknown"
    assert not scene.incidents()
    scene.report(5, "info", COLLEGE, severity=1)
    assert scene.status(COLLEGE) == "normal", "the site has spoken"
    assert scene.state.reports[id].confirmation == "unconfirmed"


def test_an_announcement_is_no_news_of_the_current_state_of_a_site(scene: Scene) -> None:
    scene.report(
        0, "partial_closure", COLLEGE, effective=(Window(start=scene.at(5000), end=scene.at(6000)),)
    )
    scene.report(300, "fire", COLLEGE, certainty=Certainty.UNCONFIRMED, source="voisin")
    assert scene.status(COLLEGE) == "unknown"


@pytest.mark.parametrize("second", [Certainty.UNCONFIRMED, Certainty.CONFIRMED])
def test_a_second_independent_source_confirms(scene: Scene, second: Certainty) -> None:
    first = scene.report(1, "closure", COLLEGE, occurred=0, certainty=Certainty.UNCONFIRMED)
    same = scene.report(2, "closure", COLLEGE, certainty=Certainty.UNCONFIRMED)
    assert scene.state.reports[same].confirmation == "unconfirmed", (
        "the same source twice is one source"
    )

    scene.report(3, "closure", COLLEGE, certainty=second, source="education_nationale")
    assert scene.state.reports[first].confirmation == "confirmed"
    assert scene.status(COLLEGE) == "closed"
    assert scene.site(COLLEGE).causes[0].since == scene.at(0), "with its own times"
    assert len(scene.site(COLLEGE).causes) == 1


@pytest.mark.parametrize("order", list(permutations((Certainty.RUMOUR, Certainty.UNCONFIRMED))))
def test_a_rumour_is_no_second_source(scene: Scene, order: tuple[Certainty, ...]) -> None:
    """D6: a social network and one neighbour confirmed a fire, if the network reported first."""
    report_ids = [
        scene.report(n, "fire", COLLEGE, certainty=c, source=c.value, severity=5)
        for n, c in enumerate(order)
    ]
    assert [scene.state.reports[r].confirmation for r in report_ids] == [c.value for c in order]
    assert (scene.status(COLLEGE), scene.state.level()) == ("unknown", 0)
    scene.report(5, "fire", COLLEGE, certainty=Certainty.UNCONFIRMED, source="gardien", severity=4)
    assert {scene.state.reports[r].confirmation for r in report_ids} == {"confirmed"}, (
        "two who saw it confirm what was rumoured, too"
    )


@pytest.mark.parametrize(
    "said",
    [
        {"msg_type": MsgType.CANCEL},
        {"msg_type": MsgType.CANCEL, "certainty": Certainty.UNCONFIRMED},
        {"effective": (Window(start=Scene().at(5000), end=Scene().at(6000)),)},
    ],
)
def test_a_denial_or_an_announcement_confirms_nothing(scene: Scene, said: dict[str, Any]) -> None:
    """« Not closed » or « closed next week » of another source confirmed today's closure."""
    doubt = scene.report(0, "closure", COLLEGE, certainty=Certainty.UNCONFIRMED)
    scene.report(2, "closure", COLLEGE, source="education_nationale", **said)
    assert scene.state.reports[doubt].confirmation == "unconfirmed"
    assert scene.status(COLLEGE) != "closed"


def test_a_count_of_another_day_confirms_nothing(scene: Scene) -> None:
    doubt = scene.report(
        0, "staff_shortage", COLLEGE, certainty=Certainty.UNCONFIRMED, capacity_lost_pct=50
    )
    scene.report(3 * 24 * 60, "staff_shortage", COLLEGE, source="rh", capacity_lost_pct=20)
    assert scene.state.reports[doubt].confirmation == "unconfirmed"


SUPPLIER = {
    "type": "supplier_failure",
    "measure": Measure(
        name="sites_not_delivered", value=54.0, object="supplier:cuisine-centrale-sud"
    ),
}
ROAD = {
    "type": "transport_disruption",
    "measure": Measure(name="road_closed", value=True, object="road:N118"),
}


@pytest.mark.parametrize("second", [Certainty.UNCONFIRMED, Certainty.CONFIRMED])
@pytest.mark.parametrize("said", [SUPPLIER, ROAD], ids=["supplier", "road"])
def test_a_second_source_confirms_a_report_without_a_site(
    scene: Scene, said: dict[str, Any], second: Certainty
) -> None:
    """A supplier or a road that two sources tell of stayed a rumour for ever."""
    first = scene.report(0, **said, severity=4, certainty=Certainty.UNCONFIRMED)
    again = scene.report(1, **said, severity=4, certainty=Certainty.UNCONFIRMED)
    assert scene.state.reports[again].confirmation == "unconfirmed", "the same source"
    other = scene.report(5, **said, severity=4, certainty=second, source="prefecture")
    assert {scene.state.reports[r].confirmation for r in (first, again, other)} == {"confirmed"}
    assert len(scene.incidents()) == 1
    assert not scene.state.rumours
    assert not [t for t in scene.state.tasks.values() if t.state == "open"]


def test_a_report_of_an_open_road_confirms_no_closure(scene: Scene) -> None:
    common_fields = {
        "type": "transport_disruption",
        "certainty": Certainty.UNCONFIRMED,
        "commune": "92050",
    }
    doubts = [scene.report(0, **common_fields, measure=ROAD["measure"])]
    open_ = Measure(name="road_closed", value=False, object="road:N118")
    doubts.append(scene.report(5, **common_fields, source="siter", measure=open_))
    doubts.append(
        scene.report(
            6,
            **common_fields,
            source="police",
            measure=Measure(name="road_closed", value=True, object="road:A86"),
        )
    )
    assert {scene.state.reports[r].confirmation for r in doubts} == {"unconfirmed"}


@pytest.mark.parametrize("second", [Certainty.UNCONFIRMED, Certainty.CONFIRMED])
@pytest.mark.parametrize(
    ("calm", "confirmed"),
    [({}, False), ({"severity": 4}, True), ({"occurred": -5}, True), ({"site": PMI}, True)],
)
def test_a_later_report_of_no_trouble_ends_an_older_unconfirmed_report(
    scene: Scene, calm: dict[str, Any], confirmed: bool, second: Certainty
) -> None:
    """Today's cut confirmed an unconfirmed report of three days before, and was backdated to it."""
    day = 3 * 24 * 60
    doubt = scene.report(
        0,
        "outage_power",
        COLLEGE,
        source="voisin",
        certainty=Certainty.UNCONFIRMED,
        capacity_lost_pct=100,
    )
    scene.report(10, "info", **{"site": COLLEGE, "severity": 1} | calm)
    today = scene.report(day, "outage_power", COLLEGE, certainty=second, capacity_lost_pct=100)
    assert (scene.state.reports[doubt].confirmation == "confirmed") is confirmed
    since = [c.since for c in scene.site(COLLEGE).causes] if COLLEGE in scene.state.sites else []
    assert since == (
        [scene.at(0)] if confirmed else [scene.at(day)] if second is Certainty.CONFIRMED else []
    )
    assert (scene.state.reports[today].confirmation == "confirmed") is (
        confirmed or second is Certainty.CONFIRMED
    )


CUT = {"type": "outage_power", "site": COLLEGE, "severity": 3, "capacity_lost_pct": 60.0}


@pytest.mark.parametrize("order", [("confirmed", "unconfirmed"), ("unconfirmed", "confirmed")])
def test_two_sources_confirm_each_other_in_either_order(order: tuple[str, ...]) -> None:
    """Arriving second, the unconfirmed report kept its task about a well-known cut."""
    scene = Scene(check=True)
    report_ids = [
        scene.report(n, **CUT, certainty=Certainty(c), source=c, occurred=0)
        for n, c in enumerate(order)
    ]
    assert {scene.state.reports[r].confirmation for r in report_ids} == {"confirmed"}
    assert [
        t for t in scene.state.tasks.values() if t.state == "open" and t.kind == "verify_report"
    ] == []
    (cause,) = scene.site(COLLEGE).causes
    assert (cause.since, set(cause.sources)) == (scene.at(0), set(order))
    assert not scene.state.rumours


@pytest.mark.parametrize(
    "more",
    [
        {"severity": 5},
        {"capacity_lost_pct": 100.0},
        {"persons_concerned": 40},
        {"occurred": -90},
        {"expected_duration_h": 48.0},
        {"effective": (Window(start=Scene().at(0), end=Scene().at(5000)),)},
        {"zone": ("92050", "92002")},
        {"plan_hint": "PCA-communication"},
        {"source": "site_manager"},
        {"msg_type": MsgType.CANCEL},
        {"certainty": Certainty.RUMOUR},
        {"type": "outage_water"},
    ],
    ids=lambda m: str(next(iter(m))),
)
def test_a_report_beyond_the_confirmed_one_waits_for_a_person(
    scene: Scene, more: dict[str, Any]
) -> None:
    scene.report(0, **CUT)
    before = scene.site(COLLEGE)
    report_fields: dict[str, Any] = (
        {"certainty": Certainty.UNCONFIRMED, "source": "voisin"} | CUT | more
    )
    doubt = scene.report(5, **report_fields)
    assert scene.state.reports[doubt].confirmation == report_fields["certainty"].value
    assert scene.site(COLLEGE) == before


def test_an_unconfirmed_report_reopens_no_ended_cause(scene: Scene) -> None:
    scene.report(0, **CUT)
    scene.report(10, "reopening", COLLEGE)
    doubt = scene.report(20, **CUT, certainty=Certainty.UNCONFIRMED, source="voisin")
    assert scene.state.reports[doubt].confirmation == "unconfirmed"


def test_a_linked_unconfirmed_report_waits_for_its_second_source() -> None:
    scene = Scene(check=True)
    doubt = scene.report(0, "closure", "clg-unknown", certainty=Certainty.UNCONFIRMED)
    scene.command(_cell(LinkReport, report=doubt, site=COLLEGE), 5)  # type: ignore[arg-type]
    assert dict(scene.state.doubts) == {COLLEGE: (doubt,)}
    assert list(scene.state.pending) == [f"{COLLEGE}|closure|"]
    scene.report(9, "closure", COLLEGE, source="rh", certainty=Certainty.UNCONFIRMED)
    assert scene.state.reports[doubt].confirmation == "confirmed"


def test_a_named_person_confirms_or_denies(scene: Scene) -> None:
    one = scene.report(1, "closure", COLLEGE, certainty=Certainty.UNCONFIRMED)
    other = scene.report(1, "closure", PMI, certainty=Certainty.UNCONFIRMED)
    assert isinstance(scene.command(_cell(ConfirmReport, report=one), 4), CommandApplied)  # type: ignore[arg-type]
    assert scene.status(COLLEGE) == "closed"
    assert scene.state.reports[one].verified_by == "coord-pca"
    assert isinstance(scene.command(_cell(DenyReport, report=other), 5), CommandApplied)  # type: ignore[arg-type]
    assert scene.status(PMI) == "normal"
    assert scene.state.reports[other].confirmation == "denied"
    assert {t.state for t in scene.state.tasks.values()} == {"void"}
    again = scene.command(_cell(DenyReport, report=other), 6)  # type: ignore[arg-type]
    assert isinstance(again, CommandRefused)
    assert again.status == 409


def test_a_denied_report_keeps_the_report_of_another_source(scene: Scene) -> None:
    """D4: the site was open again although its manager's closure was never denied."""
    scene.report(0, "closure", COLLEGE, severity=2)
    other = scene.report(5, "closure", COLLEGE, source="police", severity=5, persons_concerned=40)
    scene.command(_cell(DenyReport, report=other), 10)  # type: ignore[arg-type]
    assert scene.status(COLLEGE) == "closed"
    (cause,) = scene.site(COLLEGE).causes
    assert (cause.severity, cause.sources) == (2, ("site_manager",))


def test_an_unconfirmed_report_may_join_an_incident_but_moves_no_level(scene: Scene) -> None:
    scene.report(1, "outage_power", PMI, severity=2, capacity_lost_pct=40)
    level = scene.state.level()
    id = scene.report(2, "outage_power", "cen-5", severity=5, certainty=Certainty.UNCONFIRMED)
    assert scene.incident_of(id) == scene.incidents()[0]
    assert scene.incidents()[0].members == (PMI,)
    assert scene.state.level() == level


# ── D7, D8, D9, D10, D11 ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_late_report_is_flagged_and_counts_from_its_own_time(scene: Scene) -> None:
    id = scene.report(40, "closure", COLLEGE, occurred=10)
    assert scene.state.reports[id].flags == ("late",)
    assert scene.site(COLLEGE).since == scene.at(10)


def test_an_older_report_never_overwrites_a_newer_one(scene: Scene) -> None:
    scene.report(30, "reopening", COLLEGE, lifts=(EventType.CLOSURE,), severity=1)
    late = scene.report(45, "closure", COLLEGE, occurred=5)
    assert scene.status(COLLEGE) == "normal"
    assert scene.state.reports[late].reason == "over_already"


def test_a_future_time_without_windows_is_flagged_and_replaced(scene: Scene) -> None:
    id = scene.report(10, "closure", COLLEGE, occurred=60)
    assert scene.state.reports[id].flags == ("future",)
    assert scene.site(COLLEGE).since == scene.at(10)


def test_an_unknown_site_waits_for_a_link_that_keeps_the_original_times(scene: Scene) -> None:
    id = scene.report(30, "closure", "clg-unknown", occurred=10, commune="92050", severity=3)
    assert scene.state.reports[id].flags == ("late", "site_unknown")
    assert "clg-unknown" not in scene.state.sites
    (task,) = scene.state.tasks.values()
    assert task.kind == "link_site"

    assert isinstance(scene.command(_cell(LinkReport, report=id, site=COLLEGE), 50), CommandApplied)  # type: ignore[arg-type]
    assert scene.status(COLLEGE) == "closed"
    assert scene.site(COLLEGE).since == scene.at(10)
    assert scene.incident_of(id).members == (COLLEGE,)
    assert scene.state.tasks[task.id].state == "void"


@pytest.mark.parametrize(
    "said",
    [
        {"type": "fire", "severity": 5},
        {"type": "closure"},
        {"type": "outage_power"},
        {"type": "staff_shortage"},
    ],
)
def test_the_incident_of_an_unknown_site_goes_along_when_it_is_linked(
    scene: Scene, said: dict[str, Any]
) -> None:
    """D8: there were two of one fact from then on, and people were called for both."""
    report_fields = dict(said)
    id = scene.report(0, report_fields.pop("type"), "clg-unknown", **report_fields)
    before = scene.incident_of(id)
    scene.command(_cell(LinkReport, report=id, site=COLLEGE), 5)  # type: ignore[arg-type]
    (incident,) = scene.state.incidents.values()
    assert (incident.id, incident.members, incident.reports_count) == (before.id, (COLLEGE,), 1)
    other = scene.report(6, said["type"], COLLEGE, source="police")
    assert scene.incident_of(other).id == before.id


def test_a_linked_unknown_site_joins_the_known_incident_of_its_cause(scene: Scene) -> None:
    report_id = scene.report(0, "closure", COLLEGE)
    id = scene.report(1, "closure", "clg-unknown", source="police", severity=4)
    apart = scene.incident_of(id)
    scene.command(_cell(LinkReport, report=id, site=COLLEGE), 5)  # type: ignore[arg-type]
    assert scene.incidents() == [scene.incident_of(report_id)]
    assert scene.state.incidents[apart.id].merged_into == scene.incident_of(report_id).id
    assert scene.state.incidents[apart.id].reports_count == 0
    assert {e.state for e in scene.state.escalations.values() if e.scope == apart.id} == {
        "superseded"
    }


def test_linking_one_report_leaves_the_counts_of_the_others(scene: Scene) -> None:
    id = scene.report(0, "closure", "clg-unknown", commune="92050")
    other = scene.report(1, "closure", "clg-unknown-too", commune="92050")
    assert scene.incident_of(id) == scene.incident_of(other)
    scene.command(_cell(LinkReport, report=id, site=COLLEGE), 5)  # type: ignore[arg-type]
    assert [scene.incident_of(r).reports_count for r in (id, other)] == [1, 1]


def test_a_planned_report_acts_only_inside_its_windows(scene: Scene) -> None:
    windows = (
        Window(start=scene.at(60), end=scene.at(120)),
        Window(start=scene.at(180), end=scene.at(240)),
    )
    id = scene.report(0, "closure", COLLEGE, effective=windows, severity=4)
    statuses = []
    for minute in (30, 90, 150, 200, 300):
        scene.step(minute)
        statuses.append(scene.status(COLLEGE))
    assert statuses == ["normal", "closed", "normal", "closed", "normal"]
    assert not scene.site(COLLEGE).causes, "nothing is left to wait for"
    assert scene.state.reports[id].flags == ()


def test_an_announced_severity_counts_only_when_it_is_current(scene: Scene) -> None:
    scene.report(
        0,
        "closure",
        COLLEGE,
        effective=(Window(start=scene.at(60), end=scene.at(120)),),
        severity=4,
    )
    assert scene.state.level() == 0
    assert [i.severity for i in scene.incidents()] == [0]
    assert not scene.state.calls, "nobody is woken for next week"
    scene.step(60)
    assert scene.state.level() == 2
    assert [i.severity for i in scene.incidents()] == [4]


@pytest.mark.parametrize(
    ("said", "level"),
    [
        ({"type": "transport_disruption", "commune": "92050", "severity": 4}, 2),
        ({"type": "weather_alert", "severity": 5}, 3),
    ],
)
def test_a_report_without_a_cause_counts_from_its_window_on(
    said: dict[str, Any], level: int
) -> None:
    """A storm that an authority announced for the evening is no crisis before."""
    scene, report_fields = Scene(check=True), dict(said)
    scene.report(
        0,
        report_fields.pop("type"),
        source="meteo_france",
        effective=(Window(start=scene.at(60), end=scene.at(120)),),
        **report_fields,
    )
    scene.step(59)
    assert scene.state.level() == 0
    scene.step(60)
    assert (scene.state.level(), scene.incidents()[0].level) == (level, level)
    assert not [key for key in scene.state.agenda.due if key.startswith("report:")]


@pytest.mark.parametrize("site", [COLLEGE, "clg-unknown"])
def test_a_report_confirmed_or_linked_inside_its_window_counts(scene: Scene, site: str) -> None:
    doubt = Certainty.UNCONFIRMED if site == COLLEGE else Certainty.CONFIRMED
    window = Window(start=scene.at(60), end=scene.at(600))
    id = scene.report(0, "closure", site, severity=4, certainty=doubt, effective=(window,))
    command = (
        _cell(ConfirmReport, report=id)
        if site == COLLEGE
        else _cell(LinkReport, report=id, site=COLLEGE)
    )
    scene.command(command, 70)  # type: ignore[arg-type]
    assert (scene.status(COLLEGE), scene.state.level()) == ("closed", 2)


def test_a_cause_is_announced_again_between_two_windows(scene: Scene) -> None:
    windows = (
        Window(start=scene.at(0), end=scene.at(60)),
        Window(start=scene.at(120), end=scene.at(180)),
    )
    scene.report(0, "closure", COLLEGE, effective=windows, severity=4)
    severities = []
    for minute in (1, 61, 121, 181):
        scene.step(minute)
        severities.append(max(list_severities(scene), default=0))
    assert severities == [4, 0, 4, 4], (
        "of what is over the report stands as long as its incident is open"
    )


def test_an_announced_cut_has_customers_and_a_zone_only_inside_its_window() -> None:
    """Next week's 25 000 customers gave N2 and unknown silent sites today (D9, D18)."""
    scene = Scene(check=True)
    cut = Measure(name="customers_cut", value=25_000.0, object="network:electricity")
    window = Window(start=scene.at(100), end=scene.at(200))
    id = scene.report(
        0,
        "outage_power",
        source="enedis",
        zone=("92050",),
        severity=3,
        measure=cut,
        effective=(window,),
    )
    today = cut.model_copy(update={"value": 40.0})
    other = scene.report(
        1, "outage_power", source="enedis", zone=("92002",), severity=2, measure=today, occurred=-1
    )
    assert scene.incident_of(other).customers_cut == 40, (
        "it is older than what was announced, and the only one that is current"
    )
    scene.step(99)
    assert (scene.incident_of(id).customers_cut, scene.state.level(), len(scene.state.zones)) == (
        None,
        1,
        0,
    )
    scene.step(100)
    assert (scene.incident_of(id).customers_cut, scene.state.level()) == (25_000, 2)
    scene.step(129)
    assert "unknown" not in {s.status for s in scene.state.sites.values()}
    scene.step(130)
    assert scene.status("par-05") == "unknown"
    scene.step(200)
    assert scene.incident_of(id).customers_cut is None


def test_people_of_an_announced_evacuation_are_not_evacuated_yet(scene: Scene) -> None:
    window = Window(start=scene.at(60), end=scene.at(120))
    scene.report(
        0,
        "evacuation",
        source="prefecture",
        zone=("92050",),
        persons_concerned=500,
        effective=(window,),
    )
    assert "PCA-logement:0" not in scene.state.triggers
    scene.step(60)
    assert scene.state.triggers["PCA-logement:0"].why[0].value == 500


def test_a_count_of_absent_people_ends_with_its_day_and_the_newest_of_the_day_replaces(
    scene: Scene,
) -> None:
    def absent(minute: float, pct: float, occurred: float | None = None) -> None:
        measure = Measure(name="absence_rate", value=pct, unit="%", scope="site")
        scene.report(
            minute,
            "staff_shortage",
            COLLEGE,
            occurred=occurred,
            capacity_lost_pct=pct,
            measure=measure,
        )

    absent(0, 50)
    absent(30, 20)
    assert scene.site(COLLEGE).causes[0].loss_pct == 20
    absent(40, 60, occurred=10)
    assert scene.site(COLLEGE).causes[0].loss_pct == 20, "the older count came late"
    midnight = (24 - 9) * 60 - 40
    scene.step(midnight - 1)
    assert scene.status(COLLEGE) == "degraded"
    scene.step(midnight)
    assert scene.status(COLLEGE) == "normal"
    absent(midnight + 5, 90, occurred=50)
    assert scene.status(COLLEGE) == "normal", "a late count of yesterday says nothing of today"


def test_several_counts_of_ill_people_are_their_maximum(scene: Scene) -> None:
    for minute, n in ((1, 20), (5, 12), (9, 31)):
        scene.report(
            minute,
            "sanitary_alert",
            "clg-0921631Y",
            measure=Measure(name="ill_persons", value=float(n), unit="persons", scope="site"),
        )
    assert scene.state.illness["cuisine-centrale-sud"]["clg-0921631Y"][0] == 31


def test_the_newest_temperature_of_the_day_replaces_and_of_malaises_the_maximum_stays(
    scene: Scene,
) -> None:
    for minute, heat, ill in ((0, 34.0, 4.0), (120, 27.0, 2.0)):
        severity = 3 if heat > 30 else 1
        scene.report(
            minute,
            "sanitary_alert",
            COLLEGE,
            severity=severity,
            measure=Measure(name="room_temperature", value=heat, unit="°C"),
        )
        scene.report(
            minute,
            "sanitary_alert",
            PMI,
            severity=severity,
            measure=Measure(name="ill_persons", value=ill, object="hazard:heat"),
        )
    assert (scene.status(COLLEGE), scene.site(COLLEGE).causes[0].measure.value) == ("normal", 27)
    assert (scene.status(PMI), scene.site(PMI).causes[0].measure.value) == ("degraded", 4)


def test_an_alert_without_the_mark_of_heat_outlasts_midnight_in_a_heat_wave(scene: Scene) -> None:
    """D10: only a room temperature or `hazard:heat` makes a sanitary alert a report of the day."""
    scene.report(0, "weather_alert", phenomenon="canicule", colour="orange", severity=2)
    scene.report(5, "sanitary_alert", "pmi-04", severity=3)
    heat = Measure(name="ill_persons", value=2.0, object="hazard:heat")
    scene.report(6, "sanitary_alert", "pmi-05", severity=3, measure=heat)
    scene.step(24 * 60)
    assert {c.site: c.lifted_by for c in scene.state.causes.values()} == {
        "pmi-04": None,
        "pmi-05": "end_of_day",
    }


def test_a_rate_of_a_zone_touches_no_site(scene: Scene) -> None:
    rate = Measure(name="absence_rate", value=40.0, unit="%", scope="zone:92050")
    scene.report(1, "staff_shortage", COLLEGE, source="rh", measure=rate)
    assert scene.status(COLLEGE) == "normal"
    assert COLLEGE not in scene.incidents()[0].members


def test_an_outage_at_an_unknown_site_takes_no_system_down_for_all(scene: Scene) -> None:
    """An office with a mistyped id took a system down for everybody (D8)."""
    report_fields = {
        "source": "supervision",
        "severity": 3,
        "capacity_lost_pct": 100,
        "commune": "92050",
        "measure": Measure(object="system:paie"),
    }
    id = scene.report(0, "outage_it", "office-12", **report_fields)
    assert "system:paie" not in scene.state.flags
    scene.command(_cell(LinkReport, report=id, site="sit-01"), 5)  # type: ignore[arg-type]
    assert scene.state.flags["system:paie"].value == "down", "it was a computer room"
    assert scene.state.flags["system:paie"].since == scene.at(0)


def test_a_rate_of_more_than_one_site_touches_no_site(scene: Scene) -> None:
    scene.report(
        1,
        "staff_shortage",
        "cen-1",
        source="rh",
        capacity_lost_pct=40,
        measure=Measure(name="absence_rate", value=40.0, unit="%", scope="global"),
    )
    assert scene.status("cen-1") == "normal"
    assert scene.state.absences["global"][0][1] == 40
    assert "PCA-rh_finances:0" in scene.state.triggers


def test_the_verdict_on_a_report_is_written_once_per_change(scene: Scene) -> None:
    id = scene.report(1, "closure", PARK)
    assert [f.row.id for f in scene.named(ReportChanged)] == [id]


def test_a_cause_reported_for_days_fits_a_transaction_and_its_updates_count() -> None:
    """A monitor updates its report every minute for 20 hours.

    Each update is decided, and a reference to any of them finds the cause (D3, D4).
    """
    scene = Scene()
    first = scene.report(0, "outage_it", "cen-1", severity=2)
    report_ids = [
        scene.report(
            1 + n, "outage_it", "cen-1", severity=2, msg_type="Update", references=(first,)
        )
        for n in range(1200)
    ]
    assert not [f for f in scene.facts if type(f).__name__ in ("InputFailed", "InputRefused")]
    assert max(len(stored.raw) for stored in scene.service.log.of(scene.realm)[-300:]) < 8 * 1024
    (site_cause,) = scene.site("cen-1").causes
    cause = scene.state.causes[site_cause.id]
    assert (cause.reports[0], cause.reports[-1], len(cause.reports)) == (first, report_ids[-1], 500)
    scene.report(
        1300, "outage_it", "cen-1", severity=3, msg_type="Update", references=(report_ids[600],)
    )
    assert scene.site("cen-1").causes[0].severity == 3, (
        "its own report is no longer named, and known all the same"
    )


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999"])
@pytest.mark.parametrize(
    ("type", "measure"),
    [
        ("outage_power", {"name": "customers_cut", "object": "network:electricity"}),
        ("evacuation", {"name": "evacuees", "scope": "zone"}),
        ("flood_level", {"name": "river_level", "object": "station:paris-austerlitz"}),
        ("staff_shortage", {"name": "absence_rate", "unit": "%", "scope": "site"}),
        ("headcount", {"name": "headcount_found", "value_of": 5.0}),
        ("reopening", {"name": "desks_available", "value_of": 5.0}),
    ],
)
def test_nan_and_infinity_are_no_numbers(value: str, type: str, measure: dict[str, Any]) -> None:
    """D1: the sent value is kept.

    In a row it was null in the log and NaN in the state.
    """
    scene = Scene(check=True)
    id = scene.report(
        0,
        type,
        COLLEGE if "site" in str(measure) or "of" in str(measure) else None,
        measure=Measure(value=value, **measure),
    )
    assert not [f for f in scene.facts if type_of(f) == "InputFailed"]
    assert scene.state.reports[id].measure is not None
    assert all(i.customers_cut is None for i in scene.incidents())


def type_of(fact: object) -> str:
    return type(fact).__name__


def test_a_huge_count_of_people_is_accepted() -> None:
    scene = Scene(check=True)
    id = scene.report(
        0, "evacuation", commune="92050", measure=Measure(name="evacuees", value=1e30, scope="zone")
    )
    assert scene.incident_of(id).persons_concerned is None, (
        "no area has so many people: somebody confirms it first (D76)"
    )
    scene.command(_cell(ConfirmReport, report=id), 5)  # type: ignore[arg-type]
    assert scene.incident_of(id).persons_concerned == 1_000_000_000


# ── D9, D10, D11: what is announced, and what is counted ───────────────────────────────────────────────────────────


def test_an_announced_cut_is_no_cut_and_leaves_the_current_ones(scene: Scene) -> None:
    """Works announced for next week emptied the window of today's cuts, and counted as one."""
    for n, site in enumerate((PMI, "pmi-05", "cen-2")):
        scene.report(n, "outage_power", site, capacity_lost_pct=100)
    window = Window(start=scene.at(7200), end=scene.at(7260))
    scene.report(5, "outage_power", "par-03", occurred=7200, effective=(window,), source="enedis")
    scene.report(6, "security_incident", "par-03", occurred=7200, effective=(window,))
    assert {site for _, _, site in scene.state.cuts} == {PMI, "pmi-05", "cen-2"}
    assert not scene.state.security
    for _ in range(9):  # what is due meanwhile does not fit into one input
        scene.step(7201)
    assert [site for _, _, site in scene.state.cuts] == ["par-03"], "it is one now"


def test_an_announced_cause_does_not_begin_at_its_announcement(scene: Scene) -> None:
    window = Window(start=scene.at(1440), end=scene.at(1500))
    scene.report(-4320, "closure", COLLEGE, effective=(window,), severity=2)
    scene.report(0, "closure", COLLEGE)
    assert (scene.status(COLLEGE), scene.site(COLLEGE).since) == ("closed", scene.at(0))
    assert [(c.since, c.planned) for c in scene.site(COLLEGE).causes] == [
        (scene.at(-4320), True),
        (scene.at(0), False),
    ]


@pytest.mark.parametrize("announced_first", [True, False])
def test_an_announced_and_a_current_report_are_two_causes(announced_first: bool) -> None:
    """D9: tomorrow's total cut closed the site today.

    The return of the current today removed it.
    """
    scene = Scene()
    window = Window(start=scene.at(1440), end=scene.at(1500))
    reports: list[dict[str, Any]] = [
        {"capacity_lost_pct": 30, "severity": 2},
        {"capacity_lost_pct": 100, "severity": 4, "source": "enedis", "effective": (window,)},
    ]
    for n, report_fields in enumerate(reports[::-1] if announced_first else reports):
        scene.report(n, "outage_power", COLLEGE, **report_fields)
    assert (scene.status(COLLEGE), scene.site(COLLEGE).capacity_pct, scene.state.level()) == (
        "degraded",
        70,
        1,
    )
    scene.report(60, "reopening", COLLEGE, severity=1)
    assert (scene.status(COLLEGE), [c.planned for c in scene.site(COLLEGE).causes]) == (
        "normal",
        [True],
    )
    assert not scene.state.tasks, "the only open type, and only what held by then"
    scene.step(1440)
    assert (scene.status(COLLEGE), scene.site(COLLEGE).capacity_pct) == ("closed", 0)
    scene.step(1500)
    assert scene.status(COLLEGE) == "normal"


def test_a_repeated_or_corrected_announcement_stays_one_cause(scene: Scene) -> None:
    def window(start: float, end: float) -> tuple[Window, ...]:
        return (Window(start=scene.at(start), end=scene.at(end)),)

    first = scene.report(
        0,
        "outage_power",
        COLLEGE,
        source="enedis",
        effective=window(1440, 1500),
        capacity_lost_pct=100,
    )
    scene.report(5, "outage_power", COLLEGE, effective=window(1440, 1500), capacity_lost_pct=100)
    moved = {"source": "enedis", "msg_type": MsgType.UPDATE, "references": (first,)}
    scene.report(
        10, "outage_power", COLLEGE, **moved, effective=window(2880, 2940), capacity_lost_pct=100
    )
    graver = scene.report(15, "outage_power", COLLEGE, **moved, severity=4, capacity_lost_pct=100)
    assert (scene.state.level(), scene.incident_of(graver).severity) == (0, 0), (
        "graver, and announced still"
    )
    (cause,) = scene.site(COLLEGE).causes
    assert (cause.windows, cause.planned, cause.severity) == (window(2880, 2940), True, 4)
    scene.report(
        20, "outage_power", COLLEGE, source="enedis", msg_type=MsgType.CANCEL, references=(graver,)
    )
    assert not scene.site(COLLEGE).causes


@pytest.mark.parametrize("end", [None, 600.0])
def test_an_update_with_windows_keeps_the_current_report_of_another_source(
    scene: Scene, end: float | None
) -> None:
    first = scene.report(0, "closure", COLLEGE)
    scene.report(5, "closure", COLLEGE, source="rh")
    window = Window(start=scene.at(300), end=None if end is None else scene.at(end))
    scene.report(
        10, "closure", COLLEGE, msg_type=MsgType.UPDATE, references=(first,), effective=(window,)
    )
    now, later = sorted(scene.site(COLLEGE).causes, key=lambda c: c.planned)
    assert (now.sources, now.since, later.windows) == (("rh",), scene.at(5), (window,))
    scene.report(20, "reopening", COLLEGE, severity=1, lifts=(EventType.CLOSURE,), source="rh")
    assert scene.status(COLLEGE) == "normal"
    scene.step(300)
    assert scene.status(COLLEGE) == "closed"


def test_an_update_with_past_windows_ends_its_cause(scene: Scene) -> None:
    first = scene.report(0, "closure", COLLEGE)
    window = Window(start=scene.at(0), end=scene.at(40))
    scene.report(
        50, "closure", COLLEGE, msg_type=MsgType.UPDATE, references=(first,), effective=(window,)
    )
    assert (scene.status(COLLEGE), scene.site(COLLEGE).causes) == ("normal", ())


@pytest.mark.parametrize(("rate", "capacity"), [(60.0, 40), (100.0, 0), (150.0, 100), (-20.0, 100)])
def test_a_rate_of_absence_reduces_capacity_and_presence_by_its_share(
    scene: Scene, rate: float, capacity: float
) -> None:
    scene.report(
        0,
        "staff_shortage",
        COLLEGE,
        measure=Measure(name="absence_rate", value=rate, unit="%", scope="site"),
    )
    assert scene.site(COLLEGE).capacity_pct == capacity
    [[presence_values]] = [day.values() for day in scene.state.presence.values()]
    assert max(presence_values.values()).pct == capacity


def test_a_reception_centre_before_its_opening_is_no_need(scene: Scene) -> None:
    scene.report(0, "info", "gym-03", measure=Measure(name="reception_centre", value=False))
    draft = AlertsDecision(
        scene.state,
        Firing(Deadline(scene.at(1), "x"), scene.realm, scene.realm, scene.at(1), scene.at(1)),
    )
    assert make_logistics_need(MetricRequest({}, draft.territory, {})).value(draft, None) == 0


def test_a_late_report_about_the_first_closure_does_not_backdate_the_second(scene: Scene) -> None:
    """Its clock would have run through the time in which the site was open."""
    scene.report(0, "closure", COLLEGE)
    scene.report(20, "reopening", COLLEGE, severity=1)
    scene.report(30, "closure", COLLEGE)
    late = scene.report(31, "closure", COLLEGE, occurred=-5, source="rh")
    assert scene.site(COLLEGE).since == scene.at(30)
    assert scene.state.reports[late].reason == "over_already"


def test_the_open_cause_owns_the_key_in_any_order_of_reading() -> None:
    """A restored snapshot took the lifted cause: the next report opened a second one."""
    scene = Scene()
    scene.report(10, "closure", COLLEGE)
    scene.report(20, "reopening", COLLEGE, severity=1)
    scene.report(30, "closure", COLLEGE)
    causes = [
        c if c.lifted_at is not None else c.model_copy(update={"since": scene.at(5)})
        for c in scene.state.causes.values()
    ]  # it turned out to have begun earlier
    for order in (causes, causes[::-1]):
        read = Scene().state
        for cause in order:
            read = evolve_cause(read, cause)
        assert read.causes[read.cause_keys[order[0].key]].lifted_at is None


def test_the_newest_cause_owns_the_key_once_all_are_over() -> None:
    """A restored snapshot took another cause than the running service."""
    scene = Scene()
    scene.report(10, "closure", COLLEGE)
    scene.report(20, "reopening", COLLEGE, severity=1)
    (over,) = scene.state.causes.values()
    older = over.model_copy(update={"id": "older", "since": scene.at(5), "lifted_at": None})
    state = evolve_cause(evolve_cause(Scene().state, over), older)
    assert state.cause_keys[over.key] == "older"
    state = evolve_cause(state, older.model_copy(update={"lifted_at": scene.at(30)}))
    assert state.cause_keys[over.key] == over.id


def test_the_ladder_of_a_scope_is_the_same_after_a_restart() -> None:
    """The clock of an exercise stands still: two escalations may begin and end at one instant."""
    scene = Scene()
    scene.report(0, "fire", COLLEGE, severity=5)
    row = next(iter(scene.state.escalations.values()))
    first = row.model_copy(update={"id": "b", "state": "superseded"})
    second = row.model_copy(update={"id": "a"})
    ended = second.model_copy(update={"state": "ended"})
    live, loaded = Scene().state, Scene().state
    for one in (first, second, ended):
        live = evolve_escalation(live, EscalationChanged(row=one, change="started"))
    for one in (ended, first):
        loaded = evolve_escalation(loaded, EscalationChanged(row=one, change="started"))
    assert live.ladders == loaded.ladders


@pytest.mark.parametrize("again", [5, 12])
def test_an_old_incident_closed_again_is_listed_as_closed(again: int) -> None:
    scene = Scene()
    row = scene.incident_of(scene.report(0, "closure", COLLEGE))
    state = scene.state
    rows = [
        row.model_copy(
            update={"id": f"i-{n:02d}", "state": IncidentState.CLOSED, "closed_at": scene.at(n)}
        )
        for n in range(80)
    ]
    for r in rows:
        state = evolve_incident(state, r)
    state = evolve_incident(
        state, rows[again].model_copy(update={"state": IncidentState.OPEN, "closed_at": None})
    )
    assert rows[again].id not in state.closed_incidents
    assert len(state.closed_incidents) == 64
    state = evolve_incident(state, rows[again].model_copy(update={"closed_at": scene.at(100)}))
    assert state.closed_incidents[-1] == rows[again].id


def test_the_ill_people_of_a_site_do_not_depend_on_the_order_of_reading() -> None:
    scene, site = Scene(), "clg-0921631Y"
    ill = Measure(name="ill_persons", value=20.0, unit="persons", scope="site")
    first = scene.report(0, "sanitary_alert", site, measure=ill)
    scene.report(30, "sanitary_alert", site, msg_type=MsgType.CANCEL, references=(first,))
    scene.report(60, "sanitary_alert", site, measure=ill)
    causes = list(scene.state.causes.values())
    for order in (causes, causes[::-1]):
        state = Scene().state
        for cause in order:
            state = evolve_cause(state, cause)
        assert state.illness == scene.state.illness != {}


def test_a_confirmed_update_settles_the_unconfirmed_report_of_its_sender(scene: Scene) -> None:
    """The unconfirmed report kept its task, and a second source confirmed its old values."""
    doubt = scene.report(0, "closure", COLLEGE, certainty=Certainty.UNCONFIRMED, severity=5)
    scene.report(5, "closure", PMI, msg_type=MsgType.UPDATE, references=(doubt,), severity=2)
    assert (scene.status(COLLEGE), scene.status(PMI)) == ("normal", "closed"), "it was another site"
    assert scene.state.reports[doubt].flags == ("superseded",)
    assert not scene.state.rumours
    assert {t.state for t in scene.state.tasks.values()} == {"void"}
    scene.report(9, "closure", COLLEGE, source="rh", severity=2)
    assert scene.state.reports[doubt].confirmation == "unconfirmed"


# ── a cancellation that comes before its report (D3) ──────────────────────────────────────────────


def _cancel_first(scene: Scene, type: str, site: str, **fields: Any) -> None:
    scene.report(
        5,
        type,
        site,
        msg_type=MsgType.CANCEL,
        references=("s-1",),
        source="site_manager",
        source_key="key-1",
        **fields,
    )


def _report_late(scene: Scene, minute: float, type: str, site: str, **fields: Any) -> str:
    values: dict[str, Any] = {"source": "site_manager", "source_key": "key-1", "alias": "s-1"}
    return scene.report(minute, type, site, occurred=fields.pop("occurred", 2), **(values | fields))


def test_a_report_that_comes_after_its_cancellation_has_no_effect(scene: Scene) -> None:
    _cancel_first(scene, "outage_power", COLLEGE)
    number = len(scene.named(NotificationPlanned))
    late = _report_late(scene, 9, "outage_power", COLLEGE, severity=4)
    row = scene.state.reports[late]
    assert (row.incident, row.reason) == (None, "withdrawn_before")
    assert {"cancelled", "withdrawn_before"} <= set(row.flags)
    assert (scene.status(COLLEGE), scene.incidents()) == ("normal", [])
    assert len(scene.named(NotificationPlanned)) == number


def test_an_unconfirmed_report_that_was_cancelled_before_asks_no_person(scene: Scene) -> None:
    _cancel_first(scene, "outage_power", COLLEGE)
    late = _report_late(scene, 9, "outage_power", COLLEGE, certainty="unconfirmed")
    assert scene.state.reports[late].confirmation == "denied"
    assert not [t for t in scene.state.tasks.values() if t.kind == "verify_report"]
    assert scene.status(COLLEGE) == "normal"


def test_a_danger_that_was_cancelled_before_counts_and_a_person_is_asked(scene: Scene) -> None:
    _cancel_first(scene, "fire", COLLEGE)
    late = _report_late(scene, 9, "fire", COLLEGE, severity=5)
    row = scene.state.reports[late]
    assert "withdrawn_before" in row.flags
    assert "cancelled" not in row.flags
    assert scene.status(COLLEGE) == "evacuated"
    assert scene.incident_of(late).danger
    assert [c.contested for c in scene.site(COLLEGE).causes] == [True]
    (task,) = [t for t in scene.state.tasks.values() if t.kind == "contested"]
    assert (task.site, task.candidates[0]) == (COLLEGE, late)
    assert [m for m in scene.named(NotificationPlanned) if m.danger and m.answer_expected]


@pytest.mark.parametrize(
    "fields",
    [
        {"source_key": "key-2"},
        {"source_key": None, "source": "pompiers"},
        {"occurred": 7},
        {"alias": "s-2"},
    ],
    ids=["another_key", "another_source", "later_fact", "another_name"],
)
def test_a_cancellation_silences_no_other_report(scene: Scene, fields: dict[str, Any]) -> None:
    _cancel_first(scene, "outage_power", COLLEGE)
    late = _report_late(scene, 9, "outage_power", COLLEGE, **fields)
    assert scene.incident_of(late) is not None
    assert scene.status(COLLEGE) != "normal"


def test_a_denied_cancellation_silences_nothing(scene: Scene) -> None:
    _cancel_first(scene, "outage_power", COLLEGE)
    (cancellation,) = scene.state.reports
    scene.command(DenyReport(author="coord", role="coordinateur_pca", report=cancellation), 6)
    late = _report_late(scene, 9, "outage_power", COLLEGE)
    assert scene.incident_of(late) is not None


def test_a_report_that_comes_after_its_update_does_not_replace_it(scene: Scene) -> None:
    """The outage began when the first report says; the rest is in the newer one (D7)."""
    update = scene.report(
        9,
        "outage_power",
        COLLEGE,
        source_key="key-1",
        severity=2,
        capacity_lost_pct=20,
        msg_type=MsgType.UPDATE,
        references=("s-1",),
        occurred=8,
    )
    late = _report_late(scene, 12, "outage_power", COLLEGE, severity=4, capacity_lost_pct=100)
    (cause,) = scene.site(COLLEGE).causes
    assert (cause.severity, cause.loss_pct, cause.since) == (2, 20, scene.at(2))
    assert "superseded" in scene.state.reports[late].flags
    assert scene.incident_of(late) == scene.incident_of(update)


def test_a_danger_that_comes_after_a_milder_update_counts(scene: Scene) -> None:
    scene.report(
        9,
        "outage_power",
        COLLEGE,
        source_key="key-1",
        severity=2,
        msg_type=MsgType.UPDATE,
        references=("s-1",),
        occurred=8,
    )
    late = _report_late(scene, 12, "outage_power", COLLEGE, severity=5)
    assert scene.site(COLLEGE).causes[0].severity == 5
    assert scene.incident_of(late).danger


@pytest.mark.parametrize("named", ["s-1", "s-2"])
def test_a_cancellation_that_comes_first_takes_every_version_of_a_report(
    scene: Scene, named: str
) -> None:
    scene.report(
        5,
        "outage_power",
        COLLEGE,
        msg_type=MsgType.CANCEL,
        references=(named,),
        source_key="key-1",
    )
    first = _report_late(scene, 9, "outage_power", COLLEGE, occurred=2)
    second = _report_late(
        scene,
        12,
        "outage_power",
        COLLEGE,
        alias="s-2",
        occurred=3,
        msg_type=MsgType.UPDATE,
        references=("s-1",),
    )
    third = _report_late(
        scene,
        14,
        "outage_power",
        COLLEGE,
        alias="s-3",
        occurred=13,
        msg_type=MsgType.UPDATE,
        references=("s-2",),
    )
    flags = [scene.state.reports[id].flags for id in (first, second, third)]
    assert ["cancelled" in one for one in flags] == [True, True, False]
    assert scene.status(COLLEGE) != "normal", "the newest word is later than the cancellation"


def test_a_snapshot_holds_early_cancellations(scene: Scene) -> None:
    _cancel_first(scene, "outage_power", COLLEGE)
    decider = AlertsDecider()
    dump = decider.dump(scene.state)
    loaded = decider.load(scene.realm, scene.state.lineage, dump)
    assert dict(loaded.referrers) == dict(scene.state.referrers) != {}


# ── what an incident tells after a withdrawal or a change (D3, D7) ────────────────────────────────


def _enedis(scene: Scene, minute: float, end: float | None, **fields: Any) -> str:
    return scene.report(
        minute,
        "outage_power",
        None,
        source="enedis",
        source_key="key-9",
        commune="92050",
        severity=3,
        estimated_end=None if end is None else scene.at(end),
        **fields,
    )


def test_an_older_announced_end_replaces_no_newer_one(scene: Scene) -> None:
    first = _enedis(scene, 0, 60)
    newer = _enedis(scene, 30, 240, msg_type=MsgType.UPDATE, references=(first,))
    assert scene.incident_of(newer).estimated_end == scene.at(240)
    _enedis(scene, 40, 90, occurred=10, msg_type=MsgType.UPDATE, references=(first,))
    assert scene.incident_of(newer).estimated_end == scene.at(240)


def test_a_withdrawn_announcement_leaves_the_end_that_was_announced_before(scene: Scene) -> None:
    first = _enedis(scene, 0, 60)
    other = _enedis(scene, 10, 300)
    incident = scene.incident_of(first)
    assert incident.id == scene.incident_of(other).id
    assert incident.estimated_end == scene.at(300)
    _enedis(scene, 20, 300, msg_type=MsgType.CANCEL, references=(other,))
    assert scene.incident_of(first).estimated_end == scene.at(60)


def test_a_withdrawn_report_takes_its_site_commune_and_people_out_of_the_incident(
    scene: Scene,
) -> None:
    right = scene.report(0, "evacuation", "pmi-04", persons_concerned=20, source="pompiers")
    wrong = scene.report(
        5, "evacuation", "sst-05", persons_concerned=300, source="pompiers", references=(right,)
    )
    incident = scene.incident_of(right)
    assert scene.incident_of(wrong).id == incident.id
    assert (incident.members, incident.persons_concerned) == (("pmi-04", "sst-05"), 320)
    assert len(incident.communes) == 2
    scene.report(
        9,
        "evacuation",
        "sst-05",
        source="pompiers",
        msg_type=MsgType.CANCEL,
        references=(wrong,),
        persons_concerned=300,
    )
    incident = scene.incident_of(right)
    assert (incident.members, incident.persons_concerned) == (("pmi-04",), 20)
    assert incident.communes == (scene.state.territory.sites["pmi-04"].commune,)


def test_a_withdrawn_report_takes_its_severity_out_of_the_incident(scene: Scene) -> None:
    right = scene.report(0, "evacuation", "pmi-04", severity=4, source="pompiers")
    wrong = scene.report(
        5, "evacuation", "sst-05", severity=5, source="pompiers", references=(right,)
    )
    assert scene.incident_of(right).severity == 5
    scene.report(
        9, "evacuation", "sst-05", source="pompiers", msg_type=MsgType.CANCEL, references=(wrong,)
    )
    assert scene.incident_of(right).severity == 4


@pytest.mark.parametrize("type_", ["outage_power", "fire"])
def test_a_report_that_its_confirmed_update_overtook_needs_no_verification(
    scene: Scene, type_: str
) -> None:
    """D3: in order, the Update closes the question; the order of arrival does not matter."""
    sender = {"source": "agent", "severity": 4}
    scene.report(
        1, type_, COLLEGE, **sender, occurred=0.5, msg_type=MsgType.UPDATE, references=("r-first",)
    )
    before = len(scene.state.tasks)
    first = scene.report(
        2, type_, COLLEGE, **sender, occurred=0, certainty="unconfirmed", id="r-first"
    )
    assert len(scene.state.tasks) == before
    assert "superseded" in scene.state.reports[first].flags


def test_an_overtaken_danger_that_the_update_does_not_tell_of_needs_verification(
    scene: Scene,
) -> None:
    update = {"source": "agent", "msg_type": MsgType.UPDATE, "references": ("r-first",)}
    scene.report(1, "fire", COLLEGE, **update, occurred=0.5, severity=4)
    first = scene.report(
        2, "gas_leak", COLLEGE, source="agent", certainty="unconfirmed", severity=4, id="r-first"
    )
    assert [t.report for t in scene.state.tasks.values() if t.kind == "verify_report"] == [first]


def test_a_denied_report_takes_its_site_out_of_the_incident(scene: Scene) -> None:
    right = scene.report(0, "evacuation", "pmi-04", source="pompiers")
    wrong = scene.report(5, "evacuation", "sst-05", source="pompiers", references=(right,))
    scene.command(DenyReport(author="coord", role="coordinateur_pca", report=wrong), 9)
    assert scene.incident_of(right).members == ("pmi-04",)


def test_an_incident_that_was_an_error_as_a_whole_keeps_its_last_picture(scene: Scene) -> None:
    wrong = scene.report(0, "evacuation", "pmi-04", persons_concerned=20, source="pompiers")
    scene.report(
        9, "evacuation", "pmi-04", source="pompiers", msg_type=MsgType.CANCEL, references=(wrong,)
    )
    assert scene.incident_of(wrong).members == ("pmi-04",)


def test_an_update_that_lowers_the_people_lowers_them_in_the_incident(scene: Scene) -> None:
    first = scene.report(0, "evacuation", "pmi-04", persons_concerned=500, source="pompiers")
    other = scene.report(
        1, "evacuation", "sst-05", persons_concerned=7, source="pompiers", references=(first,)
    )
    scene.report(
        5,
        "evacuation",
        "pmi-04",
        persons_concerned=50,
        source="pompiers",
        msg_type=MsgType.UPDATE,
        references=(first,),
    )
    assert scene.incident_of(other).persons_concerned == 57
