"""Take over a log partition: recover its state, publisher and input at the end of the log.

See `docs/explanation/log-protocol.md`, rules 2, 4 and 9.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Generic, TypeVar

import structlog

from schemas.topics import input_topic as inputs_topic
from schemas.topics import log_topic as log_topic  # noqa: PLC0414
from services.runtime.decider.machine import Machine
from services.runtime.log.chain import fold_record
from services.runtime.log.missing_records import retry_until_visible
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.process.failpoints import ARMED, reach_failpoint
from services.runtime.worker.owned_partition import OwnedPartition
from services.runtime.worker.publisher import PartitionFeed, Publisher
from services.runtime.worker.recovery import check_input, recover_partition

S = TypeVar("S")
log = structlog.get_logger(__name__)


class PartitionTakeover(Generic[S]):
    """Recovery of partitions for one worker."""

    def __init__(self, machine: Machine[S], kafka: str, publisher: Publisher) -> None:
        self._machine = machine
        self._kafka = kafka
        self._publisher = publisher
        self._inputs, self._log = inputs_topic(machine.service), log_topic(machine.service)

    async def take_over(
        self, reader: PartitionReader, partition: int, earlier_partition: OwnedPartition[S] | None
    ) -> OwnedPartition[S]:
        """Return the partition as its log holds it now. Raises Stop, KafkaError.

        `earlier_partition` is the partition as this worker owned it before, if it did.
        """
        owned_partition = (
            await self._read(reader, partition) if earlier_partition is None else earlier_partition
        )
        await self._top_up(reader, owned_partition)
        await self.check_input(reader, owned_partition)
        return owned_partition

    async def check_input(
        self, reader: PartitionReader, owned_partition: OwnedPartition[S]
    ) -> None:
        """Check the input against the log (rule 4). Raises Stop.

        Waits for a record that is not visible yet.
        """
        look = partial(
            check_input,
            reader,
            self._machine.service,
            owned_partition.partition,
            owned_partition.view.position,
        )
        await retry_until_visible(self._kafka, self._inputs, look)

    async def _read(self, reader: PartitionReader, partition: int) -> OwnedPartition[S]:
        """Recover the partition from its snapshots and its log."""
        look = partial(recover_partition, reader, self._machine, partition)
        recovery = await retry_until_visible(self._kafka, self._log, look)
        if ARMED:
            reach_failpoint("during-takeover")
        at, room = recovery.view.position, asyncio.Event()
        anchor = (at.next - 1, at.tail)
        feed = PartitionFeed(self._publisher, partition, at, recovery.published_position, room)
        log.debug(
            "partition.taken",
            partition=partition,
            seq=at.seq,
            folded=recovery.folded_count,
            ignored=at.ignored,
        )
        slot = recovery.next_slot
        return OwnedPartition(
            partition, recovery.view, feed, slot, anchor, anchor, room=room, snapshot_seq=at.seq
        )

    async def _top_up(self, reader: PartitionReader, owned_partition: OwnedPartition[S]) -> None:
        """Fold the records that another worker appended while we kept the chain."""
        before = owned_partition.view.position
        _, end = (await reader.bounds(self._log, [owned_partition.partition]))[
            owned_partition.partition
        ]
        async for record in reader.read(self._log, {owned_partition.partition: (before.next, end)}):
            owned_partition.view = fold_record(
                self._machine, owned_partition.view, record.offset, record.value
            )
        at = owned_partition.view.position
        if at.next != before.next:
            owned_partition.feed.cancel()
            owned_partition.feed = PartitionFeed(
                self._publisher,
                owned_partition.partition,
                at,
                owned_partition.feed.published_position,
                owned_partition.room,
            )
            owned_partition.confirmed_head = (at.next - 1, at.tail)
