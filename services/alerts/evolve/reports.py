"""Indexes of reports: aliases, severities, open questions, readings."""

from collections.abc import Sequence
from typing import Final, TypeVar

from schemas.alerts import ReportRead, ReportRow
from schemas.base import DAY_MS, Instant, copy_with
from schemas.topics import is_live
from schemas.words import EventType, MsgType, ReportState
from services.alerts.deadlines import HistoryDue, IndexDecayed, ReportDue
from services.alerts.reference.territory import (
    CAUSE_TYPES,
    CAUSELESS_TYPES,
    CONFIRMABLE_TYPES,
    LEAVE_ORDER_TYPES,
    REPORT_MEMORY_MS,
    SILENT_REPORT_TYPES,
    find_end_of_day,
    format_day,
)
from services.alerts.reports.report_facts import (
    build_subject_key,
    get_measure_name,
    get_measured_place,
    is_calm_report,
    is_leave_order,
    is_value_held,
    is_wide,
    list_restored_things,
    parse_number,
)
from services.alerts.rows import Changes, MeasureReading, Severities, SuppressionReason
from services.alerts.state import State, insert_sorted, remove_key, remove_sorted
from services.runtime.decider.maps import Map, set_or_drop

_K = TypeVar("_K")
KEPT_RETURNS: Final = 50
"""Most restorations kept per thing; a report older than all of them ends at the first one left."""
_KEPT_FORECASTS: Final = 31
_NO_SEVERITIES: Final[Map[str, tuple[int, str]]] = Map()
_FIGURES: Final = frozenset({"absence_rate", "customers_cut", "forecast_absence"})
"""Measures that speak of the day that they name, also when it has come."""
_NOT_COUNTING_FLAGS: Final = frozenset({"cancelled", "superseded", "planned"})


def is_counting(s: State, row: ReportRow) -> bool:
    """Return whether the report counts for severities: it stands, and is no planned work.

    Rule D64.
    """
    return is_standing(row) and s.hushed.get(row.id) != "maintenance"


def is_standing(row: ReportRow) -> bool:
    """Return whether a report is confirmed, current, in an incident, not cancelled or replaced.

    Rule D3, updates and cancellations.
    """
    return (
        row.confirmation == "confirmed"
        and row.incident is not None
        and row.type not in SILENT_REPORT_TYPES
        and row.msg_type is not MsgType.CANCEL
        and row.state in (ReportState.APPLIED, ReportState.DUPLICATE)
        and not _NOT_COUNTING_FLAGS.intersection(row.flags)
        and not is_value_held(row)
    )


def _is_open_question(row: ReportRow) -> bool:
    return (
        row.confirmation in ("unconfirmed", "rumour")
        and row.state is ReportState.APPLIED
        and "superseded" not in row.flags
    )


def evolve_report(s: State, row: ReportRow) -> State:
    old = s.reports.get(row.id)
    d: Changes = {"reports": s.reports.set(row.id, row)}
    if old is None and row.alias is not None:
        d["aliases"] = _index_aliases(s, row)
    if old is None and row.msg_type is not MsgType.ALERT and row.references:
        d["referrers"] = _index_referrers(s, d["reports"], row)
    if s.forget_at is None and is_live(s.realm):
        d["forget_at"] = row.recorded_at + REPORT_MEMORY_MS + DAY_MS
        d["agenda"] = s.agenda.arm(HistoryDue(), d["forget_at"])
    if row.effective and (row.type in CAUSELESS_TYPES or _is_announced_warning(row)):
        d["agenda"] = d.get("agenda", s.agenda).arm(ReportDue(row.id), _find_start(row))
    if (old.incident if old else None) != row.incident:
        d["incident_reports"] = _move_report(
            s.incident_reports, row.id, old.incident if old else None, row.incident
        )
    was_figure, is_figure = (
        one is not None and get_measure_name(one) == "customers_cut" for one in (old, row)
    )
    if is_figure and (not was_figure or (old.incident if old else None) != row.incident):
        d["figures"] = _move_report(s.figures, row.id, old.incident if old else None, row.incident)
    if is_counting(s, row) and (
        old is None or old.incident == row.incident or not is_counting(s, old)
    ):
        d["severities"] = _raise_severities(s, row)
    elif old is not None and is_counting(s, old):
        reports = d.get("incident_reports", s.incident_reports)
        if (
            is_counting(s, row)
            and (heir := s.incidents.get(old.incident or "")) is not None
            and heir.merged_into is not None
        ):
            others = s.severities
            for query in tuple(others):
                others = _set_worst(others, query, str(old.incident), None)
            d["severities"] = _raise_severities(s.put(severities=others), row)
        elif old.incident == row.incident and row.incident is not None:
            d["severities"] = _lower_severities(s, d["reports"], row)
        else:
            d["severities"] = recount_severities(
                s, d["reports"], reports, {i for i in (old.incident, row.incident) if i}
            )
    hush = s.hushed.get(row.id)
    if (
        voices := update_voices(update_voices(s.voices, old, hush, -1), row, hush, 1)
    ) is not s.voices:
        d["voices"] = voices
    _update_questions(s, d, old, row)
    if old is None or not _is_effective(old):
        d |= (
            _index_report(s.put(agenda=d["agenda"]) if "agenda" in d else s, row)
            if _is_effective(row)
            else {}
        )
    elif (_has_indexed_content(old) or _has_indexed_content(row)) and (
        not _is_effective(row) or _build_content(old) != _build_content(row)
    ):
        d |= _rebuild_report_indexes(s, d["reports"])
    return s.put(**d)


