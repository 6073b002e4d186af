"""Apply one report through all rules, in the order of the data flow. Rules D1 to D26."""

from __future__ import annotations

from typing import Any

from schemas.alerts import ReportChanged, ReportRow, Why
from schemas.causes import Cause, SilenceChanged
from schemas.realms import is_live
from schemas.reports import ReportReceived
from schemas.words import EventType, IncidentState, MsgType, ReportState
from services.alerts import tasks
from services.alerts.causes import cause_lifecycle, restoration, suppression
from services.alerts.causes.cause_lifecycle import ReportEffect
from services.alerts.causes.site_status import list_evacuated_sites
from services.alerts.decision import Decision
from services.alerts.declarations import flags
from services.alerts.evolve import OPEN
from services.alerts.incidents import incident_lifecycle, zones
from services.alerts.incidents.correlation import Placement, choose_incident
from services.alerts.reference import constants
from services.alerts.reports import entitlement
from services.alerts.reports.corroboration import is_already_confirmed
from services.alerts.reports.late_reports import date_arrival
from services.alerts.reports.report_facts import (
    DENIED,
    build_row,
    build_subject_key,
    get_measure_name,
    get_site,
    is_all_clear,
    is_confirmed,
    is_inside,
    is_leave_order,
    is_placeless,
    is_site_report,
    list_communes,
)
from services.alerts.rows import copy_with


def receive_report(draft: Decision, report: ReportReceived) -> None:
    """Record a new report and all its consequences."""
    told = None if is_live(draft.state.realm) else report.recorded_at
    recorded_at = draft.now if told is None else told
    if report.occurred_at is None:
        came = date_arrival(draft, report.site_id, recorded_at)
        report = copy_with(report, {"occurred_at": came})
    row = build_row(report, recorded_at, draft.territory)
    row = copy_with(row, {"references": _resolve_references(draft, row)})
    if row.confirmation == "unconfirmed" and (
        _is_second_source(draft, row) or is_already_confirmed(draft, row)
    ):
        row = copy_with(row, {"confirmation": "confirmed", "why": (Why(code="confirmed"),)})
    if (name := get_measure_name(row)) is not None and name not in draft.state.rules.measures_read:
        row = copy_with(row, {"flags": (*row.flags, "unknown_measure")})
    row, confirmed = entitlement.hold_unentitled_parts(draft, row)
    for first in confirmed:
        confirm_held_parts(draft, draft.state.reports[first], None)
    judge_report(draft, row)
    entitlement.ask_for_confirmation(draft, row.id)


def _resolve_references(draft: Decision, row: ReportRow) -> tuple[str, ...]:
    """Resolve references to report ids, as far as they are known.

    A sender may use its own ids, or those of the same scenario.
    """
    state, sender = draft.state, row.source_key or row.source
    return tuple(
        r if r in state.reports else state.aliases.get(f"{sender}|{r}") or state.aliases.get(r) or r
        for r in row.references
    )


def judge_report(draft: Decision, row: ReportRow, *, again: bool = False) -> None:
    """Judge a report.

    `again`: it was judged before with less knowledge, unconfirmed or without a site.
    """
    if again and "planned" in row.flags and is_inside(row.effective, draft.now):
        row = copy_with(row, {"flags": tuple(f for f in row.flags if f != "planned")})
    if is_confirmed(row):
        _judge_confirmed(draft, row)
    else:
        _judge_unconfirmed(draft, row)


