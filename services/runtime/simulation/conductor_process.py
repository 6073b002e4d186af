"""The conductor as a process: reads the three logs, sends the next moves, keeps the pace.

It stores nothing: after a kill it reads the logs of the simulated realms again and derives the same
next move.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Self

import structlog

from schemas.base import Message
from schemas.runtime import CONDUCTOR
from schemas.topics import PARTITION_COUNT, SERVICES, input_topic
from services.runtime.decider.inputs import InputMarks
from services.runtime.kafka.clients import (
    build_headers,
    choose_partition,
    create_idempotent_producer,
    encode_message,
    send_with_retry,
)
from services.runtime.kafka.fetch_throttle import AWAITED_S
from services.runtime.log.reader import LONG_POLL_S, AcceptedRecord, LogReader
from services.runtime.process import metrics
from services.runtime.process.machine import now_ms
from services.runtime.process.settings import Settings
from services.runtime.simulation.conductor import (
    Conductor,
    Move,
    PlannerJob,
    Responder,
    SimulationPlanner,
)

FETCH_INTERVAL_MS: Final = 500
"""Milliseconds between fetches in a stream that no move has caused.

Such records come from realms without a script. After each move, the conductor fetches at once.
"""
SIMULATED_PARTITIONS: Final = range(PARTITION_COUNT // 2, PARTITION_COUNT)
"""Partitions of simulated realms."""
MAX_DELAY_S: Final = 2.0
"""Delay in seconds beyond which a realm continues from now instead of catching up with its pace.

