"""Freed memory goes back to the system; long-lived objects stay out of garbage collection.

The C library keeps what a start has freed: parsed files, schemas in the making, the first read of
the logs. Nobody needs it again for months.

See `docs/adr/0030-freeze-long-lived-objects-in-the-garbage-collector.md`.
"""

import asyncio
import contextlib
import ctypes
import gc
from typing import Final

SETTLED_S: Final = 30.0
"""Seconds after its start from which a process frees little more."""
THRESHOLDS: Final = (10_000, 10, 10)
"""Collection thresholds. Rendering a page keeps some thousands of objects alive.

With Python's 700 they all grow old before they are freed.
"""


def return_freed_memory() -> None:
    """Return whole free pages to the system. Takes some milliseconds; does nothing elsewhere."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def schedule_return() -> None:
    """Return freed memory once the running loop has worked for a while."""
    asyncio.get_running_loop().call_later(SETTLED_S, return_freed_memory)


def freeze_long_lived() -> None:
    """Exempt all present objects from collections: modules and schemas live as long as the process.

    Reference counts free them as before.
    """
    gc.set_threshold(*THRESHOLDS)
    gc.collect()
    gc.freeze()
