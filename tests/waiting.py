"""Wait for a condition, never for a time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

POLL_S = 0.02
REST = 3.0
"""Pause before the next check, in durations of the last one.

Checks of a server would otherwise slow the awaited work.
"""


def until(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    """Return once `condition()` is true. Raises TimeoutError naming the condition."""
    end = time.monotonic() + timeout_s
    began = time.monotonic()
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(
                f"not within {timeout_s:g} s: {inspect.getsource(condition).strip()}"
            )
        time.sleep(_rest_s(began))
        began = time.monotonic()


def _rest_s(began: float) -> float:
    """Return the pause before the next check; `began` = start of this one."""
    return max(POLL_S, REST * (time.monotonic() - began))


async def eventually(
    condition: Callable[[], object | Awaitable[object]], timeout_s: float = 60.0
) -> None:
    """Wait for a condition inside a loop; the condition may be async."""
    end = time.monotonic() + timeout_s
    while True:
        began = time.monotonic()
        condition_value = condition()
        if inspect.isawaitable(condition_value):
            condition_value = await condition_value
        if condition_value:
            return
        if time.monotonic() > end:
            raise TimeoutError(
                f"not within {timeout_s:g} s: {inspect.getsource(condition).strip()}"
            )
        await asyncio.sleep(_rest_s(began))
