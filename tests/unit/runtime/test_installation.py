"""One set of keys per broker, and one name per machine."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from services.appliance.supervisor.plan import (
    ProcessPlan,
    StopOrder,
    build_service_plans,
    list_process_names,
)
from services.runtime.identity import installation
from services.runtime.identity.installation import (
    CLAIM_KEY,
    KeysDiffer,
    claim_broker,
    find_lost_keys,
)
from services.runtime.process.machine import get_or_create_machine_name
from services.runtime.process.settings import DataDir, Settings
from services.runtime.secrets.keyring import MasterKey, encrypt

KAFKA = "broker.example:9092"


class Topic:
    """The topic `access` in memory; `rivals` are written just before the next record."""

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes | None]] = []
        self.rivals: list[tuple[str, bytes]] = []

    def reader(self, _: str) -> Topic:
        return self

    writer = reader

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def bounds(self, *_: object) -> None: ...

    async def read(self, *_: object) -> AsyncIterator[Any]:
        for key, value in self.records:
            yield SimpleNamespace(key=key.encode(), value=value)

    async def put(self, _: str, key: str, value: bytes) -> None:
        self.records += self.rivals
        self.rivals = []
        self.records.append((key, value))

    async def stop(self) -> None: ...

    def claim(self) -> bytes | None:
        return dict(self.records).get(CLAIM_KEY)


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    made = Topic()
    monkeypatch.setattr(installation, "PartitionReader", made.reader)
    monkeypatch.setattr(installation, "KeyedWriter", made.writer)
    return made


def make_installation(folder: Path, *, new_keys: bool = False) -> Settings:
    settings = Settings(data_dir=folder, kafka=KAFKA, new_keys=new_keys)
    settings.data.make()
    return settings


def seal(settings: Settings, key: str) -> bytes:
    access_key = MasterKey.open(settings.data.secrets).derive_key("access")
    return encrypt(access_key, b"{}", key.encode())


async def test_a_machine_with_other_keys_is_refused(topic: Topic, tmp_path: Path) -> None:
    await claim_broker(make_installation(tmp_path / "first"))
    second = make_installation(tmp_path / "second")
    MasterKey.open(second.data.secrets)
    before = list(topic.records)
    with pytest.raises(KeysDiffer, match=r"broker\.example:9092 holds the data of an installation"):
        await claim_broker(second)
    assert topic.records == before, "and it has written nothing"


async def test_a_machine_without_keys_is_refused_and_makes_none(
    topic: Topic, tmp_path: Path
) -> None:
    await claim_broker(make_installation(tmp_path / "first"))
    second = make_installation(tmp_path / "second")
    with pytest.raises(KeysDiffer):
        await claim_broker(second)
    assert list(second.data.secrets.iterdir()) == []


async def test_a_machine_with_the_same_keys_may_start(topic: Topic, tmp_path: Path) -> None:
    first, second = make_installation(tmp_path / "first"), make_installation(tmp_path / "second")
    await claim_broker(first)
    claim = topic.claim()
    (second.data.secrets / "master.key").write_bytes(
        (first.data.secrets / "master.key").read_bytes()
    )
    await claim_broker(second)
    assert topic.claim() == claim


async def test_an_installation_from_before_the_claim_makes_it(topic: Topic, tmp_path: Path) -> None:
    ours = make_installation(tmp_path / "ours")
    topic.records = [
        ("principal:a", b"of another one" * 4),
        ("principal:b", seal(ours, "principal:b")),
    ]
    await claim_broker(ours)
    assert topic.claim() is not None
    await claim_broker(ours)


async def test_accounts_that_no_key_of_ours_opens_are_another_installation(
    topic: Topic, tmp_path: Path
) -> None:
    other = make_installation(tmp_path / "other")
    topic.records = [("principal:a", seal(other, "principal:a")), ("principal:b", None)]
    ours = make_installation(tmp_path / "ours")
    MasterKey.open(ours.data.secrets)
    with pytest.raises(KeysDiffer):
        await claim_broker(ours)


async def test_lost_keys_can_be_replaced_on_purpose(topic: Topic, tmp_path: Path) -> None:
    await claim_broker(make_installation(tmp_path / "lost"))
    replaced = make_installation(tmp_path / "new", new_keys=True)
    await claim_broker(replaced)
    await claim_broker(make_installation(tmp_path / "new"))
    with pytest.raises(KeysDiffer):
        await claim_broker(make_installation(tmp_path / "lost"))


async def test_the_first_of_two_new_machines_wins(topic: Topic, tmp_path: Path) -> None:
    """Both found an empty broker; the other one's claim reached the topic before ours."""
    rival, ours = make_installation(tmp_path / "rival"), make_installation(tmp_path / "ours")
    topic.rivals = [(CLAIM_KEY, seal(rival, CLAIM_KEY))]
    with pytest.raises(KeysDiffer):
        await claim_broker(ours)
    await claim_broker(rival)


