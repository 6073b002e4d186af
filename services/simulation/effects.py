"""Replay recorded crises with other reference data, and compare in figures.

A second person weighs them before approval. Rule D63.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas.reference import SectionData
from schemas.reference_changes import Foreseen, PlanTime
from services.simulation.history import (
    Difference,
    HistorySummary,
    compare_summaries,
    summarise_history,
)
from services.simulation.recording import (
    ForkPoint,
    NotRecorded,
    Recording,
    read_opening_times,
    read_recording,
)
from services.simulation.replay import count_matching_facts, replay_recording


@dataclass(frozen=True, slots=True)
class Comparison:
    """Comparison of one realm."""

    realm: str
    faithful: tuple[int, int]
    before: HistorySummary
    after: HistorySummary
    differences: list[Difference]
    seconds: float

    def document(self) -> dict[str, Any]:
        """Return the comparison as JSON data."""
        names = sorted({*self.before.counts, *self.after.counts})
        return {
            "realm": self.realm,
            "replayed": {"same": self.faithful[0], "facts": self.faithful[1]},
            "seconds": round(self.seconds, 2),
            "counts": {
                n: {"before": self.before.counts[n], "after": self.after.counts[n]} for n in names
            },
            "differences": [
                {
                    "kind": d.milestone.kind,
                    "of": d.milestone.of,
                    "what": d.milestone.what,
                    "incident": d.milestone.incident or None,
                    "before": d.before,
                    "after": d.after,
                    "minutes": None if d.minutes is None else round(d.minutes, 2),
                    "worse": d.worse,
                }
                for d in self.differences
            ],
        }


def compare_replays(
    recording: Recording, change: Sequence[SectionData], fork: ForkPoint | None
) -> Comparison:
    """Replay a recording with and without the change, and compare."""
    began = time.perf_counter()
    was = replay_recording(recording)
    would = replay_recording(recording, change, fork)
    before, after = summarise_history(was), summarise_history(would)
    return Comparison(
        recording.realm,
        count_matching_facts(recording, was),
        before,
        after,
        compare_summaries(before, after),
        time.perf_counter() - began,
    )


MAX_NAMED_REALMS: Final = 20
_NAMED_PLAN_STATES: Final = ("proposed", "active")


async def read_newest_crises(kafka: str, most: int) -> AsyncIterator[Recording | NotRecorded]:
    """Yield recorded crises, newest first, or the error of one that cannot be replayed.

    Raises KafkaError and Stop.
    """
    opening_times, crisis_count = await read_opening_times(kafka), 0
    for realm in sorted(opening_times, key=lambda name: (opening_times[name], name), reverse=True):
        try:
            recording = await read_recording(kafka, realm)
        except NotRecorded as error:
            yield error
            continue
        if recording.crisis:
            yield recording
            crisis_count += 1
        if crisis_count == most:
            return


async def compare_crises(
    kafka: str, sections: Sequence[SectionData], most: int
) -> AsyncGenerator[Comparison | NotRecorded, None]:
    """Yield the comparison of each crisis with and without the change."""
    async for recording in read_newest_crises(kafka, most):
        yield (
            recording
            if isinstance(recording, NotRecorded)
            else compare_replays(recording, sections, None)
        )


def sum_up_effects(outcomes: Sequence[Comparison], unread: int) -> Foreseen:
    """Sum up the comparisons of all crises."""
    all_ = [d for outcome in outcomes for d in outcome.differences]
    calls = [d for d in all_ if d.milestone.kind == "person" and d.milestone.what == "called"]
    return Foreseen(
        crises=len(outcomes),
        moved=sum(bool(outcome.differences) for outcome in outcomes),
        earlier=_count_by_delay(calls, lambda m: m < 0),
        later=_count_by_delay(calls, lambda m: m > 0),
        lost=sum(d.after is None for d in calls),
        added=sum(d.before is None for d in calls),
        levels=_count_by_kind(all_, "level"),
        plans=_count_by_kind(all_, "plan"),
        activities=_count_by_kind(all_, "activity"),
        unread=unread,
        worse=tuple(
            outcome.realm for outcome in outcomes if any(d.worse for d in outcome.differences)
        )[:MAX_NAMED_REALMS],
        plan_times=tuple(
            PlanTime(
                realm=outcome.realm,
                plan=d.milestone.of,
                state=d.milestone.what,
                before=d.before,
                after=d.after,
            )
            for outcome in outcomes
            for d in outcome.differences
            if d.milestone.kind == "plan" and d.milestone.what in _NAMED_PLAN_STATES
        )[:MAX_NAMED_REALMS],
    )


def _count_by_delay(
    differences: Iterable[Difference], delay_filter: Callable[[float], bool]
) -> int:
    return sum(d.minutes is not None and delay_filter(d.minutes) for d in differences)


def _count_by_kind(differences: Iterable[Difference], kind: str) -> int:
    return sum(d.milestone.kind == kind for d in differences)
