"""The urgent lane of a decider: a second input topic that is decided first.

The group assigns partitions by the ordinary lane alone. For each of them the worker also reads the
urgent lane, from the offset in the log. The worker may take records of the two lanes in any order.
The log keeps that order, because each Transaction names its lane and offset; a replay never decides
again. See `docs/adr/0044-give-danger-its-own-input-lane.md`.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from services.runtime.kafka.clients import assign_from, create_groupless_consumer
from services.runtime.kafka.fetch_throttle import FETCH_INTERVAL_MS, READER_WAIT_MS, FetchThrottle
from services.runtime.log.partition_reader import PartitionReader, stop_consumer

RETRY_S: Final = 0.5
BATCH_RECORDS: Final = 200
"""Records per fetch. The next fetch starts when they are decided."""
Deliver = Callable[[int, list[Any]], Awaitable[None]]
"""Arguments: (partition, records in order).

Returns when they are decided, or when another worker owns the partition.
"""
log = structlog.get_logger(__name__)


class UrgentLaneReader:
    """Reader of the urgent lane of the owned partitions."""

    def __init__(
        self,
        kafka: str,
        topic: str,
        deliver: Deliver,
        check: Callable[[], Awaitable[None]],
    ) -> None:
        """Create the reader; `check` raises Stop if the lane was damaged.

        `check` waits for records that are only not visible yet.
        """
        self._kafka = kafka
        self._topic = topic
        self._deliver = deliver
        self._check = check
        self._starts: Mapping[int, int] = {}
        self._changed = asyncio.Event()
        self._ends: dict[int, int] = {}
        self._pace: FetchThrottle | None = None
        self._decided = asyncio.Event()
        self._asking = asyncio.Lock()
        self._asker: PartitionReader | None = None

    def begin_at(self, starts: Mapping[int, int]) -> None:
        """Read exactly these partitions, from these offsets on."""
        self._starts = dict(starts)
        self._ends = {}
        self._changed.set()

    def hurry(self) -> None:
        """Fetch fast, because a caller waits for the answer to an input."""
        if self._pace is not None:
            self._pace.hurry()

    def end_of(self, partition: int) -> int:
        """Return the end of the lane as of the last fetch; 0 before the first."""
        return self._ends.get(partition, 0)

    async def ask_end(self, partition: int) -> int:
        """Ask the broker for the end of the lane, waiting as long as the broker is away."""
        async with self._asking:
            while True:
                try:
                    if self._asker is None:
                        self._asker = await PartitionReader(self._kafka, fetch_bytes=1).__aenter__()
                    tp = TopicPartition(self._topic, partition)
                    return (await self._asker.ends([tp]))[tp]
                except (KafkaError, OSError) as error:
                    log.warning(
                        "urgent.end_unknown",
                        topic=self._topic,
                        error=f"{type(error).__name__}: {error}",
                    )
                    await self._close_asker()
                    await asyncio.sleep(RETRY_S)

    async def until_decided(self) -> None:
        """Wait until records of the lane were decided, at most AGAIN_S. Check again afterwards."""
        self._decided.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._decided.wait(), RETRY_S)

    async def _close_asker(self) -> None:
        asker, self._asker = self._asker, None
        if asker is not None:
            await asker.__aexit__(None, None, None)

    async def run(self) -> None:
        """Deliver records until cancelled."""
        try:
            await self._run()
        finally:
            await self._close_asker()

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            starts = dict(self._starts)
            try:
                await self._follow(starts)
            except (KafkaError, OSError) as error:
                log.warning(
                    "urgent.interrupted",
                    topic=self._topic,
                    error=f"{type(error).__name__}: {error}",
                )
                if isinstance(error, OffsetOutOfRangeError):
                    await self._check()
                await asyncio.sleep(RETRY_S)
            # Interrupted: continue at the same offsets.
            if self._starts.keys() == starts.keys() and not self._changed.is_set():
                self._starts = starts
                self._changed.set()

    async def _follow(self, starts: dict[int, int]) -> None:
        """Deliver from these offsets on until others are given, and advance `starts`.

        Raises KafkaError, OSError.
        """
        if not starts:
            return await self._until_changed()
        consumer: Any = create_groupless_consumer(self._kafka)
        try:
            await consumer.start()
            self._pace = FetchThrottle(consumer, FETCH_INTERVAL_MS)
            assign_from(
                consumer, {TopicPartition(self._topic, p): start for p, start in starts.items()}
            )
            while not self._changed.is_set():
                record_batches = await self._next(consumer)
                for tp, records in record_batches.items():
                    await self._deliver(tp.partition, records)
                    self._decided.set()
                    if self._changed.is_set():
                        return None
                    starts[tp.partition] = records[-1].offset + 1
                    self._ends[tp.partition] = consumer.highwater(tp) or 0
        finally:
            self._pace = None
            await stop_consumer(consumer)
        return None

    async def _next(self, consumer: Any) -> dict[TopicPartition, list[Any]]:
        """Return the next records, or nothing once other partitions are given."""
        fetching = asyncio.ensure_future(
            consumer.getmany(timeout_ms=READER_WAIT_MS, max_records=BATCH_RECORDS)
        )
        changing = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait([fetching, changing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            changing.cancel()
            if not fetching.done():
                fetching.cancel()
        if fetching.done() and not fetching.cancelled():
            batches: dict[TopicPartition, list[Any]] = fetching.result()
            return batches
        return {}

    async def _until_changed(self) -> None:
        await self._changed.wait()
