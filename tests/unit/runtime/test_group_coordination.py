"""A member of a group gets its partitions at a rebalance, or its process ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

import pytest
from aiokafka import TopicPartition
from aiokafka.client import ConnectionGroup
from aiokafka.cluster import ClusterMetadata
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
)
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, SyncGroupRequest
from aiokafka.structs import OffsetAndMetadata

from services.runtime.kafka.group_coordination import GroupCoordination

MEMBER: Final = "alerts-1-name-of-this-time"
TOPIC: Final = "toy.inputs"
UNKNOWN_CODE: Final = 82
"""`FENCED_INSTANCE_ID`, which aiokafka does not know."""


class OneBroker:
    """Client of a broker that answers one request after the other, as on one connection.

    It answers a JoinGroup when `members` is set.
    """

    def __init__(self) -> None:
        self.cluster = ClusterMetadata()
        self.members = asyncio.Event()
        self.sync_code = 0
        self.synced: list[str] = []
        self.committed = 0
        self.connection = asyncio.Lock()
        self.closed: list[Any] = []
        self._conns = {
            (1, group): SimpleNamespace(close=partial(self.closed.append, group))
            for group in (ConnectionGroup.DEFAULT, ConnectionGroup.COORDINATION)
        }
        self._answers: dict[type, Callable[[Any], Awaitable[Any]]] = {
            JoinGroupRequest: self._answer_join,
            SyncGroupRequest: self._answer_sync,
            OffsetCommitRequest: self._answer_commit,
            HeartbeatRequest: self._answer_heartbeat,
        }

    async def coordinator_lookup(self, *_: Any) -> int:
        return 1

    async def ready(self, *_: Any, **__: Any) -> bool:
        return True

    async def _maybe_wait_metadata(self) -> None:
        """Wait for nothing: the leader of a group asks for its topics here."""
        await asyncio.sleep(0)

    def set_topics(self, _: Any) -> None:
        pass

    async def send(self, _: int, request: Any, **__: Any) -> Any:
        async with self.connection:
            return await self._answers[type(request)](request)

    async def _answer_join(self, _: Any) -> Any:
        await self.members.wait()
        return SimpleNamespace(
            API_VERSION=5,
            error_code=0,
            generation_id=2,
            group_protocol="toy",
            leader_id=MEMBER,
            member_id=MEMBER,
            members=[],
        )

    async def _answer_sync(self, request: Any) -> Any:
        self.synced.append(request._member_id)
        assignment = b"\0\0\0\0\0\0\0\0\0\0"
        return SimpleNamespace(error_code=self.sync_code, member_assignment=assignment)

    async def _answer_commit(self, request: Any) -> Any:
        self.committed += 1
        code = 0 if request._consumer_group_generation_id == 2 else IllegalGenerationError.errno
        return SimpleNamespace(topics=[(TOPIC, [(0, code)])])

    async def _answer_heartbeat(self, _: Any) -> Any:
        return SimpleNamespace(error_code=0)


class ToyAssignor:
    """Assignor that gives nobody anything."""

    name = "toy"

    @staticmethod
    def metadata(_: Any) -> bytes:
        return b""

    @staticmethod
    def assign(*_: Any) -> dict[str, bytes]:
        return {}

    @staticmethod
    def on_assignment(_: Any) -> None:
        pass


class Member:
    """A member of a group with its broker, and the errors that would have ended its process."""

    def __init__(self) -> None:
        self.broker = OneBroker()
        self.failures: list[Exception] = []
        self.subscription: Any = SubscriptionState()
        self.subscription.register_fetch_waiters(set())
        self.coordinator: Any = GroupCoordinator(
            self.broker,
            self.subscription,
            group_instance_id="alerts-1",
            enable_auto_commit=False,
            assignors=(ToyAssignor,),
            retry_backoff_ms=1,
        )
        consumer = SimpleNamespace(_coordinator=self.coordinator, _client=self.broker)
        GroupCoordination(consumer, self.failures.append)

    async def commit(self) -> None:
        offsets = {TopicPartition(TOPIC, 0): OffsetAndMetadata(7, "")}
        await self.coordinator.commit_offsets(None, offsets)

    async def until_joining(self) -> None:
        """Return when the broker has a JoinGroup request to answer."""
        self.subscription.subscribe({TOPIC})
        async with asyncio.timeout(5):
            while not self.broker.connection.locked():
                await asyncio.sleep(0)


@pytest.fixture
async def member() -> AsyncIterator[Member]:
    made = Member()
    yield made
    made.broker.members.set()
    async with asyncio.timeout(5):
        await made.coordinator.close()


async def wait_for(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_commit_during_a_join_does_not_make_the_member_forget_its_name(
    member: Member,
) -> None:
    await member.until_joining()
    committing = asyncio.create_task(member.commit())
    await asyncio.sleep(0.01)
    member.broker.members.set()
    await wait_for(lambda: member.broker.synced)
    with pytest.raises(CommitFailedError, match="already rebalanced"):
        await committing
    assert member.broker.synced == [MEMBER]
    assert member.broker.committed == 0
    assert member.failures == []


async def test_a_commit_between_joins_reaches_the_broker(member: Member) -> None:
    await member.until_joining()
    member.broker.members.set()
    await wait_for(lambda: member.coordinator._heartbeat_task is not None)
    await member.commit()
    assert member.broker.committed == 1


async def test_new_partitions_do_not_wait_for_the_fetches_of_those_before(member: Member) -> None:
    await member.until_joining()
    assert member.broker.closed == []
    member.broker.members.set()
    await wait_for(lambda: member.broker.closed)
    assert member.broker.closed == [ConnectionGroup.DEFAULT]


async def test_an_unexpected_error_ends_the_process_instead_of_the_membership(
    member: Member,
) -> None:
    member.broker.sync_code = UNKNOWN_CODE
    await member.until_joining()
    member.broker.members.set()
    await wait_for(lambda: member.failures)
    assert isinstance(member.failures[0], KafkaError)
    assert not isinstance(member.failures[0], RebalanceInProgressError)


async def test_a_coordination_that_ends_by_itself_ends_the_process(member: Member) -> None:
    async def fail(*_: Any) -> int:
        raise RuntimeError("a fault of the library")

    member.broker.coordinator_lookup = fail  # type: ignore[method-assign]
    member.subscription.subscribe({TOPIC})
    await wait_for(lambda: member.failures)
    assert "a fault of the library" in str(member.failures[0])
