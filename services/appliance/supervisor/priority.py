"""CPU priorities: processes that compute and show wait for those that accept and store.

See `docs/adr/0028-give-accepting-processes-priority.md`.
"""

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

ACCEPTING_NICENESS: Final = -15
"""Niceness of the processes between a report and its 202.

It applies if the system grants it (root, `LimitNICE=`, CAP_SYS_NICE). If it also grants real time
(root, `LimitRTPRIO=`, CAP_SYS_NICE), they wait for no other process at all.
"""
_REAL_TIME_PRIORITY: Final = 1
"""Lowest real-time priority. Linux keeps a twentieth of each processor for all other processes."""
_BACKGROUND_THREADS: Final = ("C1 Compiler", "C2 Compiler", "kafka-log-clean")
"""Name prefixes of broker threads that work for seconds and delay no report."""
_SLICE_NS: Final = 100_000
"""Time slice, the shortest of Linux.

A thread that asks for a shorter slice runs sooner (Linux 6.12 and later; earlier ones ignore it).
"""
_SETATTR: Final = {"x86_64": 314, "aarch64": 274}
"""Number of the system call `sched_setattr`, which Python does not offer."""
_ATTEMPTS: Final = 5
_RETRY_S: Final = 0.15
"""Pause between two requests: Linux accepts ten a second from all users except root."""


async def set_priority(pid: int, nice: int) -> None:
    """Set the priority of a process that leads a session, and of its threads.

    `nice` is -20 … 19. Below 0 the threads also get real time, or short time slices if that is not
    granted. Refused changes are skipped. If `sched_autogroup` is on, Linux weighs sessions against
    each other, and the niceness of a process only within its own.
    """
    if not nice:
        return
    for thread in _list_threads(pid):
        _set_thread_priority(thread, nice)
    for _ in range(_ATTEMPTS):
        if _set_session_niceness(pid, nice):
            return
        await asyncio.sleep(_RETRY_S)


def read_waiting_s(pid: int) -> float:
    """Return seconds for which the main thread of a process waited for a processor since its start.

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


def _set_thread_priority(thread: int, nice: int) -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, thread, nice)
    except OSError:
        pass  # It has ended, or the system does not grant it
    if nice < 0 and not (_is_latency_critical(thread) and _set_real_time(thread)):
        _shorten_time_slice(thread)


def _is_latency_critical(thread: int) -> bool:
    try:
        return (
            not Path(f"/proc/{thread}/comm")
            .read_text(encoding="utf-8", errors="replace")
            .startswith(_BACKGROUND_THREADS)
        )
    except OSError:
        return False  # It has ended


def _set_real_time(thread: int) -> bool:
    """Give real time to a thread and those that it starts later; return False if refused."""
    try:
        os.sched_setscheduler(thread, os.SCHED_RR, os.sched_param(_REAL_TIME_PRIORITY))
    except (OSError, AttributeError):  # AttributeError: not Linux
        return False
    return True


@contextmanager
def run_with_priority() -> Iterator[bool]:
    """Run a thread with the priority of broker and intake, if granted; yield whether it was.

    A load generator on the same machine then measures the view of a sender elsewhere, not its own
    wait.
    """
    granted = _set_real_time(0)
    try:
        yield granted
    finally:
        if granted:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _shorten_time_slice(thread: int) -> None:
    """Set time slices of `_SLICE_NS` for a thread and those that it starts later.

    Its niceness stays.
    """
    number = _SETATTR.get(platform.machine())
    try:
        nice = os.getpriority(os.PRIO_PROCESS, thread)
    except OSError:
        return
    if number is not None and platform.system() == "Linux":
        attributes = struct.pack("=IIQiIQQQ", 48, os.SCHED_OTHER, 0, nice, 0, _SLICE_NS, 0, 0)
        ctypes.CDLL(None).syscall(number, thread, attributes, 0)


def _set_session_niceness(pid: int, nice: int) -> bool:
    """Set the niceness of a session; return False to try again."""
    try:
        Path(f"/proc/{pid}/autogroup").write_text(str(nice), encoding="ascii")
    except BlockingIOError:
        return False
    except OSError:
        pass  # It has ended, the system does not grant it, or this is another system
    return True
