"""Detect reports about something that a newer report has ended already.

Rule D7, late reports.
"""

from __future__ import annotations

from schemas.alerts import ReportRow
from schemas.base import Instant
from schemas.crisis.causes import Cause
from schemas.words import EventType
from services.alerts.causes.merging import is_daily
from services.alerts.decision import AlertsDecision
from services.alerts.reference.territory import (
    FUTURE_AFTER_MS,
    build_supplier_flag,
    find_end_of_day,
)
from services.alerts.reports.report_facts import (
    DENIED,
    are_windows_over,
    build_cause_key,
    build_subject_key,
    get_measure_name,
    get_site,
    is_ahead,
    is_all_clear,
    is_current,
    is_revocation,
    list_named,
    list_objects,
    list_services,
)
from services.alerts.rows import sort_by_id


def find_newest_cause(row: ReportRow, has_windows: bool, draft: AlertsDecision) -> Cause | None:
    """Return the newest cause that a report is about, open or lifted. Rule D4, duplicates."""
    id = draft.state.cause_keys.get(build_cause_key(build_subject_key(row), has_windows))
    return draft.state.causes[id] if id is not None else None


def is_superseded_by(row: ReportRow, newest_end: tuple[Instant, str]) -> bool:
    """Return whether a reopening, or an order to leave, supersedes the report.

    At equal times it does only if both come from the same source; of two sources the graver report
    holds.
    """
    return row.occurred_at < newest_end[0] or (
        row.occurred_at == newest_end[0] and row.source == newest_end[1]
    )


def date_arrival(draft: AlertsDecision, site: str | None, recorded_at: Instant) -> Instant:
    """Return the time of a report without one: its arrival, after every earlier report of its site.

    The clock of a simulated realm stands between two steps, while other reports carry the time that
    people read there, which runs on. Otherwise the newer of two reports would tie with the older,
    or come before it. Rule D7, late reports.
    """
    if site is None:
        return recorded_at
    state = draft.state
    causes = (state.causes[c].last_at for c in state.site_causes.get(site, ()))
    ends = (state.reopenings.get(f"{site}|{type_.value}") for type_ in EventType)
    report_times = [
        *causes,
        *(end[0] for end in (*ends, state.departures.get(site)) if end is not None),
    ]
    report_times.append(state.calm.get(site, recorded_at - 1))
    last = recorded_at + FUTURE_AFTER_MS
    return max([recorded_at, *(at + 1 for at in report_times if at < last)])


def find_newest_end(
    draft: AlertsDecision, site: str | None, type_: EventType
) -> tuple[Instant, str] | None:
    """Return the newest report that ends a trouble of this type at the site.

    That is a reopening that names the type; an order to leave also ends an order to shelter.
    """
    reopening = draft.state.reopenings.get(f"{site}|{type_.value}")
    departure = (
        draft.state.departures.get(site)
        if site is not None and type_ is EventType.SHELTER_IN_PLACE
        else None
    )
    return max((end for end in (reopening, departure) if end is not None), default=None)


def find_superseding_event(
    draft: AlertsDecision, row: ReportRow, incident: str | None, cause: Cause | None
) -> tuple[Instant, str] | None:
    """Return when, and by which report, a late report's trouble ended; None if it may still hold.

    A day that is over ends daily reports. Rules D7 and D10.
    """
    newest_end = find_newest_end(draft, get_site(row), row.type)
    if (
        newest_end is not None
        and is_superseded_by(row, newest_end)
        and not is_ahead(row.effective, newest_end[0])
    ):
        return newest_end[0], "newer_word"
    if (
        cause is not None
        and not cause.windows
        and row.occurred_at < cause.since
        and (before := _find_earlier_lifted_cause(draft, cause, row)) is not None
    ):
        return before.lifted_at or row.occurred_at, before.lifted_by or "lifted"
    last = find_newest_cause(row, bool(row.effective), draft) if cause is None else None
    if (
        last is not None
        and last.lifted_at is not None
        and not is_ahead(row.effective, last.lifted_at)
    ):
        was_denied = last.lifted_by == DENIED + row.id  # a person confirms it now
        if not was_denied and last.lifted_by != "end_of_day" and row.occurred_at < last.lifted_at:
            return last.lifted_at, last.lifted_by or "lifted"
    if is_daily(row) and (end := find_end_of_day(row.occurred_at)) <= draft.now:
        return end, "end_of_day"
    if are_windows_over(row.effective, draft.now):
        return max(w.end for w in row.effective if w.end is not None), "windows_over"
    return (
        _find_power_restoration(draft, row, incident)
        or _find_service_restoration(draft, row)
        or _find_revocation(draft, row)
    )


