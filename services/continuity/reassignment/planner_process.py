"""Run the planner: `python -m services.continuity.reassignment.planner_process`.

It reads continuity's log, computes, and answers with inputs. It keeps no state: after a kill it
reads the log again and continues with the missing results. Proposals are computed at once, because
people wait for them. Contingency is computed in short slices in a process of the lowest priority
(`ranking_worker.py`), once the system is quiet, with rests in between (`BackgroundGate`), and
pauses while a proposal is computed. It serves live realms only; the conductor answers in simulated
ones.

Background work begins once the system has been quiet for a while: every decider has applied its inputs, and no
live realm has a deadline within a minute. A running escalation always has one. Work then takes a
quarter of a core, or a tenth while the system is not quiet or other work wants the processor. The
planner notices the latter by itself: a process of the lowest priority gets less time than passes.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final, Self

import structlog
from aiokafka.errors import KafkaError

from schemas.crisis.contingency import ContingencyComputed
from schemas.topics import PARTITION_COUNT, input_topic, live_partitions
from services.continuity.reassignment.planner import (
    ContingencyPlanner,
    RankingJob,
)
from services.continuity.reassignment.proposals import ProposalJob as Asked
from services.continuity.reassignment.proposals import Proposals
from services.continuity.reassignment.ranking_worker import RankingWorker, WorkerEnded
from services.runtime.decider.inputs import InputMarks
from services.runtime.kafka.clients import BrokerAway, RecordProducer
from services.runtime.kafka.fetch_throttle import BACKGROUND_FETCH_INTERVAL_MS
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.log.reader import LONG_POLL_S, AcceptedRecord, LogReader
from services.runtime.process.background import run_background
from services.runtime.process.settings import Settings
from services.runtime.worker.lag import read_progress

QUIET_REST: Final = 3.0
"""Rest after work while the system is quiet, as a multiple of its duration: a quarter of a core."""
BUSY_REST: Final = 9.0
"""The same while the system is busy: a tenth of a core."""
FULL_CORE_SHARE: Final = 0.8
"""Least share of the passed time that work gets if nothing else wanted the processor."""
READING_MAX_AGE_S: Final = 5.0
"""Longest age in seconds of a reading of the system's activity."""
DUE_MS: Final = 60_000
"""A deadline within this time counts as activity."""
QUIET_READINGS: Final = 6
"""Quiet readings in a row before the first piece of work."""
LONGEST_WAIT_FACTOR: Final = 10.0
"""Multiple of the wanted quiet time after which work begins anyway, at a tenth of a core.

Without it, a long crisis would get no contingency analysis.
"""
LIVE_PARTITIONS: Final = live_partitions(PARTITION_COUNT)
"""Partitions of live realms."""
REPEAT_S: Final = 1.0
CLOSE_S: Final = 3.0
SOURCE: Final = "/planner"
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WorkSlice:
    """Piece of work: seconds of processor time, and seconds that passed."""

    computed_s: float
    passed_s: float

    @property
    def had_to_share(self) -> bool:
        """True if other work wanted the processor."""
        return self.computed_s < FULL_CORE_SHARE * self.passed_s


