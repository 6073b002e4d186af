"""Small parts of the supervisor: back-off, lock, ports, status file, log stream."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import io
import itertools
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from services.appliance.supervisor import child as child_module
from services.appliance.supervisor.child import SupervisedProcess
from services.appliance.supervisor.forking import ForkedProcess, ForkFailed, ForkServer
from services.appliance.supervisor.plan import NotAlive, Probe, ProcessPlan, StopOrder
from services.appliance.supervisor.status import (
    ProcessStatus,
    SystemAddresses,
    format_now,
    read_status,
    write_status,
)
from services.appliance.supervisor.stream import OutputStream
from services.runtime.process.files import DataDirBusy, DataDirLock, is_locked
from services.runtime.process.restarts import (
    FIRST_REPAIR_DELAY_S,
    REPAIR_DELAY_S,
    RESTART_DELAYS_S,
    STEADY_S,
    RestartBackoff,
)
from services.runtime.process.sockets import PortBusy, choose_ports, open_listening_socket
from tests.waiting import until


def test_the_first_restart_is_at_once_and_a_crash_loop_slows_down() -> None:
    backoff = RestartBackoff()
    delays = [backoff.next_delay_s(1, ready_for_s=0.0) for _ in range(12)]
    assert delays[0] == 0.0
    assert delays == sorted(delays)
    assert delays[-1] == RESTART_DELAYS_S[-1]


def test_a_process_that_had_recovered_is_restarted_at_once_again() -> None:
    backoff = RestartBackoff()
    for _ in range(5):
        backoff.next_delay_s(1, ready_for_s=0.0)
    assert backoff.next_delay_s(-9, ready_for_s=STEADY_S) == 0.0


def test_an_exit_that_waits_for_a_person_is_not_retried_at_once() -> None:
    backoff = RestartBackoff()
    delays = [backoff.next_delay_s(73, ready_for_s=s) for s in (100.0, 0.0, 1.0, STEADY_S)]
    assert delays == [FIRST_REPAIR_DELAY_S, REPAIR_DELAY_S, REPAIR_DELAY_S, FIRST_REPAIR_DELAY_S]


def test_a_second_holder_is_refused_with_the_first_ones_pid_and_a_left_over_file_is_no_lock(
    tmp_path: Path,
) -> None:
    file = tmp_path / "lock"
    file.write_text("99999\n")
    assert not is_locked(file)
    first = DataDirLock(file)
    assert is_locked(file)
    with pytest.raises(DataDirBusy, match=str(os.getpid())):
        DataDirLock(file)
    first.release()
    assert not is_locked(file)


def test_a_check_of_the_lock_does_not_hold_it(tmp_path: Path) -> None:
    """A `vigie status` at the moment of the start made it refuse: Vigie already runs."""
    file = tmp_path / "lock"
    asking = file.open("w")
    fcntl.flock(asking, fcntl.LOCK_SH)
    answered = threading.Timer(0.03, asking.close)
    answered.start()
    DataDirLock(file).release()
    answered.join()


def test_ports_are_remembered_while_free_and_replaced_when_taken(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = choose_ports(file, ["kafka", "redis"])
    assert choose_ports(file, ["kafka", "redis"]) == first
    with socket.socket() as other:
        other.bind(("127.0.0.1", first["kafka"]))
        other.listen()
        second = choose_ports(file, ["kafka", "redis"])
    assert second["kafka"] != first["kafka"]
    assert second["redis"] == first["redis"]


def test_a_damaged_ports_file_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    file.write_text('{"kafka": "x"')
    assert set(choose_ports(file, ["kafka"])) == {"kafka"}


def test_a_busy_address_differs_from_a_wrong_one() -> None:
    with open_listening_socket("127.0.0.1", 0) as first, pytest.raises(PortBusy):
        open_listening_socket("127.0.0.1", first.getsockname()[1])
    with pytest.raises(OSError, match="assign") as wrong:
        open_listening_socket("192.0.2.1", 8092)
    assert not isinstance(wrong.value, PortBusy)


def test_an_address_without_a_queue_refuses_until_somebody_listens() -> None:
    with open_listening_socket("127.0.0.1", 0, queues=False) as first:
        address = first.getsockname()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        first.listen()
        socket.create_connection(address).close()
        with pytest.raises(PortBusy):
            open_listening_socket(*address)


def test_status_is_read_as_written_and_a_damaged_file_is_no_status(tmp_path: Path) -> None:
    file = tmp_path / "status.json"
    since = format_now()
    write_status(
        file,
        supervisor_pid=1,
        state="ready",
        since=since,
        addresses=SystemAddresses("k:1", "redis://r:2/0", "h:3", "c:4"),
        processes=[ProcessStatus("alerts", 7, "ready", since, 2)],
    )
    status = read_status(file)
    assert status is not None
    assert status["kafka"] == "k:1"
    assert status["processes"] == [
        {"name": "alerts", "pid": 7, "state": "ready", "since": since, "restarts": 2, "why": None}
    ]
    file.write_text(file.read_text()[:20])
    assert read_status(file) is None


def test_each_line_carries_the_name_of_its_process() -> None:
    out = io.StringIO()
    stream = OutputStream(out)
    stream.line("alerts", "one")
    stream.plain("ready")
    stream.close()
    assert out.getvalue() == "alerts      │ one\nready\n"


class _Stuck(io.StringIO):
    """A terminal that stopped reading."""

    def __init__(self) -> None:
        super().__init__()
        self.blocked, self._other_end = os.pipe()

    def write(self, text: str) -> int:
        os.read(self.blocked, 1)
        return super().write(text)

    def unblock(self) -> None:
        os.write(self._other_end, b"x" * 20_000)


def test_a_stalled_terminal_blocks_nothing_and_the_gap_is_shown() -> None:
    out = _Stuck()
    stream = OutputStream(out)
    for n in range(6000):
        stream.line("alerts", str(n))
    out.unblock()
    until(stream._queue.empty)
    stream.line("alerts", "last")
    stream.close()
    assert "lines left out" in out.getvalue()
    assert out.getvalue().endswith("last\n")


class _Slow(ForkServer):
    """One that is asked and lets its caller wait."""

    def __init__(self) -> None:
        self.asked, self.answers = asyncio.Event(), asyncio.Event()

    async def fork(self, *_asked: object) -> ForkedProcess:  # type: ignore[override]
        self.asked.set()
        await self.answers.wait()
        raise ForkFailed


async def test_a_process_that_is_being_made_while_all_is_stopped_ends_too() -> None:
    """On a full machine making one takes seconds: a stopped system then ran on forever."""
    forks = _Slow()
    plan = ProcessPlan(
        "idle",
        (sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1"),
        dict(os.environ),
        None,
        stop_order=StopOrder.SERVICES,
    )
    child = SupervisedProcess(
        plan, OutputStream(io.StringIO()), lambda: None, lambda _plan, _code: "", forks
    )
    running = asyncio.create_task(child.run())
    await forks.asked.wait()
    stopping = asyncio.create_task(child.stop())
    await asyncio.sleep(0)
    forks.answers.set()
    async with asyncio.timeout(20):
        await stopping
        await running
    assert (child.status.state, child.exit_code) == ("stopped", -15)


async def watched(probe: Probe, enough: Callable[[], bool]) -> ProcessStatus:
    """State of a process that runs idle, asked by this probe, once there was enough of it."""
    command = (sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1")
    plan = ProcessPlan(
        "idle", command, dict(os.environ), probe, stop_order=StopOrder.SERVICES, probe_every_s=0.01
    )
    child = SupervisedProcess(
        plan, OutputStream(io.StringIO()), lambda: None, lambda _plan, _code: ""
    )
    running = asyncio.create_task(child.run())
    async with asyncio.timeout(20):
        while not enough():
            await asyncio.sleep(0.01)
        status = child.status
        await child.stop()
        await running
    return status


async def test_a_stalled_supervisor_takes_no_process_for_hung(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The check failed because the supervisor was suspended; the process was never asked."""
    ahead, looks = 0.0, 0
    monkeypatch.setattr(
        child_module, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + ahead)
    )

    async def probe() -> str | None:
        nonlocal ahead, looks
        looks += 1
        if looks == 2:
            ahead += 60.0
            raise NotAlive
        return None

    status = await watched(probe, lambda: looks >= 5)
    assert (status.state, status.restarts) == ("ready", 0)


