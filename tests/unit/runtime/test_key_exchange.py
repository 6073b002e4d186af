"""Two machines on one topic `keyring` in memory: each opens the texts of the other."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from services.runtime.backup import backup
from services.runtime.kafka.clients import BrokerAway
from services.runtime.kafka.compacted_topic import Tombstones
from services.runtime.process.cluster import is_shared
from services.runtime.process.settings import Settings
from services.runtime.secrets import key_exchange
from services.runtime.secrets.key_exchange import KeyExchange, PoolFiller
from services.runtime.secrets.keyring import Keyring, MasterKey
from services.runtime.secrets.mailbox import TOPIC, Delivery, Dismissal, Erasure, Hello, Mailbox
from services.runtime.secrets.shared_keyring import SharedKeyring
from services.runtime.secrets.vault import Sealer
from tests.keyed import MemoryKeyedLog

MASTER = MasterKey(b"k" * 32)


class Machine:
    """One machine with its own keyring, which reads the topic when told so."""

    def __init__(self, folder: Path, log: MemoryKeyedLog, name: str) -> None:
        folder.mkdir(exist_ok=True)
        self.log = log
        self.keyring = SharedKeyring(folder / "keyring.db", MASTER, name)
        self.exchange = KeyExchange("", self.keyring, log)
        self.filler = PoolFiller(self.keyring, log)
        self.sealer = Sealer(self.keyring, Tombstones.of(MASTER), self.filler)

    async def follow(self) -> None:
        """Read the topic to its end, then serve the others."""
        await self.exchange.apply(self.log.entries[self.keyring.next_offset :])
        await self.exchange.serve()

    async def seal(self, id: str) -> bytes:
        await self.sealer.prepare()
        return self.sealer.seal("texts", id, id.encode())

    def open(self, id: str, record: bytes) -> bytes | None:
        return self.sealer.open("texts", id, record)


class Cluster:
    """Machines of one installation."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.log = MemoryKeyedLog()
        self.machines: list[Machine] = []

    def add(self, name: str) -> Machine:
        made = Machine(self._folder / name, self.log, name)
        self.machines.append(made)
        return made

    async def settle(self) -> None:
        """Run every machine until nobody has anything to say."""
        length = -1
        while length != len(self.log.entries):
            length = len(self.log.entries)
            for machine in self.machines:
                await machine.follow()

    def kill(self, machine: Machine) -> None:
        """End a machine as kill -9 does: its file stays as it is."""
        self.machines.remove(machine)
        machine.keyring._db.close()

    def close(self) -> None:
        for machine in self.machines:
            machine.keyring.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.close()


@pytest.fixture
async def pair(cluster: Cluster) -> tuple[Machine, Machine]:
    first, second = cluster.add("first"), cluster.add("second")
    await cluster.settle()
    return first, second


async def test_each_machine_opens_the_texts_of_the_other(
    cluster: Cluster, pair: tuple[Machine, Machine]
) -> None:
    sealed = {f"t-{i}": await pair[i % 2].seal(f"t-{i}") for i in range(24)}
    await cluster.settle()
    for machine in pair:
        assert [machine.open(id, record) for id, record in sealed.items()] == [
            id.encode() for id in sealed
        ]


async def test_machines_never_give_the_same_number(pair: tuple[Machine, Machine]) -> None:
    numbers: list[int] = []
    for machine in pair * 300:
        await machine.sealer.prepare()
        numbers.append(machine.keyring.take_key()[0])
    assert len(set(numbers)) == len(numbers) == 600


async def test_no_put_uses_a_key_before_the_topic_has_it(
    cluster: Cluster, pair: tuple[Machine, Machine]
) -> None:
    first, second = pair
    cluster.log.away = True
    with pytest.raises(BrokerAway):
        await first.seal("early")
    cluster.log.away, cluster.log.lost = False, True
    with pytest.raises(BrokerAway):
        await first.seal("early")
    cluster.log.lost = False
    record = await first.seal("early")
    cluster.kill(first)
    await second.follow()
    assert second.open("early", record) == b"early"


async def test_a_machine_that_dies_with_half_a_pool_loses_nothing(
    cluster: Cluster, pair: tuple[Machine, Machine]
) -> None:
    first, second = pair
    sealed = {f"t-{i}": await first.seal(f"t-{i}") for i in range(3)}
    cluster.kill(first)
    again = cluster.add("first")
    sealed["after"] = b""
    await cluster.settle()
    sealed["after"] = await again.seal("after")
    await cluster.settle()
    for machine in (again, second):
        assert all(machine.open(id, record) == id.encode() for id, record in sealed.items())


