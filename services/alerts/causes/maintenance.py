"""Maintenance windows in time: as they begin, pause and end, their causes are judged again.

Causes are judged in batches. Rule D64, maintenance windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from schemas.base import copy_with
from schemas.crisis.causes import Cause
from schemas.crisis.maintenance import MaintenanceChanged, MaintenanceRow
from schemas.recurrence import find_occurrence, parse_rule
from services.alerts.causes.suppression import compute_suppression, is_cause_covered
from services.alerts.decision import AlertsDecision

CAUSES_PER_DEADLINE: Final = 25
"""Causes that one deadline judges: their effects must fit into one Transaction."""


def compute_window_state(draft: AlertsDecision, row: MaintenanceRow) -> MaintenanceRow:
    """Return the window as of now: state, current or next occurrence, and next change."""
    occurrence = None
    if row.over_at is None:
        occurrence = find_occurrence(
            row.starts_at, row.ends_at, parse_rule(row.rrule) if row.rrule else None, draft.now
        )
    if occurrence is None:
        return copy_with(
            row,
            {
                "state": "over",
                "begins_at": None,
                "until_at": None,
                "next_at": None,
                "over_at": row.over_at or draft.now,
            },
        )
    active = occurrence.start <= draft.now
    return copy_with(
        row,
        {
            "state": "active" if active else "planned",
            "begins_at": occurrence.start,
            "until_at": occurrence.end,
            "next_at": occurrence.end if active else occurrence.start,
        },
    )


def record_window(draft: AlertsDecision, row: MaintenanceRow, change: str) -> None:
    """Record a window that a person planned or changed.

    Its next deadline is due at once and judges the causes that it covers.
    """
    new = copy_with(compute_window_state(draft, row), {"sweep": row.sweep + 1})
    draft.emit(MaintenanceChanged(row=copy_with(new, {"next_at": draft.now}), change=change))


def on_window_due(draft: AlertsDecision, id: str) -> None:
    """Apply a due deadline: the window begins, pauses, ends, or judges its next batch of causes."""
    old = draft.state.maintenance[id]
    row = copy_with(compute_window_state(draft, old), {"sweep": old.sweep + 1})
    draft.emit(MaintenanceChanged(row=row, change=_name_change(old, row)))
    outdated_causes = list(_list_outdated_causes(draft, row))
    draft.stirred.update(dict.fromkeys(c.id for c in outdated_causes[:CAUSES_PER_DEADLINE]))
    draft.doubtful.update(
        c.site for c in outdated_causes[:CAUSES_PER_DEADLINE] if c.site is not None
    )
    if len(outdated_causes) > CAUSES_PER_DEADLINE:
        draft.emit(
            MaintenanceChanged(
                row=copy_with(row, {"next_at": draft.now, "sweep": row.sweep + 1}), change="sweep"
            )
        )


def _name_change(old: MaintenanceRow, new: MaintenanceRow) -> str:
    if new.state == old.state and new.begins_at == old.begins_at:
        return "sweep"
    return {"active": "begun", "planned": "paused", "over": "over"}[new.state]


def _list_outdated_causes(draft: AlertsDecision, row: MaintenanceRow) -> Iterator[Cause]:
    """Yield the open causes with a coverage by this window that is not up to date.

    Walks over all causes: windows begin and end rarely.
    """
    state = draft.state
    for ids in (
        *(ids for _, ids in sorted(state.site_causes.items())),
        *(sorted(ids) for _, ids in sorted(state.placeless.items())),
    ):
        for cause in (state.causes[c] for c in ids):
            is_concerned = row.id in cause.maintenance or is_cause_covered(
                row.covers, cause, draft.territory
            )
            if is_concerned and compute_suppression(draft, cause) != (
                cause.maintenance,
                cause.inhibited_by,
            ):
                yield cause
