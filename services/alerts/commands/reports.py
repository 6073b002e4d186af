"""Decisions about reports and tasks: verify, link, take, complete, and notes.

Rules D6, D8 and D55.
"""

from __future__ import annotations

from schemas import commands as c
from schemas.alerts import NoteAdded, TaskChanged
from schemas.words import TaskState
from services.alerts import tasks
from services.alerts.causes.cause_lifecycle import lift, placeless_of, put
from services.alerts.commands.incidents import unite
from services.alerts.commands.refusal import Refused, Result, incident_of, report_of
from services.alerts.decision import Draft
from services.alerts.evolve import OPEN
from services.alerts.pipeline import settle
from services.alerts.reports import receive
from services.alerts.reports.report_facts import is_placeless
from services.alerts.rows import changed


def confirm(draft: Draft, command: c.ConfirmReport) -> Result:
    row = report_of(draft, command.report)
    if row.confirmation == "confirmed" and row.held is None:
        raise Refused(409, "confirmed_already", report=row.id)
    before = draft.incident_of(row.id)
    settled = receive.grant if row.confirmation == "confirmed" else receive.confirm
    settled(draft, row, command.author)
    settle(draft)
    _go_along(draft, before, row.id)
    return {"report": row.id, "incident": draft.state.reports[row.id].incident}


def deny(draft: Draft, command: c.DenyReport) -> Result:
    row = report_of(draft, command.report)
    if row.confirmation == "denied":
        raise Refused(409, "denied_already", report=row.id)
    receive.deny(draft, row, command.author)
    settle(draft)
    return {"report": row.id}


def link(draft: Draft, command: c.LinkReport) -> Result:
    row = report_of(draft, command.report)
    if not is_placeless(row):
        raise Refused(409, "site_known_already", report=row.id, site=row.site)
    if command.site not in draft.territory.sites:
        raise Refused(404, "site_unknown", site=command.site)
    before = draft.incident_of(row.id)
    receive.link(draft, row, command.site, command.author)
    settle(draft)
    _go_along(draft, before, row.id)
    return {"report": row.id, "site": command.site}


def _go_along(draft: Draft, before: str | None, report: str) -> None:
    """Merge an incident that lost its only report into the report's new incident.

    So nobody is called twice for the same event.
    """
    now = draft.incident_of(report)
    if before is None or now is None or now == before or draft.state.incident_reports.get(before):
        return
    left, into = draft.incident(before), draft.incident(now)
    if left.state in OPEN and into.state in OPEN:
        unite(draft, left, into)


def take_task(draft: Draft, command: c.TakeTask) -> Result:
    row = draft.state.tasks.get(command.task)
    if row is None:
        raise Refused(404, "task_unknown", task=command.task)
    if row.state is not TaskState.OPEN:
        raise Refused(409, "task_not_open", state=row.state.value, taken_by=row.taken_by)
    draft.emit(
        TaskChanged(row=changed(row, {"state": TaskState.TAKEN, "taken_by": command.author}))
    )
    return {"task": row.id, "state": "taken"}


def complete_task(draft: Draft, command: c.CompleteTask) -> Result:
    """Complete a task.

    The outcome `lifted` of an overdue cause lifts it; a contested cause stands as verified (rule
    D5). Other outcomes only close the task: facts come as reports.
    """
    row = draft.state.tasks.get(command.task)
    if row is None:
        raise Refused(404, "task_unknown", task=command.task)
    if row.state not in (TaskState.OPEN, TaskState.TAKEN):
        raise Refused(409, "task_not_open", state=row.state.value, taken_by=row.taken_by)
    tasks.done(draft, row, command.author, command.outcome)
    if row.kind == "overdue_cause" and command.outcome == "lifted":
        at_site = [draft.state.causes[id] for id in draft.state.site_causes.get(row.site or "", ())]
        for cause in (
            at_site if row.site is not None else placeless_of(draft, draft.standing(row.incident))
        ):
            if cause.overdue and cause.type.value in row.candidates:
                lift(draft, cause, draft.now, f"task:{row.id}")
        settle(draft)
    elif row.kind == "contested" and row.site is not None:
        for cause in [draft.state.causes[id] for id in draft.state.site_causes.get(row.site, ())]:
            put(draft, changed(cause, {"contested": False}))
        settle(draft)
    return {"task": row.id, "state": "done"}


def note(draft: Draft, command: c.AddNote) -> Result:
    if command.incident is not None:
        incident_of(draft, command.incident)
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