async def test_an_erasure_on_one_machine_deletes_the_key_on_every_machine(
    cluster: Cluster, pair: tuple[Machine, Machine]
) -> None:
    first, second = pair
    record = await first.seal("t-1")
    await cluster.settle()
    number = second.sealer.get_key_number(record)
    assert number is not None
    second.keyring.erase([number])
    await cluster.settle()
    assert first.open("t-1", record) is None
    assert not first.keyring.is_pending(number), "erased, not late"


async def test_no_late_record_brings_an_erased_key_back(
    cluster: Cluster, pair: tuple[Machine, Machine]
) -> None:
    first, second = pair
    record = await first.seal("t-1")
    second.keyring.erase([second.sealer.get_key_number(record) or 0])
    third = cluster.add("third")
    entry_count = len(cluster.log.entries)
    await third.follow()  # It asks for every key
    await first.follow()  # The first answers before it knows of the erasure
    assert any(e.key == "keys/third" for e in cluster.log.entries[entry_count:])
    await cluster.settle()
    replayed = [e for e in cluster.log.entries if e.key.startswith("keys/")]
    for machine in (second, third):
        await machine.exchange.apply(
            [replace(e, offset=machine.keyring.next_offset) for e in replayed]
        )
    assert [m.open("t-1", record) for m in (first, second, third)] == [None, None, None]


async def test_a_machine_that_joins_gets_the_keys_of_a_single_installation(
    cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "first").mkdir()
    single = Keyring(tmp_path / "first" / "keyring.db", MASTER)
    record = Sealer(single, Tombstones.of(MASTER)).seal("texts", "old", b"old")
    single.close()
    first = cluster.add("first")
    await cluster.settle()
    fresh = await first.seal("fresh")
    second = cluster.add("second")
    await cluster.settle()
    assert second.open("old", record) == b"old"
    assert second.open("fresh", fresh) == b"fresh"
    assert not second.keyring.request
    assert second.keyring.needs_review(), "records that came before their keys are read again"


async def test_a_long_keyring_travels_in_several_records(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_exchange, "MAX_KEYS", 5)
    first = cluster.add("first")
    await cluster.settle()
    sealed = {f"t-{i}": await first.seal(f"t-{i}") for i in range(12)}
    second = cluster.add("second")
    await cluster.settle()
    assert all(second.open(id, record) == id.encode() for id, record in sealed.items())


async def test_a_stranger_on_the_broker_changes_nothing(
    cluster: Cluster, pair: tuple[Machine, Machine]
) -> None:
    first, second = pair
    record = await first.seal("t-1")
    number = first.sealer.get_key_number(record)
    assert number is not None
    await cluster.settle()
    addressees = second.keyring.list_addressees()
    stranger = Mailbox(MasterKey(b"s" * 32))
    forged = [
        stranger.seal(Erasure("first", (number,))),
        stranger.seal(Hello("first", addressees[0].at + 10**9, 1, b"p" * 32)),
        stranger.seal(Hello("fourth", 1, 1, b"p" * 32)),
        ("keys/second", b"no record at all"),
        ("erased/first", None),
    ]
    for key, value in forged:
        await cluster.log.put(TOPIC, key, value)
    await cluster.settle()
    assert second.open("t-1", record) == b"t-1"
    assert second.keyring.list_addressees() == addressees


async def test_an_announcement_that_a_stranger_repeats_is_ignored(
    cluster: Cluster, pair: tuple[Machine, Machine]
) -> None:
    first, second = pair
    old = next(e for e in cluster.log.entries if e.key == "hello/first")
    await cluster.log.put(TOPIC, *first.keyring.mailbox.seal(first.keyring.announce(renew=True)))
    await cluster.settle()
    newest = second.keyring.list_addressees()
    await cluster.log.put(TOPIC, old.key, old.value)
    await cluster.settle()
    assert second.keyring.list_addressees() == newest


async def test_a_copy_of_the_topic_stays_closed_once_the_key_pair_is_renewed_twice(
    cluster: Cluster, pair: tuple[Machine, Machine]
) -> None:
    """Not even the master key and the keyrings of that time open the erased text then."""
    first, second = pair
    await first.seal("t-1")
    await cluster.settle()
    copied = [first.keyring.mailbox.open(e.key, e.value) for e in cluster.log.entries]
    deliveries = [m for m in copied if isinstance(m, Delivery) and m.machine == "second"]
    assert any(second.keyring.get_private_key(d.epoch) for d in deliveries)
    for _ in range(2):
        await cluster.log.put(
            TOPIC, *second.keyring.mailbox.seal(second.keyring.announce(renew=True))
        )
        await cluster.settle()
    assert not any(second.keyring.get_private_key(d.epoch) for d in deliveries)
    record = await first.seal("t-2")
    await cluster.settle()
    assert second.open("t-2", record) == b"t-2"


