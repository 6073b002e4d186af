"""Read the facts of reports: build a row, answer questions about rows, merge the rows of a cause.

Nothing is judged here. Rules D1, D2, D4, D6, D7 and D9 to D11.
"""

from collections.abc import Container
from math import isfinite
from typing import Any, Final

from schemas.alerts import ReportRow, Why
from schemas.base import HOUR_MS, Instant, copy_with
from schemas.catalogue.event_types import endangers_people
from schemas.crisis.causes import Cause
from schemas.reports import Measure, ReportReceived, Window, lacks_place
from schemas.words import EventType, MsgType, ReportState
from services.alerts.reference.territory import (
    ALL_CLEAR_MEASURE,
    FUTURE_AFTER_MS,
    HEAT_HAZARD,
    LATE_AFTER_MS,
    LEAVE_ORDER_TYPES,
    MAX_PERSONS,
    MINOR_SEVERITY,
    TerritoryIndex,
    parse_instant,
)

WITHDRAWN: Final = "withdrawn:"
"""Prefix of `lifted_by` of a cause that the Cancel with the following id lifted."""
LEASE_DIALECT: Final = "lease"
"""Dialect of the report that ends a lapsed alert."""
DENIED: Final = "denied:"
"""Prefix of `lifted_by` of a cause that was lifted because that report was denied."""


def build_row(
    report: ReportReceived, recorded_at: Instant, territory: TerritoryIndex, *, follows: bool
) -> ReportRow:
    """Build the row of a report with its flags; nothing is decided yet. Rules D7 to D9.

    `follows`: it references a report with a known place.
    """
    occurred_at, flags = (
        recorded_at if report.occurred_at is None else report.occurred_at,
        list[str](),
    )
    if recorded_at - occurred_at > LATE_AFTER_MS:
        flags.append("late")
    if occurred_at - recorded_at > FUTURE_AFTER_MS and not report.effective:
        flags.append("future")
        occurred_at = recorded_at
    if report.effective and not is_inside(report.effective, recorded_at):
        flags.append("planned")
    if report.site_id is not None and report.site_id not in territory.sites:
        flags.append("site_unknown")
    elif report.area is not None:
        flags.append("area_unknown")
    elif (fault := _find_place_fault(report, territory, follows=follows)) is not None:
        flags.append(fault)
    end = report.estimated_end
    if end is None and report.expected_duration_h is not None:
        end = _find_start(report.effective, occurred_at) + int(report.expected_duration_h * HOUR_MS)
    return ReportRow(
        id=report.report_id,
        state=ReportState.APPLIED,
        flags=tuple(flags),
        confirmation=report.certainty.value,
        source=report.source,
        source_key=report.source_key,
        site=report.site_id,
        commune=report.commune,
        zone=report.zone,
        type=report.type,
        severity=report.severity,
        certainty=report.certainty,
        urgency=report.urgency,
        msg_type=report.msg_type,
        references=report.references,
        alias=report.alias,
        occurred_at=occurred_at,
        recorded_at=recorded_at,
        capacity_lost_pct=report.capacity_lost_pct,
        persons_concerned=report.persons_concerned,
        measure=report.measure,
        phenomenon=report.phenomenon,
        colour=report.colour,
        plan_hint=report.plan_hint,
        text_id=report.text_id,
        dialect=report.dialect,
        effective=report.effective,
        expected_end=end,
        lifts=report.lifts,
        affected_activities=report.affected_activities,
        labels=report.labels,
        sites=tuple(s for s in report.sites if s in territory.sites),
        signature=report.signature,
        corrected_by=report.corrected_by,
        why=()
        if report.corrected_by is None
        else (Why(code="corrected", value=report.corrected_by),),
    )


def _find_place_fault(
    report: ReportReceived, territory: TerritoryIndex, *, follows: bool
) -> str | None:
    """Return the flag of a report without a known place: a danger must have one. Rule D8.

    Other reports may be about the whole territory, or about a commune outside it.
    """
    if report.site_id is not None or report.sites:
        return None
    communes = report.zone or ((report.commune,) if report.commune else ())
    if communes:
        is_near = not territory.communes or any(c in territory.communes for c in communes)
        return None if is_near else "commune_unknown"
    things = (report.measure.object, report.measure.scope) if report.measure is not None else ()
    asks = lacks_place(
        report.type,
        report.severity,
        report.certainty,
        report.msg_type,
        places=things,
        references=report.references if follows else (),
    )
    return "place_missing" if asks else None


def _find_start(windows: tuple[Window, ...], reported_at: Instant) -> Instant:
    """Return the start of an announced event's duration: its next window.

    The time of the report does not matter. Rule D9, planned events.
    """
    return (
        reported_at
        if is_inside(windows, reported_at)
        else min((w.start for w in windows if w.start > reported_at), default=reported_at)
    )


