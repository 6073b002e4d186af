"""The reference data in force, prepared for decisions: places, distances, policy, roster.

The constants are those of `docs/reference/rules.md` that no reference file carries, and sets of
report types. Local days are those of Europe/Paris: a day report ends with its day. Rule D10.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cached_property
from math import asin, cos, radians, sin, sqrt
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from schemas import reference as ref
from schemas.base import DAY_MS, HOUR_MS, MINUTE_MS, Instant
from schemas.catalogue import sources
from schemas.catalogue.event_types import EventKind, select_types
from schemas.crisis.obligations import Obligation
from schemas.words import Effect, Level
from schemas.words import EventType as T
from services.runtime.decider.maps import Map

LATE_AFTER_MS: Final = 15 * MINUTE_MS
"""Delay between fact and recording from which a report is `late`. Rule D7, late reports."""
FUTURE_AFTER_MS: Final = 5 * MINUTE_MS
"""Lead of a fact over its recording from which a report without windows is `future`. Rule D7."""
CONTRADICTION_MS: Final = 15 * MINUTE_MS
"""Time between « reopened » and « shut » of two sources within which both cannot be true.

Rule D5.
"""
CLUSTER_MS: Final = 60 * MINUTE_MS
"""Longest time after its last cut in which a power cut joins a cluster. Rule D22, incident keys."""
CLUSTER_KM: Final = 3.0
"""Greatest distance from a member at which a power cut joins a cluster. Rule D22."""
IT_BY_POWER_MS: Final = 12 * HOUR_MS
"""Time when IT and telecom failures on its sites belong to a power incident. Rule D22."""
IT_BY_ATTACK_MS: Final = 12 * HOUR_MS
"""Time before a cyberattack in which an outage without a system, or an attack, is its own. D22."""
ATTACK_FLAGS: Final = frozenset({"edr_critical", "ciso_declaration"})
"""Measures that tell of a cyberattack. Rule D22."""
FIRE_BY_SECURITY_MS: Final = 12 * HOUR_MS
"""Time after its last fact in which fires and damage belong to a security incident. Rule D22."""
CLOSURE_BY_SECURITY_MS: Final = 24 * HOUR_MS
"""Time when nearby closures and transport belong to a security incident. Rule D22."""
SECURITY_KM: Final = 4.0
"""Distance from a commune of a security incident within which damage and closures are near.

