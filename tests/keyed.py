"""Keyed topics in memory: an access store and a vault without Kafka, for unit tests."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiokafka import TopicPartition
from aiokafka.structs import RecordMetadata

from services.runtime.identity.accounts import AccessStore, create_principal
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Principal, Scope
from services.runtime.kafka.clients import BrokerAway, KeyedWriter, PendingSend, RecordHeaders
from services.runtime.kafka.compacted_topic import KeyedEntry
from services.runtime.process.settings import Settings


class MemoryKeyedLog(KeyedWriter):
    """Log that keeps every entry in a list.

    With `away = True` a write fails like without a broker, with `lost = True` the acknowledgement
    never comes.
    """

    def __init__(self) -> None:
        self.entries: list[KeyedEntry] = []
        self.away = False
        self.lost = False

    async def send(
        self,
        topic: str,
        partition: int,
        key: str,
        value: bytes | None,
        headers: RecordHeaders | None = None,  # noqa: ARG002
    ) -> PendingSend:
        """Append an entry. Raises BrokerAway while `away`."""
        if self.away:
            raise BrokerAway("away")
        loop = asyncio.get_running_loop()
        acknowledgement: asyncio.Future[RecordMetadata] = loop.create_future()
        if self.lost:
            return PendingSend(topic, acknowledgement, loop.time())
        acknowledgement.set_result(
            RecordMetadata(
                topic, partition, TopicPartition(topic, partition), len(self.entries), 0, 0, 0
            )
        )
        self.entries.append(KeyedEntry(topic, partition, len(self.entries), key, value))
        return PendingSend(topic, acknowledgement, loop.time() + 1)

    async def stop(self) -> None:
        """Skip flushing: there is nothing to flush."""


def create_memory_access(
    folder: Path, log: MemoryKeyedLog | None = None, service: str = "test"
) -> AccessStore:
    """Return an access store that writes to `log`. Do not enter it, so that it follows no topic."""
    store = AccessStore.open(Settings(data_dir=folder), service)
    store._writer = log or MemoryKeyedLog()
    return store


async def create_token(
    store: AccessStore, role: Role, *, scope: Scope | None = None, speaks_as: str | None = None
) -> tuple[Principal, str]:
    principal = create_principal(role, scope=scope, speaks_as=speaks_as)
    _, token = await store.create_token(principal)
    return principal, token
