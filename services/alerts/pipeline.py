"""The order of the steps through which reports go, and of those after the facts of any input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from schemas.alerts import ReportRow
from services.alerts.causes import site_status, suppression
from services.alerts.decision import AlertsDecision
from services.alerts.declarations import flags
from services.alerts.escalation import escalations, notifications
from services.alerts.incidents import level_incidents
from services.alerts.levels import levels
from services.alerts.obligations import clocks
from services.alerts.reports import judgement
from services.alerts.reports.judgement import Judgement
from services.alerts.reports.report_facts import is_confirmed

ReportStep = Callable[[AlertsDecision, Judgement], None]
CONFIRMED_REPORT_STEPS: Final[tuple[ReportStep, ...]] = (
    judgement.apply_references,
    judgement.find_subject,
    judgement.place_report,
    judgement.apply_to_cause,
    judgement.note_maintenance,
    judgement.lift_causes,
    judgement.end_shelter_orders,
    judgement.count_in_incident,
    judgement.apply_declarations,
    judgement.note_ended_cause,
    judgement.extend_zone,
    judgement.apply_all_clear,
    judgement.mark_doubtful_sites,
    judgement.ask_for_place,
    judgement.record_report,
    judgement.find_repeated_reports,
)
"""Steps of a confirmed report, in order."""
UNCONFIRMED_REPORT_STEPS: Final[tuple[ReportStep, ...]] = (
    judgement.place_unconfirmed,
    judgement.count_in_incident,
    judgement.record_unconfirmed,
    judgement.ask_for_place,
    judgement.ask_for_verification,
    judgement.doubt_site_status,
)
"""Steps of an unconfirmed report or a rumour, in order."""


def run_report_steps(draft: AlertsDecision, row: ReportRow) -> tuple[str, ...]:
    """Judge a report, and return the unconfirmed reports that it repeats."""
    judged = Judgement(row)
    for step in CONFIRMED_REPORT_STEPS if is_confirmed(row) else UNCONFIRMED_REPORT_STEPS:
        step(draft, judged)
    return judged.repeated


def update_derived_state(draft: AlertsDecision, touched: frozenset[str] = frozenset()) -> None:
    """Bring everything that depends on the decision up to date: causes, sites, levels, escalations.

    `touched` names indexes and topics to evaluate in addition to those that the input changed.
    """
    ended = tuple(draft.ended)
    flags.restore_dependencies(draft)
    suppression.suppress_alerts(draft)
    for site in sorted(draft.doubtful):
        site_status.judge_site(draft, site)
    draft.doubtful.clear()
    draft.words.clear()
    rises = levels.evaluate_rules(draft, draft.touched() | touched)
    level_incidents.open_level_incident(draft, rises)
    levels.propose_lowering(draft, ended)
    changed = draft.changed_incidents
    draft.flush()
    clocks.start_by_rules(draft, changed)
    escalations.update_escalations(draft, rises)
    notifications.tell_managers(draft)
    draft.flush()
