"""The supervisor handles killed, crashing, stubborn and orphaned processes."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psutil

from services.appliance.supervisor.orphans import SUPERVISOR_VARIABLE, end_orphans
from services.appliance.supervisor.plan import NotAlive, ProcessPlan
from services.appliance.supervisor.status import SystemAddresses, read_status
from services.appliance.supervisor.stream import OutputStream
from services.appliance.supervisor.supervisor import Supervisor
from services.runtime.process.settings import DataDir
from tests.faults.matrix import proves
from tests.waiting import eventually, until

STEADY = """
import pathlib, signal, sys, time
def leave(*_):
    print("leaving"); sys.exit(0)
signal.signal(signal.SIGTERM, leave)
pathlib.Path(sys.argv[1]).touch()
print("up", flush=True)
time.sleep(600)
"""
STUBBORN = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).touch()
time.sleep(600)
"""


def plan(
    folder: Path,
    name: str,
    code: str,
    *,
    order: int = 0,
    stop_s: float = 5.0,
    restarts: bool = True,
) -> ProcessPlan:
    ready = folder / f"{name}.ready"

    async def probe() -> str | None:
        if not ready.exists():
            raise NotAlive
        return None

    environment = {
        **os.environ,
        SUPERVISOR_VARIABLE: str(os.getpid()),
        "VIGIE_DATA_DIR": str(folder),
    }
    return ProcessPlan(
        name,
        (sys.executable, "-c", code, str(ready)),
        environment,
        probe if restarts else None,
        order,
        stop_s,
        restarts,
    )


@asynccontextmanager
async def supervised(folder: Path) -> AsyncIterator[tuple[Supervisor, io.StringIO, DataDir]]:
    data = DataDir(folder)
    data.make()
    out = io.StringIO()
    stream = OutputStream(out)
    supervisor = Supervisor(data, SystemAddresses("", "", "", ""), stream)
    try:
        yield supervisor, out, data
    finally:
        await supervisor.stop()
        stream.close()


async def test_a_killed_process_is_back_within_5_seconds_and_the_status_shows_it(
    tmp_path: Path,
) -> None:
    async with supervised(tmp_path) as (supervisor, _, data):
        (child,) = supervisor.start([plan(tmp_path, "alerts", STEADY)])
        await asyncio.wait_for(child.ready.wait(), 60)
        first = child.status.pid
        assert first is not None
        (tmp_path / "alerts.ready").unlink()
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: child.status.restarts == 1 and child.ready.is_set(), timeout_s=5)
        status = read_status(data.status)
        assert status is not None
        (process,) = status["processes"]
        assert process["pid"] == child.status.pid != first
        assert (process["state"], process["restarts"]) == ("ready", 1)


@proves("worker", "restarts", note="any process of the supervisor")
async def test_a_failing_process_is_restarted_ever_more_slowly_with_its_reason(
    tmp_path: Path,
) -> None:
    async with supervised(tmp_path) as (supervisor, _, _):
        (child,) = supervisor.start(
            [plan(tmp_path, "alerts", "raise SystemExit('the keyring is damaged')")]
        )
        await eventually(lambda: child.status.state == "backing_off" and child.status.restarts >= 2)
        assert child.status.why is not None
        assert "the keyring is damaged" in child.status.why
        assert not child.ready.is_set()


async def test_the_exception_is_the_reason_despite_later_output_of_a_library(
    tmp_path: Path,
) -> None:
    code = (
        "import atexit; atexit.register(print, 'unclosed producer'); raise KeyError('the domain')"
    )
    async with supervised(tmp_path) as (supervisor, _, _):
        (child,) = supervisor.start([plan(tmp_path, "alerts", code)])
        await eventually(lambda: child.status.state == "backing_off")
        assert child.status.why == "exit 1: KeyError: 'the domain'"


async def test_a_named_exit_is_explained_with_its_repair_and_waits_for_a_person(
    tmp_path: Path,
) -> None:
    async with supervised(tmp_path) as (supervisor, _, _):
        (child,) = supervisor.start([plan(tmp_path, "alerts", "raise SystemExit(76)")])
        await eventually(lambda: child.status.state == "backing_off")
        assert (
            child.status.why
            == "logic.newer (the log was written by a newer version): start the newer version"
        )
        assert child.status.restarts == 0


