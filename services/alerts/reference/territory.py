"""The reference data in force, prepared for decisions: places, distances, policy, roster."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from math import asin, cos, radians, sin, sqrt
from typing import Any, Final, Protocol

from schemas import reference as ref
from schemas.crisis.obligations import Obligation
from schemas.words import Level
from services.alerts.reference.constants import CLUSTER_KM, GAS_ZONE_KM
from services.runtime.decider.maps import Map

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
        self.kitchens = {k: served for k, served in kitchens.items() if len(served) > 1}
        """Shared kitchen → sites that it serves."""
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
