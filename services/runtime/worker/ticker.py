"""`Tick` to the worker's own input exactly when something is due in a live realm and nothing else has arrived.

Only inputs move time: the broker's append time of the Tick is what fires the deadline. Late, double and stale ticks are harmless.
Simulated realms are moved by the conductor.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from schemas.base import Instant

AGAIN_MS: Final = 10_000
"""A Tick that has not come back after this long is sent again."""
SKEW_MS: Final = 20
"""First wait after a Tick whose append time was before the deadline (the broker's clock is behind); doubles up to a second."""
LOOK_S: Final = 1.0
"""How often the clock on the wall is looked at while something is armed. What asyncio waits by stands still while a machine sleeps, and knows of
no clock that is set forward: a deadline would come as much too late.
"""

SendTick = Callable[[int, str, str], Awaitable[None]]
"""(partition, realm, id)"""


@dataclass(slots=True)
class _Armed:
    partition: int
    due: Instant
    at: Instant
    """When to send, by this machine's clock."""
    sent: int = 0


class Ticker:
    """Knows the earliest deadline of each live realm of this worker."""

    def __init__(self, send: SendTick, run: str) -> None:
        self._send = send
        self._run_id = run
        self._armed: dict[str, _Armed] = {}
        self._heap: list[tuple[Instant, str]] = []
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._armed)

    def arm(self, partition: int, realm: str, due: Instant | None) -> None:
        """The realm's earliest deadline after an input; None: it has none."""
        armed = self._armed.get(realm)
        if due is None:
            if armed is not None:
                del self._armed[realm]
            return
        if armed is not None and armed.due == due:
            return
        self._armed[realm] = _Armed(partition, due, due)
        self._push(due, realm)

    def ticked(self, realm: str) -> None:
        """A Tick of this realm was applied; if its deadline is still there, the broker's clock is behind ours: try again soon."""
        if (armed := self._armed.get(realm)) is not None and armed.sent:
            armed.at = _now() + min(SKEW_MS << (armed.sent - 1), 1000)
            self._push(armed.at, realm)

    def forget(self, partition: int) -> None:
        """The partition belongs to somebody else now."""
        for realm in [r for r, armed in self._armed.items() if armed.partition == partition]:
            del self._armed[realm]

    def _push(self, at: Instant, realm: str) -> None:
        heapq.heappush(self._heap, (at, realm))
        if self._heap[0] == (at, realm):
            self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._wake.clear()
            now = _now()
            while self._heap and self._heap[0][0] <= now:
                at, realm = heapq.heappop(self._heap)
                armed = self._armed.get(realm)
                if armed is None or armed.at != at:
                    continue  # disarmed or moved meanwhile
                armed.sent += 1
                armed.at = now + AGAIN_MS
                self._push(armed.at, realm)
                await self._send(
                    armed.partition, realm, f"tick:{self._run_id}:{realm}:{armed.due}:{armed.sent}"
                )
            delay_s = min((self._heap[0][0] - _now()) / 1000, LOOK_S) if self._heap else 60.0
            try:
                await asyncio.wait_for(self._wake.wait(), max(delay_s, 0.001))
            except TimeoutError:
                pass


def _now() -> Instant:
    return time.time_ns() // 1_000_000
