"""Clients without a broker or a leader pause before they request metadata again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.runtime.kafka import clients
from services.runtime.kafka.metadata_backoff import METADATA_BACKOFF_S, MetadataBackoff

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


class AnsweringClient:
    """Client of a broker that always answers."""

    async def _metadata_update(self, _cluster: Any, _topics: Any) -> bool:
        return True


def get_consumer_client() -> Any:
    consumer: AIOKafkaConsumer = clients.create_groupless_consumer(CLOSED)
    return consumer._client


def get_expiring_client() -> Any:
    return clients.create_expiring_producer(CLOSED, 1.0).client


def get_idempotent_client() -> Any:
    return clients.create_idempotent_producer(CLOSED).client


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(
    "get_client", [get_consumer_client, get_expiring_client, get_idempotent_client]
)
def test_a_client_without_a_broker_pauses(
    pauses: list[float], get_client: Callable[[], Any]
) -> None:
    async def update() -> bool:
        client = get_client()
        updated: bool = await client._metadata_update(client.cluster, ["known"])
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
    MetadataBackoff(client)
    assert asyncio.run(client._metadata_update(OneTopicCluster(leader), topics))
    assert pauses == expected
