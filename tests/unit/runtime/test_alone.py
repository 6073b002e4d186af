"""Files of a stopped installation are used by starts and commands, or named in one line."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
import typer

from services.appliance.embedded.java import Java, find_java
from services.appliance.embedded.kafka import KafkaNode
from services.appliance.supervisor import alone
from services.appliance.supervisor.forking import ForkServer
from services.appliance.supervisor.up import UpFailed, UpOptions, _catch_stop_signals, run_system
from services.cli.system.doctor import check_restore
from services.cli.system.status import list_targets, status
from services.runtime.process.settings import Settings
from services.runtime.process.sockets import choose_ports, read_ports


@dataclass
class _Broker:
    """One that is there at once."""

    node: KafkaNode

    @property
    def address(self) -> str:
        return self.node.address

    async def start(self) -> None: ...

    def stop(self) -> None: ...


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    java = Java(Path("/bin/true"), 21)
    monkeypatch.setattr(
        alone,
        "make_node",
        lambda folder, ports, log_file, *_: KafkaNode(folder, *ports, java, (), log_file, "secret"),
    )
    monkeypatch.setattr(alone, "RunningKafka", _Broker)
    monkeypatch.setattr(KafkaNode, "prepare", lambda _: None)
    settings = Settings(data_dir=tmp_path / "data")
    settings.data.make()
    return settings


async def test_a_backup_of_a_stopped_system_keeps_the_prometheus_targets(
    settings: Settings,
) -> None:
    """`vigie status --targets` named no process until the next start, so none was missed."""
    choose_ports(settings.data.ports, ["kafka", "controller", "console-http", "intake", "alerts-0"])
    before, targets = read_ports(settings.data.ports), list_targets(settings)
    async with alone.run_broker(settings, new_mb=1) as broker_settings:
        assert broker_settings.kafka == f"127.0.0.1:{before['kafka']}"
    assert read_ports(settings.data.ports) == before
    assert list_targets(settings) == targets
    assert {t["labels"]["process"] for t in targets} == {"intake", "alerts-0"}


async def test_a_restore_that_is_killed_early_is_no_new_installation(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`vigie up` started an empty one on it, with other keys."""
    for is_formatted in (True, False):
        monkeypatch.setattr(KafkaNode, "is_formatted", lambda _, value=is_formatted: value)
        async with alone.run_broker(settings, new_mb=1):
            assert settings.data.restoring.exists() is not is_formatted
    [finding] = check_restore(settings.data)
    assert finding.state == "fault"


async def test_a_disk_without_room_for_a_restore_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker ended on the full disk, and the restore waited for it for ever."""
    monkeypatch.setattr(alone, "read_free_mb", lambda _: 249)
    with pytest.raises(alone.NoBroker, match="249 Mo libres, il en faut 250"):
        async with alone.run_broker(settings, new_mb=50):
            pass


@pytest.mark.parametrize(
    "content", ["", "[]", '{"intake": null}', '{"intake": -1}', '{"intake": 99999999}', "\xff"]
)
def test_ports_that_are_none_are_made_anew(settings: Settings, content: str) -> None:
    settings.data.ports.write_text(content, encoding="latin-1")
    assert 0 < choose_ports(settings.data.ports, ["intake"])["intake"] < 65536


@pytest.mark.parametrize("name", ["logs/vigie.jsonl", "run/lock", "secrets"])
async def test_an_unwritable_file_is_named_in_one_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A start by another user ended with a traceback."""
    path = settings.data.root / name
    if name == "secrets":
        path.rmdir()
        path.touch()
    else:
        path.mkdir()

    monkeypatch.setattr(structlog, "configure", lambda **_: None)
    options = UpOptions(
        settings,
        None,
        None,
        demo=False,
        workers=1,
        preparation=(),
        greeting=lambda _: "",
        forks=ForkServer(()),
    )
    with pytest.raises(UpFailed, match=f"cannot be used: .*{name}") as failed:
        await run_system(options)
    assert "\n" not in str(failed.value)


def test_a_java_may_be_named_as_in_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`VIGIE_JAVA=java` passed the check, but the broker did not find the program."""
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"21.0.1\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(java.parent), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    assert [find_java(Path(java_name)) for java_name in ("java", "bin/java", ".", str(java))] == [
        Java(java, 21)
    ] * 4


@pytest.mark.parametrize(("before", "stops"), [(signal.SIG_DFL, True), (signal.SIG_IGN, False)])
async def test_the_end_of_its_terminal_stops_it_unless_that_was_ignored(
    before: signal.Handlers, stops: bool
) -> None:
    """`nohup vigie up &` ended at the logout of its user."""
    usual = signal.signal(signal.SIGHUP, before)
    try:
        with _catch_stop_signals() as stop_event:
            os.kill(os.getpid(), signal.SIGHUP)
            if stops:
                async with asyncio.timeout(5):
                    await stop_event.wait()
            else:
                await asyncio.sleep(0)
                assert not stop_event.is_set()
                assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, usual)


def test_a_user_without_access_does_not_read_that_vigie_is_stopped(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIGIE_DATA_DIR", str(settings.data_dir))
    monkeypatch.setattr(os, "access", lambda path, _: path != settings.data.run)
    with pytest.raises(typer.Exit):
        status(as_json=False, targets=False)
    assert (
        capsys.readouterr().err
        == f"{settings.data.run} cannot be read: run this command as the user that runs Vigie\n"
    )


def test_unnamed_targets_are_no_empty_list(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A timer under the wrong user emptied the list of Prometheus, and no process was missed any more."""
    monkeypatch.setenv("VIGIE_DATA_DIR", str(settings.data_dir))
    with pytest.raises(typer.Exit) as ended:
        status(as_json=False, targets=True)
    output = capsys.readouterr()
    assert (ended.value.exit_code, output.out) == (1, "")
    assert str(settings.data.ports) in output.err
