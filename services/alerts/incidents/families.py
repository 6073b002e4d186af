# ruff: noqa: ARG001, ARG005  every family has the same signature
"""Families of incidents: the keys under which reports open or join one, and the reports absorbed.

`find_own_key` and `find_proximity` look at one report and one incident; `correlation` decides which
rule wins. Rule D22, incident keys.
"""

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Final

from schemas.alerts import IncidentRow, ReportRow
from schemas.base import Instant
from schemas.words import EventType as T
from services.alerts.decision import AlertsDecision
from services.alerts.reference.territory import (
    ATTACK_FLAGS,
    CLOSURE_BY_SECURITY_MS,
    CLOSURE_TYPES,
    CLUSTER_MS,
    COLD_CHAIN_MEASURE,
    FIRE_BY_SECURITY_MS,
    FLOODED_MAINS_M,
    HEAT_HAZARD,
    ISOLATION_FLAG,
    IT_BY_ATTACK_MS,
    IT_BY_FIRE_MS,
    IT_BY_POWER_MS,
    MEALS_ACTIVITY,
    PHENOMENON_KIND,
    RESTORATION_MEASURES,
    SECURITY_KM,
    format_day,
)
from services.alerts.reports.report_facts import (
    get_measure_name,
    get_site,
    is_confirmed,
    is_current_word,
    is_ill,
    is_wide,
    list_communes,
    list_named,
    list_objects,
    parse_truth,
)

IncidentKey = tuple[str, str]
"""(family, key)"""


SPLIT_PREFIX: Final = "split:"
"""Begin of the key of an incident that a person split off."""
UNKNOWN_NETWORK: Final = "water"
"""Key of a water incident without a named network."""


class Proximity(IntEnum):
    """The distance between an incident and the reports that it absorbs: the nearest incident wins.

    Rule D23, site causes.
    """

    TERRITORY = 1
    AREA = 2
    SITE = 3


def build_fallback_key(row: ReportRow, draft: AlertsDecision) -> IncidentKey:
    """Return `site:<id>`; without a known site a key of its commune, its object or its type."""
    site = get_site(row)
    if site is not None:
        return "site", f"site:{site}"
    communes = list_communes(row, draft.territory)
    if communes:
        return "site", f"commune:{communes[0]}"
    thing = row.measure.object if row.measure is not None else None
    return "site", thing or f"territory:{row.type.value}"


def find_own_key(row: ReportRow, draft: AlertsDecision) -> IncidentKey | None:
    """Return family and key of a report that has its own.

    Power has an empty key; `find_cluster` finds its cluster.
    """
    if (flag_key := _build_flag_key(row)) is not None:
        return flag_key
    make = _KEY_BUILDERS.get(row.type)
    return make(row, draft) if make else None


def _build_flag_key(row: ReportRow) -> IncidentKey | None:
    match get_measure_name(row):
        case "strike_notice" if row.measure is not None and parse_truth(row.measure.value):
            return "strike", _find_day(row)
        case "water_alert" | "water_restriction" if row.measure is not None and parse_truth(
            row.measure.value
        ):
            return "water", _get_network(row)
    return None


def _get_network(row: ReportRow) -> str:
    return next(iter(list_named(row, "network:")), UNKNOWN_NETWORK)


def _build_weather_key(row: ReportRow, draft: AlertsDecision) -> IncidentKey:
    phenomenon = row.phenomenon or "weather"
    return PHENOMENON_KIND.get(phenomenon, "weather"), phenomenon


def _build_illness_key(row: ReportRow, draft: AlertsDecision) -> IncidentKey | None:
    kitchen = (
        _find_shared_kitchen(row, draft)
        if is_ill(row) and HEAT_HAZARD not in list_objects(row)
        else None
    )
    return ("kitchen", kitchen) if kitchen is not None else None


def _find_shared_kitchen(row: ReportRow, draft: AlertsDecision) -> str | None:
    """Return the kitchen that serves the report's site and other sites."""
    site = draft.territory.sites.get(get_site(row) or "")
    return site.kitchen if site is not None and site.kitchen in draft.territory.kitchens else None


def _build_supplier_key(row: ReportRow, draft: AlertsDecision) -> IncidentKey | None:
    name = next(iter(list_named(row, "supplier:")), None) or _find_shared_kitchen(row, draft)
    return ("kitchen", name) if name is not None else None


