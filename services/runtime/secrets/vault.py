"""Encrypted, erasable storage of data that may be personal.

`texts` holds free text and raw bytes, `directory` names and contact points. Each item has its own
data key in the keyring (`services.runtime.secrets.keyring`) and lies, encrypted, on a compacted
topic. Messages and logs carry ids only. An erasure first deletes the key, then writes the
tombstone; from the first step on the item is unreadable, including its copies.
"""

import asyncio
import struct
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

import orjson
import structlog

from schemas.people.directory import REALM_PREFIX, Contact
from schemas.topics import get_territory
from services.runtime.identity.home_realm import read_home_realm
from services.runtime.kafka.clients import (
    ACK_TIMEOUT_S,
    KeyedWriter,
    PendingSend,
    choose_key_partition,
)
from services.runtime.kafka.compacted_topic import Tombstones
from services.runtime.kafka.replica import RemovedRecord, Replica, ReplicaItem, ReplicaKeeper
from services.runtime.process.cluster import is_shared
from services.runtime.process.settings import Settings
from services.runtime.process.tasks import cancel_and_wait
from services.runtime.secrets.key_exchange import KeyExchange, PoolFiller, open_shared_keyring
from services.runtime.secrets.keyring import Keyring, MasterKey, decrypt, encrypt

log = structlog.get_logger(__name__)

_HEAD: Final = struct.Struct(">BQB")
_VERSION: Final = 1
_COMPRESSED: Final = 1
COMPRESSION_MIN_BYTES: Final = 2048
"""Bytes from which compression is worth its cost."""
RECENT_CACHE_BYTES: Final = 8 << 20
POLL_S: Final = 0.02
PUT_BATCH: Final = 200
"""Number of directory entries that are written together."""


class RecordInvalid(ValueError):
    """Not a sealed record of this version, or not of this id."""


def build_attachment_id(id: str) -> str:
    """Return the id of a photo in `texts`."""
    return f"attachment-{id}"


OWN_WORDS_FIELD: Final = "own_words"
"""Field of a report's text with the sender's words, by field of the report.

The log holds only a hash of them.
"""


