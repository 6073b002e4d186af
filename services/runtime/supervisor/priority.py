"""Who waits when the processor is short: those that think and show, not those that accept and remember (ADR 0028)."""

from __future__ import annotations

import asyncio
import ctypes
import os
import platform
import struct
from pathlib import Path
from typing import Final

FIRST: Final = -15
"""Of whoever stands between a report and its 202; where the system grants it (root, `LimitNICE=`, CAP_SYS_NICE)."""
_SLICE_NS: Final = 100_000
"""Their turns: the shortest that Linux gives. Who asks for less at a time is let in sooner (6.12 and later; earlier ones take no notice)."""
_SETATTR: Final = {"x86_64": 314, "aarch64": 274}
"""Number of the system call `sched_setattr`, for which Python has no function."""
_TURNS: Final = 5
_TURN_S: Final = 0.15
"""Linux takes ten such wishes a second from all who are not root."""


async def take_turns(pid: int, nice: int) -> None:
    """Set the priority of a process that leads a session, and of its threads. `nice`: -20 … 19; below 0 also short turns. What the system refuses
    stays as it is.

    Where `sched_autogroup` is on, Linux weighs sessions against each other, and the niceness of a process only within its own.
    """
    if not nice:
        return
    for thread in _threads(pid):
        _set_thread(thread, nice)
    for _ in range(_TURNS):
        if _set_session(pid, nice):
            return
        await asyncio.sleep(_TURN_S)


def _threads(pid: int) -> list[int]:
    try:
        return [int(thread.name) for thread in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []  # it has ended, or this is another system


def _set_thread(thread: int, nice: int) -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, thread, nice)
    except OSError:
        pass  # it has ended, or the system does not grant it
    if nice < 0:
        _shorten(thread)


def _shorten(thread: int) -> None:
    """Turns of `_SLICE_NS`; its niceness stays. Threads that it starts later have the same."""
    number = _SETATTR.get(platform.machine())
    try:
        nice = os.getpriority(os.PRIO_PROCESS, thread)
    except OSError:
        return
    if number is not None and platform.system() == "Linux":
        attributes = struct.pack("=IIQiIQQQ", 48, os.SCHED_OTHER, 0, nice, 0, _SLICE_NS, 0, 0)
        ctypes.CDLL(None).syscall(number, thread, attributes, 0)


def _set_session(pid: int, nice: int) -> bool:
    """False: ask again."""
    try:
        Path(f"/proc/{pid}/autogroup").write_text(str(nice), encoding="ascii")
    except BlockingIOError:
        return False
    except OSError:
        pass  # it has ended, the system does not grant it, or this is another system
    return True
