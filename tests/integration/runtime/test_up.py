"""`vigie up`: every refusal is one clear line, and nothing is left running."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from services.appliance.embedded.classes import find_cache
from services.appliance.embedded.java import fetch_classpath, find_java, read_configured_java
from services.appliance.embedded.kafka import RunningKafka
from services.appliance.supervisor.orphans import find_orphans
from services.appliance.supervisor.status import MIN_FREE_MB
from services.runtime.kafka.topics import provision_topics
from services.runtime.process.files import DataDirLock
from services.runtime.process.settings import DataDir, Settings
from tests.faults.matrix import proves
from tests.system import RunningVigie


def refusal(vigie: RunningVigie) -> str:
    """Return the last line of an `up` that must exit by itself with 1."""
    vigie.begin()
    try:
        assert vigie.ended() == 1
    finally:
        vigie.stop()
    assert find_orphans(vigie.folder / "data") == []
    assert "Traceback" not in vigie.log
    return vigie.log.strip().splitlines()[-1]


def test_a_busy_port_is_named_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert refusal(RunningVigie(tmp_path, options=("--http", f"127.0.0.1:{port}"))) == (
            f"vigie up: 127.0.0.1:{port} cannot be listened on (Address already in use): choose another address with --http or VIGIE_HTTP"
        )
    assert not (tmp_path / "data" / "kafka" / "data").exists()


def test_a_second_up_on_the_same_directory_names_the_first(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "data")
    data.make()
    lock = DataDirLock(data.lock)
    try:
        last = refusal(RunningVigie(tmp_path))
    finally:
        lock.release()
    assert (
        last
        == f"vigie up: Vigie already runs on {data.root} (process {os.getpid()}): stop it first, or give another place with --data"
    )


def test_a_missing_or_too_old_java_is_named(tmp_path: Path) -> None:
    assert (
        refusal(RunningVigie(tmp_path, VIGIE_JAVA="/nonexistent/java"))
        == "vigie up: VIGIE_JAVA=/nonexistent/java does not run: name a Java ≥ 17, or leave it unset"
    )
    old = tmp_path / "java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    old.chmod(0o755)
    assert (
        refusal(RunningVigie(tmp_path, VIGIE_JAVA=str(old)))
        == f"vigie up: VIGIE_JAVA={old} is Java 11: Kafka needs ≥ 17, or leave it unset"
    )


def test_a_data_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    assert (
        refusal(RunningVigie(tmp_path))
        == f"vigie up: the data directory {tmp_path / 'data'} cannot be used: File exists ({tmp_path / 'data'})"
    )


def test_a_wrong_address_is_a_wrong_usage_not_a_traceback(tmp_path: Path) -> None:
    assert (
        refusal(RunningVigie(tmp_path, options=("--http", "8092")))
        == "vigie up: VIGIE_HTTP: must be HOST:PORT, not '8092'"
    )


@proves("supervisor", "full_disk", note="it does not start, and says why")
def test_a_full_disk_is_named(tmp_path: Path) -> None:
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", tmp_path],
            check=False,
            capture_output=True,
        ).returncode
    ):
        pytest.skip("a small disk needs the right to mount one")
    try:
        last = refusal(RunningVigie(tmp_path))
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    assert last.startswith(f"vigie up: the disk of {tmp_path / 'data'} is full (")
    assert last.endswith(
        f" MB free, {MIN_FREE_MB} needed): make room, or give another place with --data"
    )


async def test_topics_that_differ_are_refused_by_name_and_never_altered(
    broker: RunningKafka, tmp_path: Path
) -> None:
    """Those of one broker are not those of a cluster."""
    three = RunningVigie(tmp_path, options=("--kafka", broker.address), VIGIE_KAFKA_REPLICATION="3")
    last = await asyncio.to_thread(refusal, three)
    assert "topic alerts.log has min.insync.replicas=1 instead of 2" in last
    assert (await provision_topics(broker.address)).created_topics == ()


@proves("supervisor", "corrupted", note="the cache of jars")
def test_the_jars_of_a_damaged_cache_are_never_run(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys\n"
        "from services.appliance.embedded import java\n"
        "cache = pathlib.Path(sys.argv[1]); folder = cache / f'kafka-{java.KAFKA_VERSION}'; folder.mkdir(parents=True)\n"
        "(folder / 'slf4j-api-1.7.36.jar').write_bytes(b'damaged')\n"
        "java.read_locked_jars = lambda: [j for j in locked if 'slf4j-api' in j.coordinate]\n"
    )
    mended = subprocess.run(
        [
            sys.executable,
            "-c",
            code.replace(
                "java.read_locked_jars = lambda",
                "locked = java.read_locked_jars()\njava.read_locked_jars = lambda",
            )
            + "print(java.fetch_classpath(cache, print)[0].stat().st_size > 1000)",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    first, last = mended.stdout.strip().splitlines()
    assert first.startswith("slf4j-api-1.7.36.jar in ")
    assert first.endswith("does not match its checksum: fetching it again")
    assert last == "True"


def test_the_broker_starts_with_the_classes_that_are_kept(vigie: RunningVigie) -> None:
    class_cache = find_cache(
        find_java(read_configured_java()), tuple(fetch_classpath(Settings().cache_dir, print))
    )
    assert class_cache is not None
    assert str(class_cache) in {
        mapped.path for mapped in psutil.Process(vigie.processes()["broker"]).memory_maps()
    }
    assert "classes" not in vigie.processes(), "they are not made again"


def test_all_listeners_are_on_loopback(vigie: RunningVigie) -> None:
    for pid in (vigie.pid, *vigie.processes().values()):
        for connection in psutil.Process(pid).net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip in ("127.0.0.1", "::1", "::ffff:127.0.0.1"), connection
