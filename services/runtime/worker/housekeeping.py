"""Side work of a worker: self-checks every second, snapshots and health checks.

Unready means that reports are safe in the input and wait. The process ends by name if longer
waiting would hide a fault.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, Protocol

import structlog
from aiokafka.errors import KafkaError

from services.runtime.decider.machine import Machine
from services.runtime.kafka.clients import BrokerAway, RecordProducer
from services.runtime.log.chain import ChainView
from services.runtime.log.partition_reader import (
    PartitionReader,
    RecordMissing,
    retry_until_visible,
)
from services.runtime.log.snapshots import SLOTS, SnapshotWriter
from services.runtime.log.transaction import compute_digest
from services.runtime.process import metrics
from services.runtime.process.exits import Stop, stop, stop_for_error
from services.runtime.process.health import Check
from services.runtime.worker.owned_partition import OwnedPartition, Ticker
from services.runtime.worker.publisher import Publisher
from services.runtime.worker.tuning import Tuning
from services.runtime.worker.urgent_lane import UrgentLaneReader

CHECK_INTERVAL_S: Final = 1.0
LOG_CHECK_S: Final = 5.0
"""Seconds between two comparisons of the newest own records with the log."""
SLOW_APPEND_S: Final = 5.0
"""Age of an unacknowledged append that makes the worker unready."""
STUCK_S: Final = 300.0
"""Time without progress that ends the process."""
STALLED_S: Final = 60.0
"""Time without progress that ends the process while the broker answers.

