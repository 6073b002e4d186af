"""The system survives killed services, broker and supervisor, a lost store, and Ctrl-C.

It is an installation without the packages of the tests. Every other test runs where those
packages are installed, too.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import psutil
import pytest

from services.appliance.supervisor.orphans import find_orphans
from services.appliance.supervisor.status import read_status
from services.runtime.process.files import is_locked
from services.runtime.process.settings import DataDir, split_host_port
from tests.faults.matrix import proves
from tests.system import ROOT, RunningVigie
from tests.waiting import until

pytestmark = pytest.mark.timeout(400)

BACK_S = 5.0
PATIENCE_S = 90.0
"""Patience with steps outside any promise."""
BUSY_FACTOR = 4.0
"""Largest stretch of the promises, which hold for a machine with no other work."""
IMPORTS_S = 1.0
"""Result of `slowness` on two free cores of the machine of docs/reference/benchmarks.md."""
MEMORY_MB = 750
"""Memory of an idle system after the first half minute."""
NOTIFY_SOCKET = "notify"
WATCHDOG_US = 1_000_000
CALM = {"debug", "info", "warning"}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the locked packages of the product and its wheel from the cache of uv.

    Its Java is a link to the one of the tests, so both use one cache of the broker's classes.
    """
    folder = tmp_path_factory.mktemp("installed") / "venv"
    command = "sync --quiet --frozen --no-dev --no-editable --reinstall-package vigie-crise"
    environment = {
        "UV_PROJECT_ENVIRONMENT": str(folder),
        "UV_PYTHON": sys.executable,
        "UV_LINK_MODE": "symlink",
    }
    subprocess.run(
        [str(Path(sys.executable).with_name("uv")), *command.split()],
        cwd=ROOT,
        env=os.environ | environment,
        check=True,
    )
    return folder / "bin" / "vigie"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lifecycle")


@pytest.fixture(scope="module")
def notifications(folder: Path) -> Iterator[list[str]]:
    """Yield the messages to the service manager, oldest first."""
    messages: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / NOTIFY_SOCKET))

        def listen() -> None:
            while message := manager.recv(4096):
                messages.append(message.decode())

        listener = threading.Thread(target=listen)
        listener.start()
        yield messages
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", manager.getsockname())
        listener.join()


@pytest.fixture(scope="module")
def vigie(folder: Path, program: Path, notifications: list[str]) -> Iterator[RunningVigie]:
    with RunningVigie(
        folder,
        program=program,
        NOTIFY_SOCKET=str(folder / NOTIFY_SOCKET),
        WATCHDOG_USEC=str(WATCHDOG_US),
    ) as running:
        yield running


@cache
def measure_imports_s() -> float:
    """Return the time of the imports of a bare interpreter, measured once."""
    began = time.monotonic()
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import aiokafka, fastapi, pydantic, redis.asyncio, structlog, uvicorn",
        ],
        check=True,
    )
    return time.monotonic() - began


def within(seconds: float) -> float:
    """Return `seconds`, stretched for the current load.

    Measured by the load and by the imports of a bare interpreter.
    """
    slowness = max(os.getloadavg()[0] / (os.cpu_count() or 1), measure_imports_s() / IMPORTS_S)
    return seconds * min(max(slowness, 1.0), BUSY_FACTOR)


def state_of(vigie: RunningVigie, name: str) -> tuple[int | None, str]:
    status = read_status(vigie.folder / "data" / "run" / "status.json")
    assert status is not None
    return next((p["pid"], p["state"]) for p in status["processes"] if p["name"] == name)


def begun(vigie: RunningVigie, name: str) -> bool:
    """Return True once the running supervisor has started this process."""
    status = read_status(vigie.folder / "data" / "run" / "status.json")
    return (
        status is not None
        and status["pid"] == vigie.pid
        and any(p["name"] == name and p["pid"] for p in status["processes"])
    )


def report_is_accepted(vigie: RunningVigie, site_id: str = "cen-1") -> bool:
    body = {
        "site_id": site_id,
        "type": "outage_power",
        "severity": 3,
        "occurred_at": datetime.now(UTC).isoformat(),
    }
    return (
        vigie.http.post(
            "/api/v1/reports", json=body, headers={"Idempotency-Key": str(uuid.uuid4())}
        ).status_code
        == 202
    )


def list_sites_of_incidents(vigie: RunningVigie) -> set[str]:
    incidents = vigie.get("/api/v1/incidents")["items"]
    return {site_id for incident in incidents for site_id in incident["sites"]}


