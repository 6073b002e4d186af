"""Questions that an idle system asks all the time keep their connection and little memory."""

from __future__ import annotations

import asyncio
import ctypes
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
from aiokafka import TopicPartition

from schemas.topics import TOPICS_BY_NAME
from services.appliance.embedded import kafka
from services.appliance.supervisor.plan import HttpProbe, NotAlive, ProcessPlan, StopOrder
from services.appliance.supervisor.status import SystemAddresses, read_status
from services.appliance.supervisor.stream import OutputStream
from services.appliance.supervisor.supervisor import Supervisor
from services.appliance.supervisor.up import UpFailed, _prepare
from services.runtime.kafka import compacted_topic
from services.runtime.kafka.compacted_topic import TopicFollower
from services.runtime.kafka.security import KafkaSecurity
from services.runtime.process.settings import DataDir

FREEING = """
import psutil
from services.runtime.process.machine import return_freed_memory
kept, freed = [], []
for _ in range(600):
    freed.append(bytearray(b"x" * 100_000))
    kept.append(bytearray(b"x" * 2000))
del freed
before = psutil.Process().memory_info().rss
return_freed_memory()
print(before - psutil.Process().memory_info().rss)
"""
"""Small blocks stay between the freed ones, so that the heap cannot shrink by itself."""
READY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class ReadyProcess:
    """Health port of a process that counts its connections."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self) -> asyncio.Server:
        server = await asyncio.start_server(self._answer, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        while await reader.readline():
            while (await reader.readline()).strip():
                pass
            writer.write(READY)

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.close()


@pytest.fixture
async def process() -> AsyncIterator[ReadyProcess]:
    ready = ReadyProcess()
    server = await ready.serve()
    yield ready
    ready.hang_up()
    server.close()


async def test_a_probe_keeps_its_connection(process: ReadyProcess, tmp_path: Path) -> None:
    probe = HttpProbe(process.port, tmp_path)
    assert [await probe() for _ in range(3)] == [None, None, None]
    assert process.connections == 1
    await probe.close()


async def test_a_probe_reaches_a_process_again_after_its_restart(
    process: ReadyProcess, tmp_path: Path
) -> None:
    probe = HttpProbe(process.port, tmp_path)
    await probe()
    process.hang_up()
    assert await probe() is None
    assert process.connections == 2
    await probe.close()


async def test_a_missing_process_is_not_alive(tmp_path: Path) -> None:
    gone = ReadyProcess()
    server = await gone.serve()
    server.close()
    await server.wait_closed()
    with pytest.raises(NotAlive):
        await HttpProbe(gone.port, tmp_path)()


class Admin:
    """A client of a broker that counts logins, and fails on demand."""

    logins = 0
    closed = 0
    fails = False

    def __init__(self, **_: Any) -> None: ...

    async def start(self) -> None:
        Admin.logins += 1

    async def list_topics(self) -> list[str]:
        if Admin.fails:
            raise OSError("gone")
        return []

    async def close(self) -> None:
        Admin.closed += 1


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> kafka.BrokerCheck:
    async def is_listening(_: str) -> bool:
        return True

    monkeypatch.setattr(kafka, "AIOKafkaAdminClient", Admin)
    monkeypatch.setattr(kafka, "_is_listening", is_listening)
    for name, value in (("logins", 0), ("closed", 0), ("fails", False)):
        monkeypatch.setattr(Admin, name, value)
    return kafka.BrokerCheck("127.0.0.1:9", KafkaSecurity.of_password("u", "p"))


async def test_the_broker_is_asked_over_one_login(broker: kafka.BrokerCheck) -> None:
    assert [await broker.is_serving() for _ in range(3)] == [True, True, True]
    assert (Admin.logins, Admin.closed) == (1, 0)


async def test_a_broker_that_fails_gets_a_new_login(
    broker: kafka.BrokerCheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    await broker.is_serving()
    monkeypatch.setattr(Admin, "fails", True)
    assert not await broker.is_serving()
    assert Admin.closed == 1
    monkeypatch.setattr(Admin, "fails", False)
    assert await broker.is_serving()
    assert Admin.logins == 2


async def test_a_follower_asks_for_the_end_over_another_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its own connection answers only after a fetch that waits for five seconds."""

    class Ends:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_: object) -> None: ...

        async def ends(self, wanted: list[TopicPartition]) -> dict[TopicPartition, int]:
            return dict.fromkeys(wanted, 0)

    async def ignore(_: object) -> None: ...

    monkeypatch.setattr(compacted_topic, "PartitionReader", Ends)
    follower = TopicFollower("127.0.0.1:9", ["access"], ignore)
    assert not await follower.settle(1.0), "it follows nothing yet"
    monkeypatch.setattr(follower, "_consumer", SimpleNamespace())
    partitions = range(TOPICS_BY_NAME["access"].partitions)
    monkeypatch.setattr(follower, "_next", {TopicPartition("access", p): 0 for p in partitions})
    assert await follower.settle(1.0)


def _make_supervisor(folder: Path) -> Supervisor:
    data = DataDir(folder)
    data.make()
    addresses = SystemAddresses(kafka="", redis="", http="", console="", replication=1)
    return Supervisor(data, addresses, OutputStream(verbose=False))


def _make_preparation(program: str) -> ProcessPlan:
    return ProcessPlan(
        "prepare",
        (sys.executable, "-c", program),
        {"PYTHONUNBUFFERED": "1"},
        None,
        stop_order=StopOrder.SERVICES,
        restarts=False,
    )


async def test_a_preparation_leaves_no_process(tmp_path: Path) -> None:
    supervisor = _make_supervisor(tmp_path)
    await _prepare(supervisor, _make_preparation("print('done')"))
    status = read_status(DataDir(tmp_path).status)
    assert status is not None
    assert status["processes"] == []
    await supervisor.stop()


async def test_a_preparation_that_fails_says_why_in_its_last_line(tmp_path: Path) -> None:
    supervisor = _make_supervisor(tmp_path)
    failing = "print('loading'); raise SystemExit('the territory 92 cannot be loaded')"
    with pytest.raises(UpFailed, match=r"^the territory 92 cannot be loaded$"):
        await _prepare(supervisor, _make_preparation(failing))
    await supervisor.stop()


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this C library returns nothing"
)
def test_freed_memory_goes_back_to_the_system() -> None:
    """In a process of its own: elsewhere the heap holds gaps of other tests."""
    done = subprocess.run(
        [sys.executable, "-c", FREEING], check=True, capture_output=True, text=True
    )
    assert int(done.stdout) > 30_000_000
