"""A machine of a cluster starts with the brokers and the login of its cluster."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from services.appliance.cluster.certificates import create_authority
from services.appliance.cluster.registry import ClusterRecords, ClusterRegistry, MachineRecord
from services.appliance.embedded import kafka
from services.appliance.supervisor.alone import run_broker
from services.appliance.supervisor.membership import wait_for_servers
from services.appliance.supervisor.plan import (
    WAITS_FOR_MACHINES,
    NotAlive,
    Probe,
    build_broker_plan,
)
from services.appliance.supervisor.up import UpFailed
from services.cli.system.up import up
from services.runtime.backup.backup import _list_secret_files
from services.runtime.kafka.security import get_security, use_security
from services.runtime.process.cluster import MEMBER_FILE, write_member
from services.runtime.process.settings import DataDir, Settings
from services.runtime.secrets.local_secrets import get_or_create_password
from tests.unit.cluster.test_member import MEMBER, make_node


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataDir:
    """Return the directory of a machine of a cluster, which is the one of this process."""
    for name in ("VIGIE_KAFKA_USER", "VIGIE_KAFKA_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VIGIE_DATA_DIR", str(tmp_path))
    data_dir = DataDir(tmp_path)
    data_dir.make()
    create_authority(data_dir.secrets)
    get_or_create_password(data_dir.secrets)
    write_member(data_dir.secrets, MEMBER)
    use_security(None)
    return data_dir


def test_a_service_logs_in_to_its_cluster_over_tls(
    data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIGIE_KAFKA", MEMBER.brokers)
    security = get_security()
    assert security.tls
    assert security.password.get_secret_value() == get_or_create_password(data.secrets)


def test_other_brokers_do_not_get_the_password(
    data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (data.secrets / MEMBER_FILE).exists()
    monkeypatch.setenv("VIGIE_KAFKA", "elsewhere.example:9092")
    assert not get_security().user


async def test_a_command_asks_the_brokers_of_the_cluster(data: DataDir) -> None:
    async with run_broker(Settings()) as broker:
        assert broker.kafka == MEMBER.brokers
        assert get_security().tls
    assert not (data.root / "run" / "lock").exists()


def test_a_machine_of_a_cluster_takes_no_other_brokers(
    data: DataDir, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        up(data=data.root, kafka="elsewhere.example:9092")
    assert "belongs to a cluster" in capsys.readouterr().err


def test_a_damaged_file_stops_the_start(data: DataDir, capsys: pytest.CaptureFixture[str]) -> None:
    """A start without its cluster would make a single node of a member."""
    (data.secrets / MEMBER_FILE).write_text("{")
    with pytest.raises(typer.Exit):
        up(data=data.root)
    assert MEMBER_FILE in capsys.readouterr().err


def make_probe(monkeypatch: pytest.MonkeyPatch, answers: list[bool], tmp_path: Path) -> Probe:
    async def answer(_: kafka.BrokerCheck) -> bool:
        return answers.pop(0)

    monkeypatch.setattr(kafka.BrokerCheck, "is_serving", answer)
    create_authority(tmp_path)
    plan = build_broker_plan(make_node(tmp_path, converts=False), {}, in_cluster=True)
    assert plan.probe is not None
    return plan.probe


async def test_a_broker_that_waits_for_the_others_is_not_hung(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    probe = make_probe(monkeypatch, [False, True, False], tmp_path)
    assert await probe() == WAITS_FOR_MACHINES
    assert await probe() is None
    with pytest.raises(NotAlive):
        await probe()


def test_a_backup_holds_no_place_in_a_cluster(data: DataDir) -> None:
    """A restored installation would start as a machine that it is not."""
    (data.secrets / "master.key").write_bytes(bytes(32))
    assert [path.name for path in _list_secret_files(data)] == ["master.key"]


async def test_a_machine_that_was_replaced_says_so_instead_of_waiting(
    data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others shut its broker out, which would never be ready."""
    own = MachineRecord(2, "10.0.0.2:9093", "10.0.0.2:9094", "vm-2", "", "0.1.0", "left")

    async def read(_: ClusterRegistry) -> ClusterRecords:
        return ClusterRecords({2: own}, {}, {})

    monkeypatch.setattr(ClusterRegistry, "read", read)
    options: Any = SimpleNamespace(settings=Settings(), member=MEMBER)
    async with asyncio.timeout(10):
        with pytest.raises(UpFailed, match="machine 2 has left its cluster: delete"):
            await wait_for_servers(options, asyncio.Event().wait())


async def test_a_machine_starts_while_no_other_answers(
    data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_asked = asyncio.Event()

    async def read(_: ClusterRegistry) -> ClusterRecords:
        is_asked.set()
        raise OSError("no broker answers")

    monkeypatch.setattr(ClusterRegistry, "read", read)
    options: Any = SimpleNamespace(settings=Settings(), member=MEMBER)
    async with asyncio.timeout(10):
        await wait_for_servers(options, is_asked.wait())
