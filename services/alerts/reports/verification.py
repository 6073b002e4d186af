"""Ask one question to verify reports; take back reports that a later one or a person withdraws.

A task names the first report as `report` and those that joined it, oldest first, as `candidates`.
"""

from collections.abc import Iterable
from typing import Any, Final

from schemas.alerts import ReportChanged, ReportRow, TaskChanged, TaskRow, Why, list_asked_reports
from schemas.base import Instant, copy_with
from schemas.catalogue.event_types import endangers_people
from schemas.crisis.causes import Cause, SilenceChanged
from schemas.words import EventType, IncidentState, MsgType, TaskState
from services.alerts.causes import cause_lifecycle, restoration
from services.alerts.decision import (
    AlertsDecision,
    cancel_task,
    find_open_task,
    list_open_tasks,
    open_task,
)
from services.alerts.declarations import flags
from services.alerts.evolve.reports import build_referrer_key
from services.alerts.incidents import incident_lifecycle, zones
from services.alerts.reference.territory import CAUSE_TYPES, CLOSURE_TYPES, LEAVE_ORDER_TYPES
from services.alerts.reports.judgement import may_withdraw
from services.alerts.reports.report_facts import (
    DENIED,
    build_subject_key,
    count_persons,
    get_measure_name,
    get_sender,
    get_site,
    is_confirmed,
    is_danger_without_place,
    is_placeless,
    is_standing,
    list_communes,
    rebuild_cause,
)

WITHDRAWN_BEFORE: Final = "withdrawn_before"
"""Flag of a report that its sender had withdrawn before it arrived. Rule D3, cancellations."""
MAX_JOINED: Final = 49
"""Most reports that join one question: its record stays small."""


def ask_for_verification(draft: AlertsDecision, row: ReportRow, incident: str | None) -> None:
    """Open a task to verify a report, or let it join the open one about the same trouble.

    A task that somebody has taken asks nobody any more, so the report gets one of its own.
    """
    for task in list_open_tasks(draft, "verify_report"):
        if row.id in list_asked_reports(task):
            return
        if _is_same_question(draft, task, row, incident):
            candidates = (*task.candidates, row.id)
            draft.emit(TaskChanged(row=copy_with(task, {"candidates": candidates})))
            return
    open_task(draft, "verify_report", report=row.id, site=get_site(row), incident=incident)


def _is_same_question(
    draft: AlertsDecision, task: TaskRow, row: ReportRow, incident: str | None
) -> bool:
    """Return whether a task asks about the same trouble at the same site or in the same incident.

    Tasks with an owner ask about a part of a report. Rule D76, entitled sources.
    """
    first = draft.state.reports.get(task.report or "")
    if (
        first is None
        or task.state is not TaskState.OPEN
        or task.owner is not None
        or len(task.candidates) >= MAX_JOINED
        or first.type is not row.type
    ):
        return False
    if get_site(row) is not None:
        return build_subject_key(first) == build_subject_key(row)
    return (
        incident is not None
        and get_site(first) is None
        and draft.resolve_incident(task.incident) == incident
    )


def settle_verification(draft: AlertsDecision, report: ReportRow, outcome: str) -> None:
    """Take a report out of the question about it; the others in it still wait.

    A confirmed trouble leaves only those that tell of danger to people where it did not.
    """
    task = _find_question(draft, report.id)
    if task is None:
        return
    reports = draft.find_reports(list_asked_reports(task))
    others = [row for row in reports if row.id != report.id]
    if outcome == "confirmed":
        others = [row for row in others if _is_graver(row, report)]
    if others and task.report != report.id and outcome != "confirmed":
        candidates = tuple(row.id for row in others if row.id != task.report)
        draft.emit(TaskChanged(row=copy_with(task, {"candidates": candidates})))
        return
    cancel_task(draft, "verify_report", task.report or "", outcome)
    others = [row for row in others if find_open_task(draft, "verify_report", row.id) is None]
    if others:
        draft.emit(
            TaskChanged(
                row=copy_with(
                    task,
                    {
                        "id": draft.derive("task"),
                        "report": others[0].id,
                        "candidates": tuple(row.id for row in others[1:]),
                    },
                )
            )
        )


