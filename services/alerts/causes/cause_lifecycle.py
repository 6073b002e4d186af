"""Causes: how they open, take further reports, change, end and become overdue.

`restoration` holds the other ways in which they end. Rules D3 to D5, D7, D9, D10, D15 and D17.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

from schemas.alerts import ReportChanged, ReportRow, TaskChanged
from schemas.base import Instant, copy_with
from schemas.catalogue.event_types import endangers_people
from schemas.crisis.causes import Cause, CauseChanged
from schemas.words import MsgType
from services.alerts.decision import (
    AlertsDecision,
    cancel_task,
    find_open_task,
    list_open_tasks,
    open_task,
)
from services.alerts.evolve import OPEN
from services.alerts.evolve.reports import build_referrer_key
from services.alerts.reference.territory import (
    CAUSE_TYPES,
    CONTRADICTION_MS,
    LEAVE_ORDER_TYPES,
    ORDER_TYPES,
    RESTORATION_MEASURES,
    find_end_of_day,
    format_day,
)
from services.alerts.reports.judgement import (
    find_newest_cause,
    find_superseding_event,
    find_withdrawal_by_others,
)
from services.alerts.reports.report_facts import (
    DENIED,
    are_windows_over,
    build_subject_key,
    count_persons,
    get_measure_name,
    get_site,
    is_ahead,
    is_all_clear,
    is_confirmed,
    is_count_of_day,
    is_daily,
    is_danger_without_place,
    is_inside,
    is_placeless,
    is_revocation,
    is_standing,
    is_wide,
    list_communes,
    merge_values,
    rebuild_cause,
    unite_windows,
)

ReportOutcome = Literal["new", "same", "replaced", "over"]
KEPT_REPORTS: Final = 500
"""Most reports that a cause names.