async def test_a_loss_is_explained_with_its_repair_although_two_exits_have_its_code(
    tmp_path: Path,
) -> None:
    """The line of the log is long, and `vigie status` cut it before the repair."""
    code = "from services.runtime.process.exits import stop; stop('log.truncated', 'partition 0 of alerts.log no longer holds the record at offset 257')"
    async with supervised(tmp_path) as (supervisor, _, _):
        (child,) = supervisor.start([plan(tmp_path, "alerts", code)])
        await eventually(lambda: child.status.state == "backing_off")
        assert child.status.why is not None
        assert child.status.why.startswith("log.truncated (")
        assert child.status.why.endswith("then `vigie repair --accept-loss`")


async def test_processes_stop_in_order_and_none_is_killed_that_stops_in_time(
    tmp_path: Path,
) -> None:
    async with supervised(tmp_path) as (supervisor, out, _):
        children = supervisor.start(
            [plan(tmp_path, "broker", STEADY, order=9), plan(tmp_path, "intake", STEADY, order=0)]
        )
        for child in children:
            await asyncio.wait_for(child.ready.wait(), 60)
        await supervisor.stop()
        assert [child.exit_code for child in children] == [0, 0]
        assert [child.status.state for child in children] == ["stopped", "stopped"]
    process_names = [
        line.split("│")[0].strip()
        for line in out.getvalue().splitlines()
        if line.endswith("leaving")
    ]
    assert process_names == ["intake", "broker"]


async def test_only_a_process_that_does_not_stop_in_its_time_is_killed(tmp_path: Path) -> None:
    async with supervised(tmp_path) as (supervisor, _, _):
        (child,) = supervisor.start([plan(tmp_path, "alerts", STUBBORN, stop_s=0.3)])
        await asyncio.wait_for(child.ready.wait(), 60)
        await supervisor.stop()
        assert child.exit_code == -signal.SIGKILL


async def test_the_probe_has_no_connection_left_when_its_process_stops(tmp_path: Path) -> None:
    processes_at_close = list[bool]()

    async def close() -> None:
        processes_at_close.append(child.status.pid is not None and not (tmp_path / "left").exists())

    steady = STEADY.replace(
        'print("leaving")', "pathlib.Path(sys.argv[1]).with_name('left').touch()"
    )
    async with supervised(tmp_path) as (supervisor, _, _):
        (child,) = supervisor.start([replace(plan(tmp_path, "broker", steady), close_probe=close)])
        await asyncio.wait_for(child.ready.wait(), 60)
        await supervisor.stop()
        assert (child.exit_code, processes_at_close[0]) == (0, True)


async def test_a_process_that_runs_once_is_not_started_again(tmp_path: Path) -> None:
    async with supervised(tmp_path) as (supervisor, _, _):
        good, bad = supervisor.start(
            [
                plan(tmp_path, "demo", "print('played')", restarts=False),
                plan(tmp_path, "other", "raise SystemExit(1)", restarts=False),
            ]
        )
        await asyncio.wait_for(asyncio.gather(good.over.wait(), bad.over.wait()), 60)
        assert (good.status.state, bad.status.state) == ("ended", "failed")


SUPERVISOR = f"""
import asyncio, os, pathlib, sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[3])!r})
from services.runtime.process import logs
from tests.integration.runtime.test_supervisor import STEADY, STUBBORN, plan, supervised
logs.configure_logging("supervisor")
async def main():
    folder = pathlib.Path(sys.argv[1])
    async with supervised(folder) as (supervisor, _, _):
        children = supervisor.start([plan(folder, "alerts", STEADY), plan(folder, "hung", STUBBORN)])
        for child in children:
            await child.ready.wait()
        print("started", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@proves("supervisor", "kill")
def test_children_end_with_a_killed_supervisor_and_the_next_one_ends_hung_ones(
    tmp_path: Path,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path)], stdout=subprocess.PIPE
    ) as supervisor:
        try:
            assert supervisor.stdout is not None
            assert supervisor.stdout.readline() == b"started\n"
            status = read_status(tmp_path / "run" / "status.json")
            assert status is not None
            pids = {p["name"]: p["pid"] for p in status["processes"]}
        finally:
            supervisor.kill()
    until(lambda: not psutil.pid_exists(pids["alerts"]))
    assert psutil.pid_exists(pids["hung"])
    ended = end_orphans(tmp_path, grace_s=0.3)
    assert [text.split()[0] for text in ended] == [str(pids["hung"])]
    assert not psutil.pid_exists(pids["hung"])
