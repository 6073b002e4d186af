"""Steps that judge one report: its cause, its incident and its effects.

Their order is in `services.alerts.pipeline`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from schemas.alerts import ReportChanged, ReportRow, Why
from schemas.crisis.causes import Cause, SilenceChanged
from schemas.words import EventType, MsgType, ReportState
from services.alerts import tasks
from services.alerts.causes import cause_lifecycle, restoration, suppression
from services.alerts.causes.cause_lifecycle import ReportEffect
from services.alerts.causes.site_status import list_evacuated_sites
from services.alerts.decision import AlertsDecision
from services.alerts.declarations import flags
from services.alerts.evolve import OPEN
from services.alerts.incidents import incident_lifecycle, zones
from services.alerts.incidents.correlation import Placement, choose_incident
from services.alerts.reference import constants
from services.alerts.reports.corroboration import list_similar_unconfirmed
from services.alerts.reports.report_facts import (
    get_measure_name,
    get_site,
    is_all_clear,
    is_confirmed,
    is_leave_order,
    is_placeless,
    is_site_report,
)
from services.alerts.reports.withdrawals import (
    apply_cancellation,
    close_questions,
    flag_references,
    is_replacing,
)
from services.alerts.rows import copy_with


@dataclass(slots=True)
class Judgement:
    """A report that is judged, with the results of the steps so far."""

    row: ReportRow
    known: Cause | None = None
    """Open cause that the report is about."""
    replaces: bool = False
    """The report replaces the values of that cause."""
    before: str | None = None
    """Incident of the report before this judgement."""
    placement: Placement = Placement("D6")
    incident: str | None = None
    effect: ReportEffect | None = None
    """Effect of the report on its cause."""
    repeated: tuple[str, ...] = ()
    """Unconfirmed reports of other sources that the report repeats."""


# ── confirmed reports ────────────────────────────────────────────────────────────────────────────


def apply_references(draft: AlertsDecision, it: Judgement) -> None:
    """Cancel the reports that a cancellation names; close the questions that an Update settles."""
    if it.row.msg_type is MsgType.CANCEL:
        apply_cancellation(draft, it.row)
    elif it.row.msg_type is MsgType.UPDATE:
        close_questions(draft, it.row)


def find_subject(draft: AlertsDecision, it: Judgement) -> None:
    """Find the open cause that the report is about; an Update of it keeps its windows."""
    it.known, it.replaces = _find_cause(draft, it.row)
    if it.known is not None and it.replaces:
        it.row = _inherit_windows(it.row, it.known)


def place_report(draft: AlertsDecision, it: Judgement) -> None:
    """Choose the incident of the report, and open it or join it."""
    it.before = draft.incident_of(it.row.id)
    it.placement = _find_manual_placement(draft, it.row) or choose_incident(it.row, it.known, draft)
    it.incident = incident_lifecycle.open_or_join(draft, it.row, it.placement)


def apply_to_cause(draft: AlertsDecision, it: Judgement) -> None:
    """Open the cause that the report tells of, merge the report into it, or replace its values."""
    row, cause = it.row, it.known
    if row.msg_type is MsgType.UPDATE:
        flag_references(draft, row, "superseded")
    if cause is not None and it.replaces:
        if (
            not cause_lifecycle.has_other_cause_values(draft, row, cause)
            or row.occurred_at < cause.last_at
        ):
            it.effect = cause_lifecycle.replace_values(draft, row, cause)
            return
        cause_lifecycle.withdraw_reports_of_source(draft, cause, row, row.occurred_at, row.id)
        cause = cause_lifecycle.find_repeated_cause(row, draft)
    if row.msg_type is not MsgType.CANCEL and cause_lifecycle.makes_cause(row, draft):
        it.effect = cause_lifecycle.apply_report(draft, row, it.incident, cause)


def note_maintenance(draft: AlertsDecision, it: Judgement) -> None:
    """Flag the report if its cause lies in a maintenance window. Rule D64, maintenance windows."""
    if it.effect is None or it.effect.cause.lifted_at is not None:
        return
    cause = draft.state.causes[it.effect.cause.id]
    if suppression.update_suppression(draft, cause, it.row).maintenance:
        it.row = copy_with(it.row, {"flags": (*it.row.flags, "maintenance")})


def lift_causes(draft: AlertsDecision, it: Judgement) -> None:
    """Lift the causes that a reopening ends."""
    row = it.row
    if row.type is EventType.REOPENING and row.msg_type is not MsgType.CANCEL and row.held is None:
        it.row = restoration.apply_reopening(draft, row, it.incident)


def end_shelter_orders(draft: AlertsDecision, it: Judgement) -> None:
    """End the orders to shelter where people are ordered to leave."""
    if is_leave_order(it.row):
        restoration.end_shelter_orders(draft, it.row)


def count_in_incident(draft: AlertsDecision, it: Judgement) -> None:
    """Count the report in its incident."""
    if it.incident is not None:
        incident_lifecycle.add_report(
            draft, it.row, it.incident, it.effect, it.incident != it.before
        )


def apply_declarations(draft: AlertsDecision, it: Judgement) -> None:
    """Apply the measures and colours that the report declares."""
    flags.apply_declarations(draft, it.row, it.incident)


def note_ended_cause(draft: AlertsDecision, it: Judgement) -> None:
    """Note that the cause was over already, to check the declarations that rest on it."""
    if it.effect is not None and it.effect.outcome == "over":
        draft.ended.append(it.effect.cause.id)


def extend_zone(draft: AlertsDecision, it: Judgement) -> None:
    """Extend the hit zone of the incident by the report."""
    if it.incident is not None:
        zones.extend_zone(draft, it.row, it.incident)


def apply_all_clear(draft: AlertsDecision, it: Judgement) -> None:
    """Apply the operator's all-clear to the incident, or revoke it by a later figure.

    It applies to any family of incident that absorbed the power cut. Rules D20 and D22.
    """
    row, incident = it.row, it.incident
    if incident is None or not zones.is_newest_figure(draft, row, incident):
        return
    if is_all_clear(row):
        zones.note_all_clear(draft, row, incident)
    elif row.msg_type is not MsgType.CANCEL:
        zones.revoke_all_clear(draft, incident)


def mark_doubtful_sites(draft: AlertsDecision, it: Judgement) -> None:
    """Mark the sites with a status that the report may change."""
    site = get_site(it.row)
    if site is not None and is_site_report(it.row):
        draft.words[site] = it.row.recorded_at
        draft.doubtful.add(site)
    elif it.incident is not None and get_measure_name(it.row) == constants.ALL_CLEAR_MEASURE:
        draft.doubtful.update(list_evacuated_sites(draft, it.incident))


def ask_for_place(draft: AlertsDecision, it: Judgement) -> None:
    """Open a task to link a report without a place to a site. Rule D8, unknown sites."""
    asks = is_confirmed(it.row) or it.row.confirmation == "unconfirmed"
    if asks and is_placeless(it.row):
        tasks.open_task(draft, "link_site", report=it.row.id, incident=it.incident)


def record_report(draft: AlertsDecision, it: Judgement) -> None:
    """Record the report with the reasons of its judgement, and take it out of its old incident."""
    draft.emit(ReportChanged(row=_record_judgement(it.row, it.incident, it.placement, it.effect)))
    _leave_old_incident(draft, it)


def find_repeated_reports(draft: AlertsDecision, it: Judgement) -> None:
    """Find the unconfirmed reports of other sources that the report repeats. Rule D6."""
    it.repeated = list_similar_unconfirmed(draft, it.row)


# ── unconfirmed reports and rumours ──────────────────────────────────────────────────────────────


def place_unconfirmed(draft: AlertsDecision, it: Judgement) -> None:
    """Choose the incident of an unconfirmed report; a rumour stands alone. Rule D6, rumours."""
    if it.row.confirmation == "unconfirmed":
        it.known = cause_lifecycle.find_repeated_cause(it.row, draft)
        it.placement = _find_manual_placement(draft, it.row) or choose_incident(
            it.row, it.known, draft
        )
    it.before, it.incident = draft.incident_of(it.row.id), it.placement.incident


def record_unconfirmed(draft: AlertsDecision, it: Judgement) -> None:
    """Record an unconfirmed report or a rumour: it opens no incident and counts for nothing."""
    why = (
        *it.row.why,
        Why(
            code=it.placement.rule if it.incident else "unconfirmed",
            args={"incident": it.incident} if it.incident else {},
        ),
    )
    draft.emit(ReportChanged(row=copy_with(it.row, {"incident": it.incident, "why": why})))
    _leave_old_incident(draft, it)


def ask_for_verification(draft: AlertsDecision, it: Judgement) -> None:
    """Open a task to verify a report of trouble, unless it is a rumour without a site."""
    row, site = it.row, get_site(it.row)
    if row.type in constants.CAUSE_TYPES and (
        row.confirmation == "unconfirmed" or site is not None
    ):
        tasks.open_task(draft, "verify_report", report=row.id, site=site, incident=it.incident)


def doubt_site_status(draft: AlertsDecision, it: Judgement) -> None:
    """Show a site as unknown if an unconfirmed report is all that is known of it."""
    row, site = it.row, get_site(it.row)
    if (
        site is None
        or row.confirmation != "unconfirmed"
        or row.type not in constants.CAUSE_TYPES
        or site in draft.state.silences
    ):
        return
    current = any(draft.state.causes[c].acting for c in draft.state.site_causes.get(site, ()))
    if not current and not zones.has_reported_since(draft, site, row.occurred_at):
        draft.emit(
            SilenceChanged(
                site=site, rule="unconfirmed", incident=it.incident, since=row.occurred_at
            )
        )
        draft.doubtful.add(site)


# ── parts of steps ───────────────────────────────────────────────────────────────────────────────


def _leave_old_incident(draft: AlertsDecision, it: Judgement) -> None:
    if it.before is not None and it.before != it.incident:
        incident_lifecycle.remove_report(draft, it.before, it.row.id)


def _find_manual_placement(draft: AlertsDecision, row: ReportRow) -> Placement | None:
    """Return the placement that a person gave the report by a merge or a split.

    Judging it again does not undo that decision. Rule D25, merge and split.
    """
    incident = draft.incident_of(row.id)
    moved = (
        incident is not None
        and any(w.code == "D25" for w in row.why)
        and draft.incident(incident).state in OPEN
    )
    return Placement("D25", incident) if moved else None


def _find_cause(draft: AlertsDecision, row: ReportRow) -> tuple[Cause | None, bool]:
    """Return the open cause that the report is about, and whether the report replaces its values.

    Only an Update with references replaces values. Rule D3, updates.
    """
    if row.msg_type is MsgType.CANCEL:
        return None, False
    if row.msg_type is MsgType.UPDATE and row.type is not EventType.REOPENING:
        for reference in row.references:
            report = draft.state.reports.get(reference)
            cause = cause_lifecycle.find_open_cause(draft, report) if report is not None else None
            if cause is not None and (
                row.type not in constants.CAUSE_TYPES or is_replacing(row.type, cause.type)
            ):
                return cause, True
    return cause_lifecycle.find_repeated_cause(row, draft), False


def _inherit_windows(row: ReportRow, cause: Cause) -> ReportRow:
    """Give an Update of an announced cause the same windows, unless it names others.

    Rule D9, planned events.
    """
    if row.type is not cause.type or row.effective or not cause.windows:
        return row
    return copy_with(
        row,
        {
            "effective": cause.windows,
            "flags": row.flags if cause.acting else (*row.flags, "planned"),
        },
    )


def _record_judgement(
    row: ReportRow, incident: str | None, placement: Placement, effect: ReportEffect | None
) -> ReportRow:
    values: dict[str, Any] = {
        "incident": incident,
        "state": ReportState.APPLIED,
        "reason": None,
        "of": None,
    }
    if effect is not None and effect.outcome == "same":
        values |= {
            "state": ReportState.DUPLICATE,
            "reason": "same_cause",
            "of": effect.cause.reports[0],
        }
    elif effect is not None and effect.outcome == "over":
        values |= {"reason": "over_already"}
    elif effect is not None and effect.outcome == "replaced":
        values |= {"reason": "replaces"}
    code = placement.rule
    if placement.opens is not None and code == "D22":
        code = f"D22:{placement.opens[0]}"
    values["why"] = (
        *(w for w in row.why if not w.code.startswith("D2")),
        Why(code=code, args={"incident": incident} if incident else {}),
    )
    return copy_with(row, values)
