"""Share rendered screens between readers.

When a realm changes, everybody on the same screen refreshes at once; one request pays. The key
holds the content (address, query, language, theme, rights) and the newest log positions behind it,
so a reader never gets a state older than the change that triggered the refresh. An entry lives a
few seconds, because the page also shows the passing time.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

LIFE_S: Final = 5.0
MAX_RENDERS: Final = 64


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """A page, and the reports with text on it: each reading of them is recorded. Rule D59."""

    text: bytes
    reports: tuple[str, ...] = ()


class RenderCache(Generic[T]):
    """Cache of at most `MAX_RENDERS` renders; one render at a time per key."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[Hashable, tuple[float, asyncio.Task[T]]] = OrderedDict()

    async def get(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """Return the page of `key`, rendering it if needed.

        All waiting callers get an error of `make`; it is not cached.
        """
        now = self._clock()
        cached_render = self._kept.get(key)
        if cached_render is None or now - cached_render[0] > LIFE_S:
            cached_render = (now, asyncio.ensure_future(_await_render(make)))
            self._kept[key] = cached_render
            self._kept.move_to_end(key)
            while len(self._kept) > MAX_RENDERS:
                self._kept.popitem(last=False)
        task = cached_render[1]
        try:
            return await asyncio.shield(task)
        except BaseException:
            if task.done() and self._kept.get(key) is cached_render:
                del self._kept[key]
            raise


async def _await_render(make: Callable[[], Awaitable[T]]) -> T:
    return await make()
