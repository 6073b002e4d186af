"""Clients neither flood a broker with requests for metadata nor wait for a frozen one."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.protocol.fetch import FetchRequest

from services.appliance.cluster.certificates import create_authority, create_broker_certificate
from services.runtime.kafka import clients, metadata_update
from services.runtime.kafka.metadata_update import (
    CLUSTER_AGE_MS,
    DOUBT_AGE_MS,
    METADATA_BACKOFF_S,
    METADATA_GROUP,
    MetadataUpdate,
)
from services.runtime.process.cluster import AUTHORITY_FILE, BROKER_CERTIFICATE_FILE

AT_ONCE_S = 5.0
"""Less than the 30 s for which TLS waits for a farewell."""
CLOSED = "127.0.0.1:1"
"""An address without a broker."""


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the pauses instead of waiting."""
    recorded: list[float] = []

    async def pause(delay_s: float) -> None:
        recorded.append(delay_s)

    monkeypatch.setattr(asyncio, "sleep", pause)
    return recorded


class OneTopicCluster:
    """Metadata of a topic with one partition."""

    def __init__(self, leader: int | None) -> None:
        self._leader = leader

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return {0} if topic == "known" else None

    def leader_for_partition(self, _: TopicPartition) -> int | None:
        return self._leader


class SeveralBrokers(OneTopicCluster):
    """Metadata that name some brokers."""

    def __init__(self, *brokers: int) -> None:
        super().__init__(leader=brokers[-1])
        self._brokers = list(brokers)
        self.stopping: set[int] = set()
        self.led: dict[int, set[int]] = {}

    def brokers(self) -> list[Any]:
        return [SimpleNamespace(nodeId=broker) for broker in self._brokers]

    def partitions_for_broker(self, broker: int) -> set[TopicPartition] | None:
        """Return the partition that a broker leads, unless it hands it over."""
        if broker in self.led:
            return {TopicPartition("known", partition) for partition in self.led[broker]}
        return None if broker in self.stopping else {TopicPartition("known", 0)}

    def update_metadata(self, answer: Any) -> None:
        self._brokers = list(answer.brokers)

    def failed_update(self, _: None) -> None:
        self._brokers = []


class OpenConnection:
    """Connection with the time of its last answer."""

    def __init__(self, last_answer: float) -> None:
        self._last_action = last_answer
        self._is_open = True

    def connected(self) -> bool:
        return self._is_open

    def close(self) -> None:
        self._is_open = False


class AnsweringClient:
    """Client of brokers that always answer, except those that are frozen."""

    def __init__(self, *brokers: int, frozen: tuple[int, ...] = ()) -> None:
        self.cluster: Any = SeveralBrokers(*brokers or (1,))
        self._conns = {(broker, 0): OpenConnection(float(broker)) for broker in brokers}
        self._frozen = frozen
        self._bootstrap_servers = "one:1,two:2"
        self._metadata_max_age_ms = clients.METADATA_AGE_MS
        self._get_conn_lock_value: Any = asyncio.Lock()
        self.asked: list[Any] = []
        self.groups: list[Any] = []
        self.refreshes = 0

    async def _metadata_update(self, _cluster: Any, _topics: Any) -> bool:
        return True

    async def send(self, broker: int, _request: Any, *, group: Any = 0) -> Any:
        self.asked.append(broker)
        self.groups.append(group)
        if broker in self._frozen:
            await asyncio.Event().wait()
        return SimpleNamespace(brokers=[b for _, b in self._pairs() if b not in self._frozen])

    def _pairs(self) -> list[tuple[int, int]]:
        return [(group, broker) for broker, group in self._conns]

    async def _get_conn(self, broker: int, **_options: Any) -> Any:
        async with self._get_conn_lock_value:
            if broker in self._frozen:
                await asyncio.Event().wait()
            return self._conns[broker, 0]

    async def bootstrap(self) -> None:
        self.asked.append(self._bootstrap_servers)
        if self._bootstrap_servers == "one:1":
            await asyncio.Event().wait()

    async def close(self) -> None:
        for connection in self._conns.values():
            connection.close()

    def force_metadata_update(self) -> None:
        self.refreshes += 1


