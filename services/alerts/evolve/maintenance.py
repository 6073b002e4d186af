"""Maintenance windows and leases."""

from __future__ import annotations

from schemas.crisis.maintenance import LeaseRow, MaintenanceRow
from services.alerts.deadlines import LeaseDue, WindowDue
from services.alerts.state import State, insert_sorted, remove_sorted


def evolve_maintenance(s: State, row: MaintenanceRow) -> State:
    old, agenda = s.maintenance.get(row.id), s.agenda
    if old is not None:
        agenda = agenda.arm(WindowDue(old.id, old.sweep), None)
    change = insert_sorted if row.state == "active" else remove_sorted
    return s.put(
        maintenance=s.maintenance.set(row.id, row),
        agenda=agenda.arm(WindowDue(row.id, row.sweep), row.next_at),
        active_windows=change(s.active_windows, row.id),
    )


def evolve_lease(s: State, row: LeaseRow) -> State:
    due = row.until if row.state == "held" else None
    return s.put(leases=s.leases.set(row.id, row), agenda=s.agenda.arm(LeaseDue(row.id), due))
