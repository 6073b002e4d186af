"""Directories of people in memory, behind the same views as the encrypted ones."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.people.directory import Contact
from services.runtime.kafka.clients import PendingSend
from services.runtime.secrets.vault import ItemStore, PendingItem, VaultDirectory


class MemoryItems(ItemStore):
    """Items of one topic by id, without encryption and Kafka."""

    def __init__(self) -> None:
        self.items: dict[str, bytes] = {}

    async def put_bytes(self, id: str, plain: bytes) -> None:
        self.items[id] = plain

    async def hand_over(self, id: str, plain: bytes) -> PendingItem:
        self.items[id] = plain
        return PendingItem(id, plain, _Sent())

    async def wait_for_replicas(self, item: PendingItem) -> None:
        assert item.id in self.items

    async def wait_until_current(self, wait_s: float) -> bool:  # noqa: ARG002
        return True

    def peek_bytes(self, id: str) -> bytes | None:
        return self.items.get(id)

    async def erase(self, id: str) -> None:
        self.items.pop(id, None)

    def ids(self, prefix: str = "") -> list[str]:
        return sorted(id for id in self.items if id.startswith(prefix))


class _Sent(PendingSend):
    def __init__(self) -> None:
        """Create one without a producer."""


def make_directory(home: str = "92", /, **people: Iterable[Contact]) -> VaultDirectory:
    """Return the directories of live realms: `make_directory(r92=[…], r93=[…])`."""
    items = MemoryItems()
    directory = VaultDirectory(items, home)
    for name, contacts in people.items():
        view = directory.of(name.removeprefix("r"))
        for contact in contacts:
            items.items[view._name_item(contact.person)] = contact.model_dump_json().encode()
    return directory
