"""Who waits when the processor is short: those that think and show, not those that accept and remember (ADR 0028)."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

_TURNS: Final = 5
_TURN_S: Final = 0.15
"""Linux takes ten such wishes a second from all who are not root."""


async def yield_to_others(pid: int, nice: int) -> None:
    """Lower the priority of a process that leads a session, and of its threads. `nice`: 0 … 19. What the system refuses stays as it is.

    Where `sched_autogroup` is on, Linux weighs sessions against each other, and the niceness of a process only within its own.
    """
    if not nice:
        return
    _lower_threads(pid, nice)
    for _ in range(_TURNS):
        if _lower_session(pid, nice):
            return
        await asyncio.sleep(_TURN_S)


def _lower_threads(pid: int, nice: int) -> None:
    try:
        threads = [int(thread.name) for thread in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return  # it has ended, or this is another system
    for thread in threads:
        try:
            os.setpriority(os.PRIO_PROCESS, thread, nice)
        except OSError:
            pass  # this one has ended, or may not be touched


def _lower_session(pid: int, nice: int) -> bool:
    """False: ask again."""
    try:
        Path(f"/proc/{pid}/autogroup").write_text(str(nice), encoding="ascii")
    except BlockingIOError:
        return False
    except OSError:
        pass  # it has ended, or this is another system
    return True
