"""Keyed topics in memory: an access store and a vault without Kafka, for unit tests of whoever uses them."""

from __future__ import annotations

from pathlib import Path

from services.runtime.access import AccessStore, new_principal
from services.runtime.kafka import BrokerAway
from services.runtime.keyed import Entry, KeyedWriter
from services.runtime.principals import Principal, Scope
from services.runtime.rights import Role
from services.runtime.settings import Settings


class MemoryKeyedLog(KeyedWriter):
    """Every entry in a list; `away = True` makes writing fail as a lost broker does."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.away = False

    async def put(self, topic: str, key: str, value: bytes | None) -> tuple[int, int]:
        """Append. Raises BrokerAway while `away`."""
        if self.away:
            raise BrokerAway("away")
        self.entries.append(Entry(topic, 0, len(self.entries), key, value))
        return 0, len(self.entries) - 1

    async def stop(self) -> None:
        """Nothing to flush."""


def memory_access(folder: Path, log: MemoryKeyedLog | None = None, service: str = "test") -> AccessStore:
    """An access store that writes to `log`; do not enter it, so that it follows nothing."""
    store = AccessStore.open(Settings(data_dir=folder), service)
    store._writer = log or MemoryKeyedLog()
    return store


async def token_for(store: AccessStore, role: Role, *, scope: Scope | None = None, speaks_as: str | None = None) -> tuple[Principal, str]:
    """A new principal and a token of it."""
    principal = new_principal(role, scope=scope, speaks_as=speaks_as)
    _, token = await store.create_token(principal)
    return principal, token
