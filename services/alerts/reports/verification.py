"""One question to verify the reports of one trouble: later reports join it. Rule D6.

A task names the first report as `report` and those that joined it, oldest first, as `candidates`.
"""

from __future__ import annotations

from typing import Final

from schemas.alerts import ReportRow, TaskChanged, TaskRow, list_asked_reports
from schemas.base import copy_with
from schemas.catalogue.event_types import endangers_people
from schemas.words import TaskState
from services.alerts.decision import (
    AlertsDecision,
    cancel_task,
    find_open_task,
    list_open_tasks,
    open_task,
)
from services.alerts.reports.report_facts import build_subject_key, get_site

MAX_JOINED: Final = 49
"""Most reports that join one question: its record stays small."""


def ask_for_verification(draft: AlertsDecision, row: ReportRow, incident: str | None) -> None:
    """Open a task to verify a report, or let it join the open one about the same trouble.

    A task that somebody has taken asks nobody any more, so the report gets one of its own.
    """
    for task in list_open_tasks(draft, "verify_report"):
        if row.id in list_asked_reports(task):
            return
        if _is_same_question(draft, task, row, incident):
            candidates = (*task.candidates, row.id)
            draft.emit(TaskChanged(row=copy_with(task, {"candidates": candidates})))
            return
    open_task(draft, "verify_report", report=row.id, site=get_site(row), incident=incident)


def _is_same_question(
    draft: AlertsDecision, task: TaskRow, row: ReportRow, incident: str | None
) -> bool:
    """Return whether a task asks about the same trouble at the same site or in the same incident.

    Tasks with an owner ask about a part of a report. Rule D76, entitled sources.
    """
    first = draft.state.reports.get(task.report or "")
    if (
        first is None
        or task.state is not TaskState.OPEN
        or task.owner is not None
        or len(task.candidates) >= MAX_JOINED
        or first.type is not row.type
    ):
        return False
    if get_site(row) is not None:
        return build_subject_key(first) == build_subject_key(row)
    return (
        incident is not None
        and get_site(first) is None
        and draft.resolve_incident(task.incident) == incident
    )


def settle_verification(draft: AlertsDecision, report: ReportRow, outcome: str) -> None:
    """Take a report out of the question about it; the others in it still wait.

    A confirmed trouble leaves only those that tell of danger to people where it did not.
    """
    task = _find_question(draft, report.id)
    if task is None:
        return
    reports = draft.find_reports(list_asked_reports(task))
    others = [row for row in reports if row.id != report.id]
    if outcome == "confirmed":
        others = [row for row in others if _is_graver(row, report)]
    if others and task.report != report.id and outcome != "confirmed":
        candidates = tuple(row.id for row in others if row.id != task.report)
        draft.emit(TaskChanged(row=copy_with(task, {"candidates": candidates})))
        return
    cancel_task(draft, "verify_report", task.report or "", outcome)
    if others:
        draft.emit(
            TaskChanged(
                row=copy_with(
                    task,
                    {
                        "id": draft.derive("task"),
                        "report": others[0].id,
                        "candidates": tuple(row.id for row in others[1:]),
                    },
                )
            )
        )


def _find_question(draft: AlertsDecision, report: str) -> TaskRow | None:
    task = find_open_task(draft, "verify_report", report)
    if task is not None:
        return task
    tasks = list_open_tasks(draft, "verify_report")
    return next((task for task in tasks if report in task.candidates), None)


def _is_graver(row: ReportRow, than: ReportRow) -> bool:
    return endangers_people(row.type, row.severity) and not endangers_people(
        than.type, than.severity
    )
