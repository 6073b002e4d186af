"""Send a `Tick` to the worker's own input when something is due in a live realm.

Only inputs move time: the broker's append time of the Tick fires the deadline, if nothing else
arrived before. Late, double and stale ticks are harmless. The conductor moves the time of simulated
realms.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from schemas.base import Instant

RESEND_MS: Final = 10_000
"""Milliseconds after which a Tick that has not arrived is sent again."""
FIRST_RETRY_MS: Final = 20
"""First wait after a Tick with an append time before the deadline; doubles up to a second.

The broker's clock is behind ours then.
"""
CLOCK_CHECK_S: Final = 1.0
"""Seconds between two looks at the wall clock while a deadline is armed.

The clock of asyncio stops while a machine sleeps, and does not notice a wall clock that is set
forward. A deadline would be late by the same time.
"""

SendTick = Callable[[int, str, str], Awaitable[None]]
"""Arguments: (partition, realm, id)."""


@dataclass(slots=True)
class _ArmedRealm:
    partition: int
    due: Instant
    at: Instant
    """Time to send, by this machine's clock."""
    sent: int = 0


class Ticker:
    """Earliest deadline of each live realm of this worker."""

    def __init__(self, send: SendTick, run: str) -> None:
        self._send = send
        self._run_id = run
        self._armed: dict[str, _ArmedRealm] = {}
        self._heap: list[tuple[Instant, str]] = []
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._armed)

    def arm(self, partition: int, realm: str, due: Instant | None) -> None:
        """Set the realm's earliest deadline after an input; None if it has none."""
        armed = self._armed.get(realm)
        if due is None:
            if armed is not None:
                del self._armed[realm]
            return
        if armed is not None and armed.due == due:
            return
        self._armed[realm] = _ArmedRealm(partition, due, due)
        self._push(due, realm)

    def ticked(self, realm: str) -> None:
        """Retry soon if the deadline is still armed: the broker's clock is behind."""
        if (armed := self._armed.get(realm)) is not None and armed.sent:
            armed.at = _read_clock() + min(FIRST_RETRY_MS << (armed.sent - 1), 1000)
            self._push(armed.at, realm)

    def forget(self, partition: int) -> None:
        """Forget the realms of a partition that another worker owns now."""
        for realm in [r for r, armed in self._armed.items() if armed.partition == partition]:
            del self._armed[realm]

    def _push(self, at: Instant, realm: str) -> None:
        heapq.heappush(self._heap, (at, realm))
        if self._heap[0] == (at, realm):
            self._wake.set()

    async def run(self) -> None:
        """Send ticks as they become due, until cancelled."""
        while True:
            self._wake.clear()
            now = _read_clock()
            while self._heap and self._heap[0][0] <= now:
                at, realm = heapq.heappop(self._heap)
                armed = self._armed.get(realm)
                if armed is None or armed.at != at:
                    continue  # Disarmed or moved meanwhile
                armed.sent += 1
                armed.at = now + RESEND_MS
                self._push(armed.at, realm)
                await self._send(
                    armed.partition, realm, f"tick:{self._run_id}:{realm}:{armed.due}:{armed.sent}"
                )
            delay_s = (
                min((self._heap[0][0] - _read_clock()) / 1000, CLOCK_CHECK_S)
                if self._heap
                else 60.0
            )
            try:
                await asyncio.wait_for(self._wake.wait(), max(delay_s, 0.001))
            except TimeoutError:
                pass


def _read_clock() -> Instant:
    return time.time_ns() // 1_000_000
