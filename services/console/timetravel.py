"""What was known at T: a fold of the three logs by the row rule (DESIGN §4; API.md, `as_of`).

A fact counts if its own time is at or before T. Folds share their structure (`immutables`), so that checkpoints on the way are
nearly free: the first question about a realm reads its partitions once, later ones go on from the nearest checkpoint.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from heapq import heappush, heapreplace
from typing import Any, Final

from immutables import Map

from schemas.base import Instant
from schemas.realms import partition_of
from schemas.topics import PARTITIONS, SERVICES, log
from services.console.effects import RealmTouched, Row, RowPut, SectionPublished, effects
from services.console.lines import LineRecord, line_of
from services.runtime.chain import Position, follow
from services.runtime.partitions import PartitionReader
from services.runtime.reader import newest_logic
from services.runtime.transaction import Transaction, digest

CHECKPOINT_EVERY: Final = 2_000
"""Records of a partition between two checkpoints."""
CHECKPOINTS: Final = 128
"""Per realm and service; then every second one is forgotten."""
REALMS: Final = 16
"""Realms whose checkpoints are kept."""

_NO_ROWS: Final[Map[str, Row]] = Map()


@dataclass(frozen=True, slots=True)
class ServiceFold:
    """Rows, realm fields and reference sections that the log of one service gave so far."""

    collections: Map[str, Map[str, Row]] = Map()
    fields: Map[str, Any] = Map()
    sections: Map[tuple[str, str], dict[str, Any]] = Map()
    """(version, section) → content."""
    clock: Instant | None = None

    def after(self, tx: Transaction, partition: int, until: Instant) -> ServiceFold:
        """With the facts of one Transaction that are not later than `until`."""
        if tx.at > until:
            tx = _cut(tx, until)
            if not tx.facts:
                return self
        collections, fields, sections = self.collections, self.fields, self.sections
        for effect in effects(tx, partition):
            match effect:
                case RowPut():
                    rows = collections.get(effect.collection, _NO_ROWS)
                    collections = collections.set(effect.collection, rows.set(effect.id, effect.row))
                case RealmTouched():
                    fields = fields.update(effect.fields)
                case SectionPublished():
                    sections = sections.set((effect.version, effect.section), effect.content)
        clock = max((f.at for f in tx.facts), default=tx.at) if tx.at > until else tx.at
        return ServiceFold(collections, fields, sections, clock)


def _cut(tx: Transaction, until: Instant) -> Transaction:
    """The Transaction with the facts up to `until`: deadlines that fired on the way have times of their own."""
    return replace(tx, facts=tuple(f for f in tx.facts if f.at <= until))


@dataclass(frozen=True, slots=True)
class Fold:
    """One realm at one time, over the three services."""

    services: tuple[ServiceFold, ...]

    def rows(self, collection: str) -> Mapping[str, Row]:
        """Rows of a collection by id; a collection belongs to one service."""
        return next((s.collections[collection] for s in self.services if collection in s.collections), _NO_ROWS)

    @property
    def fields(self) -> dict[str, Any]:
        """Fields of the realm; empty if it was not open yet."""
        return {name: value for s in self.services for name, value in s.fields.items()}

    @property
    def clock(self) -> Instant | None:
        return max((s.clock for s in self.services if s.clock is not None), default=None)

    @property
    def reference(self) -> str | None:
        """Version of the reference data in force."""
        version: str | None = self.fields.get("reference")
        return version

    @property
    def sections(self) -> dict[str, dict[str, Any]]:
        """Section → content of that version."""
        version = self.reference
        return {name: content for s in self.services for (v, name), content in s.sections.items() if v == version}


@dataclass(slots=True)
class Checkpoints:
    """Folds of one realm and service on the way, by time."""

    at: list[Instant] = field(default_factory=list)
    kept: list[tuple[Position, ServiceFold]] = field(default_factory=list)

    def before(self, until: Instant) -> tuple[Position, ServiceFold]:
        """The newest one whose whole content is not later than `until`."""
        n = bisect_right(self.at, until)
        return self.kept[n - 1] if n else (Position(), ServiceFold())

    def add(self, at: Instant, position: Position, fold: ServiceFold) -> None:
        """Keep a fold that ends with a Transaction at time `at`."""
        n = bisect_right(self.at, at)
        if n and self.kept[n - 1][0].next >= position.next:
            return
        self.at.insert(n, at)
        self.kept.insert(n, (position, fold))
        if len(self.at) > CHECKPOINTS:
            del self.at[::2], self.kept[::2]


class LogChanged(RuntimeError):
    """The log no longer holds the record on which a checkpoint rests (a loss was declared): checkpoints are dropped."""


class History:
    """Answers `at(realm, T)`. One reading at a time; nothing is written anywhere."""

    def __init__(self, kafka: str) -> None:
        self._kafka = kafka
        self._reading = asyncio.Lock()
        self._kept: OrderedDict[str, dict[str, Checkpoints]] = OrderedDict()

    async def at(self, realm: str, until: Instant) -> Fold:
        """The fold at `until`. Raises KafkaError, OSError when the broker is away; Stop on a log that this program cannot read."""
        async with self._reading, PartitionReader(self._kafka) as reader:
            try:
                return await self._fold(reader, realm, until)
            except LogChanged:
                self._kept.pop(realm, None)
                return await self._fold(reader, realm, until)

    async def lines(self, realm: str, wanted: Callable[[LineRecord], bool], limit: int) -> list[LineRecord]:
        """Lines that Redis no longer holds, newest first. Reads the whole logs of the realm's partition: slow, complete. Raises as `at`."""
        async with self._reading, PartitionReader(self._kafka) as reader:
            return await older_lines(reader, realm, wanted, limit)

    async def _fold(self, reader: PartitionReader, realm: str, until: Instant) -> Fold:
        kept = self._kept.setdefault(realm, {s: Checkpoints() for s in SERVICES})
        self._kept.move_to_end(realm)
        while len(self._kept) > REALMS:
            self._kept.popitem(last=False)
        return Fold(tuple([await _service(reader, realm, s, until, kept[s]) for s in SERVICES]))


