"""Wait for a condition, never for a time."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Self

POLL_S = 0.02
TURN_S = 1.0


class Patience:
    """Time in which this process ran: while the whole machine stands still nobody is late."""

    def __init__(self, seconds: float) -> None:
        self._left, self._turn = seconds, time.monotonic()

    def is_over(self) -> bool:
        """To be asked at every turn."""
        last, self._turn = self._turn, time.monotonic()
        self._left -= min(self._turn - last, TURN_S)
        return self._left < 0


class Standstills:
    """`with Standstills() as still`: when the whole machine stood still meanwhile, by the wall clock. `still.within(a, b)`: seconds of it."""

    def __init__(self) -> None:
        self._found: list[tuple[float, float]] = []
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="standstills", daemon=True)

    def _watch(self) -> None:
        last = time.time()
        while not self._over.wait(POLL_S):
            now = time.time()
            if now - last > TURN_S:
                self._found.append((last, now))
            last = now

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._over.set()
        self._watcher.join()

    def within(self, begin: float, end: float) -> float:
        """Epoch seconds."""
        return sum(max(min(end, b) - max(begin, a), 0.0) for a, b in self._found)


def until(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    """Return once `condition()` is true. Raises TimeoutError naming the condition."""
    patience = Patience(timeout_s)
    while not condition():
        if patience.is_over():
            raise TimeoutError(f"not within {timeout_s:g} s: {inspect.getsource(condition).strip()}")
        time.sleep(POLL_S)


async def eventually(condition: Callable[[], object | Awaitable[object]], timeout_s: float = 60.0) -> None:
    """The same inside a loop; the condition may be async."""
    patience = Patience(timeout_s)
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return
        if patience.is_over():
            raise TimeoutError(f"not within {timeout_s:g} s: {inspect.getsource(condition).strip()}")
        await asyncio.sleep(POLL_S)