This happens if no steps were requested for a while.
"""
CLOSE_TIMEOUT_S: Final = 3.0

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _RealmPace:
    """The point where times met: simulated `sim` ms at `real` s of the monotonic clock."""

    sim: int
    real: float
    speed: float

    def compute_due_time(self, at: int) -> float:
        """Return the monotonic time when the realm may reach `at`."""
        return self.real + (at - self.sim) / 1000 / self.speed


class ConductorProcess:
    """Driver of a Conductor.

    One per installation is enough. Two do no harm, because their moves carry the same ids.
    """

    def __init__(
        self,
        kafka: str,
        marks: InputMarks,
        responder: Responder,
        planner: SimulationPlanner | None = None,
    ) -> None:
        self._kafka = kafka
        self._marks = marks
        self._conductor = Conductor(responder, planner)
        self._solving: set[str] = set()
        self._solver = ThreadPoolExecutor(1, "solver")
        self._producer = create_idempotent_producer(kafka, linger_ms=0)
        self._readers = {
            s: LogReader(kafka, s, partitions=SIMULATED_PARTITIONS, every_ms=FETCH_INTERVAL_MS)
            for s in SERVICES
        }
        self._touched: asyncio.Queue[str] = asyncio.Queue()
        self._paces: dict[str, _RealmPace] = {}
        self._caught_up = False

    @classmethod
    def open(cls, responder: Responder, planner: SimulationPlanner | None = None) -> Self:
        """Return a conductor with settings from the environment."""
        settings = Settings()
        return cls(settings.kafka, InputMarks.open(settings.data.secrets), responder, planner)

    def fault(self) -> str | None:
        """Return why the conductor is not ready, None if it is."""
        return None if self._caught_up else "still reading the logs"

    async def run(self) -> None:
        """Drive the realms for ever.

        Raises Stop, HistoryChanged, KafkaError, OSError: restart then.
        """
        async with asyncio.TaskGroup() as tasks:
            await self._producer.start()
            for reader in self._readers.values():
                await reader.start()
            for reader in self._readers.values():
                async for record in reader.read_to_end():
                    self._observe(record)
            self._caught_up = True
            log.info("conductor.ready", realms=len(self._conductor.realms))
            for reader in self._readers.values():
                tasks.create_task(self._follow(reader))
            for realm in self._conductor.realms:
                self._touched.put_nowait(realm)
            while True:
                await self._move(await self._touched.get(), tasks)

    async def close(self) -> None:
        """Disconnect at the end of the process, within CLOSE_TIMEOUT_S even without a broker."""
        self._solver.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._producer.stop()
                for reader in self._readers.values():
                    await reader.stop()

    def _observe(self, record: AcceptedRecord) -> None:
        self._conductor.observe(record.transaction, record.partition, record.hash)

    async def _follow(self, reader: LogReader) -> None:
        while True:
            for record in await reader.batch(LONG_POLL_S):
                self._observe(record)
                # A record of no known realm moves nothing.
                if self._conductor.knows(realm := record.transaction.realm):
                    self._touched.put_nowait(realm)

    async def _move(self, realm: str, tasks: asyncio.TaskGroup) -> None:
        moves = self._conductor.next_moves(realm)
        if not moves:
            if self._conductor.pace(realm)[0]:
                self._paces.pop(realm, None)
            job = self._conductor.job(realm)
            if job is not None and realm not in self._solving:
                self._solving.add(realm)
                tasks.create_task(self._solve(job))
            return
        if (wait_s := self._wait_s(moves[0])) > 0:
            asyncio.get_running_loop().call_later(wait_s, self._touched.put_nowait, realm)
            return
        # Before the send: the receiver's log may show them before our acknowledgements arrive.
        self._conductor.note_sent(moves)
        for reader in self._readers.values():
            reader.hurry(AWAITED_S)
        tasks.create_task(self._send(moves))

    async def _send(self, moves: Sequence[Move]) -> None:
        """Send moves in a task of their own, so that other realms continue.

        This realm has nothing else to send until its logs show these moves. A failure ends the
        process; it starts again from the logs: no move may follow a lost one.
        """
        acknowledgements: list[asyncio.Future[Any]] = []
        for move in moves:
            if move is moves[-1] and move.service != moves[0].service:
                # The effects of the last move come after all that the other inputs hold.
                await asyncio.gather(*acknowledgements)
            headers = build_headers(
                move.message.wire_type(),
                id=move.id,
                source=CONDUCTOR,
                at=move.at,
                correlation_id=move.correlation_id,
                place=move.place,
                place_hash=move.place_hash,
                time_ms=now_ms(),
            )
            topic, value = input_topic(move.service), encode_message(move.message)
            partition, key = choose_partition(topic, move.realm), move.realm.encode()
            signed_headers = self._marks.sign(topic, key, value, headers)
            acknowledgements.append(
                await send_with_retry(self._producer, topic, value, key, partition, signed_headers)
            )
            if move.moves_time:
                metrics.count("vigie_steps_total")
        await asyncio.gather(*acknowledgements)

    async def _solve(self, job: PlannerJob) -> None:
        """Solve a job in a thread, so that other realms continue.

        Jobs run one after the other, because each takes a core and more than a hundred megabytes.
        """
        assert self._conductor.planner is not None
        answer = await asyncio.get_running_loop().run_in_executor(
            self._solver, _solve_job, self._conductor.planner, job
        )
        self._solving.discard(job.realm)
        self._conductor.accept_answer(job, answer)
        self._touched.put_nowait(job.realm)

    def _wait_s(self, move: Move) -> float:
        """Return real seconds until this move may be made; 0 for a realm without a pace."""
        _, speed = self._conductor.pace(move.realm)
        clock = self._conductor.clock(move.realm)
        if speed is None or clock is None or not move.moves_time:
            return 0.0
        now = time.monotonic()
        pace = self._paces.get(move.realm)
        if (
            pace is None
            or pace.speed != speed
            or now - pace.compute_due_time(move.at) > MAX_DELAY_S
        ):
            pace = self._paces[move.realm] = _RealmPace(clock, now, speed)
        return max(pace.compute_due_time(move.at) - now, 0.0)


def _solve_job(planner: SimulationPlanner, job: PlannerJob) -> Sequence[tuple[str, Message]]:
    return planner.solve(job)
