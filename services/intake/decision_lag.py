"""Estimate the wait for a decision; beyond a limit, admit only danger to people.

While inputs wait, the front reads once a second the end of the ordinary input topic and the offset
that the decider's log has applied. Both give the estimate. Danger to people has an input topic of
its own and never waits for this (`docs/adr/0044-give-danger-its-own-input-lane.md`).
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.topics import PARTITION_COUNT, input_topic
from services.runtime.http.problems import ProblemError
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.process import metrics
from services.runtime.worker.lag import list_applied_offsets, read_newest_transactions

MEASURE_INTERVAL_S: Final = 1.0
ALWAYS_ADMITTED: Final = 500
"""Inputs that may always wait. So few are decided before the pace is measured."""
ASSUMED_PACE: Final = 200.0
"""Inputs per second that the decider is assumed to decide before the pace is measured."""
NEWEST_WEIGHT: Final = 0.3
"""Weight of the newest second in the measured pace."""
MAX_WAIT_S: Final = 60
SERVICE: Final = "alerts"
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class LaneBacklog:
    """Measurements of the ordinary lane of one partition."""

    end: int = 0
    applied: int | None = None
    """Offset of the last applied input; None while the log is empty or unread."""
    pace: float = ASSUMED_PACE
    """Inputs decided per second while some waited."""

    @property
    def waiting(self) -> int:
        return 0 if self.applied is None else max(self.end - 1 - self.applied, 0)

    @property
    def wait_s(self) -> float:
        """Estimated wait in seconds of a report that arrives now."""
        return self.waiting / self.pace

    def note(self, end: int, applied: int | None, elapsed_s: float) -> None:
        """Record a measurement.

        A decider that stands still does not change the pace, so the estimated wait grows with the
        backlog.
        """
        if applied is not None and self.applied is not None and self.waiting and elapsed_s > 0:
            decided = (applied - self.applied) / elapsed_s
            if decided > 0:
                self.pace += NEWEST_WEIGHT * (decided - self.pace)
        self.end, self.applied = max(self.end, end), applied


class DecisionLag:
    """The ordinary lane of `alerts` as one front sees it. `bound_s` 0 admits everything."""

    def __init__(self, kafka: str, bound_s: float) -> None:
        self._kafka = kafka
        self._bound_s = bound_s
        self._lanes = {p: LaneBacklog() for p in range(PARTITION_COUNT)}
        self._noted = asyncio.Event()

    def appended(self, partition: int, offset: int) -> None:
        """Record that a report was acknowledged at this offset of the ordinary lane."""
        lane = self._lanes[partition]
        lane.end = max(lane.end, offset + 1)
        self._noted.set()

    def check(self, partition: int) -> None:
        """Admit an ordinary report. Raises ProblemError `decider_behind`."""
        lane = self._lanes[partition]
        if not self._bound_s or lane.waiting <= ALWAYS_ADMITTED or lane.wait_s <= self._bound_s:
            return
        metrics.count("vigie_backlog_refused_total")
        wait_s = min(max(2, math.ceil(lane.wait_s - self._bound_s)), MAX_WAIT_S)
        raise ProblemError(
            "decider_behind", retry_after_s=wait_s, wait_s=wait_s, lag_s=round(lane.wait_s)
        )

    def note(self) -> str | None:
        """Return the note for /readyz while only danger is admitted. The front stays ready."""
        late = {
            p: lane
            for p, lane in self._lanes.items()
            if lane.waiting > ALWAYS_ADMITTED and lane.wait_s > self._bound_s > 0
        }
        if not late:
            return None
        worst = max(late.values(), key=lambda lane: lane.wait_s)
        return f"{worst.waiting} reports wait about {worst.wait_s:.0f} s for their decision: only danger to people is accepted"

    async def run(self) -> None:
        """Measure once a second while inputs wait, until cancelled."""
        while True:
            try:
                async with PartitionReader(self._kafka, fetch_bytes=1) as reader:
                    while True:
                        await self._noted.wait()
                        await self._look(reader)
                        await asyncio.sleep(MEASURE_INTERVAL_S)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("backlog.unknown", error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(MEASURE_INTERVAL_S)

    async def _look(self, reader: PartitionReader) -> None:
        """Read both offsets of every partition. Raises KafkaError, OSError, TimeoutError."""
        self._noted.clear()
        topic = input_topic(SERVICE)
        newest = await read_newest_transactions(reader, SERVICE, range(PARTITION_COUNT))
        applied = {
            p: list_applied_offsets(transaction, SERVICE).get(topic)
            for p, transaction in newest.items()
        }
        ends = await reader.ends([TopicPartition(topic, p) for p in range(PARTITION_COUNT)])
        for partition, lane in self._lanes.items():
            lane.note(
                ends[TopicPartition(topic, partition)], applied.get(partition), MEASURE_INTERVAL_S
            )
            metrics.set_gauge("vigie_backlog_seconds", lane.wait_s, partition=str(partition))
            if lane.waiting:
                self._noted.set()