def _find_question(draft: AlertsDecision, report: str) -> TaskRow | None:
    task = find_open_task(draft, "verify_report", report)
    if task is not None:
        return task
    tasks = list_open_tasks(draft, "verify_report")
    return next((task for task in tasks if report in task.candidates), None)


def _is_graver(row: ReportRow, than: ReportRow) -> bool:
    return endangers_people(row.type, row.severity) and not endangers_people(
        than.type, than.severity
    )


def is_replacing(new: EventType, old: EventType) -> bool:
    """Return whether an Update of one type replaces a report of the other.

    The types are the same, or two closures: a closed site may be closed in part later. A gas leak
    does not replace a report of damage.
    """
    return new is old or (new in CLOSURE_TYPES and old in CLOSURE_TYPES)


def deny_report(draft: AlertsDecision, report: ReportRow, by: str | None) -> None:
    """Deny a report by a person, or by a cancellation that names it.

    A confirmed report is withdrawn with its versions and its cause, except for the reports of other
    sources. Rule D4, duplicates.
    """
    versions = list_versions(draft, report, draft.now)
    _deny_one_report(draft, report, by)
    for version in versions:
        _deny_one_report(draft, version, by)


def list_versions(draft: AlertsDecision, report: ReportRow, before: Instant) -> list[ReportRow]:
    """Return the other versions of a report by its sender, at most as late as `before`.

    A version is a report that it replaced, or an Update that replaced it: they tell of one trouble,
    and one of them cannot be an error alone. Rule D3, cancellations.
    """
    incident = draft.incident_of(report.id)
    if incident is None or report.confirmation != "confirmed":
        return []
    sender = get_sender(report)
    candidates = [
        r
        for r in draft.find_reports(draft.state.incident_reports.get(incident, ()))
        if get_sender(r) == sender
        and r.id != report.id
        and r.msg_type is not MsgType.CANCEL
        and is_confirmed(r)
        and "cancelled" not in r.flags
        and not _is_at_other_site(r, report)
        and r.occurred_at <= before
    ]
    versions = [report]
    for version in versions:
        versions += [
            r
            for r in candidates
            if r not in versions and (_has_replaced(r, version) or _has_replaced(version, r))
        ]
    return versions[1:]


def _has_replaced(new: ReportRow, old: ReportRow) -> bool:
    """Return whether a report is an Update that replaced the other one."""
    return (
        new.msg_type is MsgType.UPDATE
        and not {old.id, old.alias}.isdisjoint(new.references)
        and is_replacing(new.type, old.type)
        and not _is_at_other_site(new, old)
        and new.occurred_at >= old.occurred_at
    )


def _is_at_other_site(update: ReportRow, report: ReportRow) -> bool:
    """Return whether an Update names another site than its report: both are told of. Rule D3."""
    return None not in (get_site(report), get_site(update)) and get_site(report) != get_site(update)


def _deny_one_report(draft: AlertsDecision, report: ReportRow, by: str | None) -> None:
    if (
        report.confirmation == "confirmed"
        and (cause := cause_lifecycle.find_open_cause(draft, report)) is not None
    ):
        others = cause_lifecycle.list_dangers_of_others(draft, report, cause)
        if others:
            kept_cause = rebuild_cause(cause, others)
            doubted = (others[0].id, report.id)
            cause_lifecycle.record_with_deadline(
                draft, cause_lifecycle.contest_cause(draft, kept_cause, doubted)
            )
        else:
            cause_lifecycle.withdraw_reports_of_source(
                draft, cause, report, draft.now, DENIED + report.id
            )
    settle_verification(draft, report, "denied")
    cancel_task(draft, "link_site", report.id, "denied")
    why = (*report.why, Why(code="manual" if by else "D3", at=draft.now))
    draft.emit(
        ReportChanged(
            row=copy_with(report, {"confirmation": "denied", "verified_by": by, "why": why})
        )
    )
    if report.confirmation == "confirmed":
        _restore_withdrawn_endings(draft, report.id)
        flags.withdraw_declarations(draft, report.id)
        _recount_incidents(draft, (report.id,))
    _end_unconfirmed_silence(draft, get_site(report))


