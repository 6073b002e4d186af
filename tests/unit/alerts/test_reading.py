"""The cell reads a report once, previews its confirmation and sends a site an instruction."""

from __future__ import annotations

import pytest

from schemas.alerts import ReportRead, TaskChanged, TriggerMeasured
from schemas.base import Fact
from schemas.calling import NotificationPlanned
from schemas.commands import (
    AcknowledgeIncident,
    CompleteTask,
    ConfirmReport,
    InstructSite,
    MarkReportsRead,
    PreviewConfirmation,
)
from schemas.crisis.maintenance import Coverage, PlanMaintenance
from schemas.runtime import CommandApplied, CommandRefused
from schemas.words import Certainty, TaskState
from services.alerts.reference.territory import INSTRUCTION_DUE_MS
from tests.unit.alerts.scene import Scene

COLLEGE = "clg-0921243B"
BY = {"author": "p-cell", "role": "cell"}


@pytest.fixture
def scene() -> Scene:
    return Scene()


def _answer(facts: list[Fact]) -> CommandApplied:
    answer = facts[-1]
    assert isinstance(answer, CommandApplied), answer
    return answer


def test_the_first_reading_of_a_report_is_kept_and_a_second_writes_nothing(scene: Scene) -> None:
    scene.report(0, "outage_power", COLLEGE, id="rep-1")
    first = scene.feed(MarkReportsRead(**BY, reports=("rep-1", "rep-unknown")), at=scene.at(2))
    second = scene.feed(MarkReportsRead(**BY, reports=("rep-1",)), at=scene.at(5))
    assert [f.row.id for f in first if isinstance(f, ReportRead)] == ["rep-1"]
    assert scene.state.reports["rep-1"].read_at == scene.at(2)
    assert [type(f) for f in second] == [CommandApplied]
    assert _answer(second).result == {"reports": 0}


def test_a_reading_stays_when_the_report_is_judged_again(scene: Scene) -> None:
    scene.report(0, "gas_leak", COLLEGE, id="rep-1", certainty=Certainty.RUMOUR)
    scene.feed(MarkReportsRead(**BY, reports=("rep-1",)), at=scene.at(2))
    scene.feed(ConfirmReport(**BY, report="rep-1"), at=scene.at(3))
    assert scene.state.reports["rep-1"].read_at == scene.at(2)
    assert scene.state.reports["rep-1"].confirmation == "confirmed"


def test_reading_is_no_work_on_an_incident(scene: Scene) -> None:
    """An answer goes stale although the page was opened: a page view is no deed (D33)."""
    scene.report(0, "gas_leak", COLLEGE, severity=4, id="rep-1")
    incident = scene.incident_of("rep-1").id
    scene.feed(AcknowledgeIncident(**BY, incident=incident), at=scene.at(1))
    facts = scene.feed(MarkReportsRead(**BY, reports=("rep-1",)), at=scene.at(2))
    assert {type(f) for f in facts} == {ReportRead, CommandApplied}


def test_a_site_manager_does_not_read_for_the_cell(scene: Scene) -> None:
    scene.report(0, "outage_power", COLLEGE, id="rep-1")
    answer = scene.feed(
        MarkReportsRead(author="p-1", role="site_manager", reports=("rep-1",)), at=scene.at(2)
    )[-1]
    assert isinstance(answer, CommandRefused)
    assert answer.status == 403


def test_the_look_ahead_matches_the_confirmation_and_records_nothing(scene: Scene) -> None:
    scene.report(0, "gas_leak", "cen-1", severity=5, certainty=Certainty.RUMOUR, id="rep-1")
    before = scene.state
    looked = scene.feed(PreviewConfirmation(**BY, report="rep-1"), at=scene.at(2))
    assert [type(f) for f in looked] == [CommandApplied]
    assert scene.state.reports == before.reports
    assert scene.state.levels == before.levels
    preview = _answer(looked).result
    done = scene.feed(ConfirmReport(**BY, report="rep-1"), at=scene.at(2))
    people = {f.person for f in done if isinstance(f, NotificationPlanned)}
    new = {t.plan for t in scene.state.triggers.values()} - {
        t.plan for t in before.triggers.values()
    }
    assert preview["people"] == len(people) > 0
    assert preview["level"] == scene.state.level() > preview["level_before"]
    assert preview["plans"] == ",".join(sorted(new))
    assert preview["plans_count"] == len(new) > 0


def test_the_look_ahead_is_refused_for_a_confirmed_report(scene: Scene) -> None:
    scene.report(0, "outage_power", COLLEGE, id="rep-1")
    answer = scene.feed(PreviewConfirmation(**BY, report="rep-1"), at=scene.at(2))[-1]
    assert isinstance(answer, CommandRefused)
    assert answer.code == "confirmed_already"


def _instruct(
    scene: Scene, text: str = "text-1", minute: float = 3, incident: str | None = None
) -> list[Fact]:
    command = InstructSite(**BY, site=COLLEGE, text_id=text, incident=incident)
    return scene.feed(command, at=scene.at(minute))


