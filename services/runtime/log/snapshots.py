"""Snapshots of a log partition in two alternating slots, for a quick start.

A snapshot consists of chunk records and, once they are acknowledged, one manifest that names each
chunk by offset and hash. So a torn or overwritten snapshot is detected; the other slot is used
then, or the beginning of the log. Parts of a realm that did not change since the slot was last
written are not written again. State is immutable, so a thread encodes it.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, Generic, TypeVar
from weakref import ReferenceType, ref

import orjson
import structlog

from schemas.base import Instant
from schemas.topics import snapshot_topic as snapshots_topic
from schemas.wire import Place
from services.runtime.decider.maps import Map
from services.runtime.decider.protocol import AppliedIds, Decider, IdPage, RealmState, Watermark
from services.runtime.kafka.clients import RecordProducer
from services.runtime.log.chain import ChainView, Position, dump_position, load_position
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.log.transaction import compute_digest
from services.runtime.process.exits import ARMED, reach_failpoint
from services.runtime.process.machine import now_ms

S = TypeVar("S")

CHUNK_BYTES: Final = 512 * 1024
SLOTS: Final = ("a", "b")
_FORMAT: Final = 1
_CONTINUATION: Final = b"+"
"""First byte of a chunk that continues the last line of the chunk before.

No JSON begins with it, so a program that does not know it finds the snapshot damaged.
"""
_MAX_SKIPPED: Final = 200
"""Longest run of unwanted records that is read through instead of skipped by a seek."""
log = structlog.get_logger(__name__)


class SnapshotDamaged(Exception):
    """A chunk is missing or is not the one that the manifest names."""


@dataclass(frozen=True, slots=True)
class PublishedPosition:
    """Progress of the publisher.

    Everything before `position` is sent and acknowledged; `last` holds the last place per
    destination service.
    """

    position: Position = Position()
    last: Map[str, Place] = field(default_factory=Map)


@dataclass(frozen=True, slots=True)
class SnapshotChunk:
    offset: int
    hash: str


@dataclass(frozen=True, slots=True)
class SnapshotManifest:
    slot: str
    position: Position
    code: int
    """Logic version of the writer. A state that other code evolved is not used as a start."""
    at: Instant
    realms: Mapping[str, Mapping[str, tuple[SnapshotChunk, ...]]]
    """Realm → part → chunks."""
    published_position: PublishedPosition

    def dump(self) -> bytes:
        """Return the record value."""
        realms = {
            r: {part: [[c.offset, c.hash] for c in chunks] for part, chunks in parts.items()}
            for r, parts in self.realms.items()
        }
        published_position = {
            "position": dump_position(self.published_position.position),
            "last": {d: str(p) for d, p in self.published_position.last.items()},
        }
        head = {
            "v": _FORMAT,
            "slot": self.slot,
            "position": dump_position(self.position),
            "code": self.code,
            "at": self.at,
        }
        return zlib.compress(
            orjson.dumps(head | {"realms": realms, "published": published_position}), 1
        )

    @classmethod
    def load(cls, raw: bytes) -> "SnapshotManifest":
        """Parse a record value. Raises ValueError, KeyError, TypeError, zlib.error."""
        d = orjson.loads(zlib.decompress(raw))
        if d["v"] != _FORMAT:
            raise ValueError(f"manifest format {d['v']}")
        realms = {
            r: {p: tuple(SnapshotChunk(o, h) for o, h in cs) for p, cs in parts.items()}
            for r, parts in d["realms"].items()
        }
        last = Map(
            {
                destination: Place.parse(place)
                for destination, place in d["published"]["last"].items()
            }
        )
        published_position = PublishedPosition(load_position(d["published"]["position"]), last)
        return cls(
            d["slot"], load_position(d["position"]), d["code"], d["at"], realms, published_position
        )


def encode_state(decider: Decider[S], state: RealmState[S]) -> list[bytes]:
    """Return the chunks of a realm without its sealed pages of seen ids.

    Pure CPU work, for a thread.
    """
    marks = {service: [str(mark.place), mark.hash] for service, mark in state.marks.items()}
    own = {
        "realm": state.realm,
        "lineage": state.lineage,
        "now": state.now,
        "closed": state.closed,
        "marks": marks,
        "first": state.seen.first,
        "last": state.seen.last,
        "open": state.seen.open_ids(),
    }
    if state.seen.compact is not None:
        own["compact"] = state.seen.compact.hex()
    dump = decider.dump(state.domain)
    empty = [name for name, collection in dump.items() if not collection]
    items = ([name, key, value] for name, collection in dump.items() for key, value in collection)
    return list(_pack_chunks(chain([own | {"empty": empty}], items)))


def decode_state(
    decider: Decider[S], chunks: Iterable[bytes], pages: Mapping[int, IdPage]
) -> RealmState[S]:
    """Decode the chunks of `encode_state`.

    Raises SnapshotDamaged, or any exception of the decider's `load`.
    """
    items = _unpack_chunks(chunks)
    own = items[0]
    dump: dict[str, list[tuple[str, object]]] = {name: [] for name in own["empty"]}
    for name, key, value in items[1:]:
        dump.setdefault(name, []).append((key, value))
    if set(pages) != set(range(own["first"], own["last"])):
        raise SnapshotDamaged("pages of seen ids are missing")
    if (compact := own.get("compact")) is not None:
        applied_ids = AppliedIds(compact=bytes.fromhex(compact))
    else:
        applied_ids = AppliedIds.restore(
            own["first"], [pages[n] for n in sorted(pages)], own["open"]
        )
    if own["closed"]:  # Snapshots from before the ids of closed realms were compacted.
        applied_ids = applied_ids.compact_ids()
    marks = Map(
        {
            service: Watermark(Place.parse(place), hash)
            for service, (place, hash) in own["marks"].items()
        }
    )
    domain = decider.load(own["realm"], own["lineage"], dump)
    return RealmState(
        own["realm"], own["lineage"], own["now"], own["closed"], applied_ids, marks, domain
    )


def encode_page(page: IdPage) -> list[bytes]:
    """Return the chunks of a sealed page of seen ids."""
    return list(_pack_chunks([[page.until], *page.ids]))


def decode_page(chunks: Iterable[bytes]) -> IdPage:
    """Decode the chunks of `encode_page`."""
    (until,), *ids = _unpack_chunks(chunks)
    return IdPage(until, tuple(ids))


def _pack_chunks(items: Iterable[Any]) -> Iterator[bytes]:
    """Yield compressed chunks with one JSON value per line.

    A line that is longer than a chunk is split, for example the ids of a long, closed exercise.
    """
    lines: list[bytes] = []
    size = 0
    for item in items:
        line = orjson.dumps(item)
        if size + len(line) > CHUNK_BYTES and lines:
            yield zlib.compress(b"\n".join(lines), 1)
            lines, size = [], 0
        while len(line) > CHUNK_BYTES:
            yield zlib.compress(line[:CHUNK_BYTES], 1)
            line = _CONTINUATION + line[CHUNK_BYTES:]
        lines.append(line)
        size += len(line) + 1
    yield zlib.compress(b"\n".join(lines), 1)


def _unpack_chunks(chunks: Iterable[bytes]) -> list[Any]:
    lines: list[bytes] = []
    for chunk in chunks:
        first, *others = zlib.decompress(chunk).split(b"\n")
        if first.startswith(_CONTINUATION):
            lines[-1] += first[len(_CONTINUATION) :]
        else:
            lines.append(first)
        lines += others
    return [orjson.loads(line) for line in lines]


_WrittenParts = dict[
    str, dict[str, tuple["ReferenceType[RealmState[Any] | IdPage]", tuple[SnapshotChunk, ...]]]
]
"""Realm → part → (the immutable object that was written, its chunks).