def _judge_confirmed(draft: Decision, row: ReportRow) -> None:
    if row.msg_type is MsgType.CANCEL:
        _apply_cancellation(draft, row)
    elif row.msg_type is MsgType.UPDATE:
        _close_questions(draft, row)
    known, replaces = _find_subject(draft, row)
    if known is not None and replaces:
        row = _inherit_windows(row, known)
    before = draft.incident_of(row.id)
    placement = _find_manual_placement(draft, row) or choose_incident(row, known, draft)
    incident = incident_lifecycle.open_or_join(draft, row, placement)
    taken = _apply_to_cause(draft, row, incident, known, replaces)
    if (
        taken is not None
        and taken.cause.lifted_at is None
        and suppression.update_suppression(
            draft, draft.state.causes[taken.cause.id], row
        ).maintenance
    ):
        row = copy_with(row, {"flags": (*row.flags, "maintenance")})
    if row.type is EventType.REOPENING and row.msg_type is not MsgType.CANCEL and row.held is None:
        row = restoration.apply_reopening(draft, row, incident)
    if is_leave_order(row):
        restoration.end_shelter_orders(draft, row)
    if incident is not None:
        incident_lifecycle.add_report(draft, row, incident, taken, incident != before)
    flags.apply_declarations(draft, row, incident)
    if taken is not None and taken.outcome == "over":
        draft.ended.append(taken.cause.id)
    if incident is not None:
        zones.extend_zone(draft, row, incident)
    _apply_all_clear(draft, row, incident)
    site = get_site(row)
    if site is not None and is_site_report(row):
        draft.words[site] = row.recorded_at
        draft.doubtful.add(site)
    elif incident is not None and get_measure_name(row) == constants.ALL_CLEAR_MEASURE:
        draft.doubtful.update(list_evacuated_sites(draft, incident))
    if is_placeless(row):
        tasks.open_task(draft, "link_site", report=row.id, incident=incident)
    draft.emit(ReportChanged(row=_record_judgement(row, incident, placement, taken)))
    if before is not None and before != incident:
        incident_lifecycle.remove_report(draft, before, row.id)
    _confirm_others(draft, row)


def _find_manual_placement(draft: Decision, row: ReportRow) -> Placement | None:
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


def _find_subject(draft: Decision, row: ReportRow) -> tuple[Cause | None, bool]:
    """Return the open cause that the report is about, and whether the report replaces its values.

    Only an Update with references replaces values. Rule D3, updates.
    """
    if row.msg_type is MsgType.CANCEL:
        return None, False
    if row.msg_type is MsgType.UPDATE and row.type is not EventType.REOPENING:
        for reference in row.references:
            told = draft.state.reports.get(reference)
            cause = cause_lifecycle.find_open_cause(draft, told) if told is not None else None
            if cause is not None and (
                row.type not in constants.CAUSE_TYPES or _is_replacing(row.type, cause.type)
            ):
                return cause, True
    return cause_lifecycle.find_repeated_cause(row, draft), False


def _inherit_windows(row: ReportRow, known: Cause) -> ReportRow:
    """Give an Update of an announced cause the same windows, unless it names others.

    Rule D9, planned events.
    """
    if row.type is not known.type or row.effective or not known.windows:
        return row
    return copy_with(
        row,
        {
            "effective": known.windows,
            "flags": row.flags if known.acting else (*row.flags, "planned"),
        },
    )


def _is_replacing(new: EventType, old: EventType) -> bool:
    """Return whether an Update of one type replaces a report of the other.

    The types are the same, or two closures: a closed site may be closed in part later. A gas leak
    does not replace a report of damage.
    """
    return new is old or (new in constants.CLOSURE_TYPES and old in constants.CLOSURE_TYPES)


def _apply_to_cause(
    draft: Decision, row: ReportRow, incident: str | None, known: Cause | None, replaces: bool
) -> ReportEffect | None:
    if row.msg_type is MsgType.UPDATE:
        _flag_references(draft, row, "superseded")
    if known is not None and replaces:
        if (
            not cause_lifecycle.has_other_cause_values(draft, row, known)
            or row.occurred_at < known.last_at
        ):
            return cause_lifecycle.replace_values(draft, row, known)
        cause_lifecycle.withdraw_reports_of_source(draft, known, row, row.occurred_at, row.id)
        known = cause_lifecycle.find_repeated_cause(row, draft)
    if row.msg_type is MsgType.CANCEL or not cause_lifecycle.makes_cause(row, draft):
        return None
    return cause_lifecycle.apply_report(draft, row, incident, known)


