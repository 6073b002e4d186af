"""Decisions about maintenance windows. Rule D64, maintenance windows."""

from __future__ import annotations

from schemas import maintenance as m
from schemas.base import DAY_MS
from schemas.maintenance import MaintenanceRow
from schemas.recurrence import occurrence_at, parse_rule
from services.alerts.causes import maintenance
from services.alerts.commands.refusal import Refused, Result
from services.alerts.decision import Draft
from services.alerts.reference.constants import DANGER_TYPES
from services.alerts.rows import changed

MACHINE = "source"
"""Role of a registered source: it may only silence its own alerts."""


def plan(draft: Draft, command: m.PlanMaintenance) -> Result:
    _check(draft, command)
    row = MaintenanceRow(
        id=draft.derive("maintenance"),
        state="planned",
        covers=command.covers,
        starts_at=command.starts_at,
        ends_at=command.ends_at,
        rrule=command.rrule,
        origin=command.origin,
        author=command.author,
        role=command.role,
        reason=command.reason,
        planned_at=draft.now,
        changed_at=draft.now,
    )
    maintenance.put(draft, row, "planned")
    return _result(draft, row.id)


def change(draft: Draft, command: m.ChangeMaintenance) -> Result:
    row = _running(draft, command.window, command.expected, command.author, command.role)
    _check(draft, command)
    maintenance.put(
        draft,
        changed(
            row,
            {
                "covers": command.covers,
                "starts_at": command.starts_at,
                "ends_at": command.ends_at,
                "rrule": command.rrule,
                "author": command.author,
                "role": command.role,
                "reason": command.reason or row.reason,
                "changed_at": draft.now,
                "version": row.version + 1,
            },
        ),
        "changed",
    )
    return _result(draft, row.id)


def end(draft: Draft, command: m.EndMaintenance) -> Result:
    row = _running(draft, command.window, command.expected, command.author, command.role)
    maintenance.put(
        draft,
        changed(
            row,
            {
                "over_at": draft.now,
                "over_by": command.author,
                "changed_at": draft.now,
                "version": row.version + 1,
            },
        ),
        "ended",
    )
    return _result(draft, row.id)


def _running(draft: Draft, id: str, expected: int | None, author: str, role: str) -> MaintenanceRow:
    row = draft.state.maintenance.get(id)
    if row is None or (role == MACHINE and row.author != author):
        raise Refused(404, "window_unknown", window=id)
    if expected is not None and expected != row.version:
        raise Refused(412, "version_changed", expected=expected, version=row.version)
    if row.state == "over":
        raise Refused(409, "window_over", window=id)
    return row


def _check(draft: Draft, command: m.PlanMaintenance | m.ChangeMaintenance) -> None:
    covers = command.covers
    if command.role == MACHINE and covers.sources != (command.author,):
        raise Refused(403, "role_not_allowed", role=command.role)
    if not covers.asks:
        raise Refused(409, "window_covers_all")
    if covers.types and DANGER_TYPES.issuperset(covers.types):
        raise Refused(409, "window_danger", types=", ".join(sorted(t.value for t in covers.types)))
    unknown = [s for s in covers.sites if s not in draft.territory.sites]
    if unknown:
        raise Refused(404, "site_unknown", site=unknown[0])
    if command.ends_at <= command.starts_at:
        raise Refused(409, "window_empty")
    if (
        command.rrule is not None
        and command.ends_at - command.starts_at > m.MAX_WINDOW_DAYS * DAY_MS
    ):
        raise Refused(409, "window_too_long", days=m.MAX_WINDOW_DAYS)
    rule = parse_rule(command.rrule) if command.rrule else None
    if occurrence_at(command.starts_at, command.ends_at, rule, draft.now) is None:
        raise Refused(409, "window_past")


def _result(draft: Draft, id: str) -> Result:
    row = draft.state.maintenance[id]
    return {"window": row.id, "state": row.state, "version": row.version}
