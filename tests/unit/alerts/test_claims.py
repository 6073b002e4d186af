"""Reports are claims: duplicates, updates, cancellations, contradictions, rumours, late and planned ones (D1–D13)."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.alerts import ReportChanged
from schemas.commands import ConfirmReport, DenyReport, LinkReport
from schemas.reports import Measure, Window
from schemas.runtime import CommandApplied, CommandRefused
from schemas.words import Certainty, EventType, MsgType
from tests.unit.alerts.scene import Scene

COLLEGE, PMI, PARK = "clg-0921353W", "pmi-04", "par-05"


@pytest.fixture
def scene() -> Scene:
    return Scene()


def _cell(kind: type, **values: object) -> object:
    return kind(author="coord-pca", role="coordinator", **values)


# ── D4 ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_second_source_on_an_open_cause_adds_no_second_cause(scene: Scene) -> None:
    first = scene.report(1, "outage_power", COLLEGE, occurred=0, capacity_lost_pct=80)
    second = scene.report(9, "outage_power", COLLEGE, occurred=-5, capacity_lost_pct=90, severity=4, source="education_nationale")

    row = scene.state.reports[second]
    assert (row.state, row.of, row.reason) == ("duplicate", first, "same_cause")
    (cause,) = scene.site(COLLEGE).causes
    assert cause.sources == ("site_manager", "education_nationale")
    assert (cause.severity, cause.loss_pct, cause.since) == (4, 90, scene.at(-5)), "the worse of both, the earlier time"
    assert scene.incident_of(first).duplicates_count == 1


def test_the_same_id_a_second_time_has_no_effect_at_all(scene: Scene) -> None:
    id = scene.report(1, "closure", COLLEGE)
    before = scene.state
    again = scene.state.reports[id]
    from schemas.reports import ReportReceived

    facts = scene.feed(
        ReportReceived(
            report_id=id, source="site_manager", site_id=COLLEGE, type=EventType.CLOSURE, severity=5, occurred_at=again.occurred_at
        ),
        at=scene.at(2),
    )
    assert not facts
    assert scene.state == before


def test_another_measure_on_the_same_site_is_another_cause(scene: Scene) -> None:
    scene.report(1, "sanitary_alert", PMI, measure=Measure(name="room_temperature", value=31.0, unit="°C", scope="site"))
    scene.report(2, "sanitary_alert", PMI, measure=Measure(name="vaccine_fridge_temperature", value=8.5, unit="°C", scope="site"))
    assert len(scene.site(PMI).causes) == 2


# ── D3 ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_update_with_refs_replaces_the_values(scene: Scene) -> None:
    first = scene.report(1, "outage_power", COLLEGE, capacity_lost_pct=100, severity=4, expected_duration_h=2)
    scene.report(5, "outage_power", COLLEGE, capacity_lost_pct=30, severity=2, msg_type=MsgType.UPDATE, references=(first,))
    (cause,) = scene.site(COLLEGE).causes
    assert (cause.loss_pct, cause.severity) == (30, 2)
    assert scene.status(COLLEGE) == "degraded"
    assert "superseded" in scene.state.reports[first].flags


def test_an_older_update_replaces_nothing(scene: Scene) -> None:
    first = scene.report(10, "outage_power", COLLEGE, capacity_lost_pct=100)
    scene.report(12, "outage_power", COLLEGE, occurred=5, capacity_lost_pct=10, msg_type=MsgType.UPDATE, references=(first,))
    assert scene.site(COLLEGE).causes[0].loss_pct == 100


def test_references_may_use_the_senders_own_ids(scene: Scene) -> None:
    first = scene.report(1, "closure", COLLEGE, alias="their-1", source_key="k")
    scene.report(2, "closure", COLLEGE, msg_type=MsgType.CANCEL, references=("their-1",), source_key="k")
    assert scene.status(COLLEGE) == "normal"
    assert "cancelled" in scene.state.reports[first].flags


def test_a_cancel_with_refs_lifts_the_cause_and_keeps_the_report(scene: Scene) -> None:
    first = scene.report(1, "closure", COLLEGE, severity=5)
    scene.report(3, "closure", COLLEGE, msg_type=MsgType.CANCEL, references=(first,))
    assert scene.status(COLLEGE) == "normal"
    assert scene.state.reports[first].state == "applied"
    assert not scene.state.severities, "a cancelled report counts for no severity"


def test_a_cancel_without_refs_applies_its_value_or_asks_a_person(scene: Scene) -> None:
    scene.report(0, "weather_alert", source="meteo_france", phenomenon="canicule", colour="orange")
    scene.report(5, "weather_alert", source="meteo_france", phenomenon="canicule", colour="jaune", msg_type=MsgType.CANCEL)
    assert scene.state.flags["vigilance:canicule"].value == "jaune"

    rumour = scene.report(6, "info", source="rumour", certainty=Certainty.RUMOUR, severity=3)
    scene.report(8, "info", source="prefecture_police", msg_type=MsgType.CANCEL, severity=1)
    (task,) = scene.state.tasks.values()
    assert (task.kind, task.state, task.candidates) == ("link_denial", "open", (rumour,))


# ── D5 ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 0, 1), (1, 0, 2), (1, 2, 0), (2, 1, 0)])
def test_open_and_shut_at_the_same_time_from_two_sources_keeps_the_graver_and_asks_to_verify(order: tuple[int, ...]) -> None:
    scene = Scene()
    said: list[dict[str, Any]] = [
        {"type": "closure", "occurred": 1},
        {"type": "reopening", "occurred": 10, "source": "rh", "lifts": (EventType.CLOSURE,), "severity": 1},
        {"type": "closure", "occurred": 12, "source": "education_nationale"},
    ]
    for n, which in enumerate(order):
        given = dict(said[which])
        scene.report(30 + n, given.pop("type"), COLLEGE, **given)
    row = scene.site(COLLEGE)
    assert (row.status, row.flags, row.since) == ("closed", ("contested",), scene.at(12))
    assert [t.kind for t in scene.state.tasks.values() if t.state == "open"] == ["contested"]


def test_shut_again_long_after_a_reopening_is_no_contradiction(scene: Scene) -> None:
    scene.report(1, "closure", COLLEGE)
    scene.report(60, "closure", COLLEGE, source="education_nationale")
    scene.report(61, "reopening", COLLEGE, occurred=20, source="rh", lifts=(EventType.CLOSURE,), severity=1)
    row = scene.site(COLLEGE)
    assert (row.status, row.flags, row.since) == ("closed", (), scene.at(60))


def test_of_evacuation_and_shelter_the_latest_order_stands(scene: Scene) -> None:
    scene.report(5, "evacuation", COLLEGE, severity=4)
    scene.report(6, "shelter_in_place", COLLEGE, severity=4)
    assert scene.status(COLLEGE) == "sheltering"
    scene.report(7, "evacuation", COLLEGE, occurred=4, severity=4, source="pompiers")
    assert scene.status(COLLEGE) == "sheltering", "an older order that arrives later changes nothing"
    scene.report(9, "evacuation", COLLEGE, severity=4, source="pompiers")
    assert scene.status(COLLEGE) == "evacuated"
    assert len(scene.site(COLLEGE).causes) == 2


# ── D6 ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_rumour_opens_nothing_and_counts_for_nothing(scene: Scene) -> None:
    id = scene.report(1, "fire", "cen-1", source="rumour", certainty=Certainty.RUMOUR, severity=5)
    assert not scene.incidents()
    assert scene.state.level() == 0
    assert scene.status("cen-1") == "normal"
    assert scene.state.reports[id].incident is None
    assert [t.plan for t in scene.state.triggers.values()] == ["PCA-communication"]


def test_a_site_whose_only_word_is_unconfirmed_is_unknown(scene: Scene) -> None:
    id = scene.report(1, "closure", COLLEGE, certainty=Certainty.UNCONFIRMED)
    assert scene.status(COLLEGE) == "unknown"
    assert not scene.incidents()
    scene.report(5, "info", COLLEGE, severity=1)
    assert scene.status(COLLEGE) == "normal", "the site has spoken"
    assert scene.state.reports[id].confirmation == "unconfirmed"


@pytest.mark.parametrize("second", [Certainty.UNCONFIRMED, Certainty.CONFIRMED])
def test_a_second_independent_source_confirms(scene: Scene, second: Certainty) -> None:
    first = scene.report(1, "closure", COLLEGE, occurred=0, certainty=Certainty.UNCONFIRMED)
    same = scene.report(2, "closure", COLLEGE, certainty=Certainty.UNCONFIRMED)
    assert scene.state.reports[same].confirmation == "unconfirmed", "the same source twice is one source"

    scene.report(3, "closure", COLLEGE, certainty=second, source="education_nationale")
    assert scene.state.reports[first].confirmation == "confirmed"
    assert scene.status(COLLEGE) == "closed"
    assert scene.site(COLLEGE).causes[0].since == scene.at(0), "with its own times"
    assert len(scene.site(COLLEGE).causes) == 1


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


def test_an_older_fact_never_overwrites_a_newer_word(scene: Scene) -> None:
    scene.report(30, "reopening", COLLEGE, lifts=(EventType.CLOSURE,), severity=1)
    late = scene.report(45, "closure", COLLEGE, occurred=5)
    assert scene.status(COLLEGE) == "normal"
    assert scene.state.reports[late].reason == "over_already"


def test_a_future_time_without_windows_is_flagged_and_not_believed(scene: Scene) -> None:
    id = scene.report(10, "closure", COLLEGE, occurred=60)
    assert scene.state.reports[id].flags == ("future",)
    assert scene.site(COLLEGE).since == scene.at(10)


def test_an_unknown_site_is_kept_for_a_person_who_links_it_with_the_original_times(scene: Scene) -> None:
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


def test_what_is_planned_acts_only_inside_its_windows(scene: Scene) -> None:
    windows = (Window(start=scene.at(60), end=scene.at(120)), Window(start=scene.at(180), end=scene.at(240)))
    id = scene.report(0, "closure", COLLEGE, effective=windows, severity=4)
    seen = []
    for minute in (30, 90, 150, 200, 300):
        scene.step(minute)
        seen.append(scene.status(COLLEGE))
    assert seen == ["normal", "closed", "normal", "closed", "normal"]
    assert not scene.site(COLLEGE).causes, "nothing is left to wait for"
    assert scene.state.reports[id].flags == ()


def test_an_announced_severity_counts_only_when_it_is_current(scene: Scene) -> None:
    scene.report(0, "closure", COLLEGE, effective=(Window(start=scene.at(60), end=scene.at(120)),), severity=4)
    assert scene.state.level() == 1
    scene.step(61)
    assert scene.state.level() == 2


def test_a_count_of_absent_people_ends_with_its_day_and_the_newest_of_the_day_replaces(scene: Scene) -> None:
    def absent(minute: float, pct: float, occurred: float | None = None) -> None:
        measure = Measure(name="absence_rate", value=pct, unit="%", scope="site")
        scene.report(minute, "staff_shortage", COLLEGE, occurred=occurred, capacity_lost_pct=pct, measure=measure)

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
            minute, "sanitary_alert", "clg-0921631Y", measure=Measure(name="ill_persons", value=float(n), unit="persons", scope="site")
        )
    assert scene.state.illness["cuisine-centrale-sud"]["clg-0921631Y"][0] == 31


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


def test_a_matter_that_is_told_for_days_never_fills_a_transaction_and_its_updates_still_count() -> None:
    """A monitor that updates its report every minute, for 20 hours: each is decided, and a reference to any of them finds the cause (D3, D4)."""
    scene = Scene()
    first = scene.report(0, "outage_it", "cen-1", severity=2)
    said = [scene.report(1 + n, "outage_it", "cen-1", severity=2, msg_type="Update", references=(first,)) for n in range(1200)]
    assert not [f for f in scene.facts if type(f).__name__ in ("InputFailed", "InputRefused")]
    assert max(len(stored.raw) for stored in scene.service.log.of(scene.realm)[-300:]) < 100 * 1024
    (cause,) = scene.site("cen-1").causes
    assert (cause.reports[0], cause.reports[-1], len(cause.reports)) == (first, said[-1], 500)
    scene.report(1300, "outage_it", "cen-1", severity=3, msg_type="Update", references=(said[600],))
    assert scene.site("cen-1").causes[0].severity == 3, "its own report is no longer named, and known all the same"