def _record_judgement(
    row: ReportRow, incident: str | None, placement: Placement, taken: ReportEffect | None
) -> ReportRow:
    values: dict[str, Any] = {
        "incident": incident,
        "state": ReportState.APPLIED,
        "reason": None,
        "of": None,
    }
    if taken is not None and taken.outcome == "same":
        values |= {
            "state": ReportState.DUPLICATE,
            "reason": "same_cause",
            "of": taken.cause.reports[0],
        }
    elif taken is not None and taken.outcome == "over":
        values |= {"reason": "over_already"}
    elif taken is not None and taken.outcome == "replaced":
        values |= {"reason": "replaces"}
    code = placement.rule
    if placement.opens is not None and code == "D22":
        code = f"D22:{placement.opens[0]}"
    values["why"] = (
        *(w for w in row.why if not w.code.startswith("D2")),
        Why(code=code, args={"incident": incident} if incident else {}),
    )
    return copy_with(row, values)


def _apply_all_clear(draft: Decision, row: ReportRow, incident: str | None) -> None:
    """Apply the operator's all-clear to the incident, or revoke it by a later figure.

    It applies to any family of incident that absorbed the power cut. Rules D20 and D22.
    """
    if incident is None or not zones.is_newest_figure(draft, row, incident):
        return
    if is_all_clear(row):
        zones.note_all_clear(draft, row, incident)
    elif row.msg_type is not MsgType.CANCEL:
        zones.revoke_all_clear(draft, incident)


def on_cause_due(draft: Decision, id: str) -> None:
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


def on_report_due(draft: Decision, report: str) -> None:
    """Start the window of an announced report that makes no cause. Rule D9, planned events."""
    told = draft.state.reports[report]
    row = copy_with(told, {"flags": tuple(f for f in told.flags if f != "planned")})
    draft.emit(ReportChanged(row=row))
    _count_current_report(draft, row)


def _count_current_report(draft: Decision, row: ReportRow) -> None:
    if is_leave_order(row):
        restoration.end_shelter_orders(draft, row)
    incident = draft.incident_of(row.id)
    if incident is not None:
        incident_lifecycle.count_announced_report(draft, row, incident)
        zones.extend_zone(draft, row, incident)


def _apply_cancellation(draft: Decision, row: ReportRow) -> None:
    """Apply a cancellation.

    With references: withdraw those reports and lift their causes. Without references: its measure
    or colour is applied elsewhere; a cancellation without either opens a task for a person. Rule
    D3, cancellations.
    """
    if row.references:
        for reference in row.references:
            told = draft.state.reports.get(reference)
            if told is None:
                continue
            if told.confirmation in ("rumour", "unconfirmed"):
                deny_report(draft, told, None)
                continue
            if (cause := cause_lifecycle.find_open_cause(draft, told)) is not None:
                restoration.withdraw_report(draft, cause, row)
            tasks.cancel_task(draft, "link_site", told.id, "cancelled")
        _flag_references(draft, row, "cancelled")
        for reference in row.references:
            _restore_withdrawn_endings(draft, reference)
            flags.withdraw_declarations(draft, reference)
        incident_lifecycle.recount_customers(draft, row.references)
    elif not (row.colour or (row.measure is not None and row.measure.value is not None)):
        tasks.open_task(
            draft,
            "link_denial",
            report=row.id,
            site=get_site(row),
            candidates=_list_nearby_rumours(draft, row),
        )


def _restore_withdrawn_endings(draft: Decision, reference: str) -> None:
    """Restore the site and its closed incidents after a withdrawn reopening or order to leave."""
    told = draft.state.reports.get(reference)
    ends = told is not None and (
        told.type is EventType.REOPENING or told.type in constants.LEAVE_ORDER_TYPES
    )
    if told is None or not ends or told.confirmation not in ("confirmed", "denied"):
        return
    for cause in restoration.restore_causes(draft, told):
        incident = draft.standing(cause.incident)
        if incident is not None and draft.incident(incident).state is IncidentState.CLOSED:
            incident_lifecycle.reopen_incident(draft, incident)


def _close_questions(draft: Decision, row: ReportRow) -> None:
    """Close the questions about unconfirmed reports that a confirmed Update replaces.

    Rule D3, updates.
    """
    for reference in row.references:
        told = draft.state.reports.get(reference)
        if (
            told is None
            or told.confirmation not in ("unconfirmed", "rumour")
            or "superseded" in told.flags
        ):
            continue
        tasks.cancel_task(draft, "verify_report", told.id, "replaced")
        tasks.cancel_task(draft, "link_site", told.id, "replaced")
        draft.emit(ReportChanged(row=copy_with(told, {"flags": (*told.flags, "superseded")})))
        _end_unconfirmed_silence(draft, get_site(told))


