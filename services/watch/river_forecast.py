"""Read the forecast of a river that Vigicrues publishes for some stations. Pure.

It is a band: low, likely and high levels in metres, hour by hour.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from services.watch.parsing import (
    FeedDrift,
    Instant,
    StrictModel,
    check_clock,
    parse_json,
    validate_model,
)

LOWEST_M: Final = 0.0
HIGHEST_M: Final = 9.5
STEEPEST_M_PER_H: Final = 0.5
TOLD_FROM_M: Final = 4.6
"""A forecast is reported if its upper bound reaches this level."""
FRESH: Final = timedelta(hours=24)
FURTHEST_H: Final = 72
MOST_POINTS: Final = 8
NO_FORECAST: Final = "error_msg"
"""Key of the answer about a station, or a time, without a forecast."""


class _Point(StrictModel):
    DtPrev: Instant
    ResMinPrev: float | None
    ResMoyPrev: float | None
    ResMaxPrev: float | None


class _Simulation(StrictModel):
    CdStationHydro: str
    GrdSimul: str
    DtProdSimul: Instant
    Prevs: list[Any]


@dataclass(frozen=True, slots=True)
class ForecastPoint:
    """Expected level in metres at a time."""

    at: datetime
    low: float
    likely: float
    high: float


@dataclass(frozen=True, slots=True)
class RiverForecast:
    """One forecast."""

    made_at: datetime
    points: Sequence[ForecastPoint]

    @property
    def highest(self) -> ForecastPoint:
        return max(self.points, key=lambda point: point.high)

    def write_series(self) -> str:
        """Return the forecast as the value of a measure, its points thinned out."""
        step = -(-len(self.points) // MOST_POINTS)
        sample_points = {*self.points[step - 1 :: step], self.points[-1]}
        parts = [f"{self.made_at:%Y-%m-%dT%H:%MZ}"]
        for point in sorted(sample_points, key=lambda one: one.at):
            hours = round((point.at - self.made_at) / timedelta(hours=1))
            parts.append(f"+{hours}h={point.low:.2f}/{point.likely:.2f}/{point.high:.2f}")
        return " ".join(parts)


def read_forecast(content: bytes, code: str, now: datetime) -> RiverForecast | None:
    """Return the forecast of a body; None if there is none, or it is old.

    Raises BodyRefused, FeedDrift.
    """
    document = parse_json(content)
    if not isinstance(document, dict):
        raise FeedDrift("previsions: no object")
    if NO_FORECAST in document and "Simul" not in document:
        return None
    simulation = validate_model(_Simulation, document.get("Simul"))
    if simulation.CdStationHydro != code or simulation.GrdSimul != "H":
        raise FeedDrift("Simul: another station or quantity")
    made_at = simulation.DtProdSimul
    check_clock(made_at, now)
    points = [_read_point(raw, made_at) for raw in simulation.Prevs]
    ahead = [point for point in points if point.at > made_at]
    for before, after in pairwise(ahead):
        hours = (after.at - before.at) / timedelta(hours=1)
        if hours <= 0:
            raise FeedDrift("Prevs: not in order")
        if abs(after.likely - before.likely) > STEEPEST_M_PER_H * max(hours, 1.0):
            raise FeedDrift("Prevs: a level jumps")
    if not ahead or now - made_at > FRESH:
        return None
    return RiverForecast(made_at, ahead)


def _read_point(raw: Any, made_at: datetime) -> ForecastPoint:
    point = validate_model(_Point, raw)
    low, likely, high = point.ResMinPrev, point.ResMoyPrev, point.ResMaxPrev
    if low is None or likely is None or high is None:
        raise FeedDrift("Prevs: a level is missing")
    if not LOWEST_M <= low <= likely <= high <= HIGHEST_M:
        raise FeedDrift("Prevs: a level is out of range")
    if point.DtPrev - made_at > timedelta(hours=FURTHEST_H):
        raise FeedDrift("Prevs: too far ahead")
    return ForecastPoint(point.DtPrev, low, likely, high)
