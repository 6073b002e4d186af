"""The reference data in force, made ready for deciding: places and distances, policy, holders of roles."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from math import asin, cos, radians, sin, sqrt
from typing import Any, Final, Protocol

from schemas import reference as ref
from schemas.words import Level
from services.alerts.reference.constants import CLUSTER_KM, GAS_ZONE_KM
from services.runtime.decider.maps import Map

_EARTH_KM: Final = 6371.0088


class Place(Protocol):
    """Something with a position: a site, or a commune by its centre."""

    @property
    def lat(self) -> float: ...

    @property
    def lon(self) -> float: ...


def distance_km(a: Place, b: Place) -> float:
    """Great-circle distance."""
    lat1, lat2 = radians(a.lat), radians(b.lat)
    h = sin((lat2 - lat1) / 2) ** 2 + cos(lat1) * cos(lat2) * sin(radians(b.lon - a.lon) / 2) ** 2
    return 2 * _EARTH_KM * asin(sqrt(h))


class Territory:
    """Sites, policy and roster of one version. A function of its sections."""

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
        self.by_commune = _grouped((s.commune, s.id) for s in sites)
        self.by_kind = _grouped((s.kind, s.id) for s in sites)
        kitchens = _grouped(
            (s.kitchen, s.id) for s in sites if s.kitchen and s.kitchen != "sur-place"
        )
        self.kitchens = {k: served for k, served in kitchens.items() if len(served) > 1}
        """Shared kitchens → sites that they serve."""
        self.flood_plan = frozenset(c.insee for c in communes if c.seine_flood_plan)
        thresholds = {k: v for p in self.plans for k, v in p.zone_by_threshold_m.items()}
        self.flooded_from = {
            s.id: thresholds[s.flood_exposure] for s in sites if s.flood_exposure in thresholds
        }
        """Exposed site → river level from which it is in the zone (D18)."""
        self.measures: ref.MeasureRules | None = (
            parts[ref.MeasuresSection].rules if ref.MeasuresSection in parts else None
        )
        self.measure_rules = (
            {rule.name: rule for rule in self.measures.measures} if self.measures else {}
        )
        self.authorities = frozenset(self.policy.authorities) if self.policy else frozenset()

    # ── places ───────────────────────────────────────────────────────────────────────────────────────────────────

    def near(self, site: str) -> frozenset[str]:
        """Sites within the distance of a cluster (D22), the site itself among them."""
        return self._within_cluster.get(site, frozenset())

    def around(self, site: str) -> frozenset[str]:
        """Sites in the zone of a gas leak at this site (D18)."""
        return frozenset(
            o
            for o in self.near(site)
            if distance_km(self.sites[site], self.sites[o]) <= GAS_ZONE_KM
        )

    def is_near(
        self, site: str | None, communes: Iterable[str], others: Iterable[str], km: float
    ) -> bool:
        """Return whether a site, or one of some communes, lies in one of `others` or within `km` of its centre."""
        mine, theirs = frozenset(communes), frozenset(others)
        if not mine.isdisjoint(theirs):
            return True
        known = self.sites.get(site) if site is not None else None
        places: list[Place] = (
            [known] if known is not None else [self.communes[c] for c in mine if c in self.communes]
        )
        centres = [self.communes[c] for c in theirs if c in self.communes]
        return any(distance_km(place, centre) <= km for place in places for centre in centres)

    @cached_property
    def _within_cluster(self) -> dict[str, frozenset[str]]:
        sites = sorted(self.sites.values(), key=lambda s: s.lat)
        found: dict[str, set[str]] = {s.id: {s.id} for s in sites}
        reach = CLUSTER_KM / 110.5  # a degree of latitude is never shorter, in km
        for n, a in enumerate(sites):
            for b in sites[n + 1 :]:
                if b.lat - a.lat > reach:
                    break
                if distance_km(a, b) <= CLUSTER_KM:
                    found[a.id].add(b.id)
                    found[b.id].add(a.id)
        return {site: frozenset(others) for site, others in found.items()}

    # ── people ───────────────────────────────────────────────────────────────────────────────────────────────────

    def channels(self, person: str) -> tuple[str, ...]:
        """Verified channels of a person."""
        return self.roster.channels.get(person, ()) if self.roster else ()

    def ladder(self, level: Level) -> tuple[ref.Wave, ...]:
        """Waves of a level's ladder, empty for N0."""
        return self.policy.ladders.get(f"N{int(level)}", ()) if self.policy else ()

    def silence_min(self, key: str) -> int | None:
        """Minutes of silence after which a site in the zone becomes unknown."""
        return self.policy.unknown_after_min.get(key) if self.policy else None

    def kind(self, site: str | None) -> str | None:
        """Kind of a site, None for none or an unknown one."""
        found = self.sites.get(site) if site else None
        return found.kind if found else None


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    groups: dict[str, list[str]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return {key: tuple(values) for key, values in groups.items()}


def flag_of_supplier(name: str, territory: Territory) -> str:
    """Id of the flag row of a supplier: a shared kitchen is one by name."""
    return f"kitchen:{name}" if name in territory.kitchens else f"supplier:{name}"
