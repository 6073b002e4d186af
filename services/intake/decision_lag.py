"""How long an ordinary report waits for its decision; beyond a bound the front lets in danger to people alone.

The front follows the decider once a second while something waits: where its input ends, and what its log has applied. From both it estimates the wait. Danger to
people has a lane of its own (ADR 44) and never waits for this.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.topics import PARTITIONS, inputs
from services.runtime.http.problems import ProblemError
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.process import metrics
from services.runtime.worker.lag import applied_by, newest_transactions

LOOK_S: Final = 1.0
LEAST: Final = 500
"""Inputs that may always wait: fewer are decided before anybody has measured the pace."""
FIRST_PACE: Final = 200.0
"""Inputs per second that a decider is taken to decide before it was measured."""
NEWEST_SHARE: Final = 0.3
"""Weight of the newest second in the measured pace."""
LONGEST_WAIT_S: Final = 60
SERVICE: Final = "alerts"
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Lane:
    """What is known of the ordinary lane of one partition."""

    end: int = 0
    applied: int | None = None
    """Offset of the last applied input; None while its log is empty, or was not read yet."""
    pace: float = FIRST_PACE
    """Inputs decided per second while some waited."""

    @property
    def waiting(self) -> int:
        return 0 if self.applied is None else max(self.end - 1 - self.applied, 0)

    @property
    def wait_s(self) -> float:
        """Estimated wait of a report that comes now."""
        return self.waiting / self.pace

    def note(self, end: int, applied: int | None, elapsed_s: float) -> None:
        """Take in a look. A decider that stands still says nothing of its pace: what waits then grows until it is back."""
        if applied is not None and self.applied is not None and self.waiting and elapsed_s > 0:
            decided = (applied - self.applied) / elapsed_s
            if decided > 0:
                self.pace += NEWEST_SHARE * (decided - self.pace)
        self.end, self.applied = max(self.end, end), applied


class Backlog:
    """The ordinary lane of `alerts`, as one front sees it. `bound_s` 0 lets everything in."""

    def __init__(self, kafka: str, bound_s: float) -> None:
        self._kafka = kafka
        self._bound_s = bound_s
        self._lanes = {p: Lane() for p in range(PARTITIONS)}
        self._noted = asyncio.Event()

    def appended(self, partition: int, offset: int) -> None:
        """A report was acknowledged at this offset of the ordinary lane."""
        lane = self._lanes[partition]
        lane.end = max(lane.end, offset + 1)
        self._noted.set()

    def check(self, partition: int) -> None:
        """Let an ordinary report in. Raises ProblemError `decider_behind`."""
        lane = self._lanes[partition]
        if not self._bound_s or lane.waiting <= LEAST or lane.wait_s <= self._bound_s:
            return
        metrics.count("vigie_backlog_refused_total")
        wait_s = min(max(2, math.ceil(lane.wait_s - self._bound_s)), LONGEST_WAIT_S)
        raise ProblemError(
            "decider_behind", retry_after_s=wait_s, wait_s=wait_s, lag_s=round(lane.wait_s)
        )

    def note(self) -> str | None:
        """Say in /readyz that only danger is let in; the front stays ready."""
        late = {
            p: lane
            for p, lane in self._lanes.items()
            if lane.waiting > LEAST and lane.wait_s > self._bound_s > 0
        }
        if not late:
            return None
        worst = max(late.values(), key=lambda lane: lane.wait_s)
        return f"{worst.waiting} reports wait about {worst.wait_s:.0f} s for their decision: only danger to people is accepted"

    async def run(self) -> None:
        """Look once a second while something waits, until cancelled."""
        while True:
            try:
                async with PartitionReader(self._kafka, fetch_bytes=1) as reader:
                    while True:
                        await self._noted.wait()
                        await self._look(reader)
                        await asyncio.sleep(LOOK_S)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("backlog.unknown", error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(LOOK_S)

    async def _look(self, reader: PartitionReader) -> None:
        """Ask for both ends. Raises KafkaError, OSError, TimeoutError."""
        self._noted.clear()
        topic = inputs(SERVICE)
        newest = await newest_transactions(reader, SERVICE, range(PARTITIONS))
        applied = {
            p: applied_by(transaction, SERVICE).get(topic) for p, transaction in newest.items()
        }
        ends = await reader.ends([TopicPartition(topic, p) for p in range(PARTITIONS)])
        for partition, lane in self._lanes.items():
            lane.note(ends[TopicPartition(topic, partition)], applied.get(partition), LOOK_S)
            metrics.gauge("vigie_backlog_seconds", lane.wait_s, partition=str(partition))
            if lane.waiting:
                self._noted.set()
