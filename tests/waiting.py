"""Wait for a condition, never for a time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

POLL_S = 0.02


def until(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    """Return once `condition()` is true. Raises TimeoutError naming the condition."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {timeout_s:g} s: {inspect.getsource(condition).strip()}")
        time.sleep(POLL_S)


async def eventually(condition: Callable[[], object | Awaitable[object]], timeout_s: float = 60.0) -> None:
    """The same inside a loop; the condition may be async."""
    end = time.monotonic() + timeout_s
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return
        if time.monotonic() > end:
            raise TimeoutError(f"not within {timeout_s:g} s: {inspect.getsource(condition).strip()}")
        await asyncio.sleep(POLL_S)