A monitor that updates its report every minute sends thousands in two days.
"""


@dataclass(frozen=True, slots=True)
class ReportEffect:
    """The effect of a report on the causes."""

    cause: Cause
    outcome: ReportOutcome
    """* `new`: the report opened the cause.

    * `same`: the report repeats the cause. Rule D4, duplicates.
    * `replaced`: the cause has newer values.
    * `over`: the report is about something that is lifted already. Rule D7, late reports.
    """
    graver: bool
    """The cause holds, and it is worse than was known."""
    persons_before: int = 0
    """Number of people in the cause before the report."""
    endangers: bool = False
    """The cause is a danger to people by this report, and was none before."""


def _describe_effect(before: Cause, cause: Cause, outcome: ReportOutcome) -> ReportEffect:
    """Describe how a report changed an existing cause."""
    grew = (
        (before.severity, cause.severity),
        (before.loss_pct, cause.loss_pct),
        (before.persons, cause.persons),
    )
    return ReportEffect(
        cause,
        outcome,
        any((now or 0) > (earlier or 0) for earlier, now in grew),
        before.persons or 0,
        endangers=endangers_people(cause.type, cause.severity)
        and not endangers_people(before.type, before.severity),
    )


def makes_cause(row: ReportRow, draft: AlertsDecision) -> bool:
    """Return whether the report is about a trouble at a place.

    A rate for more than one site is not. Rule D11, rates.
    """
    return (
        row.type in CAUSE_TYPES
        and not is_wide(row)
        and not is_placeless(row)
        and not _reports_recovery(row, draft)
    )


def _reports_recovery(row: ReportRow, draft: AlertsDecision) -> bool:
    return (
        get_measure_name(row) in RESTORATION_MEASURES
        or is_all_clear(row)
        or is_revocation(row, draft.state.rules.flag_names)
    )


def find_repeated_cause(row: ReportRow, draft: AlertsDecision) -> Cause | None:
    """Return the open cause that the report repeats. Rule D4, duplicates."""
    if not makes_cause(row, draft):
        return None
    cause = find_newest_cause(row, bool(row.effective), draft)
    if (
        cause is None
        or cause.lifted_at is not None
        or (is_daily(row) and format_day(row.occurred_at) != format_day(cause.last_at))
    ):
        return None
    return cause


def is_same_occasion(a: ReportRow, b: ReportRow) -> bool:
    """Return whether two reports are about the same occasion.

    They are not if one announces what the other reports as current (rule D9), or if they count
    different days (rule D10).
    """
    if ("planned" in a.flags) != ("planned" in b.flags):
        return False
    return not (is_daily(a) and is_daily(b)) or format_day(a.occurred_at) == format_day(
        b.occurred_at
    )


def record_with_deadline(draft: AlertsDecision, cause: Cause) -> Cause:
    """Record a cause with its next time of change, and have its site judged again."""
    if cause.lifted_at is None:
        next_at = _compute_next_change(cause, draft.now, draft.state.rules.horizon_ms)
        cause = copy_with(cause, {"next_at": next_at, "overdue": _is_overdue(cause, draft.now)})
    before = draft.state.causes.get(cause.id)
    if cause != before:
        cause = record_cause(draft, cause)
        _update_tasks(draft, before, cause)
    draft.stirred[cause.id] = None
    if cause.site is not None:
        draft.doubtful.add(cause.site)
    return cause


def record_cause(draft: AlertsDecision, cause: Cause) -> Cause:
    """Write a cause with the reports and sources that joined or left, and return it as recorded."""
    draft.emit(CauseChanged.between(draft.state.causes.get(cause.id), cause))
    return draft.state.causes[cause.id]


def _update_tasks(draft: AlertsDecision, before: Cause | None, cause: Cause) -> None:
    """Open or void the tasks about an overdue or contested cause.

    An overdue cause waits for a person until it is lifted or has another end (rule D17); a
    contested one, until it is contested no more (rule D5).
    """
    late, was_late = (
        cause.overdue and cause.lifted_at is None,
        before is not None and before.overdue and before.lifted_at is None,
    )
    if late and not was_late:
        candidate, incident = cause.type.value, draft.resolve_incident(cause.incident)
        task = next(
            (
                t
                for s in _list_task_subjects(draft, cause)
                if (t := find_open_task(draft, "overdue_cause", s)) is not None
            ),
            None,
        )
        if task is None:
            open_task(
                draft, "overdue_cause", site=cause.site, incident=incident, candidates=(candidate,)
            )
        elif candidate not in task.candidates:
            draft.emit(
                TaskChanged(row=copy_with(task, {"candidates": (*task.candidates, candidate)}))
            )
    elif (
        was_late and not late and not any(c.overdue for c in list_open_causes_beside(draft, cause))
    ):
        for subject in _list_task_subjects(draft, cause):
            cancel_task(
                draft,
                "overdue_cause",
                subject,
                "lifted" if cause.lifted_at is not None else "extended",
            )
    was_contested = (
        before is not None
        and before.contested
        and (not cause.contested or cause.lifted_at is not None)
    )
    if (
        cause.site is not None
        and was_contested
        and not any(c.contested for c in list_open_causes_beside(draft, cause))
    ):
        cancel_task(draft, "contested", cause.site, "lifted")
    if cause.lifted_at is not None and before is not None and before.lifted_at is None:
        _cancel_answered_questions(draft, cause)


def _cancel_answered_questions(draft: AlertsDecision, cause: Cause) -> None:
    """Cancel the questions about a reopening when no cause that it may have lifted is open.

    Rule D16, reopenings.
    """
    open_types = {c.type.value for c in list_open_causes_beside(draft, cause)}
    for task in list_open_tasks(draft, "lift_which"):
        same = task.site == cause.site and (
            cause.site is not None
            or draft.resolve_incident(task.incident) == draft.resolve_incident(cause.incident)
        )
        if same and open_types.isdisjoint(task.candidates):
            cancel_task(draft, "lift_which", task.report or "", "lifted")


def _list_task_subjects(draft: AlertsDecision, cause: Cause) -> tuple[str, ...]:
    """Return the possible subjects of a task about the cause: its site, else its incident.

    An incident that was merged since may have been asked about under its old or its new id.
    """
    if cause.site is not None:
        return (cause.site,)
    return tuple(
        dict.fromkeys(
            i for i in (cause.incident, draft.resolve_incident(cause.incident)) if i is not None
        )
    )


def list_open_causes_beside(draft: AlertsDecision, cause: Cause) -> list[Cause]:
    """Return the open causes of its site; without a site, those of its incident without one."""
    state = draft.state
    if cause.site is not None:
        return [state.causes[c] for c in state.site_causes.get(cause.site, ())]
    return list_placeless_causes(draft, draft.resolve_incident(cause.incident))


def list_placeless_causes(draft: AlertsDecision, incident: str | None) -> list[Cause]:
    """Return the open causes of an incident that have no site."""
    causes = (draft.state.causes[c] for ids in draft.state.placeless.values() for c in sorted(ids))
    return [
        c for c in causes if incident is not None and draft.resolve_incident(c.incident) == incident
    ]


def list_open_causes(draft: AlertsDecision) -> list[Cause]:
    """Return every open cause. Walks over all of them: use it for rare events only."""
    state = draft.state
    ids = (
        *(c for at in state.site_causes.values() for c in at),
        *(c for of_type in state.placeless.values() for c in of_type),
    )
    return [state.causes[c] for c in sorted(ids)]


def _compute_next_change(cause: Cause, now: Instant, horizon: Instant) -> Instant | None:
    """Return when time alone changes the cause next.

    A window begins, ends or comes within the horizon, the expected end passes, or the day ends.
    """
    times = [t for w in cause.windows for t in (w.start, w.end, w.start - horizon) if t is not None]
    times += [t for t in (cause.expected_end, cause.ends_at) if t is not None]
    return min((t for t in times if t > now), default=None)


def _is_overdue(cause: Cause, now: Instant) -> bool:
    """Return whether the cause has passed its expected end. Rule D17, overdue causes.

    A cause that is only announced, or that ends with its windows, is never overdue. Rule D9.
    """
    stays = not cause.windows or any(w.end is None for w in cause.windows)
    return cause.expected_end is not None and cause.expected_end <= now and stays and cause.acting


def apply_report(
    draft: AlertsDecision, row: ReportRow, incident: str | None, known_cause: Cause | None
) -> ReportEffect:
    """Apply a confirmed report to its cause; `known_cause` is from `find_repeated_cause`."""
    over = find_superseding_event(draft, row, incident, known_cause)
    if (
        known_cause is not None
        and over is None
        and incident is not None
        and draft.resolve_incident(known_cause.incident) != incident
    ):
        known_cause = _move_to_incident(draft, known_cause, incident)
    if known_cause is not None:
        return (
            ReportEffect(known_cause, "over", graver=False)
            if over is not None
            else _merge_report(draft, row, known_cause)
        )
    cause = _open_cause(draft, row, incident, over)
    if over is None:
        cause = mark_contested(draft, cause, row.source)
        if (withdrawal := find_withdrawal_by_others(draft, row)) is not None:
            cause = contest_cause(draft, cause, (row.id, withdrawal.id))
    return ReportEffect(
        record_with_deadline(draft, cause), "new" if over is None else "over", graver=over is None
    )


def _move_to_incident(draft: AlertsDecision, known_cause: Cause, incident: str) -> Cause:
    """Move a cause to the incident of its new report, if its own incident was closed over it.

    Otherwise the new incident could be closed as if all were well. Rule D26, closed incidents.
    """
    before = draft.resolve_incident(known_cause.incident)
    if before is not None and draft.incident(before).state in OPEN:
        return known_cause
    return record_with_deadline(draft, copy_with(known_cause, {"incident": incident}))


def _open_cause(
    draft: AlertsDecision, row: ReportRow, incident: str | None, over: tuple[Instant, str] | None
) -> Cause:
    """Return the cause of a confirmed report, also of one that was unconfirmed before (D6)."""
    return Cause(
        id=draft.derive("cause"),
        key=build_subject_key(row),
        site=get_site(row),
        commune=next(iter(list_communes(row, draft.territory)), None),
        type=row.type,
        incident=incident,
        severity=row.severity,
        loss_pct=row.capacity_lost_pct,
        since=row.occurred_at,
        last_at=row.occurred_at,
        known_at=row.recorded_at,
        windows=row.effective,
        acting=is_inside(row.effective, draft.now),
        expected_end=row.expected_end,
        ends_at=find_end_of_day(row.occurred_at) if is_daily(row) else None,
        persons=count_persons(row),
        measure=row.measure,
        sources=(row.source,),
        reports=(row.id,),
        lifted_at=over[0] if over else None,
        lifted_by=over[1] if over else None,
    )


def mark_contested(
    draft: AlertsDecision,
    cause: Cause,
    first_source: str,
    new_reopening: tuple[Instant, str] | None = None,
) -> Cause:
    """Mark a cause as contested when two sources contradict each other, and ask a person to verify.

    One source reports the site open; another one reports the trouble at that time or just after.
    The graver state is kept. Neither of two opposite orders of the very same time is the latest.
    `new_reopening` is a reopening that is not recorded yet. `first_source` sent the earliest report
    of the rest. Rule D5, contradictions.
    """
    reopening = draft.state.reopenings.get(f"{cause.site}|{cause.type.value}")
    newest = max(
        (t for t in (reopening, new_reopening) if t is not None and t[0] <= cause.since),
        default=None,
    )
    said_shut = (
        newest is not None and not is_ahead(cause.windows, newest[0]) and newest[1] != first_source
    )
    is_contested = (
        newest is not None and said_shut and cause.since - newest[0] <= CONTRADICTION_MS
    ) or _has_opposite_order(draft, cause, first_source)
    if is_contested and cause.site is not None:
        open_task(
            draft,
            "contested",
            site=cause.site,
            incident=cause.incident,
            candidates=cause.reports[:5],
        )
    return (
        copy_with(cause, {"contested": is_contested}) if is_contested != cause.contested else cause
    )


def contest_cause(draft: AlertsDecision, cause: Cause, reports: tuple[str, ...]) -> Cause:
    """Mark a danger as contested that another sender took back, and ask a person to verify.

    Rule D5, contradictions.
    """
    open_task(
        draft,
        "contested",
        report=None if cause.site is not None else reports[0],
        site=cause.site,
        incident=draft.resolve_incident(cause.incident),
        candidates=reports,
    )
    return copy_with(cause, {"contested": True})


def _has_opposite_order(draft: AlertsDecision, cause: Cause, source: str) -> bool:
    """Return whether another source orders the opposite at the very same time. Rule D5, orders."""
    if cause.site is None or cause.type not in ORDER_TYPES:
        return False
    leaves = cause.type in LEAVE_ORDER_TYPES
    opposite_orders = (
        other
        for other in list_open_causes_beside(draft, cause)
        if other.type in ORDER_TYPES and (other.type in LEAVE_ORDER_TYPES) is not leaves
    )
    return any(
        other.acting and other.last_at == cause.since and other.sources != (source,)
        for other in opposite_orders
    )


def _merge_report(draft: AlertsDecision, row: ReportRow, known_cause: Cause) -> ReportEffect:
    """Merge a report into an existing cause.

    The source is added; severity and loss take the worse value, the start the earlier time. A newer
    count of the day replaces the older one. Rules D4 and D10.
    """
    is_newer = row.occurred_at >= known_cause.last_at
    _supersede_dropped_report(draft, known_cause)
    new_values = {
        "sources": _add_source(known_cause, row),
        "reports": _append_report(known_cause.reports, row.id),
        "since": min(known_cause.since, row.occurred_at),
        "last_at": max(known_cause.last_at, row.occurred_at),
    }
    if is_count_of_day(known_cause, row):
        values = {
            "severity": row.severity,
            "loss_pct": row.capacity_lost_pct,
            "persons": count_persons(row),
            "measure": row.measure,
        }
        return _describe_effect(
            known_cause,
            record_with_deadline(
                draft, copy_with(known_cause, new_values | (values if is_newer else {}))
            ),
            "replaced",
        )
    windows = unite_windows(known_cause.windows, row.effective)
    current = {
        "severity": known_cause.severity,
        "loss_pct": known_cause.loss_pct,
        "persons": known_cause.persons,
        "measure": known_cause.measure,
    }
    worse = merge_values(current, [row]) | {
        "windows": windows,
        "acting": is_inside(windows, draft.now),
    }
    if is_newer and row.expected_end is not None and row.expected_end != known_cause.expected_end:
        worse["expected_end"] = row.expected_end
    cause = copy_with(known_cause, new_values | worse)
    if row.occurred_at < known_cause.since:
        cause = mark_contested(draft, cause, row.source)
    return _describe_effect(known_cause, record_with_deadline(draft, cause), "same")


def _add_source(cause: Cause, row: ReportRow) -> tuple[str, ...]:
    return cause.sources if row.source in cause.sources else (*cause.sources, row.source)


def find_open_cause(draft: AlertsDecision, report: ReportRow) -> Cause | None:
    """Return the open cause that a report is about.

    An Update that came late may name windows for a cause that has none. An Update with a place took
    a danger without one to its site (rule D8).
    """
    candidates = [
        find_newest_cause(version, has_windows, draft)
        for version in _list_versions(draft, report)
        for has_windows in (False, True)
    ]
    open_ = [c for c in candidates if c is not None and c.lifted_at is None]
    if is_danger_without_place(report):
        open_ += _list_member_causes(draft, report.incident)
    cause = next((c for c in open_ if report.id in c.reports), None)
    return cause or next(
        (c for c in open_ if len(c.reports) == KEPT_REPORTS and report.recorded_at >= c.known_at),
        None,
    )


def _list_versions(draft: AlertsDecision, report: ReportRow) -> list[ReportRow]:
    """Return a report, those that it updates, and the newest Updates of each by its sender.

    Without a site each has a subject of its own, but all join one cause.
    """
    versions = [report]
    for version in versions:
        is_update = version.msg_type is MsgType.UPDATE
        key = build_referrer_key(MsgType.UPDATE, version, version.id)
        ids = (*(version.references if is_update else ()), draft.state.referrers.get(key) or "")
        versions += [r for r in draft.find_reports(ids) if r not in versions]
    return versions


def _list_member_causes(draft: AlertsDecision, incident: str | None) -> list[Cause]:
    """Return the open causes at the member sites of an incident."""
    state, standing = draft.state, draft.resolve_incident(incident)
    members = draft.incident(standing).members if standing is not None else ()
    return [state.causes[c] for site in members for c in state.site_causes.get(site, ())]


def move_to_site(
    draft: AlertsDecision, row: ReportRow, incident: str | None, nowhere: Cause
) -> ReportEffect:
    """End the cause of a place that nobody knew; the site that an Update names gets its own.

    The danger is the same one: it calls nobody again, and its first report still leads to it.
    Rule D8.
    """
    lift_cause(draft, nowhere, row.occurred_at, DENIED + nowhere.reports[0])
    repeated_cause = find_repeated_cause(row, draft)
    effect = apply_report(draft, row, incident, repeated_cause)
    if effect.outcome != "new":
        return effect
    cause = draft.state.causes[effect.cause.id]
    earlier = {
        "reports": (*nowhere.reports, *cause.reports),
        "sources": tuple(dict.fromkeys((*nowhere.sources, *cause.sources))),
        "since": min(nowhere.since, cause.since),
        "loss_pct": nowhere.loss_pct if cause.loss_pct is None else cause.loss_pct,
        "persons": nowhere.persons if cause.persons is None else cause.persons,
        "expected_end": cause.expected_end or nowhere.expected_end,
    }
    cause = record_with_deadline(draft, copy_with(cause, earlier))
    return ReportEffect(cause, "replaced", graver=True, persons_before=nowhere.persons or 0)


def apply_at_further_site(
    draft: AlertsDecision, row: ReportRow, incident: str | None, known_cause: Cause
) -> ReportEffect:
    """Apply an Update to the site that it names; the cause that it refers to is elsewhere.

    Trouble of communes takes its values, too. That of another site stays as it is until its sender
    withdraws it or a person denies it: it may be at both. Rule D3, updates.
    """
    if known_cause.site is None:
        replace_values(draft, row, known_cause)
    repeated_cause = find_repeated_cause(row, draft)
    return (
        apply_report(draft, row, incident, None)
        if repeated_cause is None
        else replace_values(draft, row, repeated_cause)
    )


def _append_report(reports: tuple[str, ...], id: str) -> tuple[str, ...]:
    """Append a report to those of a cause.

    Beyond `KEPT_REPORTS` the first half stays, and the newest of the others.
    """
    first = KEPT_REPORTS // 2
    return (
        (*reports, id)
        if len(reports) < KEPT_REPORTS
        else (*reports[:first], *reports[first + 1 :], id)
    )


def _supersede_dropped_report(draft: AlertsDecision, cause: Cause) -> None:
    """Mark the report that a full cause drops next as superseded.

    Later reports replace it: it counts no more, even when the cause changes again.
    """
    if len(cause.reports) < KEPT_REPORTS:
        return
    report = draft.state.reports.get(cause.reports[KEPT_REPORTS // 2])
    if report is not None and "superseded" not in report.flags:
        draft.emit(ReportChanged(row=copy_with(report, {"flags": (*report.flags, "superseded")})))


def replace_values(draft: AlertsDecision, row: ReportRow, cause: Cause) -> ReportEffect:
    """Apply an Update to its cause.

    It replaces the values that it carries (rule D3), but none of another source (rule D4). An older
    Update replaces nothing of its own source, and counts beside those of others (rule D7).
    """
    values: dict[str, Any] = {"last_at": max(cause.last_at, row.occurred_at)}
    if row.type is cause.type:
        _supersede_dropped_report(draft, cause)
        values |= {
            "reports": _append_report(cause.reports, row.id),
            "sources": _add_source(cause, row),
        }
    if row.occurred_at >= cause.last_at:
        if are_windows_over(row.effective, draft.now):
            withdraw_reports_of_source(
                draft,
                copy_with(cause, values),
                row,
                max(w.end or 0 for w in row.effective),
                "windows_over",
            )
            return ReportEffect(draft.state.causes[cause.id], "replaced", graver=False)
        if row.type is cause.type:
            new_values = {
                "severity": row.severity,
                "loss_pct": row.capacity_lost_pct
                if row.capacity_lost_pct is not None
                else cause.loss_pct,
                "persons": count_persons(row) if count_persons(row) is not None else cause.persons,
                "measure": row.measure or cause.measure,
            }
            values |= (
                new_values
                if is_count_of_day(cause, row)
                else merge_values(new_values, _list_reports_of_others(draft, row, cause))
            )
        if row.expected_end is not None:
            values["expected_end"] = row.expected_end
        if row.effective and cause.windows:
            values |= {"windows": row.effective, "acting": is_inside(row.effective, draft.now)}
    elif row.type is cause.type and not is_count_of_day(cause, row):
        values |= _merge_older_update(draft, row, cause)
    return _describe_effect(
        cause, record_with_deadline(draft, copy_with(cause, values)), "replaced"
    )


def _merge_older_update(draft: AlertsDecision, row: ReportRow, cause: Cause) -> dict[str, Any]:
    """Return the values of a cause with an Update that is older than the word of another source.

    If its own source has reported something newer, only values that this does not carry count.
    """
    reports = [r for r in draft.find_reports(cause.reports) if is_confirmed(r) and is_standing(r)]
    newer = [r for r in reports if r.source == row.source and r.occurred_at >= row.occurred_at]
    if newer:
        return _list_values_kept(draft, row, cause, newer)
    nothing = {"severity": 0, "loss_pct": None, "persons": None, "measure": None}
    rows = sorted((*reports, row), key=lambda r: (r.occurred_at, r.recorded_at, r.id))
    return merge_values(nothing, rows)


def _list_values_kept(
    draft: AlertsDecision, row: ReportRow, cause: Cause, newer: list[ReportRow]
) -> dict[str, Any]:
    """Return the values of an older Update that no newer report of its source carries. Rule D3."""
    others, values = _list_reports_of_others(draft, row, cause), dict[str, Any]()
    lost, people = row.capacity_lost_pct, count_persons(row)
    if lost is not None and all(r.capacity_lost_pct is None for r in newer):
        values["loss_pct"] = max([lost, *(r.capacity_lost_pct or 0.0 for r in others)])
    if people is not None and all(count_persons(r) is None for r in newer):
        values["persons"] = max([people, *(count_persons(r) or 0 for r in others)])
    if row.measure is not None and all(r.measure is None for r in newer):
        values["measure"] = row.measure
    return values


def has_other_cause_values(draft: AlertsDecision, row: ReportRow, cause: Cause) -> bool:
    """Return whether an Update turns the cause into another one.

    It does by another type of closure, or by windows for a cause without any. Rule D9, planned
    events.
    """
    if row.type is not cause.type:
        return row.type in CAUSE_TYPES
    return (
        bool(row.effective) and not cause.windows and not are_windows_over(row.effective, draft.now)
    )


def withdraw_reports_of_source(
    draft: AlertsDecision, cause: Cause, row: ReportRow, at: Instant, by: str
) -> None:
    """Take the reports of a source out of a cause; lift it if no other source reports it."""
    if others := _list_reports_of_others(draft, row, cause):
        record_with_deadline(draft, rebuild_cause(cause, others))
    else:
        lift_cause(draft, cause, at, by)


def _list_reports_of_others(draft: AlertsDecision, row: ReportRow, cause: Cause) -> list[ReportRow]:
    """Return the reports of other sources on a cause that count, ascending."""
    if cause.sources == (row.source,):
        return []
    return [r for r in list_counted_reports(draft, cause) if r.source != row.source]


def list_dangers_of_others(draft: AlertsDecision, row: ReportRow, cause: Cause) -> list[ReportRow]:
    """Return the dangers that others reported and that this Update alone replaced, ascending.

    They stand again when a person denies the Update. Rule D3, cancellations.
    """
    if row.msg_type is not MsgType.UPDATE or _list_reports_of_others(draft, row, cause):
        return []
    reports = (r for r in draft.find_reports(cause.reports) if is_confirmed(r))
    dangers = (
        r
        for r in reports
        if r.source != row.source
        and "cancelled" not in r.flags
        and endangers_people(r.type, r.severity)
    )
    return sorted(dangers, key=lambda r: (r.occurred_at, r.recorded_at, r.id))


def list_counted_reports(draft: AlertsDecision, cause: Cause) -> list[ReportRow]:
    """Return the reports on a cause that count, ascending.

    Each source gives its newest Update and the reports after it.
    """
    reports = (r for r in draft.find_reports(cause.reports) if is_confirmed(r) and is_standing(r))
    reports_by_source: dict[str, list[ReportRow]] = {}
    for r in sorted(reports, key=lambda r: (r.occurred_at, r.recorded_at, r.id)):
        reports_by_source[r.source] = (
            [r] if r.msg_type is MsgType.UPDATE else [*reports_by_source.get(r.source, ()), r]
        )
    return sorted(
        (r for rows in reports_by_source.values() for r in rows),
        key=lambda r: (r.occurred_at, r.recorded_at, r.id),
    )


def lift_cause(draft: AlertsDecision, cause: Cause, at: Instant, by: str) -> None:
    """End a cause. A site with another cause stays affected. Rule D15, lifting one cause."""
    record_with_deadline(
        draft,
        copy_with(
            cause,
            {"lifted_at": max(at, cause.since), "lifted_by": by, "next_at": None, "acting": False},
        ),
    )
    draft.ended.append(cause.id)


def on_cause_due(draft: AlertsDecision, cause: Cause) -> None:
    """Apply a due change of a cause: a window, the end of the day, or the expected end."""
    now = draft.now
    if cause.ends_at is not None and cause.ends_at <= now:
        return lift_cause(draft, cause, cause.ends_at, "end_of_day")
    if are_windows_over(cause.windows, now):
        return lift_cause(
            draft, cause, max(w.end for w in cause.windows if w.end is not None), "windows_over"
        )
    acting = is_inside(cause.windows, now)
    if acting is not cause.acting:
        _update_planned_flags(draft, cause, acting)
    record_with_deadline(draft, copy_with(cause, {"acting": acting}))
    return None


def _update_planned_flags(draft: AlertsDecision, cause: Cause, acting: bool) -> None:
    """Make the reports of an announced cause current, or announced again between two windows.

    Rule D9, planned events.
    """
    for id in cause.reports:
        row = draft.state.reports[id]
        if row.effective and acting is ("planned" in row.flags):
            flags = tuple(f for f in row.flags if f != "planned")
            draft.emit(
                ReportChanged(
                    row=copy_with(row, {"flags": flags if acting else (*flags, "planned")})
                )
            )
