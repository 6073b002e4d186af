"""The look-ups that every command makes first, and their refusals."""

from __future__ import annotations

from schemas.alerts import IncidentRow, ReportRow
from services.alerts.decision import AlertsDecision
from services.alerts.evolve import OPEN
from services.runtime.decider.command_checks import check_version
from services.runtime.decider.protocol import RefusedCommand


def get_incident(draft: AlertsDecision, id: str, expected: int | None = None) -> IncidentRow:
    """Return an incident; refuse an unknown one (404) or another version than `expected` (412)."""
    if id not in draft.state.incidents:
        raise RefusedCommand(404, "incident_not_found", incident=id)
    row = draft.state.incidents[id]
    check_version(row, expected)
    return row


def require_open(row: IncidentRow) -> IncidentRow:
    """Return the incident if it is open; refuse it otherwise (409)."""
    if row.state not in OPEN:
        raise RefusedCommand(409, "incident_not_open", state=row.state.value)
    return row


def get_report(draft: AlertsDecision, id: str) -> ReportRow:
    """Return a report; refuse an unknown one (404)."""
    if id not in draft.state.reports:
        raise RefusedCommand(404, "report_not_found", report=id)
    return draft.state.reports[id]
