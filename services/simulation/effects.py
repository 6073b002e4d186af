"""Compute the effect of other reference data on recorded crises, in figures.

A second person weighs them before approval. Rule D63.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from typing import Final

from schemas.reference import SectionData
from schemas.reference_changes import Foreseen, PlanTime
from services.simulation.comparison import Comparison, compare_replays
from services.simulation.milestones import Difference
from services.simulation.recording import NotRecorded, Recording, read_opening_times, read_recording

MAX_NAMED_REALMS: Final = 20
_NAMED_PLAN_STATES: Final = ("proposed", "active")


async def read_newest_crises(kafka: str, most: int) -> AsyncIterator[Recording | NotRecorded]:
    """Yield recorded crises, newest first, or the error of one that cannot be replayed.

    Raises KafkaError and Stop.
    """
    opened, crisis_count = await read_opening_times(kafka), 0
    for realm in sorted(opened, key=lambda name: (opened[name], name), reverse=True):
        try:
            recording = await read_recording(kafka, realm)
        except NotRecorded as gone:
            yield gone
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
