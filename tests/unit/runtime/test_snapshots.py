"""A snapshot reads back equal, in chunks that Kafka takes; a damaged one shows."""

from __future__ import annotations

import random
import zlib
from dataclasses import replace
from typing import cast
from weakref import ref

import pytest

from schemas.runtime import OpenRealm
from schemas.wire import Place
from services.runtime.decider.maps import Map
from services.runtime.decider.protocol import AppliedIds, IdPage, RealmState, Watermark
from services.runtime.kafka.clients import RecordProducer
from services.runtime.log.chain import ChainView, Position
from services.runtime.log.snapshots import (
    CHUNK_BYTES,
    PublishedPosition,
    SnapshotChunk,
    SnapshotDamaged,
    SnapshotManifest,
    SnapshotWriter,
    decode_page,
    decode_state,
    encode_page,
    encode_state,
)
from services.runtime.testing import MemoryService
from tests.faults.runtime.toy import Ladder, ToyDecider, ToyReport, ToyState
from tests.waiting import until


def test_a_realm_reads_back_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.runtime.decider.protocol.PAGE_IDS", 8)
    service = MemoryService(ToyDecider(), clock=1000)
    service.feed("92", OpenRealm(author="p", role="admin", territory="92", started_at=0))
    for n in range(30):
        service.feed("92", ToyReport(incident=f"i{n}", n=n, delay_ms=50), at=1000 + n)
    state = service.realm("92")
    assert state.seen.last > 2
    pages = {n: decode_page(encode_page(page)) for n, page in state.seen.pages.items()}
    assert decode_state(ToyDecider(), encode_state(ToyDecider(), state), pages) == state


def test_a_large_state_is_cut_into_chunks() -> None:
    domain = ToyState(
        counts=Map({f"incident-{n:06d}": n for n in range(60_000)}),
        ladders=Map({"a": Ladder(1, 2)}),
    )
    marks = Map({"toy": Watermark(Place("toy", 1, 2, 3, 4), "ab")})
    state = RealmState("92", "92", 5, False, AppliedIds(), marks, domain)
    chunks = encode_state(ToyDecider(), state)
    assert len(chunks) > 3
    assert all(len(zlib.decompress(chunk)) <= CHUNK_BYTES for chunk in chunks)
    assert decode_state(ToyDecider(), chunks, {}) == state


def test_no_chunk_is_too_large_for_kafka_after_any_closed_exercise() -> None:
    """No snapshot of its partition could be written any more: every start read the log from its beginning."""
    ids = [f"step:92~ex-1:alerts:{at}" for at in range(250_000)]
    closed = RealmState(
        "92~ex-1",
        "92~ex-1",
        5,
        True,
        AppliedIds.restore(0, [], ids).compact_ids(),
        Map(),
        ToyState(),
    )
    chunks = encode_state(ToyDecider(), closed)
    assert max(map(len, chunks)) < 1_000_000
    assert decode_state(ToyDecider(), chunks, {}) == closed


def test_long_ids_fit_too() -> None:
    rng = random.Random(7)
    ids = [rng.randbytes(128).hex() for _ in range(4000)]
    state = RealmState(
        "92",
        "92",
        5,
        False,
        AppliedIds.restore(0, [], ids),
        Map(),
        ToyState(counts=Map({"x" * 2_000_000: 1, "y": 2})),
    )
    chunks = encode_state(ToyDecider(), state)
    assert max(map(len, chunks)) < 1_000_000
    read = decode_state(ToyDecider(), chunks, {})
    assert (read.seen.open_ids(), read.domain) == (tuple(ids), state.domain)


def test_a_closed_realm_reads_back_equal_also_from_a_snapshot_that_lists_its_ids() -> None:
    applied_ids = AppliedIds.restore(0, [IdPage(5, ("a", "b"))], ["c"])
    closed = RealmState("92", "92", 5, True, applied_ids.compact_ids(), Map(), ToyState())
    chunks = encode_state(ToyDecider(), closed)
    assert decode_state(ToyDecider(), chunks, {}) == closed
    listed = encode_state(ToyDecider(), replace(closed, seen=applied_ids))
    assert decode_state(ToyDecider(), listed, dict(applied_ids.pages)) == closed


def test_a_missing_page_of_seen_ids_is_damage() -> None:
    applied_ids = AppliedIds.restore(0, [IdPage(5, ("a", "b"))], ["c"])
    chunks = encode_state(
        ToyDecider(), RealmState("92", "92", 5, False, applied_ids, Map(), ToyState())
    )
    with pytest.raises(SnapshotDamaged):
        decode_state(ToyDecider(), chunks, {})


def test_a_manifest_reads_back_equal() -> None:
    position = Position(
        history=1,
        next=9,
        seq=8,
        hash="h",
        tail="h",
        logic=1,
        head_offset=8,
        applied=7,
        applied_digest="d",
    )
    published = PublishedPosition(
        Position(next=4, seq=3), Map({"toyecho": Place("toy", 0, 0, 3, 1)})
    )
    manifest = SnapshotManifest(
        "a",
        position,
        1,
        123,
        {
            "92": {
                "state": (SnapshotChunk(4, "x"), SnapshotChunk(5, "y")),
                "seen-0": (SnapshotChunk(2, "z"),),
            }
        },
        published,
    )
    assert SnapshotManifest.load(manifest.dump()) == manifest


class Taken:
    """Producer with a broker that accepts everything."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []

    async def send_raw(
        self, _topic: str, _partition: int, key: bytes, _value: bytes | None, _headers: object
    ) -> tuple[int, int]:
        self.keys.append(key)
        return 0, len(self.keys)


async def test_a_state_that_was_written_is_not_held_and_one_that_stands_is_not_written_again() -> (
    None
):
    """The state of a realm before it was closed would stay for hours, in the other slot."""
    producer = Taken()
    writer = SnapshotWriter(cast("RecordProducer", producer), ToyDecider(), 8)

    def of(realm: str, count: int) -> RealmState[ToyState]:
        return RealmState(
            realm, realm, 5, False, AppliedIds(), Map(), ToyState(counts=Map({"a": count}))
        )

    stands, moves = of("92~ex-1", 1), of("92~ex-2", 1)
    for slot in ("a", "b"):
        await writer.write(
            slot,
            ChainView(Position(), Map({"92~ex-1": stands, "92~ex-2": moves})),
            PublishedPosition(),
        )
    gone = ref(moves)
    del moves
    until(
        lambda: gone() is None
    )  # the thread that encoded it lets go a moment after it has answered
    producer.keys.clear()
    await writer.write(
        "a",
        ChainView(Position(), Map({"92~ex-1": stands, "92~ex-2": of("92~ex-2", 2)})),
        PublishedPosition(),
    )
    assert producer.keys == [b"a/92~ex-2/state/0", b"a/manifest"]
