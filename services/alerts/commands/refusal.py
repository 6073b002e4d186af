"""Refusals, and what every decision looks up first."""

from __future__ import annotations

from schemas.alerts import IncidentRow, ReportRow
from services.alerts.decision import Draft
from services.alerts.evolve import OPEN

Scalar = str | float | bool | None
Result = dict[str, Scalar]


class Refused(Exception):
    """The decider's own refusal; becomes the fact `CommandRefused`."""

    def __init__(self, status: int, code: str, **values: Scalar) -> None:
        super().__init__(code)
        self.status, self.code, self.values = status, code, values


def incident_of(draft: Draft, id: str, expected: int | None = None) -> IncidentRow:
    if id not in draft.state.incidents:
        raise Refused(404, "incident_unknown", incident=id)
    row = draft.state.incidents[id]
    if expected is not None and expected != row.version:
        raise Refused(412, "version_changed", expected=expected, version=row.version)
    return row


def open_one(row: IncidentRow) -> IncidentRow:
    if row.state not in OPEN:
        raise Refused(409, "incident_not_open", state=row.state.value)
    return row


def report_of(draft: Draft, id: str) -> ReportRow:
    if id not in draft.state.reports:
        raise Refused(404, "report_unknown", report=id)
    return draft.state.reports[id]
