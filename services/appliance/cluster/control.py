"""Operations on the brokers of a cluster: its quorum, its copies and the settings of its topics."""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self

from aiokafka.admin.config_resource import ConfigResourceType
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import (
    AlterConfigsRequest,
    AlterPartitionReassignmentsRequest,
    DescribeConfigsRequest,
)
from aiokafka.protocol.metadata import MetadataRequest

from services.appliance.cluster import requests
from services.appliance.cluster.layout import Copies, Partition
from services.runtime.kafka.security import KafkaSecurity, get_security
from services.runtime.process.settings import split_host_port

TIMEOUT_MS: Final = 30_000
CONNECT_S: Final = 3.0
CLOSE_S: Final = 5.0
"""Longest wait for the end of TLS."""
NO_ERROR: Final = 0
_DUPLICATE_VOTER: Final = 126
_VOTER_NOT_FOUND: Final = 127
_BROKER_ID_NOT_REGISTERED: Final = 102
_TOPIC_SETTING: Final = 1
"""Kafka's code of a setting that was made for one topic."""
IN_STEP_SETTING: Final = "min.insync.replicas"
FLUSH_SETTING: Final = "flush.messages"


class ClusterRefused(RuntimeError):
    """Kafka refused an operation; the message holds its reason."""


@dataclass(frozen=True, slots=True)
class ControllerState:
    """One controller, voting or not."""

    number: int
    directory: bytes
    lag: int
    """Records of the metadata that it has not read yet."""
    votes: bool


@dataclass(frozen=True, slots=True)
class QuorumState:
    """The controllers at one moment."""

    leader: int
    controllers: tuple[ControllerState, ...]

    @property
    def voters(self) -> dict[int, ControllerState]:
        """Return the voting controllers by number."""
        return {state.number: state for state in self.controllers if state.votes}

    @property
    def observers(self) -> dict[int, ControllerState]:
        """Return the controllers that follow without a vote, by number."""
        return {state.number: state for state in self.controllers if not state.votes}


@dataclass(frozen=True, slots=True)
class BrokersState:
    """Living brokers and every partition at one moment."""

    alive: frozenset[int]
    partitions: dict[Partition, Copies]