def list_errors(folder: Path) -> Iterator[str]:
    """Yield the lines of all logs in which we speak of a failure.

    Broker and client call a slow machine an error, too.
    """
    for file in folder.iterdir():
        for line in file.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line) if file.suffix == ".jsonl" else {}
            is_ours = str(entry.get("logger")).startswith("services.")
            if "Traceback" in line or (is_ours and entry["level"] not in CALM):
                yield f"{file.name}: {line}"


def measure_memory_mb(vigie: RunningVigie) -> float:
    """Return the memory of all processes; pages that they share count once."""
    total = 0.0
    supervisor = psutil.Process(vigie.pid)
    for process in (supervisor, *supervisor.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # It only prepared the start
            total += process.memory_full_info().pss / 2**20
    return total


def test_the_whole_stack_idles_in_750_mb(vigie: RunningVigie) -> None:
    until(lambda: measure_memory_mb(vigie) < MEMORY_MB, PATIENCE_S)


def test_systemd_knows_that_reports_are_accepted_and_that_the_supervisor_lives(
    vigie: RunningVigie, notifications: list[str]
) -> None:
    (ready,) = (one for one in notifications if one.startswith("READY=1"))
    assert ready == f"READY=1\nSTATUS=Accepting reports at {vigie.url}"
    earlier = notifications.count("WATCHDOG=1")
    until(lambda: notifications.count("WATCHDOG=1") > earlier, PATIENCE_S)
    os.kill(vigie.pid, signal.SIGSTOP)
    try:
        time.sleep(0.5)  # A sign that is on its way
        earlier = notifications.count("WATCHDOG=1")
        time.sleep(WATCHDOG_US / 1e6)
        assert notifications.count("WATCHDOG=1") == earlier
    finally:
        os.kill(vigie.pid, signal.SIGCONT)
    inherited = psutil.Process(vigie.processes()["broker"]).environ()
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC"} & inherited.keys()


def test_an_installation_without_the_tests_reads_reports_and_survives_a_kill(
    vigie: RunningVigie,
) -> None:
    assert report_is_accepted(vigie, "cen-2")
    until(lambda: list_sites_of_incidents(vigie) == {"cen-2"}, PATIENCE_S)
    killed_pid = vigie.kill("alerts")
    until(lambda: vigie.processes().get("alerts", killed_pid) != killed_pid, PATIENCE_S)
    assert report_is_accepted(vigie, "cen-3")
    until(lambda: "cen-3" in list_sites_of_incidents(vigie), PATIENCE_S)
    assert "Traceback" not in vigie.log
    assert list(list_errors(vigie.folder / "data" / "logs")) == []


@proves("intake", "kill", case="intake")
@proves("console", "kill", case="console")
@proves("projector", "kill", case="projector")
@proves("conductor", "kill", case="background")
@proves("planner", "kill", case="background")
@proves("auditor", "kill", case="background")
@proves("worker", "kill", case="alerts")
@proves("worker", "kill", case="continuity")
@proves("sender", "kill", case="delivery")
@proves("store", "kill", case="store")
@pytest.mark.parametrize(
    "name",
    [
        "intake",
        "console",
        "projector",
        "background",
        "alerts",
        "continuity",
        "delivery",
        "store",
    ],
)
def test_a_killed_process_is_ready_again_within_5_seconds(
    vigie: RunningVigie, name: str, record_property: Callable[[str, object], None]
) -> None:
    until(lambda: state_of(vigie, name)[1] == "ready", PATIENCE_S)
    most = within(BACK_S)
    killed, began = vigie.kill(name), time.monotonic()
    until(
        lambda: state_of(vigie, name)[1] == "ready" and state_of(vigie, name)[0] != killed,
        most,
        longest_s=0.0,
    )
    record_property("recovered_s", time.monotonic() - began)


def lasting_processes(vigie: RunningVigie) -> dict[str, int]:
    """Return all processes but the broker, and the one that makes its class cache and ends."""
    return {
        name: pid for name, pid in vigie.processes().items() if name not in {"broker", "classes"}
    }


@proves("broker", "kill")
def test_reports_are_accepted_again_after_the_broker_was_killed_and_every_process_survives_it(
    vigie: RunningVigie, record_property: Callable[[str, object], None]
) -> None:
    until(vigie.ready, PATIENCE_S)
    before = lasting_processes(vigie)
    vigie.kill("broker")
    most, began = within(20), time.monotonic()
    until(lambda: report_is_accepted(vigie), most, longest_s=0.0)
    record_property("recovered_s", time.monotonic() - began)
    until(lambda: all(state_of(vigie, name)[1] == "ready" for name in before), PATIENCE_S)
    assert lasting_processes(vigie) == before


def test_the_doctor_finds_the_running_system_sound_but_for_its_channels(
    vigie: RunningVigie,
) -> None:
    until(vigie.ready, PATIENCE_S)
    done = vigie.cli("doctor", "--json")
    checks = {f["check"]: f for f in json.loads(done.stdout)["items"]}
    assert {name for name, f in checks.items() if f["state"] == "fault"} == {"channels"}, (
        done.stdout
    )
    assert done.returncode == 1
    assert (
        checks["topics"]["state"] == checks["store"]["state"] == checks["secrets"]["state"] == "ok"
    )


def test_the_read_model_is_rebuilt_on_demand_with_the_same_content(vigie: RunningVigie) -> None:
    until(vigie.ready, PATIENCE_S)
    before = vigie.get("/api/v1/overview")
    done = vigie.cli("rebuild", "--json")
    assert done.returncode == 0, done.stderr
    after = vigie.get("/api/v1/overview")
    assert after["epoch"] != before["epoch"]
    told_before, told_after = (
        before["counts"].pop("notifications"),
        after["counts"].pop("notifications"),
    )
    assert (after["counts"], after["sites"]) == (before["counts"], before["sites"])
    assert told_after >= told_before, "ladders and proposals go on meanwhile"
    done = vigie.cli("verify")
    assert done.returncode == 0, "row by row what the logs say, notifications too: " + done.stdout


def test_status_shows_processes_and_lag(vigie: RunningVigie) -> None:
    until(vigie.ready, PATIENCE_S)
    done = vigie.cli("status")
    assert done.returncode == 0
    for name in ("broker", "store", "alerts", "not applied yet: alerts 0"):
        assert name in done.stdout


@proves("supervisor", "kill")
@proves("supervisor", "restarts", note="killed, and twice more while it starts")
def test_a_supervisor_killed_again_and_again_takes_its_processes_along_and_comes_up_at_last(
    vigie: RunningVigie, record_property: Callable[[str, object], None]
) -> None:
    """No start waits for the remains of the last one."""
    data = DataDir(vigie.folder / "data")
    os.kill(vigie.pid, signal.SIGKILL)
    vigie.ended()
    until(lambda: not find_orphans(data.root), PATIENCE_S)
    done = vigie.cli("status")
    assert (done.returncode, done.stderr.strip()) == (1, f"Vigie does not run on {data.root}")
    for reached in ("broker", "alerts"):
        vigie.begin()
        until(lambda reached=reached: begun(vigie, reached), PATIENCE_S)
        os.kill(vigie.pid, signal.SIGKILL)
        vigie.ended()
    most, began = within(10), time.monotonic()
    vigie.start()
    until(lambda: report_is_accepted(vigie), most + vigie.up_s, longest_s=0.0)
    record_property("recovered_s", time.monotonic() - began)
    verdict = vigie.cli("verify")
    assert verdict.returncode == 0, verdict.stdout


def connect(address: str) -> socket.socket:
    return socket.create_connection(split_host_port(address), timeout=1)


def refuses_connections(address: str) -> bool:
    """Return whether nobody listens there."""
    try:
        connect(address).close()
    except ConnectionRefusedError:
        return True
    return False


def test_ctrl_c_stops_everything_in_order_with_0_and_leaves_nothing(
    vigie: RunningVigie, notifications: list[str]
) -> None:
    data = DataDir(vigie.folder / "data")
    until(vigie.ready, PATIENCE_S)
    with ThreadPoolExecutor(1) as aside, connect(vigie.http_address) as half_sent:
        half_sent.sendall(
            b"POST /api/v1/reports HTTP/1.1\r\nHost: vigie\r\nContent-Length: 9\r\n\r\n"
        )
        stopping = aside.submit(vigie.stop)
        until(lambda: refuses_connections(vigie.http_address), PATIENCE_S)
        assert "intake" in vigie.processes(), "others turn to another machine meanwhile"
        assert stopping.result() == 0
    assert "STOPPING=1\nSTATUS=Stopping" in notifications
    assert find_orphans(data.root) == []
    assert not is_locked(data.lock)
    assert not data.status.exists()
    assert "process.killed" not in vigie.log
    assert "Traceback" not in vigie.log
    assert "[error" not in vigie.log.rpartition("system.stopping")[2]
