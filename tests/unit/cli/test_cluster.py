"""`vigie cluster` names the remedy for wrong inputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner, Result

from services.appliance.cluster.certificates import create_authority
from services.appliance.cluster.invitation import Invitation, seal_invitation
from services.cli.system import cluster
from services.runtime.process.cluster import ClusterMember, Machine, write_member
from services.runtime.process.files import DataDirLock
from services.runtime.process.settings import DataDir
from services.runtime.process.sockets import find_free_ports
from services.runtime.secrets.local_secrets import PASSWORD_FILE

HOST = "127.0.0.1"
AWAY = Machine(1, "127.0.0.1:1", "127.0.0.1:2")
INVITATION = Invitation(
    id="abc",
    expires_at=4_000_000_000_000,
    cluster="Kp9",
    number=2,
    machines=(AWAY,),
    secrets={PASSWORD_FILE: b"x" * 43},
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the data directory of the commands."""
    folder = tmp_path / "data"
    monkeypatch.setenv("VIGIE_DATA_DIR", str(folder))
    return folder


def run(*arguments: str, given: str = "") -> Result:
    return CliRunner().invoke(cluster.app, list(arguments), input=given)


def join(text: str) -> Result:
    return run("join", "-", "--address", f"127.0.0.1:{find_free_ports(1)[0]}", given=text)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("hello", "begins with vigie1"),
        (seal_invitation(INVITATION)[:-9], "copy it again"),
        (seal_invitation(replace(INVITATION, expires_at=1)), "by the clock of this machine"),
    ],
)
def test_an_invitation_that_cannot_be_used_is_explained(text: str, remedy: str) -> None:
    result = join(text)
    assert result.exit_code == 1
    assert remedy in result.stderr


@pytest.mark.parametrize(
    ("file", "remedy"),
    [
        ("/nonexistent/invitation", "/nonexistent/invitation: No such file"),
        (seal_invitation(INVITATION), "every user of this machine can see an argument"),
    ],
)
def test_the_text_of_an_invitation_is_no_argument(file: str, remedy: str) -> None:
    result = run("join", file, "--address", HOST)
    assert (result.exit_code, remedy in result.stderr) == (1, True), result.stderr


def test_a_file_of_other_bytes_is_no_invitation(tmp_path: Path) -> None:
    file = tmp_path / "photo"
    file.write_bytes(bytes(range(256)))
    assert "begins with vigie1" in run("join", str(file), "--address", HOST).stderr


def test_a_full_disk_stops_a_command_before_it_begins(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "services.appliance.supervisor.status.shutil.disk_usage",
        lambda _: SimpleNamespace(free=5 << 20),
    )
    result = run("init", "--address", HOST)
    assert result.exit_code == 1
    assert f"the disk of {folder} has 5 MB free" in result.stderr
    assert not (folder / "secrets" / "cluster-ca.key").exists()


@pytest.mark.parametrize(
    "arguments", [("status",), ("invite",), ("leave",), ("replace", "1")], ids=lambda a: a[0]
)
def test_a_cluster_that_does_not_answer_is_named_with_the_remedy(
    folder: Path, arguments: tuple[str, ...]
) -> None:
    data = DataDir(folder)
    data.make()
    create_authority(data.secrets)
    (data.secrets / PASSWORD_FILE).write_text("x" * 43)
    write_member(data.secrets, ClusterMember("Kp9", 1, (AWAY,)))
    result = run(*arguments)
    assert result.exit_code == 1
    assert "no broker answers at 127.0.0.1:1" in result.stderr
    assert "the broker at" not in result.stderr, "without an address"
    assert "start `vigie up`" in result.stderr


def test_a_broker_that_takes_too_long_is_named_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def take_too_long(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(cluster, "found_cluster", take_too_long)
    result = run("init", "--address", HOST)
    assert result.exit_code == 1
    assert "the broker did not answer in time; run the command again" in result.stderr


def test_a_running_installation_is_to_be_stopped_first(folder: Path) -> None:
    DataDir(folder).make()
    lock = DataDirLock(DataDir(folder).lock)
    try:
        result = run("init", "--address", HOST)
    finally:
        lock.release()
    assert result.exit_code == 1
    assert f"Vigie runs on {folder} (process " in result.stderr
    assert "stop `vigie up` first" in result.stderr


@pytest.mark.parametrize("arguments", [("invite",), ("replace", "2")], ids=lambda a: a[0])
def test_every_invitation_says_until_when_it_can_be_used(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    @contextmanager
    def use_cluster(_: object) -> Iterator[tuple[None, None]]:
        yield None, None

    async def invite_machine(*_: object) -> Invitation:
        return INVITATION

    async def dismiss_dead_machine(*_: object) -> None: ...

    monkeypatch.setattr(cluster, "_use_cluster", use_cluster)
    monkeypatch.setattr(cluster, "invite_machine", invite_machine)
    monkeypatch.setattr(cluster, "dismiss_dead_machine", dismiss_dead_machine)
    assert "once, until 2096-10-02 09:06 (Paris)" in run(*arguments).stderr
