"""Reading: receipts of reports, and the look ahead before one is confirmed (D98)."""

from __future__ import annotations

from typing import Final

from schemas import commands as c
from schemas.alerts import ReportRead, ReportReading, TriggerChanged
from schemas.base import Fact
from schemas.calling import NotificationPlanned
from schemas.words import Level
from services.alerts.commands import reports
from services.alerts.decision import AlertsDecision
from services.alerts.lookups import get_report
from services.runtime.decider.refusal import CommandResult

STAND_DOWN: Final = ":stand-down"
"""End of the id of a trigger that tells when a plan may be ended."""


def mark_read(draft: AlertsDecision, command: c.MarkReportsRead) -> CommandResult:
    """Note that the cell read these reports: once each, and nothing for one that is not known (any more)."""
    unread = [r for r in draft.find_reports(dict.fromkeys(command.reports)) if r.read_at is None]
    for row in unread:
        draft.emit(ReportRead(row=ReportReading(id=row.id, read_at=draft.now)))
    return {"reports": len(unread)}


def preview_confirmation(draft: AlertsDecision, command: c.PreviewConfirmation) -> CommandResult:
    """Preview a confirmation in an unrecorded draft and return its immediate effect.

    Raises the refusals of a confirmation.
    """
    row = get_report(draft, command.report)
    trial = draft.trial()
    reports.confirm_report(
        trial, c.ConfirmReport(author=command.author, role=command.role, report=row.id)
    )
    incident = trial.state.incidents.get(trial.incident_of(row.id) or "")
    plans = _new_plans(draft, trial.facts)
    return {
        "report": row.id,
        "level": int(trial.state.level()),
        "level_before": int(draft.state.level()),
        "incident_level": int(Level.N0 if incident is None else incident.level),
        "people": len(
            {fact.person for fact in trial.facts if isinstance(fact, NotificationPlanned)}
        ),
        "plans": ",".join(plans),
        "plans_count": len(plans),
    }


def _new_plans(draft: AlertsDecision, facts: list[Fact]) -> list[str]:
    """Return the plans of triggers that begin to hold."""
    previous_plans = {t.plan for t in draft.state.triggers.values() if t.state == "held"}
    rows = [fact.row for fact in facts if isinstance(fact, TriggerChanged)]
    new = {row.plan for row in rows if row.state == "held" and not row.id.endswith(STAND_DOWN)}
    return sorted(new - previous_plans)
