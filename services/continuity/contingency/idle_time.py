"""When the planner may compute what nobody waits for, and how long it rests between.

It begins once the system has been quiet for a while: every decider has applied its inputs, and no live realm has anything due
within a minute, as a ladder that is being climbed has. It then takes a quarter of a core, and a tenth while the system is not quiet or
somebody else wants the processor. It sees the latter by itself: a thread of the lowest priority gets less time than passes.
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
from services.runtime.worker.lag import read_standing

log = structlog.get_logger(__name__)

QUIET_REST: Final = 3.0
"""Times as long as a piece of work took, before the next one, while the system is quiet: a quarter of a core."""
BUSY_REST: Final = 9.0
"""The same while it is not: a tenth."""
SHARED: Final = 0.8
"""A piece of work that got less than this share of the time that passed had to share the processor."""
LOOK_S: Final = 5.0
"""How old what is known of the system may be."""
DUE_MS: Final = 60_000
"""Something that is due so soon is under way."""
LOOKS: Final = 6
"""Quiet looks in a row before the first piece of work."""
LONGEST: Final = 10.0
"""Times the quiet that is wanted, after which the planner begins all the same, at a tenth of a core: a long crisis has foresight, too."""


@dataclass(frozen=True, slots=True)
class Worked:
    """A piece of work: seconds of the processor that it got, and seconds that passed."""

    computed_s: float
    passed_s: float

    @property
    def had_to_share(self) -> bool:
        """Whether somebody else wanted the processor."""
        return self.computed_s < SHARED * self.passed_s


def timed(work: Callable[[], bool]) -> tuple[bool, Worked]:
    """Return what a piece of work returns, and what it took in this thread."""
    began, computed = time.monotonic(), time.thread_time()
    over = work()
    return over, Worked(time.thread_time() - computed, time.monotonic() - began)


class Leisure:
    """Looks at the logs while there is work to do. `close` it in the end."""

    def __init__(
        self,
        kafka: str,
        *,
        after_s: float,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`after_s`: how long the system must have been quiet before the first piece of work; 0: never wait, never rest."""
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
        """Let go of the broker."""
        self._reader = None
        await self._stack.aclose()

    async def begin(self) -> None:
        """Return when the system has been quiet for long enough, or has not become so for much longer."""
        look_s, give_up = self._after_s / LOOKS, self._monotonic() + LONGEST * self._after_s
        quiet = 0
        while quiet < LOOKS and self._monotonic() < give_up and self._after_s:
            await self._sleep(look_s)
            quiet = quiet + 1 if await self._is_quiet(look_s) else 0

    async def rest(self, worked: Worked) -> None:
        """Rest after a piece of work, as long as it asks for; shorter as soon as the system is quiet again."""
        rested_s, shared = 0.0, worked.had_to_share
        while self._after_s:
            busy = shared or not await self._is_quiet(LOOK_S)
            left_s = worked.computed_s * (BUSY_REST if busy else QUIET_REST) - rested_s
            if left_s <= 0:
                return
            pause_s = min(left_s, LOOK_S)
            await self._sleep(pause_s)
            rested_s += pause_s

    async def _is_quiet(self, old_s: float) -> bool:
        """Return what is known, at most so old. A broker that does not answer is not quiet."""
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
        """Read from the logs whether the system is quiet. Raises KafkaError, OSError."""
        if self._reader is None:
            self._reader = await self._stack.enter_async_context(PartitionReader(self._kafka))
        standing = await read_standing(self._reader)
        return standing.is_quiet(round(self._clock() * 1000), DUE_MS)
