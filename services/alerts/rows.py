"""Rows of the indexes of the state, and the types of their values."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from schemas.base import Instant
from services.runtime.decider.maps import Map

Changes = dict[str, Any]
"""Fields of the state with their new values."""


@dataclass(frozen=True, slots=True)
class MeasureReading:
    """The newest confirmed value of a measure at a place."""

    value: float
    value_of: float | None
    occurred_at: Instant
    report: str


class SitePresence(NamedTuple):
    """The presence at a site on one day that one cause reports; of several the greatest holds."""

    since: Instant
    known_at: Instant
    cause: str
    pct: float


SuppressionReason = Literal["maintenance", "inhibited"]
SecurityEvent = tuple[Instant, str, int, str]
"""(since, cause, severity, type)"""
Severities = Map[int, Map[str, tuple[int, str]]]
"""Severity query → incident → worst report that counts: (severity, report id)."""