@pytest.mark.parametrize(
    ("create", "attribute"),
    [
        (lambda: clients.create_groupless_consumer(CLOSED), "_client"),
        (lambda: clients.create_expiring_producer(CLOSED, 1.0), "client"),
        (lambda: clients.create_idempotent_producer(CLOSED), "client"),
    ],
    ids=["consumer", "expiring producer", "idempotent producer"],
)
def test_a_client_without_a_broker_pauses(
    pauses: list[float], create: Callable[[], Any], attribute: str
) -> None:
    async def update() -> bool:
        owner = create()
        client = getattr(owner, attribute)
        updated: bool = await client._metadata_update(client.cluster, ["known"])
        await owner.stop()
        return updated

    assert not asyncio.run(update())
    assert pauses == [METADATA_BACKOFF_S]


@pytest.mark.parametrize(
    ("leader", "topics", "expected"),
    [
        (1, ["known"], []),
        (1, [], []),
        (-1, ["known"], [METADATA_BACKOFF_S]),
        (None, ["known"], [METADATA_BACKOFF_S]),
        (1, ["known", "unknown"], [METADATA_BACKOFF_S]),
    ],
)
def test_only_an_answer_without_a_leader_is_followed_by_a_pause(
    pauses: list[float], leader: int | None, topics: list[str], expected: list[float]
) -> None:
    client: Any = AnsweringClient()
    MetadataUpdate(client)
    assert asyncio.run(client._metadata_update(OneTopicCluster(leader), topics))
    assert pauses == expected


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits for a frozen broker."""
    monkeypatch.setattr(metadata_update, "ANSWER_S", 0.02)
    monkeypatch.setattr(metadata_update, "CONNECT_S", 0.02)
    monkeypatch.setattr(metadata_update, "SLOW_ANSWER_S", 0.02)


def test_the_broker_that_answered_last_is_asked_first() -> None:
    client: Any = AnsweringClient(1, 2, 3)
    MetadataUpdate(client)
    assert asyncio.run(client._metadata_update(client.cluster, []))
    assert client.asked == [3]
    assert client._metadata_max_age_ms == CLUSTER_AGE_MS


@pytest.mark.usefixtures("impatient")
def test_a_frozen_broker_is_passed_over_and_loses_its_connection() -> None:
    """Its pending requests fail at once in place of waiting as long as any request."""
    client: Any = AnsweringClient(1, 2, 3, frozen=(3,))
    MetadataUpdate(client)
    assert asyncio.run(client._metadata_update(client.cluster, []))
    assert client.asked == [3, 2]
    assert [client._conns[broker, 0].connected() for broker in (1, 2, 3)] == [True, True, False]


def test_a_broker_that_hands_over_its_partitions_loses_its_connection_once() -> None:
    """The group that it coordinates keeps its own connection."""
    client: Any = AnsweringClient(1, 2, 3)
    client._conns[3, 1] = OpenConnection(3.0)
    waiting: Any = AnsweringClient(1, 2, 3)
    for one in (client, waiting):
        MetadataUpdate(one)

    async def update() -> None:
        for one in (client, waiting):
            await one._metadata_update(one.cluster, [])
        client.cluster.stopping = {3}
        await client._metadata_update(client.cluster, [])
        await asyncio.sleep(0)

    asyncio.run(update())
    states = {place: connection.connected() for place, connection in client._conns.items()}
    assert states == {(1, 0): True, (2, 0): True, (3, 0): False, (3, 1): True}
    assert waiting.refreshes == 1
    client._conns[3, 0] = OpenConnection(4.0)
    asyncio.run(client._metadata_update(client.cluster, []))
    assert client._conns[3, 0].connected()


def fetch(*partitions: int) -> FetchRequest:
    return FetchRequest(5000, 1, 1 << 20, 1, [("known", [(p, 0, 1 << 20) for p in partitions])])


@pytest.mark.parametrize(
    ("led_by_others", "is_open"),
    [({2: {2, 1}, 3: {3}}, False), ({2: {2, 4}, 3: {3}}, True), ({2: {2}, 3: {3, 1}}, True)],
    ids=["a partition of the lost broker", "one of another consumer", "another new leader"],
)
def test_a_partition_does_not_wait_behind_the_fetch_of_its_new_leader(
    led_by_others: dict[int, set[int]], is_open: bool
) -> None:
    """The fetch of broker 2 waits for records of partition 2 when broker 1 dies."""
    client: Any = AnsweringClient(1, 2, 3, frozen=(2,))
    client.cluster.led = {1: {1}, 2: {2}, 3: {3}}
    update = MetadataUpdate(client)

    async def lose_first() -> None:
        waiting = asyncio.create_task(client.send(2, fetch(2)))
        await asyncio.sleep(0)
        for broker, partition in ((1, 1), (3, 3)):
            await client.send(broker, fetch(partition))
        update._close_useless()
        client.cluster.led = {1: set()} | led_by_others
        update._close_useless()
        assert client._conns[2, 0].connected() is is_open
        assert client._conns[3, 0].connected()
        waiting.cancel()

    asyncio.run(lose_first())


def test_metadata_wait_behind_no_fetch() -> None:
    client: Any = AnsweringClient(1, 2)
    MetadataUpdate(client)
    asyncio.run(client._metadata_update(client.cluster, []))
    assert client.groups == [METADATA_GROUP]


@pytest.mark.usefixtures("impatient")
def test_the_metadata_are_read_from_others_while_an_answer_is_late() -> None:
    """The broker that froze may be the one that answered last."""
    client: Any = AnsweringClient(1, 2, 3, frozen=(3,))
    MetadataUpdate(client)

    async def send() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.send(3, "a report")

    async def wait_and_look() -> None:
        sending = asyncio.create_task(send())
        await asyncio.sleep(0.05)
        assert client.refreshes == 1
        await client._metadata_update(client.cluster, [])
        assert client._metadata_max_age_ms == DOUBT_AGE_MS
        await sending
        await client._metadata_update(client.cluster, [])

    asyncio.run(wait_and_look())
    assert client.asked == [3, 2, 2]
    assert client._metadata_max_age_ms == CLUSTER_AGE_MS


def test_metadata_that_were_asked_of_a_slow_broker_are_asked_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The health check of a front asks its busiest broker every second."""
    monkeypatch.setattr(metadata_update, "SLOW_ANSWER_S", 0.02)
    client: Any = AnsweringClient(1, 2, 3, frozen=(3,))
    MetadataUpdate(client)

    async def update_while_a_report_waits() -> None:
        sending = asyncio.create_task(client.send(3, "a report"))
        async with asyncio.timeout(metadata_update.ANSWER_S / 2):
            assert await client._metadata_update(client.cluster, [])
        sending.cancel()

    asyncio.run(update_while_a_report_waits())
    assert client.asked == [3, 3, 2]


