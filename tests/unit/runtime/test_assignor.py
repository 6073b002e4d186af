"""Partitions of live realms stay where they are when a machine comes back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from faust.assignor.client_assignment import ClientAssignment, ClientMetadata

from schemas.topics import PARTITION_COUNT, live_partitions
from services.runtime.worker.faust_app import LastingAssignor

TOPIC = "alerts.inputs"
CLUSTER = SimpleNamespace(partitions_for_topic=lambda _: set(range(PARTITION_COUNT)))


class NoSensors:
    """Sensors of Faust that note nothing."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_: None


def assign(**owned: list[int]) -> dict[str, set[int]]:
    """Return the partitions of each member after a rebalance, by those that they had."""
    tables = SimpleNamespace(data={}, changelog_topics=set())
    conf = SimpleNamespace(canonical_url="http://member")
    app: Any = SimpleNamespace(tables=tables, conf=conf, tracer=None, sensors=NoSensors())
    assignor = LastingAssignor(app, replicas=1)
    answers = assignor.assign(CLUSTER, {name: describe(parts) for name, parts in owned.items()})
    return {
        name: {number for _, numbers in answer.assignment for number in numbers}
        for name, answer in answers.items()
    }


def describe(partitions: list[int]) -> ConsumerProtocolMemberMetadata:
    owned = ClientAssignment(actives={TOPIC: partitions}, standbys={})
    metadata = ClientMetadata(assignment=owned, url="http://member", changelog_distribution={})
    return ConsumerProtocolMemberMetadata(4, [TOPIC], metadata.dumps())


def test_a_member_that_comes_back_takes_no_live_partition() -> None:
    shares = assign(first=[0, 1, 4, 5], second=[2, 3, 6, 7], back=[])
    assert set.union(*shares.values()) == set(range(PARTITION_COUNT))
    assert shares["first"] >= {0, 1}
    assert shares["second"] >= {2, 3}
    assert shares["back"]
    assert not shares["back"].intersection(live_partitions(PARTITION_COUNT))


def test_the_partitions_of_a_lost_member_are_shared_out() -> None:
    shares = assign(first=[0, 4, 5], second=[2, 3, 6])
    assert sorted(map(len, shares.values())) == [4, 4]
    assert shares["first"] >= {0, 4, 5}
    assert shares["second"] >= {2, 3, 6}


def test_one_member_keeps_everything() -> None:
    assert assign(only=[]) == {"only": set(range(PARTITION_COUNT))}
