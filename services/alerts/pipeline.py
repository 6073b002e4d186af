"""Steps through which reports go, in order, and those after the facts of any input.

`CONFIRMED_REPORT_STEPS`, `UNCONFIRMED_REPORT_STEPS` and `update_derived_state` list them. A report
arrives, falls due or is confirmed by a person (the functions after them). Rules D1 to D26.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from schemas.alerts import ReportChanged, ReportRow, Why
from schemas.base import copy_with
from schemas.catalogue.event_types import endangers_people
from schemas.crisis.causes import Cause, SilenceChanged
from schemas.reports import ReportReceived
from schemas.topics import is_live
from schemas.words import EventType, MsgType, ReportState
from services.alerts import obligations
from services.alerts.causes import cause_lifecycle, restoration, site_status, suppression
from services.alerts.causes.cause_lifecycle import ReportEffect
from services.alerts.causes.restoration import list_communes_of_cause
from services.alerts.causes.site_status import list_evacuated_sites
from services.alerts.decision import AlertsDecision, cancel_task, open_task
from services.alerts.declarations import area_orders, flags
from services.alerts.escalation import escalations, site_warnings
from services.alerts.evolve import OPEN
from services.alerts.incidents import incident_lifecycle, zones
from services.alerts.incidents.correlation import Placement, choose_incident
from services.alerts.incidents.incident_lifecycle import open_level_incident
from services.alerts.levels import levels
from services.alerts.reference.territory import (
    ALL_CLEAR_MEASURE,
    CAUSE_TYPES,
    CAUSELESS_TYPES,
    PLACE_DUE_MS,
)
from services.alerts.reports import verification
from services.alerts.reports.judgement import (
    ask_for_confirmation,
    date_arrival,
    hold_unentitled_parts,
    release_held_parts,
)
from services.alerts.reports.report_facts import (
    DENIED,
    PLACE_FLAGS,
    build_row,
    build_subject_key,
    get_measure_name,
    get_site,
    is_all_clear,
    is_confirmed,
    is_count_of_day,
    is_danger_without_place,
    is_inside,
    is_leave_order,
    is_placeless,
    is_site_report,
    list_communes,
    list_objects,
    merge_values,
    unite_windows,
)
from services.alerts.reports.verification import (
    answer_place_questions,
    apply_cancellation,
    close_questions,
    contest_withdrawn_danger,
    find_early_cancellation,
    find_early_update,
    flag_references,
    is_replacing,
    record_withdrawn,
    supersede_late_version,
)


@dataclass(slots=True)
class Judgement:
    """A report that is judged, with the results of the steps so far."""

    row: ReportRow
    open_cause: Cause | None = None
    """Open cause that the report is about."""
    replaces: bool = False
    """The report replaces the values of that cause."""
    before: str | None = None
    """Incident of the report before this judgement."""
    placement: Placement = Placement("D6")
    incident: str | None = None
    effect: ReportEffect | None = None
    """Effect of the report on its cause."""
    repeated_reports: tuple[str, ...] = ()
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
    it.open_cause, it.replaces = _find_cause(draft, it.row)
    if it.open_cause is not None and it.replaces:
        it.row = _inherit_windows(it.row, it.open_cause)


def place_report(draft: AlertsDecision, it: Judgement) -> None:
    """Choose the incident of the report, and open it or join it."""
    it.before = draft.incident_of(it.row.id)
    it.placement = _find_manual_placement(draft, it.row) or choose_incident(
        it.row, it.open_cause, draft
    )
    it.incident = incident_lifecycle.open_or_join(draft, it.row, it.placement)


def apply_to_cause(draft: AlertsDecision, it: Judgement) -> None:
    """Open the cause that the report tells of, merge the report into it, or replace its values."""
    row, cause = it.row, it.open_cause
    if row.msg_type is MsgType.UPDATE:
        flag_references(draft, row, "superseded")
    if cause is not None and it.replaces and _says_where(draft, row, cause):
        it.effect = cause_lifecycle.move_to_site(draft, row, it.incident, cause)
        return
    if cause is not None and it.replaces and _names_further_site(draft, row, cause):
        it.effect = cause_lifecycle.apply_at_further_site(draft, row, it.incident, cause)
        return
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
    it.row = flags.apply_declarations(draft, it.row, it.incident)


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
    elif it.incident is not None and get_measure_name(it.row) == ALL_CLEAR_MEASURE:
        draft.doubtful.update(list_evacuated_sites(draft, it.incident))


def ask_for_place(draft: AlertsDecision, it: Judgement) -> None:
    """Open a task to link a report without a place to a site. Rule D8, unknown sites.

    A report with a place answers the question for its incident.
    """
    row, urgent = it.row, is_danger_without_place(it.row)
    is_at_site = it.effect is not None and it.effect.cause.site is not None
    asks = (is_confirmed(row) or row.confirmation == "unconfirmed") and not is_at_site
    if asks and (is_placeless(row) or urgent):
        due_at = draft.now + PLACE_DUE_MS if urgent else None
        open_task(draft, "link_site", report=row.id, incident=it.incident, due_at=due_at)
        if row.msg_type is MsgType.UPDATE:
            for reference in row.references:
                cancel_task(draft, "link_site", reference, "replaced")
    elif it.incident is not None and is_confirmed(row) and list_communes(row, draft.territory):
        answer_place_questions(draft, row, it.incident)


def record_report(draft: AlertsDecision, it: Judgement) -> None:
    """Record the report with the reasons of its judgement, and take it out of its old incident."""
    draft.emit(ReportChanged(row=_record_judgement(it.row, it.incident, it.placement, it.effect)))
    _leave_old_incident(draft, it)


def find_repeated_reports(draft: AlertsDecision, it: Judgement) -> None:
    """Find the unconfirmed reports of other sources that the report repeats. Rule D6."""
    it.repeated_reports = list_similar_unconfirmed(draft, it.row)


# ── unconfirmed reports and rumours ──────────────────────────────────────────────────────────────


def place_unconfirmed(draft: AlertsDecision, it: Judgement) -> None:
    """Choose the incident of an unconfirmed report; a rumour stands alone. Rule D6, rumours."""
    if it.row.confirmation == "unconfirmed":
        it.open_cause = cause_lifecycle.find_repeated_cause(it.row, draft)
        it.placement = _find_manual_placement(draft, it.row) or choose_incident(
            it.row, it.open_cause, draft
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
    """Open a task to verify a report of trouble or danger, unless it is a rumour without a site.

    A report that comes after its sender's confirmed Update is not verified.
    """
    row, site = it.row, get_site(it.row)
    is_unconfirmed = row.confirmation == "unconfirmed"
    is_trouble = row.type in CAUSE_TYPES and (is_unconfirmed or site is not None)
    is_danger = is_unconfirmed and endangers_people(row.type, row.severity)
    if (is_trouble or is_danger) and find_early_update(draft, row) is None:
        verification.ask_for_verification(draft, row, it.incident)


def doubt_site_status(draft: AlertsDecision, it: Judgement) -> None:
    """Show a site as unknown if an unconfirmed report is all that is known of it."""
    row, site = it.row, get_site(it.row)
    if (
        site is None
        or row.confirmation != "unconfirmed"
        or row.type not in CAUSE_TYPES
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
    was_moved = (
        incident is not None
        and any(w.code == "D25" for w in row.why)
        and draft.incident(incident).state in OPEN
    )
    return Placement("D25", incident) if was_moved else None


def _find_cause(draft: AlertsDecision, row: ReportRow) -> tuple[Cause | None, bool]:
    """Return the open cause that the report is about, and whether the report replaces its values.

    Only an Update with references replaces values. Rule D3, updates.
    """
    if row.msg_type is MsgType.CANCEL:
        return None, False
    early_cause = _find_cause_of_update(draft, row)
    if row.msg_type is MsgType.UPDATE and row.type is not EventType.REOPENING and not early_cause:
        for reference in row.references:
            report = draft.state.reports.get(reference) or verification.find_newest_update(
                draft, row, reference
            )
            cause = cause_lifecycle.find_open_cause(draft, report) if report is not None else None
            if cause is not None and (
                row.type not in CAUSE_TYPES or is_replacing(row.type, cause.type)
            ):
                return cause, True
    return early_cause or cause_lifecycle.find_repeated_cause(row, draft), False


def _find_cause_of_update(draft: AlertsDecision, row: ReportRow) -> Cause | None:
    """Return the cause without a site of the Update that came before its report, if it is open.

    At a site both have one subject.
    """
    if get_site(row) is not None or not cause_lifecycle.makes_cause(row, draft):
        return None
    update = find_early_update(draft, row)
    cause = None if update is None else cause_lifecycle.find_open_cause(draft, update)
    return cause if cause is not None and cause.site is None and cause.type is row.type else None


def _says_where(draft: AlertsDecision, row: ReportRow, cause: Cause) -> bool:
    """Return whether an Update names the site of a danger without a known place. Rule D8."""
    return (
        cause.site is None
        and get_site(row) is not None
        and any(is_danger_without_place(report) for report in draft.find_reports(cause.reports))
    )


def _names_further_site(draft: AlertsDecision, row: ReportRow, cause: Cause) -> bool:
    """Return whether an Update tells of the trouble at a site where it was not known.

    A supplier or a system is out wherever its report comes from. Rule D3, updates.
    """
    return (
        get_site(row) not in (None, cause.site)
        and not (cause.site is None and list_objects(row))
        and cause_lifecycle.makes_cause(row, draft)
    )


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


# ── two sources that say the same (rule D6) ───────────────────────────────────────────────────────


def is_already_confirmed(draft: AlertsDecision, row: ReportRow) -> bool:
    """Return whether another source has confirmed all that the report says, and it still holds.

    False if the report is graver, earlier, longer or wider, or about another time.
    """
    cause = cause_lifecycle.find_repeated_cause(row, draft)
    if (
        cause is None
        or row.msg_type is not MsgType.ALERT
        or all(source == row.source for source in cause.sources)
    ):
        return False
    incident = draft.resolve_incident(cause.incident)
    if (
        incident is None
        or draft.incident(incident).state not in OPEN
        or _is_calm_since(draft, cause, row)
    ):
        return False
    return _is_repetition(draft, row, cause) and flags.are_declarations_in_force(draft, row)


def _is_repetition(draft: AlertsDecision, row: ReportRow, cause: Cause) -> bool:
    cause_values = {
        "severity": cause.severity,
        "loss_pct": cause.loss_pct,
        "persons": cause.persons,
        "measure": cause.measure,
    }
    if (
        row.occurred_at < cause.since
        or merge_values(cause_values, [row]) != cause_values
        or is_count_of_day(cause, row)
    ):
        return False
    if (
        row.expected_end not in (None, cause.expected_end)
        or unite_windows(cause.windows, row.effective) != cause.windows
    ):
        return False
    if not list_communes_of_cause(draft, cause).issuperset(list_communes(row, draft.territory)):
        return False
    return row.plan_hint in {None, *(r.plan_hint for r in draft.find_reports(cause.reports))}


def _is_calm_since(draft: AlertsDecision, cause: Cause, row: ReportRow) -> bool:
    """Return whether the site reported since that all is well.

    The new report may then be about something else.
    """
    calm = draft.state.calm.get(get_site(row) or "")
    return calm is not None and cause.last_at < calm <= row.occurred_at


def is_second_source(draft: AlertsDecision, row: ReportRow) -> bool:
    """Return whether another source has reported the same and waits for confirmation.

    Rule D6, confirmation.
    """
    return any(
        draft.state.reports[r].confirmation == "unconfirmed"
        for r in list_similar_unconfirmed(draft, row)
    )


def list_similar_unconfirmed(draft: AlertsDecision, row: ReportRow) -> tuple[str, ...]:
    """Return the unconfirmed reports of other sources that say the same of the same occasion.

    Empty for a cancellation and for a report that all is well.
    """
    if row.msg_type is MsgType.CANCEL or not (
        cause_lifecycle.makes_cause(row, draft)
        or (row.type in CAUSELESS_TYPES and not is_placeless(row))
    ):
        return ()
    reports = (
        draft.state.reports[r]
        for r in draft.state.pending.get(build_subject_key(row), ())
        if r != row.id
    )
    others = (r for r in reports if r.source != row.source and r.msg_type is not MsgType.CANCEL)
    return tuple(
        r.id
        for r in others
        if cause_lifecycle.is_same_occasion(r, row) and not _is_calm_between(draft, r, row)
    )


def _is_calm_between(draft: AlertsDecision, first: ReportRow, second: ReportRow) -> bool:
    """Return whether the site reported between the two reports that all is well.

    Then the trouble of the first report was over, or never was.
    """
    calm = draft.state.calm.get(first.site or "")
    return calm is not None and first.occurred_at < calm <= second.occurred_at


# ── the order of the steps ────────────────────────────────────────────────────────────────────────

ReportStep = Callable[[AlertsDecision, Judgement], None]
CONFIRMED_REPORT_STEPS: Final[tuple[ReportStep, ...]] = (
    apply_references,
    find_subject,
    place_report,
    apply_to_cause,
    note_maintenance,
    lift_causes,
    end_shelter_orders,
    count_in_incident,
    apply_declarations,
    note_ended_cause,
    extend_zone,
    apply_all_clear,
    mark_doubtful_sites,
    ask_for_place,
    record_report,
    find_repeated_reports,
)
"""Steps of a confirmed report, in order."""
UNCONFIRMED_REPORT_STEPS: Final[tuple[ReportStep, ...]] = (
    place_unconfirmed,
    count_in_incident,
    record_unconfirmed,
    ask_for_place,
    ask_for_verification,
    doubt_site_status,
)
"""Steps of an unconfirmed report or a rumour, in order."""


def run_report_steps(draft: AlertsDecision, row: ReportRow) -> tuple[str, ...]:
    """Judge a report, and return the unconfirmed reports that it repeats."""
    judgement = Judgement(row)
    for step in CONFIRMED_REPORT_STEPS if is_confirmed(row) else UNCONFIRMED_REPORT_STEPS:
        step(draft, judgement)
    return judgement.repeated_reports


def update_derived_state(
    draft: AlertsDecision, touched_topics: frozenset[str] = frozenset()
) -> None:
    """Bring everything that depends on the decision up to date: causes, sites, levels, escalations.

    `touched_topics` names indexes and topics to evaluate in addition to those that the input
    changed.
    """
    area_orders.update_area_orders(draft)
    ended_causes = tuple(draft.ended)
    flags.restore_dependencies(draft)
    suppression.suppress_alerts(draft)
    for site in sorted(draft.doubtful):
        site_status.judge_site(draft, site)
    draft.doubtful.clear()
    draft.words.clear()
    rises = levels.evaluate_rules(draft, draft.list_changed_parts() | touched_topics)
    open_level_incident(draft, rises)
    levels.propose_lowering(draft, ended_causes)
    changed_incidents = draft.changed_incidents
    draft.flush()
    obligations.start_by_rules(draft, changed_incidents)
    escalations.update_escalations(draft, rises)
    site_warnings.tell_managers(draft)
    escalations.tell_of_withdrawals(draft)
    draft.flush()


# ── reports that arrive, fall due or are confirmed ────────────────────────────────────────────────


def receive_report(draft: AlertsDecision, report: ReportReceived) -> None:
    """Record a new report and all its consequences."""
    stated_time = None if is_live(draft.state.realm) else report.recorded_at
    recorded_at = draft.now if stated_time is None else stated_time
    if report.occurred_at is None:
        came = date_arrival(draft, report.site_id, recorded_at)
        report = copy_with(report, {"occurred_at": came})
    references = _resolve_references(draft, report)
    followed_reports = draft.find_reports(references)
    row = build_row(
        report,
        recorded_at,
        draft.territory,
        follows=any(PLACE_FLAGS.isdisjoint(r.flags) for r in followed_reports),
    )
    row = copy_with(row, {"references": references})
    cancellation = find_early_cancellation(draft, row)
    if cancellation is not None and not endangers_people(row.type, row.severity):
        record_withdrawn(draft, row, cancellation)
        return
    if row.confirmation == "unconfirmed" and (
        is_second_source(draft, row) or is_already_confirmed(draft, row)
    ):
        row = copy_with(row, {"confirmation": "confirmed", "why": (Why(code="confirmed"),)})
    if (name := get_measure_name(row)) is not None and name not in draft.state.rules.measures_read:
        row = copy_with(row, {"flags": (*row.flags, "unknown_measure")})
    row, confirmed_reports = hold_unentitled_parts(draft, row)
    for first in confirmed_reports:
        confirm_held_parts(draft, draft.state.reports[first], None)
    is_replaced = find_early_update(draft, row) is not None
    judge_report(draft, row)
    ask_for_confirmation(draft, row.id)
    if cancellation is not None:
        contest_withdrawn_danger(draft, row.id, cancellation)
    elif is_replaced:
        supersede_late_version(draft, row.id)


def _resolve_references(draft: AlertsDecision, report: ReportReceived) -> tuple[str, ...]:
    """Resolve references to report ids, as far as they are known.

    A sender may use its own ids, or those of the same scenario.
    """
    state, sender = draft.state, report.source_key or report.source
    return tuple(
        r if r in state.reports else state.aliases.get(f"{sender}|{r}") or state.aliases.get(r) or r
        for r in report.references
    )


def judge_report(draft: AlertsDecision, row: ReportRow, *, is_repeat: bool = False) -> None:
    """Judge a report, and confirm the unconfirmed reports of other sources that it repeats.

    `is_repeat`: it was judged before with less knowledge, unconfirmed or without a site. Rule D6,
    confirmation.
    """
    if is_repeat and "planned" in row.flags and is_inside(row.effective, draft.now):
        row = copy_with(row, {"flags": tuple(f for f in row.flags if f != "planned")})
    for id in run_report_steps(draft, row):
        confirm_report(draft, draft.state.reports[id], None)


def on_cause_due(draft: AlertsDecision, id: str) -> None:
    """Apply a due change of a cause: announced reports count inside their windows only.

    Rule D9, planned events.
    """
    cause = draft.state.causes[id]
    announced_ids = [r for r in cause.reports if "planned" in draft.state.reports[r].flags]
    cause_lifecycle.on_cause_due(draft, cause)
    for row in (draft.state.reports[r] for r in announced_ids):
        if "planned" not in row.flags:
            _count_current_report(draft, row)
    incident_lifecycle.recount_customers(draft, cause.reports)


def on_report_due(draft: AlertsDecision, report: str) -> None:
    """Start the window of an announced report that makes no cause. Rule D9, planned events."""
    report_row = draft.state.reports[report]
    row = copy_with(report_row, {"flags": tuple(f for f in report_row.flags if f != "planned")})
    draft.emit(ReportChanged(row=row))
    _count_current_report(draft, row)
    draft.touch("incidents")


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
        report = release_held_parts(report)
    why = (
        *(w for w in report.why if w.code != "unconfirmed"),
        Why(code="manual" if by else "confirmed", at=draft.now),
    )
    verification.settle_verification(draft, report, "confirmed")
    judge_report(
        draft,
        copy_with(report, {"confirmation": "confirmed", "verified_by": by, "why": why}),
        is_repeat=True,
    )


def confirm_held_parts(draft: AlertsDecision, report: ReportRow, by: str | None) -> None:
    """Confirm the held parts of a confirmed report and judge it again with its own times.

    `by` is the person; None for a second reading. Rule D76, entitled sources.
    """
    why = (*report.why, Why(code="manual" if by else "confirmed", at=draft.now))
    verification.settle_verification(draft, report, "confirmed")
    if (cause := cause_lifecycle.find_open_cause(draft, report)) is not None:
        cause_lifecycle.withdraw_reports_of_source(
            draft, cause, report, draft.now, DENIED + report.id
        )
    row = release_held_parts(report)
    judge_report(
        draft, copy_with(row, {"verified_by": by or report.verified_by, "why": why}), is_repeat=True
    )


def link_site(draft: AlertsDecision, report: ReportRow, site: str, by: str) -> None:
    """Link a report to the site that a person names, and apply its effects with the original times.

    A withdrawn report has no effects. Rule D8, unknown sites.
    """
    cancel_task(draft, "link_site", report.id, "linked")
    for about in (report, *draft.find_reports(report.references)):
        cause = cause_lifecycle.find_open_cause(draft, about)
        if cause is not None and cause.site is None and report.id in cause.reports:
            cause_lifecycle.withdraw_reports_of_source(
                draft, cause, report, draft.now, DENIED + report.id
            )
    remaining_flags = tuple(f for f in report.flags if f not in PLACE_FLAGS)
    values: dict[str, Any] = {"site": site, "flags": remaining_flags, "verified_by": by}
    if "commune_unknown" in report.flags:
        values |= {"commune": None, "zone": ()}
    row, _ = hold_unentitled_parts(draft, copy_with(report, values))
    if report.confirmation == "denied" or "cancelled" in remaining_flags:
        draft.emit(ReportChanged(row=row))
    else:
        judge_report(draft, row, is_repeat=True)
        ask_for_confirmation(draft, row.id)
