"""Give memory back to the system after a large computation or the reading of a long log.

glibc keeps memory below any block in use, and memory that threads freed. A solver that used 120 MB
for two seconds would leave the process that much larger for ever, and six at once half a gigabyte.
"""

from __future__ import annotations

import ctypes
from typing import Any


def _find_malloc_trim() -> Any:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # Not glibc
        return None


_malloc_trim = _find_malloc_trim()


def release_memory() -> None:
    """Return freed memory to the system, in milliseconds. Does nothing without glibc."""
    if _malloc_trim is not None:
        _malloc_trim(0)