def _find_power_restoration(
    draft: AlertsDecision, row: ReportRow, incident: str | None
) -> tuple[Instant, str] | None:
    """Return the operator's all-clear, (when, report), after a report of customers cut.

    Rules D7 and D20.
    """
    if incident is None or get_site(row) is not None or get_measure_name(row) != "customers_cut":
        return None
    clear = (
        (r.occurred_at, r.id) for r in draft.figures(incident) if is_all_clear(r) and is_current(r)
    )
    return min(
        (c for c in clear if c[0] > row.occurred_at and not is_ahead(row.effective, c[0])),
        default=None,
    )


def _find_service_restoration(draft: AlertsDecision, row: ReportRow) -> tuple[Instant, str] | None:
    """Return when, and by which report, all failed systems or suppliers worked again.

    Only restorations after the report count. Rule D7, late reports.
    """
    if row.type is EventType.SUPPLIER_FAILURE:
        failed_objects = tuple(f"supplier:{s}" for s in list_named(row, "supplier:"))
    else:
        failed_objects = (
            list_services(row)
            if row.type in (EventType.OUTAGE_IT, EventType.OUTAGE_TELECOM)
            else ()
        )
    if not failed_objects or len(failed_objects) != len(list_objects(row)):
        return None
    restorations = [_find_first_restoration(draft, thing, row) for thing in failed_objects]
    latest = max((b for b in restorations if b is not None), default=None)
    return (
        None
        if None in restorations or latest is None or is_ahead(row.effective, latest[0])
        else latest
    )


def _find_first_restoration(
    draft: AlertsDecision, thing: str, row: ReportRow
) -> tuple[Instant, str] | None:
    """Return the first restoration of a system or supplier after the report."""
    kind, _, name = thing.partition(":")
    flag = draft.state.flags.get(
        build_supplier_flag(name, draft.territory) if kind == "supplier" else thing
    )
    if flag is None or flag.since < row.occurred_at:
        return None
    restorations = draft.state.returns.get(thing, ())
    return min(
        ((at, id) for at, source, id in restorations if is_superseded_by(row, (at, source))),
        default=None,
    )


def _find_revocation(draft: AlertsDecision, row: ReportRow) -> tuple[Instant, str] | None:
    """Return when, and by which report, a declaration was revoked after this older report of it.

    Rule D7, late reports.
    """
    flag = draft.state.flags.get(f"flag:{get_measure_name(row)}") if get_site(row) is None else None
    report = draft.state.reports.get(flag.reports[0]) if flag is not None and flag.reports else None
    if (
        flag is None
        or report is None
        or not is_revocation(report, draft.state.rules.flag_names)
        or row.occurred_at >= flag.since
    ):
        return None
    return None if is_ahead(row.effective, flag.since) else (flag.since, report.id)


def _find_earlier_lifted_cause(draft: AlertsDecision, cause: Cause, row: ReportRow) -> Cause | None:
    """Return an earlier cause of the same key that was lifted after this report's time.

    The report is about that cause. Walks over all causes: late reports are rare.
    """
    same = sort_by_id(
        c
        for c in draft.state.causes.values()
        if c.key == cause.key and not c.windows and c.id != cause.id
    )
    earlier_causes = (c for c in same if c.lifted_by != "end_of_day")
    return next(
        (c for c in earlier_causes if c.lifted_at is not None and row.occurred_at < c.lifted_at),
        None,
    )
