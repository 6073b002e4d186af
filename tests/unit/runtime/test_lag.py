"""The positions of deciders come from the newest record of each log partition alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from schemas.topics import PARTITION_COUNT, input_topic, live_partitions, log_topic, partition_of
from services.runtime.log.transaction import Transaction
from services.runtime.worker.lag import read_progress
from tests.unit.delivery.desk import T0
from tests.unit.delivery.test_sender import World

LIVE = partition_of("92", PARTITION_COUNT)
SIMULATED = next(p for p in range(PARTITION_COUNT) if p not in live_partitions(PARTITION_COUNT))


@dataclass
class Record:
    value: bytes
    timestamp: int = T0


@dataclass
class Topics:
    """A reader of partitions in memory: topic and partition → how many records, and the newest."""

    ends: dict[tuple[str, int], int] = field(default_factory=dict)
    newest: dict[tuple[str, int], bytes] = field(default_factory=dict)

    async def bounds(self, topic: str, partitions: Iterable[int]) -> dict[int, tuple[int, int]]:
        return {p: (0, self.ends.get((topic, p), 0)) for p in partitions}

    async def at(self, topic: str, offsets: Mapping[int, int]) -> dict[int, Record]:
        assert all(offset == self.ends[topic, p] - 1 for p, offset in offsets.items())
        return {p: Record(self.newest[topic, p]) for p in offsets}


@pytest.fixture
def transaction() -> Transaction:
    world = World()
    world.open("92", ["email"])
    return world.log[-1]


def standing_of(topics: Topics) -> Any:
    reader: Any = topics
    return read_progress(reader)


async def test_an_empty_system_is_quiet() -> None:
    standing = await standing_of(Topics())
    assert (standing.lag, standing.next_due) == (
        {"alerts": 0, "continuity": 0, "delivery": 0},
        None,
    )
    assert standing.is_quiet(T0, 60_000)


async def test_inputs_that_the_log_has_not_applied_are_its_lag(transaction: Transaction) -> None:
    applied = transaction.src.offset + 1
    topics = Topics(
        {(input_topic("delivery"), LIVE): applied + 3, (log_topic("delivery"), LIVE): 7},
        {(log_topic("delivery"), LIVE): transaction.dump()},
    )
    standing = await standing_of(topics)
    assert standing.lag["delivery"] == 3
    assert standing.newest_at == T0
    assert not standing.is_quiet(T0, 60_000)


async def test_the_earliest_deadline_of_the_live_realms_counts_and_none_of_an_exercise(
    transaction: Transaction,
) -> None:
    due = {
        ("alerts", LIVE): T0 + 90_000,
        ("delivery", LIVE): T0 + 30_000,
        ("alerts", SIMULATED): T0,
    }
    topics = Topics(
        {(log_topic(service), p): 1 for service, p in due},
        {
            (log_topic(service), p): replace(transaction, next_due=at).dump()
            for (service, p), at in due.items()
        },
    )
    standing = await standing_of(topics)
    assert standing.next_due == T0 + 30_000
    assert standing.is_quiet(T0 - 60_000, 60_000)
    assert not standing.is_quiet(T0, 60_000)


async def test_a_record_that_cannot_be_read_counts_as_nothing_applied() -> None:
    topics = Topics(
        {(input_topic("alerts"), LIVE): 5, (log_topic("alerts"), LIVE): 1},
        {(log_topic("alerts"), LIVE): b"no record"},
    )
    assert (await standing_of(topics)).lag["alerts"] == 5