async def older_lines(reader: PartitionReader, realm: str, wanted: Callable[[LineRecord], bool], limit: int) -> list[LineRecord]:
    """The newest `limit` lines of a realm that are wanted, newest first, from the beginning of the logs."""
    partition = partition_of(realm, PARTITIONS)
    newest: list[tuple[str, LineRecord]] = []
    seen = 0
    for service in SERVICES:
        async with aclosing(accepted(reader, service, partition, Position())) as records:
            async for _, tx in records:
                seen += 1
                if seen % 500 == 0:
                    await asyncio.sleep(0)
                if tx.realm != realm:
                    continue
                for ordinal, fact in enumerate(tx.facts):
                    line = line_of(tx, fact, partition, ordinal)
                    if line is None or not wanted(line):
                        continue
                    if len(newest) < limit:
                        heappush(newest, (line.key, line))
                    elif newest[0][0] < line.key:
                        heapreplace(newest, (line.key, line))
    return [line for _, line in sorted(newest, key=lambda pair: pair[0], reverse=True)]


async def _service(reader: PartitionReader, realm: str, service: str, until: Instant, kept: Checkpoints) -> ServiceFold:
    partition = partition_of(realm, PARTITIONS)
    start, fold = kept.before(until)
    since = 0
    last: tuple[Instant, Position, ServiceFold] | None = None
    async with aclosing(accepted(reader, service, partition, start)) as records:
        async for position, tx in records:
            since += 1
            if since % 500 == 0:
                await asyncio.sleep(0)
            if tx.realm != realm:
                continue
            fold = fold.after(tx, partition, until)
            if tx.at > until:
                break
            last = (tx.at, position, fold)
            if since >= CHECKPOINT_EVERY:
                kept.add(*last)
                since = 0
    if last is not None:
        kept.add(*last)
    return fold


async def accepted(
    reader: PartitionReader, service: str, partition: int, start: Position
) -> AsyncGenerator[tuple[Position, Transaction], None]:
    """Accepted records from `start` up to the end of the log at the time of the call (RUNTIME §1.3). Raises LogChanged, Stop."""
    topic, logic = log(service), newest_logic(service)
    end = (await reader.bounds(topic, [partition]))[partition][1]
    if end < start.next:
        raise LogChanged(f"{topic}/{partition} ends at {end}, before {start.next}")
    at = start
    async for record in reader.read(topic, {partition: (max(start.next - 1, 0), end)}):
        if record.offset < start.next:
            if digest(record.value) != start.tail:
                raise LogChanged(f"{topic}/{partition}: another record lies at {record.offset}")
            continue
        at, tx = follow(at, record.offset, record.value, logic)
        if tx is not None:
            yield at, tx