Rule D22.
"""
IT_BY_FIRE_MS: Final = 2 * HOUR_MS
"""Time when IT failures and closed roads belong to a fire. Rule D22."""
ADDENDUM_WINDOW_MS: Final = 72 * HOUR_MS
"""Time after its closing in which a late report joins an incident. Rule D26."""
REPORT_MEMORY_MS: Final = 7 * DAY_MS
"""Time for which report ids are known, beyond that of their incident. Rule D4, duplicates."""
GAS_ZONE_KM: Final = 0.3
"""Radius of the zone of a gas leak. Rule D18, silent sites."""
ZONE_CUSTOMERS: Final = 20_000
"""Customers cut above which the communes that the operator names are the zone. Rule D18."""
ALL_CLEAR_MS: Final = 60 * MINUTE_MS
"""Time of silence after the operator's all-clear. Rule D20, operator all-clear."""
REARM_MS: Final = 60 * MINUTE_MS
"""Time below its margin after which a threshold is armed again. Rule D31, thresholds."""
CLOSED_BY_POWER_PCT: Final = 80.0
"""Loss from which a power cut closes a site without a generator."""
GENERATOR_LOSS_PCT: Final = 60.0
"""Greatest loss by a power cut at a site with a generator."""
FLOODED_MAINS_M: Final = 6.5
"""River level from which power cuts in the flood plain belong to the flood. Rule D22."""
TRANSIT_STOPS: Final = 4
"""Severity from which a disrupted network means that nobody can rely on public transport."""
TRANSIT_RUNS: Final = 2
"""Severity up to which the network runs again."""
CENTRAL_SITE_KIND: Final = "site_central"
"""Kind of the sites that cause a transverse loss when they are out."""
TRANSVERSE_H: Final = 72.0
"""Hours that a central site must be out to be a transverse loss."""
BELOW_OPENING_PCT: Final = 50.0
"""Presence that stands for « 1 accueil + 1 entretien »."""
WINDOW_SCAN_MS: Final = DAY_MS
"""Age of the oldest window of cuts and security events, unless a window is longer."""
COLOURS: Final = sources.COLOURS
MAX_PERSONS: Final = 1_000_000_000
"""Greatest number of people that a measure counts, like `persons_concerned`."""
CAUSE_TYPES: Final = select_types(EventKind.CAUSE)
"""Types that hold until something lifts them."""
SILENT_REPORT_TYPES: Final = select_types(EventKind.SILENT)
"""Types that never open an incident and count for no severity. Rule D24, one incident."""
CONFIRMABLE_TYPES: Final = CAUSE_TYPES | {T.TRANSPORT_DISRUPTION}
"""Types that a second source may confirm. Rule D6, confirmation."""
CAUSELESS_TYPES: Final = select_types(EventKind.PASSING)
"""Types that count for a severity without making a cause: weather, river, transport."""
MINOR_SEVERITY: Final = 2
"""CAP Minor: an `info` above it reports a trouble. Rule D2, severity and certainty."""
CLOSURE_TYPES: Final = frozenset({T.CLOSURE, T.PARTIAL_CLOSURE})
LEAVE_ORDER_TYPES: Final = frozenset({T.EVACUATION, T.FIRE})
"""Orders to leave: they end an earlier order to shelter."""
ORDER_TYPES: Final = LEAVE_ORDER_TYPES | {T.SHELTER_IN_PLACE}
"""Orders: on one site the latest by `occurred_at` stands. Rule D5, contradictions."""
MEALS_MARK: Final = "meals"
"""Mark of a site with a kitchen that has less than half of its meals left."""
MEALS_ACTIVITY: Final = "EDU-01"
"""The one activity for which `affected_activities` is trusted. Rule D13."""
ISOLATION_FLAG: Final = "total_isolation"
ALL_CLEAR_MEASURE: Final = "all_clear"
"""The one flag for which true means that all is well."""
HEADCOUNT_MEASURE: Final = "headcount_found"
"""People found at a site, with the number expected. Rule D37, headcount."""
HEADCOUNT_DUE_MS: Final = 5 * MINUTE_MS
"""Time when to start a headcount after an order to leave or to shelter. Rule D79."""
PLACE_DUE_MS: Final = 5 * MINUTE_MS
"""Time when to know where a danger is. Rule D8, unknown sites."""
AREA_ANSWER_MS: Final = 10 * MINUTE_MS
"""Time to answer whether an order for an area concerns a site; then others are called (D102)."""
INSTRUCTION_DUE_MS: Final = 30 * MINUTE_MS
"""A site is to confirm an instruction of the cell so soon (D99)."""
PHENOMENON_KIND: Final = {
    "crues": "flood",
    "canicule": "heat",
    "neige-verglas": "snow",
    "vent": "wind",
    "vent-violent": "wind",
}
"""Phenomenon of a weather alert → family of incidents; any other has the family `weather`."""
SILENCE_KEY: Final = {
    "power": "outage_power",
    "water": "outage_water",
    "gas": "gas_leak",
    "security": "security_incident",
    "flood": "flood",
}
"""Family → entry of `site_inconnu_apres_min`, for families with silent sites. Rule D18."""
OFFER_MEASURES: Final = frozenset({"desks_offered", "reception_centre"})
"""Measures by which a site offers its means to a crisis elsewhere."""
READ_MEASURES: Final = frozenset(
    {
        "absence_rate",
        "colleges_served",
        "customers_cut",
        "desks_available",
        "desks_offered",
        "estimated_end",
        "evacuees",
        "forecast_absence",
        "headcount_found",
        "ill_persons",
        "reception_centre",
        "river_forecast",
        "river_level",
        "road_closed",
        "room_temperature",
        "sites_not_delivered",
        "strike_notice",
        "system_healthy",
        "system_restored",
        "vaccine_fridge_temperature",
        "water_alert",
        "water_restriction",
        *Effect,
    }
)
"""Measures that a rule reads, beside the flags of predicates; others are only shown."""
RESTORED_MEASURE: Final = "system_restored"
RESTORATION_MEASURES: Final = (RESTORED_MEASURE, "system_healthy")
"""Measures that report whether a system or a network works; a healthy one may still be cut off."""
COLD_CHAIN_MEASURE: Final = "vaccine_fridge_temperature"
HEAT_HAZARD: Final = "hazard:heat"
PARIS: Final = ZoneInfo("Europe/Paris")


