"""Decisions about reports and tasks: verify, link, take, complete, mark as read, and notes.

A confirmation can be previewed. Rules D6, D8, D55 and D98.
"""

from typing import Final

from schemas import commands as c
from schemas.alerts import (
    NoteAdded,
    ReportRead,
    ReportReading,
    TaskChanged,
    TaskRow,
    TriggerChanged,
)
from schemas.base import MINUTE_MS, Fact, copy_with
from schemas.calling import NotificationPlanned
from schemas.crisis.area_orders import AREA_ORDER, CONCERNED, NOT_CONCERNED
from schemas.words import Level, TaskState
from services.alerts import decision as tasks
from services.alerts import pipeline as receive
from services.alerts.causes.cause_lifecycle import (
    lift_cause,
    list_placeless_causes,
    record_with_deadline,
)
from services.alerts.decision import AlertsDecision, get_incident, get_report
from services.alerts.declarations import area_orders
from services.alerts.escalation.notifications import inform_people
from services.alerts.evolve import OPEN
from services.alerts.incidents.merging import merge_bridged_incidents, merge_into
from services.alerts.pipeline import update_derived_state
from services.alerts.reports import verification
from services.alerts.reports.report_facts import PLACE_FLAGS
from services.runtime.decider.command_checks import get_row
from services.runtime.decider.protocol import CommandResult, RefusedCommand

STAND_DOWN: Final = ":stand-down"
"""End of the id of a trigger that tells when a plan may be ended."""


def mark_read(draft: AlertsDecision, command: c.MarkReportsRead) -> CommandResult:
    """Note once that the cell read each of these reports, if it is still known."""
    unread = [r for r in draft.find_reports(dict.fromkeys(command.reports)) if r.read_at is None]
    for row in unread:
        draft.emit(ReportRead(row=ReportReading(id=row.id, read_at=draft.now)))
    return {"reports": len(unread)}


def preview_confirmation(draft: AlertsDecision, command: c.PreviewConfirmation) -> CommandResult:
    """Preview a confirmation in an unrecorded draft and return its immediate effect.

    Raises the refusals of a confirmation.
    """
    row = get_report(draft, command.report)
    trial = draft.trial()
    confirm_report(trial, c.ConfirmReport(author=command.author, role=command.role, report=row.id))
    incident = trial.state.incidents.get(trial.incident_of(row.id) or "")
    plans = _list_new_plans(draft, trial.facts)
    return {
        "report": row.id,
        "level": int(trial.state.level()),
        "level_before": int(draft.state.level()),
        "incident_level": int(Level.N0 if incident is None else incident.level),
        "people": len(
            {fact.person for fact in trial.facts if isinstance(fact, NotificationPlanned)}
        ),
        "plans": ",".join(plans),
        "plans_count": len(plans),
    }


def _list_new_plans(draft: AlertsDecision, facts: list[Fact]) -> list[str]:
    """Return the plans of triggers that begin to hold."""
    previous_plans = {t.plan for t in draft.state.triggers.values() if t.state == "held"}
    rows = [fact.row for fact in facts if isinstance(fact, TriggerChanged)]
    new = {row.plan for row in rows if row.state == "held" and not row.id.endswith(STAND_DOWN)}
    return sorted(new - previous_plans)


def confirm_report(draft: AlertsDecision, command: c.ConfirmReport) -> CommandResult:
    row = get_report(draft, command.report)
    if row.confirmation == "confirmed" and row.held is None:
        raise RefusedCommand(409, "confirmed_already", report=row.id)
    before = draft.incident_of(row.id)
    settle = (
        receive.confirm_held_parts if row.confirmation == "confirmed" else receive.confirm_report
    )
    settle(draft, row, command.author)
    update_derived_state(draft)
    merge_bridged_incidents(draft, row.id)
    _merge_emptied_incident(draft, before, row.id)
    return {"report": row.id, "incident": draft.state.reports[row.id].incident}


def deny_report(draft: AlertsDecision, command: c.DenyReport) -> CommandResult:
    row = get_report(draft, command.report)
    if row.confirmation == "denied":
        raise RefusedCommand(409, "denied_already", report=row.id)
    verification.deny_report(draft, row, command.author)
    update_derived_state(draft)
    return {"report": row.id}


def link_report(draft: AlertsDecision, command: c.LinkReport) -> CommandResult:
    row = get_report(draft, command.report)
    if PLACE_FLAGS.isdisjoint(row.flags):
        raise RefusedCommand(409, "site_known_already", report=row.id, site=row.site)
    if command.site not in draft.territory.sites:
        raise RefusedCommand(404, "site_not_found", site=command.site)
    before = draft.incident_of(row.id)
    receive.link_site(draft, row, command.site, command.author)
    update_derived_state(draft)
    merge_bridged_incidents(draft, row.id)
    _merge_emptied_incident(draft, before, row.id)
    return {"report": row.id, "site": command.site}


