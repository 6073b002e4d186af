"""What authorities and operators declare: vigilance, river, roads, systems, kitchens, true/false flags (§13, D3, D7).

The newest word by `occurred_at` stands; an older one changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from schemas.alerts import FlagChanged, FlagRow, ReportRow
from schemas.base import Instant
from schemas.words import EventType as T
from services.alerts.causes import end_supplier_failures, end_system_outages
from services.alerts.claims import as_number, as_truth, measure_name, named, site_of
from services.alerts.draft import Draft
from services.alerts.rules import CLOSED_BY_POWER_PCT, TRANSIT_RUNS, TRANSIT_STOPS
from services.alerts.territory import flag_of_supplier
from services.alerts.values import changed

Value = bool | float | str
_DOWN_PCT: Final = CLOSED_BY_POWER_PCT
"""A system that lost so much is down, not degraded."""
_AT_ONCE: Final = ("vigilance:", "flag:", "river:")
"""A declaration is in force when it is made, whatever period it speaks of; a failure that is announced begins later (D9)."""


def declare(draft: Draft, row: ReportRow, incident: str | None) -> None:
    """Take what a confirmed report declares beyond its own site; nothing while nobody knows whether it is about this territory."""
    if "area_unknown" in row.flags:
        return
    for id, value in _declared(draft, row):
        _put(draft, id, value, row, incident)
    _restore(draft, row)


def _declared(draft: Draft, row: ReportRow) -> Iterator[tuple[str, Value]]:
    name, m = measure_name(row), row.measure
    if row.type is T.WEATHER_ALERT and row.phenomenon and row.colour:
        yield f"vigilance:{row.phenomenon}", row.colour
    if m is not None and name == "river_level" and (level := as_number(m.value)) is not None:
        for station in named(row, "station:"):
            yield f"river:{station}", level
    if m is not None and name in draft.state.rules.flag_names:
        yield f"flag:{name}", as_truth(m.value)
    if m is not None and name == "road_closed":
        for road in named(row, "road:"):
            yield f"road:{road}", as_truth(m.value)
    yield from _dependencies(draft, row)


def _dependencies(draft: Draft, row: ReportRow) -> Iterator[tuple[str, Value]]:
    """Systems, networks, kitchens and suppliers: down, degraded, up, or the share that is served."""
    name, m = measure_name(row), row.measure
    if row.type is T.TRANSPORT_DISRUPTION and _is_the_network(row):
        if row.severity >= TRANSIT_STOPS:
            yield "network:transit", "down"
        elif row.severity <= TRANSIT_RUNS:
            yield "network:transit", "up"
    for supplier in named(row, "supplier:"):
        id = flag_of_supplier(supplier, draft.territory)
        if row.type is T.SUPPLIER_FAILURE:
            lost = 100.0 if row.capacity_lost_pct is None else row.capacity_lost_pct
            yield id, "down" if lost >= 100 else 100.0 - lost
        elif m is not None and name == "colleges_served" and m.value_of and (served := as_number(m.value)) is not None:
            yield id, "up" if served >= m.value_of else round(100 * served / m.value_of, 1)
        elif row.type is T.REOPENING:
            yield id, "up"
    for system in named(row, "system:"):
        if system == "*":
            continue
        if name in ("system_restored", "system_healthy"):
            yield f"system:{system}", "up" if m is not None and as_truth(m.value) else "down"
        elif row.type in (T.OUTAGE_IT, T.OUTAGE_TELECOM) and _is_service_wide(draft, row):
            yield f"system:{system}", "down" if (row.capacity_lost_pct or 0.0) >= _DOWN_PCT else "degraded"
    for network in named(row, "network:"):
        if m is not None and name == "customers_cut" and (cut := as_number(m.value)) is not None:
            yield f"network:{network}", "down" if cut > 0 else "up"
        elif row.type in (T.OUTAGE_IT, T.OUTAGE_TELECOM, T.OUTAGE_WATER):
            yield f"network:{network}", "down" if (row.capacity_lost_pct or 0.0) >= _DOWN_PCT else "degraded"


def _is_the_network(row: ReportRow) -> bool:
    """About trains and buses of the territory, not about a road or a place."""
    return site_of(row) is None and row.commune is None and not row.zone and not named(row, "road:")


def _is_service_wide(draft: Draft, row: ReportRow) -> bool:
    """A report about a system itself, not about one office that misses it: from no site, or from a computer room."""
    site = site_of(row)
    return site is None or draft.territory.kind(site) == "datacenter"


def _put(draft: Draft, id: str, value: Value, row: ReportRow, incident: str | None) -> None:
    old = draft.state.flags.get(id)
    if old is not None and row.occurred_at < old.since:
        return
    starts = row.effective[0].start if row.effective and not id.startswith(_AT_ONCE) else None
    effective_from: Instant | None = starts if starts is not None and starts > draft.now else None
    planned = draft.state.hushed.get(row.id) == "maintenance"
    if old is not None and (old.value, old.effective_from) == (value, effective_from):
        if row.id in old.reports or len(old.reports) >= 5:
            return
        draft.emit(FlagChanged(row=changed(old, {"reports": (*old.reports, row.id), "maintenance": old.maintenance and planned})))
        return
    if old is not None and id.startswith("river:"):
        incident = incident or old.incident
    draft.emit(FlagChanged(row=FlagRow(
        id=id, value=value, since=row.occurred_at, effective_from=effective_from, incident=incident, reports=(row.id,), maintenance=planned,
    )))  # fmt: skip


def _restore(draft: Draft, row: ReportRow) -> None:
    """Restorations end the causes that they name."""
    m, name = row.measure, measure_name(row)
    if m is None:
        return
    if name == "system_restored" and as_truth(m.value):
        end_system_outages(draft, named(row, "system:"), row)
    if name == "colleges_served" and m.value_of and (as_number(m.value) or 0.0) >= m.value_of:
        for supplier in named(row, "supplier:"):
            end_supplier_failures(draft, supplier, row)


def begin(draft: Draft, id: str) -> None:
    """What was announced is in force now."""
    row = draft.state.flags[id]
    draft.emit(FlagChanged(row=changed(row, {"effective_from": None})))
