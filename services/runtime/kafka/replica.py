"""Local copy of the encrypted topics, one per data directory.

It makes texts readable in microseconds, even while Kafka is away. Every process reads
`vault/replica.db`; the one that holds `vault/replica.lock` follows the topics and writes it. When
that process dies, another takes over. The copy holds ciphertext only. It may be deleted at any time
while no process runs, or be damaged: it is filled again.
"""

import asyncio
import fcntl
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, NamedTuple, Protocol

import structlog

from schemas.topics import TOPICS_BY_NAME
from services.runtime.kafka.compacted_topic import KeyedEntry, TopicFollower, count_unsigned
from services.runtime.process.sqlite_cache import SMALL_PAGE_BYTES, begin_transaction, open_cache
from services.runtime.process.tasks import cancel_and_wait, run_in_thread

log = structlog.get_logger(__name__)


class RemovedRecord(NamedTuple):
    """A sealed record that must not be readable any more."""

    topic: str
    id: str
    value: bytes


class RecordJudge(Protocol):
    """Judge of the records that belong to this installation, see `vault.Sealer`."""

    def mark_of(self, topic: str, id: str, value: bytes | None) -> bytes | None:
        """Return the mark of a signed erasure; None for any other value."""
        ...

    def is_ours(self, topic: str, id: str, value: bytes) -> bool:
        """Return whether a key of ours can open this sealed value."""
        ...

    def get_key_number(self, value: bytes | None) -> int | None:
        """Return the number of the key of a sealed value; None for any other value."""
        ...


class KeySource(Protocol):
    """Exchange of keys with other machines, see `key_exchange.KeyExchange`."""

    async def run(self) -> None:
        """Exchange keys until cancelled."""
        ...

    async def wait_for_answer(self) -> None:
        """Wait until missing keys have arrived, as long as it makes sense."""
        ...

    async def wait_for_keys(self, numbers: Iterable[int]) -> None:
        """Wait for the keys with these numbers, if they are on their way."""
        ...

    async def wait_for_review(self) -> None:
        """Wait until late keys have arrived, so that the topics must be read again."""
        ...

    def end_review(self) -> None:
        """Record that the topics will be read again."""
        ...


OnRemoved = Callable[[Sequence[RemovedRecord]], None]
"""Deletes the keys of these records; called in a worker thread."""

LOCK_RETRY_S: Final = 1.0
REPLICATED_TOPICS: Final = ("texts", "directory")


@dataclass(frozen=True, slots=True)
class ReplicaItem:
    """An item of the replica; `value` is the sealed record."""

    value: bytes
    offset: int


