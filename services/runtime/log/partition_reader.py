"""Bounded reads of Kafka partitions without a consumer group, and the wait for a missing record.

The consumer uses `auto_offset_reset="none"` and `assign_from`: a consumer without a group that
awaits between `assign` and `seek` may silently read nothing or jump to the end.

On a topic with one copy, a missing record is lost. With several copies the leader can change: a new
leader shows the end of its log only after its followers have confirmed it, and a broker that was
cut off may answer for a log that it no longer leads. So a missing record is looked for again for
VISIBLE_S. A record with other bytes than before is damage, under any leader. See
`docs/explanation/log-protocol.md`, "A leader change is not a loss".
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Self, TypeVar

import structlog
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import OffsetOutOfRangeError

from services.runtime.kafka.clients import assign_from, create_groupless_consumer
from services.runtime.kafka.security import get_client_options
from services.runtime.process.exits import Stop

FETCH_BYTES: Final = 4 << 20
POLL_MS: Final = 500
ANSWER_TIMEOUT_S: Final = 40.0
"""Longest time that aiokafka itself waits for a response."""
STOP_RETRY_S: Final = 0.5
STOP_TIMEOUT_S: Final = 5.0
VISIBLE_S: Final = 30.0
"""Seconds after which a missing record of a replicated topic counts as lost."""
RETRY_S: Final = 0.5
log = structlog.get_logger(__name__)


async def stop_consumer(consumer: Any) -> None:
    """Stop a consumer without a group, even if aiokafka's own `stop` fails to end.

    * The fetch task may swallow the cancellation with which `stop` ends it. Then `stop` waits for
      ever.
    * The CancelledError of a fetch may leave `stop`, and the caller ends as if it had been
      cancelled.

    Both were seen: the publisher of a partition stopped silently. So `stop` runs in its own task,
    which is cancelled again (and cancels the fetch again) until it ends. A cancellation of the
    caller waits for that, because a connection that stays open here is never closed. If `stop` was
    cancelled while it waited for connections to close, it has begun to close all of them and leaves
    cancelled futures. Closing again may then end as cancelled, too.
    """
    stopping = asyncio.create_task(consumer.stop())
    interruption = await _wait_through_cancellation(stopping, again_s=STOP_RETRY_S)
    if not stopping.done() or stopping.cancelled():
        closing = asyncio.create_task(consumer._client.close())
        interruption = await _wait_through_cancellation(closing) or interruption
        task = closing
    else:
        task = stopping
    if task.done() and not task.cancelled() and (error := task.exception()) is not None:
        raise error
    if interruption is not None:
        raise interruption


async def _wait_through_cancellation(
    task: asyncio.Task[None], again_s: float | None = None
) -> asyncio.CancelledError | None:
    """Wait for a task at most STOP_PATIENCE_S, through cancellations of the caller.

    Cancels the task every `again_s` seconds, if given, until it ends. Returns the caller's last
    cancellation.
    """
    interruption: asyncio.CancelledError | None = None
    give_up = time.monotonic() + STOP_TIMEOUT_S
    while not task.done() and (remaining_s := give_up - time.monotonic()) > 0:
        try:
            ended_tasks, _ = await asyncio.wait(
                [task], timeout=remaining_s if again_s is None else again_s
            )
        except asyncio.CancelledError as cancellation:
            interruption = cancellation
            continue
        if not ended_tasks and again_s is not None:
            task.cancel()
    return interruption


class PartitionReader:
    """A consumer for bounded reads, one at a time.

    Usage: `async with PartitionReader(kafka) as reader`.
    """

    def __init__(self, kafka: str, *, fetch_bytes: int = FETCH_BYTES) -> None:
        self._consumer: Any = create_groupless_consumer(kafka, fetch_bytes=fetch_bytes, wait_ms=100)

    async def __aenter__(self) -> Self:
        try:
            await self._consumer.start()
        except BaseException:
            await stop_consumer(self._consumer)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await stop_consumer(self._consumer)

    async def bounds(self, topic: str, partitions: Iterable[int]) -> dict[int, tuple[int, int]]:
        """Return partition → (first offset kept, next offset to be written)."""
        tps = [TopicPartition(topic, p) for p in partitions]
        if not tps:
            return {}
        self._remember(tps)
        begins, ends = await self._consumer.beginning_offsets(tps), await self.ends(tps)
        return {tp.partition: (begins[tp], ends[tp]) for tp in tps}

    async def ends(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the next offset to be written of each partition, in one request."""
        partitions = list(tps)
        self._remember(partitions)
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(partitions)
        return ends

    def _remember(self, tps: Iterable[TopicPartition]) -> None:
        """Add these topics to the client's metadata before it needs their leaders.

        `assign` makes the client forget every other topic. It notices only when it needs a leader,
        and then waits for 0.1 s. A worker that recovers eight partitions changes topics forty
        times.
        """
        for topic in {tp.topic for tp in tps}:
            self._consumer._client.add_topic(topic)

    async def read(self, topic: str, ranges: Mapping[int, tuple[int, int]]) -> AsyncIterator[Any]:
        """Yield every record of `partition → [start, end)`, in order per partition.

        Compacted topics may lack offsets. Raises OffsetOutOfRangeError if a start is not in the
        topic.
        """
        ends = {TopicPartition(topic, p): end for p, (start, end) in ranges.items() if start < end}
        starts = {
            TopicPartition(topic, p): start for p, (start, end) in ranges.items() if start < end
        }
        if not ends:
            return
        assign_from(self._consumer, starts)
        todo = set(ends)
        while todo:
            for tp, records in (
                await self._consumer.getmany(*todo, timeout_ms=POLL_MS, max_records=2000)
            ).items():
                for record in records:
                    if record.offset < ends[tp]:
                        yield record
            todo = {tp for tp in todo if await self._consumer.position(tp) < ends[tp]}
        # An assigned consumer keeps fetching in the background. Its public `unsubscribe` would also
        # request the metadata of every topic.
        self._consumer._subscription.unsubscribe()

    async def at(self, topic: str, offsets: Mapping[int, int]) -> dict[int, Any]:
        """Return partition → the record at its offset, if the partition holds one there.

        This is one request, because every followed log is checked every second or two, even when
        idle. A leader that was just elected does not show the end of its log at once: only a leader
        that states the end can prove that a record is missing. Raises TimeoutError, KafkaError.
        """
        open_offsets, record_by_partition = (
            {TopicPartition(topic, p): offset for p, offset in offsets.items()},
            dict[int, Any](),
        )
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                while open_offsets:
                    open_offsets = await self._look(open_offsets, record_by_partition)
        finally:
            self._consumer._subscription.unsubscribe()
        return record_by_partition

    async def _look(
        self, offsets: dict[TopicPartition, int], records_by_partition: dict[int, Any]
    ) -> dict[TopicPartition, int]:
        """Add the records at these offsets to `records_by_partition`; return undecided offsets."""
        consumer, open_offsets = self._consumer, dict(offsets)
        assign_from(consumer, open_offsets)
        while open_offsets:
            try:
                batches = await consumer.getmany(*open_offsets, timeout_ms=POLL_MS)
            except OffsetOutOfRangeError as error:  # It begins later, or ends before
                return {
                    tp: offset for tp, offset in open_offsets.items() if tp not in error.args[0]
                }
            for tp, records in batches.items():
                offset = open_offsets.pop(tp)
                if (record := next((r for r in records if r.offset == offset), None)) is not None:
                    records_by_partition[tp.partition] = record
            unseen = [
                tp
                for tp, offset in open_offsets.items()
                if _is_beyond(consumer.highwater(tp), offset)
            ]
            for tp, end in (await self.ends(unseen)).items() if unseen else ():
                if end <= open_offsets[tp]:
                    del open_offsets[tp]
        return open_offsets


