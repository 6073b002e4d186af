"""The sender keeps its log position, resumes there, and starts again after a loss."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
from aiokafka.errors import KafkaConnectionError

from schemas.topics import PARTITION_COUNT, live_partitions
from schemas.words import Channel
from services.delivery.sender import process as sender_process
from services.delivery.sender.attempt_view import AttemptView
from services.delivery.sender.process import SenderBookmark, read_batches
from services.delivery.sender.sender import RecordBatch
from services.runtime.log.chain import Position
from services.runtime.log.reader import AcceptedRecord, HistoryChanged
from services.runtime.log.transaction import Transaction
from tests.faults.matrix import proves
from tests.unit.delivery.test_sender import World

LIVE = live_partitions(PARTITION_COUNT)


def outbox() -> AttemptView:
    return AttemptView("run-1", lambda: 0.0)


def log_of(*plans: str) -> list[Transaction]:
    world = World()
    world.open("92", ["email"])
    for plan in plans:
        world.plan(plan, channels=(Channel.EMAIL,))
    return world.log


class ScriptedReader:
    """Reader that plays one script per start, which ends by an error or waits for ever."""

    scripts: ClassVar[list[tuple[list[Transaction], Exception | None]]] = []
    starts: ClassVar[list[dict[int, Position]]] = []

    def __init__(
        self, kafka: str, service: str, start: dict[int, Position], *, partitions: range
    ) -> None:
        assert (kafka, service, partitions) == ("kafka", "delivery", LIVE), (
            "only the partitions of live realms are ever read"
        )
        self.starts.append(dict(start))
        self.positions = {p: start.get(p, Position()) for p in partitions}
        self._records, self._error = self.scripts.pop(0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def _accept(self, transaction: Transaction) -> AcceptedRecord:
        partition = min(LIVE)
        before = self.positions[partition]
        self.positions[partition] = Position(next=before.next + 1, seq=before.seq + 1)
        return AcceptedRecord(transaction, partition, before.next, "h", self.positions[partition])

    async def read_to_end(self) -> AsyncIterator[AcceptedRecord]:
        for transaction in self._records[:-1]:
            yield self._accept(transaction)

    async def batch(self) -> list[AcceptedRecord]:
        if self._records:
            last, self._records = self._records[-1], []
            return [self._accept(last)]
        if self._error is not None:
            raise self._error
        await asyncio.sleep(0)
        return []


class Healthy:
    def damage(self) -> str | None:
        return None


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> type[ScriptedReader]:
    monkeypatch.setattr(sender_process, "LogReader", ScriptedReader)
    monkeypatch.setattr(sender_process, "RETRY_S", 0)
    ScriptedReader.scripts, ScriptedReader.starts = [], []
    return ScriptedReader


async def collect(box: AttemptView, bookmark: SenderBookmark, until: int) -> list[RecordBatch]:
    """Collect batches until this many records have come, then stop."""
    stopping, batches = asyncio.Event(), []
    vault: Any = Healthy()
    async for batch in read_batches("kafka", box, bookmark, vault, stopping):
        batches.append(batch)
        for transaction in batch.transactions:
            box.observe(transaction)
        if sum(len(b.transactions) for b in batches) >= until:
            stopping.set()
    return batches


async def test_past_messages_come_first_and_are_marked(
    reader: type[ScriptedReader], tmp_path: Path
) -> None:
    records = log_of("n1", "n2")
    reader.scripts = [(records, None)]
    batches = await collect(outbox(), SenderBookmark(tmp_path / "b.json"), len(records))
    assert [b.caught_up for b in batches if b.transactions] == [False] * (len(records) - 1) + [True]


async def test_a_stop_keeps_the_place_and_the_next_run_goes_on_there_with_the_same_offers(
    reader: type[ScriptedReader], tmp_path: Path
) -> None:
    records, bookmark, first = log_of("n1"), SenderBookmark(tmp_path / "b.json"), outbox()
    reader.scripts = [(records, None), (log_of("n2")[-1:], None)]
    await collect(first, bookmark, len(records))
    second = outbox()
    await collect(second, bookmark, 1)
    assert reader.starts[1][min(LIVE)].next == len(records)
    assert set(first.offers) < set(second.offers)
    assert len(second.offers) == 2


async def test_a_sender_retries_from_its_own_state_while_the_broker_is_away(
    reader: type[ScriptedReader], tmp_path: Path
) -> None:
    records = log_of("n1")
    reader.scripts = [(records, KafkaConnectionError()), (log_of("n2")[-1:], None)]
    box = outbox()
    await collect(box, SenderBookmark(tmp_path / "b.json"), len(records) + 1)
    assert reader.starts[1][min(LIVE)].next == len(records)
    assert len(box.offers) == 2


async def test_after_a_declared_loss_it_begins_again_without_the_offers_of_the_lost_history(
    reader: type[ScriptedReader], tmp_path: Path
) -> None:
    lost = log_of("n1")
    current_log = log_of()
    reader.scripts = [(lost, HistoryChanged("delivery", 0)), (current_log, None)]
    box = outbox()
    await collect(box, SenderBookmark(tmp_path / "b.json"), len(lost) + len(current_log))
    assert reader.starts[1] == {}
    assert box.offers == {}


@proves("sender", "full_disk", note="its place in the log is not kept: it reads more again")
def test_a_full_disk_costs_the_bookmark_and_no_offer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path, box = tmp_path / "b.json", outbox()
    SenderBookmark(path).keep(box, {0: Position(next=1)})
    for transaction in log_of("n1"):
        box.observe(transaction)
    monkeypatch.setattr(sender_process, "write_private", full)
    SenderBookmark(path).keep(box, {0: Position(next=9)})
    assert box.offers
    assert SenderBookmark(path).restore(outbox())[0].next == 1, "the older place stands"


EARLIER_OUTBOX = (
    b'{"offers": [], "grants": [], "turns": [], "probes": [], "proven": [], "held": [],'
    b' "references": [], "awaited": [], "asked": [], "card_lists": [], "headcounts": [],'
    b' "names": {}}'
)
"""The form of 0.1.0."""


@proves("sender", "corrupted", note="its place in the log")
@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{}",
        b'{"positions": {"x": 1}}',
        b"[1]",
        b"\xff",
        b'{"positions": {}, "outbox": {"offers": [[1]]}}',
        b'{"positions": {"0": {"marks": {}}}, "outbox": ' + EARLIER_OUTBOX + b"}",
    ],
)
def test_a_damaged_bookmark_means_reading_from_the_beginning(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "b.json"
    path.write_bytes(damage)
    box = outbox()
    assert SenderBookmark(path).restore(box) == {}
    assert box.offers == {}
