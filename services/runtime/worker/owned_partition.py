"""One log partition while a worker owns it: its takeover, its state, the ticks of its realms.

A `Tick` goes to the worker's own input when something is due in a live realm. Only inputs move
time: the broker's append time of the Tick fires the deadline, if nothing else arrived before. Late,
double and stale ticks are harmless. The conductor moves the time of simulated realms.

See `docs/explanation/log-protocol.md`, rules 2, 4 and 9.
"""

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Generic, NamedTuple, TypeVar

import structlog

from schemas.base import Instant
from schemas.topics import input_topic as inputs_topic
from schemas.topics import log_topic
from services.runtime.decider.inputs import InputRecord
from services.runtime.decider.machine import Machine
from services.runtime.log.chain import MAX_IN_FLIGHT, ChainView, Position, fold_record
from services.runtime.log.partition_reader import PartitionReader, retry_until_visible
from services.runtime.log.transaction import Transaction
from services.runtime.process.exits import ARMED, reach_failpoint
from services.runtime.process.machine import now_ms
from services.runtime.process.tracing import TraceSpan
from services.runtime.worker.publisher import PartitionFeed, Publisher
from services.runtime.worker.recovery import check_input, recover_partition

S = TypeVar("S")
MAX_UNPUBLISHED: int = 20_000
"""Number of acknowledged records that may wait for the publisher before the worker waits, too."""
RESEND_MS: Final = 10_000
"""Milliseconds after which a Tick that has not arrived is sent again."""
FIRST_RETRY_MS: Final = 20
"""First wait after a Tick with an append time before the deadline; doubles up to a second.

The broker's clock is behind ours then.
"""
CLOCK_CHECK_S: Final = 1.0
"""Seconds between two looks at the wall clock while a deadline is armed.

The clock of asyncio stops while a machine sleeps, and does not notice a wall clock that is set
forward. A deadline would be late by the same time.
"""
SendTick = Callable[[int, str, str], Awaitable[None]]
"""Arguments: (partition, realm, id)."""
log = structlog.get_logger(__name__)


class PendingAppend(NamedTuple):
    """A record that is sent but not acknowledged."""

    position: Position
    transaction: Transaction
    record: InputRecord | None
    """The input, for the dead letters; None if it took effect."""
    sent_at: float
    """`time.monotonic()` of the send."""
    span: TraceSpan | None = None
    """Span that ends with the acknowledgement."""


@dataclass(slots=True, eq=False)
class OwnedPartition(Generic[S]):
    partition: int
    view: ChainView[S]
    feed: PartitionFeed
    slot: str
    """Slot of the next snapshot."""
    anchor: tuple[int, str]
    """Offset and hash of the last record at recovery; (-1, "") for an empty log."""
    confirmed_head: tuple[int, str]
    """Offset and hash of the newest record known to be in the log."""
    pending: deque[PendingAppend] = field(default_factory=deque)
    room: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when an append is acknowledged, and by the feed when less is left to publish."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Locked while an input is applied, if two lanes bring inputs."""
    urgent: deque[InputRecord] = field(default_factory=deque)
    """Records of the urgent lane that were read but not applied."""
    is_dropped: bool = False
    snapshot: ChainView[S] | None = None
    """View to write once its seq is acknowledged."""
    writing: asyncio.Task[None] | None = None
    snapshot_seq: int = 0
    """Seq of the newest snapshot, or of the recovery."""
    snapshot_at: float = field(default_factory=time.monotonic)
    """`time.monotonic()` of the newest snapshot, or of the recovery."""
    next_snapshot_at: float = 0.0
    """`time.monotonic()` before which no snapshot is taken."""
    moved_at: float = field(default_factory=time.monotonic)
    """`time.monotonic()` of the last append."""

    @property
    def full(self) -> bool:
        """True if the next input has to wait."""
        return len(self.pending) >= MAX_IN_FLIGHT or self.feed.lag >= MAX_UNPUBLISHED

    async def until_room(self) -> None:
        """Wait until the next input may be applied or the partition is dropped."""
        while self.full and not self.is_dropped:
            self.room.clear()
            await self.room.wait()

    def wants_snapshot(self, every: int, now: float) -> bool:
        """Return whether to snapshot now: at seq = k·every, not too often, one at a time."""
        return (
            self.view.position.seq % every == 0
            and self.writing is None
            and self.snapshot is None
            and now >= self.next_snapshot_at
        )

    def drop(self) -> None:
        """Drop the partition, which another worker may own now.

        Its view decides nothing any more.
        """
        self.is_dropped = True
        self.feed.cancel()
        self.room.set()
        if self.writing is not None:
            self.writing.cancel()


@dataclass(slots=True)
class _ArmedRealm:
    partition: int
    due_at: Instant
    at: Instant
    """Time to send, by this machine's clock."""
    sent_count: int = 0


