"""The clock of this machine, in the unit of the contract."""

from __future__ import annotations

import time

from schemas.base import Instant


def now_ms() -> Instant:
    """Return the present time in ms since the epoch."""
    return time.time_ns() // 1_000_000