def _to_local(at: Instant) -> datetime:
    return datetime.fromtimestamp(at / 1000, PARIS)


def format_day(at: Instant) -> str:
    """Return the local date in ISO format."""
    return _to_local(at).date().isoformat()


def find_end_of_day(at: Instant) -> Instant:
    """Return 24:00 of the local day, also when the day has 23 or 25 hours."""
    tomorrow = _to_local(at).date() + timedelta(days=1)
    return int(
        datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=PARIS).timestamp() * 1000
    )


def parse_instant(text: str) -> Instant | None:
    """Parse an ISO 8601 time, local without an offset; return None for other text."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=PARIS)).timestamp() * 1000)


def rank_colour(colour: str) -> int:
    """Return the position of a vigilance colour; -1 for an unknown word, below all others."""
    return COLOURS.index(colour) if colour in COLOURS else -1


SHOWN_REPORTS: Final = 20
"""Most reports that a reason cites."""


_EARTH_KM: Final = 6371.0088


class Located(Protocol):
    """An object with a position: a site, or a commune by its centre."""

    @property
    def lat(self) -> float: ...

    @property
    def lon(self) -> float: ...


def compute_distance_km(a: Located, b: Located) -> float:
    """Return the great-circle distance in kilometres."""
    lat1, lat2 = radians(a.lat), radians(b.lat)
    h = sin((lat2 - lat1) / 2) ** 2 + cos(lat1) * cos(lat2) * sin(radians(b.lon - a.lon) / 2) ** 2
    return 2 * _EARTH_KM * asin(sqrt(h))


class TerritoryIndex:
    """Sites, policy and roster of one version: a function of its sections."""

    def __init__(self, version: str, sections: Map[str, ref.SectionData]) -> None:
        self.version, self.sections = version, sections
        parts: dict[type, Any] = {type(s): s for s in sections.values()}
        communes: tuple[ref.Commune, ...] = (
            parts[ref.Communes].communes if ref.Communes in parts else ()
        )
        sites: tuple[ref.Site, ...] = parts[ref.Sites].sites if ref.Sites in parts else ()
        self.plans: tuple[ref.Plan, ...] = parts[ref.Plans].plans if ref.Plans in parts else ()
        self.policy: ref.Escalation | None = (
            parts[ref.EscalationPolicy].policy if ref.EscalationPolicy in parts else None
        )
        self.roster: ref.Roster | None = (
            parts[ref.RosterSection].roster if ref.RosterSection in parts else None
        )
        self.communes = {c.insee: c for c in communes}
        self.sites = {s.id: s for s in sites}
        self.poles = tuple(sorted({s.pole for s in sites} - {"multi"}))
        self.all_poles: tuple[str, ...] = (
            tuple(p.id for p in parts[ref.Activities].poles)
            if ref.Activities in parts
            else self.poles
        )
        self.by_commune = _group_values((s.commune, s.id) for s in sites)
        self.by_kind = _group_values((s.kind, s.id) for s in sites)
        kitchens = _group_values(
            (s.kitchen, s.id) for s in sites if s.kitchen and s.kitchen != "sur-place"
        )
        self.kitchens = {
            k: kitchen_sites for k, kitchen_sites in kitchens.items() if len(kitchen_sites) > 1
        }
        """Shared kitchen → sites that it serves."""
        self.fed_sites = sum(bool(s.kitchen) for s in sites)
        """Number of sites with a kitchen: the whole of the meals. Rule D40."""
        self.flood_plan = frozenset(c.insee for c in communes if c.seine_flood_plan)
        thresholds = {k: v for p in self.plans for k, v in p.zone_by_threshold_m.items()}
        self.flooded_from = {
            s.id: thresholds[s.flood_exposure] for s in sites if s.flood_exposure in thresholds
        }
        """Exposed site → river level from which it is in the zone. Rule D18, silent sites."""
        self.measures: ref.MeasureRules | None = (
            parts[ref.MeasuresSection].rules if ref.MeasuresSection in parts else None
        )
        self.measure_rules = (
            {rule.name: rule for rule in self.measures.measures} if self.measures else {}
        )
        self.obligations: dict[str, Obligation] = (
            {one.id: one for one in parts[ref.Obligations].obligations}
            if ref.Obligations in parts
            else {}
        )
        """Obligations by id. Rule D92, legal deadlines."""
        self.authorities = frozenset(self.policy.authorities) if self.policy else frozenset()

    def near(self, site: str) -> frozenset[str]:
        """Return the sites within the distance of a cluster, with the site itself. Rule D22."""
        return self._within_cluster.get(site, frozenset())

    def around(self, site: str) -> frozenset[str]:
        """Return the sites in the zone of a gas leak at this site. Rule D18, silent sites."""
        return frozenset(
            o
            for o in self.near(site)
            if compute_distance_km(self.sites[site], self.sites[o]) <= GAS_ZONE_KM
        )

    def is_near(
        self, site: str | None, communes: Iterable[str], others: Iterable[str], km: float
    ) -> bool:
        """Return whether a site, or one of some communes, is in `others` or near one of them.

        Near means at most `km` from its centre.
        """
        mine, theirs = frozenset(communes), frozenset(others)
        if not mine.isdisjoint(theirs):
            return True
        site_record = self.sites.get(site) if site is not None else None
        places: list[Located] = (
            [site_record]
            if site_record is not None
            else [self.communes[c] for c in mine if c in self.communes]
        )
        centres = [self.communes[c] for c in theirs if c in self.communes]
        return any(
            compute_distance_km(place, centre) <= km for place in places for centre in centres
        )

    @cached_property
    def _within_cluster(self) -> dict[str, frozenset[str]]:
        sites = sorted(self.sites.values(), key=lambda s: s.lat)
        neighbours: dict[str, set[str]] = {s.id: {s.id} for s in sites}
        reach = CLUSTER_KM / 110.5  # a degree of latitude is never shorter, in km
        for n, a in enumerate(sites):
            for b in sites[n + 1 :]:
                if b.lat - a.lat > reach:
                    break
                if compute_distance_km(a, b) <= CLUSTER_KM:
                    neighbours[a.id].add(b.id)
                    neighbours[b.id].add(a.id)
        return {site: frozenset(others) for site, others in neighbours.items()}

    def channels(self, person: str) -> tuple[str, ...]:
        """Return the verified channels of a person."""
        return self.roster.channels.get(person, ()) if self.roster else ()

    def ladder(self, level: Level) -> tuple[ref.Wave, ...]:
        """Return the waves of a level's escalation, empty for N0."""
        return self.policy.ladders.get(f"N{int(level)}", ()) if self.policy else ()

    def silence_min(self, key: str) -> int | None:
        """Return the minutes of silence that make a site in the zone unknown."""
        return self.policy.unknown_after_min.get(key) if self.policy else None

    def kind(self, site: str | None) -> str | None:
        """Return the kind of a site; None without a site or for an unknown one."""
        site_record = self.sites.get(site) if site else None
        return site_record.kind if site_record else None


def _group_values(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    groups: dict[str, list[str]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return {key: tuple(values) for key, values in groups.items()}


def build_supplier_flag(name: str, territory: TerritoryIndex) -> str:
    """Return the flag id of a supplier; a shared kitchen has one of its own."""
    return f"kitchen:{name}" if name in territory.kitchens else f"supplier:{name}"
