"""Learn the answers of the other fronts of a cluster while they are given.

Every front reads the inputs of `alerts` to their end. So a repetition at another front gets the
first answer, and another body under the same key is refused there, too.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any, Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.topics import PARTITION_COUNT
from services.intake.reports.deduplication import (
    INPUT_TOPICS,
    AnswerIndex,
    KnownReport,
    get_partition_number,
    parse_known_report,
)
from services.runtime.decider.inputs import InputMarks
from services.runtime.kafka.clients import assign_from, create_groupless_consumer
from services.runtime.kafka.fetch_throttle import READER_WAIT_MS, FetchThrottle
from services.runtime.process.tasks import run_in_thread

RETRY_S: Final = 1.0
POLL_MS: Final = 1000
FOLLOW_INTERVAL_MS: Final = 50
"""Milliseconds between fetches. In a stream a 202 waits for half of it on average.

Every machine reads every report, so the fetches of all machines add up at the brokers.
"""
CONFIRM_S: Final = 3.0
"""Longest wait for the first record of a key, before the report is answered without it."""
log = structlog.get_logger(__name__)


class AnswerFollower:
    """Reader of the inputs in a cluster. `run` it once the index has caught up."""

    def __init__(
        self,
        ledger: AnswerIndex,
        kafka: str,
        marks: InputMarks,
        on_unknown: Callable[[KnownReport], None],
    ) -> None:
        """Read the inputs; `on_unknown` receives each report that the index does not have."""
        self._ledger = ledger
        self._on_unknown = on_unknown
        self._kafka = kafka
        self._marks = marks
        self._next: dict[int, int] = {}
        self._moved = asyncio.Condition()
        ledger.is_followed = True

    async def run(self) -> None:
        """Follow the inputs until cancelled."""
        while True:
            try:
                await self._follow()
            except (KafkaError, OSError, sqlite3.Error) as error:
                log.warning("answers.interrupted", error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(RETRY_S)

    async def confirm(self, topic: str, partition: int, offset: int, id: str) -> KnownReport | None:
        """Return the first report of this id, once the record at this offset was read.

        Returns None if that takes longer than `CONFIRM_S`: the decider then finds the repetition.
        """
        place = get_partition_number(topic, partition)
        try:
            async with asyncio.timeout(CONFIRM_S), self._moved:
                await self._moved.wait_for(lambda: self._next.get(place, 0) > offset)
        except TimeoutError:
            log.warning("answers.late", topic=topic, partition=partition, offset=offset)
            return None
        return self._ledger.get(id)

    async def _follow(self) -> None:
        consumer: Any = create_groupless_consumer(
            self._kafka, fetch_bytes=4 << 20, wait_ms=READER_WAIT_MS
        )
        partitions = [TopicPartition(t, p) for t in INPUT_TOPICS for p in range(PARTITION_COUNT)]
        try:
            await consumer.start()
            FetchThrottle(consumer, FOLLOW_INTERVAL_MS)
            positions = self._ledger.get_positions()
            begins = await consumer.beginning_offsets(partitions)
            for tp in partitions:
                number = get_partition_number(*tp)
                self._next[number] = max(begins[tp], positions.get(number, 0))
            assign_from(consumer, {tp: self._next[get_partition_number(*tp)] for tp in partitions})
            while True:
                record_batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=5000)
                for tp, records in record_batches.items():
                    await self._store_reports(tp, records)
        finally:
            await consumer.stop()

    async def _store_reports(self, tp: TopicPartition, records: list[Any]) -> None:
        """Store the reports of these records."""
        known_reports = (parse_known_report(r) for r in records if self._marks.proves(r))
        reports = [report for report in known_reports if report is not None]
        for report in reports:
            if self._ledger.get(report.report_id) is None:
                self._on_unknown(report)
        number = get_partition_number(*tp)
        after = records[-1].offset + 1
        await run_in_thread(self._ledger.store_read, reports, {number: after})
        self._next[number] = after
        async with self._moved:
            self._moved.notify_all()