class ClusterControl:
    """Connection to one living broker of a cluster. Use it with `async with`.

    This broker answers everything, so nothing waits for a frozen one.

    `security` is the login; None = that of this process. Raises KafkaError, OSError.
    """

    def __init__(self, kafka: str, security: KafkaSecurity | None = None) -> None:
        self._kafka = kafka
        self._options = (security or get_security()).options()
        self._connection: AIOKafkaConnection | None = None

    async def __aenter__(self) -> Self:
        self._connection = await self._connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; a broker that does not answer is not waited for."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await connection.close()

    async def _connect(self) -> AIOKafkaConnection:
        failure: Exception = OSError("no address")
        for address in self._kafka.split(","):
            host, port = split_host_port(address)
            try:
                return await asyncio.wait_for(
                    create_conn(host, port, request_timeout_ms=TIMEOUT_MS, **self._options),
                    CONNECT_S,
                )
            except (KafkaError, OSError, TimeoutError) as error:
                failure = error
        raise failure

    async def _ask(self, request: Any) -> Any:
        assert self._connection is not None, "not entered"
        return await self._connection.send(request)

    async def describe_quorum(self) -> QuorumState:
        """Return leader and controllers. Raises ClusterRefused while nobody leads."""
        answer = await self._ask(requests.describe_quorum())
        if answer.error_code != NO_ERROR:
            raise ClusterRefused(answer.error_message or f"Kafka's error {answer.error_code}")
        ((_, ((_, code, message, leader, _, _, voters, observers, _),), _),) = answer.topics
        if code != NO_ERROR:
            raise ClusterRefused(message or f"Kafka's error {code}")
        end = max((voter[2] for voter in voters), default=0)
        return QuorumState(
            leader,
            tuple(
                ControllerState(number, directory, max(0, end - position), votes)
                for votes, states in ((True, voters), (False, observers))
                for number, directory, position, *_ in states
            ),
        )

    async def allow_joining(self) -> None:
        """Make the quorum of a single node one that machines can join. It may be one already."""
        answer = await self._ask(requests.open_quorum())
        codes = [answer.error_code, *(result[1] for result in answer.results)]
        if any(codes):
            messages = [answer.error_message, *(result[2] for result in answer.results)]
            raise ClusterRefused(next(filter(None, messages), f"Kafka's errors {codes}"))

    async def add_voter(
        self, cluster: str, state: ControllerState, controller_address: str
    ) -> None:
        """Give a controller a vote; it may have one already. Raises ClusterRefused."""
        host, port = split_host_port(controller_address)
        request = requests.add_voter(cluster, state.number, state.directory, host, port)
        _check_outcome(await self._ask(request), _DUPLICATE_VOTER)

    async def remove_voter(self, cluster: str, state: ControllerState) -> None:
        """Take the vote of a controller; it may have none any more. Raises ClusterRefused."""
        request = requests.remove_voter(cluster, state.number, state.directory)
        _check_outcome(await self._ask(request), _VOTER_NOT_FOUND)

    async def unregister_broker(self, number: int) -> None:
        """Forget a broker that is gone for good. Raises ClusterRefused."""
        answer = await self._ask(requests.unregister_broker(number))
        _check_outcome(answer, _BROKER_ID_NOT_REGISTERED)

    async def reload_certificates(self, number: int) -> None:
        """Make the broker of this connection read its certificates again. Raises ClusterRefused."""
        answer = await self._ask(requests.reload_certificates(number))
        for code, message, *_ in answer.responses:
            if code != NO_ERROR:
                raise ClusterRefused(message or f"Kafka's error {code}")

    async def describe_brokers(self) -> BrokersState:
        """Return the living brokers and where every partition has its copies."""
        answer = (await self._ask(MetadataRequest(None))).to_object()
        return BrokersState(
            frozenset(broker["node_id"] for broker in answer["brokers"]),
            {
                Partition(topic["topic"], partition["partition"]): Copies(
                    tuple(partition["replicas"]), frozenset(partition["isr"]), partition["leader"]
                )
                for topic in answer["topics"]
                for partition in topic["partitions"]
            },
        )

    async def move_copies(self, moves: Mapping[Partition, tuple[int, ...]]) -> None:
        """Begin to move copies; Kafka copies in the background. Raises ClusterRefused."""
        if not moves:
            return
        topics: dict[str, list[tuple[int, list[int], dict[int, bytes]]]] = {}
        for partition, machines in moves.items():
            topics.setdefault(partition.topic, []).append((partition.number, list(machines), {}))
        topic_moves: Any = [(name, partitions, {}) for name, partitions in topics.items()]
        no_tags: Any = {}
        answer = await self._ask(
            AlterPartitionReassignmentsRequest(TIMEOUT_MS, topic_moves, no_tags)
        )
        failures = [
            message or f"Kafka's error {code}"
            for _, partitions, _ in answer.responses
            for _, code, message, _ in partitions
            if code != NO_ERROR
        ]
        if answer.error_code != NO_ERROR or failures:
            raise ClusterRefused(answer.error_message or "; ".join(failures[:3]))

    async def read_topic_settings(self, topics: Collection[str]) -> dict[str, dict[str, str]]:
        """Return topic → the settings that were made for it."""
        config_resources: Any = [(ConfigResourceType.TOPIC, name, None) for name in topics]
        answer = await self._ask(DescribeConfigsRequest(config_resources, include_synonyms=False))
        return {
            name: {entry[0]: entry[1] for entry in entries if entry[3] == _TOPIC_SETTING}
            for _, _, _, name, entries in answer.resources
        }

    async def write_topic_settings(self, settings: Mapping[str, Mapping[str, str]]) -> None:
        """Replace the settings that were made for these topics. Raises ClusterRefused."""
        if not settings:
            return
        config_resources: Any = [
            (ConfigResourceType.TOPIC, name, list(values.items()))
            for name, values in settings.items()
        ]
        answer = await self._ask(AlterConfigsRequest(config_resources))
        for code, message, *_ in answer.resources:
            if code != NO_ERROR:
                raise ClusterRefused(message or f"Kafka's error {code}")


def raise_settings(settings: Mapping[str, Mapping[str, str]], copies: int) -> dict[str, Any]:
    """Return the topics with settings that must change for a number of copies.

    Replication replaces the flush of each record
    (`docs/adr/0003-flush-each-record-on-a-single-node.md`).
    """
    in_step = str(copies - 1)
    return {
        name: {key: value for key, value in now.items() if key != FLUSH_SETTING}
        | {IN_STEP_SETTING: in_step}
        for name, now in settings.items()
        if FLUSH_SETTING in now or now.get(IN_STEP_SETTING) != in_step
    }


def _check_outcome(answer: Any, expected: int) -> None:
    if answer.error_code not in (NO_ERROR, expected):
        raise ClusterRefused(answer.error_message or f"Kafka's error {answer.error_code}")
