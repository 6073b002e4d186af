"""Who thinks and shows waits for who accepts and remembers."""

from __future__ import annotations

import asyncio
import ctypes
import os
import platform
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from services.appliance.supervisor.plan import SERVICE_KINDS
from services.appliance.supervisor.priority import (
    ACCEPTING_NICENESS,
    run_with_priority,
    set_priority,
)

SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}
REAL_TIME = "os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere priorities stay as they are")
def test_a_process_its_threads_and_its_session_yield() -> None:
    waiting = "import threading, sys; threading.Thread(target=sys.stdin.read).start(); print(1, flush=True)"
    command = [sys.executable, "-c", waiting]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        asyncio.run(set_priority(process.pid, 7))
        threads = [int(t.name) for t in Path(f"/proc/{process.pid}/task").iterdir()]
        assert len(threads) == 2
        assert {os.getpriority(os.PRIO_PROCESS, t) for t in threads} == {7}
        session = Path(f"/proc/{process.pid}/autogroup")
        assert not session.exists() or session.read_text().endswith("nice 7\n")
        process.kill()


@pytest.mark.skipif(
    platform.machine() not in SCHED_GETATTR or sys.platform != "linux",
    reason="elsewhere turns stay as they are",
)
def test_who_goes_first_has_real_time_or_short_turns_and_the_rank_that_the_system_grants() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, start_new_session=True) as process:
        asyncio.run(set_priority(process.pid, ACCEPTING_NICENESS))
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == (
            ACCEPTING_NICENESS
            if grants(f"os.setpriority(os.PRIO_PROCESS, 0, {ACCEPTING_NICENESS})")
            else os.getpriority(os.PRIO_PROCESS, 0)
        )
        if grants(REAL_TIME):
            assert os.sched_getscheduler(process.pid) == os.SCHED_RR
        elif tuple(int(n) for n in re.findall(r"\d+", platform.release())[:2]) >= (6, 12):
            assert turn_ns(process.pid) in (100_000, None)
        process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody has real time")
def test_threads_that_no_report_waits_for_do_not_keep_the_processor() -> None:
    two = (
        "import pathlib, threading, sys\n"
        "def clean():\n"
        "    pathlib.Path(f'/proc/self/task/{threading.get_native_id()}/comm').write_text('kafka-log-cleaner-thread-0')\n"
        "    print(threading.get_native_id(), flush=True)\n"
        "    sys.stdin.read()\n"
        "threading.Thread(target=clean).start()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", two],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        cleaner = int(process.stdout.readline())
        asyncio.run(set_priority(process.pid, ACCEPTING_NICENESS))
        assert os.sched_getscheduler(cleaner) == os.SCHED_OTHER
        assert os.sched_getscheduler(process.pid) == (
            os.SCHED_RR if grants(REAL_TIME) else os.SCHED_OTHER
        )
        process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody has real time")
def test_a_load_generator_waits_no_more_than_those_that_it_measures_and_only_while_it_measures() -> (
    None
):
    with run_with_priority() as granted:
        assert granted == grants(REAL_TIME)
        assert os.sched_getscheduler(0) == (os.SCHED_RR if granted else os.SCHED_OTHER)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def grants(wish: str) -> bool:
    """Of the system to a process of ours: a container may refuse it to root, too."""
    return (
        subprocess.run(
            [sys.executable, "-c", f"import os; {wish}"], check=False, stderr=subprocess.DEVNULL
        ).returncode
        == 0
    )


def turn_ns(pid: int) -> int | None:
    """Length of a turn as Linux has it; None where a sandbox does not say."""
    found = ctypes.create_string_buffer(48)
    if ctypes.CDLL(None).syscall(SCHED_GETATTR[platform.machine()], pid, found, 48, 0):
        return None
    return int(struct.unpack("=IIQiIQQQ", found.raw)[5])


def test_a_process_that_is_gone_is_no_error() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    asyncio.run(set_priority(process.pid, 7))


def test_intake_waits_for_nobody_and_alerts_and_delivery_only_for_it() -> None:
    nice = {kind.name: kind.nice for kind in SERVICE_KINDS}
    assert nice["intake"] == ACCEPTING_NICENESS
    assert (
        0
        < nice["alerts"]
        == nice["delivery"]
        < min(n for name, n in nice.items() if name not in ("intake", "alerts", "delivery"))
    )
