"""Our consumer for Faust awaits each delivery and commits offsets only of applied inputs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from faust.types import TP

from services.runtime.worker.faust_app import (
    DirectConductor,
    Membership,
    PositionedConsumer,
    create_app,
)


class Owner:
    """A worker that holds partition 0 up to offset 6."""

    def __init__(self) -> None:
        self.next = 7
        self.delivered: list[Any] = []

    def position(self, topic: str, partition: int) -> int | None:
        return self.next if (topic, partition) == ("toy.inputs", 0) else None

    async def deliver(self, message: Any) -> None:
        self.delivered.append(message)


class Consumer(PositionedConsumer):
    """Consumer without a transport; it records its commits."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.committed: list[dict[TP, int]] = []

    def assignment(self) -> set[TP]:
        return {TP("toy.inputs", 0), TP("toy.inputs", 1)}

    async def _commit(self, offsets: Any) -> bool:
        self.committed.append(dict(offsets))
        return True


@pytest.fixture
async def owner() -> Owner:
    return Owner()


@pytest.fixture
async def consumer(owner: Owner) -> Consumer:
    return Consumer(create_app("127.0.0.1:9", Membership("group", ""), owner))


async def test_a_delivery_is_awaited_to_its_end_though_the_flow_is_suspended(
    consumer: Consumer,
) -> None:
    going_on = asyncio.Event()

    async def delivery() -> str:
        await going_on.wait()
        return "delivered"

    async def suspended() -> None:
        raise AssertionError("never awaited")

    task = asyncio.create_task(consumer.wait_first(delivery(), suspended()))
    await asyncio.sleep(0)
    assert not task.done()
    going_on.set()
    assert (await task).results == ["delivered"]


async def test_only_applied_inputs_are_committed(consumer: Consumer) -> None:
    assert await consumer.force_commit()
    assert consumer.committed == [{TP("toy.inputs", 0): 7}]


async def test_an_offset_is_committed_once(owner: Owner, consumer: Consumer) -> None:
    assert await consumer.force_commit()
    assert not await consumer.force_commit()
    owner.next = 9
    assert await consumer.force_commit()
    assert [at for commit in consumer.committed for at in commit.values()] == [7, 9]


async def test_messages_go_straight_to_the_owner(owner: Owner, consumer: Consumer) -> None:
    topics = consumer.app.topics
    assert isinstance(topics, DirectConductor)
    await topics._build_handler(TP("toy.inputs", 0), set())("message")
    assert owner.delivered == ["message"]