class Ticker:
    """Earliest deadline of each live realm of this worker."""

    def __init__(self, send: SendTick, run: str) -> None:
        self._send = send
        self._run_id = run
        self._armed: dict[str, _ArmedRealm] = {}
        self._heap: list[tuple[Instant, str]] = []
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._armed)

    def arm(self, partition: int, realm: str, due_at: Instant | None) -> None:
        """Set the realm's earliest deadline after an input; None if it has none."""
        alarm = self._armed.get(realm)
        if due_at is None:
            if alarm is not None:
                del self._armed[realm]
            return
        if alarm is not None and alarm.due_at == due_at:
            return
        self._armed[realm] = _ArmedRealm(partition, due_at, due_at)
        self._push(due_at, realm)

    def on_tick(self, realm: str) -> None:
        """Retry soon if the deadline is still armed: the broker's clock is behind."""
        if (alarm := self._armed.get(realm)) is not None and alarm.sent_count:
            alarm.at = now_ms() + min(FIRST_RETRY_MS << (alarm.sent_count - 1), 1000)
            self._push(alarm.at, realm)

    def forget(self, partition: int) -> None:
        """Forget the realms of a partition that another worker owns now."""
        for realm in [r for r, alarm in self._armed.items() if alarm.partition == partition]:
            del self._armed[realm]

    def _push(self, at: Instant, realm: str) -> None:
        heapq.heappush(self._heap, (at, realm))
        if self._heap[0] == (at, realm):
            self._wake.set()

    async def run(self) -> None:
        """Send ticks as they become due, until cancelled."""
        while True:
            self._wake.clear()
            now = now_ms()
            while self._heap and self._heap[0][0] <= now:
                at, realm = heapq.heappop(self._heap)
                alarm = self._armed.get(realm)
                if alarm is None or alarm.at != at:
                    continue  # Disarmed or moved meanwhile
                alarm.sent_count += 1
                alarm.at = now + RESEND_MS
                self._push(alarm.at, realm)
                await self._send(
                    alarm.partition,
                    realm,
                    f"tick:{self._run_id}:{realm}:{alarm.due_at}:{alarm.sent_count}",
                )
            delay_s = (
                min((self._heap[0][0] - now_ms()) / 1000, CLOCK_CHECK_S) if self._heap else 60.0
            )
            try:
                await asyncio.wait_for(self._wake.wait(), max(delay_s, 0.001))
            except TimeoutError:
                pass


class PartitionTakeover(Generic[S]):
    """Recovery of partitions for one worker."""

    def __init__(self, machine: Machine[S], kafka: str, publisher: Publisher) -> None:
        self._machine = machine
        self._kafka = kafka
        self._publisher = publisher
        self._inputs, self._log = inputs_topic(machine.service), log_topic(machine.service)

    async def take_over(
        self, reader: PartitionReader, partition: int, earlier_partition: OwnedPartition[S] | None
    ) -> OwnedPartition[S]:
        """Return the partition as its log holds it now. Raises Stop, KafkaError.

        `earlier_partition` is the partition as this worker owned it before, if it did.
        """
        owned_partition = (
            await self._read(reader, partition) if earlier_partition is None else earlier_partition
        )
        await self._top_up(reader, owned_partition)
        await self.check_input(reader, owned_partition)
        return owned_partition

    async def check_input(
        self, reader: PartitionReader, owned_partition: OwnedPartition[S]
    ) -> None:
        """Check the input against the log (rule 4). Raises Stop.

        Waits for a record that is not visible yet.
        """
        look = partial(
            check_input,
            reader,
            self._machine.service,
            owned_partition.partition,
            owned_partition.view.position,
        )
        await retry_until_visible(self._kafka, self._inputs, look)

    async def _read(self, reader: PartitionReader, partition: int) -> OwnedPartition[S]:
        """Recover the partition from its snapshots and its log."""
        look = partial(recover_partition, reader, self._machine, partition)
        recovery = await retry_until_visible(self._kafka, self._log, look)
        if ARMED:
            reach_failpoint("during-takeover")
        at, room = recovery.view.position, asyncio.Event()
        anchor = (at.next - 1, at.tail)
        feed = PartitionFeed(self._publisher, partition, at, recovery.published_position, room)
        log.debug(
            "partition.taken",
            partition=partition,
            seq=at.seq,
            folded=recovery.folded_count,
            ignored=at.ignored,
        )
        slot = recovery.next_slot
        return OwnedPartition(
            partition, recovery.view, feed, slot, anchor, anchor, room=room, snapshot_seq=at.seq
        )

    async def _top_up(self, reader: PartitionReader, owned_partition: OwnedPartition[S]) -> None:
        """Fold the records that another worker appended while we kept the chain."""
        before = owned_partition.view.position
        _, end = (await reader.bounds(self._log, [owned_partition.partition]))[
            owned_partition.partition
        ]
        async for record in reader.read(self._log, {owned_partition.partition: (before.next, end)}):
            owned_partition.view = fold_record(
                self._machine, owned_partition.view, record.offset, record.value
            )
        at = owned_partition.view.position
        if at.next != before.next:
            owned_partition.feed.cancel()
            owned_partition.feed = PartitionFeed(
                self._publisher,
                owned_partition.partition,
                at,
                owned_partition.feed.published_position,
                owned_partition.room,
            )
            owned_partition.confirmed_head = (at.next - 1, at.tail)