@pytest.mark.usefixtures("impatient")
def test_a_broker_that_answers_late_by_design_is_not_doubted() -> None:
    client: Any = AnsweringClient(1, 2, 3, frozen=(3,))
    MetadataUpdate(client)

    async def send() -> None:
        async with asyncio.timeout(0.1):
            await client.send(3, fetch(0))

    with pytest.raises(TimeoutError):
        asyncio.run(send())
    assert client.refreshes == 0


@pytest.mark.usefixtures("impatient")
def test_a_client_that_only_waits_for_records_hears_from_another_that_a_broker_is_away() -> None:
    asking: Any = AnsweringClient(1, 2, 3, frozen=(3,))
    waiting: Any = AnsweringClient(1, 2, 3)
    elsewhere: Any = AnsweringClient(1, 2)
    for client in (asking, waiting, elsewhere):
        MetadataUpdate(client)

    async def update_both() -> None:
        for client in (waiting, elsewhere, asking):
            await client._metadata_update(client.cluster, [])
        await asyncio.sleep(0)

    asyncio.run(update_both())
    assert (waiting.refreshes, elsewhere.refreshes) == (1, 0)


@pytest.mark.usefixtures("impatient")
def test_a_connection_to_a_frozen_broker_is_given_up() -> None:
    client: Any = AnsweringClient(1, 2, frozen=(2,))
    MetadataUpdate(client)
    assert asyncio.run(client._get_conn(2)) is None
    assert client.refreshes == 1
    assert asyncio.run(client._get_conn(1)) is client._conns[1, 0]


