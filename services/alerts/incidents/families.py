# ruff: noqa: ARG001, ARG005  every family has the same signature
"""Families of incidents: the keys under which reports open or join one, and the reports absorbed.

`own_key` and `absorbs` look at one report and one incident; `correlation` decides which rule wins.
Rule D22, incident keys.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Final

from schemas.alerts import IncidentRow, ReportRow
from schemas.words import EventType as T
from services.alerts.decision import Draft
from services.alerts.reference import constants
from services.alerts.reference.calendar import day_of
from services.alerts.reports.report_facts import (
    as_truth,
    communes_of,
    is_ill,
    is_wide,
    measure_name,
    named,
    objects_of,
    site_of,
)

Key = tuple[str, str]
"""(family, key)"""


NO_NETWORK: Final = "water"
"""Key of a water incident without a named network."""


class Reach(IntEnum):
    """The distance between an incident and the reports that it absorbs: the nearest incident wins.

    Rule D23, site causes.
    """

    TERRITORY = 1
    AREA = 2
    SITE = 3


def own_key(row: ReportRow, draft: Draft) -> Key | None:
    """Return family and key of a report that has its own.

    Power has an empty key; `cluster_of` finds its cluster.
    """
    if (flagged := _by_flag(row)) is not None:
        return flagged
    make = _KEYS.get(row.type)
    return make(row, draft) if make else None


def _by_flag(row: ReportRow) -> Key | None:
    match measure_name(row):
        case "strike_notice" if row.measure is not None and as_truth(row.measure.value):
            return "strike", day_of(row.effective[0].start if row.effective else row.occurred_at)
        case "water_alert" | "water_restriction" if row.measure is not None and as_truth(
            row.measure.value
        ):
            return "water", _network(row)
    return None


def _network(row: ReportRow) -> str:
    return next(iter(named(row, "network:")), NO_NETWORK)


def _weather(row: ReportRow, draft: Draft) -> Key:
    phenomenon = row.phenomenon or "weather"
    return constants.PHENOMENON_KIND.get(phenomenon, "weather"), phenomenon


def _illness(row: ReportRow, draft: Draft) -> Key | None:
    kitchen = (
        _shared_kitchen(row, draft)
        if is_ill(row) and constants.HEAT_HAZARD not in objects_of(row)
        else None
    )
    return ("kitchen", kitchen) if kitchen is not None else None


def _shared_kitchen(row: ReportRow, draft: Draft) -> str | None:
    """Return the kitchen that serves the report's site and other sites."""
    known = draft.territory.sites.get(site_of(row) or "")
    return (
        known.kitchen if known is not None and known.kitchen in draft.territory.kitchens else None
    )


def _supplier(row: ReportRow, draft: Draft) -> Key | None:
    name = next(iter(named(row, "supplier:")), None) or _shared_kitchen(row, draft)
    return ("kitchen", name) if name is not None else None


def _it(row: ReportRow, draft: Draft) -> Key:
    systems = named(row, "system:") or named(row, "network:")
    if row.held is not None:
        systems = tuple(system for system in systems if system != "*")
    if "*" in systems or _isolated(draft):
        return "it", "*"
    return "it", systems[0] if systems else site_of(row) or row.commune or "it"


def _isolated(draft: Draft) -> bool:
    flag = draft.state.flags.get(f"flag:{constants.ISOLATION}")
    return flag is not None and flag.value is True


def _absence(row: ReportRow, draft: Draft) -> Key | None:
    if is_wide(row):
        return (
            ("absence", str(row.measure.scope))
            if measure_name(row) == "absence_rate" and row.measure is not None
            else None
        )
    kind = draft.territory.kind(site_of(row))
    return ("absence", f"kind:{kind}") if kind else None


def _gas(row: ReportRow, draft: Draft) -> Key:
    return "gas", next(iter(communes_of(row, draft.territory)), "gas")


def _fire(row: ReportRow, draft: Draft) -> Key:
    return "fire", site_of(row) or row.commune or "fire"


_KEYS: Final[dict[T, Callable[[ReportRow, Draft], Key | None]]] = {
    T.WEATHER_ALERT: _weather,
    T.FLOOD_LEVEL: lambda row, draft: ("flood", "crues"),
    T.OUTAGE_POWER: lambda row, draft: ("power", ""),
    T.OUTAGE_WATER: lambda row, draft: ("water", _network(row)),
    T.SUPPLIER_FAILURE: _supplier,
    T.SANITARY_ALERT: _illness,
    T.OUTAGE_IT: _it,
    T.OUTAGE_TELECOM: _it,
    T.SECURITY_INCIDENT: lambda row, draft: ("security", "territory"),
    T.GAS_LEAK: _gas,
    T.STAFF_SHORTAGE: _absence,
    T.FIRE: _fire,
}