def apply_cancellation(draft: AlertsDecision, row: ReportRow) -> None:
    """Apply a cancellation.

    With references: withdraw those reports and their versions, and lift their causes; a danger of
    another sender is contested instead. Without references: its measure or colour is applied
    elsewhere; a cancellation without either opens a task for a person. Rule D3, cancellations.
    """
    if row.references:
        kept_dangers = [
            report
            for report in draft.find_reports(row.references)
            if not may_withdraw(row, report, draft.territory)
        ]
        kept_ids = {report.id for report in kept_dangers}
        row = copy_with(row, {"references": tuple(r for r in row.references if r not in kept_ids)})
        unknown = [r for r in row.references if r not in draft.state.reports]
        updates = [
            u.id
            for u in _list_updates(draft, row, unknown)
            if is_replacing(row.type, u.type) and u.occurred_at <= row.occurred_at
        ]
        row = copy_with(row, {"references": (*row.references, *updates)})
        reports = draft.find_reports(row.references)
        versions = [
            one.id for report in reports for one in list_versions(draft, report, row.occurred_at)
        ]
        row = copy_with(row, {"references": tuple(dict.fromkeys((*row.references, *versions)))})
        for reference in row.references:
            report = draft.state.reports.get(reference)
            if report is None:
                continue
            if report.confirmation in ("rumour", "unconfirmed"):
                deny_report(draft, report, None)
                continue
            if (cause := cause_lifecycle.find_open_cause(draft, report)) is not None:
                restoration.withdraw_report(draft, cause, row)
            cancel_task(draft, "link_site", report.id, "cancelled")
        flag_references(draft, row, "cancelled")
        for reference in row.references:
            _restore_withdrawn_endings(draft, reference)
            flags.withdraw_declarations(draft, reference)
        _recount_incidents(draft, row.references)
        for report in kept_dangers:
            _contest_danger(draft, report, row)
    elif not (row.colour or (row.measure is not None and row.measure.value is not None)):
        open_task(
            draft,
            "link_denial",
            report=row.id,
            site=get_site(row),
            candidates=_list_nearby_rumours(draft, row),
        )


def _contest_danger(draft: AlertsDecision, report: ReportRow, cancellation: ReportRow) -> None:
    """Ask a person about a danger that somebody else says is none; it counts until then.

    One that is unconfirmed waits for a person already. Rule D5, contradictions.
    """
    cause = cause_lifecycle.find_open_cause(draft, report)
    if cause is None or cause.contested:
        return
    contested = cause_lifecycle.contest_cause(draft, cause, (report.id, cancellation.id))
    cause_lifecycle.record_with_deadline(draft, contested)


def find_early_cancellation(draft: AlertsDecision, row: ReportRow) -> ReportRow | None:
    """Return the Cancel by which its sender withdrew a report, or a version of it, before it came.

    The Cancel is not older than the report. Rule D3, cancellations.
    """
    if row.msg_type is MsgType.CANCEL:
        return None
    own_names = {row.id, row.alias}
    for name in _list_names_of_versions(draft, row):
        cancellation = _find_cancellation(draft, row, name)
        if cancellation is not None and (
            name in own_names or is_replacing(row.type, cancellation.type)
        ):
            return cancellation
    return None


def find_early_update(draft: AlertsDecision, row: ReportRow) -> ReportRow | None:
    """Return the Update by which its sender replaced a report before it came.

    It may be the Update of an unconfirmed one. A danger is replaced by another one alone. Rule D3,
    updates.
    """
    if row.msg_type is MsgType.CANCEL:
        return None
    versions = [row]
    for version in versions:
        updates = [
            update
            for update in _list_updates(draft, row, (version.id, version.alias))
            if _is_newer_version(update, row) and update not in versions
        ]
        if (confirmed := next((u for u in updates if is_confirmed(u)), None)) is not None:
            return confirmed
        versions += updates
    return None


def _is_newer_version(update: ReportRow, row: ReportRow) -> bool:
    """Return whether an Update of the same sender takes the place of a report."""
    return (
        is_replacing(update.type, row.type)
        and not _is_at_other_site(update, row)
        and "cancelled" not in update.flags
        and update.occurred_at >= row.occurred_at
        and not _is_graver(row, update)
    )


def _list_updates(
    draft: AlertsDecision, row: ReportRow, names: Iterable[str | None]
) -> list[ReportRow]:
    """Return the newest Update of each of these names by the sender of a report."""
    updates = (find_newest_update(draft, row, name) for name in names if name is not None)
    return [update for update in updates if update is not None]