def evolve_read_report(s: State, fact: ReportRead) -> State:
    """Note when the cell first read a report. Nothing else depends on it."""
    row = s.reports.get(fact.row.id)
    if row is None:
        return s
    return s.put(reports=s.reports.set(row.id, copy_with(row, {"read_at": fact.row.read_at})))


def _is_announced_warning(row: ReportRow) -> bool:
    """Return whether an information speaks of its incident, by more than a figure of a day.

    Otherwise a warning or a restriction that was announced would never begin. Rule D9.
    """
    return (
        row.type is EventType.INFO
        and row.incident is not None
        and get_measure_name(row) not in _FIGURES
    )


def _find_start(row: ReportRow) -> Instant | None:
    """Return when an announced report without a cause becomes current: its next window. Rule D9.

    A cause arms its own deadline.
    """
    if row.confirmation != "confirmed" or _NOT_COUNTING_FLAGS.intersection(row.flags) != {
        "planned"
    }:
        return None
    return min((w.start for w in row.effective if w.start > row.recorded_at), default=None)


def update_voices(
    voices: Map[str, tuple[int, int, int]],
    row: ReportRow | None,
    hush: SuppressionReason | None,
    step: int,
) -> Map[str, tuple[int, int, int]]:
    """Add or remove a report in the voices of its incident (`step` is 1 or -1)."""
    if row is None or row.incident is None or not is_standing(row):
        return voices
    counts = list(voices.get(row.incident, (0, 0, 0)))
    counts[{None: 0, "maintenance": 1, "inhibited": 2}[hush]] += step
    active_count, covered_count, inhibited_count = counts
    return (
        voices.set(row.incident, (active_count, covered_count, inhibited_count))
        if any(counts)
        else voices.delete(row.incident)
    )


def _is_effective(row: ReportRow) -> bool:
    """Return whether the measure, reopening or order of a report stands."""
    return row.confirmation == "confirmed" and "cancelled" not in row.flags


def _build_content(row: ReportRow) -> tuple[object, ...]:
    return row.site, row.measure, row.occurred_at, row.lifts, "planned" in row.flags


def _has_indexed_content(row: ReportRow) -> bool:
    """Return whether a report has content that `_index_report` keeps."""
    return (
        row.measure is not None
        or row.type is EventType.REOPENING
        or row.type in LEAVE_ORDER_TYPES
        or is_calm_report(row)
    )


def _index_report(s: State, row: ReportRow) -> Changes:
    d: Changes = {}
    if (
        row.type is EventType.REOPENING
        and row.site is not None
        and row.lifts
        and "planned" not in row.flags
        and row.held is None
    ):
        d["reopenings"] = _keep_newest(
            s.reopenings, row, [f"{row.site}|{type_.value}" for type_ in row.lifts]
        )
    if row.site is not None and is_leave_order(row):
        d["departures"] = _keep_newest(s.departures, row, [row.site])
    if "planned" not in row.flags and (things := list_restored_things(row)):
        word = (row.occurred_at, row.source, row.id)
        d["returns"] = s.returns.update(
            {
                thing: tuple(sorted((*s.returns.get(thing, ()), word))[-KEPT_RETURNS:])
                for thing in things
            }
        )
    if row.measure is not None and row.measure.name is not None:
        _index_measure(s, d, row)
    if (
        row.site is not None
        and is_calm_report(row)
        and row.occurred_at > s.calm.get(row.site, row.occurred_at - 1)
    ):
        d["calm"] = s.calm.set(row.site, row.occurred_at)
    return d