def _flag_references(draft: Decision, row: ReportRow, flag: str) -> None:
    for reference in row.references:
        told = draft.state.reports.get(reference)
        if told is None or flag in told.flags or told.confirmation != "confirmed":
            continue
        if flag == "cancelled" or (
            _is_replacing(row.type, told.type) and row.occurred_at >= told.occurred_at
        ):  # an older Update replaces nothing (D7)
            draft.emit(ReportChanged(row=copy_with(told, {"flags": (*told.flags, flag)})))


def _list_nearby_rumours(draft: Decision, row: ReportRow) -> tuple[str, ...]:
    """Return open rumours of the same commune, or without a place, newest first, at most 10."""
    here, found = frozenset(list_communes(row, draft.territory)), list[ReportRow]()
    for id in draft.state.rumours:
        rumour = draft.state.reports[id]
        there = list_communes(rumour, draft.territory)
        if not here or not there or not here.isdisjoint(there):
            found.append(rumour)
    return tuple(r.id for r in sorted(found, key=lambda r: (-r.recorded_at, r.id)))[:10]


def _judge_unconfirmed(draft: Decision, row: ReportRow) -> None:
    """Record an unconfirmed report or a rumour: it opens no incident and counts for nothing.

    An unconfirmed report may join an incident; a rumour stands alone. Rule D6, rumours.
    """
    known = (
        cause_lifecycle.find_repeated_cause(row, draft)
        if row.confirmation == "unconfirmed"
        else None
    )
    placement = (
        (_find_manual_placement(draft, row) or choose_incident(row, known, draft))
        if row.confirmation == "unconfirmed"
        else Placement("D6")
    )
    before, incident = draft.incident_of(row.id), placement.incident
    if incident is not None:
        incident_lifecycle.add_report(draft, row, incident, None, incident != before)
    why = (
        *row.why,
        Why(
            code=placement.rule if incident else "unconfirmed",
            args={"incident": incident} if incident else {},
        ),
    )
    draft.emit(ReportChanged(row=copy_with(row, {"incident": incident, "why": why})))
    if before is not None and before != incident:
        incident_lifecycle.remove_report(draft, before, row.id)
    site = get_site(row)
    if is_placeless(row) and row.confirmation == "unconfirmed":
        tasks.open_task(draft, "link_site", report=row.id, incident=incident)
    if row.type in constants.CAUSE_TYPES and (
        row.confirmation == "unconfirmed" or site is not None
    ):
        tasks.open_task(draft, "verify_report", report=row.id, site=site, incident=incident)
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
            SilenceChanged(site=site, rule="unconfirmed", incident=incident, since=row.occurred_at)
        )
        draft.doubtful.add(site)


def _list_similar_unconfirmed(draft: Decision, row: ReportRow) -> tuple[str, ...]:
    """Return the unconfirmed reports of other sources that say the same of the same occasion.

    Empty for a cancellation and for a report that all is well.
    """
    if row.msg_type is MsgType.CANCEL or not (
        cause_lifecycle.makes_cause(row, draft)
        or (row.type in constants.CAUSELESS_TYPES and not is_placeless(row))
    ):
        return ()
    said = (
        draft.state.reports[r]
        for r in draft.state.pending.get(build_subject_key(row), ())
        if r != row.id
    )
    others = (r for r in said if r.source != row.source and r.msg_type is not MsgType.CANCEL)
    return tuple(
        r.id
        for r in others
        if cause_lifecycle.is_same_occasion(r, row) and not _is_calm_between(draft, r, row)
    )


def _is_second_source(draft: Decision, row: ReportRow) -> bool:
    """Return whether another source has reported the same and waits for confirmation.

    Rule D6, confirmation.
    """
    return any(
        draft.state.reports[r].confirmation == "unconfirmed"
        for r in _list_similar_unconfirmed(draft, row)
    )


def _is_calm_between(draft: Decision, first: ReportRow, second: ReportRow) -> bool:
    """Return whether the site reported between the two reports that all is well.

    Then the trouble of the first report was over, or never was.
    """
    calm = draft.state.calm.get(first.site or "")
    return calm is not None and first.occurred_at < calm <= second.occurred_at