@dataclass(frozen=True, slots=True)
class TextItem:
    """Free text by field name, and the raw bytes in which it arrived.

    `TextItem({"text": "…"})` is a note or a reason.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    raw: bytes | None = None
    content_type: str | None = None

    def dump(self) -> bytes:
        """Serialize to one line of JSON, then the raw bytes."""
        head = {
            "fields": self.fields,
            "content_type": self.content_type,
            "has_raw": self.raw is not None,
        }
        return orjson.dumps(head) + b"\n" + (self.raw or b"")

    @classmethod
    def load(cls, plain: bytes) -> "TextItem":
        """Parse the result of `dump`."""
        line, _, raw = plain.partition(b"\n")
        head = orjson.loads(line)
        return cls(head["fields"], raw if head["has_raw"] else None, head["content_type"])


def get_field(item: TextItem | None, name: str) -> str | None:
    """Return a field of an item as text, or None if there is none."""
    value = item.fields.get(name) if item is not None else None
    return str(value) if value else None


class Sealer:
    """Converter between bytes and sealed records.

    A sealed record holds version, key number, flags, nonce and ciphertext, and is bound to topic
    and id.
    """

    def __init__(
        self, keyring: Keyring, tombstones: Tombstones, filler: PoolFiller | None = None
    ) -> None:
        """Create a sealer; `filler` shares new keys with the other machines of a cluster."""
        self._keyring = keyring
        self._tombstones = tombstones
        self._filler = filler

    async def prepare(self) -> None:
        """Return once `seal` has a key. Raises BrokerAway in a cluster, sqlite3.Error."""
        if self._filler is not None:
            await self._filler.prepare()

    def seal(self, topic: str, id: str, plain: bytes) -> bytes:
        """Seal bytes under a new key."""
        number, key = self._keyring.take_key()
        flags = 0
        if len(plain) >= COMPRESSION_MIN_BYTES and len(smaller := zlib.compress(plain, 1)) < len(
            plain
        ):
            plain, flags = smaller, _COMPRESSED
        head = _HEAD.pack(_VERSION, number, flags)
        return head + encrypt(key, plain, _build_binding(topic, id, head))

    def open(self, topic: str, id: str, record: bytes) -> bytes | None:
        """Open a sealed record; return None if its key was erased. Raises RecordInvalid."""
        number, flags = _read_head(record)
        key = self._keyring.key(number)
        if key is None:
            return None
        head, ciphertext = record[: _HEAD.size], record[_HEAD.size :]
        try:
            plain = decrypt(key, ciphertext, _build_binding(topic, id, head))
        except ValueError as error:
            raise RecordInvalid(f"{topic} {id}: {error}") from error
        return zlib.decompress(plain) if flags & _COMPRESSED else plain

    def tombstone(self, topic: str, id: str) -> bytes:
        """Return the value that erases this item."""
        return self._tombstones.make(topic, id)

    def mark_of(self, topic: str, id: str, value: bytes | None) -> bytes | None:
        """Return the mark of a signed erasure; None for any other value."""
        return self._tombstones.mark_of(topic, id, value)

    def is_ours(self, topic: str, id: str, value: bytes) -> bool:
        """Return whether a key of ours opens this sealed value."""
        try:
            return self.open(topic, id, value) is not None
        except RecordInvalid:
            return False

    def get_key_number(self, value: bytes | None) -> int | None:
        """Return the number of the key of a sealed value; None for any other value."""
        try:
            return None if value is None else _read_head(value)[0]
        except RecordInvalid:
            return None

    def shred(self, records: Iterable[RemovedRecord]) -> None:
        """Delete the keys of records that this keyring opens.

        A record of another installation on the same broker carries a number of its own keyring. Our
        key of that number belongs to another item.
        """
        numbers = []
        for removed_record in records:
            try:
                if self.open(*removed_record) is not None:
                    numbers.append(_read_head(removed_record.value)[0])
            except RecordInvalid:
                continue
        self._keyring.erase(numbers)


def _build_binding(topic: str, id: str, head: bytes) -> bytes:
    return b"\0".join((topic.encode(), id.encode(), head))


def _read_head(record: bytes) -> tuple[int, int]:
    if len(record) < _HEAD.size:
        raise RecordInvalid("too short")
    version, number, flags = _HEAD.unpack_from(record)
    if version != _VERSION:
        raise RecordInvalid(f"version {version}")
    return number, flags


class PendingItem(NamedTuple):
    """An item that the producer has, but no replica has acknowledged."""

    id: str
    record: bytes
    pending_send: PendingSend


class ItemStore:
    """The items of one topic, as bytes."""

    def __init__(self, topic: str, sealer: Sealer, writer: KeyedWriter, replica: Replica) -> None:
        self._topic = topic
        self._sealer = sealer
        self._writer = writer
        self._replica = replica
        self._recent: OrderedDict[str, ReplicaItem] = OrderedDict()
        self._recent_bytes = 0
        self._written: dict[int, int] = {}
        """Partition → offset of the last item that was stored here."""

    async def put_bytes(self, id: str, plain: bytes) -> None:
        """Store or replace an item; returns once all replicas have it.

        Raises BrokerAway: repeat, the last one counts.
        """
        await self.wait_for_replicas(await self.hand_over(id, plain))

    async def hand_over(self, id: str, plain: bytes) -> PendingItem:
        """Pass an item to the producer without waiting. Raises BrokerAway.

        Items that are passed one after the other share a request. An item is stored once
        `wait_for_replicas` returns.
        """
        await self._sealer.prepare()
        record = self._sealer.seal(self._topic, id, plain)
        return PendingItem(
            id,
            record,
            await self._writer.send(self._topic, choose_key_partition(self._topic, id), id, record),
        )

    async def wait_for_replicas(self, item: PendingItem) -> None:
        """Wait until all replicas have an item. Raises BrokerAway: repeat both steps."""
        offset, _ = await item.pending_send.wait_for_acknowledgement()
        partition = choose_key_partition(self._topic, item.id)
        self._written[partition] = max(offset, self._written.get(partition, -1))
        self._remember(item.id, ReplicaItem(item.record, offset))

    async def wait_until_current(self, wait_s: float) -> bool:
        """Wait until every process of this data directory sees the items stored here.

        Returns False if that takes longer than `wait_s`.
        """
        loop = asyncio.get_running_loop()
        give_up = loop.time() + wait_s
        while not self._is_copied():
            if loop.time() >= give_up:
                return False
            await asyncio.sleep(POLL_S)
        return True

    def _is_copied(self) -> bool:
        positions = self._replica.positions()
        return all(
            offset < positions.get((self._topic, partition), 0)
            for partition, offset in self._written.items()
        )

    async def get_bytes(self, id: str, *, wait_s: float = 0.0) -> bytes | None:
        """Return the item; None if it does not exist or was erased.

        Waits up to `wait_s` for an item that another process has just stored.
        """
        loop = asyncio.get_running_loop()
        give_up = loop.time() + wait_s
        while (plain_bytes := self.peek_bytes(id)) is None and loop.time() < give_up:
            await asyncio.sleep(POLL_S)
        return plain_bytes

    def peek_bytes(self, id: str) -> bytes | None:
        """Return the item without waiting, else like `get_bytes`."""
        replica_item = self._newest(id)
        try:
            return (
                None
                if replica_item is None
                else self._sealer.open(self._topic, id, replica_item.value)
            )
        except RecordInvalid as error:
            log.error("vault.unreadable", topic=self._topic, id=id, error=str(error))
            return None

    def _newest(self, id: str) -> ReplicaItem | None:
        both = [
            s for s in (self._replica.get(self._topic, id), self._recent.get(id)) if s is not None
        ]
        return max(both, key=lambda s: s.offset, default=None)

    async def erase(self, id: str) -> None:
        """Make an item unreadable at once and for ever, including its copies.

        Erasing a missing item is no error. Raises BrokerAway: the item is unreadable already,
        repeat to remove the record too.
        """
        sealed_items = (self._replica.get(self._topic, id), self._forget(id))
        self._sealer.shred(
            RemovedRecord(self._topic, id, s.value) for s in sealed_items if s is not None
        )
        await self._writer.put(self._topic, id, self._sealer.tombstone(self._topic, id))

    def ids_before(self, prefix: str, ends: Mapping[int, int]) -> list[str]:
        """Return the ids with a prefix of items written before these offsets (by partition)."""
        return self._replica.ids_before(self._topic, prefix, ends)

    def ids(self, prefix: str = "") -> list[str]:
        """Return the ids with a prefix of all items that the replica knows."""
        return self._replica.ids(self._topic, prefix)

    def _remember(self, id: str, item: ReplicaItem) -> None:
        self._forget(id)
        self._recent[id] = item
        self._recent_bytes += len(item.value)
        while self._recent_bytes > RECENT_CACHE_BYTES:
            _, oldest = self._recent.popitem(last=False)
            self._recent_bytes -= len(oldest.value)

    def _forget(self, id: str) -> ReplicaItem | None:
        item = self._recent.pop(id, None)
        if item is not None:
            self._recent_bytes -= len(item.value)
        return item


class VaultTexts(ItemStore):
    """Free text and raw bytes by text id."""

    async def put(self, text_id: str, item: TextItem) -> None:
        """Store or replace a text, see `put_bytes`."""
        await self.put_bytes(text_id, item.dump())

    async def get(self, text_id: str, *, wait_s: float = 0.0) -> TextItem | None:
        """Return a text, see `get_bytes`."""
        plain = await self.get_bytes(text_id, wait_s=wait_s)
        return None if plain is None else TextItem.load(plain)

    def get_many(self, text_ids: Sequence[str]) -> dict[str, TextItem]:
        """Return the texts that exist, without waiting, for lists."""
        plain_items = ((id, self.peek_bytes(id)) for id in text_ids)
        return {id: TextItem.load(plain) for id, plain in plain_items if plain is not None}


class RealmDirectory:
    """People of one live realm by token; nobody of another one is found here. Rule D140.

    The caller must log every access of a person to a person's data. Rule D59, logged access.
    """

    def __init__(self, items: ItemStore, prefix: str) -> None:
        self._items = items
        self._prefix = prefix

    async def put_all(self, contacts: Sequence[Contact]) -> None:
        """Store contacts, PUT_BATCH of them in one request.

        Raises BrokerAway: repeat all, the last one counts.
        """
        for start in range(0, len(contacts), PUT_BATCH):
            batch = [
                await self._items.hand_over(
                    self._name_item(one.person), one.model_dump_json().encode()
                )
                for one in contacts[start : start + PUT_BATCH]
            ]
            for item in batch:
                await self._items.wait_for_replicas(item)

    async def put(self, contact: Contact) -> None:
        """Store or replace a contact, see `ItemStore.put_bytes`."""
        await self._items.put_bytes(
            self._name_item(contact.person), contact.model_dump_json().encode()
        )

    async def get(self, person: str, *, wait_s: float = 0.0) -> Contact | None:
        """Return a contact, see `ItemStore.get_bytes`."""
        if person.startswith(REALM_PREFIX):
            return None
        plain = await self._items.get_bytes(self._name_item(person), wait_s=wait_s)
        return None if plain is None else Contact.model_validate_json(plain)

    def peek(self, person: str) -> Contact | None:
        """Return a contact without waiting."""
        if person.startswith(REALM_PREFIX):
            return None
        plain = self._items.peek_bytes(self._name_item(person))
        return None if plain is None else Contact.model_validate_json(plain)

    async def erase(self, person: str) -> None:
        """Make a contact unreadable for ever, see `ItemStore.erase`."""
        await self._items.erase(self._name_item(person))

    async def wait_until_current(self, wait_s: float) -> bool:
        """Wait for the copy of this data directory, see `ItemStore.wait_until_current`."""
        return await self._items.wait_until_current(wait_s)

    def ids(self) -> list[str]:
        """Return the tokens of all people of this realm."""
        start = len(self._prefix)
        tokens = (id[start:] for id in self._items.ids(self._prefix))
        return [token for token in tokens if not token.startswith(REALM_PREFIX)]

    def _name_item(self, person: str) -> str:
        """Return the id of a person's item. Raises ValueError for the token of another realm."""
        if person.startswith(REALM_PREFIX):
            raise ValueError(f"a person's token begins with {REALM_PREFIX}")
        return self._prefix + person


