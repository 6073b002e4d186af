"""Maintenance windows in time: as they begin, pause and end, their causes are judged again.

Causes are judged in batches. Rule D64, maintenance windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from schemas.causes import Cause
from schemas.maintenance import MaintenanceChanged, MaintenanceRow
from schemas.recurrence import occurrence_at, parse_rule
from services.alerts.causes.suppression import covers_place, judged
from services.alerts.decision import Draft
from services.alerts.rows import changed

BATCH: Final = 25
"""Causes that one deadline judges: their effects must fit into one Transaction."""


def timed(draft: Draft, row: MaintenanceRow) -> MaintenanceRow:
    """Return the window as of now: state, current or next occurrence, and next change."""
    found = None
    if row.over_at is None:
        found = occurrence_at(
            row.starts_at, row.ends_at, parse_rule(row.rrule) if row.rrule else None, draft.now
        )
    if found is None:
        return changed(
            row,
            {
                "state": "over",
                "begins_at": None,
                "until_at": None,
                "next_at": None,
                "over_at": row.over_at or draft.now,
            },
        )
    active = found.start <= draft.now
    return changed(
        row,
        {
            "state": "active" if active else "planned",
            "begins_at": found.start,
            "until_at": found.end,
            "next_at": found.end if active else found.start,
        },
    )


def put(draft: Draft, row: MaintenanceRow, change: str) -> None:
    """Record a window that a person planned or changed.

    Its next deadline is due at once and judges the causes that it covers.
    """
    new = changed(timed(draft, row), {"sweep": row.sweep + 1})
    draft.emit(MaintenanceChanged(row=changed(new, {"next_at": draft.now}), change=change))


def turn(draft: Draft, id: str) -> None:
    """Apply a due deadline: the window begins, pauses, ends, or judges its next batch of causes."""
    old = draft.state.maintenance[id]
    row = changed(timed(draft, old), {"sweep": old.sweep + 1})
    draft.emit(MaintenanceChanged(row=row, change=_change(old, row)))
    left = list(_unsettled(draft, row))
    draft.stirred.update(dict.fromkeys(c.id for c in left[:BATCH]))
    draft.doubtful.update(c.site for c in left[:BATCH] if c.site is not None)
    if len(left) > BATCH:
        draft.emit(
            MaintenanceChanged(
                row=changed(row, {"next_at": draft.now, "sweep": row.sweep + 1}), change="sweep"
            )
        )


def _change(old: MaintenanceRow, new: MaintenanceRow) -> str:
    if new.state == old.state and new.begins_at == old.begins_at:
        return "sweep"
    return {"active": "begun", "planned": "paused", "over": "over"}[new.state]


def _unsettled(draft: Draft, row: MaintenanceRow) -> Iterator[Cause]:
    """Yield the open causes with a coverage by this window that is not up to date.

    Walks over all causes: windows begin and end rarely.
    """
    state = draft.state
    for ids in (
        *(ids for _, ids in sorted(state.site_causes.items())),
        *(sorted(ids) for _, ids in sorted(state.placeless.items())),
    ):
        for cause in (state.causes[c] for c in ids):
            concerned = row.id in cause.maintenance or covers_place(
                row.covers, cause, draft.territory
            )
            if concerned and judged(draft, cause) != (cause.maintenance, cause.inhibited_by):
                yield cause
