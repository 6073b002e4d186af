"""Run the planner: `python -m services.continuity.reassignment.planner_process`.

It reads continuity's log, computes, and answers with inputs. It keeps no state: after a kill it
reads the log again and continues with the missing results. Proposals are computed at once, because
people wait for them. Contingency is computed in short slices on a thread of the lowest priority,
once the system is quiet, with rests in between (`idle_time`), and pauses while a proposal is
computed. It serves live realms only; the conductor answers in simulated ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

import structlog

from schemas.crisis.contingency import ContingencyComputed
from schemas.topics import PARTITION_COUNT, input_topic, live_partitions
from services.continuity.contingency.idle_time import BackgroundGate, run_timed
from services.continuity.reassignment.planner import (
    ContingencyPlanner,
    RankingJob,
    build_gains_answer,
    build_ranking_answer,
    iterate_losses,
    iterate_row_gains,
)
from services.continuity.reassignment.proposals import ProposalJob as Asked
from services.continuity.reassignment.proposals import Proposals
from services.runtime.decider.inputs import InputMarks
from services.runtime.kafka.clients import BrokerAway, RecordProducer
from services.runtime.kafka.fetch_throttle import BACKGROUND_FETCH_INTERVAL_MS
from services.runtime.log.reader import LONG_POLL_S, AcceptedRecord, LogReader
from services.runtime.worker.log_follower import run_background

LIVE_PARTITIONS: Final = live_partitions(PARTITION_COUNT)
"""Partitions of live realms."""
SLICE_S: Final = 0.2
REPEAT_S: Final = 1.0
CLOSE_S: Final = 3.0
SOURCE: Final = "/planner"

P = ParamSpec("P")
T = TypeVar("T")
log = structlog.get_logger(__name__)


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
        initializer = _lower_priority if quiet_s else None
        self._quiet = ThreadPoolExecutor(1, "contingency", initializer=initializer)
        self._given_up: set[RankingJob] = set()
        self._rested_at = 0.0
        """Monotonic time from which a crisis is ranked again.

        A quiet day is ranked before, so that a crisis that moves on for hours leaves time for it.
        """
        self.caught_up = False

    async def run(self) -> None:
        """Run for ever. Raise Stop, HistoryChanged, KafkaError, OSError to restart the process."""
        await self._reader.start()
        async for record in self._reader.read_to_end():
            self._observe(record)
        self.caught_up = True
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
        self._quiet.shutdown(wait=False, cancel_futures=True)

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
            message = await (self._gains(job) if job.gains else self._ranking(job))
            if message is None:
                return
        except MemoryError:
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

    async def _ranking(self, job: RankingJob) -> ContingencyComputed | None:
        ranking = self._planner.ranking(job)
        present = self._planner.present(job, ranking)
        losses = await self._collect_results(iterate_losses(ranking, job, present), job)
        return (
            None
            if losses is None
            else await self._quietly(build_ranking_answer, ranking, job, losses, present)
        )

    async def _gains(self, job: RankingJob) -> ContingencyComputed | None:
        row, start = self._planner.row(job), self._planner.start(job)
        gains = await self._collect_results(iterate_row_gains(start, row), job)
        return None if gains is None else build_gains_answer(row, gains)

    async def _quietly(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            self._quiet, partial(work, *args, **kwargs)
        )

    async def _collect_results(self, source: Iterator[T], job: RankingJob) -> list[T] | None:
        """Collect losses or gains in slices, paused during proposals; None if no longer wanted."""
        collected_items: list[T] = []
        while self._planner.is_wanted(job):
            await self._free.wait()
            over, work = await self._quietly(
                run_timed, partial(_run_slice, source, collected_items)
            )
            self._computed_s += work.computed_s
            await self._leisure.rest(work)
            if over:
                return collected_items
        return None


def _run_slice(source: Iterator[T], collected_items: list[T]) -> bool:
    """Continue for SLICE_S; return True at the end."""
    until = time.monotonic() + SLICE_S
    for one in source:
        collected_items.append(one)
        if time.monotonic() >= until:
            return False
    return True


def _lower_priority() -> None:
    """Give this thread idle scheduling where the system has it, else the highest nice value."""
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError):
        os.nice(19)


if __name__ == "__main__":
    run_background(
        "planner",
        lambda settings: PlannerProcess(
            settings.kafka,
            InputMarks.open(settings.data.secrets),
            quiet_s=settings.foresight_after_s,
        ),
    )