def are_windows_over(windows: tuple[Window, ...], now: Instant) -> bool:
    """Return whether there are windows and all of them have ended."""
    return bool(windows) and all(w.end is not None and w.end <= now for w in windows)


def is_inside(windows: tuple[Window, ...], at: Instant) -> bool:
    """Return whether `at` lies in one of the windows; True without windows.

    Rule D9, planned events.
    """
    return not windows or any(w.start <= at and (w.end is None or at < w.end) for w in windows)


def find_start(cause: Cause, now: Instant) -> Instant:
    """Return the start of a cause: that of its current window, if it has windows."""
    return max((w.start for w in cause.windows if w.start <= now), default=cause.since)


def get_site(row: ReportRow) -> str | None:
    """Return the known site that the report is about."""
    return None if row.site is None or "site_unknown" in row.flags else row.site


def is_placeless(row: ReportRow) -> bool:
    """Return whether the report names a place that is still unknown.

    It has no effect until a person links it. Rule D8, unknown sites.
    """
    return "site_unknown" in row.flags or "area_unknown" in row.flags


PLACE_FLAGS: Final = frozenset({"site_unknown", "area_unknown", "place_missing", "commune_unknown"})
"""Flags of a report that a person may link to a site. Rule D8, unknown sites."""


def is_danger_without_place(row: ReportRow) -> bool:
    """Return whether people are in danger at a place that nobody can find. Rule D8.

    The report counts all the same, unlike one with a site or an area that is still unknown.
    """
    return not PLACE_FLAGS.isdisjoint(row.flags) and endangers_people(row.type, row.severity)


def list_communes(row: ReportRow, territory: TerritoryIndex) -> tuple[str, ...]:
    """Return the communes that the report names, or the one of its site."""
    if row.zone:
        return row.zone
    site = get_site(row)
    if site is not None:
        site_record = territory.sites.get(site)  # None if the reference data dropped it
        return (site_record.commune,) if site_record is not None else ()
    return (row.commune,) if row.commune else ()


def list_objects(row: ReportRow | Cause) -> tuple[str, ...]:
    """Return the objects of a report or a cause, such as `system:x` and `road:y`."""
    return (
        tuple(o for o in (row.measure.object or "").split("|") if o)
        if row.measure is not None
        else ()
    )


def list_named(row: ReportRow | Cause, prefix: str) -> tuple[str, ...]:
    """Return the names of the objects of one sort: `list_named(row, "system:")`."""
    return tuple(o.removeprefix(prefix) for o in list_objects(row) if o.startswith(prefix))


def list_services(row: ReportRow) -> tuple[str, ...]:
    """Return the systems and networks that the report names."""
    return tuple(
        o for o in list_objects(row) if o.startswith(("system:", "network:")) and o != "system:*"
    )


def get_measure_name(row: ReportRow | Cause) -> str | None:
    return row.measure.name if row.measure is not None else None


def is_wide(row: ReportRow) -> bool:
    """Return whether a report gives a rate for more than one site.

    Its scope is `kind:…`, `pole:…`, `zone:…` or `global`. It changes no site's status and is not a
    report of a site. Other values of a zone (evacuees, customers) are no rates. Rule D11, rates.
    """
    scope = row.measure.scope if row.measure is not None else None
    return scope is not None and scope != "site" and (not scope.startswith("zone") or is_rate(row))


def is_rate(row: ReportRow) -> bool:
    """Return whether the report measures a share."""
    m = row.measure
    return m is not None and (m.unit == "%" or (m.name or "").endswith("_rate"))


def parse_number(value: float | bool | str | None) -> float | None:
    """Return a measured value as a number; true is 1.

    The result is None for text that is not a number, and for `nan` and `inf`, which no log can
    hold.
    """
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return None
        return number if isfinite(number) else None
    return None if value is None else float(value)


def get_absent_pct(cause: Cause) -> float:
    """Return the absence of a staff shortage, 0 to 100: its loss, else its measured rate."""
    loss_pct = cause.loss_pct
    if loss_pct is None and cause.measure is not None and cause.measure.unit == "%":
        loss_pct = parse_number(cause.measure.value)
    return min(max(loss_pct or 0.0, 0.0), 100.0)


def is_withdrawn(cause: Cause) -> bool:
    """Return whether a cause ended because its reports were cancelled or denied.

    Such a cause never held and never counts. Rules D3 and D6.
    """
    return (cause.lifted_by or "").startswith((WITHDRAWN, DENIED))


def get_sender(row: ReportRow) -> str:
    """Return the key that sent a report, else its source."""
    return row.source_key or row.source