def _build_it_key(row: ReportRow, draft: AlertsDecision) -> IncidentKey:
    systems = list_named(row, "system:") or list_named(row, "network:")
    if row.held is not None:
        systems = tuple(system for system in systems if system != "*")
    if "*" in systems or _is_isolation(row) or _is_isolated(draft):
        return "it", "*"
    return "it", systems[0] if systems else get_site(row) or row.commune or "it"


def names_system(row: ReportRow) -> bool:
    """Return whether a report on IT names a system or a network."""
    return bool(list_named(row, "system:") or list_named(row, "network:"))


def is_attack_report(row: ReportRow) -> bool:
    """Return whether a confirmed report tells of a cyberattack."""
    return (
        row.measure is not None
        and row.measure.name in ATTACK_FLAGS
        and parse_truth(row.measure.value)
        and is_confirmed(row)
        and is_current_word(row)
    )


def list_attack_times(incident: IncidentRow, draft: AlertsDecision) -> list[Instant]:
    """Return when the reports of a cyberattack in an incident occurred; none without an attack."""
    reports = draft.find_reports(draft.state.incident_reports.get(incident.id, ()))
    return [report.occurred_at for report in reports if is_attack_report(report)]


def _absorb_in_it(incident: IncidentRow, row: ReportRow, draft: AlertsDecision) -> Proximity | None:
    """Absorb outages without a named system in a cyberattack; other systems are apart."""
    if row.type is not T.OUTAGE_IT or names_system(row):
        return None
    attacks = list_attack_times(incident, draft)
    is_its_time = bool(attacks) and row.occurred_at >= min(attacks) - IT_BY_ATTACK_MS
    return Proximity.TERRITORY if is_its_time else None


def _is_isolation(row: ReportRow) -> bool:
    """Return whether the report declares the total isolation, with or without named systems."""
    return (
        get_measure_name(row) == ISOLATION_FLAG
        and row.measure is not None
        and parse_truth(row.measure.value)
    )


def _is_isolated(draft: AlertsDecision) -> bool:
    flag = draft.state.flags.get(f"flag:{ISOLATION_FLAG}")
    return flag is not None and flag.value is True


def _build_absence_key(row: ReportRow, draft: AlertsDecision) -> IncidentKey | None:
    if is_wide(row):
        return (
            ("absence", str(row.measure.scope))
            if get_measure_name(row) == "absence_rate" and row.measure is not None
            else None
        )
    kind = draft.territory.kind(get_site(row))
    return ("absence", f"kind:{kind}") if kind else None


def _build_gas_key(row: ReportRow, draft: AlertsDecision) -> IncidentKey:
    return "gas", next(iter(list_communes(row, draft.territory)), "gas")


def _build_fire_key(row: ReportRow, draft: AlertsDecision) -> IncidentKey:
    return "fire", get_site(row) or row.commune or "fire"


_KEY_BUILDERS: Final[dict[T, Callable[[ReportRow, AlertsDecision], IncidentKey | None]]] = {
    T.WEATHER_ALERT: _build_weather_key,
    T.FLOOD_LEVEL: lambda row, draft: ("flood", "crues"),
    T.OUTAGE_POWER: lambda row, draft: ("power", ""),
    T.OUTAGE_WATER: lambda row, draft: ("water", _get_network(row)),
    T.SUPPLIER_FAILURE: _build_supplier_key,
    T.SANITARY_ALERT: _build_illness_key,
    T.OUTAGE_IT: _build_it_key,
    T.OUTAGE_TELECOM: _build_it_key,
    T.SECURITY_INCIDENT: lambda row, draft: ("security", "territory"),
    T.GAS_LEAK: _build_gas_key,
    T.STAFF_SHORTAGE: _build_absence_key,
    T.FIRE: _build_fire_key,
}