def _rebuild_report_indexes(s: State, reports: Map[str, ReportRow]) -> Changes:
    """Rebuild the indexes of `_index_report` from all reports.

    Needed after one was withdrawn, linked to a site, or became current, which is rare.
    """
    names = ("reopenings", "departures", "returns", "readings", "absences", "forecasts", "calm")
    blank = s.put(**dict.fromkeys(names, Map()))
    rows = (row for row in reports.values() if _is_effective(row) and _has_indexed_content(row))
    for row in sorted(rows, key=build_arrival_key):
        blank = blank.put(**_index_report(blank, row))
    return {name: getattr(blank, name) for name in names}


def _index_aliases(s: State, row: ReportRow) -> Map[str, str]:
    aliases = s.aliases
    for key in (str(row.alias), f"{row.source_key or row.source}|{row.alias}"):
        first = aliases.get(key)
        if first is None or build_arrival_key(row) < build_arrival_key(s.reports[first]):
            aliases = aliases.set(key, row.id)
    return aliases


def _index_referrers(s: State, reports: Map[str, ReportRow], row: ReportRow) -> Map[str, str]:
    """Index an Update or a Cancel by the names in it: these reports may come after it."""
    referrers = s.referrers
    for reference in row.references:
        key = build_referrer_key(row.msg_type, row, reference)
        newest = reports.get(referrers.get(key, ""))
        if newest is None or (newest.occurred_at, newest.id) < (row.occurred_at, row.id):
            referrers = referrers.set(key, row.id)
    return referrers


def build_referrer_key(kind: MsgType, row: ReportRow, name: str) -> str:
    """Return the key of the messages in which the sender of a report uses a name."""
    return f"{kind.value}|{row.source_key or row.source}|{name}"


def build_arrival_key(row: ReportRow) -> tuple[Instant, str]:
    return row.recorded_at, row.id


def _move_report(
    index: Map[_K, Map[str, None]], report: str, before: _K | None, after: _K | None
) -> Map[_K, Map[str, None]]:
    if before is not None and before in index:
        remaining_reports = remove_key(index[before], report)
        index = index.set(before, remaining_reports) if remaining_reports else index.delete(before)
    if after is not None:
        index = index.set(after, index.get(after, Map()).set(report, None))
    return index


def _set_worst(
    severities: Severities, query: int, incident: str, worst: tuple[int, str] | None
) -> Severities:
    """Set or remove the worst report of an incident for one query."""
    of_query = severities.get(query, _NO_SEVERITIES)
    of_query = remove_key(of_query, incident) if worst is None else of_query.set(incident, worst)
    return severities.set(query, of_query) if of_query else remove_key(severities, query)


def _raise_severities(s: State, row: ReportRow) -> Severities:
    severities, incident = s.severities, str(row.incident)
    kind = s.territory.kind(row.site)
    for n, query in enumerate(s.rules.severity_queries):
        worst = severities.get(n, _NO_SEVERITIES).get(incident)
        if (
            worst is None
            or row.severity > worst[0]
            or (row.severity == worst[0] and row.id < worst[1])
        ) and query.takes(row, kind):
            severities = _set_worst(severities, n, incident, (row.severity, row.id))
    return severities


def _lower_severities(s: State, reports: Map[str, ReportRow], row: ReportRow) -> Severities:
    """Recount severities where this report was the worst and counts less now.

    A monitor replaces its report every minute, so other queries are left alone.
    """
    severities, incident = s.severities, str(row.incident)
    worst = [
        n
        for n in range(len(s.rules.severity_queries))
        if severities.get(n, _NO_SEVERITIES).get(incident, (0, ""))[1] == row.id
    ]
    if not worst:
        return severities
    return recount_severities(s, reports, s.incident_reports, {incident}, worst)


def recount_severities(
    s: State,
    reports: Map[str, ReportRow],
    index: Map[str, Map[str, None]],
    incidents: set[str],
    queries: Sequence[int] | None = None,
) -> Severities:
    """Recount the severities of incidents by walking over their reports.

    Needed after a cancellation, a split or a merge, which are rare.
    """
    severities = s.severities
    for incident in incidents:
        for n, query in enumerate(s.rules.severity_queries):
            if queries is not None and n not in queries:
                continue
            rows = [
                r
                for r in (reports[i] for i in index.get(incident, ()))
                if is_counting(s, r) and query.takes(r, s.territory.kind(r.site))
            ]
            worst = min(rows, key=lambda r: (-r.severity, r.id), default=None)
            pair = None if worst is None else (worst.severity, worst.id)
            severities = _set_worst(severities, n, incident, pair)
    return severities


