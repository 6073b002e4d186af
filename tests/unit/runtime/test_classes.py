"""Cached classes of the broker belong to one Java and its jars; damaged ones are never used."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psutil
import pytest

from services.appliance.embedded import classes
from services.appliance.embedded.classes import MAX_CACHES, can_cache, find_cache, make_cache
from services.appliance.embedded.java import Java
from services.appliance.embedded.kafka import KafkaNode, RunningKafka
from services.appliance.embedded.store import StoreNode
from services.appliance.supervisor import up
from services.appliance.supervisor.forking import ForkServer
from services.appliance.supervisor.stream import OutputStream, StartProgress
from services.runtime.process.settings import Settings
from tests.waiting import until

RECORD = classes._record_classes


@pytest.fixture
def jars(tmp_path: Path) -> tuple[Path, ...]:
    made = tmp_path / "kafka.jar", tmp_path / "log4j.jar"
    for jar in made:
        jar.write_bytes(b"jar")
    return made


@pytest.fixture(autouse=True)
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[KafkaNode]:
    """List the nodes with recorded classes, without a JVM."""
    nodes: list[KafkaNode] = []

    def record(node: KafkaNode, into: Path) -> None:
        nodes.append(node)
        into.write_bytes(b"classes")

    monkeypatch.setattr(classes, "_record_classes", record)
    return nodes


def java(tmp_path: Path, name: str = "java", major: int = 25) -> Java:
    return Java(tmp_path / name / "bin" / "java", major)


def test_they_are_made_once_for_a_java_and_its_jars(
    tmp_path: Path, jars: tuple[Path, ...], recorded: list[KafkaNode]
) -> None:
    one, other = java(tmp_path), java(tmp_path, "other")
    assert find_cache(one, jars) is None
    made = make_cache(one, jars)
    assert made is not None
    assert made == make_cache(one, jars) == find_cache(one, jars)
    assert len(recorded) == 1
    assert find_cache(other, jars) is None
    os.utime(jars[0], (1, 1))
    assert find_cache(one, jars) is None, "another jar"


def test_installations_of_one_java_share_them(tmp_path: Path, jars: tuple[Path, ...]) -> None:
    """The JVM does not compare its own folder; each new environment made 70 MB once more."""
    for folder, at in (("one", 1), ("same", 1), ("newer", 2)):
        modules = tmp_path / folder / "lib" / "modules"
        modules.parent.mkdir(parents=True)
        modules.write_bytes(b"classes of the JDK")
        os.utime(modules, (at, at))
    made = make_cache(java(tmp_path, "one"), jars)
    assert made is not None
    assert find_cache(java(tmp_path, "same"), jars) == made
    assert find_cache(java(tmp_path, "newer"), jars) is None


def test_damaged_ones_are_removed_and_made_again(
    tmp_path: Path, jars: tuple[Path, ...], recorded: list[KafkaNode]
) -> None:
    made = make_cache(java(tmp_path), jars)
    assert made is not None
    made.write_bytes(b"clusses")
    assert find_cache(java(tmp_path), jars) is None
    assert not made.exists()
    assert make_cache(java(tmp_path), jars) == made
    assert len(recorded) == 2


def test_files_that_others_could_write_are_not_used(
    tmp_path: Path, jars: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_cache(java(tmp_path), jars)
    assert made is not None
    made.chmod(0o620)
    assert find_cache(java(tmp_path), jars) is None
    assert make_cache(java(tmp_path), jars) == made
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert find_cache(java(tmp_path), jars) is None
    assert made.exists(), "another user's, who goes on with them"


def test_the_rest_of_a_killed_recording_is_removed(tmp_path: Path, jars: tuple[Path, ...]) -> None:
    (tmp_path / ".classes-abc" / "data").mkdir(parents=True)
    assert make_cache(java(tmp_path), jars) is not None
    assert not list(tmp_path.glob(".classes-*"))


def test_those_used_last_stay(tmp_path: Path, jars: tuple[Path, ...]) -> None:
    made = [make_cache(java(tmp_path, str(n)), jars) for n in range(MAX_CACHES)]
    for n, file in enumerate(made):
        assert file is not None
        os.utime(file, (n, n))
    find_cache(java(tmp_path, "0"), jars)
    make_cache(java(tmp_path, "new"), jars)
    assert [find_cache(java(tmp_path, str(n)), jars) for n in range(MAX_CACHES)] == [
        made[0],
        None,
        *made[2:],
    ]


def test_an_older_java_and_a_cache_that_cannot_be_written_do_without(
    tmp_path: Path,
    jars: tuple[Path, ...],
    monkeypatch: pytest.MonkeyPatch,
    recorded: list[KafkaNode],
) -> None:
    assert make_cache(java(tmp_path, major=21), jars) is None

    def refused(*_: object) -> None:
        raise PermissionError

    chmod = Path.chmod
    for name, how in (
        ("touch", refused),
        ("chmod", lambda file, _: chmod(file, 0o666)),
    ):  # a stick that knows no owners
        with monkeypatch.context() as patch:
            patch.setattr(Path, name, how)
            assert not can_cache(java(tmp_path), jars)
            assert make_cache(java(tmp_path), jars) is None
    assert not recorded
    assert can_cache(java(tmp_path), jars)


def test_a_crashed_jvm_writes_its_report_into_the_logs(
    tmp_path: Path, jars: tuple[Path, ...]
) -> None:
    """Its report lay in the folder from which Vigie was started. A % in a path is no pattern."""
    node = KafkaNode(
        tmp_path, 1, 2, java(tmp_path), jars, tmp_path / "100 %p" / "broker.jsonl", "secret"
    )
    assert f"-XX:ErrorFile={tmp_path}/100 %%p/broker-crash-%p.log" in node.command()


def test_a_jvm_gets_them_or_writes_them(tmp_path: Path, jars: tuple[Path, ...]) -> None:
    def aot(*, kept: Path | None = None, recording: Path | None = None) -> list[str]:
        node = KafkaNode(
            tmp_path, 1, 2, java(tmp_path), jars, tmp_path / "log", "secret", classes=kept
        )
        return [option for option in node.command(recording) if option.startswith("-XX:AOT")]

    assert aot() == []
    assert aot(kept=Path("/c.aot")) == ["-XX:AOTCache=/c.aot"]
    assert aot(recording=Path("/r.aot")) == ["-XX:AOTCacheOutput=/r.aot"]


def test_cached_classes_stay_pages_of_their_file(tmp_path: Path, jars: tuple[Path, ...]) -> None:
    """At another address the JVM rewrites 24 MB of them."""
    node = KafkaNode(
        tmp_path, 1, 2, java(tmp_path), jars, tmp_path / "log", "secret", classes=Path("/c.aot")
    )
    assert "-XX:ArchiveRelocationMode=0" in node.command()


def test_a_stopped_recording_leaves_no_process(
    tmp_path: Path, jars: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recording JVM starts a second one to write.

    It ran for seconds after the end of `vigie up`. Other processes continue.
    """
    jvm = java(tmp_path)
    jvm.command.parent.mkdir(parents=True)
    jvm.command.write_text("#!/bin/sh\nsleep 600 & wait\n")
    jvm.command.chmod(0o755)
    monkeypatch.setattr(KafkaNode, "prepare", lambda _: None)
    started: list[psutil.Process] = []

    async def stopped(running: RunningKafka) -> None:
        process = psutil.Process(running.spawn().pid)
        until(lambda: [child.name() for child in process.children()] == ["sleep"])
        started.extend([process, *process.children()])
        raise SystemExit

    monkeypatch.setattr(classes, "_use_broker", stopped)
    with subprocess.Popen(["sleep", "600"]) as other:
        try:
            with pytest.raises(SystemExit):
                RECORD(
                    KafkaNode(tmp_path, 1, 2, jvm, jars, tmp_path / "log", "secret"),
                    tmp_path / "made.aot",
                )
            _, alive = psutil.wait_procs(started, 10)
            assert (len(started), alive, other.poll()) == (2, [], None)
        finally:
            other.kill()


