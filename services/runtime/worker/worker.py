"""The worker: one decider on the log partitions that its consumer group assigns.

For each input it checks the mark, decides, appends one Transaction to its partition of the log and
evolves at once. When the broker acknowledges the append at the expected offset, the facts are
accepted: they are forwarded, published and snapshotted. Another offset means that another process
appended: this one ends and starts again from the log. See `docs/explanation/log-protocol.md`.
"""

import asyncio
import gc
import sys
import time
from collections import Counter
from dataclasses import replace
from typing import Any, Final, Generic, TypeVar
from uuid import uuid4

import structlog
import uvloop
from aiokafka.errors import KafkaError

from schemas.base import is_command
from schemas.runtime import CONDUCTOR, DeadlineFailed, Tick
from schemas.topics import SERVICES_WITH_URGENT_LANE, is_live, log_topic, urgent_topic
from schemas.topics import input_topic as inputs_topic
from services.runtime.decider.inputs import InputMarks, InputRecord, convert_record
from services.runtime.decider.machine import Machine
from services.runtime.decider.protocol import Decider
from services.runtime.kafka.clients import create_idempotent_producer, send_with_retry
from services.runtime.log.chain import MAX_IN_FLIGHT, PreparedAppend, apply_input
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.log.transaction import Transaction, TransactionSource
from services.runtime.process import health, logs, metrics, tracing
from services.runtime.process.exits import (
    ARMED,
    ExitName,
    Stop,
    reach_failpoint,
    stop,
    stop_for_error,
)
from services.runtime.process.settings import Settings
from services.runtime.process.tracing import Traces, TraceSpan
from services.runtime.secrets.keyring import MasterKeyInvalid
from services.runtime.worker.faust_app import Membership, create_app, run_faust_app
from services.runtime.worker.housekeeping import Housekeeping
from services.runtime.worker.owned_partition import (
    OwnedPartition,
    PartitionTakeover,
    PendingAppend,
    Ticker,
)
from services.runtime.worker.publisher import PublishedRecord, Publisher
from services.runtime.worker.tuning import Tuning, adapt_tuning
from services.runtime.worker.urgent_lane import UrgentLaneReader

_DEADLINE_FAILED: Final = DeadlineFailed.wire_type()
DEADLINES_METRIC: Final = "vigie_deadlines_failed_total"
log = structlog.get_logger(__name__)


def initialize_failure_metric(service: str) -> None:
    """Create the metric before its first event."""
    metrics.initialize_counter(DEADLINES_METRIC, service=service)


def log_failures(tx: Transaction, outcome: str) -> None:
    """Log an input without effect and each deadline that failed and will not fire again."""
    for fact in tx.facts:
        if fact.type == _DEADLINE_FAILED:
            log.error(
                "deadline.failed",
                realm=tx.realm,
                deadline=fact.data["key"],
                due=fact.data["due"],
                reason=fact.data["error"],
            )
            if is_live(tx.realm):
                metrics.count(DEADLINES_METRIC, service=tx.service)
    if outcome in ("failed", "refused"):
        why = tx.facts[-1].data
        event = "input.failed" if outcome == "failed" else "input.refused"
        log.warning(
            event,
            realm=tx.realm,
            input_id=tx.src.id,
            input_type=tx.src.type,
            correlation_id=tx.src.correlation_id,
            causation_id=tx.src.causation_id,
            reason=why.get("error") or f"{why.get('code')}: {why.get('detail')}",
        )


S = TypeVar("S")
_TICK = Tick.wire_type()
FLUSH_S = 5.0
GC_THRESHOLD = (50_000, 20, 100)
"""Garbage collection thresholds. States are long-lived and acyclic, so collect rarely."""


