"""Reading a decider's log by the rule that every reader follows (RUNTIME §1.3).

A reader that keeps positions resumes from them. On resume, and every two seconds even when idle, it checks that the record before its
position is still the one it read: a log that lost its tail and grew again is found out by hash, not by offset.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final, Self

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from schemas.routes import ROUTES
from schemas.topics import PARTITIONS
from schemas.topics import log as log_topic
from services.runtime.kafka.clients import groupless_consumer
from services.runtime.kafka.fetch_throttle import EVERY_MS, PATIENT_WAIT_MS, Pace, is_awaited
from services.runtime.log.chain import STUCK_AFTER, Position, follow
from services.runtime.log.missing_records import Missing, look_until_visible
from services.runtime.log.partition_reader import PartitionReader, stop_consumer
from services.runtime.log.transaction import Transaction, digest
from services.runtime.process import metrics, tracing
from services.runtime.process.exits import Stop
from services.runtime.process.heap import give_back
from services.runtime.process.tasks import end

CHECK_S: Final = 2.0
"""How often the record before the position is compared with the log."""
BATCH: Final = 100
"""Records at once. Five times as many are read no faster, and what they were parsed into stays with the process: Python gives little back."""
BATCH_BYTES: Final = 1 << 17
"""Of them together, but for one that is larger by itself: the openings of a hundred exercises lie side by side in a log."""
_FETCH_BYTES: Final = 1 << 19
"""Of one partition at once; a larger record comes alone. What was fetched waits beside what is read: a projector has 24 partitions."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted record: its Transaction and the position after it."""

    transaction: Transaction
    partition: int
    offset: int
    hash: str
    position: Position


class HistoryChanged(Exception):
    """An operator declared a loss or a new base after which what this reader read is no longer the log's history.

    Whatever was derived from it must be derived again from the beginning.
    """

    def __init__(self, service: str, partition: int) -> None:
        super().__init__(f"partition {partition} of {log_topic(service)} has another history now")
        self.service = service
        self.partition = partition


def newest_logic(service: str) -> int:
    """Newest logic version of a service that this program has a route table for."""
    return max(logic for logic, table in ROUTES.items() if service in table)


