"""`vigie up`: every refusal is one clear line, and nothing is left running."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from services.runtime.embedded.kafka import RunningKafka
from services.runtime.settings import DataDir
from services.runtime.supervisor.lock import DataDirLock
from services.runtime.supervisor.orphans import find_orphans
from services.runtime.supervisor.supervisor import FREE_MB
from tests.brokers import make_node
from tests.stack import Stack


@pytest.fixture(scope="module")
def foreign_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningKafka]:
    """A broker on which another program made one of our topics."""
    running = RunningKafka(make_node(tmp_path_factory.mktemp("foreign")))
    running.node.prepare()

    async def start() -> None:
        await running.start()
        admin = AIOKafkaAdminClient(bootstrap_servers=running.address)
        await admin.start()
        await admin.create_topics([NewTopic("alerts.log", 2, 1)])
        await admin.close()

    asyncio.run(start())
    yield running
    running.stop()


def refusal(stack: Stack) -> str:
    """The last line of an `up` that must end by itself with 1."""
    assert stack._process is not None
    assert stack._process.wait(60) == 1
    assert find_orphans(stack.data.root) == []
    lines = stack.output.strip().splitlines()
    assert "Traceback" not in stack.output
    return lines[-1]


def test_a_busy_port_is_named_before_anything_is_started(start_stack: Callable[..., Stack]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        stack = start_stack("--http", f"127.0.0.1:{port}", begin=True)
        assert refusal(stack) == (
            f"vigie up: 127.0.0.1:{port} cannot be listened on (Address already in use): choose another address with --http or VIGIE_HTTP"
        )
    assert not (stack.data.kafka / "data").exists()


def test_a_second_up_on_the_same_directory_names_the_first(start_stack: Callable[..., Stack], tmp_path: Path) -> None:
    data = DataDir(tmp_path / "data")
    data.make()
    lock = DataDirLock(data.lock)
    stack = start_stack(begin=True, folder=tmp_path)
    assert (
        refusal(stack)
        == f"vigie up: Vigie already runs on {data.root} (process {os.getpid()}): stop it first, or give another place with --data"
    )
    lock.release()


def test_a_missing_or_too_old_java_is_named(start_stack: Callable[..., Stack], tmp_path: Path) -> None:
    stack = start_stack(begin=True, VIGIE_JAVA="/nonexistent/java")
    assert refusal(stack) == "vigie up: VIGIE_JAVA=/nonexistent/java does not run: name a Java ≥ 17, or leave it unset"
    old = tmp_path / "java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    old.chmod(0o755)
    stack = start_stack(begin=True, VIGIE_JAVA=str(old))
    assert refusal(stack) == f"vigie up: VIGIE_JAVA={old} is Java 11: Kafka needs ≥ 17, or leave it unset"


def test_a_data_directory_that_cannot_be_written_is_named(start_stack: Callable[..., Stack], tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    stack = start_stack(begin=True, folder=tmp_path)
    assert refusal(stack) == f"vigie up: the data directory {tmp_path / 'data'} cannot be used: File exists ({tmp_path / 'data'})"


def test_a_wrong_address_is_a_wrong_usage_not_a_traceback(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack("--http", "8092", begin=True)
    assert refusal(stack) == "vigie up: http: Value error, must be HOST:PORT, not '8092'"


def test_a_full_disk_is_named(start_stack: Callable[..., Stack], tmp_path: Path) -> None:
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", tmp_path], check=False, capture_output=True).returncode
    ):
        pytest.skip("a small disk needs the right to mount one")
    try:
        stack = start_stack(begin=True, folder=tmp_path)
        last = refusal(stack)
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    assert last.startswith(f"vigie up: the disk of {tmp_path / 'data'} is full (")
    assert last.endswith(f" MB free, {FREE_MB} needed): make room, or give another place with --data")


def test_a_topic_that_differs_is_refused_by_name_and_never_altered(start_stack: Callable[..., Stack], foreign_broker: RunningKafka) -> None:
    stack = start_stack("--kafka", foreign_broker.address, begin=True)
    assert "topic alerts.log has 2 partitions instead of 8" in refusal(stack)


def test_the_jars_of_a_damaged_cache_are_never_run(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys\n"
        "from services.runtime.embedded import jars\n"
        "cache = pathlib.Path(sys.argv[1]); folder = cache / f'kafka-{jars.KAFKA_VERSION}'; folder.mkdir(parents=True)\n"
        "(folder / 'slf4j-api-1.7.36.jar').write_bytes(b'damaged')\n"
        "jars.locked_jars = lambda: [j for j in locked if 'slf4j-api' in j.coordinate]\n"
    )
    mended = subprocess.run(
        [sys.executable, "-c", code.replace("jars.locked_jars = lambda", "locked = jars.locked_jars()\njars.locked_jars = lambda")
         + "print(jars.classpath(cache, print)[0].stat().st_size > 1000)", str(tmp_path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    first, last = mended.stdout.strip().splitlines()
    assert first.startswith("slf4j-api-1.7.36.jar in ")
    assert first.endswith("does not match its checksum: fetching it again")
    assert last == "True"


def test_nothing_listens_outside_loopback(stack: Stack) -> None:
    for pid in (stack.pid, *stack.pids().values()):
        for connection in psutil.Process(pid).net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip in ("127.0.0.1", "::1", "::ffff:127.0.0.1"), connection
