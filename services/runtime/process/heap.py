"""Memory that a large computation or the reading of a long log has freed, given back to the system.

glibc keeps what lies below anything still in use, and what threads have freed: a solver that took 120 MB for two seconds leaves the process so
much larger for ever, and six at once leave half a gigabyte.
"""

from __future__ import annotations

import ctypes
from typing import Any


def _found() -> Any:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # not glibc
        return None


_malloc_trim = _found()


def give_back() -> None:
    """Takes milliseconds; nothing where the C library has no such call."""
    if _malloc_trim is not None:
        _malloc_trim(0)
