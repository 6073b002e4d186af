"""systemd hears when Vigie is ready, stops, and lives; without systemd nothing is sent."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.appliance.supervisor.systemd import SystemdUnit

PID = 4711


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener


def read_all(listener: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(listener.recv(4096).decode())
        except BlockingIOError:
            return messages


def test_the_unit_is_hidden_from_started_processes() -> None:
    environment = {
        "NOTIFY_SOCKET": "/run/notify",
        "WATCHDOG_USEC": "180000000",
        "WATCHDOG_PID": str(PID),
        "HOME": "/",
    }
    unit = SystemdUnit.take_from(environment, PID)
    assert unit == SystemdUnit("/run/notify", 180.0)
    assert environment == {"HOME": "/"}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"NOTIFY_SOCKET": "/run/notify"},
        {"WATCHDOG_USEC": "180000000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "soon"},
    ],
)
async def test_without_a_watchdog_of_this_process_no_sign_of_life_is_sent(
    environment: dict[str, str],
) -> None:
    unit = SystemdUnit.take_from(environment, PID)
    assert unit.watchdog_s == 0
    await asyncio.wait_for(unit.keep_alive(), 1)


def test_ready_and_stop_are_reported(listener: socket.socket) -> None:
    unit = SystemdUnit(listener.getsockname())
    unit.report_ready("Accepting reports")
    unit.report_stop()
    assert read_all(listener) == [
        "READY=1\nSTATUS=Accepting reports",
        "STOPPING=1\nSTATUS=Stopping",
    ]


async def test_several_signs_of_life_come_within_the_timeout(listener: socket.socket) -> None:
    unit = SystemdUnit(listener.getsockname(), 0.2)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(unit.keep_alive(), 0.2)
    assert set(messages := read_all(listener)) == {"WATCHDOG=1"}
    assert len(messages) >= 2


def test_an_abstract_socket_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0vigie-test-notify")
        SystemdUnit("@vigie-test-notify").report_stop()
        assert listener.recv(4096).startswith(b"STOPPING=1")


def test_a_missing_or_full_socket_stops_nothing(tmp_path: Path, listener: socket.socket) -> None:
    SystemdUnit(str(tmp_path / "gone")).report_stop()
    for _ in range(5_000):
        SystemdUnit(listener.getsockname()).report_stop()
    assert read_all(listener)