class Worker(Generic[S]):
    """One process of one decider."""

    def __init__(
        self,
        decider: Decider[S],
        kafka: str,
        instance: str,
        marks: InputMarks,
        tuning: Tuning | None = None,
    ) -> None:
        self.machine = Machine(decider)
        self.service = decider.service
        self.kafka = kafka
        self.marks = marks
        self.run_id = uuid4().hex[:16]
        self.tuning = tuning or Tuning()
        self.inputs = inputs_topic(self.service)
        self.log = log_topic(self.service)
        self.owned_partitions: dict[int, OwnedPartition[S]] = {}
        self.ready = False
        """True from the end of a recovery until the partitions are revoked."""
        self.stopping = False
        self.counts: Counter[str] = Counter()
        """Outcome → number of inputs, passed to the metrics once a second."""
        self.traces = tracing.get_traces()
        self.producer = create_idempotent_producer(kafka)
        self.publisher = Publisher(kafka, self.service, decider.logic, marks)
        self.takeover = PartitionTakeover(self.machine, kafka, self.publisher)
        self.ticker = Ticker(self.publisher.send_tick, self.run_id)
        group = self.tuning.group or f"vigie-{self.service}"
        self.app: Any = create_app(
            kafka,
            Membership(
                group,
                instance,
                self.tuning.session_s,
                self.tuning.heartbeat_s,
                every_ms=self.tuning.every_ms,
            ),
            self,
        )
        self.app.on_rebalance_complete.connect(self.recover)
        self.app.on_partitions_revoked.connect(self.on_revocation)
        self.app.on_before_shutdown.connect(self.stop)
        self.app.topics.add(self.app.topic(self.inputs))
        self.urgent = (
            UrgentLaneReader(
                kafka,
                urgent_topic(self.service),
                self.deliver_urgent,
                self._check_lanes,
            )
            if self.service in SERVICES_WITH_URGENT_LANE
            else None
        )
        self.watch = Housekeeping(self)
        initialize_failure_metric(self.service)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Connect the producers and start the tasks beside the consumer. Raises KafkaError."""
        await self.producer.start()
        await self.publisher.start()
        runs = [self.ticker.run, self.watch.run, self.watch.tell]
        if self.urgent is not None:
            runs.append(self.urgent.run)
        for run in runs:
            self._tasks.append(asyncio.create_task(self._guard(run), name=run.__qualname__))

    async def stop(self, *_: Any, **__: Any) -> None:
        """Stop in order, before Faust does: send the buffered records, at most for FLUSH_S."""
        self.ready, self.stopping = False, True
        for task in self._tasks:
            task.cancel()
        for owned_partition in self.owned_partitions.values():
            owned_partition.feed.cancel()
        try:
            async with asyncio.timeout(FLUSH_S):
                await self.producer.stop()
                await self.publisher.stop()
                await self.watch.stop()
        except TimeoutError:
            log.warning("worker.unflushed")

    async def _guard(self, run: Any) -> None:
        try:
            await run()
        except asyncio.CancelledError:
            if not self.stopping:
                stop("agent.ended", f"{run.__qualname__} was cancelled from inside")
            raise
        except Exception as error:  # noqa: BLE001  no task may end silently
            if not self.stopping:
                stop_for_error(error, "agent.crashed")

    def position(self, topic: str, partition: int) -> int | None:
        """Return the input offset where to continue (rule 4)."""
        owned_partition = self.owned_partitions.get(partition)
        return (
            None
            if owned_partition is None or topic != self.inputs
            else owned_partition.view.position.applied + 1
        )

    async def on_revocation(self, _app: Any, partitions: Any, *_: Any, **__: Any) -> None:
        """Wait for appends in flight, so that a kept chain is a confirmed one (rule 9)."""
        log.info("partitions.revoked", partitions=sorted({tp.partition for tp in partitions}))
        self.ready = False
        if self.urgent is not None:
            self.urgent.begin_at({})
        try:
            await asyncio.wait_for(self.producer.flush(), FLUSH_S)
        except TimeoutError:
            log.warning("worker.unflushed")
        for owned_partition in [h for h in self.owned_partitions.values() if h.pending]:
            self._drop(owned_partition)

    async def recover(self, *_: Any, **__: Any) -> None:
        """Recover the assigned partitions.

        Faust awaits this before it seeks and resumes the inputs.
        """
        try:
            assignment = {
                tp.partition for tp in self.app.consumer.assignment() if tp.topic == self.inputs
            }
            for owned_partition in [
                h for p, h in self.owned_partitions.items() if p not in assignment
            ]:
                self._drop(owned_partition)
            async with PartitionReader(self.kafka) as reader:
                for partition in sorted(assignment):
                    began = time.perf_counter()
                    owned_partition = await self.takeover.take_over(
                        reader, partition, self.owned_partitions.get(partition)
                    )
                    metrics.set_gauge(
                        "vigie_take_seconds",
                        time.perf_counter() - began,
                        service=self.service,
                        partition=str(partition),
                    )
                    self.owned_partitions[partition] = owned_partition
                    for realm, state in owned_partition.view.realms.items():
                        if is_live(realm):
                            self.ticker.arm(partition, realm, self.machine.next_due(state))
        except Exception as error:  # noqa: BLE001  the partition is not owned
            stop_for_error(error, "take.failed")
        self.ready = True
        if self.urgent is not None:
            for owned_partition in self.owned_partitions.values():
                owned_partition.urgent.clear()
            self.urgent.begin_at(
                {
                    p: owned_partition.view.position.urgent + 1
                    for p, owned_partition in self.owned_partitions.items()
                }
            )
        log.info(
            "partitions.taken",
            partitions=sorted(assignment),
            seqs={p: h.view.position.seq for p, h in sorted(self.owned_partitions.items())},
        )

    async def _check_lanes(self) -> None:
        """Check the input of every owned partition. Raises Stop."""
        async with PartitionReader(self.kafka) as reader:
            for owned_partition in list(self.owned_partitions.values()):
                await self.takeover.check_input(reader, owned_partition)

    def _drop(self, owned_partition: OwnedPartition[S]) -> None:
        self.owned_partitions.pop(owned_partition.partition, None)
        self.ticker.forget(owned_partition.partition)
        owned_partition.drop()

    async def deliver(self, message: Any) -> None:
        """Apply the messages of the input topic, one after the other."""
        owned_partition = self.owned_partitions.get(message.partition)
        if owned_partition is None:
            return
        try:
            record = _convert_message(message)
            if self.urgent is None:
                await self.apply(owned_partition, record)
                return
            # The urgent lane's reader gets its turn after each input, however many wait here.
            await asyncio.sleep(0)
            await self._read_urgent_before(owned_partition, record, self.urgent)
            if self.stopping:
                return  # Not applied: the next worker continues here, by the log.
            async with owned_partition.lock:
                await self._apply_urgent(owned_partition)
                await self.apply(owned_partition, record)
        except Exception as error:  # noqa: BLE001  the input is not applied
            stop_for_error(error, "agent.crashed")

    async def _read_urgent_before(
        self, owned_partition: OwnedPartition[S], record: InputRecord, lane: UrgentLaneReader
    ) -> None:
        """Apply the urgent lane before an ordinary input that it may affect.

        The lane may hold the answer that disarms a deadline before the input fires it, or the order
        that opens the realm before the input is refused.
        """
        realm = self.machine.realm_of(record)
        if not realm or not is_live(realm):
            return
        state = owned_partition.view.realms.get(realm)
        next_deadline = self.machine.next_due(state)
        if state is not None and (next_deadline is None or next_deadline > record.timestamp):
            return
        end = await lane.ask_end(owned_partition.partition)
        while (
            owned_partition.view.position.urgent + 1 < end
            and not owned_partition.is_dropped
            and not self.stopping
        ):
            await lane.until_decided()

    async def deliver_urgent(self, partition: int, messages: list[Any]) -> None:
        """Decide records of the urgent lane, at the latest after the current input."""
        owned_partition = self.owned_partitions.get(partition)
        if owned_partition is None or not self.ready:
            return
        try:
            owned_partition.urgent.extend(convert_record(message) for message in messages)
            async with owned_partition.lock:
                await self._apply_urgent(owned_partition)
        except Exception as error:  # noqa: BLE001  as in deliver
            stop_for_error(error, "agent.crashed")

    async def _apply_urgent(self, owned_partition: OwnedPartition[S]) -> None:
        """Apply the records of the urgent lane. The caller holds `owned_partition.lock`."""
        while owned_partition.urgent and not owned_partition.is_dropped:
            await self.apply(owned_partition, owned_partition.urgent.popleft())

    async def apply(self, owned_partition: OwnedPartition[S], record: InputRecord) -> None:
        """Apply one input and send its Transaction."""
        next_offset = owned_partition.view.position.applied_in(record.topic)[0] + 1
        if record.offset != next_offset and not await self._is_next(
            owned_partition, record.topic, record.offset
        ):
            return
        await owned_partition.until_room()
        if owned_partition.is_dropped:
            return  # Revoked while we waited: the seek brings it back to its owner.
        if ARMED:
            reach_failpoint("before-decide")
        began_ns = 0 if self.traces is None else time.time_ns()
        refusal = self.marks.find_fault(record)
        view, append = apply_input(self.machine, owned_partition.view, record, self.run_id, refusal)
        tx, outcome, now = append.transaction, append.outcome, time.monotonic()
        span = None if self.traces is None else self._span(self.traces, record, append, began_ns)
        if span is not None:
            tx = replace(tx, traceparent=span.traceparent)
        refused_record = record if outcome in ("failed", "refused") else None
        owned_partition.view = view
        owned_partition.moved_at = now
        owned_partition.pending.append(PendingAppend(view.position, tx, refused_record, now, span))
        self.counts[outcome] += 1
        log_failures(tx, outcome)
        if is_live(tx.realm) and tx.realm:
            self.ticker.arm(owned_partition.partition, tx.realm, tx.next_due)
            # Deadlines fire before the input is decided, each at its own time.
            if tx.facts and tx.facts[0].at < tx.at:
                metrics.observe(
                    "vigie_deadline_lateness_seconds",
                    (tx.at - tx.facts[0].at) / 1000,
                    service=self.service,
                )
            if tx.src.type == _TICK:
                self.ticker.on_tick(tx.realm)
        if is_answer_awaited(tx.src):
            self.app.consumer.hurry()
            self.publisher.producer.hurry()
            if self.urgent is not None:
                self.urgent.hurry()
        if owned_partition.wants_snapshot(self.tuning.snapshot_every, now):
            owned_partition.snapshot = view
        acknowledgement = await send_with_retry(
            self.producer,
            self.log,
            append.raw,
            record.key,
            owned_partition.partition,
            tracing.build_trace_headers(tx.traceparent),
        )
        acknowledgement.add_done_callback(
            lambda future: self._on_acknowledgement(owned_partition, future)
        )

    def _span(
        self, traces: Traces, record: InputRecord, append: PreparedAppend, began_ns: int
    ) -> TraceSpan | None:
        """Return the span of one input, or None if the input only moved the clock.

        Such an input belongs to no trace.
        """
        tx, parent = append.transaction, tracing.read_traceparent(record.headers)
        if parent is None and not tx.facts:
            return None
        attributes: tracing.Attributes = {
            "messaging.system": "kafka",
            "messaging.destination.name": record.topic,
            "messaging.destination.partition.id": str(record.partition),
            "messaging.kafka.offset": record.offset,
            "vigie.realm": tx.realm,
            "vigie.input": tx.src.id,
            "vigie.type": tx.src.type,
            "vigie.seq": tx.seq,
            "vigie.facts": len(tx.facts),
            "vigie.outcome": append.outcome,
        }
        return traces.begin(
            f"{self.service} decide {tx.src.type}",
            "consumer",
            parent,
            attributes,
            began_ns=began_ns,
        )

    async def _is_next(self, owned_partition: OwnedPartition[S], topic: str, offset: int) -> bool:
        """Return False for an applied input; exit if the topic is damaged (rule 4)."""
        at = owned_partition.view.position
        next_ = at.applied_in(topic)[0] + 1
        try:
            async with PartitionReader(self.kafka) as reader:
                await self.takeover.check_input(reader, owned_partition)
                records = await reader.at(topic, {owned_partition.partition: next_})
        except (KafkaError, OSError, Stop) as error:
            stop_for_error(error, "input.disorder")
        if offset > next_:
            missing: ExitName = (
                "input.disorder" if owned_partition.partition in records else "input.gap"
            )
            stop(
                missing,
                f"partition {owned_partition.partition} of {topic} continues at {offset}, but offset {next_} is expected",
            )
        return False

    def _on_acknowledgement(
        self, owned_partition: OwnedPartition[S], acknowledgement: asyncio.Future[Any]
    ) -> None:
        """Accept the append if it has the expected offset (rule 6)."""
        if owned_partition.is_dropped or acknowledgement.cancelled():
            return
        if (error := acknowledgement.exception()) is not None:
            if self.stopping:  # The next start reads in the log whether it arrived.
                return
            stop(
                "append.failed",
                f"partition {owned_partition.partition} of {self.log}: {type(error).__name__}: {error}",
            )
        pending = owned_partition.pending.popleft()
        at = pending.position
        if (offset := acknowledgement.result().offset) != at.head_offset:
            stop(
                "append.conflict",
                f"partition {owned_partition.partition} of {self.log}: seq {at.seq} came to offset {offset}, not {at.head_offset}",
            )
        if ARMED:
            reach_failpoint("after-append")
        metrics.observe(
            "vigie_append_seconds", time.monotonic() - pending.sent_at, service=self.service
        )
        if pending.span is not None:
            pending.span.end()
        owned_partition.confirmed_head = (at.head_offset, at.hash)
        owned_partition.feed.offer(PublishedRecord(pending.transaction, at, pending.record))
        if len(owned_partition.pending) < MAX_IN_FLIGHT // 2:
            owned_partition.room.set()
        if owned_partition.snapshot is not None and owned_partition.snapshot.position.seq <= at.seq:
            view, owned_partition.snapshot = owned_partition.snapshot, None
            self.watch.write_snapshot(owned_partition, view)


def _convert_message(message: Any) -> InputRecord:
    """Convert a message of Faust, with its time in seconds, to an input record."""
    at = int(message.timestamp * 1000 + 0.5)
    return InputRecord(
        message.topic,
        message.partition,
        message.offset,
        message.key,
        message.value,
        message.headers or (),
        at,
    )


def run_worker(decider: Decider[S], settings: Settings, tuning: Tuning | None = None) -> None:
    """Run the worker of a decider until it gets a signal to stop.

    Does not return normally from a named exit.
    """
    logs.configure_logging(decider.service)
    tracing.configure_tracing(decider.service)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    gc.set_threshold(*GC_THRESHOLD)
    sys.setswitchinterval(0.001)  # Snapshots are encoded in a thread

    async def begin() -> Worker[S]:
        worker = Worker(
            decider,
            settings.kafka,
            settings.instance,
            InputMarks.open(settings.data.secrets),
            adapt_tuning(tuning or Tuning(), settings),
        )
        await health.serve_health(settings, worker.watch.checks(), live=worker.watch.live())
        await worker.start()
        return worker

    try:
        worker = loop.run_until_complete(begin())
    except (KafkaError, OSError, MasterKeyInvalid) as error:
        stop_for_error(error, "take.failed")
    log.info(
        "worker.started",
        service=decider.service,
        logic=decider.logic,
        run=worker.run_id,
        instance=settings.instance or None,
    )
    run_faust_app(worker.app, loop)


def is_answer_awaited(source: TransactionSource) -> bool:
    """Return whether a caller waits for the effect of an input.

    This is true for commands and for every input that moves a simulated realm.
    """
    return source.source == CONDUCTOR or is_command(source.type)