def _merge_emptied_incident(draft: AlertsDecision, before: str | None, report: str) -> None:
    """Merge an incident that lost its only report into the report's new incident.

    So nobody is called twice for the same event.
    """
    now = draft.incident_of(report)
    if before is None or now is None or now == before or draft.state.incident_reports.get(before):
        return
    former_incident, into = draft.incident(before), draft.incident(now)
    if former_incident.state in OPEN and into.state in OPEN:
        merge_into(draft, former_incident, into)


def take_task(draft: AlertsDecision, command: c.TakeTask) -> CommandResult:
    """Take a task that is open, or a late one of another person. Rule D87."""
    row = get_row(draft.state.tasks, command.task, "task_not_found")
    is_free = row.state is TaskState.OPEN or (
        row.is_late(draft.now) and row.taken_by != command.author
    )
    if row.state not in (TaskState.OPEN, TaskState.TAKEN) or not is_free:
        raise RefusedCommand(409, "task_not_open", state=row.state.value, taken_by=row.taken_by)
    draft.emit(
        TaskChanged(row=copy_with(row, {"state": TaskState.TAKEN, "taken_by": command.author}))
    )
    return {"task": row.id, "state": "taken"}


def complete_task(draft: AlertsDecision, command: c.CompleteTask) -> CommandResult:
    """Complete a task.

    The outcome `lifted` of an overdue cause lifts it; a contested cause stands as verified (rule
    D5). A question about an order for an area needs its answer, and may be answered again (rule
    D102). A situation report that nobody validates is asked for again after another interval (rule
    D54). An improvement action is closed itself (rule D53). Other outcomes only close the task: facts come as reports.
    """
    row = get_row(draft.state.tasks, command.task, "task_not_found")
    is_open = row.state in (TaskState.OPEN, TaskState.TAKEN)
    if not is_open and not area_orders.may_be_answered_again(draft, row):
        raise RefusedCommand(409, "task_not_open", state=row.state.value, taken_by=row.taken_by)
    if row.kind == AREA_ORDER:
        if command.outcome not in (CONCERNED, NOT_CONCERNED):
            raise RefusedCommand(409, "answer_needed", task=row.id)
        area_orders.settle_question(draft, row, command.author, command.outcome)
        update_derived_state(draft)
        return {"task": row.id, "state": "done"}
    if row.kind == "improvement":  # its owner, continuity, ends the task with the action
        raise RefusedCommand(409, "improvement_open", improvement=row.report)
    tasks.complete_task(draft, row, command.author, command.outcome)
    if row.kind == "sitrep" and (every_min := tasks.get_sitrep_rhythm(draft, draft.level)):
        tasks.open_task(draft, "sitrep", due_at=draft.now + every_min * MINUTE_MS)
    if row.kind == "instruction" and command.outcome == "withdrawn":
        _tell_withdrawn_instruction(draft, row)
    if row.kind == "overdue_cause" and command.outcome == "lifted":
        at_site = [draft.state.causes[id] for id in draft.state.site_causes.get(row.site or "", ())]
        for cause in (
            at_site
            if row.site is not None
            else list_placeless_causes(draft, draft.resolve_incident(row.incident))
        ):
            if cause.overdue and cause.type.value in row.candidates:
                lift_cause(draft, cause, draft.now, f"task:{row.id}")
        update_derived_state(draft)
    elif row.kind == "contested" and row.site is not None:
        for cause in [draft.state.causes[id] for id in draft.state.site_causes.get(row.site, ())]:
            record_with_deadline(draft, copy_with(cause, {"contested": False}))
        update_derived_state(draft)
    return {"task": row.id, "state": "done"}


def _tell_withdrawn_instruction(draft: AlertsDecision, task: TaskRow) -> None:
    """Tell the people informed of an instruction that the cell took it back. Rule D99."""
    calls = (
        call
        for call in draft.state.calls.values()
        if call.template == "instruction" and call.values.get("text") == task.text_id
    )
    inform_people(
        draft,
        tuple(sorted({call.person for call in calls})),
        draft.resolve_incident(task.incident),
        "instruction_withdrawn",
        {"text": task.text_id, "site": task.site},
        despite_quiet_hours=True,
    )


def add_note(draft: AlertsDecision, command: c.AddNote) -> CommandResult:
    if command.incident is not None:
        get_incident(draft, command.incident)
    line = draft.derive("note")
    draft.emit(
        NoteAdded(
            line=line,
            text_id=command.text_id,
            author=command.author,
            role=command.role,
            incident=command.incident,
            corrects=command.corrects,
            occurred_at=draft.now if command.occurred_at is None else command.occurred_at,
            kind=command.kind,
            source=command.source,
            certainty=command.certainty,
        )
    )
    return {"line": line}
