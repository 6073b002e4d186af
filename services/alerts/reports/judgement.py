"""Judge a report before it counts: it may be late, without right or beyond its bounds.

A person confirms a held value; a second reading confirms a jump. The report itself is always kept.
The held part is in `ReportRow.held`; rules that look for a measure, a colour or an end find none.
Rules D7, late reports, and D76, entitled sources.
"""

from collections.abc import Iterator
from typing import Final

from schemas import reference as ref
from schemas.alerts import Held, ReportRow
from schemas.base import HOUR_MS, Instant, copy_with
from schemas.catalogue.event_types import endangers_people
from schemas.catalogue.sources import is_entitled
from schemas.crisis.causes import Cause
from schemas.words import EventType
from services.alerts.decision import AlertsDecision, list_open_tasks, open_task, sort_by_id
from services.alerts.reference.territory import (
    FUTURE_AFTER_MS,
    ORDER_TYPES,
    TerritoryIndex,
    build_supplier_flag,
    find_end_of_day,
)
from services.alerts.reports.report_facts import (
    DENIED,
    are_windows_over,
    build_cause_key,
    build_subject_key,
    get_measure_name,
    get_measured_place,
    get_sender,
    get_site,
    is_ahead,
    is_all_clear,
    is_confirmed,
    is_current,
    is_daily,
    is_placeless,
    is_revocation,
    is_same_sender,
    is_withdrawn,
    list_named,
    list_objects,
    list_services,
    parse_number,
)

UNENTITLED: Final = "measure_unentitled"
TO_CONFIRM: Final = "to_confirm"
FLAGS: Final = frozenset({UNENTITLED, TO_CONFIRM})
NEWER_WORD: Final = "newer_word"
"""End of a cause that came late: a newer report of its site had ended such a trouble. Rule D7."""
CELL_ROLE: Final = "cellule_situation"
"""Role that is asked to confirm."""
_OUTAGES: Final = frozenset({EventType.OUTAGE_IT, EventType.OUTAGE_TELECOM})
_CLOSING: Final = frozenset({EventType.CLOSURE, *ORDER_TYPES, EventType.OUTAGE_POWER})
"""Types that put a site out."""
_TIME_MEASURES: Final = frozenset({"estimated_end"})
"""Measures with the end of the reported trouble as value."""


def hold_unentitled_parts(
    draft: AlertsDecision, row: ReportRow
) -> tuple[ReportRow, tuple[str, ...]]:
    """Return the report without the parts that may not count yet, and the reports that it confirms.

    Those are held reports that needed a second reading.
    """
    territory = draft.territory
    if territory.measures is None or FLAGS & frozenset(row.flags):
        return row, ()
    flag, confirmed_reports = _judge_measure(draft, row)
    if (
        flag is None
        and _is_systemwide_outage(row, territory)
        and row.source not in (territory.measures.system_sources or (row.source,))
    ):
        flag = UNENTITLED
    if flag is not None:
        row = _hold_measure(row, flag)
    if row.colour is not None and not _can_declare_colour(draft, row):
        row = _record_held_part(row, UNENTITLED, Held(colour=row.colour), colour=None)
    if _has_unentitled_duration(row, territory):
        row = _record_held_part(
            row, TO_CONFIRM, Held(expected_end=row.expected_end), expected_end=None
        )
    return row, confirmed_reports


def release_held_parts(row: ReportRow) -> ReportRow:
    """Return the report with its held parts restored, once they are confirmed."""
    held_parts = row.held
    if held_parts is None:
        return row
    values = {
        name: part
        for name in ("measure", "colour", "expected_end")
        if (part := getattr(held_parts, name)) is not None
    }
    return copy_with(
        row, values | {"flags": tuple(f for f in row.flags if f not in FLAGS), "held": None}
    )


def ask_for_confirmation(draft: AlertsDecision, report: str) -> None:
    """Ask the situation cell to confirm the held parts of a report, if it has any."""
    row = draft.state.reports.get(report)
    if row is not None and row.held is not None:
        incident = draft.incident_of(report)
        open_task(
            draft,
            "verify_report",
            report=report,
            site=get_site(row),
            incident=incident,
            owner=CELL_ROLE,
        )


def _judge_measure(draft: AlertsDecision, row: ReportRow) -> tuple[str | None, tuple[str, ...]]:
    """Return the flag that holds a measure, and the held reports that this reading confirms."""
    m = row.measure
    rule = draft.territory.measure_rules.get(m.name or "") if m is not None else None
    if rule is None or m is None or m.value is None:
        return None, ()
    if not is_entitled(row.source, m.scope, rule.sources, rule.scopes):
        return UNENTITLED, ()
    value = parse_number(m.value)
    if value is None:
        return None, ()
    if not _is_possible(rule, row, value, draft.territory):
        return TO_CONFIRM, ()
    if rule.step_per_hour is None:
        return None, ()
    return _judge_step(draft, row, rule, value)