def _confirm_others(draft: Decision, row: ReportRow) -> None:
    """Confirm the unconfirmed reports of other sources that the report repeats.

    Rule D6, confirmation.
    """
    for id in _list_similar_unconfirmed(draft, row):
        confirm_report(draft, draft.state.reports[id], None)


def confirm_report(draft: Decision, told: ReportRow, by: str | None) -> None:
    """Confirm a report and judge it with its own times.

    `by` is the confirming person; None for a second source. A person also confirms the held parts
    of the report; a second source does not. Rule D76, entitled sources.
    """
    if by is not None:
        told = entitlement.release_held_parts(told)
    why = (
        *(w for w in told.why if w.code != "unconfirmed"),
        Why(code="manual" if by else "confirmed", at=draft.now),
    )
    tasks.cancel_task(draft, "verify_report", told.id, "confirmed")
    judge_report(
        draft,
        copy_with(told, {"confirmation": "confirmed", "verified_by": by, "why": why}),
        again=True,
    )


def confirm_held_parts(draft: Decision, told: ReportRow, by: str | None) -> None:
    """Confirm the held parts of a confirmed report and judge it again with its own times.

    `by` is the person; None for a second reading. Rule D76, entitled sources.
    """
    why = (*told.why, Why(code="manual" if by else "confirmed", at=draft.now))
    tasks.cancel_task(draft, "verify_report", told.id, "confirmed")
    if (cause := cause_lifecycle.find_open_cause(draft, told)) is not None:
        cause_lifecycle.withdraw_reports_of_source(draft, cause, told, draft.now, DENIED + told.id)
    row = entitlement.release_held_parts(told)
    judge_report(
        draft, copy_with(row, {"verified_by": by or told.verified_by, "why": why}), again=True
    )


def deny_report(draft: Decision, told: ReportRow, by: str | None) -> None:
    """Deny a report by a person, or by a cancellation that names it.

    A confirmed report is withdrawn with its cause, except for the reports of other sources. Rule
    D4, duplicates.
    """
    if (
        told.confirmation == "confirmed"
        and (cause := cause_lifecycle.find_open_cause(draft, told)) is not None
    ):
        cause_lifecycle.withdraw_reports_of_source(draft, cause, told, draft.now, DENIED + told.id)
    tasks.cancel_task(draft, "verify_report", told.id, "denied")
    tasks.cancel_task(draft, "link_site", told.id, "denied")
    why = (*told.why, Why(code="manual" if by else "D3", at=draft.now))
    draft.emit(
        ReportChanged(
            row=copy_with(told, {"confirmation": "denied", "verified_by": by, "why": why})
        )
    )
    if told.confirmation == "confirmed":
        _restore_withdrawn_endings(draft, told.id)
        flags.withdraw_declarations(draft, told.id)
        incident_lifecycle.recount_customers(draft, (told.id,))
    _end_unconfirmed_silence(draft, get_site(told))


def _end_unconfirmed_silence(draft: Decision, site: str | None) -> None:
    """Show the site's status again when its only report was unconfirmed and is settled now."""
    silence = draft.state.silences.get(site) if site is not None else None
    if (
        site is not None
        and silence is not None
        and silence.rule == "unconfirmed"
        and site not in draft.state.doubts
    ):
        draft.emit(SilenceChanged(site=site, rule=None))
        draft.doubtful.add(site)


def link_site(draft: Decision, told: ReportRow, site: str, by: str) -> None:
    """Link a report to the site that a person names, and apply its effects with the original times.

    A withdrawn report has no effects. Rule D8, unknown sites.
    """
    tasks.cancel_task(draft, "link_site", told.id, "linked")
    kept = tuple(f for f in told.flags if f not in ("site_unknown", "area_unknown"))
    row, _ = entitlement.hold_unentitled_parts(
        draft, copy_with(told, {"site": site, "flags": kept, "verified_by": by})
    )
    if told.confirmation == "denied" or "cancelled" in kept:
        draft.emit(ReportChanged(row=row))
    else:
        judge_report(draft, row, again=True)
        entitlement.ask_for_confirmation(draft, row.id)
