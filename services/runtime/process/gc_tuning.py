"""Tune Python's garbage collector, so that it does not stop a process in the middle of a request.

A crisis with thousands of incidents keeps hundreds of thousands of objects alive, and a full
collection takes a third of a second. So survivors of a long collection are frozen (`gc.freeze`),
and later ones only see newer objects. Reference counts free frozen objects as before; only a cycle
among them waits for the next full collection. See
`docs/adr/0030-freeze-long-lived-objects-in-the-garbage-collector.md`.
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
from services.runtime.process.tasks import cancel_and_wait

THRESHOLDS: Final = (10_000, 10, 10)
"""Collection thresholds. Rendering a page keeps some thousands of objects alive.

With Python's 700 they all grow old before they are freed.
"""
LONG_COLLECTION_S: Final = 0.02
FULL_COLLECTION_S: Final = 3_600.0
REPORT_S: Final = 10.0
OLDEST_GENERATION: Final = 2


class GcFreezer:
    """Freezer of the survivors of a long collection.

    `gc` calls it before and after each collection, at any point of the program, so it takes no
    lock.
    """

    def __init__(self) -> None:
        self._began = 0.0
        self._looks: deque[float] = deque(maxlen=1_000)

    def __call__(self, phase: str, told: Mapping[str, Any]) -> None:
        """Measure a collection of the oldest generation, and freeze survivors if it took long."""
        if told["generation"] != OLDEST_GENERATION:
            return
        if phase == "start":
            self._began = time.perf_counter()
            return
        spent = time.perf_counter() - self._began
        self._looks.append(spent)
        if spent > LONG_COLLECTION_S:
            gc.freeze()

    def tell(self) -> None:
        """Report the collections since the last call as metrics."""
        while self._looks:
            metrics.observe("vigie_gc_seconds", self._looks.popleft())

    async def run(self) -> None:
        """Report collections, and collect everything once an hour, until cancelled."""
        while True:
            for _ in range(int(FULL_COLLECTION_S / REPORT_S)):
                await asyncio.sleep(REPORT_S)
                self.tell()
            collect_and_freeze()


@asynccontextmanager
async def freeze_long_lived() -> AsyncIterator[None]:
    """Freeze long-lived objects until the context ends. Modules and schemas are frozen at once."""
    before, collector = gc.get_threshold(), GcFreezer()
    gc.set_threshold(*THRESHOLDS)
    gc.callbacks.append(collector)
    gc.freeze()
    task = asyncio.create_task(collector.run(), name="collecting")
    try:
        yield
    finally:
        await cancel_and_wait([task])
        gc.callbacks.remove(collector)
        gc.set_threshold(*before)
        gc.unfreeze()


def collect_and_freeze() -> int:
    """Collect everything, frozen objects too, freeze the survivors and return the garbage count."""
    gc.unfreeze()
    found = gc.collect()
    gc.freeze()
    # Collects next to nothing, but Python schedules the next collection by the survivors of the
    # last.
    gc.collect()
    return found
