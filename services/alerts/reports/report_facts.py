"""What a report says, before it is judged (D1, D2, D6, D7, D9, D11): one row from one message, and questions about a row."""

from __future__ import annotations

from collections.abc import Container
from math import isfinite
from typing import Final

from schemas.alerts import ReportRow, Why
from schemas.base import HOUR_MS, Instant
from schemas.causes import Cause
from schemas.reports import ReportReceived, Window
from schemas.words import Certainty, EventType, MsgType, ReportState
from services.alerts.reference.calendar import instant_of
from services.alerts.reference.constants import (
    ALL_CLEAR,
    CALM,
    FUTURE_AFTER_MS,
    LATE_AFTER_MS,
    LEAVE,
)
from services.alerts.reference.territory import Territory

WITHDRAWN: Final = "withdrawn:"
"""A cause was lifted by the Cancel of this id."""
DENIED: Final = "denied:"
"""… because this report was denied."""


def row_of(report: ReportReceived, recorded_at: Instant, territory: Territory) -> ReportRow:
    """The report as recorded, with the flags of D7–D9; nothing is decided about it yet."""
    occurred_at, flags = (
        recorded_at if report.occurred_at is None else report.occurred_at,
        list[str](),
    )
    if recorded_at - occurred_at > LATE_AFTER_MS:
        flags.append("late")
    if occurred_at - recorded_at > FUTURE_AFTER_MS and not report.effective:
        flags.append("future")
        occurred_at = recorded_at
    if report.effective and not inside(report.effective, recorded_at):
        flags.append("planned")
    if report.site_id is not None and report.site_id not in territory.sites:
        flags.append("site_unknown")
    elif report.area is not None:
        flags.append("area_unknown")
    end = report.estimated_end
    if end is None and report.expected_duration_h is not None:
        end = _starts(report.effective, occurred_at) + int(report.expected_duration_h * HOUR_MS)
    return ReportRow(
        id=report.report_id,
        state=ReportState.APPLIED,
        flags=tuple(flags),
        confirmation=_confirmation(report.certainty),
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
        sites=_known(report.sites, territory),
        signature=report.signature,
        corrected_by=report.corrected_by,
        why=()
        if report.corrected_by is None
        else (Why(code="corrected", value=report.corrected_by),),
    )


def _known(sites: tuple[str, ...], territory: Territory) -> tuple[str, ...]:
    return tuple(s for s in sites if s in territory.sites)


def _confirmation(certainty: Certainty) -> str:
    return certainty.value


def _starts(windows: tuple[Window, ...], told: Instant) -> Instant:
    """What is announced lasts from its next window on, not from when it was told (D9)."""
    return (
        told
        if inside(windows, told)
        else min((w.start for w in windows if w.start > told), default=told)
    )


def all_over(windows: tuple[Window, ...], now: Instant) -> bool:
    """There were windows, and the last of them has ended."""
    return bool(windows) and all(w.end is not None and w.end <= now for w in windows)


def inside(windows: tuple[Window, ...], at: Instant) -> bool:
    """True if `at` lies in one of the windows; always without windows (D9)."""
    return not windows or any(w.start <= at and (w.end is None or at < w.end) for w in windows)


def began(cause: Cause, now: Instant) -> Instant:
    """A cause with windows began with the one it is in."""
    return max((w.start for w in cause.windows if w.start <= now), default=cause.since)


def site_of(row: ReportRow) -> str | None:
    """The known site that the report is about."""
    return None if row.site is None or "site_unknown" in row.flags else row.site


def is_placeless(row: ReportRow) -> bool:
    """It says a place that nobody has found yet (D8): it acts nowhere until a person links it."""
    return "site_unknown" in row.flags or "area_unknown" in row.flags


def communes_of(row: ReportRow, territory: Territory) -> tuple[str, ...]:
    """Communes that the report names, or that of its site."""
    if row.zone:
        return row.zone
    site = site_of(row)
    if site is not None:
        known = territory.sites.get(site)  # not one that the reference data have dropped since
        return (known.commune,) if known is not None else ()
    return (row.commune,) if row.commune else ()


def objects_of(row: ReportRow | Cause) -> tuple[str, ...]:
    """`system:x`, `road:y`, … that a report or a cause is about."""
    return (
        tuple(o for o in (row.measure.object or "").split("|") if o)
        if row.measure is not None
        else ()
    )


def named(row: ReportRow | Cause, prefix: str) -> tuple[str, ...]:
    """Names of the objects of one sort: `named(row, "system:")`."""
    return tuple(o.removeprefix(prefix) for o in objects_of(row) if o.startswith(prefix))


def services_of(row: ReportRow) -> tuple[str, ...]:
    """The systems and networks by name that the report is about."""
    return tuple(
        o for o in objects_of(row) if o.startswith(("system:", "network:")) and o != "system:*"
    )


def measure_name(row: ReportRow | Cause) -> str | None:
    return row.measure.name if row.measure is not None else None


def is_wide(row: ReportRow) -> bool:
    """A rate for more than one site (`kind:…`, `pole:…`, `zone:…`, `global`): it touches no site's status and is no site's word (D11).

    What holds in a zone (evacuees, customers) is no rate.
    """
    scope = row.measure.scope if row.measure is not None else None
    return scope is not None and scope != "site" and (not scope.startswith("zone") or is_rate(row))


def is_rate(row: ReportRow) -> bool:
    """It measures a share."""
    m = row.measure
    return m is not None and (m.unit == "%" or (m.name or "").endswith("_rate"))


