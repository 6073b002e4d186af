"""Decisions are applied, or refused with a status, a code and values; rights follow the role."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.alerts import AttentionRequested, NoteAdded
from schemas.base import Command
from schemas.calling import NotificationPlanned
from schemas.commands import (
    AcknowledgeIncident,
    AddNote,
    CompleteTask,
    ConfirmReport,
    EscalateIncident,
    LinkReport,
    MergeIncidents,
    ReapplyPolicy,
    ReopenIncident,
    ResolveIncident,
    SetLevel,
    SplitIncident,
    TakeTask,
)
from schemas.continuity import ImprovementChanged, ImprovementRow
from schemas.reference import PublishReference
from schemas.reports import Measure
from schemas.runtime import CommandApplied, CommandRefused, InputFailed
from schemas.words import EventType, Level, TaskState
from services.territory.publish import build_reference_commands
from tests.shipped import territory
from tests.unit.alerts.scene import Scene

PMI = "pmi-04"


@pytest.fixture
def scene() -> Scene:
    return Scene()


def _by(role: str, kind: type[Command], **values: Any) -> Command:
    return kind(author="person", role=role, reason="text:why", **values)


def _refused(answer: CommandApplied | CommandRefused) -> tuple[int, str]:
    assert isinstance(answer, CommandRefused), answer
    return answer.status, answer.code


UNKNOWN: list[tuple[type[Command], dict[str, Any], str]] = [
    (AcknowledgeIncident, {"incident": "x"}, "incident_not_found"),
    (EscalateIncident, {"incident": "x"}, "incident_not_found"),
    (ReapplyPolicy, {"incident": "x"}, "incident_not_found"),
    (ResolveIncident, {"incident": "x"}, "incident_not_found"),
    (ReopenIncident, {"incident": "x"}, "incident_not_found"),
    (MergeIncidents, {"incident": "x", "into": "y"}, "incident_not_found"),
    (SplitIncident, {"incident": "x", "reports": ("r",)}, "incident_not_found"),
    (SetLevel, {"scope": "x", "level": Level.N2}, "incident_not_found"),
    (AddNote, {"text_id": "t", "incident": "x"}, "incident_not_found"),
    (ConfirmReport, {"report": "x"}, "report_not_found"),
    (LinkReport, {"report": "x", "site": PMI}, "report_not_found"),
    (TakeTask, {"task": "x"}, "task_not_found"),
    (CompleteTask, {"task": "x"}, "task_not_found"),
]


@pytest.mark.parametrize(
    ("kind", "values", "code"), UNKNOWN, ids=lambda v: v.__name__ if isinstance(v, type) else ""
)
def test_a_missing_object_is_404(
    scene: Scene, kind: type[Command], values: dict[str, Any], code: str
) -> None:
    assert _refused(scene.command(_by("coordinator", kind, **values), 1)) == (404, code)


@pytest.mark.parametrize(
    ("kind", "values", "code"), UNKNOWN, ids=lambda v: v.__name__ if isinstance(v, type) else ""
)
@pytest.mark.parametrize("role", ["kiosk", "source", "auditor", "observateur", "nobody"])
def test_a_missing_right_is_403_before_any_other_check(
    scene: Scene, kind: type[Command], values: dict[str, Any], code: str, role: str
) -> None:
    assert _refused(scene.command(_by(role, kind, **values), 1)) == (403, "role_not_allowed")


def test_an_observer_may_write_a_note_and_nothing_else(scene: Scene) -> None:
    done = scene.command(_by("observer", AddNote, text_id="t-1"), 3)
    assert isinstance(done, CommandApplied)
    (note,) = scene.named(NoteAdded)
    assert (note.line, note.text_id, note.occurred_at) == (done.result["line"], "t-1", scene.at(3))
    assert (
        _refused(scene.command(_by("observer", SetLevel, scope="territory", level=Level.N2), 4))[0]
        == 403
    )


def test_an_incident_with_open_causes_is_closed_only_by_force_with_a_reason(scene: Scene) -> None:
    scene.report(0, "closure", PMI, severity=2)
    incident = scene.incidents()[0].id
    assert _refused(scene.command(_by("coordinator", ResolveIncident, incident=incident), 1)) == (
        409,
        "causes_open",
    )
    unreasoned = ResolveIncident(author="p", role="coordinator", incident=incident, force=True)
    assert _refused(scene.command(unreasoned, 2)) == (409, "reason_required")
    done = scene.command(
        _by("coordinator", ResolveIncident, incident=incident, force=True, expected=0), 3
    )
    assert isinstance(done, CommandApplied)
    assert done.result == {"incident": incident, "state": "closed", "version": 1}
    assert scene.status(PMI) == "closed", "closing an incident reopens no site"
    assert _refused(scene.command(_by("coordinator", ResolveIncident, incident=incident), 4)) == (
        409,
        "incident_not_open",
    )
    assert _refused(
        scene.command(_by("coordinator", AcknowledgeIncident, incident=incident), 5)
    ) == (409, "incident_not_open")
    again = scene.command(_by("coordinator", ReopenIncident, incident=incident), 6)
    assert isinstance(again, CommandApplied)
    assert scene.incidents()[0].state == "open"


def test_versions_count_decisions_not_reports(scene: Scene) -> None:
    scene.report(0, "outage_power", PMI, severity=2, capacity_lost_pct=10)
    for n in range(5):
        scene.report(
            1 + n,
            "outage_power",
            f"pmi-0{5 + n % 3}",
            source=f"s{n}",
            severity=2,
            capacity_lost_pct=10,
        )
    assert scene.incidents()[0].version == 0
    scene.command(_by("coordinator", AcknowledgeIncident, incident=scene.incidents()[0].id), 10)
    assert scene.incidents()[0].version == 1


def test_a_task_is_accepted_once_and_done_once(scene: Scene) -> None:
    scene.report(0, "closure", PMI)
    scene.report(1, "outage_water", PMI, capacity_lost_pct=20)
    scene.report(2, "reopening", PMI, severity=1)
    (task,) = scene.state.tasks.values()
    assert isinstance(scene.command(_by("cell", TakeTask, task=task.id), 3), CommandApplied)
    assert _refused(scene.command(_by("cell", TakeTask, task=task.id), 4)) == (409, "task_not_open")
    assert isinstance(
        scene.command(_by("cell", CompleteTask, task=task.id, outcome="done"), 5), CommandApplied
    )
    row = scene.state.tasks[task.id]
    assert (row.state, row.taken_by, row.outcome, row.done_at) == (
        "done",
        "person",
        "done",
        scene.at(5),
    )
    assert _refused(scene.command(_by("cell", CompleteTask, task=task.id), 6)) == (
        409,
        "task_not_open",
    )


def test_a_late_task_is_taken_over_by_another_person(scene: Scene) -> None:
    scene.report(0, "closure", PMI)
    scene.report(1, "outage_water", PMI, capacity_lost_pct=20)
    scene.report(2, "reopening", PMI, severity=1)
    (task,) = scene.state.tasks.values()
    scene.command(_by("cell", TakeTask, task=task.id), 3)
    again = TakeTask(author="another", role="cell", task=task.id)
    assert _refused(scene.command(again, 31)) == (409, "task_not_open")
    assert isinstance(scene.command(again, 32), CommandApplied)
    assert scene.state.tasks[task.id].taken_by == "another"


def test_a_report_with_a_known_site_is_not_linked_again(scene: Scene) -> None:
    id = scene.report(0, "closure", PMI)
    assert _refused(scene.command(_by("cell", LinkReport, report=id, site="pmi-05"), 1)) == (
        409,
        "site_known_already",
    )
    other = scene.report(2, "closure", "nowhere", commune="92050")
    assert _refused(scene.command(_by("cell", LinkReport, report=other, site="nowhere-2"), 3)) == (
        404,
        "site_not_found",
    )


def test_a_split_takes_some_reports_of_that_incident_and_not_all(scene: Scene) -> None:
    one = scene.report(0, "outage_power", PMI, capacity_lost_pct=100)
    other = scene.report(1, "closure", "sst-13", severity=2)
    incident = scene.incident_of(one).id
    assert _refused(
        scene.command(_by("cell", SplitIncident, incident=incident, reports=(other,)), 2)
    ) == (409, "report_elsewhere")
    assert _refused(
        scene.command(_by("cell", SplitIncident, incident=incident, reports=(one,)), 3)
    ) == (409, "nothing_left")
    assert _refused(
        scene.command(_by("cell", MergeIncidents, incident=incident, into=incident), 4)
    ) == (409, "same_incident")


def test_messages_about_a_merged_incident_name_the_one_that_stands(scene: Scene) -> None:
    """D70: after a merge, alarms and proposals of its plans named no site and no commune."""
    power = scene.report(0, "outage_power", PMI, capacity_lost_pct=100)
    closure = scene.report(1, "closure", "sst-13", severity=2)
    merged, standing = scene.incident_of(power).id, scene.incident_of(closure).id
    merge = _by("coordinator", MergeIncidents, incident=merged, into=standing)
    assert isinstance(scene.command(merge, 2), CommandApplied)
    request = AttentionRequested(
        code="stand_down_proposed", roles=("coordinateur_pca",), plan="PT-ELEC", incident=merged
    )
    (message,) = [
        fact
        for fact in scene.feed(request, at=scene.at(3))
        if isinstance(fact, NotificationPlanned)
    ]
    assert message.incident == standing
    assert message.values["members"] == 2


def test_a_split_moves_as_many_reports_as_one_record_holds(scene: Scene) -> None:
    """A larger split was a failed input without an explanation.

    A second split and a merge move the rest.
    """
    ids = [
        scene.report(
            n, "outage_power", PMI, source=f"s{n}", severity=2, capacity_lost_pct=10 + n % 50
        )
        for n in range(202)
    ]
    incident = scene.incident_of(ids[0]).id
    assert _refused(
        scene.command(_by("cell", SplitIncident, incident=incident, reports=tuple(ids[:101])), 300)
    ) == (409, "too_many_reports")
    for n in (0, 100):
        assert isinstance(
            scene.command(
                _by("cell", SplitIncident, incident=incident, reports=tuple(ids[n : n + 100])),
                301 + n,
            ),
            CommandApplied,
        )
    one, other = scene.incident_of(ids[0]).id, scene.incident_of(ids[150]).id
    assert isinstance(
        scene.command(_by("cell", MergeIncidents, incident=other, into=one), 500), CommandApplied
    )
    scene.step(501)
    assert {scene.incident_of(id).id for id in ids[:200]} == {one}
    assert {scene.incident_of(id).id for id in ids[200:]} == {incident}


def test_a_role_of_the_organisation_decides_like_the_cell(scene: Scene) -> None:
    scene.report(0, "closure", PMI, severity=2)
    done = scene.command(
        _by("directeur_pole", AcknowledgeIncident, incident=scene.incidents()[0].id), 1
    )
    assert isinstance(done, CommandApplied)


def test_reference_data_are_published_by_the_administration_only(scene: Scene) -> None:
    _, command = build_reference_commands(territory(), scene.realm, "system:x", "admin")[0]
    for role in ("cell", "director", "directeur_pole", "observer"):
        refused = scene.command(
            PublishReference(author="p", role=role, reference="v", data=command.data)
        )
        assert _refused(refused) == (403, "role_not_allowed")
    for author, role in (("p", "coordinator"), ("system:x", "system")):
        assert isinstance(
            scene.command(
                PublishReference(author=author, role=role, reference="v", data=command.data)
            ),
            CommandApplied,
        )
    assert scene.state.version == territory().version, (
        "a version is in force with its last section, not before"
    )


def test_sites_are_judged_again_under_new_reference_data(scene: Scene) -> None:
    scene.report(0, "outage_power", PMI, capacity_lost_pct=90)
    assert scene.status(PMI) == "closed"
    for id, command in build_reference_commands(territory(), scene.realm, "system:x", "admin"):
        data = command.data
        if data.section == "sites":
            sites = tuple(
                s.model_copy(update={"generator": True}) if s.id == PMI else s for s in data.sites
            )
            data = data.model_copy(update={"sites": sites})
        scene.feed(
            command.model_copy(update={"reference": "next", "data": data}),
            id=f"next-{id}",
            at=scene.at(5),
        )
    assert (scene.status(PMI), scene.site(PMI).capacity_pct) == ("degraded", 40)


def test_an_input_unknown_to_the_rules_is_recorded_as_failed(scene: Scene) -> None:
    from schemas.delivery import ClaimAttempt

    facts = scene.feed(ClaimAttempt(notification="n", attempt="a", run="r"), at=scene.at(1))
    assert [type(f) for f in facts] == [InputFailed]


def test_the_re_entry_of_data_is_a_task(scene: Scene) -> None:
    scene.feed(
        AttentionRequested(
            code="reentry", roles=("coordinateur_pca",), activity="SOL-05", base="pdma", pct=100
        ),
        at=scene.at(1),
    )
    (task,) = scene.state.tasks.values()
    assert (task.kind, task.report) == ("reentry", "SOL-05")


# ── headcount (D37) ────────────────────────────────────────────────────────────────────────────────────────────────


def _counted(scene: Scene, minute: float, site: str, found: int, expected: int) -> None:
    scene.report(
        minute,
        "headcount",
        site,
        severity=1,
        measure=Measure(name="headcount_found", value=found, value_of=expected, scope="site"),
    )


def _closing(incident: str, **values: Any) -> ResolveIncident:
    return ResolveIncident(author="person", role="coordinator", incident=incident, **values)


def test_an_incident_with_missing_people_is_closed_only_with_a_written_reason(scene: Scene) -> None:
    incident = scene.incident_of(scene.report(0, "fire", "cen-1")).id
    _counted(scene, 5, "cen-1", 4, 6)
    scene.report(10, "reopening", "cen-1", severity=1, lifts=(EventType.FIRE,))
    refused = scene.command(_closing(incident), 11)
    assert _refused(refused) == (409, "people_missing")
    assert refused.values == {"people": 2}
    assert isinstance(scene.command(_closing(incident, reason="text:absent"), 12), CommandApplied)


def test_a_complete_headcount_and_one_of_another_incident_need_no_reason(scene: Scene) -> None:
    first = scene.incident_of(scene.report(0, "fire", "cen-1")).id
    scene.report(0, "fire", "par-01")
    _counted(scene, 5, "cen-1", 4, 6)
    _counted(scene, 6, "cen-1", 6, 6)
    _counted(scene, 7, "par-01", 1, 2)
    scene.report(10, "reopening", "cen-1", severity=1, lifts=(EventType.FIRE,))
    assert isinstance(scene.command(_closing(first), 11), CommandApplied)


def test_a_headcount_of_a_closed_incident_does_not_keep_the_plan_of_the_next_one_active(
    scene: Scene,
) -> None:
    first = scene.incident_of(scene.report(0, "gas_leak", "cen-1", severity=4)).id
    _counted(scene, 5, "cen-1", 4, 6)
    scene.command(_closing(first, force=True, reason="text:r"), 11)
    scene.report(60, "gas_leak", "par-01", severity=4)
    _counted(scene, 65, "par-01", 3, 3)
    scene.report(
        66,
        "info",
        "par-01",
        severity=1,
        source="pompiers",
        measure=Measure(name="all_clear", value=True),
    )
    assert scene.state.triggers["PT-GAZ:stand-down"].state == "held"


def test_the_task_of_an_improvement_ends_with_the_improvement_alone(scene: Scene) -> None:
    """«Fait» in the queue of the cell closed the task; the lessons learned kept the action open."""
    row = ImprovementRow(
        id="im-1",
        text_id="text:1",
        owner="coordinateur_pca",
        due_at=scene.at(600),
        opened_at=scene.start,
        opened_by="person",
    )
    scene.feed(ImprovementChanged(row=row), at=scene.start)
    (task,) = scene.state.tasks.values()
    done = _by("coordinator", CompleteTask, task=task.id)
    assert _refused(scene.command(done, 1)) == (409, "improvement_open")
    closed = row.model_copy(update={"state": "done", "closed_by": "person"})
    scene.feed(ImprovementChanged(row=closed), at=scene.at(2))
    assert scene.state.tasks[task.id].state is TaskState.DONE
