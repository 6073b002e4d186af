"""Another program, or another user of this machine, cannot use broker, store or console."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import stat
import struct
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psutil
import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from schemas.topics import input_topic
from services.appliance.embedded.kafka import KafkaNode, RunningKafka
from services.appliance.embedded.store import StoreNode
from services.runtime.kafka.security import KafkaSecurity
from services.runtime.process.settings import REPOSITORY, DataDir
from services.runtime.process.sockets import choose_socket_folder
from services.runtime.secrets.local_secrets import BROKER_USER
from tests.brokers import RunningStore, make_node
from tests.system import RunningVigie

STRANGERS: Final = {
    "without a password": {},
    "with another password": KafkaSecurity.of_password(BROKER_USER, "guessed").options(),
    "as somebody else": KafkaSecurity.of_password("nobody", "guessed").options(),
}
PATIENCE_MS: Final = 3000
KEPT_RDB: Final = REPOSITORY / "tests" / "data" / "store-8.1.rdb"
"""A picture that Valkey 8.1 saved."""


@pytest.fixture(params=STRANGERS, ids=[name.replace(" ", "-") for name in STRANGERS])
def stranger(request: pytest.FixtureRequest, broker: RunningKafka) -> dict[str, Any]:
    """Return options of a client outside Vigie."""
    login: dict[str, Any] = STRANGERS[request.param]
    return {"bootstrap_servers": broker.address, "request_timeout_ms": PATIENCE_MS, **login}


async def test_a_stranger_sends_nothing(stranger: dict[str, Any]) -> None:
    producer = AIOKafkaProducer(**stranger)
    with pytest.raises(KafkaError):
        await producer.start()
    await producer.stop()


async def test_a_stranger_reads_nothing(stranger: dict[str, Any]) -> None:
    consumer = AIOKafkaConsumer(input_topic("alerts"), **stranger)
    with pytest.raises(KafkaError):
        await consumer.start()
    await consumer.stop()


async def test_a_stranger_lists_nothing(stranger: dict[str, Any]) -> None:
    admin = AIOKafkaAdminClient(**stranger)
    with pytest.raises(KafkaError):
        await admin.start()
    await admin.close()


def metadata(port: int) -> bytes:
    """Return a Kafka server's answer to a request for its topics, or nothing if it closes."""
    request = struct.pack(">hhih", 3, 1, 7, -1) + struct.pack(">i", -1)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        try:
            return connection.recv(4096)
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize("listener", ["port", "controller_port"])
def test_both_listeners_close_connections_without_a_login(
    broker: RunningKafka, listener: str
) -> None:
    assert metadata(getattr(broker.node, listener)) == b""


def test_the_password_is_the_owners_alone_and_in_no_command_line(broker: RunningKafka) -> None:
    folder = broker.node.folder
    holding = [
        path
        for path in folder.iterdir()
        if path.is_file() and broker.node.password in path.read_text(errors="replace")
    ]
    assert {path.name for path in holding} >= {"server.properties"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in holding} == {0o600}
    assert broker.node.password not in " ".join(broker.node.command())
    assert broker.node.password not in repr(broker.node)


AS_ANOTHER_USER: Final = """
import json, socket, struct, sys
status, ports = json.loads(sys.argv[1]), json.loads(sys.argv[2])
found = {}
for name, path in status.items():
    try:
        socket.socket(socket.AF_UNIX).connect(path)
        found[name] = "connected"
    except OSError as error:
        found[name] = type(error).__name__
request = struct.pack(">hhih", 3, 1, 7, -1) + struct.pack(">i", -1)
for name, port in ports.items():
    connection = socket.create_connection(("127.0.0.1", port), timeout=5)
    connection.sendall(struct.pack(">i", len(request)) + request)
    try:
        found[name] = len(connection.recv(4096))
    except ConnectionResetError:
        found[name] = 0
print(json.dumps(found))
"""


def test_another_user_of_the_machine_gets_nowhere(vigie: RunningVigie, tmp_path: Path) -> None:
    """The user `nobody` could report a level, delete tokens and empty the store."""
    if os.geteuid() != 0 or shutil.which("runuser") is None:
        pytest.fail("this test becomes another user: run it as root, with runuser")
    data = DataDir(vigie.folder / "data")
    status = json.loads(data.status.read_text(encoding="utf-8"))
    paths = {
        "store": status["redis"].removeprefix("unix://").partition("?")[0],
        "console": status["console"].removeprefix("unix:"),
    }
    all_ports = json.loads(data.ports.read_text(encoding="utf-8"))
    ports = {name: all_ports[name] for name in ("kafka", "controller")}
    command = [
        "runuser",
        "-u",
        "nobody",
        "--",
        "/usr/bin/env",
        "python3",
        "-c",
        AS_ANOTHER_USER,
        json.dumps(paths),
        json.dumps(ports),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd="/")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "store": "PermissionError",
        "console": "PermissionError",
        "kafka": 0,
        "controller": 0,
    }