def key_of_object(row: ReportRow, draft: Draft) -> Key | None:
    """Return family and key that the measure or object of an `info` names.

    Such a report never opens an incident, but may join one.
    """
    if measure_name(row) == "customers_cut":
        return "power", ""
    if measure_name(row) in ("water_alert", "water_restriction"):
        return "water", _network(row)
    if (supplier := next(iter(named(row, "supplier:")), None)) is not None:
        return "kitchen", supplier
    if named(row, "system:") or (
        named(row, "network:") and measure_name(row) in constants.RESTORED
    ):
        return _it(row, draft)
    if named(row, "station:"):
        return "flood", "crues"
    if named(row, "network:") and measure_name(row) == "estimated_end":
        return "power", ""
    return None


def cluster_of(row: ReportRow, draft: Draft, power: Sequence[IncidentRow]) -> IncidentRow | None:
    """Return the power incident that a cut joins: at most 60 min after its last cut, and near it.

    Near means in its communes or at most 3 km from a member. A cut on a member site joins at any
    time while the incident is open: the power may fail again when it returns.
    """
    site, communes = site_of(row), frozenset(communes_of(row, draft.territory))
    near = draft.territory.near(site) if site else frozenset[str]()
    if (
        site is not None
        and (its_own := next((i for i in power if site in i.members), None)) is not None
    ):
        return its_own
    for incident in power:
        if row.occurred_at > (incident.last_at or incident.opened_at) + constants.CLUSTER_MS:
            continue
        if row.occurred_at < incident.opened_at - constants.CLUSTER_MS:
            continue
        if (
            not communes.isdisjoint(incident.communes)
            or not near.isdisjoint(incident.members)
            or (not communes and site is None)
        ):
            return incident
    return None


def absorbs(incident: IncidentRow, row: ReportRow, draft: Draft) -> Reach | None:
    """Return how near an open incident is to a report that it absorbs; None if it does not.

    The report has no open incident of its own.
    """
    rule = _ABSORBS.get(incident.kind)
    return rule(incident, row, draft) if rule else None


def _flood(incident: IncidentRow, row: ReportRow, draft: Draft) -> Reach | None:
    if row.type is T.TRANSPORT_DISRUPTION:
        return Reach.TERRITORY
    if row.type is T.STAFF_SHORTAGE:
        return (
            Reach.TERRITORY
            if is_wide(row) and row.measure is not None and row.measure.scope == "global"
            else None
        )
    if row.type not in (*constants.CLOSURES, T.EVACUATION, T.DAMAGE_REPORT, T.OUTAGE_POWER):
        return None
    site, territory = site_of(row), draft.territory
    exposed = site in territory.flooded_from or not territory.flood_plan.isdisjoint(
        communes_of(row, territory)
    )
    if not exposed or (
        row.type is T.OUTAGE_POWER and river_level(draft) < constants.FLOODED_MAINS_M
    ):
        return None
    return Reach.TERRITORY


def river_level(draft: Draft) -> float:
    """Return the highest last reading of the rivers in metres; 0 without any."""
    rows = (r for i, r in draft.state.flags.items() if i.startswith("river:"))
    return max((float(r.value) for r in rows if not isinstance(r.value, str)), default=0.0)


def _heat(incident: IncidentRow, row: ReportRow, draft: Draft) -> Reach | None:
    hot = measure_name(row) == "room_temperature" or constants.HEAT_HAZARD in objects_of(row)
    return Reach.TERRITORY if hot or row.type in constants.CLOSURES else None


def _types(*types: T) -> Callable[[IncidentRow, ReportRow, Draft], Reach | None]:
    taken = frozenset(types)
    return lambda incident, row, draft: Reach.TERRITORY if row.type in taken else None


def _in_area(incident: IncidentRow, row: ReportRow, draft: Draft) -> bool:
    """Return whether a report is on a member site, or in a commune of the incident or its zone."""
    if (site := site_of(row)) is not None and site in incident.members:
        return True
    zone = draft.state.zones.get(incident.id)
    communes = (*incident.communes, *(zone.communes if zone else ()))
    return not frozenset(communes).isdisjoint(communes_of(row, draft.territory))


def _power(incident: IncidentRow, row: ReportRow, draft: Draft) -> Reach | None:
    if row.type is T.TRANSPORT_DISRUPTION:
        return (
            Reach.AREA
            if not communes_of(row, draft.territory) or _in_area(incident, row, draft)
            else None
        )
    if not _in_area(incident, row, draft):
        return None
    if row.type in (T.OUTAGE_IT, T.OUTAGE_TELECOM):
        return (
            Reach.AREA
            if row.occurred_at
            <= (incident.last_at or incident.opened_at) + constants.IT_BY_POWER_MS
            else None
        )
    cold = row.type is T.SANITARY_ALERT and measure_name(row) == constants.COLD_CHAIN
    return Reach.AREA if cold or row.type in (T.EVACUATION, T.HEADCOUNT) else None


