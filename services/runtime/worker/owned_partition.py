"""State of one log partition while a worker owns it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from services.runtime.decider.inputs import InputRecord
from services.runtime.log.chain import MAX_IN_FLIGHT, ChainView, Position
from services.runtime.log.transaction import Transaction
from services.runtime.process.tracing import TraceSpan
from services.runtime.worker.publisher import PartitionFeed

S = TypeVar("S")
MAX_UNPUBLISHED: int = 20_000
"""Number of acknowledged records that may wait for the publisher before the worker waits, too."""


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
    confirmed: tuple[int, str]
    """Offset and hash of the newest record known to be in the log."""
    pending: deque[PendingAppend] = field(default_factory=deque)
    room: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when an append is acknowledged, and by the feed when less is left to publish."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Locked while an input is applied, if two lanes bring inputs."""
    urgent: deque[InputRecord] = field(default_factory=deque)
    """Records of the urgent lane that were read but not applied."""
    dropped: bool = False
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
        while self.full and not self.dropped:
            self.room.clear()
            await self.room.wait()

    def drop(self) -> None:
        """Drop the partition, which another worker may own now.

        Its view decides nothing any more.
        """
        self.dropped = True
        self.feed.cancel()
        self.room.set()
        if self.writing is not None:
            self.writing.cancel()
