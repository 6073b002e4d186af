"""Give freed memory back to the system.

The C library keeps what a start has freed: parsed files, schemas in the making, the first read of
the logs. Nobody needs it again for months.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
from typing import Final

SETTLED_S: Final = 30.0
"""Seconds after its start from which a process frees little more."""


def return_freed_memory() -> None:
    """Return whole free pages to the system. Takes some milliseconds; does nothing elsewhere."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def schedule_return() -> None:
    """Return freed memory once the running loop has worked for a while."""
    asyncio.get_running_loop().call_later(SETTLED_S, return_freed_memory)
