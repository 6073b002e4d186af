"""Build the document of the public page from the present picture. Pure. Rule D96.

A document holds public names and states only: no id, number of staff, role or person. A state that no
confirmed report tells is left out.
"""

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final, Literal

from pydantic import Field

from schemas.alerts import SiteRow
from schemas.base import Instant, Model
from schemas.reference import PublicInformation, SectionData, Site, Statements
from schemas.words import Certainty, SiteStatus
from services.console.texts.names import TerritoryNames, shorten_site_name

EARTH_KM: Final = 6371.0
_REMARK: Final = re.compile(r"\s*\([^()]*\)$")
"""Remark at the end of a name: `(service voirie + PC SITER)`."""


class PublicStatus(StrEnum):
    """State of a place, as the public reads it; the gravest first."""

    CLOSED = "closed"
    DEGRADED = "degraded"
    OPEN = "open"


_PUBLIC_STATUS: Final = {
    SiteStatus.DEGRADED: PublicStatus.DEGRADED,
    SiteStatus.CLOSED: PublicStatus.CLOSED,
    SiteStatus.EVACUATED: PublicStatus.CLOSED,
    SiteStatus.SHELTERING: PublicStatus.CLOSED,
}


class PublicPlace(Model):
    """One place that receives the public."""

    name: str
    commune: str
    status: PublicStatus
    instead: str | None = Field(default=None, description="open place that receives its public")


class PublicServicePlaces(Model):
    """Places of one service."""

    name: str
    name_en: str
    places: tuple[PublicPlace, ...]

    def list_places(self, status: PublicStatus) -> list[PublicPlace]:
        return [place for place in self.places if place.status is status]


class ServicesDocument(Model):
    """Content of the public page. Only `as_of` and `next_at` are times."""

    format: Literal["vigie.public.services.v1"] = "vigie.public.services.v1"
    territory: str
    exercise: bool
    as_of: Instant = 0
    next_at: Instant | None = None
    phone: str | None = None
    services: tuple[PublicServicePlaces, ...]


@dataclass(frozen=True, slots=True)
class StalePage:
    """A published page that no longer tells the present state."""

    published_at: Instant
    is_dangerous: bool
    """It sends people to a site that nobody is sent to."""


def hash_content(document: Model) -> str:
    """Return the hash of a document without its times, the part that its publisher has read."""
    return sha256(document.model_dump_json(exclude={"as_of", "next_at"}).encode()).hexdigest()


def find_public_information(sections: Iterable[SectionData]) -> PublicInformation:
    """Return the facts for the public pages of a version; empty if the territory gives none."""
    public = (one.public for one in sections if isinstance(one, Statements))
    return next(public, None) or PublicInformation()


def read_public_status(row: SiteRow | None) -> PublicStatus | None:
    """Return the state of a site for the public; None if no confirmed report tells it."""
    if row is None or row.status is SiteStatus.NORMAL:
        return PublicStatus.OPEN
    is_confirmed = any(
        cause.effect is row.status
        and cause.certainty is Certainty.CONFIRMED
        and not cause.contested
        for cause in row.causes
    )
    return _PUBLIC_STATUS.get(row.status) if is_confirmed else None


def read_reachable_status(row: SiteRow | None, is_barred: bool) -> PublicStatus | None:
    """Return the state of a site for the public; a barred site is closed, or has none.

    Rules D78 and D102.
    """
    status = read_public_status(row)
    return None if is_barred and status is not PublicStatus.CLOSED else status


def build_services_document(
    information: PublicInformation,
    sites: Iterable[Site],
    rows: Mapping[str, SiteRow],
    barred_sites: Collection[str] = (),
    **about: Any,
) -> ServicesDocument:
    """Build the document from the sites that receive the public. `about`: territory, exercise.

    It names a barred site only if that is known as closed, so it sends nobody there.
    """
    sites_by_kind: dict[str, list[Site]] = {}
    for site in sites:
        if site.public_capacity > 0:
            sites_by_kind.setdefault(site.kind, []).append(site)
    services = []
    for service in information.services:
        of_kind = sites_by_kind.get(service.kind, [])
        statuses = {
            site.id: read_reachable_status(rows.get(site.id), site.id in barred_sites)
            for site in of_kind
        }
        open_sites = [site for site in of_kind if statuses[site.id] is PublicStatus.OPEN]
        substitutes = open_sites if service.has_substitutes else []
        places = [
            _build_place(site, status, substitutes)
            for site in sorted(of_kind, key=lambda site: (site.commune_name, site.name))
            if (status := statuses[site.id]) is not None
        ]
        services.append(
            PublicServicePlaces(name=service.name, name_en=service.name_en, places=tuple(places))
        )
    return ServicesDocument(phone=information.phone, services=tuple(services), **about)


def name_publicly(site: Site) -> str:
    """Return the name of a site without the remarks that only its own people understand."""
    return _REMARK.sub("", shorten_site_name(site.name))


def _build_place(site: Site, status: PublicStatus, substitutes: Sequence[Site]) -> PublicPlace:
    instead = None
    if status is PublicStatus.CLOSED and substitutes:
        nearest = min(substitutes, key=lambda other: (measure_distance(site, other), other.id))
        instead = f"{name_publicly(nearest)}, {nearest.commune_name}"
    return PublicPlace(
        name=name_publicly(site),
        commune=site.commune_name,
        status=status,
        instead=instead,
    )


def names_barred_place(
    published: ServicesDocument, barred_sites: Iterable[str], names: TerritoryNames
) -> bool:
    """Tell whether a published page sends the public to a site that nobody is sent to."""
    sites = [names.sites[id] for id in barred_sites if id in names.sites]
    barred_places = {f"{name_publicly(site)}, {site.commune_name}" for site in sites}
    places = [place for service in published.services for place in service.places]
    return any(
        place.instead in barred_places
        if place.status is PublicStatus.CLOSED
        else f"{place.name}, {place.commune}" in barred_places
        for place in places
    )


def measure_distance(a: Site, b: Site) -> float:
    """Return the distance of two sites in kilometres, as the crow flies."""
    east = math.radians(b.lon - a.lon) * math.cos(math.radians((a.lat + b.lat) / 2))
    return EARTH_KM * math.hypot(east, math.radians(b.lat - a.lat))


def list_changes(
    published: ServicesDocument | None, present: ServicesDocument
) -> list[tuple[PublicPlace | None, PublicPlace | None]]:
    """Return the changed places in pairs: as published, and at present."""
    before = _index_places(published) if published is not None else {}
    now = _index_places(present)
    keys = [key for key in now if now[key] != before.get(key)]
    if published is None:
        keys = [key for key in keys if now[key].status is not PublicStatus.OPEN]
    gone = [key for key in before if key not in now]
    return [(before.get(key), now.get(key)) for key in [*keys, *gone]]


def _index_places(document: ServicesDocument) -> dict[tuple[str, str, str, int], PublicPlace]:
    """Index places by service, commune and name; places of the same name have a number."""
    places: dict[tuple[str, str, str, int], PublicPlace] = {}
    for service in document.services:
        for place in service.places:
            number = 0
            while (key := (service.name, place.commune, place.name, number)) in places:
                number += 1
            places[key] = place
    return places