Another member has its name in the group then, or the consumer stands still.
"""
IDLE_S: Final = 2.0
IDLE_RECORDS: Final = 500
"""Number of records since the last snapshot after which an idle moment is used for one."""
_PARTITION_METRICS: Final = (
    "vigie_chain_seq",
    "vigie_publish_lag_records",
    "vigie_input_lag_records",
)
log = structlog.get_logger(__name__)


class WatchedWorker(Protocol):
    """The parts of a worker that its side work reads."""

    service: str
    kafka: str
    inputs: str
    log: str
    ready: bool
    stopping: bool
    tuning: Tuning
    machine: Machine[Any]
    owned_partitions: dict[int, OwnedPartition[Any]]
    counts: Counter[str]
    publisher: Publisher
    ticker: Ticker
    urgent: UrgentLaneReader | None
    app: Any


class Housekeeping:
    """Self-checks, metrics and snapshots of one worker."""

    def __init__(self, worker: WatchedWorker) -> None:
        self._worker = worker
        self._writers: dict[int, tuple[OwnedPartition[Any], SnapshotWriter[Any]]] = {}
        self._snapshot_producer = RecordProducer(worker.kafka, timeout_s=60)
        self._behind_since: dict[int, tuple[int, float]] = {}
        self._answered_at = float("-inf")
        """Time of the last record that the broker showed us of our logs."""
        self._reported_partitions: set[int] = set()
        """Partitions with published metrics."""

    async def run(self) -> None:
        """Check progress and logs and write snapshots when idle, until cancelled."""
        worker = self._worker
        while True:
            try:
                async with PartitionReader(worker.kafka, fetch_bytes=1) as reader:
                    checked_at = float("-inf")
                    while True:
                        await asyncio.sleep(CHECK_INTERVAL_S)
                        self._look_at_progress()
                        if time.monotonic() - checked_at >= LOG_CHECK_S:
                            await retry_until_visible(
                                worker.kafka, worker.log, lambda: self._look_at_logs(reader)
                            )
                            checked_at = time.monotonic()
                        self._use_quiet_moments()
            except Stop as stop_error:
                stop_for_error(stop_error, stop_error.name)
            except (KafkaError, OSError) as error:
                log.warning("watch.interrupted", error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(CHECK_INTERVAL_S)

    async def tell(self) -> None:
        """Publish metrics once a second until cancelled, even while the broker is away."""
        while True:
            self._report()
            await asyncio.sleep(CHECK_INTERVAL_S)

    async def stop(self) -> None:
        """Close the producer of snapshots."""
        await self._snapshot_producer.stop()

    def checks(self) -> Mapping[str, Check]:
        """Return the readiness checks."""
        return {
            "partitions": self._partitions,
            "appends": self._appends,
            "progress": self._progress,
        }

    def live(self) -> Mapping[str, Check]:
        """Return the liveness check; it passes as long as the event loop responds."""
        return {"loop": lambda: None}

    def _partitions(self) -> str | None:
        return None if self._worker.ready else "partitions are being taken over"

    def _appends(self) -> str | None:
        age = self.oldest_unacked_s()
        return None if age < SLOW_APPEND_S else f"an append has waited {age:.0f} s for the broker"

    def _progress(self) -> str | None:
        now = time.monotonic()
        late = [p for p, (_, since) in self._behind_since.items() if now - since > SLOW_APPEND_S]
        return f"no input applied on partitions {late} although there are some" if late else None

    def oldest_unacked_s(self) -> float:
        """Return the age of the oldest append without an acknowledgement, 0 without one."""
        oldest = min(
            (
                owned_partition.pending[0].sent_at
                for owned_partition in self._worker.owned_partitions.values()
                if owned_partition.pending
            ),
            default=None,
        )
        return 0.0 if oldest is None else time.monotonic() - oldest

    def _report(self) -> None:
        worker = self._worker
        service, counts = worker.service, worker.counts
        for outcome, number in counts.items():
            metrics.count("vigie_inputs_total", number, service=service, outcome=outcome)
        counts.clear()
        worker.publisher.report()
        metrics.set_gauge(
            "vigie_appends_in_flight",
            sum(
                len(owned_partition.pending) for owned_partition in worker.owned_partitions.values()
            ),
            service=service,
        )
        metrics.set_gauge("vigie_oldest_unacked_seconds", self.oldest_unacked_s(), service=service)
        metrics.set_gauge("vigie_deadlines_armed", len(worker.ticker), service=service)
        for p, owned_partition in worker.owned_partitions.items():
            metrics.set_gauge(
                "vigie_chain_seq",
                owned_partition.view.position.seq,
                service=service,
                partition=str(p),
            )
            metrics.set_gauge(
                "vigie_publish_lag_records",
                owned_partition.feed.lag,
                service=service,
                partition=str(p),
            )
            position = owned_partition.view.position
            lag = max(self._end_of_input(p) - position.applied - 1, 0) + max(
                self._end_of_urgent(p) - position.urgent - 1, 0
            )
            metrics.set_gauge("vigie_input_lag_records", lag, service=service, partition=str(p))
        # Another worker owns it now: our last figures would stay for ever.
        for p in self._reported_partitions - set(worker.owned_partitions):
            for name in _PARTITION_METRICS:
                metrics.remove_gauge(name, service=service, partition=str(p))
        self._reported_partitions = set(worker.owned_partitions)

    def _look_at_progress(self) -> None:
        worker, now = self._worker, time.monotonic()
        if (age := self.oldest_unacked_s()) > worker.tuning.stuck_s:
            stop("progress.none", f"an append has waited {age:.0f} s for the broker")
        for p, owned_partition in list(worker.owned_partitions.items()):
            at = owned_partition.view.position
            waits = at.applied + 1 < self._end_of_input(p) or at.urgent + 1 < self._end_of_urgent(p)
            behind = worker.ready and waits
            behind_mark = self._behind_since.get(p)
            if not behind or owned_partition.pending:
                self._behind_since.pop(p, None)
            elif behind_mark is None or behind_mark[0] != at.seq:
                self._behind_since[p] = (at.seq, now)
            elif now - behind_mark[1] > self._find_patience_s(now):
                stop(
                    "progress.none",
                    f"partition {p}: input {at.applied + 1} has not been applied for {now - behind_mark[1]:.0f} s",
                )
        for p in set(self._behind_since) - set(worker.owned_partitions):
            del self._behind_since[p]

    def _find_patience_s(self, now: float) -> float:
        """Return how long a partition may stand still: not long while the broker answers."""
        return STALLED_S if now - self._answered_at < 2 * LOG_CHECK_S else STUCK_S

    def _end_of_input(self, partition: int) -> int:
        """Return the end of the input as the consumer last saw it."""
        for tp in self._worker.app.consumer.assignment():
            if tp.partition == partition and tp.topic == self._worker.inputs:
                return self._worker.app.consumer.highwater(tp) or 0
        return 0

    def _end_of_urgent(self, partition: int) -> int:
        """Return the end of the urgent lane as its reader last saw it, 0 without a lane."""
        return 0 if self._worker.urgent is None else self._worker.urgent.end_of(partition)

    async def _look_at_logs(self, reader: PartitionReader) -> None:
        """Check that the log still holds our appends, even when idle.

        A log that lost its tail may grow again over it (log protocol, rule 3). Raises Stop, Missing
        (`log.truncated`).
        """
        worker = self._worker
        confirmed_positions = {
            p: (owned_partition, *owned_partition.confirmed_head)
            for p, owned_partition in worker.owned_partitions.items()
            if owned_partition.confirmed_head[0] >= 0
        }
        last_records = await reader.at(
            worker.log, {p: offset for p, (_, offset, _) in confirmed_positions.items()}
        )
        for p, (owned_partition, offset, hash) in confirmed_positions.items():
            if not owned_partition.is_dropped:
                _check_record(worker.log, p, offset, hash, last_records.get(p))
                self._answered_at = time.monotonic()

    def _use_quiet_moments(self) -> None:
        tuning, now = self._worker.tuning, time.monotonic()
        for owned_partition in self._worker.owned_partitions.values():
            new = owned_partition.view.position.seq - owned_partition.snapshot_seq
            hourly = new > 0 and now - owned_partition.snapshot_at > tuning.snapshot_s
            quiet = (
                new >= min(IDLE_RECORDS, tuning.snapshot_every)
                and now - owned_partition.moved_at > IDLE_S
            )
            if (
                (hourly or quiet)
                and not owned_partition.pending
                and owned_partition.writing is None
                and owned_partition.snapshot is None
                and now >= owned_partition.next_snapshot_at
            ):
                self.write_snapshot(owned_partition, owned_partition.view)

    def write_snapshot(self, owned_partition: OwnedPartition[Any], view: ChainView[Any]) -> None:
        """Start to write a snapshot; every record of the view must be acknowledged."""
        owned_partition.writing = asyncio.create_task(
            self._write(owned_partition, view),
            name=f"snapshot {self._worker.service}/{owned_partition.partition}",
        )

    async def _write(self, owned_partition: OwnedPartition[Any], view: ChainView[Any]) -> None:
        worker, began, seq = self._worker, time.monotonic(), view.position.seq
        try:
            await retry_until_visible(
                worker.kafka, worker.log, lambda: self._check_anchor(owned_partition)
            )
            writer = self._writer(owned_partition)
            await writer.write(owned_partition.slot, view, owned_partition.feed.published_position)
            owned_partition.slot = SLOTS[1 - SLOTS.index(owned_partition.slot)]
            owned_partition.snapshot_seq, owned_partition.snapshot_at = seq, began
            metrics.count("vigie_snapshots_total", service=worker.service)
        except (BrokerAway, KafkaError, OSError) as error:
            if not worker.stopping:
                log.warning(
                    "snapshot.failed",
                    partition=owned_partition.partition,
                    seq=seq,
                    error=f"{type(error).__name__}: {error}",
                )
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001
            stop_for_error(error, "agent.crashed")
        took = time.monotonic() - began
        metrics.observe("vigie_snapshot_seconds", took, service=worker.service)
        owned_partition.next_snapshot_at = time.monotonic() + max(
            worker.tuning.snapshot_pause_s, 10 * took
        )
        owned_partition.writing = None

    async def _check_anchor(self, owned_partition: OwnedPartition[Any]) -> None:
        """Check that the log still holds the last record of the recovery (log protocol, rule 8).

        A worker must not write a manifest of a log that was cut since it recovered it.
        """
        offset, hash = owned_partition.anchor
        if offset < 0:
            return
        async with PartitionReader(self._worker.kafka, fetch_bytes=1) as reader:
            anchor_records = await reader.at(self._worker.log, {owned_partition.partition: offset})
        _check_record(
            self._worker.log,
            owned_partition.partition,
            offset,
            hash,
            anchor_records.get(owned_partition.partition),
        )

    def _writer(self, owned_partition: OwnedPartition[Any]) -> SnapshotWriter[Any]:
        owner_and_writer = self._writers.get(owned_partition.partition)
        if owner_and_writer is None or owner_and_writer[0] is not owned_partition:
            owner_and_writer = (
                owned_partition,
                SnapshotWriter(
                    self._snapshot_producer, self._worker.machine.decider, owned_partition.partition
                ),
            )
            self._writers[owned_partition.partition] = owner_and_writer
        return owner_and_writer[1]


def _check_record(topic: str, partition: int, offset: int, hash: str, record: Any | None) -> None:
    """Raise Missing or Stop (`log.truncated`) unless `record` is the record with this hash."""
    if record is None:
        raise RecordMissing(
            "log.truncated",
            f"partition {partition} of {topic} no longer holds the record at offset {offset}",
        )
    if compute_digest(record.value) != hash:
        raise Stop(
            "log.truncated",
            f"partition {partition} of {topic} holds another record at offset {offset} than the one written",
        )
