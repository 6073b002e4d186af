"""Read a decider's log by the rule that every reader follows.

A reader resumes from the positions that it keeps. On resume, and every five seconds even when idle,
it checks that the record before its position is still the one that it read. So a log that lost its
tail and grew again is detected by hash, not by offset. See `docs/explanation/log-protocol.md`, rule
3.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from schemas.topics import PARTITION_COUNT, ROUTES, log_topic
from services.runtime.kafka.clients import assign_from, create_groupless_consumer
from services.runtime.kafka.fetch_throttle import EXPEDITE_S, FETCH_INTERVAL_MS, FetchThrottle
from services.runtime.log.chain import MAX_IGNORED_RUN, Position, advance_position
from services.runtime.log.partition_reader import (
    PartitionReader,
    RecordMissing,
    retry_until_visible,
    stop_consumer,
)
from services.runtime.log.transaction import Transaction, compute_digest
from services.runtime.process import metrics, tracing
from services.runtime.process.exits import Stop
from services.runtime.process.tasks import cancel_and_wait
from services.runtime.worker.worker import is_answer_awaited

CHECK_S: Final = 5.0
"""Seconds between two comparisons of the record before the position with the log."""
LONG_POLL_S: Final = 30.0
"""Longest wait for a batch of a caller that has nothing else to do; a record ends it."""
BATCH_RECORDS: Final = 100
"""Records per batch.

Five times as many are read no faster, and the process keeps the memory that they were parsed into:
Python gives little back.
"""
BATCH_BYTES: Final = 1 << 17
"""Total bytes of a batch, except for a single larger record.

The openings of a hundred exercises lie side by side in a log.
"""
_FETCH_BYTES: Final = 1 << 19
"""Fetch limit per partition; a larger record comes alone.