def find_newest_update(draft: AlertsDecision, row: ReportRow, name: str) -> ReportRow | None:
    """Return the newest Update of a name by the sender of a report.

    The report with that name may come after both. Rule D3, updates.
    """
    id = draft.state.referrers.get(build_referrer_key(MsgType.UPDATE, row, name))
    return draft.state.reports.get(id or "")


def _find_cancellation(draft: AlertsDecision, row: ReportRow, name: str) -> ReportRow | None:
    """Return the standing Cancel with this name by the sender of a report, not older than it."""
    id = draft.state.referrers.get(build_referrer_key(MsgType.CANCEL, row, name))
    cancellation = draft.state.reports.get(id or "")
    if (
        cancellation is None
        or not is_confirmed(cancellation)
        or "cancelled" in cancellation.flags
        or cancellation.occurred_at < row.occurred_at
    ):
        return None
    return cancellation


def _list_names_of_versions(draft: AlertsDecision, row: ReportRow) -> list[str]:
    """Return the names of a report and of the versions of it that are known, its own first."""
    versions, names = [row], list[str]()
    for version in versions:
        more = [version.id, version.alias]
        if version.msg_type is MsgType.UPDATE:
            more += version.references
        fresh = [name for name in more if name is not None and name not in names]
        names += fresh
        rows = [*draft.find_reports(version.references), *_list_updates(draft, row, fresh)]
        sender = get_sender(row)
        versions += [
            r
            for r in rows
            if r not in versions and get_sender(r) == sender and is_replacing(r.type, row.type)
        ]
    return names


def record_withdrawn(draft: AlertsDecision, row: ReportRow, cancellation: ReportRow) -> None:
    """Record a report that its sender had withdrawn before it arrived: it has no effect.

    The versions of it that are known are withdrawn with it.
    """
    values = {
        "flags": (*row.flags, "cancelled", WITHDRAWN_BEFORE),
        "why": (*row.why, Why(code="D3", at=draft.now, reports=(cancellation.id,))),
        "confirmation": row.confirmation if is_confirmed(row) else "denied",
        "reason": WITHDRAWN_BEFORE,
    }
    draft.emit(ReportChanged(row=copy_with(row, values)))
    sender = get_sender(row)
    ids = [*(row.references if row.msg_type is MsgType.UPDATE else ())]
    ids += [u.id for u in _list_updates(draft, row, (row.id, row.alias))]
    versions = tuple(
        r.id
        for r in draft.find_reports(ids)
        if get_sender(r) == sender
        and is_replacing(row.type, r.type)
        and r.occurred_at <= cancellation.occurred_at
        and r.confirmation != "denied"
        and "cancelled" not in r.flags
    )
    if versions:
        apply_cancellation(draft, copy_with(cancellation, {"references": versions}))


def supersede_late_version(draft: AlertsDecision, id: str) -> None:
    """Keep the values of the Update that came before its report.

    The begin is the older one, and so is each value that the Update does not carry. Rules D3 and
    D7.
    """
    row, update = draft.state.reports[id], find_early_update(draft, draft.state.reports[id])
    draft.emit(ReportChanged(row=copy_with(row, {"flags": (*row.flags, "superseded")})))
    if not is_confirmed(row):
        if update is not None:  # it has answered the question about this one, and those before it
            close_questions(draft, update)
        return
    _join_earlier_version(draft, row)
    cause, incident = cause_lifecycle.find_open_cause(draft, row), draft.incident_of(id)
    if cause is None:
        return
    standing_reports = cause_lifecycle.list_counted_reports(draft, cause)
    if not standing_reports:
        return
    kept_values = {"since": cause.since, "reports": cause.reports, "sources": cause.sources}
    rebuilt_cause = copy_with(rebuild_cause(cause, standing_reports), kept_values)
    update = next(
        (
            r
            for r in standing_reports
            if r.msg_type is MsgType.UPDATE and get_sender(r) == get_sender(row)
        ),
        None,
    )
    if update is not None:
        rebuilt_cause = copy_with(rebuilt_cause, _list_missing_values(draft, rebuilt_cause, update))
    cause_lifecycle.record_with_deadline(draft, rebuilt_cause)
    if incident is not None and row.persons_concerned is not None:
        incident_lifecycle.recount_withdrawn(draft, incident)


