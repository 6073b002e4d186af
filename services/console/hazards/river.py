"""Foresee the level of a river and when it crosses a threshold. Rule D124. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Final

from schemas.base import HOUR_MS, MINUTE_MS, Instant

HORIZON_H: Final = 48
"""Hours for which a trend of readings is followed."""
TREND_H: Final = 24
"""Hours of readings that make a trend."""
READING_FRESH_H: Final = 12
"""A river without a reading for so long is unknown."""
FORECAST_FRESH_H: Final = 24
SPREAD: Final = 0.35
"""Share by which the slope of a trend may turn out lower or higher."""
LEAST_SPREAD_M_PER_H: Final = 0.005
STEEPEST_M_PER_H: Final = 0.5
"""A steeper change is a fault of the forecast. Rule D76."""
LOWEST_M, HIGHEST_M = 0.0, 9.5
LEAST_MARGIN_MS: Final = 30 * MINUTE_MS
MOST_POINTS: Final = 16
_BASE: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}Z", re.ASCII)
_POINT: Final = re.compile(r"\+(\d{1,2})h=(\d\.\d\d)/(\d\.\d\d)/(\d\.\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class RiverReading:
    """Measured level in metres."""

    at: Instant
    level: float


@dataclass(frozen=True, slots=True)
class LevelPoint:
    """Expected level at a time, with its lower and upper bound."""

    at: Instant
    low: float
    likely: float
    high: float


@dataclass(frozen=True, slots=True)
class RiverCourse:
    """Course of a river from its last reading on."""

    points: tuple[LevelPoint, ...]
    source: str
    """`forecast` of the publisher, or `trend` of the readings."""

    @property
    def level(self) -> float:
        return self.points[0].likely

    @property
    def peak(self) -> LevelPoint:
        return max(self.points, key=lambda point: point.likely)


@dataclass(frozen=True, slots=True)
class Crossing:
    """Time when a rising river crosses a threshold."""

    at: Instant | None
    """Expected time; None if only the upper bound reaches it."""
    earliest: Instant
    latest: Instant | None
    """Without it the lower bound does not reach it within the course."""
    is_reached: bool = False

    @property
    def margin(self) -> Instant | None:
        """Return the ± of the expected time in ms."""
        if self.at is None or self.is_reached:
            return None
        later = 0 if self.latest is None else self.latest - self.at
        return max(self.at - self.earliest, later, LEAST_MARGIN_MS)


def foresee_river(
    readings: Sequence[RiverReading], forecast: Sequence[LevelPoint], now: Instant
) -> RiverCourse | None:
    """Return the course from the last reading on; None for a river that is unknown.

    A forecast counts if it starts near the last reading and is plausible, else the trend of the
    readings does.
    """
    past_readings = sorted((r for r in readings if r.at <= now), key=lambda r: r.at)
    if not past_readings or now - past_readings[-1].at > READING_FRESH_H * HOUR_MS:
        return None
    last = past_readings[-1]
    start = LevelPoint(last.at, last.level, last.level, last.level)
    later = [point for point in forecast if point.at > last.at]
    if later and _is_plausible([start, *later]):
        return RiverCourse((start, *later), "forecast")
    return RiverCourse((start, *_follow_trend(past_readings, last)), "trend")


def _is_plausible(points: Sequence[LevelPoint]) -> bool:
    return all(
        LOWEST_M <= after.low <= after.likely <= after.high <= HIGHEST_M
        and abs(after.likely - before.likely)
        <= STEEPEST_M_PER_H * max((after.at - before.at) / HOUR_MS, 1.0)
        for before, after in pairwise(points)
    )


def _follow_trend(readings: Sequence[RiverReading], last: RiverReading) -> list[LevelPoint]:
    """Continue the median slope between readings, hour by hour; one lie does not turn it."""
    recent = [r for r in readings if last.at - r.at <= TREND_H * HOUR_MS]
    slopes = [
        (b.level - a.level) / ((b.at - a.at) / HOUR_MS)
        for n, a in enumerate(recent)
        for b in recent[n + 1 :]
        if b.at > a.at
    ]
    if not slopes:
        return []
    slope = max(-STEEPEST_M_PER_H, min(STEEPEST_M_PER_H, median(slopes)))
    spread = max(abs(slope) * SPREAD, LEAST_SPREAD_M_PER_H)
    return [
        LevelPoint(
            last.at + h * HOUR_MS,
            *(_clamp(last.level + s * h) for s in (slope - spread, slope, slope + spread)),
        )
        for h in range(1, HORIZON_H + 1)
    ]


def _clamp(level: float) -> float:
    return max(LOWEST_M, min(HIGHEST_M, level))


def _parse_base(text: str) -> Instant | None:
    if not _BASE.fullmatch(text):
        return None
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return None


def find_crossing(
    readings: Sequence[RiverReading], course: RiverCourse, threshold: float
) -> Crossing | None:
    """Return when the river reaches a threshold; None if even its upper bound does not."""
    if course.level >= threshold:
        since = course.points[0].at
        for reading in sorted(readings, key=lambda r: r.at, reverse=True):
            if reading.at > course.points[0].at:
                continue
            if reading.level < threshold:
                break
            since = reading.at
        return Crossing(since, since, since, is_reached=True)
    earliest = _cross([(p.at, p.high) for p in course.points], threshold)
    if earliest is None:
        return None
    return Crossing(
        _cross([(p.at, p.likely) for p in course.points], threshold),
        earliest,
        _cross([(p.at, p.low) for p in course.points], threshold),
    )


def _cross(curve: Sequence[tuple[Instant, float]], threshold: float) -> Instant | None:
    """Return when a curve of straight pieces first reaches a threshold."""
    for (a, low), (b, high) in pairwise(curve):
        if low < threshold <= high:
            return round(a + (b - a) * (threshold - low) / (high - low))
    return None


def parse_forecast(text: str, now: Instant) -> tuple[LevelPoint, ...]:
    """Read `2027-01-25T18:00Z +6h=5.02/5.10/5.18 …`; empty if it is not understood, or old.

    After the time of the forecast come hours and levels: low, likely, high.
    """
    head, *parts = text.split(" ")
    base = _parse_base(head)
    if base is None or not 0 <= now - base <= FORECAST_FRESH_H * HOUR_MS:
        return ()
    points = []
    for part in parts:
        point_match = _POINT.fullmatch(part)
        if point_match is None:
            return ()
        low, likely, high = (float(point_match[n]) for n in (2, 3, 4))
        points.append(LevelPoint(base + int(point_match[1]) * HOUR_MS, low, likely, high))
    rises = all(a.at < b.at for a, b in pairwise(points))
    return tuple(points) if rises and len(points) <= MOST_POINTS else ()
