"""CPU priorities: processes that compute and show wait for those that accept and store.

See `docs/adr/0028-give-accepting-processes-priority.md`.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

ACCEPTING_NICENESS: Final = -15
"""Niceness of the processes between a report and its 202.

It applies if the system grants it (root, `LimitNICE=`, CAP_SYS_NICE).
"""
CALLING_NICENESS: Final = -15
"""Niceness of the process that calls people.

With less, a whole storm is decided before the first people are called.
"""
DECIDING_NICENESS: Final = -5
"""Niceness of the process that decides incidents.

With -10, a 202 takes a second at 500 reports/s. With 0, decisions fall far behind on a full
machine.
"""
SHOWING_NICENESS: Final = 10
"""Niceness of the processes that show and that follow activities.

With 5, decisions wait for pictures and first calls come late.
"""
FORESEEING_NICENESS: Final = 15
"""Niceness of forecasts and audits."""
_ATTEMPTS: Final = 5
_RETRY_S: Final = 0.15
"""Pause between two requests: Linux accepts ten a second from all users except root."""


async def set_priority(pid: int, nice: int) -> None:
    """Set the niceness (-20 … 19) of a process that leads a session, and of its threads.

    Refused changes are skipped. If `sched_autogroup` is on, Linux weighs sessions against each
    other, and the niceness of a process only within its own.
    """
    if not nice:
        return
    for thread in _list_threads(pid):
        try:
            os.setpriority(os.PRIO_PROCESS, thread, nice)
        except OSError:
            pass  # It has ended, or the system does not grant it
    for _ in range(_ATTEMPTS):
        if _set_session_niceness(pid, nice):
            return
        await asyncio.sleep(_RETRY_S)


def read_waiting_s(pid: int) -> float:
    """Return the seconds that the main thread of a process has waited for a processor.

    0 if the system does not report it.
    """
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def _list_threads(pid: int) -> list[int]:
    try:
        return [int(thread.name) for thread in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []  # It has ended, or this is another system


def _set_session_niceness(pid: int, nice: int) -> bool:
    """Set the niceness of a session; return False to try again."""
    try:
        Path(f"/proc/{pid}/autogroup").write_text(str(nice), encoding="ascii")
    except BlockingIOError:
        return False
    except OSError:
        pass  # It has ended, the system does not grant it, or this is another system
    return True
