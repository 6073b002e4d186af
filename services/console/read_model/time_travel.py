"""Answer `as_of` questions from a chronicle of row versions, kept up to date with the three logs.

It is filled in the background, and before a question that it does not cover yet. No record is read
twice, even across restarts.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from heapq import heappush, heapreplace
from pathlib import Path
from typing import Final, TypeVar

import structlog
from aiokafka.errors import KafkaError

from schemas.base import Instant, UnknownType
from schemas.topics import PARTITION_COUNT, SERVICES, log_topic, partition_of
from services.console.logbook.lines import LineRecord, is_shown_in, make_line
from services.console.read_model.history import Chronicle, Fold, Version, list_versions
from services.runtime.log.chain import Position, advance_position
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.log.reader import find_newest_logic
from services.runtime.log.transaction import Transaction, compute_digest
from services.runtime.process.exits import Stop
from services.runtime.process.tasks import run_in_thread

START_DELAY_S: Final = 20.0
"""Delay between start and the first background read."""
REPEAT_S: Final = 30.0
BATCH_RECORDS: Final = 2_000
"""Records read at once."""
PAUSE_EVERY: Final = 50
"""Records after which the event loop gets a turn."""

T = TypeVar("T")
slog = structlog.get_logger(__name__)


class LogChanged(RuntimeError):
    """The log no longer holds the record up to which it was read (a loss was declared)."""


class History:
    """Keeps a chronicle up to date and answers from it. One read at a time."""

    def __init__(self, kafka: str, path: Path) -> None:
        self._kafka, self._path = kafka, path
        self._turn = asyncio.Lock()
        self._opened: Chronicle | None = None

    def close(self) -> None:
        """Release the chronicle; running reads still finish."""
        self._opened = None

    async def run(self) -> None:
        """Fill the chronicle in the background, with at most half of the time, until cancelled.

        So the first question waits for nothing.
        """
        await asyncio.sleep(START_DELAY_S)
        while True:
            began, more = time.monotonic(), False
            try:
                async with self._turn, PartitionReader(self._kafka) as reader:
                    for partition in range(PARTITION_COUNT):
                        for service in SERVICES:
                            more |= await self._take_in(reader, service, partition)
            except (KafkaError, OSError, sqlite3.Error) as error:
                slog.warning("chronicle.waits", error=str(error))
            except (Stop, UnknownType) as error:
                slog.error("chronicle.stopped", error=str(error))
                return
            await asyncio.sleep(time.monotonic() - began if more else REPEAT_S)

    async def at(self, realm: str, until: Instant) -> Fold:
        """Return the fold at `until`, without the broker if the chronicle already covers it.

        Raises KafkaError or OSError when the broker is away; sqlite3.Error on a full disk; Stop or
        UnknownType on a log that this program cannot read.
        """
        async with self._turn:
            chronicle = await self._chronicle()
            if not await run_in_thread(chronicle.covers, realm, until):
                partition = partition_of(realm, PARTITION_COUNT)
                async with PartitionReader(self._kafka) as reader:
                    for service in SERVICES:
                        while await self._take_in(reader, service, partition):
                            pass
        return Fold(chronicle, realm, until)

    async def ask(self, question: Callable[[Chronicle], T]) -> T:
        """Ask the chronicle in a thread, as far as it has read. Raises sqlite3.Error, OSError."""
        async with self._turn:
            chronicle = await self._chronicle()
        return await run_in_thread(question, chronicle)

    async def lines(
        self, realm: str, line_filter: Callable[[LineRecord], bool], limit: int
    ) -> list[LineRecord]:
        """Return lines that Redis no longer holds, newest first.

        Reads the whole logs of the realm's partition: slow, complete. Raises the errors of `at`.
        """
        async with self._turn, PartitionReader(self._kafka) as reader:
            return await read_older_lines(reader, realm, line_filter, limit)

    async def _chronicle(self) -> Chronicle:
        if self._opened is None:
            self._opened = await run_in_thread(Chronicle.open, self._path)
        return self._opened

    async def _take_in(self, reader: PartitionReader, service: str, partition: int) -> bool:
        """Read up to `BATCH_RECORDS` more records of one log and return whether more are left."""
        chronicle = await self._chronicle()
        start = position = await run_in_thread(chronicle.position, service, partition)
        versions: list[Version] = []
        try:
            async with aclosing(
                follow_log(reader, service, partition, start, most=BATCH_RECORDS)
            ) as records:
                async for position, tx in records:
                    if tx is not None:
                        versions.extend(list_versions(tx, position.head_offset))
                    if position.next % PAUSE_EVERY == 0:
                        await asyncio.sleep(0)
        except LogChanged as error:
            slog.warning(
                "chronicle.begun_anew", service=service, partition=partition, error=str(error)
            )
            await run_in_thread(chronicle.forget, service, partition)
            return True
        if position.next > start.next:
            await run_in_thread(chronicle.add, service, partition, versions, position)
        return position.next - start.next >= BATCH_RECORDS


async def read_older_lines(
    reader: PartitionReader, realm: str, line_filter: Callable[[LineRecord], bool], limit: int
) -> list[LineRecord]:
    """Return the newest `limit` matching lines of a realm, newest first.

    Reads the logs from their beginning.
    """
    partition = partition_of(realm, PARTITION_COUNT)
    newest: list[tuple[str, LineRecord]] = []
    record_count = 0
    for service in SERVICES:
        async with aclosing(follow_log(reader, service, partition, Position())) as records:
            async for _, tx in records:
                record_count += 1
                if record_count % PAUSE_EVERY == 0:
                    await asyncio.sleep(0)
                if tx is None or not is_shown_in(realm, tx, partition):
                    continue
                for ordinal, fact in enumerate(tx.facts):
                    line = make_line(tx, fact, partition, ordinal)
                    if line is None or not line_filter(line):
                        continue
                    if len(newest) < limit:
                        heappush(newest, (line.key, line))
                    elif newest[0][0] < line.key:
                        heapreplace(newest, (line.key, line))
    return [line for _, line in sorted(newest, key=lambda pair: pair[0], reverse=True)]


async def follow_log(
    reader: PartitionReader,
    service: str,
    partition: int,
    start: Position,
    *,
    most: int | None = None,
) -> AsyncGenerator[tuple[Position, Transaction | None], None]:
    """Yield each record from `start` to the end of the log, with its Transaction if accepted.

    The end is the one at the time of the call; `most` limits the number of records. Raises
    LogChanged or Stop. See `docs/explanation/log-protocol.md`.
    """
    topic, logic = log_topic(service), find_newest_logic(service)
    end = (await reader.bounds(topic, [partition]))[partition][1]
    if end < start.next:
        raise LogChanged(f"{topic}/{partition} ends at {end}, before {start.next}")
    if most is not None:
        end = min(end, start.next + most)
    at = start
    async for record in reader.read(topic, {partition: (max(start.next - 1, 0), end)}):
        if record.offset < start.next:
            if compute_digest(record.value) != start.tail:
                raise LogChanged(f"{topic}/{partition}: another record lies at {record.offset}")
            continue
        at, tx = advance_position(at, record.offset, record.value, logic)
        yield at, tx