def find_object_key(row: ReportRow, draft: AlertsDecision) -> IncidentKey | None:
    """Return family and key that the measure or object of an `info` names.

    Such a report never opens an incident, but may join one.
    """
    if get_measure_name(row) == "customers_cut":
        return "power", ""
    if get_measure_name(row) in ("water_alert", "water_restriction"):
        return "water", _get_network(row)
    if (supplier := next(iter(list_named(row, "supplier:")), None)) is not None:
        return "kitchen", supplier
    if list_named(row, "system:") or (
        list_named(row, "network:") and get_measure_name(row) in RESTORATION_MEASURES
    ):
        return _build_it_key(row, draft)
    if list_named(row, "station:"):
        return "flood", "crues"
    if list_named(row, "network:") and get_measure_name(row) == "estimated_end":
        return "power", ""
    return None


def find_cluster(
    row: ReportRow, draft: AlertsDecision, power: Sequence[IncidentRow]
) -> IncidentRow | None:
    """Return the power incident that a cut joins: at most 60 min after its last cut, and near it.

    Near means in its communes or at most 3 km from a member. A cut on a member site joins at any
    time while the incident is open: the power may fail again when it returns.
    """
    site = get_site(row)
    if (
        site is not None
        and (its_own := next((i for i in power if site in i.members), None)) is not None
    ):
        return its_own
    return next((i for i in power if is_near_cluster(row, draft, i)), None)


def is_in_cluster(row: ReportRow, draft: AlertsDecision, incident: IncidentRow) -> bool:
    """Return whether a cut is on a member site of a power incident, or near the incident."""
    return get_site(row) in incident.members or is_near_cluster(row, draft, incident)


def is_near_cluster(row: ReportRow, draft: AlertsDecision, incident: IncidentRow) -> bool:
    """Return whether a cut is near a power incident, in time and place."""
    site, communes = get_site(row), frozenset(list_communes(row, draft.territory))
    near = draft.territory.near(site) if site else frozenset[str]()
    if row.occurred_at > (incident.last_at or incident.opened_at) + CLUSTER_MS:
        return False
    if row.occurred_at < incident.opened_at - CLUSTER_MS:
        return False
    return (
        not communes.isdisjoint(incident.communes)
        or not near.isdisjoint(incident.members)
        or (not communes and site is None)
    )


def find_proximity(
    incident: IncidentRow, row: ReportRow, draft: AlertsDecision
) -> Proximity | None:
    """Return how near an open incident is to a report that it absorbs; None if it does not.

    The report has no open incident of its own.
    """
    rule = _ABSORPTION_RULES.get(incident.kind)
    return rule(incident, row, draft) if rule else None


def _absorb_in_flood(
    incident: IncidentRow, row: ReportRow, draft: AlertsDecision
) -> Proximity | None:
    if row.type is T.TRANSPORT_DISRUPTION:
        return Proximity.TERRITORY
    if row.type is T.STAFF_SHORTAGE:
        return (
            Proximity.TERRITORY
            if is_wide(row) and row.measure is not None and row.measure.scope == "global"
            else None
        )
    if row.type not in (*CLOSURE_TYPES, T.EVACUATION, T.DAMAGE_REPORT, T.OUTAGE_POWER):
        return None
    site, territory = get_site(row), draft.territory
    is_exposed = site in territory.flooded_from or not territory.flood_plan.isdisjoint(
        list_communes(row, territory)
    )
    if not is_exposed or (row.type is T.OUTAGE_POWER and get_river_level(draft) < FLOODED_MAINS_M):
        return None
    return Proximity.TERRITORY


def get_river_level(draft: AlertsDecision) -> float:
    """Return the highest last reading of the rivers in metres; 0 without any."""
    rows = (r for i, r in draft.state.flags.items() if i.startswith("river:"))
    return max((float(r.value) for r in rows if not isinstance(r.value, str)), default=0.0)


def _absorb_in_heat(
    incident: IncidentRow, row: ReportRow, draft: AlertsDecision
) -> Proximity | None:
    hot = get_measure_name(row) == "room_temperature" or HEAT_HAZARD in list_objects(row)
    return Proximity.TERRITORY if hot or row.type in CLOSURE_TYPES else None


def _absorb_types(
    *types: T,
) -> Callable[[IncidentRow, ReportRow, AlertsDecision], Proximity | None]:
    absorbed_types = frozenset(types)
    return lambda incident, row, draft: Proximity.TERRITORY if row.type in absorbed_types else None