def _is_possible(
    rule: ref.MeasureRule, row: ReportRow, value: float, territory: TerritoryIndex
) -> bool:
    if (rule.low is not None and value < rule.low) or (rule.high is not None and value > rule.high):
        return False
    most = _get_maximum(rule, row, territory)
    return most is None or value <= most


def _get_maximum(rule: ref.MeasureRule, row: ReportRow, territory: TerritoryIndex) -> float | None:
    if rule.at_most == "value_of" and row.measure is not None:
        return row.measure.value_of
    site = territory.sites.get(get_site(row) or "") if rule.at_most == "desks" else None
    return float(max(site.desks, site.places)) if site is not None else None


def _judge_step(
    draft: AlertsDecision, row: ReportRow, rule: ref.MeasureRule, value: float
) -> tuple[str | None, tuple[str, ...]]:
    """Hold a value that is too far from the last one, until a second reading is near it."""
    last = draft.state.readings.get(f"{rule.name}|{get_measured_place(row)}")
    if last is None or _is_near(rule, value, row.occurred_at, last.value, last.occurred_at):
        return None, ()
    same = tuple(
        one.id
        for one in _list_waiting_reports(draft, row, rule)
        if _is_agreeing(rule, one, row, value)
    )
    return (None, same) if same else (TO_CONFIRM, ())


def _list_waiting_reports(
    draft: AlertsDecision, row: ReportRow, rule: ref.MeasureRule
) -> Iterator[ReportRow]:
    """Yield the confirmed reports at this place that wait for a second reading.

    Their values of this measure are possible ones.
    """
    for task in list_open_tasks(draft, "verify_report"):
        report = draft.state.reports.get(task.report or "")
        if (
            report is None
            or TO_CONFIRM not in report.flags
            or report.held is None
            or report.held.measure is None
        ):
            continue
        measure, value = report.held.measure, parse_number(report.held.measure.value)
        possible = value is not None and _is_possible(
            rule, copy_with(report, {"measure": measure}), value, draft.territory
        )
        if (
            possible
            and measure.name == rule.name
            and get_measured_place(report) == get_measured_place(row)
            and report.confirmation == "confirmed"
        ):
            yield report


def _is_agreeing(
    rule: ref.MeasureRule, waiting_report: ReportRow, row: ReportRow, value: float
) -> bool:
    reading = (
        parse_number(waiting_report.held.measure.value)
        if waiting_report.held is not None and waiting_report.held.measure is not None
        else None
    )
    return reading is not None and _is_near(
        rule, value, row.occurred_at, reading, waiting_report.occurred_at
    )


def _is_near(
    rule: ref.MeasureRule, value: float, at: Instant, other: float, other_at: Instant
) -> bool:
    """Return whether two values differ by at most the step per hour.

    Readings less than an hour apart may differ by one step.
    """
    assert rule.step_per_hour is not None
    hours = max(abs(at - other_at) / HOUR_MS, 1.0)
    return abs(value - other) <= rule.step_per_hour * hours + 1e-9


def _hold_measure(row: ReportRow, flag: str) -> ReportRow:
    """Hold the value of a measure; its object, scope and unit stay, as the report's subject."""
    assert row.measure is not None
    about = copy_with(row.measure, {"name": None, "value": None, "value_of": None})
    if row.measure.name in _TIME_MEASURES:
        return _record_held_part(
            row,
            flag,
            Held(measure=row.measure, expected_end=row.expected_end),
            measure=about,
            expected_end=None,
        )
    return _record_held_part(row, flag, Held(measure=row.measure), measure=about)


def _record_held_part(row: ReportRow, flag: str, held_parts: Held, **values: object) -> ReportRow:
    if row.held is not None:
        parts = {
            name: part
            for name in Held.model_fields
            if (part := getattr(held_parts, name)) is not None
        }
        held_parts = copy_with(row.held, parts)
    flags = row.flags if flag in row.flags else (*row.flags, flag)
    return copy_with(row, {"held": held_parts, "flags": flags, **values})


def is_service_wide(row: ReportRow, territory: TerritoryIndex) -> bool:
    """Return whether a report is about a system itself: from no site, or from a computer room.

    A report from an unknown site is not. Rule D8, unknown sites.
    """
    site = get_site(row)
    return (site is None and not is_placeless(row)) or territory.kind(site) == "datacenter"


def _is_systemwide_outage(row: ReportRow, territory: TerritoryIndex) -> bool:
    return (
        row.type in _OUTAGES
        and bool(list_named(row, "system:"))
        and is_service_wide(row, territory)
    )


def _can_declare_colour(draft: AlertsDecision, row: ReportRow) -> bool:
    """Return whether the source gives the phenomenon's colours, or repeats the one in force."""
    measures = draft.territory.measures
    if row.type is not EventType.WEATHER_ALERT or measures is None or not measures.vigilances:
        return True
    if row.source in _list_colour_sources(measures, row.phenomenon):
        return True
    in_force = draft.state.flags.get(f"vigilance:{row.phenomenon}")
    return row.source in measures.relays and in_force is not None and in_force.value == row.colour


