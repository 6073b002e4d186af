"""Open incidents for levels that no incident explains: an `info` with a plan's measure has none.

Without an incident nobody is called. Rule D76, entitled sources.
"""

from __future__ import annotations

from schemas.alerts import ReportChanged, ReportRow, Why
from schemas.words import Level
from services.alerts.decision import AlertsDecision
from services.alerts.incidents import incident_lifecycle
from services.alerts.incidents.correlation import Placement, build_fallback_key
from services.alerts.levels.levels import CRISIS, TERRITORY, Rises
from services.alerts.reference import constants
from services.alerts.reports.report_facts import is_confirmed
from services.alerts.rows import copy_with


def open_level_incident(draft: AlertsDecision, rises: Rises) -> None:
    """Open an incident for a level below N3 that rose by reports without one.

    From N3 on the territory has an escalation of its own.
    """
    if rises.territory is None or not Level.N0 < draft.level < CRISIS:
        return
    if any(draft.incident(i).level >= draft.level for i in draft.open_incidents):
        return
    row = draft.state.levels[TERRITORY]
    reports = _list_reports_without_incident(draft, row.why)
    if not reports:
        return
    incident = incident_lifecycle.open_or_join(
        draft, reports[0], Placement("D76", opens=build_fallback_key(reports[0], draft))
    )
    assert incident is not None
    for report in reports:
        incident_lifecycle.add_report(draft, report, incident, None)
        why = (
            *(w for w in report.why if w.code != "D24"),
            Why(code="D76", args={"incident": incident}),
        )
        draft.emit(ReportChanged(row=copy_with(report, {"incident": incident, "why": why})))
    rises.incidents.setdefault(incident, Level.N0)
    draft.alter(incident, "level", level=draft.level, why=row.why)


def _list_reports_without_incident(draft: AlertsDecision, why: tuple[Why, ...]) -> list[ReportRow]:
    """Return the reports behind a level that open no incident by themselves, oldest first."""
    reports_by_id = {r.id: r for w in why for r in draft.find_reports(w.reports)}
    free = (
        r
        for r in reports_by_id.values()
        if r.incident is None and is_confirmed(r) and r.type in constants.SILENT_REPORT_TYPES
    )
    return sorted(free, key=lambda r: (r.recorded_at, r.id))