def _is_in_area(incident: IncidentRow, row: ReportRow, draft: AlertsDecision) -> bool:
    """Return whether a report is on a member site, or in a commune of the incident or its zone."""
    if (site := get_site(row)) is not None and site in incident.members:
        return True
    zone = draft.state.zones.get(incident.id)
    communes = (*incident.communes, *(zone.communes if zone else ()))
    return not frozenset(communes).isdisjoint(list_communes(row, draft.territory))


def _absorb_in_power(
    incident: IncidentRow, row: ReportRow, draft: AlertsDecision
) -> Proximity | None:
    if row.type is T.TRANSPORT_DISRUPTION:
        return (
            Proximity.AREA
            if not list_communes(row, draft.territory) or _is_in_area(incident, row, draft)
            else None
        )
    if not _is_at_member_or_in_zone(incident, row, draft):
        return None
    if row.type in (T.OUTAGE_IT, T.OUTAGE_TELECOM):
        return (
            Proximity.AREA
            if row.occurred_at <= (incident.last_at or incident.opened_at) + IT_BY_POWER_MS
            else None
        )
    cold = row.type is T.SANITARY_ALERT and get_measure_name(row) == COLD_CHAIN_MEASURE
    return Proximity.AREA if cold or row.type in (T.EVACUATION, T.HEADCOUNT) else None


def _is_at_member_or_in_zone(incident: IncidentRow, row: ReportRow, draft: AlertsDecision) -> bool:
    """Return whether a report is on a member site, or in a commune that the cut itself names.

    The communes are those of the zone and of reports of the operator. One site without power is no
    zone: people do not leave a commune for it, and its telephones do not fail with it. Rules D18
    and D22.
    """
    if (site := get_site(row)) is not None and site in incident.members:
        return True
    communes = frozenset(list_communes(row, draft.territory))
    zone = draft.state.zones.get(incident.id)
    if zone is not None and not communes.isdisjoint(zone.communes):
        return True
    if row.type is T.EVACUATION and site is None:
        return False
    reports = draft.find_reports(draft.state.incident_reports.get(incident.id, ()))
    return any(
        cut.type is T.OUTAGE_POWER
        and get_site(cut) is None
        and is_confirmed(cut)
        and not communes.isdisjoint(list_communes(cut, draft.territory))
        for cut in reports
    )


def _absorb_in_water(
    incident: IncidentRow, row: ReportRow, draft: AlertsDecision
) -> Proximity | None:
    """Absorb illness in the incident's communes, and trouble of a network that either leaves open.

    A cut without a named network joins in its area, or anywhere if this is the only water incident;
    so does the first report that names the network, whichever of both comes first.
    """
    if is_ill(row):
        return Proximity.AREA if _is_in_area(incident, row, draft) else None
    key = find_own_key(row, draft)
    if key is None or key[0] != "water" or UNKNOWN_NETWORK not in (key[1], incident.key):
        return None
    if _is_in_area(incident, row, draft):
        return Proximity.AREA
    is_only = sum(i.kind == "water" for i in draft.incidents(draft.open_incidents)) == 1
    return Proximity.TERRITORY if is_only else None


def _absorb_in_strike(
    incident: IncidentRow, row: ReportRow, draft: AlertsDecision
) -> Proximity | None:
    """Absorb reports of the days of the strike; those of other days call as usual."""
    is_absorbed = row.type in (
        T.STAFF_SHORTAGE,
        T.TRANSPORT_DISRUPTION,
        T.SUPPLIER_FAILURE,
        *CLOSURE_TYPES,
    ) and _is_strike_day(incident, _find_day(row), draft)
    return Proximity.TERRITORY if is_absorbed else None


def _find_day(row: ReportRow) -> str:
    """Return the day of a report: that of its announced begin, else that on which it happened."""
    return format_day(row.effective[0].start if row.effective else row.occurred_at)


def _is_strike_day(incident: IncidentRow, day: str, draft: AlertsDecision) -> bool:
    """Return whether the notices of a strike name this day.

    A notice without a period, or without an end, names all days from its own on.
    """
    if day == incident.key:
        return True
    flag = draft.state.flags.get("flag:strike_notice")
    notices = [
        notice
        for notice in draft.find_reports(flag.reports if flag is not None else ())
        if draft.resolve_incident(notice.incident) == incident.id
    ]
    if any(not notice.effective for notice in notices):
        return day > incident.key
    return any(
        format_day(window.start) <= day
        and (window.end is None or day <= format_day(window.end - 1))
        for notice in notices
        for window in notice.effective
    )


