"""Values that a report declares: the flags it sets, each with its value."""

from collections.abc import Iterator
from typing import Final

from schemas.alerts import ReportRow
from schemas.words import EventType as T
from schemas.words import MsgType
from services.alerts.decision import AlertsDecision
from services.alerts.declarations.yellow_vigilance import YELLOW
from services.alerts.reference.territory import (
    CLOSED_BY_POWER_PCT,
    COLOURS,
    RESTORATION_MEASURES,
    RESTORED_MEASURE,
    TRANSIT_RUNS,
    TRANSIT_STOPS,
    build_supplier_flag,
)
from services.alerts.reports.judgement import is_publisher_of_colour, is_service_wide
from services.alerts.reports.report_facts import (
    get_measure_name,
    get_site,
    is_revocation,
    list_named,
    list_objects,
    list_services,
    parse_number,
    parse_truth,
)

FlagValue = bool | float | str
_DOWN_PCT: Final = CLOSED_BY_POWER_PCT
"""Loss from which a system is down, not degraded."""
_DEPENDENCY_MEASURES: Final = ("colleges_served", "customers_cut", *RESTORATION_MEASURES)
"""Measures that state a dependency by themselves, also in a Cancel. Rule D3."""


def list_declarations(draft: AlertsDecision, row: ReportRow) -> Iterator[tuple[str, FlagValue]]:
    """Yield each flag that a report sets, with the value that it declares."""
    name, m = get_measure_name(row), row.measure
    if row.phenomenon and row.colour and _declares_colour(draft, row):
        yield f"vigilance:{row.phenomenon}", row.colour
    if m is not None and name == "river_level" and (level := parse_number(m.value)) is not None:
        for station in list_named(row, "station:"):
            yield f"river:{station}", level
    if m is not None and name == "river_forecast" and isinstance(m.value, str):
        for station in list_named(row, "station:"):
            yield f"forecast:{station}", "" if row.msg_type is MsgType.CANCEL else m.value
    if m is not None and name in draft.state.rules.flag_names:
        yield f"flag:{name}", parse_truth(m.value)
    if m is not None and name in draft.state.rules.value_names and _is_about_territory(row):
        value = None if row.msg_type is MsgType.CANCEL else parse_number(m.value)
        yield f"measure:{name}", "" if value is None else value
    if m is not None and name == "road_closed":
        for road in list_named(row, "road:"):
            yield f"road:{road}", parse_truth(m.value)
    if row.msg_type is not MsgType.CANCEL:
        yield from _list_dependency_states(draft, row)
    elif m is not None and name in _DEPENDENCY_MEASURES:
        yield from (
            declaration
            for declaration in _list_dependency_states(draft, row)
            if m.value is not None
        )


def _declares_colour(draft: AlertsDecision, row: ReportRow) -> bool:
    """Return whether the colour of a report is a vigilance: a bulletin, or yellow of its publisher.

    The feeds publish yellow, and its end, as information that calls nobody. Rules D72 and D120.
    """
    if row.type is T.WEATHER_ALERT:
        return True
    return (
        row.type is T.INFO
        and row.colour in COLOURS[: COLOURS.index(YELLOW) + 1]
        and is_publisher_of_colour(row, draft.territory)
    )


def _is_about_territory(row: ReportRow) -> bool:
    """Return whether a measure is a present figure of the territory, not of one of its sites."""
    return row.site is None and not row.sites and not row.effective


