"""Recover a log partition, and find the positions that receivers have read from it.

See `docs/explanation/log-protocol.md`, rules 2 and 4.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import structlog

from schemas.topics import input_topics, list_receivers, log_topic
from services.runtime.decider.inputs import compute_input_digest, convert_record
from services.runtime.decider.machine import Machine
from services.runtime.decider.protocol import Watermark
from services.runtime.log.chain import (
    ChainView,
    Position,
    advance_position,
    create_empty_view,
    fold_record,
)
from services.runtime.log.partition_reader import PartitionReader, RecordMissing
from services.runtime.log.snapshots import (
    SLOTS,
    PublishedPosition,
    SnapshotDamaged,
    SnapshotManifest,
    load_view,
    read_newest_manifests,
)
from services.runtime.log.transaction import Transaction, compute_digest
from services.runtime.process.exits import Stop

S = TypeVar("S")
ANY_LOGIC: Final = 1 << 30
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RecoveredPartition(Generic[S]):
    view: ChainView[S]
    published_position: PublishedPosition
    """Progress of the publisher from the snapshot; the beginning without one."""
    next_slot: str
    """Slot of the next snapshot, never the one that was just read."""
    folded_count: int
    """Number of log records read after the snapshot."""


async def recover_partition(
    reader: PartitionReader, machine: Machine[S], partition: int
) -> RecoveredPartition[S]:
    """Return the view of the whole log partition as it is now.

    Raises Stop (`logic.newer`), Missing (`log.truncated`).
    """
    service = machine.service
    manifests = await read_newest_manifests(reader, service, partition)
    start, required_history = await find_valid_manifest(reader, service, partition, manifests)
    view, published_position, slot = create_empty_view(), PublishedPosition(), SLOTS[0]
    for manifest in [] if start is None else manifests[manifests.index(start) :]:
        if not await is_in_log(reader, service, partition, manifest.position):
            continue
        if manifest.position.logic > machine.logic:
            raise Stop(
                "logic.newer",
                f"a snapshot was written by logic {manifest.position.logic}, this program knows {machine.logic}",
            )
        if manifest.code != machine.logic:
            log.info(
                "snapshot.other_logic", partition=partition, slot=manifest.slot, logic=manifest.code
            )
            continue
        try:
            view, published_position = (
                await load_view(reader, machine.decider, partition, manifest),
                manifest.published_position,
            )
            slot = SLOTS[1 - SLOTS.index(manifest.slot)]
            break
        except SnapshotDamaged as error:
            log.warning(
                "snapshot.damaged",
                partition=partition,
                slot=manifest.slot,
                seq=manifest.position.seq,
                error=str(error),
            )
    topic, first = log_topic(service), view.position.next
    _, end = (await reader.bounds(topic, [partition]))[partition]
    async for record in reader.read(topic, {partition: (first, end)}):
        view = fold_record(machine, view, record.offset, record.value)
    if required_history > view.position.history:
        raise RecordMissing(
            "log.truncated",
            f"partition {partition} of {topic} lacks records that a snapshot had seen acknowledged",
        )
    return RecoveredPartition(view, published_position, slot, view.position.next - first)


async def find_valid_manifest(
    reader: PartitionReader, service: str, partition: int, manifests: list[SnapshotManifest]
) -> tuple[SnapshotManifest | None, int]:
    """Return the newest manifest with a head that is in the log, and the lost history.

    The log must have reached that history to explain the manifests that do not fit; 0 if all fit.
    """
    required_history = 0
    for manifest in manifests:
        if await is_in_log(reader, service, partition, manifest.position):
            return manifest, required_history
        # The manifest was sent after its acknowledgement, so a loss is proven.
        required_history = max(required_history, manifest.position.history + 1)
    return None, required_history


async def is_in_log(reader: PartitionReader, service: str, partition: int, at: Position) -> bool:
    """Return whether the log still holds the last accepted record of a position."""
    if at.head_offset < 0:
        return True
    head_records = await reader.at(log_topic(service), {partition: at.head_offset})
    return partition in head_records and compute_digest(head_records[partition].value) == at.hash


async def read_position(reader: PartitionReader, service: str, partition: int) -> Position:
    """Return the position at the end of a log partition, without its state.

    Starts from the newest snapshot that fits and follows the reader's rule.
    """
    start, _ = await find_valid_manifest(
        reader, service, partition, await read_newest_manifests(reader, service, partition)
    )
    at = Position() if start is None else start.position
    topic = log_topic(service)
    _, end = (await reader.bounds(topic, [partition]))[partition]
    async for record in reader.read(topic, {partition: (at.next, end)}):
        at, _ = advance_position(at, record.offset, record.value, ANY_LOGIC)
    return at


async def check_input(reader: PartitionReader, service: str, partition: int, at: Position) -> None:
    """Check that each lane of the input continues at the position that the log has applied.

    Raises Stop (`input.gap`) and Stop or Missing (`input.rewritten`).
    """
    for topic in input_topics(service):
        await _check_lane(reader, topic, partition, at)


async def _check_lane(reader: PartitionReader, topic: str, partition: int, at: Position) -> None:
    applied_offset, applied_digest = at.applied_in(topic)
    begin, end = (await reader.bounds(topic, [partition]))[partition]
    if applied_offset >= end:
        raise RecordMissing(
            "input.rewritten",
            f"partition {partition} of {topic} ends at {end}, the log has applied offset {applied_offset}",
        )
    if begin > applied_offset + 1:
        raise Stop(
            "input.gap",
            f"partition {partition} of {topic} begins at {begin}, offset {applied_offset + 1} is due",
        )
    if applied_offset < 0 or not applied_digest:
        return
    lane_records = await reader.at(topic, {partition: applied_offset})
    if partition not in lane_records:
        raise RecordMissing(
            "input.rewritten",
            f"partition {partition} of {topic} lacks offset {applied_offset}, which the log has applied",
        )
    if compute_input_digest(convert_record(lane_records[partition])) != applied_digest:
        raise Stop(
            "input.rewritten",
            f"partition {partition} of {topic} holds another record at offset {applied_offset} than the one applied",
        )


async def read_watermarks(
    reader: PartitionReader, service: str, partition: int
) -> AsyncIterator[tuple[str, Watermark | None]]:
    """Yield each receiver of a service with its watermark, read from the receiver's own log.

    The watermark is None if the receiver has applied nothing yet.
    """
    for receiver in list_receivers(service):
        yield receiver, (await read_position(reader, receiver, partition)).marks.get(service)


async def find_position_after(
    reader: PartitionReader, service: str, partition: int, mark: Watermark, end: Position
) -> Position | None:
    """Return the position after the record that a receiver's watermark names.

    The log ends at `end`. Returns None if that history was declared lost. Raises Missing
    (`source.forked`) if the log lacks the record although no loss was declared.
    """
    topic, seq = log_topic(service), mark.place.seq
    first, last = (await reader.bounds(topic, [partition]))[partition]
    async for record in reader.read(
        topic, {partition: (max(seq - 1, first), min(seq + end.ignored, last))}
    ):
        if compute_digest(record.value) == mark.hash:
            tx = Transaction.load(record.value)
            return Position(
                history=tx.history,
                next=record.offset + 1,
                seq=tx.seq,
                hash=mark.hash,
                tail=mark.hash,
                logic=tx.logic,
                head_offset=record.offset,
            )
    if mark.place.history < end.history:
        return None
    raise RecordMissing(
        "source.forked",
        f"a receiver has taken {mark.place}, which partition {partition} of {topic} does not hold",
    )
