"""Who thinks and shows waits for who accepts and remembers."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.runtime.supervisor.plan import SERVICES
from services.runtime.supervisor.priority import yield_to_others


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere priorities stay as they are")
def test_a_process_its_threads_and_its_session_yield() -> None:
    waiting = "import threading, sys; threading.Thread(target=sys.stdin.read).start(); print(1, flush=True)"
    command = [sys.executable, "-c", waiting]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        asyncio.run(yield_to_others(process.pid, 7))
        threads = [int(t.name) for t in Path(f"/proc/{process.pid}/task").iterdir()]
        assert len(threads) == 2
        assert {os.getpriority(os.PRIO_PROCESS, t) for t in threads} == {7}
        session = Path(f"/proc/{process.pid}/autogroup")
        assert not session.exists() or session.read_text().endswith("nice 7\n")
        process.kill()


def test_a_process_that_is_gone_is_no_error() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    asyncio.run(yield_to_others(process.pid, 7))


def test_intake_waits_for_nobody_and_alerts_and_delivery_only_for_it() -> None:
    nice = {kind.name: kind.nice for kind in SERVICES}
    assert nice["intake"] == 0
    assert nice["alerts"] == nice["delivery"] < min(n for name, n in nice.items() if name not in ("intake", "alerts", "delivery"))
