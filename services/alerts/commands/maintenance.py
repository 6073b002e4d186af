"""Decisions about maintenance windows. Rule D64, maintenance windows."""

from schemas.base import DAY_MS, copy_with
from schemas.crisis import maintenance as m
from schemas.crisis.maintenance import MaintenanceRow
from schemas.recurrence import find_occurrence, parse_rule
from schemas.words import DANGER_TYPES
from services.alerts.causes import suppression
from services.alerts.decision import AlertsDecision
from services.runtime.decider.command_checks import check_version
from services.runtime.decider.protocol import CommandResult, RefusedCommand

SOURCE_ROLE = "source"
"""Role of a registered source: it may only silence its own alerts."""


def plan_window(draft: AlertsDecision, command: m.PlanMaintenance) -> CommandResult:
    _check_window(draft, command)
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
    suppression.record_window(draft, row, "planned")
    return _build_result(draft, row.id)


def change_window(draft: AlertsDecision, command: m.ChangeMaintenance) -> CommandResult:
    row = _get_window(draft, command.window, command.expected, command.author, command.role)
    _check_window(draft, command)
    suppression.record_window(
        draft,
        copy_with(
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
    return _build_result(draft, row.id)


def end_window(draft: AlertsDecision, command: m.EndMaintenance) -> CommandResult:
    row = _get_window(draft, command.window, command.expected, command.author, command.role)
    suppression.record_window(
        draft,
        copy_with(
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
    return _build_result(draft, row.id)


def _get_window(
    draft: AlertsDecision, id: str, expected: int | None, author: str, role: str
) -> MaintenanceRow:
    row = draft.state.maintenance.get(id)
    if row is None or (role == SOURCE_ROLE and row.author != author):
        raise RefusedCommand(404, "window_not_found", window=id)
    check_version(row, expected)
    if row.state == "over":
        raise RefusedCommand(409, "window_over", window=id)
    return row


def _check_window(draft: AlertsDecision, command: m.PlanMaintenance | m.ChangeMaintenance) -> None:
    covers = command.covers
    if command.role == SOURCE_ROLE and covers.sources != (command.author,):
        raise RefusedCommand(403, "role_not_allowed", role=command.role)
    if not covers.asks:
        raise RefusedCommand(409, "window_covers_all")
    if covers.types and DANGER_TYPES.issuperset(covers.types):
        raise RefusedCommand(
            409, "window_danger", types=", ".join(sorted(t.value for t in covers.types))
        )
    unknown = [s for s in covers.sites if s not in draft.territory.sites]
    if unknown:
        raise RefusedCommand(404, "site_not_found", site=unknown[0])
    if command.ends_at <= command.starts_at:
        raise RefusedCommand(409, "window_empty")
    if (
        command.rrule is not None
        and command.ends_at - command.starts_at > m.MAX_WINDOW_DAYS * DAY_MS
    ):
        raise RefusedCommand(409, "window_too_long", days=m.MAX_WINDOW_DAYS)
    rule = parse_rule(command.rrule) if command.rrule else None
    if find_occurrence(command.starts_at, command.ends_at, rule, draft.now) is None:
        raise RefusedCommand(409, "window_past")


def _build_result(draft: AlertsDecision, id: str) -> CommandResult:
    row = draft.state.maintenance[id]
    return {"window": row.id, "state": row.state, "version": row.version}
