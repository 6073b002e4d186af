"""Limit how often a consumer fetches: batch records in a stream, fetch a single one at once.

A fetch with its decoding, wake-ups and follow-up requests costs as much as deciding an input. So a
fetch that would start less than `every_ms` after the last one waits for the rest of that time. A
record after a pause is not delayed; in a stream, a record waits half of it on average. While a
caller waits for an answer (a command, a move of a simulated realm), nothing is delayed. See
`docs/adr/0020-batch-fetches-in-streams.md`.
"""

import time
from typing import Any, Final

FETCH_INTERVAL_MS: Final = 20
"""Milliseconds between fetches on the way from a danger to people to its calls."""
REPORT_FETCH_INTERVAL_MS: Final = 35
"""Milliseconds between fetches on the way of other reports, and of the log to the read model.

A full machine shows reports sooner with it; with 50, a stream of 20 a second comes later.
"""
BACKGROUND_FETCH_INTERVAL_MS: Final = 100
"""Milliseconds between fetches for follow-up work: plans, their rows, copies of texts.

Five times fewer fetches in a stream.
"""
EXPEDITE_S: Final = 0.25
"""Seconds for which a command speeds up its consumers, because its effects take several fetches."""
AWAITED_S: Final = 5.0
"""Seconds after a command or a move in which work in the background does not wait for more.

Its effects pass several services, each with many inputs.
"""
MEMBER_WAIT_MS: Final = 2000
"""Longest wait of the broker for a fetch of a group's member; any record ends it.

Partitions that the member gets meanwhile wait behind it.
"""
READER_WAIT_MS: Final = 5000
"""The same wait for a consumer without a group, which makes no other requests."""
MAX_IDLE_S: Final = 1.0
"""Longest pause after which aiokafka looks for the next action; events wake it earlier."""
BUSY_WAIT_MS: Final = 50
"""The wait for a fetch that leaves out partitions with waiting records.

aiokafka has one running fetch per broker, so the next fetch of those partitions waits for it.
"""


class FetchThrottle:
    """Fetch pace of one started consumer. `hurry` may be called from another thread."""

    def __init__(
        self, consumer: Any, every_ms: int = FETCH_INTERVAL_MS, idle_wait_ms: int = READER_WAIT_MS
    ) -> None:
        self._fetcher: Any = consumer._fetcher
        self._fetcher._fetcher_timeout = MAX_IDLE_S
        self._actions: Any = self._fetcher._get_actions_per_node
        self._fetcher._get_actions_per_node = self._pace_fetches
        self._every_s = every_ms / 1000
        self._idle_wait_ms = idle_wait_ms
        self._next = 0.0
        self._hurry_until = 0.0

    def hurry(self, for_s: float = EXPEDITE_S) -> None:
        """Fetch without delay for a time, because a caller waits for the next records."""
        self._hurry_until = max(self._hurry_until, time.monotonic() + for_s)

    def _pace_fetches(self, assignment: Any) -> Any:
        """Return the fetcher's next actions, without fetches if it is too early for one."""
        fetches, resets, timeout, invalid, resume = self._actions(assignment)
        if self._is_late():
            timeout = 0
        if fetches:
            now = time.monotonic()
            if now < self._next and now >= self._hurry_until:
                return [], resets, min(timeout, self._next - now), invalid, resume
            self._next = now + self._every_s
            wait_ms = BUSY_WAIT_MS if self._fetcher._records or resume else self._idle_wait_ms
            for _, request in fetches:
                request._max_wait_ms = wait_ms
        return fetches, resets, timeout, invalid, resume

    def _is_late(self) -> bool:
        """Return whether aiokafka counts an ended fetch as running.

        It has seen the end of the task but not yet run the callback for it. Nothing would wake it
        then, and it would sleep for a whole turn while records wait at the broker.
        """
        return len(self._fetcher._in_flight) > sum(
            not task.done() for task in self._fetcher._pending_tasks
        )