def test_a_connection_to_a_frozen_broker_holds_up_no_other() -> None:
    client: Any = AnsweringClient(1, 2, 3, frozen=(3,))
    MetadataUpdate(client)

    async def connect() -> None:
        async with asyncio.timeout(metadata_update.CONNECT_S / 2):
            frozen = asyncio.create_task(client._get_conn(3))
            await asyncio.sleep(0)
            assert await client._get_conn(2) is client._conns[2, 0]
            await client._metadata_update(client.cluster, [])
            assert await frozen is None, "the metadata do not name it any more"

    client._conns[3, 0].close()
    asyncio.run(connect())


def test_a_connection_that_is_being_given_up_may_be_given_up_again() -> None:
    client: Any = AnsweringClient(1, 2, 3, frozen=(3,))
    client._conns[3, 0].close()
    client.cluster = SeveralBrokers(1, 2)
    update = MetadataUpdate(client)

    async def connect() -> None:
        frozen = asyncio.create_task(client._get_conn(3))
        for _ in range(3):
            await asyncio.sleep(0)
            update._close_useless()
        assert await frozen is None

    asyncio.run(connect())


@pytest.mark.usefixtures("impatient")
def test_a_start_passes_over_a_frozen_broker() -> None:
    client: Any = AnsweringClient(1, 2)
    MetadataUpdate(client)
    asyncio.run(client.bootstrap())
    assert client.asked == ["one:1", "two:2"]
    assert client._bootstrap_servers == "one:1,two:2"


def test_a_single_broker_is_waited_for_as_ever() -> None:
    client: Any = AnsweringClient(1)
    MetadataUpdate(client)
    assert asyncio.run(client._metadata_update(client.cluster, []))
    assert (client.asked, client._metadata_max_age_ms) == ([], clients.METADATA_AGE_MS)


def test_a_client_is_closed_without_the_farewell_of_a_busy_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker reads nothing more, the farewell of TLS included, before it has answered."""
    monkeypatch.setattr(AIOKafkaConnection, "_do_version_lookup", _skip_versions)
    create_authority(tmp_path)
    create_broker_certificate(tmp_path, "127.0.0.1")
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(tmp_path / BROKER_CERTIFICATE_FILE)
    client_context = ssl.create_default_context(cafile=tmp_path / AUTHORITY_FILE)

    async def close() -> None:
        server = await asyncio.start_server(_read_nothing, "127.0.0.1", 0, ssl=server_context)
        port = server.sockets[0].getsockname()[1]
        connection = await create_conn(
            "127.0.0.1", port, security_protocol="SSL", ssl_context=client_context
        )
        client: Any = AIOKafkaClient(bootstrap_servers=CLOSED)
        MetadataUpdate(client)
        client._conns[1, ConnectionGroup.DEFAULT] = connection
        await asyncio.wait_for(client.close(), AT_ONCE_S)
        server.close()

    asyncio.run(close())


async def _skip_versions(_connection: AIOKafkaConnection) -> None:
    """Expect no answer of a server that gives none."""


async def _read_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    transport: Any = writer.transport
    transport.pause_reading()
    try:
        await asyncio.Event().wait()
    finally:
        transport.abort()
