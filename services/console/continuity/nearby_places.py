"""List the nearest sites that may take an activity in, with travel and CO2. Rule D61.

Agents travel from the lost sites of the activity, else from all of its sites. Pure.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from schemas.reference import Site, Staffing
from services.travel import estimate_way

NEARBY_PLACES: Final = 5


@dataclass(frozen=True, slots=True)
class NearbyPlace:
    """A site for staff of an activity, with the means of its agents."""

    site: str
    minutes: int
    """One way."""
    kg: float
    """CO2 of an agent and day, there and back."""


def list_nearby_places(
    activity: str,
    staffing: Staffing,
    sites: Mapping[str, Site],
    lost_sites: Collection[str],
    hosts: Iterable[str],
    *,
    transit: bool,
) -> list[NearbyPlace]:
    """List the nearest hosts, ties to the lower CO2; empty for an activity without staff."""
    staff = _count_staff(activity, staffing, sites)
    staff = {site: n for site, n in staff.items() if site in lost_sites} or staff
    total = sum(staff.values())
    if not total:
        return []
    places = []
    for host in hosts:
        if host in staff or host not in sites:
            continue
        minutes = grams = 0
        for site, number in staff.items():
            way = estimate_way(sites[site], sites[host], transit=transit)
            minutes += way.minutes * number
            grams += way.grams * number
        places.append(NearbyPlace(host, round(minutes / total), round(grams / total / 1000, 1)))
    return sorted(places, key=lambda one: (one.minutes, one.kg, one.site))[:NEARBY_PLACES]


def _count_staff(activity: str, staffing: Staffing, sites: Mapping[str, Site]) -> dict[str, int]:
    staff: dict[str, int] = {}
    for cell in staffing.cells:
        if cell.activity == activity and cell.site in sites:
            staff[cell.site] = staff.get(cell.site, 0) + cell.staff
    return staff
