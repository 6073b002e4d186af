"""Compacted topics as tables (`access`, `texts`, `directory`).

The newest record of a key is its value, an erasure ends it. Erasures are signed: a null value does
not show its author: any program that may write to Kafka could delete tokens, open
closed sessions again and erase texts. So an erasure is a record with a MAC over topic and key, and
stays on the topic as the newest value of its key. A bare null is ignored. See
`docs/adr/0049-sign-erasures.md`.
"""

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from schemas.topics import LARGE_MESSAGE_BYTES, TOPICS_BY_NAME
from services.runtime.kafka.clients import assign_from, create_groupless_consumer
from services.runtime.kafka.fetch_throttle import BACKGROUND_FETCH_INTERVAL_MS, FetchThrottle
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.process import metrics
from services.runtime.secrets.keyring import MasterKey

RETRY_S: Final = 0.5
POLL_MS: Final = 1000
"""Longest wait for records before the follower looks at its position; a record ends it."""
log = structlog.get_logger(__name__)
KEY_PURPOSE: Final = "tombstones"
MAGIC: Final = b"\0vigie\0T"
MARK_BYTES: Final = 16
MAC_BYTES: Final = 32
_LENGTH: Final = len(MAGIC) + MARK_BYTES + MAC_BYTES


@dataclass(frozen=True, slots=True)
class KeyedEntry:
    """One record of a keyed topic."""

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes | None
    """Record value; a missing one erases the key."""


ApplyEntries = Callable[[Sequence[KeyedEntry]], Awaitable[None]]


class TopicFollower:
    """Follower of keyed topics that passes every entry to `apply`, in order per partition.

    An entry may come twice after a fault. `positions` holds the start (topic and partition → next
    offset); missing partitions start at the beginning. A position beyond the end (the topic was
    created again) also starts at the beginning, after `reset(topic, partition)`. With `from_end` only
    new entries count.
    """

    def __init__(
        self,
        kafka: str,
        topics: Sequence[str],
        apply: ApplyEntries,
        *,
        positions: Callable[[], Mapping[tuple[str, int], int]] = dict,
        reset: Callable[[str, int], None] | None = None,
        from_end: bool = False,
    ) -> None:
        self._kafka = kafka
        self._partitions = [
            TopicPartition(t, p) for t in topics for p in range(TOPICS_BY_NAME[t].partitions)
        ]
        self._apply = apply
        self._positions = positions
        self._reset = reset or (lambda *_: None)
        self._from_end = from_end
        self._next: dict[TopicPartition, int] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._moved = asyncio.Condition()
        self.caught_up = asyncio.Event()
        """Set once everything that the topics held at the start has been applied."""

    async def run(self) -> None:
        """Follow the topics until cancelled; retry every half second while the broker is away."""
        while True:
            try:
                await self._follow()
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning(
                    "follower.interrupted",
                    topics=sorted({tp.topic for tp in self._partitions}),
                    error=f"{type(error).__name__}: {error}",
                )
                await asyncio.sleep(RETRY_S)

    async def _follow(self) -> None:
        consumer: Any = create_groupless_consumer(self._kafka, fetch_bytes=2 * LARGE_MESSAGE_BYTES)
        try:
            await consumer.start()
            FetchThrottle(consumer, BACKGROUND_FETCH_INTERVAL_MS)
            ends: dict[TopicPartition, int] = await consumer.end_offsets(self._partitions)
            begins: dict[TopicPartition, int] = (
                ends if self._from_end else await consumer.beginning_offsets(self._partitions)
            )
            positions = self._positions()
            for tp in self._partitions:
                begin = max(positions.get((tp.topic, tp.partition), 0), begins[tp])
                if begin > ends[tp]:
                    self._reset(tp.topic, tp.partition)
                    begin = begins[tp]
                self._next[tp] = begin
            assign_from(consumer, {tp: self._next[tp] for tp in self._partitions})
            self._consumer = consumer
            await self._read(consumer, ends)
        finally:
            self._consumer = None
            await consumer.stop()

    async def _read(self, consumer: Any, ends: Mapping[TopicPartition, int]) -> None:
        while True:
            if not self.caught_up.is_set() and all(
                self._next[tp] >= ends[tp] for tp in self._partitions
            ):
                self.caught_up.set()
            try:
                batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=2000)
            except OffsetOutOfRangeError as error:
                for tp in error.args[0]:
                    self._reset(tp.topic, tp.partition)
                raise
            if entries := [_read_entry(r) for records in batches.values() for r in records]:
                await self._apply(entries)
            for tp, records in batches.items():
                self._next[tp] = records[-1].offset + 1
            # Compaction leaves holes at the end, which only the consumer's position shows.
            for tp in self._partitions:
                self._next[tp] = max(self._next[tp], await consumer.position(tp))
            async with self._moved:
                self._moved.notify_all()

    async def settle(self, timeout_s: float) -> bool:
        """Wait until everything that the topics hold now is applied; return False on timeout."""
        try:
            async with asyncio.timeout(timeout_s):
                if self._consumer is None:
                    return False
                # The follower's own connection answers only after its running fetch
                async with PartitionReader(self._kafka, fetch_bytes=1) as reader:
                    ends = await reader.ends(self._partitions)
                async with self._moved:
                    await self._moved.wait_for(
                        lambda: all(self._next[tp] >= ends[tp] for tp in self._partitions)
                    )
                return True
        except (TimeoutError, KafkaError, OSError):
            return False


def _read_entry(record: Any) -> KeyedEntry:
    key = (record.key or b"").decode("utf-8", "replace")
    return KeyedEntry(record.topic, record.partition, record.offset, key, record.value)


class Tombstones:
    """Maker and reader of signed erasures. Safe for several threads."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def of(cls, master: MasterKey) -> "Tombstones":
        """Return the tombstones of an installation, with a key derived from its master key."""
        return cls(master.derive_key(KEY_PURPOSE))

    def make(self, topic: str, key: str) -> bytes:
        """Return the value that erases this key."""
        mark = secrets.token_bytes(MARK_BYTES)
        return MAGIC + mark + self._mac(topic, key, mark)

    def mark_of(self, topic: str, key: str, value: bytes | None) -> bytes | None:
        """Return the mark of an erasure, unique among those of the key; None for other values."""
        if value is None or len(value) != _LENGTH or not value.startswith(MAGIC):
            return None
        mark, mac = value[len(MAGIC) : len(MAGIC) + MARK_BYTES], value[len(MAGIC) + MARK_BYTES :]
        return mark if hmac.compare_digest(mac, self._mac(topic, key, mark)) else None

    def _mac(self, topic: str, key: str, mark: bytes) -> bytes:
        text = b"\x1f".join((topic.encode(), key.encode("utf-8", "surrogatepass"), mark))
        return blake2b(
            text, key=self._key, digest_size=MAC_BYTES, person=b"vigie.tombstone"
        ).digest()


def count_unsigned(topic: str) -> None:
    """Count an unsigned record that would have erased or replaced another."""
    metrics.count("vigie_unsigned_erasures_total", topic=topic)