def _join_earlier_version(draft: AlertsDecision, row: ReportRow) -> None:
    """End the cause of a report before a late Update: the newest Update of both has one already.

    Without a place each opened a cause of its own, for nobody knew that they are versions of one
    report. The reports of others keep it. Rule D3, updates.
    """
    cause = cause_lifecycle.find_open_cause(draft, row)
    for report in draft.find_reports(row.references if row.msg_type is MsgType.UPDATE else ()):
        old = cause_lifecycle.find_open_cause(draft, report)
        if (
            cause is None
            or old is None
            or old.id == cause.id
            or old.site is not None
            or get_sender(report) != get_sender(row)
            or not is_replacing(row.type, report.type)
        ):
            continue
        cause_lifecycle.withdraw_reports_of_source(draft, old, row, row.occurred_at, row.id)
        earlier = {
            "since": min(old.since, cause.since),
            "reports": tuple(dict.fromkeys((report.id, *cause.reports))),
        }
        cause = cause_lifecycle.record_with_deadline(draft, copy_with(cause, earlier))


def _list_missing_values(draft: AlertsDecision, cause: Cause, update: ReportRow) -> dict[str, Any]:
    """Return the values that an Update does not carry: those of the versions before it.

    A worse value of another source stays.
    """
    versions = sorted(
        (
            r
            for r in draft.find_reports(cause.reports)
            if get_sender(r) == get_sender(update)
            and is_confirmed(r)
            and "cancelled" not in r.flags
            and r.occurred_at <= update.occurred_at
        ),
        key=lambda r: (r.occurred_at, r.id),
        reverse=True,
    )
    lost = next((r.capacity_lost_pct for r in versions if r.capacity_lost_pct is not None), None)
    people = next((n for r in versions if (n := count_persons(r)) is not None), None)
    measure = next((r.measure for r in versions if r.measure is not None), None)
    values: dict[str, Any] = {}
    if update.capacity_lost_pct is None and lost is not None:
        values["loss_pct"] = max(lost, cause.loss_pct or 0.0)
    if count_persons(update) is None and people is not None:
        values["persons"] = max(people, cause.persons or 0)
    if cause.measure is None and measure is not None:
        values["measure"] = measure
    return values


def contest_withdrawn_danger(draft: AlertsDecision, id: str, cancellation: ReportRow) -> None:
    """Ask a person about a danger that its sender had withdrawn before it arrived.

    It counts like any other: nobody was told of it before. Rule D5, contradictions.
    """
    row = draft.state.reports[id]
    flags = (*row.flags, WITHDRAWN_BEFORE)
    draft.emit(ReportChanged(row=copy_with(row, {"flags": flags})))
    if not is_confirmed(row):
        return  # a person is asked already
    cause = cause_lifecycle.find_open_cause(draft, row)
    if cause is not None:
        cause_lifecycle.record_with_deadline(draft, copy_with(cause, {"contested": True}))
    open_task(
        draft,
        "contested",
        report=None if get_site(row) is not None else row.id,
        site=get_site(row),
        incident=draft.incident_of(row.id),
        candidates=(row.id, cancellation.id),
    )


def _recount_incidents(draft: AlertsDecision, references: tuple[str, ...]) -> None:
    """Recount the incidents of withdrawn reports, and note them for the people in charge."""
    incident_lifecycle.recount_customers(draft, references)
    for reference in references:
        report, incident = draft.state.reports.get(reference), draft.incident_of(reference)
        if report is not None and report.type in CAUSE_TYPES and incident is not None:
            incident_lifecycle.recount_danger(draft, incident)
            incident_lifecycle.recount_withdrawn(draft, incident)
            draft.withdrawn.add(incident)


def _restore_withdrawn_endings(draft: AlertsDecision, reference: str) -> None:
    """Restore causes and their closed incidents after a withdrawn end of them.

    It is a reopening, an order to leave, or a declaration such as the end of a restriction.
    """
    report = draft.state.reports.get(reference)
    if report is None or report.confirmation not in ("confirmed", "denied"):
        return
    if report.type is EventType.REOPENING or report.type in LEAVE_ORDER_TYPES:
        restored_causes = restoration.restore_causes(draft, report)
    elif report.measure is not None:
        restored_causes = restoration.restore_declared_causes(
            draft, report, _list_same_declarations(draft, report)
        )
    else:
        return
    for cause in restored_causes:
        incident = draft.resolve_incident(cause.incident)
        if incident is None:
            continue
        if get_measure_name(report) == "customers_cut":
            zones.revoke_all_clear(draft, incident)
        if draft.incident(incident).state is IncidentState.CLOSED:
            incident_lifecycle.reopen_incident(draft, incident)