class BackgroundGate:
    """Gate for background work, which reads the logs; call `close` at the end."""

    def __init__(
        self,
        kafka: str,
        *,
        after_s: float,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Set the quiet time in seconds before the first work; 0: never wait, never rest."""
        self._kafka = kafka
        self._after_s = after_s
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._stack = AsyncExitStack()
        self._reader: PartitionReader | None = None
        self._looked_at = float("-inf")
        self._quiet = False

    async def close(self) -> None:
        """Close the connection to the broker."""
        self._reader = None
        await self._stack.aclose()

    async def begin(self) -> None:
        """Wait until the system has been quiet long enough, or at most LONGEST times as long."""
        look_s, give_up = (
            self._after_s / QUIET_READINGS,
            self._monotonic() + LONGEST_WAIT_FACTOR * self._after_s,
        )
        quiet = 0
        while quiet < QUIET_READINGS and self._monotonic() < give_up and self._after_s:
            await self._sleep(look_s)
            quiet = quiet + 1 if await self._is_quiet(look_s) else 0

    async def rest(self, work: WorkSlice) -> None:
        """Wait after a piece of work; the rest ends sooner once the system is quiet again."""
        rested_s, has_shared = 0.0, work.had_to_share
        while self._after_s:
            busy = has_shared or not await self._is_quiet(READING_MAX_AGE_S)
            left_s = work.computed_s * (BUSY_REST if busy else QUIET_REST) - rested_s
            if left_s <= 0:
                return
            pause_s = min(left_s, READING_MAX_AGE_S)
            await self._sleep(pause_s)
            rested_s += pause_s

    async def _is_quiet(self, old_s: float) -> bool:
        """Return the reading, at most `old_s` old; a failing broker is not quiet."""
        if self._monotonic() - self._looked_at >= old_s:
            try:
                self._quiet = await self.look()
            except (KafkaError, OSError) as error:
                log.warning("leisure.broker_away", error=f"{type(error).__name__}: {error}")
                self._quiet = False
                await self.close()
            self._looked_at = self._monotonic()
        return self._quiet

    async def look(self) -> bool:
        """Read from the logs whether the system is quiet. Raise KafkaError, OSError."""
        if self._reader is None:
            self._reader = await self._stack.enter_async_context(PartitionReader(self._kafka))
        standing = await read_progress(self._reader)
        return standing.is_quiet(round(self._clock() * 1000), DUE_MS)


class PlannerProcess:
    """Driver of a `ContingencyPlanner`.

    Two at once do no harm: the second answer to a job is a duplicate.
    """

    def __init__(self, kafka: str, marks: InputMarks, *, quiet_s: float) -> None:
        """Create the planner's process.

        Contingency is computed once the system has been quiet for `quiet_s` seconds. With 0 it is
        computed at once, without rests, at normal priority.
        """
        self._kafka, self._marks = kafka, marks
        self._leisure = BackgroundGate(kafka, after_s=quiet_s)
        self._computed_s = 0.0
        """Seconds of processor time that the running job has used."""
        self._proposals = Proposals()
        self._planner = ContingencyPlanner(self._proposals)
        self._reader = LogReader(
            kafka, "continuity", partitions=LIVE_PARTITIONS, every_ms=BACKGROUND_FETCH_INTERVAL_MS
        )
        self._news = asyncio.Event()
        self._asked = asyncio.Event()
        self._free = asyncio.Event()
        """Unset while a proposal is computed."""
        self._free.set()
        self._gives_way = quiet_s > 0
        self._given_up: set[RankingJob] = set()
        self._rested_at = 0.0
        """Monotonic time from which a crisis is ranked again.

        A quiet day is ranked before, so that a crisis that moves on for hours leaves time for it.
        """
        self._caught_up = False

    @classmethod
    def open(cls) -> Self:
        """Return a planner with settings from the environment."""
        settings = Settings()
        marks = InputMarks.open(settings.data.secrets)
        return cls(settings.kafka, marks, quiet_s=settings.foresight_after_s)

    def fault(self) -> str | None:
        """Return why the planner is not ready, None if it is."""
        return None if self._caught_up else "still reading the logs"

    async def run(self) -> None:
        """Run for ever. Raise Stop, HistoryChanged, KafkaError, OSError to restart the process."""
        await self._reader.start()
        async for record in self._reader.read_to_end():
            self._observe(record)
        self._caught_up = True
        log.info("planner.ready")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._propose())
            tasks.create_task(self._work())
            while True:
                for record in await self._reader.batch(LONG_POLL_S):
                    self._observe(record)
                    self._news.set()
                    self._asked.set()

    def _observe(self, record: AcceptedRecord) -> None:
        self._proposals.observe(record.transaction)
        self._planner.observe(record.transaction)

    async def close(self) -> None:
        """Close the connections within CLOSE_S, even if the broker is away.

        For the end of the process.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._reader.stop()
                await self._leisure.close()

    async def _propose(self) -> None:
        """Answer open requests, one realm after another; a replaced request gets no answer."""
        while True:
            self._asked.clear()
            job = next(self._proposals.jobs(), None)
            if job is None:
                await self._asked.wait()
            else:
                await self._answer(job)

    async def _answer(self, job: Asked) -> None:
        began = time.monotonic()
        self._free.clear()
        try:
            parts = await asyncio.to_thread(self._proposals.solve, job)
        finally:
            self._free.set()
        log.info(
            "proposal.computed",
            realm=job.realm,
            proposal=job.id,
            parts=len(parts),
            seconds=round(time.monotonic() - began, 1),
        )
        while self._is_open(job):
            self._asked.clear()
            try:
                async with RecordProducer(self._kafka, self._marks) as producer:
                    for id, part in parts[self._proposals.next_part(job.realm) :]:
                        await producer.send(
                            input_topic("continuity"), job.realm, part, id=id, source=SOURCE
                        )
            except BrokerAway as error:
                log.warning("planner.broker_away", error=str(error))
                await asyncio.sleep(REPEAT_S)
                continue
            while self._is_open(job):
                await self._asked.wait()
                self._asked.clear()

    def _is_open(self, job: Asked) -> bool:
        now = self._proposals.job(job.realm)
        return now is not None and now.id == job.id

    async def _work(self) -> None:
        await self._leisure.begin()
        while True:
            self._news.clear()
            rest_s = self._rested_at - time.monotonic()
            job = self._planner.next_job(self._given_up, crises=rest_s <= 0)
            if job is not None:
                self._computed_s = 0.0
                await self._carry_out(job)
                if job.stamp:
                    self._rested_at = time.monotonic() + self._computed_s
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(rest_s if rest_s > 0 else None):
                        await self._news.wait()

    async def _carry_out(self, job: RankingJob) -> None:
        began = time.monotonic()
        try:
            message = await self._compute(job)
            if message is None:
                return
        except (MemoryError, WorkerEnded):
            raise
        except Exception as error:  # the same data would fail again: a person must look, and other realms are computed meanwhile
            log.exception(
                "contingency.failed",
                realm=job.realm,
                ranking=job.id,
                reference=job.reference,
                error=f"{type(error).__name__}: {error}",
            )
            self._given_up.add(job)
            return
        while self._planner.is_wanted(job):
            try:
                async with RecordProducer(self._kafka, self._marks) as producer:
                    await producer.send(
                        input_topic("continuity"),
                        job.realm,
                        message,
                        id=job.input_id,
                        source=SOURCE,
                    )
                break
            except BrokerAway as error:
                log.warning("planner.broker_away", error=str(error))
                await asyncio.sleep(REPEAT_S)
        log.info(
            "contingency.computed",
            realm=job.realm,
            ranking=job.id,
            gains=job.gains,
            unmet=message.row.unmet,
            seconds=round(time.monotonic() - began, 1),
        )
        while self._planner.is_wanted(job):
            self._news.clear()
            await self._news.wait()

    async def _compute(self, job: RankingJob) -> ContingencyComputed | None:
        """Compute in slices, paused during proposals; None if no longer wanted."""
        async with RankingWorker(self._planner.task(job), gives_way=self._gives_way) as worker:
            while self._planner.is_wanted(job):
                await self._free.wait()
                began = time.monotonic()
                answer = await worker.compute_slice()
                work = WorkSlice(answer.computed_s, time.monotonic() - began)
                self._computed_s += work.computed_s
                await self._leisure.rest(work)
                if answer.result is not None:
                    return answer.result
        return None


if __name__ == "__main__":
    run_background("planner", {"planner": PlannerProcess.open})