class LogReader:
    """Accepted records of `<service>.log`. `async with LogReader(kafka, "alerts", start=kept) as reader: async for accepted in reader: …`

    Per partition in log order, each accepted record once from the start position on; partitions interleave. While the broker is away
    it waits and tries again. Raises Stop (`log.truncated`, `logic.newer`, `chain.stuck`) and HistoryChanged.
    """

    def __init__(
        self,
        kafka: str,
        service: str,
        start: Mapping[int, Position] | None = None,
        *,
        partitions: Iterable[int] = range(PARTITIONS),
        logic: int | None = None,
        every_ms: int = EVERY_MS,
    ) -> None:
        """`every_ms`: its turns in a stream (`services.runtime.kafka.fetch_throttle`)."""
        self._kafka = kafka
        self.service = service
        self._topic = log_topic(service)
        self._logic = newest_logic(service) if logic is None else logic
        self._every_ms = every_ms
        self.positions: dict[int, Position] = {
            p: (start or {}).get(p, Position()) for p in partitions
        }
        """Partition → position after the last record that was read, accepted or not. Keep it with what you derive."""
        self._began: dict[int, int] = {}
        """Partition → where the log ended when this reader began."""
        self._tps = {p: TopicPartition(self._topic, p) for p in self.positions}
        self._consumer: Any = None
        self._pace: Pace | None = None
        self._checker: asyncio.Task[None] | None = None
        self._failure: asyncio.Future[None] | None = None
        self._fetched: deque[tuple[int, Any]] = deque()
        """(partition, record): fetched, and not parsed yet."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Check the kept positions and begin. Raises KafkaError when no broker answers, Stop, HistoryChanged."""
        self._began = await self._check(dict(self.positions))
        self._failure = asyncio.get_running_loop().create_future()
        await self._open()
        self._checker = asyncio.create_task(self._check_for_ever(), name=f"check {self._topic}")

    async def stop(self) -> None:
        """Stop reading; `positions` stay."""
        try:
            if self._checker is not None:
                await end([self._checker])
        finally:  # also when we are cancelled while the checker ends
            if self._failure is not None:
                self._failure.cancel()
            await self._close()

    def __aiter__(self) -> AsyncIterator[Accepted]:
        return self._forever()

    async def _forever(self) -> AsyncIterator[Accepted]:
        while True:
            for accepted in await self.batch():
                yield accepted

    async def batch(self, timeout_s: float = 1.0) -> list[Accepted]:
        """The next accepted records, at least one unless `timeout_s` passes. Raises Stop, HistoryChanged."""
        until = time.monotonic() + timeout_s
        while True:
            if self._failure is not None and self._failure.done():
                self._failure.result()
            accepted = await self._poll(until)
            if accepted or time.monotonic() >= until:
                return accepted

    async def _poll(self, until: float) -> list[Accepted]:
        try:
            if self._consumer is None:
                await self._open()
            if not self._fetched:
                await self._fetch(until)
            return self._take()
        except OffsetOutOfRangeError:
            await self._check(dict(self.positions))  # names what happened
            await (
                self._close()
            )  # the log is shorter and nothing is missing before our position: read on
        except (KafkaError, OSError) as error:
            log.warning(
                "reader.interrupted", topic=self._topic, error=f"{type(error).__name__}: {error}"
            )
            await self._close()
            await asyncio.sleep(min(0.5, max(until - time.monotonic(), 0)))
        return []

    async def _fetch(self, until: float) -> None:
        """Wait for records, at most until then and while the check of what was read has not failed. Raises KafkaError, OSError."""
        wait_ms = max(int((until - time.monotonic()) * 1000), 0)
        fetching = asyncio.ensure_future(
            self._consumer.getmany(timeout_ms=wait_ms, max_records=BATCH)
        )
        watched = [fetching] if self._failure is None else [fetching, self._failure]
        try:
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not fetching.done():
                fetching.cancel()
        if fetching.done() and not fetching.cancelled():
            self._fetched.extend(
                (tp.partition, record)
                for tp, records in fetching.result().items()
                for record in records
            )

    def _take(self) -> list[Accepted]:
        accepted, size = [], 0
        while self._fetched and size < BATCH_BYTES:
            p, record = self._fetched.popleft()
            size += len(record.value or b"")
            position, transaction = follow(
                self.positions[p], record.offset, record.value, self._logic
            )
            self.positions[p] = position
            if transaction is None:
                metrics.count("vigie_records_ignored_total", service=self.service, partition=str(p))
                self._still_sane(p, position)
            else:
                if record.headers:
                    transaction = replace(
                        transaction, traceparent=tracing.of_headers(record.headers)
                    )
                accepted.append(Accepted(transaction, p, record.offset, position.hash, position))
                if self._pace is not None and is_awaited(transaction.src):
                    self._pace.hurry()
        return accepted

    def _still_sane(self, p: int, at: Position) -> None:
        """Raises Stop (`chain.stuck`) when more records than any zombie leaves came since we began, and none continues the chain."""
        if min(at.ignored_run, at.next - self._began.get(p, at.next)) > STUCK_AFTER:
            raise Stop(
                "chain.stuck",
                f"partition {p} of {self._topic}: {at.ignored_run} records in a row do not continue the chain after seq {at.seq}",
            )

    async def read_to_end(self) -> AsyncIterator[Accepted]:
        """Everything up to the end of the log as it was when this was called. Raises as iteration does."""
        async with PartitionReader(self._kafka) as reader:
            ends = {
                p: end for p, (_, end) in (await reader.bounds(self._topic, self.positions)).items()
            }
        while any(self.positions[p].next < end for p, end in ends.items()):
            for accepted in await self.batch():
                yield accepted
        give_back()

    async def _open(self) -> None:
        consumer: Any = groupless_consumer(self._kafka, fetch_bytes=_FETCH_BYTES)
        try:
            await consumer.start()
            self._pace = Pace(consumer, self._every_ms, PATIENT_WAIT_MS)
            consumer.assign(list(self._tps.values()))
            for p, tp in self._tps.items():
                consumer.seek(tp, self.positions[p].next)
        except BaseException:
            await stop_consumer(consumer)
            raise
        self._consumer = consumer

    async def _close(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._fetched.clear()
        if consumer is not None:
            await stop_consumer(consumer)

    # ── is what we read still in the log? ────────────────────────────────────────────────────────────────────────

    async def _check_for_ever(self) -> None:
        assert self._failure is not None
        while True:
            try:
                async with PartitionReader(self._kafka, fetch_bytes=1) as reader:
                    while True:
                        await asyncio.sleep(CHECK_S)
                        await self._check_visible(reader, lambda: dict(self.positions))
            except (KafkaError, OSError):
                await asyncio.sleep(CHECK_S)  # the broker is away: reading says so
            except (Stop, HistoryChanged) as error:
                self._failure.set_exception(error)
                return

    async def _check(self, positions: Mapping[int, Position]) -> dict[int, int]:
        """Where each partition ends."""
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
        """Raise as `check_positions`; a record that is not visible yet is waited for."""

        async def look() -> None:
            await check_positions(reader, self.service, positions(), self._logic)

        await look_until_visible(self._kafka, self._topic, look)


async def check_positions(
    reader: PartitionReader, service: str, positions: Mapping[int, Position], logic: int
) -> None:
    """Raise Stop, Missing (`log.truncated`) or HistoryChanged if the record before a position is not the one that was read."""
    read = {p: at for p, at in positions.items() if at.next > 0}
    found = await reader.at(log_topic(service), {p: at.next - 1 for p, at in read.items()})
    for p, at in read.items():
        if p in found and digest(found[p].value) == at.tail:
            continue
        if await history_of(reader, service, p, logic) > at.history:
            raise HistoryChanged(service, p)
        kind = Stop if p in found else Missing
        raise kind(
            "log.truncated",
            f"partition {p} of {log_topic(service)} no longer holds the record at offset {at.next - 1}",
        )


async def history_of(reader: PartitionReader, service: str, partition: int, logic: int) -> int:
    """History of a log partition, folded from its beginning."""
    at = Position()
    topic = log_topic(service)
    async for record in reader.read(topic, await reader.bounds(topic, [partition])):
        at, _ = follow(at, record.offset, record.value, logic)
    return at.history
