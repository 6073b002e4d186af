"""How often somebody without a login may report: so many per window and place, as many more for danger to people only."""

from __future__ import annotations

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from services.runtime.problems import ProblemError

PLACES: Final = 5_000


class Limits:
    """Sliding windows in memory: a restart forgets them, which turns nobody away."""

    def __init__(self, count: int, window_s: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._count = count
        self._window_s = window_s
        self._monotonic = monotonic
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, place: str, *, danger: bool) -> None:
        """Count one. Raises ProblemError `too_many_attempts`."""
        now = self._monotonic()
        times = self._seen.setdefault(place, deque())
        self._seen.move_to_end(place)
        if len(self._seen) > PLACES:
            self._seen.popitem(last=False)
        while times and times[0] <= now - self._window_s:
            times.popleft()
        if len(times) >= self._count * (2 if danger else 1):
            wait_s = max(1, math.ceil(times[0] + self._window_s - now))
            raise ProblemError("too_many_attempts", retry_after_s=wait_s, wait_s=wait_s)
        times.append(now)
