"""Positions that receivers have read from a log partition, compared with that log."""

from __future__ import annotations

from collections.abc import AsyncIterator

from schemas.routes import receivers_of
from schemas.topics import log as log_topic
from services.runtime.decider.realm_state import Mark
from services.runtime.log.chain import Position
from services.runtime.log.missing_records import Missing
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.log.transaction import Transaction, digest
from services.runtime.worker.recovery import position_of


async def marks_of(
    reader: PartitionReader, service: str, partition: int
) -> AsyncIterator[tuple[str, Mark | None]]:
    """Yield each receiver of a service with its watermark, read from the receiver's own log.

    The watermark is None if the receiver has applied nothing yet.
    """
    for receiver in receivers_of(service):
        yield receiver, (await position_of(reader, receiver, partition)).marks.get(service)


async def position_after(
    reader: PartitionReader, service: str, partition: int, mark: Mark, end: Position
) -> Position | None:
    """Return the position after the record that a receiver's watermark names.

    The log ends at `end`. Returns None if that history was declared lost. Raises Missing
    (`source.forked`) if the log lacks the record although no loss was declared.
    """
    topic, seq = log_topic(service), mark.place.seq
    first, last = (await reader.bounds(topic, [partition]))[partition]
    async for record in reader.read(
        topic, {partition: (max(seq - 1, first), min(seq + end.ignored, last))}
    ):
        if digest(record.value) == mark.hash:
            tx = Transaction.load(record.value)
            return Position(
                history=tx.history,
                next=record.offset + 1,
                seq=tx.seq,
                hash=mark.hash,
                tail=mark.hash,
                logic=tx.logic,
                head_offset=record.offset,
            )
    if mark.place.history < end.history:
        return None
    raise Missing(
        "source.forked",
        f"a receiver has taken {mark.place}, which partition {partition} of {topic} does not hold",
    )
