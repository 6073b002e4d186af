"""Open and close tasks of people: one open task per kind and subject.

Rules D3, D5, D8 and D16 to D20.
"""

from __future__ import annotations

from typing import Any, Literal

from schemas.alerts import TaskChanged, TaskRow
from schemas.base import MINUTE_MS, Instant
from schemas.words import TaskState
from services.alerts.decision import AlertsDecision
from services.alerts.rows import copy_with
from services.runtime.decider.maps import Map

TaskKind = Literal[
    "verify_site",
    "verify_report",
    "link_denial",
    "link_site",
    "overdue_cause",
    "contested",
    "lift_which",
    "reentry",
    "sitrep",
    "improvement",
    "readiness_hole",
    "relief",
    "headcount",
    "instruction",
]


def open_task(
    draft: AlertsDecision,
    kind: TaskKind,
    *,
    report: str | None = None,
    site: str | None = None,
    incident: str | None = None,
    candidates: tuple[str, ...] = (),
    due_at: Instant | None = None,
    owner: str | None = None,
    post: str | None = None,
    text_id: str | None = None,
    asked_by: str | None = None,
) -> None:
    """Open a task, unless the same one is open.

    Without `due_at`, the delay that the policy names for this kind applies.
    """
    if find_open_task(draft, kind, text_id or report or post or site or incident or "") is not None:
        return
    policy = draft.territory.policy
    if due_at is None and policy is not None and kind in policy.task_due_min:
        due_at = draft.now + policy.task_due_min[kind] * MINUTE_MS
    row = TaskRow(
        id=draft.derive("task"),
        kind=kind,
        state=TaskState.OPEN,
        opened_at=draft.now,
        due_at=due_at,
        site=site,
        incident=incident,
        report=report,
        candidates=candidates,
        owner=owner,
        post=post,
        text_id=text_id,
        asked_by=asked_by,
    )
    draft.emit(TaskChanged(row=row))


def find_open_task(draft: AlertsDecision, kind: TaskKind, subject: str) -> TaskRow | None:
    """Return the open or assigned task of this kind and subject."""
    id = _get_open_tasks(draft, kind).get(subject)
    return draft.state.tasks[id] if id is not None else None


def list_open_tasks(draft: AlertsDecision, kind: TaskKind) -> list[TaskRow]:
    """Return all open or assigned tasks of this kind, oldest first."""
    return sorted(
        (draft.state.tasks[id] for id in _get_open_tasks(draft, kind).values()),
        key=lambda t: (t.opened_at, t.id),
    )


def _get_open_tasks(draft: AlertsDecision, kind: TaskKind) -> Map[str, str]:
    return draft.state.open_tasks.get(kind, Map())


def cancel_task(draft: AlertsDecision, kind: TaskKind, subject: str, outcome: str) -> None:
    """Cancel a task that later facts have answered."""
    if (task := find_open_task(draft, kind, subject)) is not None:
        _close_task(draft, task, state=TaskState.VOID, outcome=outcome)


def complete_open_task(
    draft: AlertsDecision, kind: TaskKind, subject: str, author: str, outcome: str | None = "done"
) -> None:
    """Mark a task as done by the person that continuity names, if it is open."""
    if (task := find_open_task(draft, kind, subject)) is not None:
        complete_task(draft, task, author, outcome)


def _close_task(draft: AlertsDecision, row: TaskRow, **values: Any) -> None:
    draft.emit(TaskChanged(row=copy_with(row, {"done_at": draft.now, **values})))


def complete_task(draft: AlertsDecision, row: TaskRow, author: str, outcome: str | None) -> None:
    """Mark a task as done by a person."""
    _close_task(draft, row, state=TaskState.DONE, taken_by=row.taken_by or author, outcome=outcome)