def test_no_server_of_the_system_listens_but_behind_a_login_or_with_health_alone(
    vigie: RunningVigie,
) -> None:
    ports = json.loads(DataDir(vigie.folder / "data").ports.read_text(encoding="utf-8"))
    assert not {"redis", "console-http"} & set(ports)


def test_files_of_the_system_are_readable_by_the_owner_only(vigie: RunningVigie) -> None:
    """The folders were private, the files in them were not: a copy of them was open to all."""
    data = DataDir(vigie.folder / "data")
    paths = [
        path
        for folder in (data.logs, data.run, data.store, data.secrets)
        for path in folder.iterdir()
    ]
    assert {path.name for path in paths} >= {"vigie.jsonl", "status.json", "store.sock"}
    assert {path: oct(path.stat().st_mode) for path in paths if path.stat().st_mode & 0o077} == {}


class OpenNode(KafkaNode):
    """A broker as it was made before it asked for a password."""

    def _format(self, data: Path) -> None:
        properties = str(self.folder / "server.properties")
        done = self._run(
            "kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", properties
        )
        assert done.returncode == 0, f"{data}: {done.stderr}"

    def _listeners(self) -> dict[str, object]:
        return {
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
        }

    @property
    def security(self) -> KafkaSecurity:
        return KafkaSecurity(user="")


async def test_data_from_before_the_password_go_on(tmp_path: Path) -> None:
    """An upgraded installation keeps its log, also with secrets restored from elsewhere."""
    node = make_node(tmp_path)
    before = OpenNode(
        node.folder,
        node.port,
        node.controller_port,
        node.java,
        node.jars,
        node.log_file,
        "",
        classes=node.classes,
    )
    before.prepare()
    (node.folder / "credential").unlink()
    await serve(before, fill)
    node.prepare()
    await serve(node, read_back)


async def serve(node: KafkaNode, use: Callable[[KafkaNode], Awaitable[None]]) -> None:
    running = RunningKafka(node)
    try:
        await running.start()
        await use(node)
    finally:
        running.stop()


async def fill(node: KafkaNode) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=node.address)
    await admin.start()
    await admin.create_topics([NewTopic("kept", 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=node.address, acks="all") as producer:
        await producer.send_and_wait("kept", b"before", partition=0)


async def read_back(node: KafkaNode) -> None:
    login = node.security.options()
    async with AIOKafkaConsumer(
        "kept", bootstrap_servers=node.address, auto_offset_reset="earliest", **login
    ) as consumer:
        record = await asyncio.wait_for(consumer.getone(), 30)
    assert record.value == b"before"
    with pytest.raises(KafkaError):
        await AIOKafkaAdminClient(
            bootstrap_servers=node.address, request_timeout_ms=PATIENCE_MS
        ).start()


@pytest.fixture
def old_store(tmp_path: Path) -> Iterator[RunningStore]:
    shutil.copy(KEPT_RDB, tmp_path / "store.rdb")
    running = RunningStore(
        StoreNode(tmp_path, choose_socket_folder(tmp_path) / "store.sock", tmp_path / "store.log")
    )
    yield running
    running.stop()


async def test_the_store_reads_the_file_of_an_older_version(old_store: RunningStore) -> None:
    await old_store.start()
    with redis.Redis.from_url(old_store.url) as client:
        assert client.get("vigie:epoch") == b"1"
        assert client.hlen("vigie:92:sites") == 50
        assert client.zcard("vigie:92:log") == 40


@pytest.mark.parametrize(
    "command", [("REPLICAOF", "127.0.0.1", "1"), ("SHUTDOWN",), ("DEBUG", "SLEEP", "0")]
)
def test_the_store_has_no_command_that_copies_or_stops_it(
    store: RunningStore, command: tuple[str, ...]
) -> None:
    with (
        redis.Redis.from_url(store.url) as client,
        pytest.raises(redis.ResponseError, match="unknown command"),
    ):
        client.execute_command(*command)


def test_the_store_listens_at_its_socket_alone(store: RunningStore) -> None:
    listening = [
        c
        for c in psutil.Process(store.pid).net_connections("inet")
        if c.status == psutil.CONN_LISTEN
    ]
    assert listening == []
    assert stat.S_IMODE(store.node.socket.stat().st_mode) == 0o700
