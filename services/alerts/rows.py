"""Rows of indexes, and helpers for sorted rows and maps."""

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal, NamedTuple, TypeVar

from schemas.base import Instant, Model
from services.runtime.decider.maps import Map

Changes = dict[str, Any]
"""Fields of the state with their new values."""
_M = TypeVar("_M", bound=Model)


def sort_by_id(rows: Iterable[_M]) -> list[_M]:
    """Sort rows by id, so that facts do not follow the order of a map.

    The order of a map depends on the hash seed of the process; the order of facts must not.
    """
    return sorted(rows, key=attrgetter("id"))


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