def is_same_sender(report: ReportRow, other: ReportRow) -> bool:
    """Return whether one source sent both reports under one key."""
    return (report.source, report.source_key) == (other.source, other.source_key)


def parse_truth(value: float | bool | str | None) -> bool:
    """Return a measured value as true or false."""
    if isinstance(value, str):
        return value.strip().lower() in ("1", "true", "oui", "yes")
    return bool(value)


def is_all_clear(row: ReportRow) -> bool:
    """Return whether the report is the operator's all-clear: no customer is cut any more.

    Rule D20, operator all-clear.
    """
    return (
        row.measure is not None
        and row.measure.name == "customers_cut"
        and parse_number(row.measure.value) == 0
    )


def is_revocation(row: ReportRow, flags: Container[str]) -> bool:
    """Return whether the report revokes a declaration: an isolation, a restriction or an order.

    The measure is false for a flag, and true for an all-clear. Rule D3, cancellations.
    """
    m = row.measure
    return (
        m is not None
        and m.name in flags
        and m.value is not None
        and parse_truth(m.value) is (m.name == ALL_CLEAR_MEASURE)
    )


def serves_all(row: ReportRow) -> bool:
    """Return whether a report says that a supplier serves all its colleges. Rule D40."""
    m = row.measure
    if m is None or get_measure_name(row) != "colleges_served" or not m.value_of:
        return False
    return (parse_number(m.value) or 0.0) >= m.value_of


def list_restored_things(row: ReportRow) -> tuple[str, ...]:
    """Return the systems, networks and suppliers that the report restores.

    A kitchen is a supplier, too (`supplier:x`).
    """
    m = row.measure
    if m is None:
        return ()
    if row.type is EventType.REOPENING or serves_all(row):
        return tuple(o for o in list_objects(row) if o.startswith("supplier:"))
    return list_services(row) if m.name == "system_restored" and parse_truth(m.value) else ()


def get_estimated_end(row: ReportRow) -> Instant | None:
    """Return the end that a report announces: `estimated_end` as a field or as a measure."""
    if (
        row.measure is not None
        and row.measure.name == "estimated_end"
        and isinstance(row.measure.value, str)
    ):
        return parse_instant(row.measure.value)
    return row.expected_end


def get_measured_place(row: ReportRow) -> str:
    """Return the place of a measure: the site, else the object, the scope or the commune."""
    m = row.measure
    return (
        row.site
        or (m.object if m and m.object else None)
        or (m.scope if m and m.scope else None)
        or row.commune
        or ""
    )


def is_value_held(row: ReportRow) -> bool:
    """Return whether a bulletin or river reading has its value held: it counts for no severity.

    Rule D76, entitled sources.
    """
    return row.held is not None and row.type in (EventType.WEATHER_ALERT, EventType.FLOOD_LEVEL)


def is_confirmed(row: ReportRow) -> bool:
    return row.confirmation == "confirmed"


def is_standing(row: ReportRow) -> bool:
    """Return whether a report is neither replaced nor withdrawn.

    Rule D3, updates and cancellations.
    """
    return not {"superseded", "cancelled"}.intersection(row.flags)


def is_lapse(row: ReportRow) -> bool:
    """Return whether a report is the end of an alert that its sender did not renew. Rule D66."""
    return row.dialect == LEASE_DIALECT


def is_current_word(row: ReportRow) -> bool:
    """Return whether a report withdraws none and was not withdrawn. Rule D3, cancellations."""
    return row.msg_type is not MsgType.CANCEL and "cancelled" not in row.flags


def is_current(row: ReportRow) -> bool:
    """Return whether a report is confirmed, not withdrawn, and about now.

    Rule D9, planned events.
    """
    return row.confirmation == "confirmed" and not {"cancelled", "planned"}.intersection(row.flags)


def is_site_report(row: ReportRow) -> bool:
    """Return whether the report is confirmed and about one site itself. Rule D18, silent sites."""
    return row.confirmation == "confirmed" and get_site(row) is not None and not is_wide(row)


def is_leave_order(row: ReportRow) -> bool:
    """Return whether the report is an order in force to leave its site.

    It ends an order to shelter.
    """
    in_force = row.msg_type is not MsgType.CANCEL and "planned" not in row.flags
    return (
        row.type in LEAVE_ORDER_TYPES
        and in_force
        and get_site(row) is not None
        and not is_wide(row)
    )


def is_ill(row: ReportRow | Cause) -> bool:
    """Return whether the report counts ill people."""
    return row.type is EventType.SANITARY_ALERT and get_measure_name(row) == "ill_persons"


