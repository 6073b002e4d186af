"""Rendered screens, shared: when a realm changes, all who look at the same screen refresh at once; one of them pays.

A render is known by what it shows (address, query, language, theme, rights) and by the newest log positions behind it, so nobody is
given a state older than the change that he heard of. It lives a few seconds at most, because the passing time is in it too.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

LIFE_S: Final = 5.0
KEPT: Final = 64


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A page, and the reports whose words stand in it: each reading of them is written down (D59)."""

    text: bytes
    reports: tuple[str, ...] = ()


class Renders(Generic[T]):
    """At most `KEPT` renders; one at a time per key."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[Hashable, tuple[float, asyncio.Task[T]]] = OrderedDict()

    async def get(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """The page of `key`, made if there is none. An error of `make` is everybody's who waited, and is not kept."""
        now = self._clock()
        found = self._kept.get(key)
        if found is None or now - found[0] > LIFE_S:
            found = (now, asyncio.ensure_future(_run(make)))
            self._kept[key] = found
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        task = found[1]
        try:
            return await asyncio.shield(task)
        except BaseException:
            if task.done() and self._kept.get(key) is found:
                del self._kept[key]
            raise


async def _run(make: Callable[[], Awaitable[T]]) -> T:
    return await make()