@pytest.mark.parametrize(("kept", "made_later"), [(True, []), (False, ["classes"])])
def test_those_that_are_missing_are_made_when_everything_runs(
    tmp_path: Path,
    jars: tuple[Path, ...],
    monkeypatch: pytest.MonkeyPatch,
    kept: bool,
    made_later: list[str],
) -> None:
    node = KafkaNode(
        tmp_path,
        1,
        2,
        java(tmp_path),
        jars,
        tmp_path / "log",
        "secret",
        classes=make_cache(java(tmp_path), jars) if kept else None,
    )
    monkeypatch.setattr(up, "make_node", lambda *_: node)
    monkeypatch.setattr(KafkaNode, "prepare", lambda _: None)
    settings = Settings(data_dir=tmp_path / "data")
    options = up.UpOptions(
        settings,
        None,
        "redis://127.0.0.1:1",
        demo=False,
        workers=1,
        preparation=(),
        greeting=lambda _: "",
        forks=ForkServer(()),
    )
    store = StoreNode(tmp_path, tmp_path / "store.sock", tmp_path / "store.log")
    servers, later = up._prepare_servers(
        options, store, {"kafka": 1, "controller": 2}, {}, StartProgress(OutputStream())
    )
    assert [plan.name for plan in servers] == ["broker"]
    assert [plan.name for plan in later] == made_later