class Replica:
    """The file. Any process and thread may read; only the holder of the lock may `apply`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = open_cache(
            path,
            "CREATE TABLE IF NOT EXISTS items (topic TEXT, id TEXT, partition INTEGER, offset "
            "INTEGER, value BLOB, PRIMARY KEY (topic, id));"
            "CREATE TABLE IF NOT EXISTS positions (topic TEXT, partition INTEGER, next INTEGER, "
            "PRIMARY KEY (topic, partition));"
            "CREATE TABLE IF NOT EXISTS erased (topic TEXT, id TEXT, mark BLOB, PRIMARY KEY "
            "(topic, id, mark));",
            "secure_delete=ON",
            page_bytes=SMALL_PAGE_BYTES,
        )
        self._inode = path.stat().st_ino

    def is_replaced(self) -> bool:
        """Return whether another process found this file damaged and replaced it."""
        try:
            return self._path.stat().st_ino != self._inode
        except FileNotFoundError:
            return True

    def get(self, topic: str, id: str) -> ReplicaItem | None:
        """Return the newest known record of an item."""
        row = self._db.execute(
            "SELECT value, offset FROM items WHERE topic = ? AND id = ?", (topic, id)
        ).fetchone()
        return ReplicaItem(*row) if row else None

    def ids(self, topic: str, prefix: str = "") -> list[str]:
        """Return the ids with a prefix of all items of a topic, in order."""
        end = prefix + chr(0x10FFFF)
        return [
            row[0]
            for row in self._db.execute(
                "SELECT id FROM items WHERE topic = ? AND id BETWEEN ? AND ? ORDER BY id",
                (topic, prefix, end),
            )
        ]

    def ids_before(self, topic: str, prefix: str, ends: Mapping[int, int]) -> list[str]:
        """Return the ids with a prefix of items before these offsets (by partition)."""
        query = (
            "SELECT id, partition, offset FROM items WHERE topic = ? AND id BETWEEN ? AND ? AND "
            "offset >= 0 ORDER BY id"
        )
        rows = self._db.execute(query, (topic, prefix, prefix + chr(0x10FFFF)))
        return [id for id, partition, offset in rows if offset < ends.get(partition, 0)]

    def positions(self) -> dict[tuple[str, int], int]:
        """Return the next offset to read, per topic and partition."""
        return {
            (topic, partition): next
            for topic, partition, next in self._db.execute(
                "SELECT topic, partition, next FROM positions"
            )
        }

    def restart(self, topic: str, partition: int) -> None:
        """Re-read a topic that was created again, keeping items until newer ones come."""
        self._db.execute(
            "DELETE FROM positions WHERE topic = ? AND partition = ?", (topic, partition)
        )
        self._db.execute(
            "UPDATE items SET offset = -1 WHERE topic = ? AND partition = ?", (topic, partition)
        )

    def apply(self, entries: Iterable[KeyedEntry], on_gone: OnRemoved, judge: RecordJudge) -> None:
        """Apply entries to the file.

        * `on_gone` gets the records that newer ones replaced or erased, before the change is
          committed.
        * Only a signed erasure erases an item, and each counts once. Only a record of this
          installation replaces an item. Any other record is ignored and counted.
        * An entry at or before the offset of an item is old and changes nothing.
        * Items from before the topic was created again are replaced silently: an old record that is
          read again must not delete the key of a newer one.
        """
        removed_records: list[RemovedRecord] = []
        with begin_transaction(self._db):
            for e in entries:
                earlier_item = self.get(e.topic, e.key)
                if earlier_item is not None and e.offset <= earlier_item.offset:
                    continue
                mark = judge.mark_of(e.topic, e.key, e.value)
                if self._is_refused(e, earlier_item, mark, judge):
                    self._skip(e)
                    continue
                if (
                    earlier_item is not None
                    and earlier_item.value != e.value
                    and earlier_item.offset >= 0
                ):
                    removed_records.append(RemovedRecord(e.topic, e.key, earlier_item.value))
                if mark is not None or e.value is None:
                    self._db.execute(
                        "DELETE FROM items WHERE topic = ? AND id = ?", (e.topic, e.key)
                    )
                if mark is not None:
                    self._db.execute(
                        "INSERT OR IGNORE INTO erased VALUES (?, ?, ?)", (e.topic, e.key, mark)
                    )
                elif e.value is not None:
                    self._db.execute(
                        "INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?)",
                        (e.topic, e.key, e.partition, e.offset, e.value),
                    )
                self._pass(e)
            if removed_records:
                on_gone(removed_records)

    def _is_refused(
        self,
        e: KeyedEntry,
        earlier_item: ReplicaItem | None,
        mark: bytes | None,
        judge: RecordJudge,
    ) -> bool:
        """Return whether a record must change nothing.

        That is a bare null, a repeated erasure, or a foreign value over one of ours.
        """
        if mark is not None:
            erasure_row = self._db.execute(
                "SELECT 1 FROM erased WHERE topic = ? AND id = ? AND mark = ?",
                (e.topic, e.key, mark),
            ).fetchone()
            return erasure_row is not None and earlier_item is not None
        # Earlier versions erased with a bare null and deleted the key: such an item has nothing to
        # lose.
        if e.value is None:
            return earlier_item is None or judge.is_ours(e.topic, e.key, earlier_item.value)
        return (
            earlier_item is not None
            and earlier_item.value != e.value
            and earlier_item.offset >= 0
            and not judge.is_ours(e.topic, e.key, e.value)
        )

    def _skip(self, e: KeyedEntry) -> None:
        if self.get(e.topic, e.key) is None:  # Nothing is there to lose
            return self._pass(e)
        count_unsigned(e.topic)
        log.warning(
            "replica.unsigned_erasure",
            topic=e.topic,
            id=e.key,
            offset=e.offset,
            then="ignored: what is known here stays",
        )
        return self._pass(e)

    def _pass(self, e: KeyedEntry) -> None:
        """Record that an entry was read. A replaced row would write a page of the index, too."""
        self._db.execute(
            "INSERT INTO positions VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET next = excluded.next",
            (e.topic, e.partition, e.offset + 1),
        )

    def close(self) -> None:
        self._db.close()


class ReplicaKeeper:
    """Keeper of a replica: updates it while it holds the lock, else waits for the lock."""

    def __init__(
        self,
        replica_path: Path,
        kafka: str,
        on_gone: OnRemoved,
        judge: RecordJudge,
        keys: KeySource | None = None,
    ) -> None:
        """Keep a replica; `keys` brings the keys of other machines, if there are any."""
        self._path = replica_path
        self._kafka = kafka
        self._on_gone = on_gone
        self._judge = judge
        self._keys = keys

    async def run(self) -> None:
        """Keep the replica current until cancelled."""
        with self._path.with_suffix(".lock").open("w") as lock:
            await _wait_for_lock(lock)
            if self._keys is None:
                return await self._keep_following()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keys.run(), name="vault.keys")
                await self._keys.wait_for_answer()
                while True:
                    await self._follow_until_review(self._keys)

    async def _keep_following(self) -> None:
        while True:
            try:
                await self._follow()
            except sqlite3.Error as error:  # Mostly a full disk; written items stay readable
                log.error("replica.write_failed", error=str(error))
                await asyncio.sleep(LOCK_RETRY_S)

    async def _follow_until_review(self, keys: KeySource) -> None:
        """Follow until late keys open records that were refused before; then begin again."""
        following = asyncio.create_task(self._keep_following(), name="vault.follower")
        waiting = asyncio.create_task(keys.wait_for_review(), name="vault.review")
        try:
            await asyncio.wait((following, waiting), return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                following.result()
        finally:
            await cancel_and_wait((following, waiting))
        await run_in_thread(self._restart_all)
        keys.end_review()

    def _restart_all(self) -> None:
        replica = Replica(self._path)
        try:
            for topic in REPLICATED_TOPICS:
                for partition in range(TOPICS_BY_NAME[topic].partitions):
                    replica.restart(topic, partition)
        finally:
            replica.close()

    async def _follow(self) -> None:
        writing = Replica(self._path)

        async def apply(entries: Sequence[KeyedEntry]) -> None:
            if writing.is_replaced():
                raise sqlite3.DatabaseError("begun anew by another process")
            if self._keys is not None:
                numbers = (self._judge.get_key_number(entry.value) for entry in entries)
                await self._keys.wait_for_keys(n for n in numbers if n is not None)
            await run_in_thread(writing.apply, entries, self._on_gone, self._judge)

        try:
            await TopicFollower(
                self._kafka,
                REPLICATED_TOPICS,
                apply,
                positions=writing.positions,
                reset=writing.restart,
            ).run()
        finally:
            writing.close()


async def _wait_for_lock(lock: IO[str]) -> None:
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            await asyncio.sleep(LOCK_RETRY_S)