def _list_same_declarations(draft: AlertsDecision, report: ReportRow) -> list[ReportRow]:
    """Return the other reports in force with the measure and the value of a report.

    Walks over all reports: withdrawn ends are rare.
    """
    return [
        r
        for r in draft.state.reports.values()
        if r.id != report.id
        and restoration.is_same_declaration(r, report)
        and is_confirmed(r)
        and is_standing(r)
        and "area_unknown" not in r.flags
    ]


def close_questions(draft: AlertsDecision, row: ReportRow) -> None:
    """Close the questions about unconfirmed reports that a confirmed Update replaces.

    Those that its sender had replaced by such a report are replaced with it. Rule D3, updates.
    """
    versions = draft.find_reports(row.references)
    for version in versions:
        versions += [
            report
            for report in draft.find_reports(version.references)
            if version.msg_type is MsgType.UPDATE
            and get_sender(report) == get_sender(version) == get_sender(row)
            and _is_newer_version(row, report)
            and report not in versions
        ]
    for report in versions:
        if report.confirmation not in ("unconfirmed", "rumour") or "superseded" in report.flags:
            continue
        settle_verification(draft, report, "replaced")
        cancel_task(draft, "link_site", report.id, "replaced")
        draft.emit(ReportChanged(row=copy_with(report, {"flags": (*report.flags, "superseded")})))
        _end_unconfirmed_silence(draft, get_site(report))


def answer_place_questions(draft: AlertsDecision, row: ReportRow, incident: str) -> None:
    """Close the questions where a danger is that a new report with a place answers.

    It answers for the reports that it names. Without any it answers for its incident, if one
    question is open there: of two dangers without a place, nobody knows which one it means.
    Rule D8, unknown places.
    """
    questions = _list_place_questions(draft, incident)
    answered_reports = [report for report in questions if report.id in row.references]
    if not row.references and row.verified_by is None and len(questions) == 1:
        answered_reports = questions
    for report in answered_reports:
        cancel_task(draft, "link_site", report.id, "placed")


def close_place_questions(draft: AlertsDecision, incident: str, outcome: str) -> None:
    """Close the questions where the dangers of an incident are, by a decision about it."""
    for report in _list_place_questions(draft, incident):
        cancel_task(draft, "link_site", report.id, outcome)


def _list_place_questions(draft: AlertsDecision, incident: str) -> list[ReportRow]:
    """Return the reports of an incident that tell of danger without a place, and wait for one.

    Those with an unknown site or area wait for a link alone: they have no effect at a site before.
    """
    reports = (
        draft.state.reports.get(task.report or "") for task in list_open_tasks(draft, "link_site")
    )
    return [
        report
        for report in reports
        if report is not None
        and draft.incident_of(report.id) == incident
        and is_danger_without_place(report)
        and not is_placeless(report)
    ]


def flag_references(draft: AlertsDecision, row: ReportRow, flag: str) -> None:
    for reference in row.references:
        report = draft.state.reports.get(reference)
        if report is None or flag in report.flags or report.confirmation != "confirmed":
            continue
        if flag == "cancelled" or _has_replaced(row, report):  # an older Update: nothing (D7)
            draft.emit(ReportChanged(row=copy_with(report, {"flags": (*report.flags, flag)})))


def _list_nearby_rumours(draft: AlertsDecision, row: ReportRow) -> tuple[str, ...]:
    """Return open rumours of the same commune, or without a place, newest first, at most 10."""
    here, rumours = frozenset(list_communes(row, draft.territory)), list[ReportRow]()
    for id in draft.state.rumours:
        rumour = draft.state.reports[id]
        there = list_communes(rumour, draft.territory)
        if not here or not there or not here.isdisjoint(there):
            rumours.append(rumour)
    return tuple(r.id for r in sorted(rumours, key=lambda r: (-r.recorded_at, r.id)))[:10]


def _end_unconfirmed_silence(draft: AlertsDecision, site: str | None) -> None:
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