def _list_dependency_states(
    draft: AlertsDecision, row: ReportRow
) -> Iterator[tuple[str, FlagValue]]:
    """Yield the state of systems, networks, kitchens and suppliers.

    A state is down, degraded, up, or the share that is served.
    """
    name, m = get_measure_name(row), row.measure
    if is_revocation(row, draft.state.rules.flag_names):
        return
    if (transit := _get_transit_state(draft, row)) is not None:
        yield "network:transit", transit
    for supplier in list_named(row, "supplier:"):
        id = build_supplier_flag(supplier, draft.territory)
        if row.type is T.SUPPLIER_FAILURE:
            loss_pct = 100.0 if row.capacity_lost_pct is None else row.capacity_lost_pct
            served_pct = _get_served_pct(row)
            if served_pct is None and supplier not in draft.territory.kitchens:
                served_pct = _get_fed_pct(draft, row)
            all_lost = "down" if served_pct is None else served_pct
            yield id, all_lost if loss_pct >= 100 else 100.0 - loss_pct
        elif (served_pct := _get_served_pct(row)) is not None:
            yield id, "up" if served_pct >= 100 else served_pct
        elif row.type is T.REOPENING:
            yield id, "up"
    if m is not None and name in RESTORATION_MEASURES:
        is_up = parse_truth(m.value)
        if name == RESTORED_MEASURE or not is_up:
            yield from ((thing, "up" if is_up else "down") for thing in list_services(row))
        return
    for system in list_named(row, "system:"):
        if (
            system != "*"
            and row.type in (T.OUTAGE_IT, T.OUTAGE_TELECOM)
            and is_service_wide(row, draft.territory)
            and row.held is None
        ):
            yield (
                f"system:{system}",
                "down" if (row.capacity_lost_pct or 0.0) >= _DOWN_PCT else "degraded",
            )
    for network in list_named(row, "network:"):
        if (
            m is not None
            and name == "customers_cut"
            and (customers := parse_number(m.value)) is not None
        ):
            yield f"network:{network}", "down" if customers > 0 else "up"
        elif row.type in (T.OUTAGE_IT, T.OUTAGE_TELECOM, T.OUTAGE_WATER):
            yield (
                f"network:{network}",
                "down" if (row.capacity_lost_pct or 0.0) >= _DOWN_PCT else "degraded",
            )


def _get_served_pct(row: ReportRow) -> float | None:
    """Return the share of the sites of a supplier that it serves, in per cent; None if not said."""
    m = row.measure
    if m is None or get_measure_name(row) != "colleges_served" or not m.value_of:
        return None
    served = parse_number(m.value)
    return None if served is None else round(100 * min(served / m.value_of, 1), 1)


def _get_fed_pct(draft: AlertsDecision, row: ReportRow) -> float | None:
    """Return the share of the sites with a kitchen that still get meals, in per cent.

    None: the report does not say how many get none. Rules D13 and D40.
    """
    fed_sites = draft.territory.fed_sites
    if row.measure is None or get_measure_name(row) != "sites_not_delivered" or not fed_sites:
        return None
    missing = parse_number(row.measure.value)
    return None if missing is None else round(100 * max(fed_sites - missing, 0) / fed_sites, 1)


def _get_transit_state(draft: AlertsDecision, row: ReportRow) -> str | None:
    """Return whether a report says that public transport stops or runs again; None if neither."""
    if not _is_about_transit(row):
        return None
    if row.type is T.TRANSPORT_DISRUPTION and row.severity >= TRANSIT_STOPS:
        return "down"
    runs = row.type is T.TRANSPORT_DISRUPTION and row.severity <= TRANSIT_RUNS
    reopens = row.type is T.REOPENING and T.TRANSPORT_DISRUPTION in row.lifts and row.held is None
    return "up" if (runs or reopens) and _has_same_objects(draft, row) else None


def _is_about_transit(row: ReportRow) -> bool:
    """Return whether a report is about public transport as a whole, not about a road or a place."""
    return (
        get_site(row) is None
        and row.commune is None
        and not row.zone
        and not list_named(row, "road:")
    )


def _has_same_objects(draft: AlertsDecision, row: ReportRow) -> bool:
    """Return whether a report is about the same object as one that set transit to down.

    Only such a report sets it up again. Rule D76, entitled sources.
    """
    flag = draft.state.flags.get("network:transit")
    return flag is not None and any(
        list_objects(report) == list_objects(row) for report in draft.find_reports(flag.reports)
    )
