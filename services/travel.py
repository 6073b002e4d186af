"""Estimate the way between two sites as the planner of reassignments counts it.

A library of the planner and the console. Rule D61, environment.
"""

import math
from dataclasses import dataclass
from typing import Final

from schemas.reference import Site

EARTH_M: Final = 6_371_008.8
TRANSIT_AT_MOST_MIN: Final = 45
TRANSIT_MODE: Final = (10, 18_000, 10)
"""Public transport or bicycle: minutes before, metres per hour, grams of CO2 per km."""
CAR_MODE: Final = (5, 25_000, 218)


@dataclass(frozen=True, slots=True)
class Way:
    """A way between two sites: minutes one way, grams of CO2 both ways."""

    minutes: int
    grams: int


def compute_distance_m(a: Site, b: Site) -> int:
    """Compute the great circle between two sites, rounded to the metre."""
    lat1, lat2 = math.radians(a.lat), math.radians(b.lat)
    dlat, dlon = lat2 - lat1, math.radians(b.lon) - math.radians(a.lon)
    h = math.sin(dlat / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin(dlon / 2) ** 2
    return round(2 * EARTH_M * math.asin(math.sqrt(h)))


def estimate_way(start: Site, end: Site, *, transit: bool) -> Way:
    """Return the way of an agent, by car where public transport is off or takes too long."""
    if start.id == end.id:
        return Way(0, 0)
    road = (13 * compute_distance_m(start, end) + 5) // 10
    way = _compute_ride(road, TRANSIT_MODE)
    return way if transit and way.minutes <= TRANSIT_AT_MOST_MIN else _compute_ride(road, CAR_MODE)


def _compute_ride(road: int, mode: tuple[int, int, int]) -> Way:
    ready, speed, grams = mode
    return Way(ready + -(-60 * road // speed), (2 * road * grams + 500) // 1000)
