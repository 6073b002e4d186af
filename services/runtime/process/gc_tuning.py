"""When Python looks for garbage in this process: what has stayed once is not looked through again in the middle of somebody's request.

A crisis with thousands of incidents is hundreds of thousands of objects that stay, and a look through all of them takes a third of a
second. So whatever survives a look that took long is set aside (`gc.freeze`): later looks go through what came since. Reference counts
free what is set aside as before; only a cycle in it waits for the next look through everything (ADR 0030).
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from services.runtime.process import metrics
from services.runtime.process.tasks import end

THRESHOLDS: Final = (10_000, 10, 10)
"""A page leaves some thousands of objects standing while it is made: with Python's 700 they all grow old before they are freed."""
LONG_S: Final = 0.02
ALL_EVERY_S: Final = 3_600.0
TOLD_EVERY_S: Final = 10.0
OLDEST: Final = 2


class Collector:
    """Sets aside what survives a long look. `gc` calls it before and after each, wherever the program just is: so it takes no lock."""

    def __init__(self) -> None:
        self._began = 0.0
        self._looks: deque[float] = deque(maxlen=1_000)

    def __call__(self, phase: str, told: Mapping[str, Any]) -> None:
        """Before and after a look."""
        if told["generation"] != OLDEST:
            return
        if phase == "start":
            self._began = time.perf_counter()
            return
        spent = time.perf_counter() - self._began
        self._looks.append(spent)
        if spent > LONG_S:
            gc.freeze()

    def tell(self) -> None:
        """The looks since the last call, as metrics."""
        while self._looks:
            metrics.observe("vigie_gc_seconds", self._looks.popleft())

    async def run(self) -> None:
        """Tell of the looks; now and then look through everything. Until cancelled."""
        while True:
            for _ in range(int(ALL_EVERY_S / TOLD_EVERY_S)):
                await asyncio.sleep(TOLD_EVERY_S)
                self.tell()
            collect_all()


@asynccontextmanager
async def collecting() -> AsyncIterator[None]:
    """Until left. What exists now (modules, schemas) is set aside at once."""
    before, collector = gc.get_threshold(), Collector()
    gc.set_threshold(*THRESHOLDS)
    gc.callbacks.append(collector)
    gc.freeze()
    task = asyncio.create_task(collector.run(), name="collecting")
    try:
        yield
    finally:
        await end([task])
        gc.callbacks.remove(collector)
        gc.set_threshold(*before)
        gc.unfreeze()


def collect_all() -> int:
    """Look through everything, also what was set aside, and set aside what stays. Gives how many objects were garbage."""
    gc.unfreeze()
    found = gc.collect()
    gc.freeze()
    gc.collect()  # of next to nothing: Python's next look depends on how much the last one left
    return found