def _is_beyond(end: int | None, offset: int) -> bool:
    return end is not None and end <= offset


T = TypeVar("T")


class RecordMissing(Stop):
    """A record that existed is missing; on a replicated topic it may not be visible yet."""


async def retry_until_visible(kafka: str, topic: str, look: Callable[[], Awaitable[T]]) -> T:
    """Return the result of `look`; it is called again while it raises Missing.

    Gives up after VISIBLE_S, and at once if the topic has one copy. Other exceptions of `look` pass
    unchanged.
    """
    give_up: float | None = None
    while True:
        try:
            answer = await look()
        except RecordMissing as error:
            if give_up is None:
                give_up = time.monotonic() + (
                    VISIBLE_S if await is_replicated(kafka, topic) else 0.0
                )
                log.warning("record.not_visible", topic=topic, detail=error.detail)
            if time.monotonic() >= give_up:
                raise
            await asyncio.sleep(RETRY_S)
        else:
            if give_up is not None:
                log.info("record.visible", topic=topic)
            return answer


async def is_replicated(kafka: str, topic: str) -> bool:
    """Return whether several brokers keep some partition of a topic. Raises KafkaError."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka, **get_client_options())
    try:
        await admin.start()
        (description,) = await admin.describe_topics([topic])
    finally:
        await admin.close()
    return any(len(partition["replicas"]) > 1 for partition in description["partitions"])
