"""Read return, answer and arrival times from versions of rows. Rule D132. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.base import Instant
from schemas.words import EventType
from services.console.dependencies.recorded_crises import RowVersion


@dataclass(slots=True)
class Observations:
    """Durations that the logs hold."""

    overruns: list[float] = field(default_factory=list)
    """Real duration of a cause as a multiple of the one first announced."""
    unannounced_durations: dict[EventType, list[float]] = field(default_factory=dict)
    """Type → durations in ms of causes that never had an announced end."""
    answers: list[float] = field(default_factory=list)
    """Time in ms from the proposal of a plan to its decision."""
    arrivals: list[float] = field(default_factory=list)
    """Time in ms from the commitment of a resource to its arrival."""

    def add(self, other: Observations) -> None:
        """Add the observations of another realm."""
        self.overruns += other.overruns
        self.answers += other.answers
        self.arrivals += other.arrivals
        for type, durations in other.unannounced_durations.items():
            self.unannounced_durations.setdefault(type, []).extend(durations)

    @property
    def returns(self) -> int:
        """Number of ended causes."""
        return len(self.overruns) + sum(map(len, self.unannounced_durations.values()))


@dataclass(frozen=True, slots=True)
class _OpenCause:
    type: EventType | None
    since: Instant
    announced_end: Instant | None
    """First announced end."""


def observe_returns(versions: Iterable[RowVersion]) -> Observations:
    """Return the durations of causes that ended, from the versions of sites."""
    observations = Observations()
    open_causes: dict[str, dict[str, _OpenCause]] = {}
    for version in versions:
        before = open_causes.get(version.id, {})
        now: dict[str, _OpenCause] = {}
        causes: Sequence[Mapping[str, Any]] = version.row.get("causes", ())
        for cause in causes:
            earlier_cause = before.get(cause["id"])
            announced_end = earlier_cause.announced_end if earlier_cause is not None else None
            expected_end = cause.get("expected_end")
            now[cause["id"]] = _OpenCause(
                _parse_type(cause.get("type")),
                int(cause["since"]),
                announced_end
                if announced_end is not None or expected_end is None
                else int(expected_end),
            )
        for id, known_cause in before.items():
            if id not in now:
                _add_return(observations, known_cause, version)
        open_causes[version.id] = now
    return observations


def _parse_type(text: object) -> EventType | None:
    return next((type for type in EventType if type == text), None)


def _add_return(observations: Observations, cause: _OpenCause, version: RowVersion) -> None:
    end = version.row.get("lifted_at") or version.at
    real = min(int(end), version.at) - cause.since
    if real <= 0:
        return
    if cause.announced_end is not None:
        if cause.announced_end > cause.since:
            observations.overruns.append(real / (cause.announced_end - cause.since))
    elif cause.type is not None:
        observations.unannounced_durations.setdefault(cause.type, []).append(float(real))


def observe_answers(versions: Iterable[RowVersion]) -> list[float]:
    """Return the times from the proposal of a plan to its decision."""
    return _observe_spans(versions, "proposed_at", "decided_at")


def observe_arrivals(versions: Iterable[RowVersion]) -> list[float]:
    """Return the times from the commitment of a resource to its arrival."""
    return _observe_spans(versions, "committed_at", "arrived_at")


def _observe_spans(versions: Iterable[RowVersion], start: str, end: str) -> list[float]:
    """Return the spans between two times of rows; each pair of times counts once."""
    spans: dict[tuple[str, int, int], float] = {}
    for version in versions:
        first, last = version.row.get(start), version.row.get(end)
        if first is not None and last is not None and last > first:
            spans[version.id, int(first), int(last)] = float(last - first)
    return list(spans.values())