def build_cause_key(claim: str, has_windows: bool) -> str:
    """Return the key of the cause that a claim key leads to.

    A cause that acts only inside its windows and one that holds until it is lifted are two causes.
    Rule D9, planned events.
    """
    return f"{claim}|windows" if has_windows else claim


def is_ahead(windows: tuple[Window, ...], at: Instant) -> bool:
    """Return whether the windows are all in the future at that time.

    No report on the situation at that time ends such an announcement.
    """
    return bool(windows) and all(at < w.start for w in windows)


def build_subject_key(row: ReportRow) -> str:
    """Return the subject of a report: place, type and measure.

    A supplier or a road can be the place; « closed » and « open » of a road are two subjects. A
    report without a place is about itself alone. Rules D4 and D6.
    """
    place, measure = get_site(row), get_measure_name(row) or ""
    thing = (row.measure.object or "") if row.measure is not None else ""
    if (
        row.measure is not None
        and measure == "road_closed"
        and row.type is EventType.TRANSPORT_DISRUPTION
        and list_named(row, "road:")
    ):
        place, measure = thing, "road_closed" if parse_truth(row.measure.value) else "road_open"
    elif place is None and thing.startswith("supplier:"):
        place = thing
    return f"{place}|{row.type.value}|{measure}" if place else f"report:{row.id}"


def is_calm_report(row: ReportRow) -> bool:
    """Return whether a site reports that all is well (« Rien à signaler »).

    That is a confirmed report of the site that names no trouble. Rule D19, end of silence.
    """
    return (
        row.type is EventType.INFO
        and row.measure is None
        and row.severity <= MINOR_SEVERITY
        and is_site_report(row)
    )


def is_daily(row: ReportRow) -> bool:
    """Return whether the report is about one day. Rule D10, day reports."""
    if row.effective or row.expected_end is not None:
        return False
    if row.type is EventType.STAFF_SHORTAGE:
        return True
    hot = get_measure_name(row) == "room_temperature" or HEAT_HAZARD in list_objects(row)
    return row.type is EventType.SANITARY_ALERT and hot


def count_persons(row: ReportRow) -> int | None:
    """Return the number of people in a report: those leaving an area, else those concerned."""
    if (
        get_measure_name(row) == "evacuees"
        and row.measure is not None
        and (n := parse_number(row.measure.value)) is not None
    ):
        return int(min(max(n, 0), MAX_PERSONS))
    return row.persons_concerned


# ── the values of several reports of one cause ────────────────────────────────────────────────────


def is_count_of_day(cause: Cause, row: ReportRow) -> bool:
    """Return whether the newest count of the day replaces the former one.

    Counts of ill people keep their maximum. Rule D10, day reports.
    """
    return cause.ends_at is not None and get_measure_name(row) != "ill_persons"


def merge_values(cause_values: dict[str, Any], rows: list[ReportRow]) -> dict[str, Any]:
    """Combine the values of a cause with those of reports, keeping the most severe. Rule D4."""
    for row in rows:
        cause_values = {
            "severity": max(cause_values["severity"], row.severity),
            "loss_pct": _find_maximum(cause_values["loss_pct"], row.capacity_lost_pct),
            "persons": _find_maximum(cause_values["persons"], count_persons(row)),
            "measure": _choose_greater_measure(cause_values["measure"], row.measure),
        }
    return cause_values


def unite_windows(a: tuple[Window, ...], b: tuple[Window, ...]) -> tuple[Window, ...]:
    """Return the windows of both, by their beginning."""
    return tuple(sorted({*a, *b}, key=lambda w: (w.start, w.end is None, w.end or 0)))


def _find_maximum(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else max(a, b)


def _choose_greater_measure(a: Measure | None, b: Measure | None) -> Measure | None:
    """Return the greater of two measures.

    Several counts of ill people give their maximum, never their sum. Rule D10, day reports.
    """
    if a is None or b is None:
        return a or b
    x, y = parse_number(a.value), parse_number(b.value)
    return b if x is None or (y is not None and y > x) else a


def rebuild_cause(cause: Cause, rows: list[ReportRow]) -> Cause:
    """Return the cause rebuilt from these of its reports, which are in ascending order."""
    counted_reports = rows[-1:] if is_count_of_day(cause, rows[-1]) else rows
    ids, sources = {r.id for r in rows}, {r.source for r in rows}
    values: dict[str, Any] = {
        "since": rows[0].occurred_at,
        "last_at": rows[-1].occurred_at,
        "reports": tuple(id for id in cause.reports if id in ids),
        "sources": tuple(source for source in cause.sources if source in sources),
    }
    return copy_with(
        cause,
        values
        | merge_values(
            {"severity": 0, "loss_pct": None, "persons": None, "measure": None}, counted_reports
        ),
    )
