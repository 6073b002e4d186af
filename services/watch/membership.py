"""Share feeds out between the machines of a cluster, through a group of Kafka.

A member tells which feeds it can read. The leader of the group gives each feed to one member, as
evenly as possible, and leaves it there as long as that member can read it as well as any other.
The names travel in the group's own messages, so no member gets a partition.
"""

import asyncio
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)
from aiokafka.errors import KafkaError

from services.runtime.kafka.clients import GROUP_METADATA_AGE_MS
from services.runtime.kafka.group_coordination import GroupCoordination
from services.runtime.kafka.metadata_update import MetadataUpdate
from services.runtime.kafka.security import get_client_options
from services.runtime.log.partition_reader import stop_consumer

LOOK_MS: Final = 2000
"""Interval at which a member looks whether it can read other feeds than it told the group."""
RETRY_S: Final = 1.0
REBALANCE_S: Final = 10.0
_VERSION: Final = 0
log = structlog.get_logger(__name__)
Ranks = Mapping[str, int]
"""Names that a machine can read, with how well it can; more is better."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Names that a member should read, and all members as holders."""

    names: Collection[str] = ()
    holders: Collection[str] = ()


Listener = Callable[[Turn], None]


@dataclass(frozen=True, slots=True)
class MemberOffer:
    """Feeds that a member can read, and those that it holds."""

    ranks: Ranks
    held: Collection[str] = ()
    holder: str = ""


def share_out(offers: Mapping[str, MemberOffer]) -> dict[str, list[str]]:
    """Return the names of each member: each name once, with a member of the highest rank."""
    names = sorted({name for offer in offers.values() for name in offer.ranks})
    share = math.ceil(len(names) / max(len(offers), 1))
    shares: dict[str, list[str]] = {member: [] for member in sorted(offers)}
    moving: list[tuple[str, list[str]]] = []
    for name in names:
        able = _list_able(name, offers)
        keepers = [m for m in able if name in offers[m].held and len(shares[m]) < share]
        if keepers:
            shares[keepers[0]].append(name)
        else:
            moving.append((name, able))
    for name, able in moving:
        shares[min(able, key=lambda member: len(shares[member]))].append(name)
    return shares


def _list_able(name: str, offers: Mapping[str, MemberOffer]) -> list[str]:
    """Return the members that can read a feed best, in order."""
    ranks = {member: offer.ranks[name] for member, offer in offers.items() if name in offer.ranks}
    best = max(ranks.values())
    return sorted(member for member, rank in ranks.items() if rank == best)


class FeedAssignor(AbstractPartitionAssignor):  # type: ignore[misc]  # aiokafka has no types
    """Assignor of names in place of partitions."""

    name = "vigie-feeds"

    def __init__(self, make_offer: Callable[[], MemberOffer], listener: Listener) -> None:
        self._make_offer = make_offer
        self._listener = listener
        self.told: Ranks = {}
        """Ranks that the group was told last."""

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """Return the offer of this member."""
        offer = self._make_offer()
        self.told = offer.ranks
        return ConsumerProtocolMemberMetadata(_VERSION, list(topics), orjson.dumps(offer))

    def assign(
        self,
        cluster: Any,  # noqa: ARG002
        members: Mapping[str, ConsumerProtocolMemberMetadata],
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Return the names of each member. Only the leader of the group is asked."""
        offers = {
            member: MemberOffer(**orjson.loads(metadata.user_data))
            for member, metadata in members.items()
        }
        holders = sorted({offer.holder for offer in offers.values()})
        return {
            member: ConsumerProtocolMemberAssignment(
                _VERSION, [], orjson.dumps(Turn(names, holders))
            )
            for member, names in share_out(offers).items()
        }

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        self._listener(Turn(**orjson.loads(assignment.user_data)))


@dataclass(frozen=True, slots=True)
class WatchMembership:
    """Membership of this process in the group."""

    kafka: str
    topic: str
    group: str
    session_s: float
    """Time after which others take over from a lost member."""
    heartbeat_s: float

    async def run(self, make_offer: Callable[[], MemberOffer], listener: Listener) -> None:
        """Take part until cancelled; a membership that fails begins again."""
        assignor = FeedAssignor(make_offer, listener)
        while True:
            try:
                await self._take_part(assignor, make_offer)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("watch.membership_lost", error=f"{type(error).__name__}: {error}")
            listener(Turn())
            await asyncio.sleep(RETRY_S)

    async def _take_part(
        self, assignor: FeedAssignor, make_offer: Callable[[], MemberOffer]
    ) -> None:
        """Take part until a fault. Raises KafkaError, OSError."""
        consumer: Any = AIOKafkaConsumer(
            self.topic,
            bootstrap_servers=self.kafka,
            group_id=self.group,
            enable_auto_commit=False,
            partition_assignment_strategy=(assignor,),
            session_timeout_ms=int(self.session_s * 1000),
            heartbeat_interval_ms=int(self.heartbeat_s * 1000),
            rebalance_timeout_ms=int(REBALANCE_S * 1000),
            metadata_max_age_ms=GROUP_METADATA_AGE_MS,
            **get_client_options(),
        )
        MetadataUpdate(consumer._client)
        fault: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def fail(error: Exception) -> None:
            if not fault.done():
                fault.set_exception(error)

        try:
            await consumer.start()
            GroupCoordination(consumer, fail)
            while True:
                await consumer.getmany(timeout_ms=LOOK_MS)
                if fault.done():
                    fault.result()
                if make_offer().ranks != assignor.told:
                    consumer.subscribe([self.topic])  # joins again, with another offer
        finally:
            fault.cancel()
            await stop_consumer(consumer)