def is_publisher_of_colour(row: ReportRow, territory: TerritoryIndex) -> bool:
    """Return whether the source of a report is the publisher of the phenomenon's colours."""
    rules = territory.measures.vigilances if territory.measures is not None else ()
    return any(row.phenomenon in r.phenomena and row.source in r.sources for r in rules)


def _list_colour_sources(measures: ref.MeasureRules, phenomenon: str | None) -> frozenset[str]:
    """Return the sources of the phenomenon's colours; all sources of colours if it has no rule."""
    its_own = [rule for rule in measures.vigilances if phenomenon in rule.phenomena]
    return frozenset(source for rule in its_own or measures.vigilances for source in rule.sources)


def _has_unentitled_duration(row: ReportRow, territory: TerritoryIndex) -> bool:
    """Return whether a source reports a longer outage of a site than it is entitled to."""
    rule = territory.measures.long_outage if territory.measures else None
    if (
        rule is None
        or row.expected_end is None
        or row.type not in _CLOSING
        or row.source in rule.sources
    ):
        return False
    since = row.effective[0].start if row.effective else row.occurred_at
    return (
        territory.kind(get_site(row)) in rule.kinds
        and row.expected_end - since >= rule.hours * HOUR_MS
    )


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


def _is_heard_after_departure(draft: AlertsDecision, row: ReportRow) -> bool:
    """Return whether an order to shelter has the very time of the order to leave before it.

    The one heard of last stands. Rule D5, contradictions.
    """
    departure = draft.state.departures.get(row.site or "")
    return (
        row.type is EventType.SHELTER_IN_PLACE
        and departure is not None
        and departure[0] == row.occurred_at
        and find_newest_end(draft, get_site(row), row.type) == departure
    )


def _is_danger_beside_lapse(draft: AlertsDecision, row: ReportRow, ended_at: Instant) -> bool:
    """Return whether a report tells of a danger that only a lapsed alert of others ended.

    An alert that its sender stopped to renew says nothing about what others saw. Rule D66, leases.
    """
    return endangers_people(row.type, row.severity) and any(
        lease.state == "lapsed"
        and lease.until == ended_at
        and lease.source_key != row.source_key
        and (alert := draft.state.reports[lease.claim]).type is row.type
        and alert.site == row.site
        for lease in draft.state.leases.values()
    )


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
        and not _is_heard_after_departure(draft, row)
        and not _is_danger_beside_lapse(draft, row, newest_end[0])
        and not is_ahead(row.effective, newest_end[0])
    ):
        return newest_end[0], NEWER_WORD
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
        stands = (
            last.lifted_by == DENIED + row.id  # a person confirms it now
            or find_withdrawal_by_others(draft, row) is not None
            or _is_danger_beside_lapse(draft, row, last.lifted_at)
        )
        if not stands and last.lifted_by != "end_of_day" and row.occurred_at < last.lifted_at:
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


def find_withdrawal_by_others(draft: AlertsDecision, row: ReportRow) -> ReportRow | None:
    """Return the report that ended the danger of an older report, but speaks for others alone.

    It is a Cancel of their own reports, or the report that a person denied. Rule D3, cancellations.
    """
    last = find_newest_cause(row, bool(row.effective), draft)
    if last is None or last.lifted_at is None or row.occurred_at >= last.lifted_at:
        return None
    if not is_withdrawn(last):
        return None
    _, _, id = (last.lifted_by or "").partition(":")
    withdrawal = draft.state.reports.get(id)
    return (
        withdrawal
        if withdrawal is not None
        and keeps_danger(withdrawal, row, draft.find_reports(last.reports), draft.territory)
        else None
    )


def may_withdraw(withdrawal: ReportRow, report: ReportRow, territory: TerritoryIndex) -> bool:
    """Return whether a Cancel takes a report back that it names.

    A danger to people is its sender's word: nobody else takes it back, except for an authority.
    Rule D3, cancellations.
    """
    return (
        report.confirmation not in ("confirmed", "unconfirmed")
        or not endangers_people(report.type, report.severity)
        or get_sender(report) == get_sender(withdrawal)
        or withdrawal.source in territory.authorities
    )


def keeps_danger(
    withdrawal: ReportRow,
    report: ReportRow,
    withdrawn: list[ReportRow],
    territory: TerritoryIndex,
) -> bool:
    """Return whether a report of danger to people holds beside a withdrawal of these reports.

    A source that takes back an own report speaks for nobody else; an authority that denies a report
    of others speaks of the danger itself. Rule D3, cancellations.
    """
    takes_back_own = any(get_sender(r) == get_sender(withdrawal) for r in withdrawn)
    return (
        endangers_people(report.type, report.severity)
        and is_confirmed(report)
        and not is_same_sender(report, withdrawal)
        and (takes_back_own or withdrawal.source not in territory.authorities)
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
