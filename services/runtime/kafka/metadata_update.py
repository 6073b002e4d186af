"""Metadata requests that neither flood a starting broker nor wait for a frozen one.

aiokafka's fetcher requests metadata while a partition has no leader, and again as soon as the
answer is there. Without a broker that is a thousand connections a second for each consumer, which
take the processor from the broker that starts. See
https://github.com/aio-libs/aiokafka/issues/1155.

A broker that freezes, or whose link is cut, closes no connection. aiokafka would wait for each of
its answers as long as for any request, 40 s by default, and several times one after the other. The
controller takes such a broker out of the metadata after two seconds. So the metadata say which
answers will not come. A client that waits for an answer asks another broker for them, and tells the
other clients of its process, which may only wait for records.

A broker that is asked to stop hands over what it leads, but answers no fetch of it before it closes
its connections. A consumer that waits there for records goes on with the new leader, too.

A consumer has one fetch at a time on each broker, which waits up to 5 s for records. A partition
that this broker leads from now on would wait behind it.
"""

import asyncio
import contextlib
import threading
from collections import defaultdict
from collections.abc import Collection
from contextvars import ContextVar
from typing import Any, Final
from weakref import WeakSet

from aiokafka import TopicPartition
from aiokafka.client import ConnectionGroup
from aiokafka.errors import KafkaError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import JoinGroupRequest, SyncGroupRequest
from aiokafka.protocol.metadata import MetadataRequest

METADATA_BACKOFF_S: Final = 0.1
"""The pause: aiokafka's own before it repeats a fetch."""
ANSWER_S: Final = 2.0
"""Longest wait for metadata while another broker can be asked."""
METADATA_GROUP: Final = "metadata"
"""The connections for metadata: on any other, they wait behind a fetch of up to 5 s."""
CONNECT_S: Final = 5.0
"""Longest wait for a connection while there are several brokers."""
CLUSTER_AGE_MS: Final = 3000
"""Age after which a client of several brokers requests its metadata again."""
SLOW_ANSWER_S: Final = 1.0
"""Wait for an answer after which the broker may have frozen."""
DOUBT_AGE_MS: Final = 500
"""The age of the metadata while a broker may have frozen."""
PATIENT_REQUESTS: Final = (JoinGroupRequest, SyncGroupRequest)
"""Requests that a broker answers late by design, as it does fetches."""
_Target = tuple[object, object]
_target: ContextVar[_Target] = ContextVar("target")
"""Broker and kind of the connection that the running task opens."""
_updates: "WeakSet[MetadataUpdate]" = WeakSet()
"""Those of all clients of this process, which run in several threads."""
_updates_lock: Final = threading.Lock()