def as_number(value: float | bool | str | None) -> float | None:
    """A measured value as a number; true is 1. None also for words that only a float knows (`nan`, `inf`): no log could hold them."""
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return None
        return number if isfinite(number) else None
    return None if value is None else float(value)


def absent_pct(cause: Cause) -> float:
    """Of a shortage of staff: the loss that it names, else the rate of absence that it measured; 0 to 100."""
    lost = cause.loss_pct
    if lost is None and cause.measure is not None and cause.measure.unit == "%":
        lost = as_number(cause.measure.value)
    return min(max(lost or 0.0, 0.0), 100.0)


def is_withdrawn(cause: Cause) -> bool:
    """Ended because what was said of it was cancelled or denied (D3, D6): it never held, and counts for nothing afterwards either."""
    return (cause.lifted_by or "").startswith((WITHDRAWN, DENIED))


def as_truth(value: float | bool | str | None) -> bool:
    """A measured value as true or false."""
    if isinstance(value, str):
        return value.strip().lower() in ("1", "true", "oui", "yes")
    return bool(value)


def says_restored(row: ReportRow) -> bool:
    """The operator's all-clear: no customer is cut any more (D20)."""
    return (
        row.measure is not None
        and row.measure.name == "customers_cut"
        and as_number(row.measure.value) == 0
    )


def takes_back(row: ReportRow, flags: Container[str]) -> bool:
    """It declares that something is not so any more, or that all is well: an isolation, a restriction, an order (§13, D3)."""
    m = row.measure
    return (
        m is not None
        and m.name in flags
        and m.value is not None
        and as_truth(m.value) is (m.name == ALL_CLEAR)
    )


def works_again(row: ReportRow) -> tuple[str, ...]:
    """Systems, networks and suppliers (`supplier:x`, a kitchen too) that the report says to work again (§3)."""
    m = row.measure
    if m is None:
        return ()
    all_served = (
        m.name == "colleges_served"
        and m.value_of is not None
        and (as_number(m.value) or 0.0) >= m.value_of
    )
    if row.type is EventType.REOPENING or all_served:
        return tuple(o for o in objects_of(row) if o.startswith("supplier:"))
    return services_of(row) if m.name == "system_restored" and as_truth(m.value) else ()


def as_instant(row: ReportRow) -> Instant | None:
    """The time that a report announces as the end: `estimated_end` as a field or as a measure."""
    if (
        row.measure is not None
        and row.measure.name == "estimated_end"
        and isinstance(row.measure.value, str)
    ):
        return instant_of(row.measure.value)
    return row.expected_end


def measured_place(row: ReportRow) -> str:
    """Where a measure was taken: the site, else the object, the scope or the commune."""
    m = row.measure
    return (
        row.site
        or (m.object if m and m.object else None)
        or (m.scope if m and m.scope else None)
        or row.commune
        or ""
    )


def awaits_its_value(row: ReportRow) -> bool:
    """A bulletin or a reading of which the value is held: it is nothing else, and counts for no severity (D76)."""
    return row.held is not None and row.type in (EventType.WEATHER_ALERT, EventType.FLOOD_LEVEL)


def is_confirmed(row: ReportRow) -> bool:
    return row.confirmation == "confirmed"


def stands(row: ReportRow) -> bool:
    """Neither replaced nor withdrawn (D3)."""
    return not {"superseded", "cancelled"}.intersection(row.flags)


def is_current(row: ReportRow) -> bool:
    """Confirmed, not withdrawn, and about now, not announced (D9)."""
    return row.confirmation == "confirmed" and not {"cancelled", "planned"}.intersection(row.flags)


def speaks_for_site(row: ReportRow) -> bool:
    """True if the report is a word of its site (D18): confirmed, about that site itself."""
    return row.confirmation == "confirmed" and site_of(row) is not None and not is_wide(row)


def orders_to_leave(row: ReportRow) -> bool:
    """An order to leave its site, in force: who was told to shelter there before is told so no more (§3)."""
    in_force = row.msg_type is not MsgType.CANCEL and "planned" not in row.flags
    return row.type in LEAVE and in_force and site_of(row) is not None and not is_wide(row)


def is_ill(row: ReportRow | Cause) -> bool:
    """It counts ill people."""
    return row.type is EventType.SANITARY_ALERT and measure_name(row) == "ill_persons"


def cause_key(claim: str, windowed: bool) -> str:
    """Which cause a claim is about: what acts only inside its windows and what holds until it is lifted are two (D9)."""
    return f"{claim}|windows" if windowed else claim


def is_ahead(windows: tuple[Window, ...], at: Instant) -> bool:
    """True for what is only announced at that time: no word on how things were then ends it."""
    return bool(windows) and all(at < w.start for w in windows)


def claim_key(row: ReportRow) -> str:
    """What a claim is about, for D4 and D6: place, type and measure. A supplier is a place, and a road, of which « closed » and « open » are two claims.
    Without any it is about itself alone.
    """
    place, measure = site_of(row), measure_name(row) or ""
    thing = (row.measure.object or "") if row.measure is not None else ""
    if (
        row.measure is not None
        and measure == "road_closed"
        and row.type is EventType.TRANSPORT_DISRUPTION
        and named(row, "road:")
    ):
        place, measure = thing, "road_closed" if as_truth(row.measure.value) else "road_open"
    elif place is None and thing.startswith("supplier:"):
        place = thing
    return f"{place}|{row.type.value}|{measure}" if place else f"report:{row.id}"


def says_calm(row: ReportRow) -> bool:
    """« Rien à signaler »: a confirmed word of the site that names nothing (D19)."""
    return (
        row.type is EventType.INFO
        and row.measure is None
        and row.severity <= CALM
        and speaks_for_site(row)
    )
