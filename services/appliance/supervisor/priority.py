"""Who waits when the processor is short: those that think and show, not those that accept and remember (ADR 0028)."""

from __future__ import annotations

import asyncio
import ctypes
import os
import platform
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

FIRST: Final = -15
"""Of whoever stands between a report and its 202; where the system grants it (root, `LimitNICE=`, CAP_SYS_NICE). Where it also grants real time
(root, `LimitRTPRIO=`, CAP_SYS_NICE), they wait for none of the others at all."""
_REAL_TIME: Final = 1
"""The lowest rank of those that wait for nobody but each other. Linux keeps a twentieth of each processor for all others."""
_AT_LEISURE: Final = ("C1 Compiler", "C2 Compiler", "kafka-log-clean")
"""Beginnings of the names of the broker's threads that work for seconds and that no report waits for."""
_SLICE_NS: Final = 100_000
"""Their turns: the shortest that Linux gives. Who asks for less at a time is let in sooner (6.12 and later; earlier ones take no notice)."""
_SETATTR: Final = {"x86_64": 314, "aarch64": 274}
"""Number of the system call `sched_setattr`, for which Python has no function."""
_TURNS: Final = 5
_TURN_S: Final = 0.15
"""Linux takes ten such wishes a second from all who are not root."""


async def take_turns(pid: int, nice: int) -> None:
    """Set the priority of a process that leads a session, and of its threads. `nice`: -20 … 19; below 0 also real time, or short turns where that is
    not granted. What the system refuses stays as it is.

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


def waited_s(pid: int) -> float:
    """Seconds for which the first thread of a process could have gone on and had no processor, since its start. 0 where the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


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
    if nice < 0 and not (_makes_somebody_wait(thread) and _set_real_time(thread)):
        _shorten(thread)


def _makes_somebody_wait(thread: int) -> bool:
    try:
        return (
            not Path(f"/proc/{thread}/comm")
            .read_text(encoding="utf-8", errors="replace")
            .startswith(_AT_LEISURE)
        )
    except OSError:
        return False  # it has ended


def _set_real_time(thread: int) -> bool:
    """Threads that it starts later have the same. False: not granted, or it has ended."""
    try:
        os.sched_setscheduler(thread, os.SCHED_RR, os.sched_param(_REAL_TIME))
    except (OSError, AttributeError):  # the second: not Linux
        return False
    return True


@contextmanager
def as_if_elsewhere() -> Iterator[bool]:
    """While inside, this thread waits for the processor as little as broker and intake do: a load generator beside them measures what a sender on
    another machine would see, not its own wait. False: the system does not grant it.
    """
    granted = _set_real_time(0)
    try:
        yield granted
    finally:
        if granted:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


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
