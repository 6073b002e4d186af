"""Count items and bytes per sender and day (UTC).

The counts are in memory: a restart forgets them and turns nobody away.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

_DAY_S = 86_400


@dataclass(slots=True)
class _DailyUse:
    day: int
    count: int = 0
    size: int = 0


class DailyQuota:
    """Daily limit of items and bytes per sender. `clock` returns seconds since the epoch."""

    def __init__(
        self, per_day: int, bytes_per_day: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._per_day = per_day
        self._bytes_per_day = bytes_per_day
        self._clock = clock
        self._used: dict[str, _DailyUse] = {}

    def take(self, sender: str, size: int) -> bool:
        """Count one item of `size` bytes. Returns False, without counting it, beyond the limit."""
        today = int(self._clock() // _DAY_S)
        used = self._used.get(sender)
        if used is None or used.day != today:
            self._used = {s: u for s, u in self._used.items() if u.day == today}
            used = self._used[sender] = _DailyUse(today)
        if used.count >= self._per_day or used.size + size > self._bytes_per_day:
            return False
        used.count += 1
        used.size += size
        return True

    def give_back(self, sender: str, size: int) -> None:
        """Undo the count of an item that could not be stored; its sender will try again."""
        used = self._used.get(sender)
        if used is not None and used.count > 0:
            used.count -= 1
            used.size = max(used.size - size, 0)
