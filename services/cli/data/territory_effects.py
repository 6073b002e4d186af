"""Compute the effect of other reference data on recorded crises, in figures.

A second person weighs them before approval. Rule D63.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Final

from schemas.reference import SectionData
from schemas.reference_changes import Foreseen
from services.cli.exercises.whatif import Outcome, compare
from services.simulation.milestones import Difference
from services.simulation.recording import NotRecorded, Recording, opened_at, read_recording

MOST_NAMED: Final = 20


async def newest_crises(kafka: str, most: int) -> AsyncIterator[Recording | NotRecorded]:
    """Yield recorded crises, newest first, or the error of one that cannot be replayed.

    Raises KafkaError and Stop.
    """
    opened, found = await opened_at(kafka), 0
    for realm in sorted(opened, key=lambda name: (opened[name], name), reverse=True):
        try:
            recording = await read_recording(kafka, realm)
        except NotRecorded as gone:
            yield gone
            continue
        if recording.crisis:
            yield recording
            found += 1
        if found == most:
            return


async def foresee(
    kafka: str, sections: Sequence[SectionData], most: int
) -> AsyncIterator[Outcome | NotRecorded]:
    """Yield the comparison of each crisis with and without the change."""
    async for recording in newest_crises(kafka, most):
        yield (
            recording if isinstance(recording, NotRecorded) else compare(recording, sections, None)
        )


def figures_of(outcomes: Sequence[Outcome], unread: int) -> Foreseen:
    """Sum up the comparisons of all crises."""
    all_ = [d for outcome in outcomes for d in outcome.differences]
    calls = [d for d in all_ if d.milestone.kind == "person" and d.milestone.what == "called"]
    return Foreseen(
        crises=len(outcomes),
        moved=sum(bool(outcome.differences) for outcome in outcomes),
        earlier=_count(calls, lambda m: m < 0),
        later=_count(calls, lambda m: m > 0),
        lost=sum(d.after is None for d in calls),
        added=sum(d.before is None for d in calls),
        levels=_kinds(all_, "level"),
        plans=_kinds(all_, "plan"),
        activities=_kinds(all_, "activity"),
        unread=unread,
        worse=tuple(
            outcome.realm for outcome in outcomes if any(d.worse for d in outcome.differences)
        )[:MOST_NAMED],
    )


def _count(found: Iterable[Difference], wanted: Callable[[float], bool]) -> int:
    return sum(d.minutes is not None and wanted(d.minutes) for d in found)


def _kinds(found: Iterable[Difference], kind: str) -> int:
    return sum(d.milestone.kind == kind for d in found)