def test_an_instruction_is_a_task_of_the_manager_and_a_message_to_them(scene: Scene) -> None:
    scene.report(0, "gas_leak", COLLEGE, severity=4, id="rep-1")
    incident = scene.incident_of("rep-1").id
    facts = _instruct(scene, incident=incident)
    (task,) = [f.row for f in facts if isinstance(f, TaskChanged)]
    assert (task.kind, task.site, task.incident, task.text_id) == (
        "instruction",
        COLLEGE,
        incident,
        "text-1",
    )
    assert task.owner == f"responsable_site:{COLLEGE}"
    assert task.asked_by == "p-cell"
    assert task.due_at == scene.at(3) + INSTRUCTION_DUE_MS
    (call,) = [f for f in facts if isinstance(f, NotificationPlanned)]
    assert (call.template, call.role, call.scope) == ("instruction", "responsable_site", COLLEGE)
    assert call.values["text"] == "text-1"
    assert not call.answer_expected


def test_two_instructions_for_one_site_wait_side_by_side_and_each_is_confirmed(
    scene: Scene,
) -> None:
    _instruct(scene, "text-1", 3)
    _instruct(scene, "text-2", 4)
    tasks = [t for t in scene.state.tasks.values() if t.kind == "instruction"]
    assert [t.state for t in tasks] == [TaskState.OPEN, TaskState.OPEN]
    scene.feed(
        CompleteTask(author="p-1", role="site_manager", task=tasks[0].id, outcome="understood"),
        at=scene.at(6),
    )
    after = scene.state.tasks
    assert [after[t.id].state for t in tasks] == [TaskState.DONE, TaskState.OPEN]
    assert after[tasks[0].id].outcome == "understood"
    assert after[tasks[0].id].done_at == scene.at(6)


def test_the_manager_hears_that_the_cell_took_an_instruction_back(scene: Scene) -> None:
    """The page alone said so, and the site went on with it."""
    facts = _instruct(scene)
    (call,) = [f for f in facts if isinstance(f, NotificationPlanned)]
    (task,) = [t for t in scene.state.tasks.values() if t.kind == "instruction"]
    withdrawal = CompleteTask(**BY, task=task.id, outcome="withdrawn")
    facts = scene.feed(withdrawal, at=scene.at(6))
    (message,) = [f for f in facts if isinstance(f, NotificationPlanned)]
    assert (message.template, message.person) == ("instruction_withdrawn", call.person)
    assert (message.values["text"], message.values["site"]) == ("text-1", COLLEGE)
    assert message.quiet_until is None


def test_planned_works_do_not_withhold_an_instruction(scene: Scene) -> None:
    covers = Coverage(sites=(COLLEGE,))
    scene.command(
        PlanMaintenance(
            author="c",
            role="coordinator",
            reason="text:x",
            covers=covers,
            starts_at=scene.at(-10),
            ends_at=scene.at(600),
        ),
        -5,
    )
    scene.report(0, "outage_power", COLLEGE, id="rep-1")
    facts = _instruct(scene, incident=scene.incident_of("rep-1").id)
    assert [f.template for f in facts if isinstance(f, NotificationPlanned)] == ["instruction"]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"site": "x"}, "site_not_found"),
        ({"incident": "x"}, "incident_not_found"),
        ({"report": "x"}, "report_not_found"),
    ],
)
def test_an_instruction_about_an_unknown_object_is_refused(
    scene: Scene, given: dict[str, str], code: str
) -> None:
    values = {"site": COLLEGE, "text_id": "text-1"} | given
    answer = scene.feed(InstructSite.model_validate(BY | values), at=scene.at(1))[-1]
    assert isinstance(answer, CommandRefused)
    assert (answer.status, answer.code) == (404, code)


def test_a_holding_trigger_publishes_its_value_only_when_it_changes(scene: Scene) -> None:
    """The plan was proposed at two sites; twelve are hit an hour later."""
    hit = ["clg-0921243B", "clg-0921786S", "clg-0921507N", "clg-0921868F"]
    for n, site in enumerate(hit[:3]):
        scene.report(n, "closure", site, severity=3)
    holding_triggers = {
        t.id: t
        for t in scene.state.triggers.values()
        if t.state == "held" and any(w.metric == "sites_closed" for w in t.why)
    }
    assert holding_triggers, [t.id for t in scene.state.triggers.values()]
    facts = scene.report(5, "closure", hit[3], severity=3)
    assert facts
    row = scene.state.triggers[next(iter(holding_triggers))]
    (now,) = [w for w in row.current if w.metric == "sites_closed"]
    (then,) = [w for w in row.why if w.metric == "sites_closed"]
    assert now.value == 4
    assert then.value == 3
    assert now.reports == ()
    before = len(scene.named(TriggerMeasured))
    scene.report(6, "closure", hit[3], severity=3)
    assert len(scene.named(TriggerMeasured)) == before