Fetched bytes wait in memory beside those that are processed, and a projector has 24 partitions.
"""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AcceptedRecord:
    """An accepted record: its Transaction and the position after it."""

    transaction: Transaction
    partition: int
    offset: int
    hash: str
    position: Position


class HistoryChanged(Exception):
    """An operator declared a loss or a new base, so records that this reader read left the history.

    Derive everything again from the beginning.
    """

    def __init__(self, service: str, partition: int) -> None:
        super().__init__(f"partition {partition} of {log_topic(service)} has another history now")
        self.service = service
        self.partition = partition


def find_newest_logic(service: str) -> int:
    """Return the newest logic version of a service that this program has a route table for."""
    return max(logic for logic, table in ROUTES.items() if service in table)


class LogReader:
    """Accepted records of `<service>.log`, each once.

    Usage: `async with LogReader(kafka, "alerts", start=kept) as reader: async for record in
    reader: …`

    Records come in log order per partition, from the start position on; partitions interleave.
    While the broker is away, the reader waits and retries. Raises Stop (`log.truncated`,
    `logic.newer`, `chain.stuck`) and HistoryChanged.
    """

    def __init__(
        self,
        kafka: str,
        service: str,
        start: Mapping[int, Position] | None = None,
        *,
        partitions: Iterable[int] = range(PARTITION_COUNT),
        logic: int | None = None,
        every_ms: int = FETCH_INTERVAL_MS,
    ) -> None:
        """Create a reader; `every_ms` is the least time between fetches in a stream.

        See `services.runtime.kafka.fetch_throttle`.
        """
        self._kafka = kafka
        self.service = service
        self._topic = log_topic(service)
        self._logic = find_newest_logic(service) if logic is None else logic
        self._every_ms = every_ms
        self.positions: dict[int, Position] = {
            p: (start or {}).get(p, Position()) for p in partitions
        }
        """Partition → position after the last record that was read, accepted or not.

        Keep it with the data that you derive.
        """
        self._began: dict[int, int] = {}
        """Partition → end of the log when this reader started."""
        self._tps = {p: TopicPartition(self._topic, p) for p in self.positions}
        self._consumer: Any = None
        self._pace: FetchThrottle | None = None
        self._checker: asyncio.Task[None] | None = None
        self._failure: asyncio.Future[None] | None = None
        self._fetched: deque[tuple[int, Any]] = deque()
        """(partition, record) pairs that are fetched but not parsed yet."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Check the kept positions and start.

        Raises Stop, HistoryChanged, or KafkaError without a broker.
        """
        self._began = await self._check(dict(self.positions))
        self._failure = asyncio.get_running_loop().create_future()
        await self._open()
        self._checker = asyncio.create_task(self._check_for_ever(), name=f"check {self._topic}")

    async def stop(self) -> None:
        """Stop reading; `positions` stay."""
        try:
            if self._checker is not None:
                await cancel_and_wait([self._checker])
        finally:  # Also if this task is cancelled while the checker ends
            if self._failure is not None:
                self._failure.cancel()
            await self._close()

    def __aiter__(self) -> AsyncIterator[AcceptedRecord]:
        return self._forever()

    async def _forever(self) -> AsyncIterator[AcceptedRecord]:
        while True:
            for record in await self.batch():
                yield record

    async def batch(self, timeout_s: float = 1.0) -> list[AcceptedRecord]:
        """Return the next accepted records, at least one unless `timeout_s` passes.

        Raises Stop, HistoryChanged.
        """
        until = time.monotonic() + timeout_s
        while True:
            if self._failure is not None and self._failure.done():
                self._failure.result()
            records = await self._poll(until)
            if records or time.monotonic() >= until:
                return records

    async def _poll(self, until: float) -> list[AcceptedRecord]:
        try:
            if self._consumer is None:
                await self._open()
            if not self._fetched:
                await self._fetch(until)
            return self._take_batch()
        except OffsetOutOfRangeError:
            await self._check(dict(self.positions))  # This names the damage, if there is one.
            # The log is shorter, but nothing before our position is missing: continue to read.
            await self._close()
        except (KafkaError, OSError) as error:
            log.warning(
                "reader.interrupted", topic=self._topic, error=f"{type(error).__name__}: {error}"
            )
            await self._close()
            await asyncio.sleep(min(0.5, max(until - time.monotonic(), 0)))
        return []

    async def _fetch(self, until: float) -> None:
        """Wait for records until the time is over or the check of the positions fails.

        Raises KafkaError, OSError.
        """
        wait_ms = max(int((until - time.monotonic()) * 1000), 0)
        fetching = asyncio.ensure_future(
            self._consumer.getmany(timeout_ms=wait_ms, max_records=BATCH_RECORDS)
        )
        waiting = [fetching] if self._failure is None else [fetching, self._failure]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not fetching.done():
                fetching.cancel()
        if fetching.done() and not fetching.cancelled():
            self._fetched.extend(
                (tp.partition, record)
                for tp, records in fetching.result().items()
                for record in records
            )

    def _take_batch(self) -> list[AcceptedRecord]:
        records, size = [], 0
        while self._fetched and size < BATCH_BYTES:
            p, record = self._fetched.popleft()
            size += len(record.value or b"")
            position, transaction = advance_position(
                self.positions[p], record.offset, record.value, self._logic
            )
            self.positions[p] = position
            if transaction is None:
                metrics.count("vigie_records_ignored_total", service=self.service, partition=str(p))
                self._still_sane(p, position)
            else:
                if record.headers:
                    transaction = replace(
                        transaction, traceparent=tracing.read_traceparent(record.headers)
                    )
                records.append(
                    AcceptedRecord(transaction, p, record.offset, position.hash, position)
                )
                if is_answer_awaited(transaction.src):
                    self.hurry()
        return records

    def hurry(self, for_s: float = EXPEDITE_S) -> None:
        """Fetch without delay for a time, because a caller waits for the next records."""
        if self._pace is not None:
            self._pace.hurry(for_s)

    def _still_sane(self, p: int, at: Position) -> None:
        """Raise Stop (`chain.stuck`) if more records were ignored than a zombie can leave.

        Only records since the start count.
        """
        if min(at.ignored_run, at.next - self._began.get(p, at.next)) > MAX_IGNORED_RUN:
            raise Stop(
                "chain.stuck",
                f"partition {p} of {self._topic}: {at.ignored_run} records in a row do not continue the chain after seq {at.seq}",
            )

    async def read_to_end(self) -> AsyncIterator[AcceptedRecord]:
        """Yield everything up to the end that the log has now. Raises like iteration."""
        async with PartitionReader(self._kafka) as reader:
            ends = {
                p: end for p, (_, end) in (await reader.bounds(self._topic, self.positions)).items()
            }
        while any(self.positions[p].next < end for p, end in ends.items()):
            for record in await self.batch():
                yield record

    async def _open(self) -> None:
        consumer: Any = create_groupless_consumer(self._kafka, fetch_bytes=_FETCH_BYTES)
        try:
            await consumer.start()
            self._pace = FetchThrottle(consumer, self._every_ms)
            assign_from(consumer, {tp: self.positions[p].next for p, tp in self._tps.items()})
        except BaseException:
            await stop_consumer(consumer)
            raise
        self._consumer = consumer

    async def _close(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._fetched.clear()
        if consumer is not None:
            await stop_consumer(consumer)

    async def _check_for_ever(self) -> None:
        assert self._failure is not None
        while True:
            try:
                async with PartitionReader(self._kafka, fetch_bytes=1) as reader:
                    while True:
                        await asyncio.sleep(CHECK_S)
                        await self._check_visible(reader, lambda: dict(self.positions))
            except (KafkaError, OSError):
                await asyncio.sleep(CHECK_S)  # The broker is away: reading logs that already.
            except (Stop, HistoryChanged) as error:
                self._failure.set_exception(error)
                return

    async def _check(self, positions: Mapping[int, Position]) -> dict[int, int]:
        """Return the end of each partition after checking these positions."""
        async with PartitionReader(self._kafka, fetch_bytes=1) as reader:
            bounds = await reader.bounds(self._topic, positions)
            for p, (begin, _) in bounds.items():
                if begin > positions[p].next:
                    raise Stop(
                        "log.truncated",
                        f"partition {p} of {self._topic} begins at offset {begin}, not at {positions[p].next}",
                    )
            await self._check_visible(reader, lambda: positions)
            return {p: end for p, (_, end) in bounds.items()}

    async def _check_visible(
        self, reader: PartitionReader, positions: Callable[[], Mapping[int, Position]]
    ) -> None:
        """Raise like `check_positions`, after waiting for records that are not visible yet."""

        async def look() -> None:
            await check_positions(reader, self.service, positions(), self._logic)

        await retry_until_visible(self._kafka, self._topic, look)


async def check_positions(
    reader: PartitionReader, service: str, positions: Mapping[int, Position], logic: int
) -> None:
    """Check that the record before each position is the one that was read.

    Raises Stop, Missing (`log.truncated`) or HistoryChanged.
    """
    places = {p: at for p, at in positions.items() if at.next > 0}
    last_records = await reader.at(log_topic(service), {p: at.next - 1 for p, at in places.items()})
    for p, at in places.items():
        if p in last_records and compute_digest(last_records[p].value) == at.tail:
            continue
        if await read_history(reader, service, p, logic) > at.history:
            raise HistoryChanged(service, p)
        kind = Stop if p in last_records else RecordMissing
        raise kind(
            "log.truncated",
            f"partition {p} of {log_topic(service)} no longer holds the record at offset {at.next - 1}",
        )


async def read_history(reader: PartitionReader, service: str, partition: int, logic: int) -> int:
    """Return the history count of a log partition, folded from its beginning."""
    at = Position()
    topic = log_topic(service)
    async for record in reader.read(topic, await reader.bounds(topic, [partition])):
        at, _ = advance_position(at, record.offset, record.value, logic)
    return at.history
