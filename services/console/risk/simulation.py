"""Simulate returns and decisions, and count the draws in which limits break. Rule D132. Pure.

The same draws serve with and without a decision, so their difference is that of the decision alone.
Equal inputs and seeds give equal results.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import erf, log, sqrt
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.base import Instant

DRAWS: Final = 2_000
QUANTILES: Final = 8_191
_TABLE_AT: Final = np.arange(1, QUANTILES + 1) / (QUANTILES + 1)
_TABLE: Final = np.array([NormalDist().inv_cdf(float(p)) for p in _TABLE_AT])
Draws = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FailedUnit:
    """A site, system, supplier or kitchen that is out, and the law of its whole duration."""

    id: str
    age_ms: float
    """Time since it failed."""
    median_ms: float
    sigma: float


@dataclass(frozen=True, slots=True)
class InterruptedActivity:
    """An activity under its MBCO: the units that take its capacity, and the time to its limits."""

    id: str
    losses: Mapping[str, float]
    """Unit → percentage points that it takes until it is back."""
    ceilings: tuple[str, ...]
    """Units that leave less than the MBCO alone."""
    allowed_gap_pct: float
    """Percentage points that may be missing: 100 less the MBCO."""
    rto_in_ms: float | None
    """Time from now to the RTO; None: passed, or no running clock."""
    dmia_in_ms: float | None


@dataclass(frozen=True, slots=True)
class OpenDecision:
    """A decision that waits: it restores units, or one activity, after answer and arrival."""

    id: str
    units: tuple[str, ...]
    activity: str | None
    answer: tuple[float, float]
    """Median in ms and sigma of the time to the answer."""
    arrival: tuple[float, float]
    """Median in ms and sigma from the answer to the effect."""


@dataclass(frozen=True, slots=True)
class BreachChance:
    """Probability that each limit breaks; None without a limit ahead."""

    rto: float | None
    dmia: float | None


@dataclass(frozen=True, slots=True)
class BreachRisk:
    """Risk of one activity, as it is and with each decision that changes it."""

    activity: str
    chance: BreachChance
    back_median_ms: float
    decisions: Mapping[str, BreachChance] = field(default_factory=dict)


def simulate_breaches(
    units: Sequence[FailedUnit],
    activities: Sequence[InterruptedActivity],
    decisions: Sequence[OpenDecision] = (),
    *,
    draws: int = DRAWS,
    seed: Instant = 0,
) -> list[BreachRisk]:
    """Return the risk of each activity, in the order given."""
    random = np.random.default_rng(seed)
    index = {unit.id: n for n, unit in enumerate(units)}
    return_times = np.zeros((draws, len(units)))
    for n, unit in enumerate(units):
        return_times[:, n] = _draw_remaining(random.random(draws), unit)
    effects = {
        one.id: _draw_lognormal(random.random(draws), *one.answer)
        + _draw_lognormal(random.random(draws), *one.arrival)
        for one in decisions
    }
    plain = _restore_all(return_times, index, activities)
    chances: list[dict[str, BreachChance]] = [{} for _ in activities]
    for one in decisions:
        activity_indexes = [n for n, a in enumerate(activities) if _touches(one, a)]
        if not activity_indexes:
            continue
        times_with_effect = return_times
        if one.units:
            times_with_effect = return_times.copy()
            for id in one.units:
                if id in index:
                    n = index[id]
                    times_with_effect[:, n] = np.minimum(return_times[:, n], effects[one.id])
        chosen_activities = [activities[n] for n in activity_indexes]
        restoration_times = (
            _restore_all(times_with_effect, index, chosen_activities)
            if one.units
            else plain[:, activity_indexes]
        )
        if one.activity is not None:
            restoration_times = np.minimum(restoration_times, effects[one.id][:, None])
        for column, n in enumerate(activity_indexes):
            chances[n][one.id] = _count(restoration_times[:, column], activities[n])
    return [
        BreachRisk(a.id, _count(plain[:, n], a), float(np.median(plain[:, n])), chances[n])
        for n, a in enumerate(activities)
    ]


def _touches(one: OpenDecision, activity: InterruptedActivity) -> bool:
    return one.activity == activity.id or any(
        unit in activity.losses or unit in activity.ceilings for unit in one.units
    )


def _count(restoration_times: Draws, activity: InterruptedActivity) -> BreachChance:
    def share(limit: float | None) -> float | None:
        return None if limit is None else float(np.mean(restoration_times > limit))

    return BreachChance(share(activity.rto_in_ms), share(activity.dmia_in_ms))


def _draw_lognormal(uniform: Draws, median: float, sigma: float) -> Draws:
    durations: Draws = median * np.exp(sigma * np.interp(uniform, _TABLE_AT, _TABLE))
    return durations


def _draw_remaining(uniform: Draws, unit: FailedUnit) -> Draws:
    """Draw the time until a unit is back that is out for its age already."""
    elapsed_share = 0.0
    if unit.age_ms > 0:
        score = (log(unit.age_ms) - log(unit.median_ms)) / unit.sigma
        elapsed_share = min(0.5 * (1 + erf(score / sqrt(2))), 1 - 1 / QUANTILES)
    whole = _draw_lognormal(
        elapsed_share + (1 - elapsed_share) * uniform, unit.median_ms, unit.sigma
    )
    return np.maximum(whole - unit.age_ms, 0.0)


def _restore_all(
    return_times: Draws, index: Mapping[str, int], activities: Sequence[InterruptedActivity]
) -> Draws:
    """Return when each activity is back at its MBCO, by draw.

    It is back once the units still out take no more than allowed: units are sorted once by their
    return, latest first, and the points still missing are summed in that order.
    """
    draws, count = return_times.shape
    restoration_times = np.zeros((draws, len(activities)))
    order = np.argsort(-return_times, axis=1)
    latest = np.take_along_axis(return_times, order, axis=1)
    for n, activity in enumerate(activities):
        points = np.zeros(count)
        for unit, loss in activity.losses.items():
            points[index[unit]] = loss
        if points.sum() > activity.allowed_gap_pct:
            missing = np.cumsum(points[order], axis=1) > activity.allowed_gap_pct + 1e-9
            first = np.argmax(missing, axis=1)
            restoration_times[:, n] = latest[np.arange(draws), first]
        for unit in activity.ceilings:
            restoration_times[:, n] = np.maximum(
                restoration_times[:, n], return_times[:, index[unit]]
            )
    return restoration_times