class VaultDirectory:
    """The directories of all live realms, each blind to the others. Rule D140.

    An item of the home realm has the token of its person as its id, an item of another realm
    `realm:<realm>/<token>`. So an installation with one realm reads its earlier data. An exercise
    uses the directory of its territory's live realm.
    """

    def __init__(self, items: ItemStore, home_realm: str) -> None:
        self._items = items
        self.home_realm: Final = home_realm

    def of(self, realm: str) -> RealmDirectory:
        """Return the people of a realm. Raises RealmNameInvalid."""
        territory = get_territory(realm)
        is_home = territory == self.home_realm
        return RealmDirectory(self._items, "" if is_home else f"{REALM_PREFIX}{territory}/")

    def realms(self) -> list[str]:
        """Return the home realm and the other live realms that have people."""
        start = len(REALM_PREFIX)
        others = {id[start:].partition("/")[0] for id in self._items.ids(REALM_PREFIX)}
        return [self.home_realm, *sorted(others - {self.home_realm})]


def _open_keyring(
    settings: Settings, master: MasterKey, writer: KeyedWriter
) -> tuple[Keyring, PoolFiller | None, KeyExchange | None]:
    """Open the keyring, shared with other machines in a cluster."""
    if not is_shared(settings):
        return Keyring(settings.data.secrets / "keyring.db", master), None, None
    shared_keyring = open_shared_keyring(settings, master)
    return (
        shared_keyring,
        PoolFiller(shared_keyring, writer),
        KeyExchange(settings.kafka, shared_keyring, writer),
    )


