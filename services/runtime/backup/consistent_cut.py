"""Find the end of a backup of a running system: a consistent cut of the logs.

A cut is consistent if no log in the backup has applied a fact that is not in the backup. The ends
of the logs are read one after the other while everything moves, so a receiver may have applied a
fact beyond the end of its source. Such a receiver is cut before that record, which may make other
logs too long, until all fit. Only the last moment of each log is concerned, so only its tail is
read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

from schemas.topics import PARTITION_COUNT, SERVICES
from schemas.topics import log_topic as log_topic  # noqa: PLC0414
from schemas.wire.envelope import Place
from services.runtime.log.chain import Position, advance_position
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.worker.recovery import ANY_LOGIC

TAIL_RECORDS: Final = 5000
"""Number of accepted records in a tail: half a second of the busiest partition."""
ReachedPosition = tuple[int, int]
"""(history, seq) of a log."""
BEFORE_FIRST: Final[ReachedPosition] = (0, 0)


class Cut(NamedTuple):
    """The end of one log partition in a backup."""

    end: int
    """Offset of the first record that is left out."""
    reached_position: ReachedPosition
    """(history, seq) of the last accepted record before it."""


class TailRecord(NamedTuple):
    """One accepted record of a tail."""

    offset: int
    before: ReachedPosition
    source: str
    """Service of the applied fact; empty if the record applies none."""
    heard: ReachedPosition


class TooBusy(RuntimeError):
    """The logs grew by more than a tail while their ends were read. Try again."""


async def find_consistent_cuts(kafka: str) -> dict[int, dict[str, Cut]]:
    """Return partition → service → cut. Raises TooBusy, KafkaError, OSError."""
    async with PartitionReader(kafka) as reader:
        ends = {s: await reader.bounds(log_topic(s), range(PARTITION_COUNT)) for s in SERVICES}
        consistent_cuts = {}
        for partition in range(PARTITION_COUNT):
            tails = {}
            for service in SERVICES:
                tails[service] = await _read_tail(
                    reader, service, partition, ends[service][partition]
                )
            consistent_cuts[partition] = shorten_cuts(
                {s: cut for s, (cut, _) in tails.items()},
                {s: tail for s, (_, tail) in tails.items()},
            )
    return consistent_cuts


def shorten_cuts(cuts: Mapping[str, Cut], tails: Mapping[str, deque[TailRecord]]) -> dict[str, Cut]:
    """Return the longest consistent cuts for the logs of one partition number. Raises TooBusy."""
    valid_cuts = dict(cuts)
    has_changed = True
    while has_changed:
        has_changed = False
        for service, tail in tails.items():
            first = next(
                (
                    s
                    for s in tail
                    if s.offset < valid_cuts[service].end
                    and s.source
                    and s.heard > valid_cuts[s.source].reached_position
                ),
                None,
            )
            if first is None:
                continue
            if first is tail[0] and len(tail) == tail.maxlen:
                raise TooBusy(
                    f"{log_topic(service)} moves too fast to be cut: try again in a quieter moment"
                )
            valid_cuts[service] = Cut(first.offset, first.before)
            has_changed = True
    return valid_cuts


async def _read_tail(
    reader: PartitionReader, service: str, partition: int, bounds: tuple[int, int]
) -> tuple[Cut, deque[TailRecord]]:
    at, steps = Position(), deque[TailRecord](maxlen=TAIL_RECORDS)
    async for record in reader.read(log_topic(service), {partition: bounds}):
        before = (at.history, at.seq)
        at, transaction = advance_position(at, record.offset, record.value, ANY_LOGIC)
        if transaction is None:
            continue
        source, source_position = "", BEFORE_FIRST
        if transaction.src.place is not None:
            place = Place.parse(transaction.src.place)
            source, source_position = place.service, (place.history, place.seq)
        steps.append(TailRecord(record.offset, before, source, source_position))
    return Cut(bounds[1], (at.history, at.seq)), steps
