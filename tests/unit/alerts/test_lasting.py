"""Realms run for weeks, and reference data change under open causes and earlier decisions."""

from __future__ import annotations

from typing import Any

from schemas.calling import AnswerReceived
from schemas.commands import AcknowledgeIncident, ConfirmReport, MergeIncidents, ResolveIncident
from schemas.reference import Sites
from schemas.reports import Lease
from schemas.runtime import CommandApplied
from schemas.words import Answer, Certainty, EventType, MsgType
from services.territory.publish import build_reference_commands
from tests.shipped import territory
from tests.unit.alerts.scene import Scene

PMI, OTHER = "pmi-04", "sst-13"
DAY = 24 * 60


def _cell(kind: type, **values: Any) -> Any:
    return kind(author="coord-pca", role="coordinator", reason="text:why", **values)


def _failed(scene: Scene) -> list[str]:
    return [f.error for f in scene.facts if type(f).__name__ in ("InputFailed", "DeadlineFailed")]  # type: ignore[attr-defined]


def _publish_without(scene: Scene, gone: str, minute: float) -> None:
    for id, section in build_reference_commands(territory(), scene.realm, "system:test", "admin"):
        data = section.data
        if isinstance(data, Sites):
            data = Sites(sites=tuple(s for s in data.sites if s.id != gone))
        scene.feed(
            section.model_copy(update={"data": data, "reference": "next"}),
            id=f"{id}-next",
            at=scene.at(minute),
        )


def test_a_site_dropped_from_the_reference_data_blocks_no_report() -> None:
    """Its open causes, unconfirmed reports and machine alerts remain, with all reports on them."""
    scene = Scene(check=True)
    scene.report(0, "closure", PMI, source_key="k", lease=Lease(until=scene.at(30)))
    doubt = scene.report(1, "gas_leak", PMI, certainty=Certainty.UNCONFIRMED, source="rh")
    rumour = scene.report(2, "fire", PMI, certainty=Certainty.RUMOUR, source="rumour")
    cut = scene.report(3, "outage_power", PMI, capacity_lost_pct=100)
    _publish_without(scene, PMI, 5)
    assert PMI not in scene.state.territory.sites

    scene.report(6, "info", source="prefecture", msg_type=MsgType.CANCEL, severity=1)
    assert [t.candidates for t in scene.state.tasks.values() if t.kind == "link_denial"] == [
        (rumour, doubt)
    ]
    scene.report(
        7, "outage_power", PMI, msg_type=MsgType.UPDATE, references=(cut,), capacity_lost_pct=50
    )
    scene.step(40)
    assert isinstance(scene.command(_cell(ConfirmReport, report=doubt), 41), CommandApplied)
    assert not _failed(scene)


# ── a live realm forgets (D4, D26) ─────────────────────────────────────────────────────────────────────────────────


def _days(scene: Scene, first: int, last: int) -> None:
    for day in range(first, last):
        scene.report(day * DAY, "info", "par-02", severity=1)


def test_an_overlooked_cause_of_a_merged_incident_blocks_no_report_of_its_site() -> None:
    scene = Scene(realm="92", check=True)
    overlooked = scene.incident_of(scene.report(0, "closure", PMI))
    into = scene.incident_of(scene.report(1, "damage_report", OTHER))
    scene.command(_cell(MergeIncidents, incident=overlooked.id, into=into.id), 2)
    scene.report(3, "reopening", OTHER, severity=1)
    scene.command(_cell(ResolveIncident, incident=into.id, force=True), 4)
    _days(scene, 1, 15)

    word = scene.report(15 * DAY, "evacuation", PMI, severity=5)
    assert scene.status(PMI) == "evacuated"
    again = scene.report(15 * DAY + 1, "closure", PMI, source="rh")
    assert not _failed(scene)
    assert scene.status(PMI) == "closed"
    assert scene.incident_of(word).state == "open"
    assert scene.incident_of(again) == scene.incident_of(word)


def test_a_long_crisis_accepts_answers_after_its_first_incident_is_forgotten() -> None:
    scene = Scene(realm="92", check=True)
    first = scene.incident_of(scene.report(0, "fire", "cen-1", severity=5))
    second = scene.incident_of(scene.report(1, "fire", "cen-2", severity=5))
    scene.report(2, "reopening", "cen-1", lifts=(EventType.FIRE,), severity=1)
    scene.command(_cell(ResolveIncident, incident=first.id), 30)
    _days(scene, 1, 14)

    call = next(iter(scene.state.calls.values()))
    scene.feed(
        AnswerReceived(
            notification=call.notification,
            person=call.person,
            answer=Answer.ACK,
            channel="app",
            at=scene.at(14 * DAY),
        ),
        at=scene.at(14 * DAY),
    )
    assert isinstance(
        scene.command(_cell(AcknowledgeIncident, incident=second.id), 14 * DAY + 1), CommandApplied
    )
    assert isinstance(
        scene.command(_cell(ResolveIncident, incident=second.id, force=True), 14 * DAY + 2),
        CommandApplied,
    )
    assert not _failed(scene)
