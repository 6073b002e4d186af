"""Hold declarations that a source may not make, and values beyond their bounds or step.

A person confirms a held value; a second reading confirms a jump. The report itself is always kept.
The held part is in `ReportRow.held`; rules that look for a measure, a colour or an end find none.
Rule D76, entitled sources.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from schemas import reference as ref
from schemas.alerts import Held, ReportRow
from schemas.base import HOUR_MS, Instant, copy_with
from schemas.words import EventType as T
from services.alerts.decision import AlertsDecision, list_open_tasks, open_task
from services.alerts.reference.territory import ORDER_TYPES, TerritoryIndex
from services.alerts.reports.report_facts import (
    get_measured_place,
    get_site,
    is_placeless,
    list_named,
    parse_number,
)

UNENTITLED: Final = "measure_unentitled"
TO_CONFIRM: Final = "to_confirm"
FLAGS: Final = frozenset({UNENTITLED, TO_CONFIRM})
CELL_ROLE: Final = "cellule_situation"
"""Role that is asked to confirm."""
_OUTAGES: Final = frozenset({T.OUTAGE_IT, T.OUTAGE_TELECOM})
_CLOSING: Final = frozenset({T.CLOSURE, *ORDER_TYPES, T.OUTAGE_POWER})
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
    if _is_scope_covered(rule, m.scope) and row.source not in rule.sources:
        return UNENTITLED, ()
    value = parse_number(m.value)
    if value is None:
        return None, ()
    if not _is_possible(rule, row, value, draft.territory):
        return TO_CONFIRM, ()
    if rule.step_per_hour is None:
        return None, ()
    return _judge_step(draft, row, rule, value)


def _is_scope_covered(rule: ref.MeasureRule, scope: str | None) -> bool:
    return not rule.scopes or (scope or "site").partition(":")[0] in rule.scopes


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
    if row.type is not T.WEATHER_ALERT or measures is None or not measures.vigilances:
        return True
    if row.source in _list_colour_sources(measures, row.phenomenon):
        return True
    in_force = draft.state.flags.get(f"vigilance:{row.phenomenon}")
    return row.source in measures.relays and in_force is not None and in_force.value == row.colour


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
