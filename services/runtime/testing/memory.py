"""A decider on an in-memory log, with the `Machine`, `append` and `fold` of the real worker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, TypeVar

from schemas.base import Fact, Instant, Message
from schemas.topics import PARTITION_COUNT, input_topic, partition_of
from schemas.wire.envelope import Place
from services.runtime.decider.inputs import Headers, InputRecord
from services.runtime.decider.machine import Machine
from services.runtime.decider.protocol import Decider, RealmState
from services.runtime.kafka.clients import build_headers, encode_message
from services.runtime.log.chain import (
    ChainView,
    apply_input,
    build_place,
    create_empty_view,
    fold_record,
)
from services.runtime.log.transaction import Transaction, compute_digest

S = TypeVar("S")


@dataclass(frozen=True)
class StoredRecord:
    """One record of a log with its partition and offset."""

    partition: int
    offset: int
    raw: bytes
    transaction: Transaction

    @property
    def hash(self) -> str:
        return compute_digest(self.raw)

    @cached_property
    def messages(self) -> tuple[Fact, ...]:
        """Return its typed facts, parsed once: it never changes, and copies of a log share it."""
        return tuple(fact.message() for fact in self.transaction.facts)

    def place(self, ordinal: int) -> Place:
        """Return the position of one of its facts."""
        return build_place(self.transaction, self.partition, ordinal)


@dataclass(slots=True)
class MemoryLog:
    """The log of one service: append-only, one list of records per partition."""

    partitions: int = PARTITION_COUNT
    records: dict[int, list[StoredRecord]] = field(default_factory=dict)

    def append(self, partition: int, raw: bytes) -> StoredRecord:
        """Store a record at the end of a partition."""
        at = self.records.setdefault(partition, [])
        at.append(entry := StoredRecord(partition, len(at), raw, Transaction.load(raw)))
        return entry

    def __iter__(self) -> Iterator[StoredRecord]:
        """Yield all records, partition by partition."""
        for partition in sorted(self.records):
            yield from self.records[partition]

    def of(self, realm: str) -> list[StoredRecord]:
        """Return the records of one realm, in order."""
        return [
            s
            for s in self.records.get(partition_of(realm, self.partitions), [])
            if s.transaction.realm == realm
        ]

    def newest(self, realm: str) -> StoredRecord:
        """Return the last record of one realm. Raises LookupError if there is none."""
        for entry in reversed(self.records.get(partition_of(realm, self.partitions), [])):
            if entry.transaction.realm == realm:
                return entry
        raise LookupError(realm)


class MemoryService(Generic[S]):
    """One decider with its inputs and its log in memory.

    With `check` (default) every record is folded back from its bytes and the two states are
    compared. A fact that cannot be read back, or an `evolve` that depends on more than the fact,
    then fails the test that made it.
    """

    def __init__(
        self,
        decider: Decider[S],
        *,
        partitions: int = PARTITION_COUNT,
        check: bool = True,
        clock: Instant = 0,
    ) -> None:
        self.machine = Machine(decider, partitions)
        self.service = decider.service
        self.log = MemoryLog(partitions)
        self.clock = clock
        """Broker append time of the next input of a live realm; set it forward, never back."""
        self._views: dict[int, ChainView[S]] = {}
        self._offsets: dict[int, int] = {}
        self._check = check

    def copy(self, *, check: bool = True) -> MemoryService[S]:
        """Return an independent copy that continues from here; `check` applies to the copy.

        Views and records never change, so both share them.
        """
        service = MemoryService(
            self.machine.decider, partitions=self.log.partitions, check=check, clock=self.clock
        )
        service.log.records = {
            partition: list(records) for partition, records in self.log.records.items()
        }
        service._views, service._offsets = dict(self._views), dict(self._offsets)
        return service

    def feed(
        self,
        realm: str,
        message: Message,
        *,
        id: str | None = None,
        source: str = "test",
        at: Instant | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        place: Place | None = None,
        place_hash: str | None = None,
    ) -> Transaction:
        """Apply one message and return its Transaction.

        `at` is the append time in a live realm (also moves `clock`), `ce_at` in a simulated one.
        """
        partition = partition_of(realm, self.log.partitions)
        offset = self._offsets.get(partition, 0)
        if at is not None and "~" not in realm:
            self.clock = at
        headers = build_headers(
            message.wire_type(),
            id=id or f"{self.service}-{partition}-{offset}",
            source=source,
            at=at,
            correlation_id=correlation_id,
            causation_id=causation_id,
            place=place,
            place_hash=place_hash,
        )
        return self.feed_raw(
            partition, realm.encode(), encode_message(message), headers
        ).transaction

    def feed_raw(
        self,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        timestamp: Instant | None = None,
    ) -> StoredRecord:
        """Apply one record of bytes, readable or not."""
        offset = self._offsets.get(partition, 0)
        self._offsets[partition] = offset + 1
        record = InputRecord(
            input_topic(self.service),
            partition,
            offset,
            key,
            value,
            headers,
            self.clock if timestamp is None else timestamp,
        )
        before: ChainView[S] = self._views.get(partition) or create_empty_view()
        after, append = apply_input(self.machine, before, record, run="memory")
        entry = self.log.append(partition, append.raw)
        if self._check:
            fold = fold_record(self.machine, before, entry.offset, append.raw)
            if fold != after:
                raise AssertionError(
                    f"{self.service}: the fold of {append.transaction.facts} differs from what "
                    "was applied"
                )
        self._views[partition] = after
        return entry

    def state(self, realm: str) -> S:
        """Return the domain state of a realm. Raises KeyError if it was never opened."""
        return self.realm(realm).domain

    def realm(self, realm: str) -> RealmState[S]:
        """Return the state of a realm with the runtime's own part. Raises KeyError."""
        return self._views[partition_of(realm, self.log.partitions)].realms[realm]

    def facts(self, realm: str) -> list[Fact]:
        return [message for entry in self.log.of(realm) for message in entry.messages]

    def next_due(self, realm: str) -> Instant | None:
        """Return the realm's earliest deadline."""
        return self.machine.next_due(self.realm(realm))