def _absorb_in_kitchen(
    incident: IncidentRow, row: ReportRow, draft: AlertsDecision
) -> Proximity | None:
    site = get_site(row)
    meals = row.type in CLOSURE_TYPES and row.affected_activities == (MEALS_ACTIVITY,)
    return (
        Proximity.AREA if meals and site in draft.territory.kitchens.get(incident.key, ()) else None
    )


def _absorb_in_security(
    incident: IncidentRow, row: ReportRow, draft: AlertsDecision
) -> Proximity | None:
    """Absorb fires and damage for 12 h after the last fact, closures and transport for 24 h.

    Damage and placed closures must be near.
    """
    after = row.occurred_at - (incident.last_at or incident.opened_at)
    match row.type:
        case T.FIRE:
            is_absorbed = after <= FIRE_BY_SECURITY_MS
        case T.DAMAGE_REPORT:
            is_absorbed = after <= FIRE_BY_SECURITY_MS and _is_near_security(incident, row, draft)
        case T.CLOSURE | T.PARTIAL_CLOSURE:
            communes = incident.communes and list_communes(row, draft.territory)
            is_absorbed = after <= CLOSURE_BY_SECURITY_MS and (
                not communes or _is_near_security(incident, row, draft)
            )
        case T.TRANSPORT_DISRUPTION:
            is_absorbed = after <= CLOSURE_BY_SECURITY_MS
        case _:
            is_absorbed = False
    return Proximity.TERRITORY if is_absorbed else None


def _is_near_security(incident: IncidentRow, row: ReportRow, draft: AlertsDecision) -> bool:
    """Return whether a report is in a commune of the incident or within 4 km of one."""
    territory = draft.territory
    return territory.is_near(
        get_site(row), list_communes(row, territory), incident.communes, SECURITY_KM
    )


def _absorb_in_gas(
    incident: IncidentRow, row: ReportRow, draft: AlertsDecision
) -> Proximity | None:
    is_absorbed = row.type in (
        T.EVACUATION,
        T.SHELTER_IN_PLACE,
        *CLOSURE_TYPES,
        T.OUTAGE_POWER,
        T.TRANSPORT_DISRUPTION,
        T.SUPPLIER_FAILURE,
    )
    return (
        Proximity.AREA
        if is_absorbed and incident.key in list_communes(row, draft.territory)
        else None
    )


def _absorb_at_site(
    incident: IncidentRow, row: ReportRow, draft: AlertsDecision
) -> Proximity | None:
    site = get_site(row)
    if site is not None and site in incident.members:
        return Proximity.SITE
    if (
        row.type in (T.OUTAGE_IT, T.OUTAGE_TELECOM, T.TRANSPORT_DISRUPTION)
        and incident.kind == "fire"
    ):
        soon = row.occurred_at <= incident.opened_at + IT_BY_FIRE_MS
        return (
            Proximity.AREA
            if soon
            and not frozenset(incident.communes).isdisjoint(list_communes(row, draft.territory))
            else None
        )
    return None


_ABSORPTION_RULES: Final[
    dict[str, Callable[[IncidentRow, ReportRow, AlertsDecision], Proximity | None]]
] = {
    "flood": _absorb_in_flood,
    "heat": _absorb_in_heat,
    "snow": _absorb_types(
        T.OUTAGE_HEATING,
        T.TRANSPORT_DISRUPTION,
        T.STAFF_SHORTAGE,
        T.SUPPLIER_FAILURE,
        T.DAMAGE_REPORT,
        *CLOSURE_TYPES,
    ),
    "wind": _absorb_types(T.TRANSPORT_DISRUPTION, T.DAMAGE_REPORT, *CLOSURE_TYPES),
    "weather": _absorb_types(*CLOSURE_TYPES),
    "strike": _absorb_in_strike,
    "power": _absorb_in_power,
    "it": _absorb_in_it,
    "water": _absorb_in_water,
    "kitchen": _absorb_in_kitchen,
    "security": _absorb_in_security,
    "gas": _absorb_in_gas,
    "fire": _absorb_at_site,
    "site": _absorb_at_site,
}