@pytest.mark.parametrize("waits", [True, False], ids=["it-had-no-processor", "it-had-one"])
async def test_a_process_that_waits_for_the_processor_is_not_hung(
    monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    """A storm of reports: broker and intake go first, and a decider is not asked in time for a minute."""
    ahead, looks = 0.0, 0
    monkeypatch.setattr(
        child_module, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + ahead)
    )
    monkeypatch.setattr(child_module, "read_waiting_s", lambda _pid: ahead if waits else 0.0)
    monkeypatch.setattr(child_module, "PROBE_STARTING_S", 0.01)

    async def probe() -> str | None:
        nonlocal ahead, looks
        looks += 1
        if 2 <= looks <= 31:
            ahead += 2.0
            raise NotAlive
        return None

    assert (await watched(probe, lambda: looks >= 35)).restarts == (0 if waits else 1)


async def test_a_process_that_ended_on_a_full_disk_starts_once_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After making room, a person waited up to half a minute for the broker."""
    monkeypatch.setattr(child_module, "ROOM_CHECK_S", 0.01)
    monkeypatch.setattr(RestartBackoff, "next_delay_s", lambda *_: 3600.0)
    restarts_on_full_disk = []
    plan = ProcessPlan(
        "ends", (sys.executable, "-c", ""), dict(os.environ), None, stop_order=StopOrder.SERVICES
    )

    def is_disk_full() -> bool:
        restarts_on_full_disk.append(child.status.restarts)
        return len(restarts_on_full_disk) < 5

    child = SupervisedProcess(
        plan,
        OutputStream(io.StringIO()),
        lambda: None,
        lambda _plan, _code: "",
        is_disk_full=is_disk_full,
    )
    running = asyncio.create_task(child.run())
    async with asyncio.timeout(20):
        while child.status.restarts == 0:
            await asyncio.sleep(0.01)
        await child.stop()
        await running
    assert restarts_on_full_disk[:5] == [0] * 5


def test_the_start_of_a_state_is_kept_while_its_text_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(child_module, "format_now", lambda: str(next(ticks)))
    child = SupervisedProcess(
        ProcessPlan("idle", (), {}, None, stop_order=StopOrder.SERVICES),
        OutputStream(io.StringIO()),
        lambda: None,
        lambda _plan, _code: "",
    )
    since = []
    for state, why in (
        ("starting", None),
        ("starting", "waits for the broker"),
        ("ready", None),
        ("unready", "slow"),
        ("unready", "slower"),
    ):
        child._enter(state, why)  # type: ignore[arg-type]
        since.append(child.status.since)
    assert since == ["1", "1", "2", "3", "3"]


class _Exhausted(ForkServer):
    """A machine that has no process left, twice."""

    def __init__(self) -> None:
        self.refused = 0

    async def fork(self, *_asked: object) -> ForkedProcess:  # type: ignore[override]
        self.refused += 1
        if self.refused <= 2:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        raise ForkFailed


async def test_a_process_that_the_machine_could_not_make_is_tried_again() -> None:
    """It was abandoned silently, and its service was away until a restart of the whole system."""
    explained: list[str] = []
    plan = ProcessPlan(
        "idle",
        (sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1"),
        dict(os.environ),
        None,
        stop_order=StopOrder.SERVICES,
    )
    child = SupervisedProcess(
        plan,
        OutputStream(io.StringIO()),
        lambda: None,
        lambda _plan, _code: explained.append(child.last_word) or "",
        _Exhausted(),
    )
    running = asyncio.create_task(child.run())
    async with asyncio.timeout(20):
        await child.ready.wait()
        assert child.status.restarts == 2
        assert explained == ["it could not be started: Resource temporarily unavailable"] * 2
        await child.stop()
        await running


async def test_a_probe_that_fails_in_a_way_of_its_own_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child_module, "PROBE_STARTING_S", 0.01)
    looks = 0

    async def probe() -> str | None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise AssertionError("a library's own")
        return None

    plan = ProcessPlan(
        "idle",
        (sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1"),
        dict(os.environ),
        probe,
        stop_order=StopOrder.SERVICES,
    )
    child = SupervisedProcess(
        plan, OutputStream(io.StringIO()), lambda: None, lambda _plan, _code: ""
    )
    running = asyncio.create_task(child.run())
    async with asyncio.timeout(20):
        await child.ready.wait()
        await child.stop()
        await running