class Vault:
    """Texts and directory of one data directory.

    At least one process must run it for readers to see new items. Usage: `Vault.open(settings)`,
    then `async with vault:` keeps the replica current in the background and closes at the end.
    """

    def __init__(
        self,
        keyring: Keyring,
        writer: KeyedWriter,
        replica: Replica,
        keeper: ReplicaKeeper,
        sealer: Sealer,
        home_realm: str,
        filler: PoolFiller | None = None,
    ) -> None:
        self._keyring = keyring
        self._filler = filler
        self._replica = replica
        self._keeper = keeper
        self._task: asyncio.Task[None] | None = None
        self.writer: Final = writer
        self.texts = VaultTexts("texts", sealer, writer, replica)
        people = ItemStore("directory", sealer, writer, replica)
        self.directory = VaultDirectory(people, home_realm)

    @classmethod
    def open(
        cls,
        settings: Settings,
        *,
        master: MasterKey | None = None,
        ack_timeout_s: float = ACK_TIMEOUT_S,
    ) -> "Vault":
        """Open the files only; Kafka is contacted when needed.

        Raises OSError, MasterKeyInvalid, sqlite3.Error.
        """
        settings.data.make()
        master = master or MasterKey.open(settings.data.secrets)
        path = settings.data.root / "vault" / "replica.db"
        writer = KeyedWriter(settings.kafka, ack_timeout_s=ack_timeout_s)
        keyring, filler, exchange = _open_keyring(settings, master, writer)
        sealer = Sealer(keyring, Tombstones.of(master), filler)
        keeper = ReplicaKeeper(path, settings.kafka, sealer.shred, sealer, exchange)
        home = read_home_realm(settings)
        return cls(keyring, writer, Replica(path), keeper, sealer, home, filler)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keeper.run(), name="vault.replica")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            await cancel_and_wait([self._task])
        if self._filler is not None:
            await self._filler.stop()
        await self.writer.stop()
        self._replica.close()
        self._keyring.close()

    def damage(self) -> str | None:
        """Return the reason why only a restart of this process shows new items, or None."""
        if self._task is not None and self._task.done():
            return "the replica of texts is no longer kept current: restart this process"
        if self._replica.is_replaced():
            return "the replica of texts was damaged and begun anew: restart this process"
        return None

    def fault(self) -> str | None:
        """Return the reason why items are not seen or not written, or None. For readiness."""
        if (damage := self.damage()) is not None:
            return damage
        if self._filler is not None and not self._filler.is_joined:
            return "the keys of the other machines are not known yet"
        return None
