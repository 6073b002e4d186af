"""Laws of return, answer and arrival times: stated priors, learned from the log. D132. Pure.

Every duration is log-normal. A prior counts like some observations; observed durations of the log
move it by their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Final

from schemas.base import HOUR_MS, MINUTE_MS
from schemas.words import EventType

PRIOR_WEIGHT: Final = 8
"""Observations that a prior counts for."""


@dataclass(frozen=True, slots=True)
class DurationLaw:
    """Log-normal law of a duration."""

    median_ms: float
    sigma: float
    """Standard deviation of the logarithm."""

    def learn(self, durations: Iterable[float]) -> DurationLaw:
        """Return the law after these observed durations, in its own unit."""
        logs = [log(duration) for duration in durations if duration > 0]
        if not logs:
            return self
        total = PRIOR_WEIGHT + len(logs)
        mean = (PRIOR_WEIGHT * log(self.median_ms) + sum(logs)) / total
        spread = PRIOR_WEIGHT * (self.sigma**2 + (log(self.median_ms) - mean) ** 2)
        spread += sum((one - mean) ** 2 for one in logs)
        return DurationLaw(exp(mean), sqrt(spread / total))


def _law(hours: float, sigma: float) -> DurationLaw:
    return DurationLaw(hours * HOUR_MS, sigma)


OVERRUN: Final = DurationLaw(1.15, 0.45)
"""Real duration as a multiple of the announced one: most ends come a little late."""
UNANNOUNCED: Final[Mapping[EventType, DurationLaw]] = {
    EventType.OUTAGE_POWER: _law(4, 0.9),
    EventType.OUTAGE_WATER: _law(6, 0.9),
    EventType.OUTAGE_IT: _law(8, 1.1),
    EventType.SUPPLIER_FAILURE: _law(12, 1.0),
    EventType.FIRE: _law(48, 1.2),
}
"""Duration of a cause without an announced end, by type."""
OTHER_UNANNOUNCED: Final = _law(12, 1.2)
ANSWER: Final = DurationLaw(12 * MINUTE_MS, 0.8)
"""Time until a person takes an open decision."""
SETUP: Final[Mapping[str, DurationLaw]] = {
    "SR-DEG": _law(0.5, 0.6),
    "SR-TELE": _law(1, 0.6),
    "SR-SITE": _law(2, 0.6),
    "SR-RH": _law(2, 0.7),
    "SR-FOUR": _law(3, 0.8),
    "SR-MUT": _law(4, 0.8),
}
"""Time from the decision to a strategy at work, by code; SR-SUSP restores nothing."""
ARRIVAL: Final = _law(1.5, 0.6)
"""Time from the decision to a resource in place, without an announced arrival."""
