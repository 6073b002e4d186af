"""Wait for a condition, never for a time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

POLL_S = 0.02
"""Shortest pause between two checks."""
REST = 3.0
"""Pause before the next check, in durations of the last one.

Checks of a server would otherwise slow the awaited work.
"""
SHARE = 0.1
"""Pause before the next check, as a part of the time waited so far, up to LONGEST_S.

Checks of a server cost it as much as the test: in a long wait they would fill a quarter of a core.
"""
LONGEST_S = 0.3


def until(
    condition: Callable[[], object], timeout_s: float = 60.0, *, longest_s: float = LONGEST_S
) -> None:
    """Return once `condition()` is true. Raises TimeoutError naming the condition.

    `longest_s`: 0 for a moment that passes, or whose time is measured.
    """
    first = time.monotonic()
    began = first
    while not condition():
        if time.monotonic() > first + timeout_s:
            raise TimeoutError(
                f"not within {timeout_s:g} s: {inspect.getsource(condition).strip()}"
            )
        time.sleep(compute_rest_s(first, began, longest_s))
        began = time.monotonic()


def compute_rest_s(first: float, began: float, longest_s: float = LONGEST_S) -> float:
    """Return the pause before the next check; `began` = start of this one, `first` = of all."""
    now = time.monotonic()
    return max(POLL_S, REST * (now - began), min(longest_s, SHARE * (now - first)))


async def eventually(
    condition: Callable[[], object | Awaitable[object]],
    timeout_s: float = 60.0,
    *,
    longest_s: float = LONGEST_S,
) -> None:
    """Wait for a condition inside a loop, like `until`; the condition may be async."""
    first = time.monotonic()
    while True:
        began = time.monotonic()
        condition_value = condition()
        if inspect.isawaitable(condition_value):
            condition_value = await condition_value
        if condition_value:
            return
        if time.monotonic() > first + timeout_s:
            raise TimeoutError(
                f"not within {timeout_s:g} s: {inspect.getsource(condition).strip()}"
            )
        await asyncio.sleep(compute_rest_s(first, began, longest_s))