class TargetLocks:
    """A lock for each target, in place of the one with which aiokafka opens its connections.

    A handshake with a frozen broker would hold up the connections to all others.
    """

    def __init__(self) -> None:
        self._locks: defaultdict[_Target, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def __aenter__(self) -> None:
        await self._locks[_target.get()].acquire()

    async def __aexit__(self, *_: object) -> None:
        self._locks[_target.get()].release()


class MetadataUpdate:
    """Metadata requests and connections of one consumer's or producer's client.

    It replaces `AIOKafkaClient.bootstrap`, `send`, `close`, `_metadata_update`, `_get_conn` and its
    lock. Make it before the client starts.
    """

    def __init__(self, client: Any) -> None:
        self._client: Any = client
        self._update: Any = client._metadata_update
        self._connect: Any = client._get_conn
        self._bootstrap: Any = client.bootstrap
        self._send: Any = client.send
        self._close: Any = client.close
        self._slow: set[int] = set()
        """Brokers that have not answered a request for a while."""
        self._connecting: dict[asyncio.Timeout, int] = {}
        """Limits of the connections that are being opened, with their brokers."""
        self._asking: tuple[int, asyncio.Timeout] | None = None
        """The broker that is being asked for the metadata, with the limit of its answer."""
        self._led: dict[int, set[TopicPartition]] = {}
        """Partitions that each broker led when the metadata were read last."""
        self._fetches: dict[int, FetchRequest] = {}
        """The last fetch of each broker."""
        self._fetching: set[int] = set()
        """Brokers that have not answered their last fetch."""
        self._loop: asyncio.AbstractEventLoop | None = None
        with _updates_lock:
            _updates.add(self)
        client._metadata_update = self._update_and_pause
        client._get_conn = self._connect_in_time
        client._get_conn_lock_value = TargetLocks()
        client.bootstrap = self._bootstrap_in_turn
        client.send = self._send_and_watch
        client.close = self._close_at_once

    async def _close_at_once(self) -> None:
        """Close all connections without the farewell of TLS.

        A broker reads it only once it has answered, which takes it up to 5 s for a fetch. Producers
        have sent everything by then.
        """
        for connection in list(self._client._conns.values()):
            if connection.connected():
                connection._writer.transport.abort()
        await self._close()

    async def _send_and_watch(self, broker: int, request: Any, **options: Any) -> Any:
        """Send a request, and read the metadata of another broker while its answer is late."""
        if isinstance(request, FetchRequest):
            return await self._fetch(broker, request, options)
        if isinstance(request, PATIENT_REQUESTS) or not self._is_clustered():
            return await self._send(broker, request, **options)
        late = asyncio.get_running_loop().call_later(SLOW_ANSWER_S, self._doubt, broker)
        try:
            return await self._send(broker, request, **options)
        finally:
            late.cancel()
            self._slow.discard(broker)

    async def _fetch(self, broker: int, request: FetchRequest, options: dict[str, Any]) -> Any:
        """Send a fetch, and remember it while it waits for records."""
        self._fetches[broker] = request
        self._fetching.add(broker)
        try:
            return await self._send(broker, request, **options)
        finally:
            self._fetching.discard(broker)

    def _doubt(self, broker: int) -> None:
        """Request the metadata of another broker, also if this one is being asked for them."""
        self._slow.add(broker)
        if self._asking is not None and self._asking[0] == broker:
            _end(self._asking[1])
        self._client.force_metadata_update()

    async def _bootstrap_in_turn(self) -> None:
        """Request the first metadata of one broker after the other, in the order of the addresses.

        The last attempt is aiokafka's own: it takes them in any order and waits longer.
        """
        bootstrap_servers = self._client._bootstrap_servers
        addresses = (
            bootstrap_servers.split(",")
            if isinstance(bootstrap_servers, str)
            else list(bootstrap_servers)
        )
        for address in addresses if len(addresses) > 1 else []:
            self._client._bootstrap_servers = address
            try:
                async with asyncio.timeout(CONNECT_S):
                    await self._bootstrap()
                return
            except (KafkaError, OSError):
                continue
            finally:
                self._client._bootstrap_servers = bootstrap_servers
        await self._bootstrap()

    async def _update_and_pause(self, cluster: Any, topics: Collection[str] | None) -> bool:
        """Request the metadata; return whether a broker answered."""
        self._loop = asyncio.get_running_loop()
        is_updated: bool = await self._request(cluster, topics)
        if not is_updated or _lacks_leader(cluster, topics or ()):
            await asyncio.sleep(METADATA_BACKOFF_S)
        return is_updated

    async def _request(self, cluster: Any, topics: Collection[str] | None) -> bool:
        if not self._is_clustered():
            is_updated: bool = await self._update(cluster, topics)
        else:
            is_updated = await self._ask_in_turn(cluster, topics)
        if is_updated and cluster is self._client.cluster and self._is_clustered():
            self._client._metadata_max_age_ms = DOUBT_AGE_MS if self._slow else CLUSTER_AGE_MS
            self._close_useless()
        return is_updated

    def _is_clustered(self) -> bool:
        return len(self._client.cluster.brokers()) > 1

    async def _ask_in_turn(self, cluster: Any, topics: Collection[str] | None) -> bool:
        """Ask one broker after the other, first the one that answered last, slow ones last."""
        request = MetadataRequest(list(topics) if topics else None)
        brokers = [broker.nodeId for broker in self._client.cluster.brokers()]
        brokers.sort(key=self._find_last_answer, reverse=True)
        brokers.sort(key=self._slow.__contains__)
        for broker in brokers:
            patience_s = None if broker == brokers[-1] else ANSWER_S
            try:
                async with asyncio.timeout(patience_s) as limit:
                    self._asking = broker, limit
                    answer = await self._send(broker, request, group=METADATA_GROUP)
            except (KafkaError, OSError):
                continue
            finally:
                self._asking = None
            if answer.brokers:
                cluster.update_metadata(answer)
                return True
        cluster.failed_update(None)
        return False

    def _find_last_answer(self, broker: int) -> float:
        connection = self._client._conns.get((broker, ConnectionGroup.DEFAULT))
        is_open = connection is not None and connection.connected()
        return float(connection._last_action) if is_open else 0.0

    def _close_useless(self) -> None:
        """Fail the requests that will not be answered, so that they are repeated elsewhere.

        These are requests to brokers that the cluster counts as away, to those that lead nothing
        any more, and fetches for which others have to wait.
        """
        cluster = self._client.cluster
        present = {broker.nodeId for broker in cluster.brokers()}
        led = {broker: set(cluster.partitions_for_broker(broker) or ()) for broker in present}
        leaders = {broker for broker, partitions in self._led.items() if partitions}
        connections = self._find_connected()
        absent = connections - present
        former_leaders = {broker for broker in connections & leaders if not led.get(broker)}
        useless = former_leaders | self._find_hindering_fetches(led)
        self._led = led
        for (broker, group), connection in list(self._client._conns.items()):
            if broker in absent or (broker in useless and group == ConnectionGroup.DEFAULT):
                connection.close()
        for limit, broker in self._connecting.items():
            if broker not in present:
                _end(limit)
        if absent or former_leaders:
            with _updates_lock:
                others = list(_updates)
            for update in others:
                update.hear_of_loss(absent | former_leaders)

    def _find_hindering_fetches(self, led: dict[int, set[TopicPartition]]) -> set[int]:
        """Return the brokers with a running fetch that lacks a partition they lead from now on.

        Only partitions count that this consumer has fetched from another broker.
        """
        return {
            broker
            for broker in self._fetching
            if (led.get(broker, set()) - self._led.get(broker, set())) & self._list_fetched(broker)
        }

    def _list_fetched(self, broker: int) -> set[TopicPartition]:
        """Return the partitions of the last fetches of other brokers."""
        return {
            TopicPartition(topic, partition)
            for other, request in self._fetches.items()
            if other != broker
            for topic, positions in request.topics
            for partition, *_ in positions
        }

    def _find_connected(self) -> set[Any]:
        connections = list(self._client._conns.items())
        return {broker for (broker, _), connection in connections if connection.connected()}

    def hear_of_loss(self, brokers: Collection[Any]) -> None:
        """Request the metadata if this client still has a connection to one of these brokers.

        Any thread of the process may call it.
        """
        if self._loop is not None and not self._find_connected().isdisjoint(brokers):
            with contextlib.suppress(RuntimeError):  # The loop of a client that has ended
                self._loop.call_soon_threadsafe(self._client.force_metadata_update)

    async def _connect_in_time(
        self, broker: Any, *, group: Any = ConnectionGroup.DEFAULT, **options: Any
    ) -> Any:
        """Return a connection, or None like aiokafka where there is none."""
        _target.set((broker, group))
        limit = asyncio.timeout(CONNECT_S if self._is_clustered() else None)
        try:
            async with limit:
                self._connecting[limit] = broker
                return await self._connect(broker, group=group, **options)
        except TimeoutError:
            self._client.force_metadata_update()
            return None
        finally:
            self._connecting.pop(limit, None)


def _end(limit: asyncio.Timeout) -> None:
    """End a wait now, unless its limit has passed."""
    if not limit.expired():
        limit.reschedule(0)


def _lacks_leader(cluster: Any, topics: Collection[str]) -> bool:
    """Return whether a topic is unknown or one of its partitions has no leader."""
    for topic in topics:
        partitions = cluster.partitions_for_topic(topic)
        if not partitions:
            return True
        for partition in partitions:
            if cluster.leader_for_partition(TopicPartition(topic, partition)) in (None, -1):
                return True
    return False
