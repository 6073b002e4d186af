"""Decide when the planner may do background work, and how long it rests in between.

Work begins once the system has been quiet for a while: every decider has applied its inputs, and no
live realm has a deadline within a minute. A running escalation always has one. Work then takes a
quarter of a core, or a tenth while the system is not quiet or other work wants the processor. The
planner notices the latter by itself: a thread of the lowest priority gets less time than passes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

import structlog
from aiokafka.errors import KafkaError

from services.runtime.log.partition_reader import PartitionReader
from services.runtime.worker.lag import read_progress

log = structlog.get_logger(__name__)

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


@dataclass(frozen=True, slots=True)
class WorkSlice:
    """Piece of work: seconds of processor time, and seconds that passed."""

    computed_s: float
    passed_s: float

    @property
    def had_to_share(self) -> bool:
        """True if other work wanted the processor."""
        return self.computed_s < FULL_CORE_SHARE * self.passed_s


def run_timed(work: Callable[[], bool]) -> tuple[bool, WorkSlice]:
    """Run a piece of work; return its result and its times in this thread."""
    began, thread_began = time.monotonic(), time.thread_time()
    over = work()
    return over, WorkSlice(time.thread_time() - thread_began, time.monotonic() - began)


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
