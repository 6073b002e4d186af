"""Estimate the wait for a decision; beyond a limit, admit only danger to people.

While inputs wait, the front reads once a second the ends of both input topics and the offsets that
the decider's log has applied. They give the estimate. Danger to people has an input topic of its
own and never waits for this (`docs/adr/0044-give-danger-its-own-input-lane.md`).

Live realms share the decider. While there are several, each may have a few seconds of undecided
reports of this front in a lane, so a flood in one delays no other
(`docs/adr/0069-share-the-deciders-between-live-realms.md`).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.realms import get_territory
from schemas.topics import PARTITION_COUNT, input_topics
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
REALM_ALWAYS_ADMITTED: Final = 100
"""The same for the reports of one realm beside others."""
REALMS_AGE_S: Final = 10.0
"""Age at which the list of live realms is read again."""
MAX_WAIT_S: Final = 60
SERVICE: Final = "alerts"
ORDINARY: Final = input_topics(SERVICE)[0]
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class LaneBacklog:
    """Measurements of one lane of one partition."""

    end: int = 0
    applied: int | None = None
    """Offset of the last applied input; None while the log is empty or unread."""
    pace: float = ASSUMED_PACE
    """Inputs decided per second while some waited."""
    _sent: deque[tuple[int, str]] = field(default_factory=deque)
    """Offset and realm of this front's undecided reports."""
    _by_realm: Counter[str] = field(default_factory=Counter)

    @property
    def waiting(self) -> int:
        return 0 if self.applied is None else max(self.end - 1 - self.applied, 0)

    @property
    def wait_s(self) -> float:
        """Estimated wait in seconds of a report that arrives now."""
        return self.waiting / self.pace

    def waiting_of(self, realm: str) -> int:
        """Return the number of undecided reports of a realm that this front accepted."""
        return 0 if self.applied is None else self._by_realm[realm]

    def append(self, offset: int, realm: str) -> None:
        """Record that a report of this realm was acknowledged at this offset."""
        self.end = max(self.end, offset + 1)
        self._sent.append((offset, realm))
        self._by_realm[realm] += 1

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
        self._drop_decided(-1 if applied is None else applied)

    def _drop_decided(self, applied: int) -> None:
        """Forget decided reports. Acknowledgements may be a little out of order, so a few stay."""
        while self._sent and self._sent[0][0] <= applied:
            _, realm = self._sent.popleft()
            self._by_realm[realm] -= 1
            if not self._by_realm[realm]:
                del self._by_realm[realm]


class DecisionLag:
    """The lanes of `alerts` as one front sees them.

    `bound_s` 0 admits everything. `share_s` is the share of one realm beside others; 0 = no limit.
    """

    def __init__(
        self,
        kafka: str,
        bound_s: float,
        share_s: float = 0.0,
        live_realms: Callable[[], Collection[str]] = tuple,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Measure the lanes; `live_realms` returns the live realms of the installation."""
        self._kafka = kafka
        self._bound_s = bound_s
        self._share_s = share_s
        self._live_realms = live_realms
        self._monotonic = monotonic
        self._realms: Collection[str] = ()
        self._realms_read_at = -math.inf
        self._lanes = {
            (topic, p): LaneBacklog()
            for topic in input_topics(SERVICE)
            for p in range(PARTITION_COUNT)
        }
        self._noted = asyncio.Event()

    def appended(self, topic: str, partition: int, offset: int, realm: str) -> None:
        """Record that a report of this realm was acknowledged at this offset of a lane."""
        self._lanes[topic, partition].append(offset, realm)
        self._noted.set()

    def check(self, partition: int, realm: str, *, danger: bool = False) -> None:
        """Admit a report to the ordinary lane. Raises ProblemError `decider_behind`. Rule D140.

        Danger is there because its realm fills the urgent lane: it may wait, up to the share.
        """
        lane = self._lanes[ORDINARY, partition]
        if (
            not danger
            and self._bound_s
            and lane.waiting > ALWAYS_ADMITTED
            and lane.wait_s > self._bound_s
        ):
            raise _build_problem(lane.wait_s, self._bound_s)
        if self.is_over_share(ORDINARY, partition, realm):
            raise _build_problem(lane.waiting_of(realm) / lane.pace, self._share_s)

    def is_over_share(self, topic: str, partition: int, realm: str) -> bool:
        """Check whether a realm uses up its share of a lane, while there are others. Rule D140."""
        if not self._share_s:
            return False
        lane = self._lanes[topic, partition]
        waiting = lane.waiting_of(realm)
        if waiting <= REALM_ALWAYS_ADMITTED or waiting <= lane.pace * self._share_s:
            return False
        return self.has_neighbours(realm)

    def has_neighbours(self, realm: str) -> bool:
        """Check whether the installation has another live realm."""
        now = self._monotonic()
        if now - self._realms_read_at >= REALMS_AGE_S:
            self._realms, self._realms_read_at = self._live_realms(), now
        territory = get_territory(realm)
        return any(other != territory for other in self._realms)

    def note(self) -> str | None:
        """Return the note for /readyz while only danger is admitted. The front stays ready."""
        late = [
            lane
            for (topic, _), lane in self._lanes.items()
            if topic == ORDINARY
            and lane.waiting > ALWAYS_ADMITTED
            and lane.wait_s > self._bound_s > 0
        ]
        if not late:
            return None
        worst = max(late, key=lambda lane: lane.wait_s)
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
        """Read the offsets of every lane. Raises KafkaError, OSError, TimeoutError."""
        self._noted.clear()
        newest = await read_newest_transactions(reader, SERVICE, range(PARTITION_COUNT))
        applied = {p: list_applied_offsets(t, SERVICE) for p, t in newest.items()}
        ends = await reader.ends([TopicPartition(topic, p) for topic, p in self._lanes])
        for (topic, partition), lane in self._lanes.items():
            lane.note(
                ends[TopicPartition(topic, partition)],
                applied.get(partition, {}).get(topic),
                MEASURE_INTERVAL_S,
            )
            if topic == ORDINARY:
                metrics.set_gauge("vigie_backlog_seconds", lane.wait_s, partition=str(partition))
            if lane.waiting:
                self._noted.set()


def _build_problem(lag_s: float, bound_s: float) -> ProblemError:
    metrics.count("vigie_backlog_refused_total")
    wait_s = min(max(2, math.ceil(lag_s - bound_s)), MAX_WAIT_S)
    return ProblemError("decider_behind", retry_after_s=wait_s, wait_s=wait_s, lag_s=round(lag_s))
