"""Positions that receivers have read from a log partition, compared with that log."""

from __future__ import annotations

from collections.abc import AsyncIterator

from schemas.topics import list_receivers
from schemas.topics import log_topic as log_topic  # noqa: PLC0414
from services.runtime.decider.protocol import Watermark
from services.runtime.log.chain import Position
from services.runtime.log.missing_records import RecordMissing
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.log.transaction import Transaction, compute_digest
from services.runtime.worker.recovery import read_position


async def read_watermarks(
    reader: PartitionReader, service: str, partition: int
) -> AsyncIterator[tuple[str, Watermark | None]]:
    """Yield each receiver of a service with its watermark, read from the receiver's own log.

    The watermark is None if the receiver has applied nothing yet.
    """
    for receiver in list_receivers(service):
        yield receiver, (await read_position(reader, receiver, partition)).marks.get(service)


async def find_position_after(
    reader: PartitionReader, service: str, partition: int, mark: Watermark, end: Position
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
        if compute_digest(record.value) == mark.hash:
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
    raise RecordMissing(
        "source.forked",
        f"a receiver has taken {mark.place}, which partition {partition} of {topic} does not hold",
    )
