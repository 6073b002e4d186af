"""Reports that arrive, fall due or are confirmed by a person. Rules D1 to D26.

The order of the steps through which each goes is in `services.alerts.pipeline`.
"""

from __future__ import annotations

from schemas.alerts import ReportChanged, ReportRow, Why
from schemas.realms import is_live
from schemas.reports import ReportReceived
from services.alerts import tasks
from services.alerts.causes import cause_lifecycle, restoration
from services.alerts.decision import AlertsDecision
from services.alerts.incidents import incident_lifecycle, zones
from services.alerts.pipeline import run_report_steps
from services.alerts.reports import entitlement
from services.alerts.reports.corroboration import is_already_confirmed, is_second_source
from services.alerts.reports.late_reports import date_arrival
from services.alerts.reports.report_facts import (
    DENIED,
    build_row,
    get_measure_name,
    is_inside,
    is_leave_order,
)
from services.alerts.rows import copy_with


def receive_report(draft: AlertsDecision, report: ReportReceived) -> None:
    """Record a new report and all its consequences."""
    stated_time = None if is_live(draft.state.realm) else report.recorded_at
    recorded_at = draft.now if stated_time is None else stated_time
    if report.occurred_at is None:
        came = date_arrival(draft, report.site_id, recorded_at)
        report = copy_with(report, {"occurred_at": came})
    row = build_row(report, recorded_at, draft.territory)
    row = copy_with(row, {"references": _resolve_references(draft, row)})
    if row.confirmation == "unconfirmed" and (
        is_second_source(draft, row) or is_already_confirmed(draft, row)
    ):
        row = copy_with(row, {"confirmation": "confirmed", "why": (Why(code="confirmed"),)})
    if (name := get_measure_name(row)) is not None and name not in draft.state.rules.measures_read:
        row = copy_with(row, {"flags": (*row.flags, "unknown_measure")})
    row, confirmed = entitlement.hold_unentitled_parts(draft, row)
    for first in confirmed:
        confirm_held_parts(draft, draft.state.reports[first], None)
    judge_report(draft, row)
    entitlement.ask_for_confirmation(draft, row.id)


def _resolve_references(draft: AlertsDecision, row: ReportRow) -> tuple[str, ...]:
    """Resolve references to report ids, as far as they are known.

    A sender may use its own ids, or those of the same scenario.
    """
    state, sender = draft.state, row.source_key or row.source
    return tuple(
        r if r in state.reports else state.aliases.get(f"{sender}|{r}") or state.aliases.get(r) or r
        for r in row.references
    )


def judge_report(draft: AlertsDecision, row: ReportRow, *, again: bool = False) -> None:
    """Judge a report, and confirm the unconfirmed reports of other sources that it repeats.

    `again`: it was judged before with less knowledge, unconfirmed or without a site. Rule D6,
    confirmation.
    """
    if again and "planned" in row.flags and is_inside(row.effective, draft.now):
        row = copy_with(row, {"flags": tuple(f for f in row.flags if f != "planned")})
    for id in run_report_steps(draft, row):
        confirm_report(draft, draft.state.reports[id], None)


def on_cause_due(draft: AlertsDecision, id: str) -> None:
    """Apply a due change of a cause: announced reports count inside their windows only.

    Rule D9, planned events.
    """
    cause = draft.state.causes[id]
    announced = [r for r in cause.reports if "planned" in draft.state.reports[r].flags]
    cause_lifecycle.on_cause_due(draft, cause)
    for row in (draft.state.reports[r] for r in announced):
        if "planned" not in row.flags:
            _count_current_report(draft, row)
    incident_lifecycle.recount_customers(draft, cause.reports)


def on_report_due(draft: AlertsDecision, report: str) -> None:
    """Start the window of an announced report that makes no cause. Rule D9, planned events."""
    report_row = draft.state.reports[report]
    row = copy_with(report_row, {"flags": tuple(f for f in report_row.flags if f != "planned")})
    draft.emit(ReportChanged(row=row))
    _count_current_report(draft, row)


def _count_current_report(draft: AlertsDecision, row: ReportRow) -> None:
    if is_leave_order(row):
        restoration.end_shelter_orders(draft, row)
    incident = draft.incident_of(row.id)
    if incident is not None:
        incident_lifecycle.count_announced_report(draft, row, incident)
        zones.extend_zone(draft, row, incident)


def confirm_report(draft: AlertsDecision, report: ReportRow, by: str | None) -> None:
    """Confirm a report and judge it with its own times.

    `by` is the confirming person; None for a second source. A person also confirms the held parts
    of the report; a second source does not. Rule D76, entitled sources.
    """
    if by is not None:
        report = entitlement.release_held_parts(report)
    why = (
        *(w for w in report.why if w.code != "unconfirmed"),
        Why(code="manual" if by else "confirmed", at=draft.now),
    )
    tasks.cancel_task(draft, "verify_report", report.id, "confirmed")
    judge_report(
        draft,
        copy_with(report, {"confirmation": "confirmed", "verified_by": by, "why": why}),
        again=True,
    )


def confirm_held_parts(draft: AlertsDecision, report: ReportRow, by: str | None) -> None:
    """Confirm the held parts of a confirmed report and judge it again with its own times.

    `by` is the person; None for a second reading. Rule D76, entitled sources.
    """
    why = (*report.why, Why(code="manual" if by else "confirmed", at=draft.now))
    tasks.cancel_task(draft, "verify_report", report.id, "confirmed")
    if (cause := cause_lifecycle.find_open_cause(draft, report)) is not None:
        cause_lifecycle.withdraw_reports_of_source(
            draft, cause, report, draft.now, DENIED + report.id
        )
    row = entitlement.release_held_parts(report)
    judge_report(
        draft, copy_with(row, {"verified_by": by or report.verified_by, "why": why}), again=True
    )


def link_site(draft: AlertsDecision, report: ReportRow, site: str, by: str) -> None:
    """Link a report to the site that a person names, and apply its effects with the original times.

    A withdrawn report has no effects. Rule D8, unknown sites.
    """
    tasks.cancel_task(draft, "link_site", report.id, "linked")
    remaining_flags = tuple(f for f in report.flags if f not in ("site_unknown", "area_unknown"))
    row, _ = entitlement.hold_unentitled_parts(
        draft, copy_with(report, {"site": site, "flags": remaining_flags, "verified_by": by})
    )
    if report.confirmation == "denied" or "cancelled" in remaining_flags:
        draft.emit(ReportChanged(row=row))
    else:
        judge_report(draft, row, again=True)
        entitlement.ask_for_confirmation(draft, row.id)