@pytest.mark.parametrize(
    ("missing", "filled", "lost"),
    [
        ("master.key", "access", "master.key"),
        ("keyring.db", "directory", "keyring.db"),
        ("keyring.db", "access", None),  # a first start that was killed
        ("master.key", "", None),
        ("", "directory", None),
    ],
)
async def test_lost_keys_of_an_own_broker_are_found(
    missing: str, filled: str, lost: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`vigie up` made new keys without a word, and nobody in the directory could be called."""

    class Reader(Topic):
        async def bounds(self, topic: str, partitions: Any) -> Any:
            return dict.fromkeys(partitions, (0, 3 if topic == filled else 0))

    monkeypatch.setattr(installation, "PartitionReader", Reader().reader)
    settings = make_installation(tmp_path)
    for name in {"master.key", "keyring.db"} - {missing}:
        (settings.data.secrets / name).touch()
    assert await find_lost_keys(settings) == lost


def build_plans(data_dir: Path, machine: str = "") -> list[ProcessPlan]:
    return build_service_plans(
        Settings(data_dir=data_dir),
        {},
        dict.fromkeys(list_process_names(1), 1),
        {"VIGIE_HTTP_FD": 3, "VIGIE_CONSOLE_FD": 4},
        1,
        machine,
    )


def list_instances(data_dir: Path, machine: str) -> list[str]:
    return [plan.environment["VIGIE_INSTANCE"] for plan in build_plans(data_dir, machine)]


def test_services_stop_together_after_the_front(tmp_path: Path) -> None:
    """One after the other took 12 s, and an upgrade waits for each machine."""
    orders = {plan.name: plan.stop_order for plan in build_plans(tmp_path)}
    front = {orders.pop(name) for name in ("intake", "background")}
    services = set(orders.values())
    assert len(front) == len(services) == 1
    assert max(front) < min(services) < StopOrder.SERVERS


def test_members_of_two_machines_have_different_names(tmp_path: Path) -> None:
    """Two members `alerts-0` of one group put each other out, and nobody decided for minutes."""
    first, second = (
        get_or_create_machine_name(DataDir(tmp_path / name)) for name in ("first", "second")
    )
    names = [*list_instances(tmp_path, first), *list_instances(tmp_path, second)]
    assert len(set(names)) == len(names)
    assert f"{first}.alerts-0" in names


def test_a_machine_keeps_its_name(tmp_path: Path) -> None:
    name = get_or_create_machine_name(DataDir(tmp_path))
    assert get_or_create_machine_name(DataDir(tmp_path)) == name


def test_a_copied_data_directory_gets_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = get_or_create_machine_name(DataDir(tmp_path))
    monkeypatch.setattr(socket, "gethostname", lambda: "Annexe.example")
    assert get_or_create_machine_name(DataDir(tmp_path)) != name
    assert DataDir(tmp_path).machine.read_text().startswith("annexe-example-")


def test_the_members_of_an_own_broker_keep_their_names(tmp_path: Path) -> None:
    assert "alerts-0" in list_instances(tmp_path, "")
