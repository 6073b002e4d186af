"""How often a consumer asks the broker: what comes in a stream is taken together, what comes alone at once (docs/adr/0020).

A turn (fetch, decode, wake-ups, and the requests that follow from it) costs as much as deciding an input. So a fetch that would begin less than
its `every_ms` after the last one waits for the rest of that time. A record after a pause is not delayed; in a stream one waits half of it, on average.
While somebody waits for an answer (a command, a move of a simulated realm) nothing is delayed.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any, Final

from schemas.base import Command, UnknownType, message_class
from schemas.runtime import CONDUCTOR
from services.runtime.log.transaction import Source

EVERY_MS: Final = 20
"""On the way of a report to whoever must be called, and to the picture."""
UNHURRIED_MS: Final = 100
"""Of who works on what has been decided: plans, the rows that they change, copies of texts. Five times fewer turns in a stream."""
HURRY_S: Final = 0.25
"""How long a command keeps its consumers in a hurry: what follows from it takes several turns."""
IDLE_WAIT_MS: Final = 500
"""The broker's patience with a fetch that covers all partitions: whatever comes ends it. Other requests of the same consumer wait behind it."""
PATIENT_WAIT_MS: Final = 5000
"""… of a consumer that asks for nothing else."""
IDLE_TURN_S: Final = 1.0
"""aiokafka asks itself at least so often what to do next; whatever it must act on wakes it before."""
BUSY_WAIT_MS: Final = 50
"""… with one that leaves out partitions whose records wait here: aiokafka has one fetch under way per broker, so these wait for it."""


class Pace:
    """The pace of one started consumer. `hurry` may be called from another thread."""

    def __init__(
        self, consumer: Any, every_ms: int = EVERY_MS, idle_wait_ms: int = IDLE_WAIT_MS
    ) -> None:
        self._fetcher: Any = consumer._fetcher
        self._fetcher._fetcher_timeout = IDLE_TURN_S
        self._actions: Any = self._fetcher._get_actions_per_node
        self._fetcher._get_actions_per_node = self._paced
        self._every_s = every_ms / 1000
        self._idle_wait_ms = idle_wait_ms
        self._next = 0.0
        self._hurry_until = 0.0

    def hurry(self) -> None:
        """Somebody waits for what comes next."""
        self._hurry_until = time.monotonic() + HURRY_S

    def _paced(self, assignment: Any) -> Any:
        """What aiokafka's fetcher does next, without fetches when it is too early for one."""
        fetches, resets, timeout, invalid, resumed = self._actions(assignment)
        if self._is_late():
            timeout = 0
        if fetches:
            now = time.monotonic()
            if now < self._next and now >= self._hurry_until:
                return [], resets, min(timeout, self._next - now), invalid, resumed
            self._next = now + self._every_s
            wait_ms = BUSY_WAIT_MS if self._fetcher._records or resumed else self._idle_wait_ms
            for _, request in fetches:
                request._max_wait_ms = wait_ms
        return fetches, resets, timeout, invalid, resumed

    def _is_late(self) -> bool:
        """aiokafka takes a fetch that has ended for one under way: it has seen the end of the task, and not yet run the callback that says so. Nothing
        would wake it then, and it slept for a whole turn with records waiting at the broker.
        """
        return len(self._fetcher._in_flight) > sum(
            not task.done() for task in self._fetcher._pending_tasks
        )


def is_awaited(source: Source) -> bool:
    """True for an input whose answer somebody waits for: a command, or whatever moves a simulated realm on."""
    return source.source == CONDUCTOR or _is_command(source.type)


@lru_cache(maxsize=1024)
def _is_command(wire: str) -> bool:
    try:
        return issubclass(message_class(wire), Command)
    except UnknownType:
        return False
