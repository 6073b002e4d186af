"""Processes that accept and record go before processes that compute and show."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.appliance.supervisor.plan import (
    ACCEPTING_NICENESS,
    CALLING_NICENESS,
    DECIDING_NICENESS,
    PROCESS_KINDS,
    SHOWING_NICENESS,
    set_priority,
)


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


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere priorities stay as they are")
def test_broker_and_intake_get_the_rank_that_the_system_grants() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, start_new_session=True) as process:
        asyncio.run(set_priority(process.pid, ACCEPTING_NICENESS))
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == (
            ACCEPTING_NICENESS
            if grants(f"os.setpriority(os.PRIO_PROCESS, 0, {ACCEPTING_NICENESS})")
            else os.getpriority(os.PRIO_PROCESS, 0)
        )
        assert os.sched_getscheduler(process.pid) == os.SCHED_OTHER
        process.kill()


def grants(wish: str) -> bool:
    """Return whether the system grants it; a container may refuse it even to root."""
    return (
        subprocess.run(
            [sys.executable, "-c", f"import os; {wish}"], check=False, stderr=subprocess.DEVNULL
        ).returncode
        == 0
    )


def test_a_process_that_is_gone_is_no_error() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    asyncio.run(set_priority(process.pid, 7))


def test_nothing_goes_before_the_way_from_a_report_to_the_first_call() -> None:
    nice = {kind.name: kind.nice for kind in PROCESS_KINDS}
    assert nice.pop("intake") == ACCEPTING_NICENESS < 0
    assert nice.pop("delivery") == CALLING_NICENESS <= ACCEPTING_NICENESS
    assert ACCEPTING_NICENESS < nice.pop("alerts") == DECIDING_NICENESS < 0
    assert min(nice.values()) == SHOWING_NICENESS > 0
