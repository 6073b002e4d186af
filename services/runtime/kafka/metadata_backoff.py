"""Pause between metadata requests that found no broker or no leader.

aiokafka's fetcher requests metadata while a partition has no leader, and again as soon as the answer
is there. Without a broker that is a thousand connections a second for each consumer, which take the
processor from the broker that starts. See https://github.com/aio-libs/aiokafka/issues/1155.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, Final

from aiokafka import TopicPartition

METADATA_BACKOFF_S: Final = 0.1
"""The pause: aiokafka's own before it repeats a fetch."""


class MetadataBackoff:
    """Pause of one consumer's or producer's client (`AIOKafkaClient._metadata_update`)."""

    def __init__(self, client: Any) -> None:
        self._client: Any = client
        self._update: Any = client._metadata_update
        client._metadata_update = self._update_and_pause

    async def _update_and_pause(self, cluster: Any, topics: Collection[str] | None) -> bool:
        """Request the metadata; return whether a broker answered."""
        updated: bool = await self._update(cluster, topics)
        if not updated or _lacks_leader(cluster, topics or ()):
            await asyncio.sleep(METADATA_BACKOFF_S)
        return updated


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