def _water(incident: IncidentRow, row: ReportRow, draft: Draft) -> Reach | None:
    """Absorb illness in the incident's communes, and water cuts without a named network.

    Such a cut joins in its area, or anywhere if this is the only water incident.
    """
    if is_ill(row):
        return Reach.AREA if _in_area(incident, row, draft) else None
    if own_key(row, draft) is None or row.type is not T.OUTAGE_WATER:
        return None
    if _in_area(incident, row, draft):
        return Reach.AREA if not named(row, "network:") or incident.key == NO_NETWORK else None
    return Reach.TERRITORY if not named(row, "network:") else None


def _kitchen(incident: IncidentRow, row: ReportRow, draft: Draft) -> Reach | None:
    site = site_of(row)
    meals = row.type in constants.CLOSURES and row.affected_activities == (constants.MEALS,)
    return Reach.AREA if meals and site in draft.territory.kitchens.get(incident.key, ()) else None


def _security(incident: IncidentRow, row: ReportRow, draft: Draft) -> Reach | None:
    """Absorb fires and damage for 12 h after the last fact, closures and transport for 24 h.

    Damage and placed closures must be near.
    """
    after = row.occurred_at - (incident.last_at or incident.opened_at)
    match row.type:
        case T.FIRE:
            taken = after <= constants.FIRE_BY_SECURITY_MS
        case T.DAMAGE_REPORT:
            taken = after <= constants.FIRE_BY_SECURITY_MS and _is_near_security(
                incident, row, draft
            )
        case T.CLOSURE | T.PARTIAL_CLOSURE:
            placed = incident.communes and communes_of(row, draft.territory)
            taken = after <= constants.CLOSURE_BY_SECURITY_MS and (
                not placed or _is_near_security(incident, row, draft)
            )
        case T.TRANSPORT_DISRUPTION:
            taken = after <= constants.CLOSURE_BY_SECURITY_MS
        case _:
            taken = False
    return Reach.TERRITORY if taken else None


def _is_near_security(incident: IncidentRow, row: ReportRow, draft: Draft) -> bool:
    """Return whether a report is in a commune of the incident or within 4 km of one."""
    territory = draft.territory
    return territory.is_near(
        site_of(row), communes_of(row, territory), incident.communes, constants.SECURITY_KM
    )


def _gas_area(incident: IncidentRow, row: ReportRow, draft: Draft) -> Reach | None:
    taken = row.type in (
        T.EVACUATION,
        T.SHELTER_IN_PLACE,
        *constants.CLOSURES,
        T.OUTAGE_POWER,
        T.TRANSPORT_DISRUPTION,
        T.SUPPLIER_FAILURE,
    )
    return Reach.AREA if taken and incident.key in communes_of(row, draft.territory) else None


def _site(incident: IncidentRow, row: ReportRow, draft: Draft) -> Reach | None:
    site = site_of(row)
    if site is not None and site in incident.members:
        return Reach.SITE
    if (
        row.type in (T.OUTAGE_IT, T.OUTAGE_TELECOM, T.TRANSPORT_DISRUPTION)
        and incident.kind == "fire"
    ):
        soon = row.occurred_at <= incident.opened_at + constants.IT_BY_FIRE_MS
        return (
            Reach.AREA
            if soon
            and not frozenset(incident.communes).isdisjoint(communes_of(row, draft.territory))
            else None
        )
    return None


_ABSORBS: Final[dict[str, Callable[[IncidentRow, ReportRow, Draft], Reach | None]]] = {
    "flood": _flood,
    "heat": _heat,
    "snow": _types(
        T.OUTAGE_HEATING,
        T.TRANSPORT_DISRUPTION,
        T.STAFF_SHORTAGE,
        T.SUPPLIER_FAILURE,
        T.DAMAGE_REPORT,
        *constants.CLOSURES,
    ),
    "wind": _types(T.TRANSPORT_DISRUPTION, T.DAMAGE_REPORT, *constants.CLOSURES),
    "weather": _types(*constants.CLOSURES),
    "strike": _types(
        T.STAFF_SHORTAGE, T.TRANSPORT_DISRUPTION, T.SUPPLIER_FAILURE, *constants.CLOSURES
    ),
    "power": _power,
    "water": _water,
    "kitchen": _kitchen,
    "security": _security,
    "gas": _gas_area,
    "fire": _site,
    "site": _site,
}
