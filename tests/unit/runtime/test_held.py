"""A worker that waits for the publisher goes on when less is left to publish."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Self

import pytest

from services.runtime.log.chain import Position, create_empty_view
from services.runtime.log.snapshots import PublishedPosition
from services.runtime.log.transaction import Transaction
from services.runtime.worker.owned_partition import MAX_UNPUBLISHED, OwnedPartition
from services.runtime.worker.publisher import PartitionFeed, PublishedRecord, Publisher
from tests.unit.runtime.test_core import opened, report
from tests.waiting import eventually


class NoReader:
    """The logs of this test are empty."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...


class Unacknowledged(Publisher):
    """Producer that sends nothing; `acknowledge` holds one callback per record."""

    def __init__(self, service: str) -> None:
        self.kafka, self.service = "", service
        self.acknowledge: list[Callable[[], None]] = []
        self.sent = Counter()

    async def send(self, *given: Any) -> None:
        self.acknowledge.append(given[-1])


@pytest.fixture
def caught_up(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Return an event; until it is set, the feed has a long log to publish."""
    done = asyncio.Event()

    async def begin(*_: Any) -> Position:
        return Position()

    async def catch_up(*_: Any) -> None:
        await done.wait()

    monkeypatch.setattr("services.runtime.worker.publisher.PartitionReader", NoReader)
    monkeypatch.setattr(PartitionFeed, "_begin", begin)
    monkeypatch.setattr(PartitionFeed, "_catch_up", catch_up)
    return done


def behind(publisher: Publisher, transaction: Transaction) -> OwnedPartition[Any]:
    """Return a worker with a full backlog and without an append to wake it."""
    room = asyncio.Event()
    owned_partition = OwnedPartition(
        0,
        create_empty_view(),
        PartitionFeed(publisher, 0, Position(), PublishedPosition(), room),
        "a",
        (-1, ""),
        (-1, ""),
        room=room,
    )
    for seq in range(MAX_UNPUBLISHED):
        owned_partition.feed.offer(PublishedRecord(transaction, Position(seq=seq + 1)))
    assert owned_partition.full
    return owned_partition


async def test_a_worker_that_waited_for_the_publisher_goes_on_once_that_has_caught_up(
    caught_up: asyncio.Event,
) -> None:
    stays = opened().log.of("92")[-1].transaction
    owned_partition = behind(
        Unacknowledged("toy"),
        Transaction(
            **{name: getattr(stays, name) for name in Transaction.__slots__} | {"facts": ()}
        ),
    )
    waiting = asyncio.create_task(owned_partition.until_room())
    await asyncio.sleep(0)
    assert not waiting.done()
    caught_up.set()
    try:
        await asyncio.wait_for(waiting, 5)
    finally:
        owned_partition.drop()


async def test_a_worker_that_waited_for_acknowledgements_goes_on_with_the_first_that_makes_room(
    caught_up: asyncio.Event,
) -> None:
    service, publisher = opened(), Unacknowledged("toy")
    service.feed("92", report())
    owned_partition = behind(publisher, service.log.of("92")[-1].transaction)
    caught_up.set()
    waiting = asyncio.create_task(owned_partition.until_room())
    await eventually(lambda: not owned_partition.feed._queue)
    assert not waiting.done()
    of_each = (
        len(publisher.acknowledge) // MAX_UNPUBLISHED
    )  # by the routes of the toys, which other tests change
    for acknowledge in publisher.acknowledge[:of_each]:
        acknowledge()
    try:
        await asyncio.wait_for(waiting, 5)
    finally:
        owned_partition.drop()