async def test_key_pairs_are_renewed_by_themselves(
    pair: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = pair
    before = first.keyring.renewed_at
    await first.exchange.serve()
    assert first.keyring.renewed_at == before
    monkeypatch.setattr(key_exchange, "RENEW_S", 0.0)
    await first.exchange.serve()
    assert first.keyring.renewed_at > before


async def test_a_machine_that_missed_expired_records_gets_their_keys(
    cluster: Cluster, pair: tuple[Machine, Machine]
) -> None:
    first, second = pair
    record = await first.seal("missed")
    skipped = len(cluster.log.entries)
    await cluster.log.put(TOPIC, *first.keyring.mailbox.seal(first.keyring.announce(renew=False)))
    await second.exchange.apply(cluster.log.entries[skipped:])
    assert second.open("missed", record) is None
    await cluster.settle()
    assert second.open("missed", record) == b"missed"


async def test_nothing_is_sealed_for_a_dismissed_machine_until_it_comes_back(
    cluster: Cluster, pair: tuple[Machine, Machine]
) -> None:
    first, second = pair
    cluster.machines.remove(second)
    dismissal = Dismissal("second", second.keyring.renewed_at + 3_600_000)
    await cluster.log.put(TOPIC, *first.keyring.mailbox.seal(dismissal))
    await cluster.settle()
    assert first.keyring.list_addressees() == []
    length = len(cluster.log.entries)
    record = await first.seal("meanwhile")
    assert len(cluster.log.entries) == length
    cluster.machines.append(second)
    second.keyring._set("at", str(dismissal.at))
    await second.follow()
    await cluster.settle()
    assert second.open("meanwhile", record) == b"meanwhile"


async def test_a_folder_on_another_machine_is_another_member(
    cluster: Cluster, pair: tuple[Machine, Machine], tmp_path: Path
) -> None:
    first, second = pair
    record = await first.seal("t-1")
    cluster.kill(second)
    moved = SharedKeyring(tmp_path / "second" / "keyring.db", MASTER, "third")
    assert moved.get_private_key(moved.renewed_at) is None
    assert moved.request
    assert moved.list_addressees() == []
    moved.close()
    assert first.open("t-1", record) == b"t-1"


async def test_a_put_waits_for_the_first_exchange(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_exchange, "JOIN_S", 0.0)
    first = cluster.add("first")
    with pytest.raises(BrokerAway, match="does not know"):
        await first.seal("early")
    monkeypatch.undo()
    waiting = asyncio.create_task(first.seal("early"))
    await cluster.settle()
    assert first.open("early", await waiting) == b"early"


async def test_unused_keys_are_erased_everywhere_at_the_end(
    cluster: Cluster, pair: tuple[Machine, Machine]
) -> None:
    first, second = pair
    record = await first.seal("t-1")
    await cluster.settle()
    await first.filler.stop()
    cluster.machines.remove(first)
    first.keyring.close()
    again = cluster.add("first")
    await cluster.settle()
    assert [key.number for key in second.keyring.list_keys(-1, 100)] == [
        second.sealer.get_key_number(record)
    ]
    assert again.keyring.list_keys(-1, 100) == second.keyring.list_keys(-1, 100)


def test_the_records_of_a_mailbox_read_back() -> None:
    mailbox = Mailbox(MASTER)
    for message in (
        Hello("a", 1, 2, secrets.token_bytes(32), "r"),
        Dismissal("a", 1),
        Erasure("a", (1, 1 << 62)),
        Delivery("a", 2, secrets.token_bytes(32), b"sealed", "r"),
    ):
        assert mailbox.open(*mailbox.seal(message)) == message


async def test_a_backup_waits_for_the_keys_of_the_other_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reader:
        def __init__(self, kafka: str) -> None: ...

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_: object) -> None: ...

        async def bounds(self, topic: str, partitions: list[int]) -> dict[int, tuple[int, int]]:
            assert topic == TOPIC
            return dict.fromkeys(partitions, (0, 3))

    monkeypatch.setattr(backup, "PartitionReader", Reader)
    monkeypatch.setattr(backup, "KEYS_TIMEOUT_S", 0.0)
    settings = Settings(data_dir=tmp_path, cluster=True)
    settings.data.make()
    keyring = key_exchange.open_shared_keyring(settings, MASTER)
    keyring.advance(2)
    with pytest.raises(backup.BackupRefused, match="ne sont pas arrivées ici"):
        await backup._wait_for_keys(settings)
    keyring.advance(3)
    await backup._wait_for_keys(settings)
    keyring.close()


def test_keys_are_shared_in_a_cluster_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    settings.data.make()
    assert not is_shared(settings)
    assert is_shared(Settings(data_dir=tmp_path, cluster=True))
    (settings.data.secrets / "cluster.json").touch()
    assert is_shared(settings)