The references are weak: a slot is written again after thousands of records or hours, and old
states, also of realms closed since, must not stay in memory for that long. A dead reference means
that the part has changed.
"""


class SnapshotWriter(Generic[S]):
    """Writer of the snapshots of one log partition."""

    def __init__(self, producer: RecordProducer, decider: Decider[S], partition: int) -> None:
        self._producer = producer
        self._decider = decider
        self._topic = snapshots_topic(decider.service)
        self._partition = partition
        self._written: dict[str, _WrittenParts] = {}

    async def write(
        self, slot: str, view: ChainView[S], published_position: PublishedPosition
    ) -> SnapshotManifest:
        """Write `view` into one of SLOTS. Raises BrokerAway.

        The manifest follows once all chunks are acknowledged.
        """
        before, after = self._written.get(slot, {}), _WrittenParts()
        for realm, state in view.realms.items():
            old, parts = (
                before.get(realm, {}),
                dict[
                    str, tuple[ReferenceType[RealmState[Any] | IdPage], tuple[SnapshotChunk, ...]]
                ](),
            )
            for part, source in _list_parts(state):
                if part in old and old[part][0]() is source:
                    parts[part] = old[part]
                else:
                    parts[part] = (
                        ref(source),
                        await self._write_part(f"{slot}/{realm}/{part}", source),
                    )
            after[realm] = parts
        manifest = SnapshotManifest(
            slot,
            view.position,
            self._decider.logic,
            now_ms(),
            {
                realm: {part: chunks for part, (_, chunks) in parts.items()}
                for realm, parts in after.items()
            },
            published_position,
        )
        if ARMED:
            reach_failpoint("during-snapshot")
        await self._send(f"{slot}/manifest", manifest.dump())
        self._written[slot] = after
        await self._erase(slot, before, after)
        return manifest

    async def _write_part(
        self, key: str, source: RealmState[Any] | IdPage
    ) -> tuple[SnapshotChunk, ...]:
        if isinstance(source, RealmState):
            raws = await asyncio.to_thread(encode_state, self._decider, source)
        else:
            raws = await asyncio.to_thread(encode_page, source)
        return tuple(
            [
                SnapshotChunk(await self._send(f"{key}/{n}", raw), compute_digest(raw))
                for n, raw in enumerate(raws)
            ]
        )

    async def _erase(self, slot: str, before: _WrittenParts, after: _WrittenParts) -> None:
        """Send tombstones for chunks of this slot that the new manifest no longer names."""
        for realm, parts in before.items():
            for part, (_, chunks) in parts.items():
                current_count = len(after[realm][part][1]) if part in after.get(realm, {}) else 0
                for n in range(current_count, len(chunks)):
                    await self._send(f"{slot}/{realm}/{part}/{n}", None)

    async def _send(self, key: str, value: bytes | None) -> int:
        _, offset = await self._producer.send_raw(
            self._topic, self._partition, key.encode(), value, []
        )
        return offset


def _list_parts(state: RealmState[Any]) -> Iterator[tuple[str, RealmState[Any] | IdPage]]:
    for n in range(state.seen.first, state.seen.last):
        yield f"seen-{n}", state.seen.pages[n]
    yield "state", state


async def read_newest_manifests(
    reader: PartitionReader, service: str, partition: int
) -> list[SnapshotManifest]:
    """Return the readable manifest of each slot, newest (history, seq) first.

    Searches backwards from the end of the topic.
    """
    topic = snapshots_topic(service)
    begin, end = (await reader.bounds(topic, [partition]))[partition]
    manifest_by_slot: dict[str, SnapshotManifest | None] = {}
    start, window = end, 100
    while start > begin and len(manifest_by_slot) < len(SLOTS):
        stop, start = start, max(begin, start - window)
        window *= 4
        newest: dict[str, SnapshotManifest | None] = {}
        async for record in reader.read(topic, {partition: (start, stop)}):
            slot, _, rest = (record.key or b"").decode(errors="replace").partition("/")
            if slot in SLOTS and rest == "manifest":
                newest[slot] = _parse_manifest(record.value, service, partition)
        manifest_by_slot = newest | manifest_by_slot
    manifests = [m for m in manifest_by_slot.values() if m is not None]
    return sorted(manifests, key=lambda m: (m.position.history, m.position.seq), reverse=True)


def _parse_manifest(raw: bytes | None, service: str, partition: int) -> SnapshotManifest | None:
    try:
        return SnapshotManifest.load(raw or b"")
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        log.warning(
            "snapshot.damaged",
            service=service,
            partition=partition,
            error=f"{type(error).__name__}: {error}",
        )
        return None


async def load_view(
    reader: PartitionReader, decider: Decider[S], partition: int, manifest: SnapshotManifest
) -> ChainView[S]:
    """Load the state that a manifest names. Raises SnapshotDamaged."""
    hash_by_offset = {
        c.offset: c.hash
        for parts in manifest.realms.values()
        for chunks in parts.values()
        for c in chunks
    }
    offsets = _read_offsets(
        reader, snapshots_topic(decider.service), partition, sorted(hash_by_offset)
    )
    raws = {
        offset: raw
        async for offset, raw in offsets
        if compute_digest(raw) == hash_by_offset[offset]
    }
    if len(raws) < len(hash_by_offset):
        raise SnapshotDamaged(
            f"{len(hash_by_offset) - len(raws)} of {len(hash_by_offset)} chunks are missing or changed"
        )
    realms: dict[str, RealmState[S]] = {}
    try:
        for realm, parts in manifest.realms.items():
            pages = {
                int(part[5:]): decode_page(raws[c.offset] for c in cs)
                for part, cs in parts.items()
                if part.startswith("seen-")
            }
            realms[realm] = decode_state(decider, (raws[c.offset] for c in parts["state"]), pages)
    except Exception as error:
        raise SnapshotDamaged(f"{type(error).__name__}: {error}") from error
    return ChainView(manifest.position, Map(realms))


async def _read_offsets(
    reader: PartitionReader, topic: str, partition: int, offsets: list[int]
) -> AsyncIterator[tuple[int, bytes]]:
    """Yield the records at these offsets that still exist, reading neighbours together."""
    groups: list[list[int]] = []
    for offset in offsets:
        if groups and offset - groups[-1][-1] <= _MAX_SKIPPED:
            groups[-1].append(offset)
        else:
            groups.append([offset])
    for group in groups:
        group_offsets = set(group)
        async for record in reader.read(topic, {partition: (group[0], group[-1] + 1)}):
            if record.offset in group_offsets and record.value is not None:
                yield record.offset, record.value