def _update_questions(s: State, d: Changes, old: ReportRow | None, row: ReportRow) -> None:
    """Update the reports that wait for a second source, and sites with unconfirmed reports.

    Rule D6.
    """
    was_question, asks = old is not None and _is_open_question(old), _is_open_question(row)
    if asks:
        if s.rumours.get(row.id) != row.severity:
            d["rumours"] = s.rumours.set(row.id, row.severity)
    elif was_question:
        d["rumours"] = remove_key(s.rumours, row.id)
    before, after = _find_rumour_severity(old), _find_rumour_severity(row)
    if before != after:
        d["rumour_severities"] = _move_report(s.rumour_severities, row.id, before, after)
    d["pending"] = _move_key(s.pending, row.id, _find_waiting_key(old), _find_waiting_key(row))
    d["doubts"] = _move_key(s.doubts, row.id, _find_doubted_site(old), _find_doubted_site(row))


def _find_rumour_severity(row: ReportRow | None) -> int | None:
    """Return the severity of a rumour, or of an unconfirmed `info` without a site.

    Other unconfirmed reports are events. Rule D6, rumours.
    """
    if row is None or not _is_open_question(row):
        return None
    is_rumour = row.confirmation == "rumour" or (row.type is EventType.INFO and row.site is None)
    return row.severity if is_rumour else None


def _find_waiting_key(row: ReportRow | None) -> str | None:
    """Return the claim key of a report that waits for a second source."""
    return (
        build_subject_key(row)
        if row is not None and _is_open_question(row) and row.type in CONFIRMABLE_TYPES
        else None
    )


def _find_doubted_site(row: ReportRow | None) -> str | None:
    """Return the site that an unconfirmed report is about."""
    if (
        row is None
        or row.confirmation != "unconfirmed"
        or not _is_open_question(row)
        or row.type not in CAUSE_TYPES
    ):
        return None
    return row.site


def _move_key(
    index: Map[str, tuple[str, ...]], id: str, before: str | None, after: str | None
) -> Map[str, tuple[str, ...]]:
    if before != after and before is not None:
        index = set_or_drop(index, before, remove_sorted(index.get(before, ()), id))
    return index if after is None else index.set(after, insert_sorted(index.get(after, ()), id))


def _keep_newest(
    index: Map[str, tuple[Instant, str]], row: ReportRow, keys: list[str]
) -> Map[str, tuple[Instant, str]]:
    """Set the report under these keys where it is the newest."""
    candidate = (row.occurred_at, row.source)
    for key in keys:
        newest = index.get(key)
        if newest is None or newest < candidate:
            index = index.set(key, candidate)
    return index


def _index_forecast(s: State, d: Changes, row: ReportRow, rate: float) -> None:
    """Keep the newest announced absence rate of a day.

    It is over after that day; a report without a day means the next one.
    """
    assert row.measure is not None
    scope, until = str(row.measure.scope), _find_announced_end(row)
    rates = {forecast[0]: forecast for forecast in s.forecasts.get(scope, ())}
    if until not in rates or rates[until][1] <= row.occurred_at:
        rates[until] = (until, row.occurred_at, rate)
        d["forecasts"] = s.forecasts.set(
            scope, tuple(rates[k] for k in sorted(rates)[-_KEPT_FORECASTS:])
        )
        if until > row.recorded_at:
            d["agenda"] = d.get("agenda", s.agenda).arm(IndexDecayed("forecasts", until), until)


def _find_announced_end(row: ReportRow) -> Instant:
    ends = [w.end if w.end is not None else find_end_of_day(w.start) for w in row.effective]
    return max(ends) if ends else find_end_of_day(find_end_of_day(row.occurred_at))


def _index_measure(s: State, d: Changes, row: ReportRow) -> None:
    assert row.measure is not None
    value, name = parse_number(row.measure.value), str(row.measure.name)
    if value is None:
        return
    if is_wide(row) and (
        name == "forecast_absence" or (name == "absence_rate" and "planned" in row.flags)
    ):
        _index_forecast(s, d, row, value)
        return
    if name == "absence_rate" and is_wide(row):
        scope = str(row.measure.scope)
        day = format_day(row.occurred_at)
        rates = {reading[0]: reading for reading in s.absences.get(scope, ())}
        if day not in rates or rates[day][2] <= row.occurred_at:
            rates[day] = (day, value, row.occurred_at)
            d["absences"] = s.absences.set(scope, tuple(rates[k] for k in sorted(rates)[-31:]))
        return
    if name == "customers_cut" and "planned" in row.flags:
        return
    key = f"{name}|{get_measured_place(row)}"
    reading = s.readings.get(key)
    if reading is None or (reading.occurred_at, reading.report) <= (row.occurred_at, row.id):
        d["readings"] = s.readings.set(
            key, MeasureReading(value, row.measure.value_of, row.occurred_at, row.id)
        )
