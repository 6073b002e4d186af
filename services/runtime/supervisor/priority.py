"""Who waits when the processor is short: those that think and show, not those that accept and remember (ADR 0027)."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def yield_to_others(pid: int, nice: int) -> None:
    """Lower the priority of a process that has just started. `nice`: 0 … 19. What the system refuses stays as it is.

    Linux weighs sessions, not processes, where `sched_autogroup` is on, and each process here leads a session of its own.
    """
    if not nice:
        return
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, nice)
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(nice), encoding="ascii")
