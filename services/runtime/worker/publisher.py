"""Forward acknowledged facts to inputs of other services, public topics and dead letters.

* Delivery is at least once, in log order per partition, through one ordered idempotent producer. A
  failed send stops the process.
* Each record carries the place of its fact, and a receiver keeps one watermark per source, so a
  repetition has no effect.
* The feed of a partition starts at the receivers' own watermarks, read from their logs. So facts
  that a receiver lost are sent again. A watermark that this service's log does not hold is
  `source.forked`.
* Public topics have no receiver with a log. They continue after the newest place found at their
  end.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, NamedTuple, get_args

import orjson
import structlog

from schemas import wire as ce
from schemas.runtime import InputFailed, InputRefused, Tick
from schemas.topics import (
    LARGE_MESSAGE_BYTES,
    PUBLIC_FACTS,
    PUBLIC_TOPICS,
    input_topic,
    is_input_topic,
    is_live,
    is_published,
    list_destinations,
    list_public_topics,
    log_topic,
    select_urgent_topic,
)
from schemas.wire import Place
from services.runtime.decider.inputs import InputMarks, InputRecord, convert_record
from services.runtime.decider.protocol import Watermark
from services.runtime.kafka import dead_letters
from services.runtime.kafka.clients import (
    RecordHeaders,
    build_headers,
    create_idempotent_producer,
    send_with_retry,
)
from services.runtime.kafka.dead_letters import DeadLetter, DeadLetterKind
from services.runtime.log.chain import Position, advance_position
from services.runtime.log.partition_reader import PartitionReader, retry_until_visible
from services.runtime.log.snapshots import PublishedPosition
from services.runtime.log.transaction import FactRecord, Transaction
from services.runtime.process import metrics, tracing
from services.runtime.process.exits import ARMED, reach_failpoint, stop, stop_for_error
from services.runtime.worker.recovery import find_position_after, read_watermarks

MAX_OUTGOING: Final = 5000
"""Limit of sent, unacknowledged records over all partitions, beyond which the feeds wait."""
TAIL_RECORDS: Final = 300
"""Number of records at the end of a public topic that are searched for our newest place."""
PATIENT_TOPICS: Final = (input_topic("continuity"),)
"""Targets that nobody waits for in a stream, because their readers work in turns."""
_FAILED_CODE: Final = "input_failed"
_DEAD_LETTER_FACTS: Final = {InputFailed.wire_type(), InputRefused.wire_type()}
log = structlog.get_logger(__name__)


class PublishedRecord(NamedTuple):
    """An accepted record on its way out; `record` is its input, if it is at hand."""

    transaction: Transaction
    position: Position
    record: InputRecord | None = None


@dataclass(slots=True)
class _PendingRecord:
    """An accepted record with sends in progress."""

    position: Position
    last: dict[str, Place]
    open_count: int = 1


class _FactTargets(NamedTuple):
    """Targets of one fact. If every field is falsy, the fact stays in the log."""

    receivers: tuple[str, ...]
    topics: tuple[str, ...]
    dead: bool


class Publisher:
    """Outgoing side of one worker."""

    def __init__(self, kafka: str, service: str, logic: int, marks: InputMarks) -> None:
        self.kafka = kafka
        self.service = service
        self.logic = logic
        self._marks = marks
        self.producer = create_idempotent_producer(
            kafka,
            max_request_bytes=2 * LARGE_MESSAGE_BYTES,
            patient_topics=PATIENT_TOPICS,
            unawaited_topics=PUBLIC_TOPICS,
        )
        self.outgoing = 0
        self.closing = False
        self.sent: Counter[str] = Counter()
        """Topic → records sent since the last `report`."""
        self.room = asyncio.Event()
        self.room.set()
        for reason in (_FAILED_CODE, *get_args(InputRefused.model_fields["code"].annotation)):
            metrics.initialize_counter("vigie_dead_letters_total", service=service, reason=reason)

    async def start(self) -> None:
        """Connect the producer. Raises KafkaError."""
        await self.producer.start()

    async def stop(self) -> None:
        """Send the buffered records and disconnect.

        The next owner publishes again any record that is not acknowledged by then.
        """
        self.closing = True
        await self.producer.stop()

    async def send(
        self,
        topic: str,
        partition: int,
        key: bytes,
        value: bytes,
        headers: RecordHeaders,
        on_done: Callable[[], None] | None = None,
    ) -> None:
        """Pass one record to the producer. A failure, now or later, ends the process."""
        if is_input_topic(topic):
            headers = self._marks.sign(topic, key, value, headers)
        if self.outgoing >= MAX_OUTGOING:
            self.room.clear()
            await self.room.wait()
        self.outgoing += 1

        def on_acknowledgement(acknowledgement: asyncio.Future[Any]) -> None:
            if acknowledgement.cancelled():
                return
            if (error := acknowledgement.exception()) is not None:
                if self.closing:
                    return
                stop("publish.failed", f"{topic}: {type(error).__name__}: {error}")
            self.outgoing -= 1
            if self.outgoing < MAX_OUTGOING // 2:
                self.room.set()
            if on_done is not None:
                on_done()

        if ARMED:
            reach_failpoint("before-publish")
        delivery = await send_with_retry(self.producer, topic, value, key, partition, headers)
        delivery.add_done_callback(on_acknowledgement)
        if ARMED:
            reach_failpoint("after-publish")

    def report(self) -> None:
        """Pass the counts to the metrics; once a second is enough."""
        for topic, number in self.sent.items():
            metrics.count("vigie_published_total", number, service=self.service, topic=topic)
        self.sent.clear()

    async def send_tick(self, partition: int, realm: str, id: str) -> None:
        """Send a `Tick` to the worker's own input.

        It takes the urgent lane if there is one, so deadlines fire even while a flood of inputs
        waits.
        """
        headers = build_headers(Tick.wire_type(), id=id, source=f"/{self.service}")
        await self.send(
            select_urgent_topic(self.service, realm), partition, realm.encode(), b"{}", headers
        )


class PartitionFeed:
    """Outgoing records of one log partition, from the receivers' watermarks on."""

    def __init__(
        self,
        publisher: Publisher,
        partition: int,
        end: Position,
        published_position: PublishedPosition,
        room: asyncio.Event,
    ) -> None:
        """Start publishing; `room` is set whenever less is left to publish."""
        self._publisher = publisher
        self._room = room
        self._partition = partition
        self._end = end
        self._queue: deque[PublishedRecord] = deque()
        self._filled = asyncio.Event()
        self._sending: deque[_PendingRecord] = deque()
        self._marks: dict[str, Place] = {}
        self._cancelled = False
        self._frontier = published_position.position
        self._last = published_position.last
        self._task = asyncio.create_task(
            self._run(), name=f"publish {publisher.service}/{partition}"
        )

    @property
    def published_position(self) -> PublishedPosition:
        """End of the records that are sent and acknowledged."""
        return PublishedPosition(self._frontier, self._last)

    @property
    def lag(self) -> int:
        """Number of accepted records that are not completely published."""
        return len(self._queue) + len(self._sending)

    def offer(self, record: PublishedRecord) -> None:
        """Queue the next acknowledged record, in order."""
        self._queue.append(record)
        self._filled.set()

    def cancel(self) -> None:
        """Stop publishing, because another worker owns the partition now.

        Records that the producer already has may still be sent; they are true.
        """
        self._cancelled = True
        self._task.cancel()

    async def _run(self) -> None:
        try:
            async with PartitionReader(self._publisher.kafka) as reader:
                start = await self._begin(reader)
                await self._catch_up(reader, start)
            while True:
                if not self._queue:
                    self._filled.clear()
                    await self._filled.wait()
                await self._publish(self._queue.popleft(), compare=False)
                self._room.set()
        except asyncio.CancelledError:
            # A library's own cancellation escaped: a feed must not end silently.
            if not self._cancelled:
                stop(
                    "publish.failed",
                    f"the feed of partition {self._partition} was cancelled from inside",
                )
            raise
        except Exception as error:  # noqa: BLE001  any failure here ends the process, by name
            if not self._cancelled:  # Otherwise its producer was closed first, which is in order.
                stop_for_error(error, "publish.failed")

    async def _begin(self, reader: PartitionReader) -> Position:
        """Return the start of the facts that a receiver may lack, by the watermarks."""
        service, p = self._publisher.service, self._partition
        start = self._frontier
        async for receiver, mark in read_watermarks(reader, service, p):
            at = None if mark is None else await self._position_after(reader, mark)
            if mark is not None:
                self._marks[receiver] = mark.place
            last_place = self._last.get(receiver)
            if last_place is not None and (mark is None or mark.place < last_place):
                behind = at if at is not None else Position()
                start = min(start, behind, key=lambda position: position.next)
        for topic in (*PUBLIC_FACTS, dead_letters.TOPIC):
            if (place := await self._newest_place(reader, topic)) is not None:
                self._marks[topic] = place
        return start

    async def _position_after(self, reader: PartitionReader, mark: Watermark) -> Position | None:
        """Return the position after a receiver's watermark. Raises Stop.

        Waits for a record that is not visible yet.
        """
        service, p = self._publisher.service, self._partition
        look = partial(find_position_after, reader, service, p, mark, self._end)
        return await retry_until_visible(self._publisher.kafka, log_topic(service), look)

    async def _newest_place(self, reader: PartitionReader, topic: str) -> Place | None:
        """Return this service's newest place among the last records of a public topic."""
        newest = None
        bounds = await reader.bounds(topic, [self._partition])
        begin, end = bounds[self._partition]
        async for record in reader.read(
            topic, {self._partition: (max(begin, end - TAIL_RECORDS), end)}
        ):
            place = _read_place(record.headers)
            if place is not None and place.service == self._publisher.service:
                newest = place if newest is None else max(newest, place)
        return newest

    async def _catch_up(self, reader: PartitionReader, start: Position) -> None:
        """Publish the log from `start` to the position where the worker recovered it."""
        topic, at, count = log_topic(self._publisher.service), start, 0
        async for record in reader.read(topic, {self._partition: (start.next, self._end.next)}):
            at, transaction = advance_position(
                at, record.offset, record.value, self._publisher.logic
            )
            if transaction is not None:
                if record.headers:
                    transaction = replace(
                        transaction, traceparent=tracing.read_traceparent(record.headers)
                    )
                input_record = None
                if any(fact.type in _DEAD_LETTER_FACTS for fact in transaction.facts):
                    async with PartitionReader(self._publisher.kafka) as inputs:
                        input_record = (
                            await inputs.at(
                                transaction.src.topic, {self._partition: transaction.src.offset}
                            )
                        ).get(self._partition)
                await self._publish(
                    PublishedRecord(
                        transaction,
                        at,
                        None if input_record is None else convert_record(input_record),
                    ),
                    compare=True,
                )
                count += 1
        if count:
            log.info("publisher.caught_up", partition=self._partition, records=count)

    def _route(self, logic: int, fact: FactRecord) -> _FactTargets:
        """Return the targets of a fact, by the table of the record's own logic version."""
        receivers = list_destinations(logic, self._publisher.service, fact.name, fact.data)
        return _FactTargets(
            receivers, list_public_topics(fact.name), fact.type in _DEAD_LETTER_FACTS
        )

    async def _publish(self, record: PublishedRecord, *, compare: bool) -> None:
        tx, service = record.transaction, self._publisher.service
        routed_facts = [
            (n, fact, route)
            for n, fact in enumerate(tx.facts)
            if any(route := self._route(tx.logic, fact))
        ]
        if not routed_facts:  # Most records route nothing: only the frontier moves.
            if self._sending:
                self._sending[-1].position = record.position
            else:
                self._frontier = record.position
            return
        sending = _PendingRecord(record.position, {})
        self._sending.append(sending)
        for ordinal, fact, route in routed_facts:
            place = Place(service, self._partition, tx.history, tx.seq, ordinal)
            receivers = [r for r in route.receivers if is_published(service, r, tx.realm)]
            targets = [
                *((r, select_urgent_topic(r, tx.realm)) for r in receivers),
                *((t, t) for t in route.topics),
            ]
            topics = [
                topic
                for mark, topic in targets
                if not compare or place > self._marks.get(mark, _NOWHERE)
            ]
            if topics:
                value, headers, key = (
                    orjson.dumps(fact.data),
                    self._headers(tx, fact, place, record.position.hash),
                    tx.realm.encode(),
                )
                for topic in topics:
                    await self._send(sending, topic, self._partition, key, value, headers)
            if route.dead and (
                not compare or place > self._marks.get(dead_letters.TOPIC, _NOWHERE)
            ):
                await self._bury(sending, tx, fact, place, record)
            for receiver in receivers:
                sending.last[receiver] = place
        self._on_acknowledgement(sending)

    def _headers(self, tx: Transaction, fact: FactRecord, place: Place, hash: str) -> RecordHeaders:
        return build_headers(
            fact.type,
            id=fact.id,
            source=f"/{tx.service}",
            at=None if is_live(tx.realm) else fact.at,
            correlation_id=tx.src.correlation_id,
            causation_id=tx.src.id,
            place=place,
            place_hash=hash,
            time_ms=fact.at,
            traceparent=tx.traceparent,
        )

    async def _bury(
        self,
        sending: _PendingRecord,
        tx: Transaction,
        fact: FactRecord,
        place: Place,
        record: PublishedRecord,
    ) -> None:
        """Send the original bytes of an input without effect and the reason to the dead letters."""
        source, input_record, is_failure = (
            tx.src,
            record.record,
            fact.type == InputFailed.wire_type(),
        )
        code = _FAILED_CODE if is_failure else str(fact.data["code"])
        letter = DeadLetter(
            fact.id,
            DeadLetterKind.FAILED if is_failure else DeadLetterKind.UNREADABLE,
            tx.service,
            tx.realm,
            fact.at,
            code,
            str(fact.data["error"] if is_failure else fact.data["detail"]),
            source.id,
            source.type or None,
            source.source or None,
            source.topic,
            source.partition,
            source.offset,
            headers={}
            if input_record is None
            else {
                name: (value or b"").decode("utf-8", "replace")
                for name, value in input_record.headers
            },
            body=None if input_record is None else input_record.value,
        )
        metrics.count("vigie_dead_letters_total", service=tx.service, reason=code)
        headers: RecordHeaders = [
            (ce.CE_PLACE, str(place).encode()),
            (ce.CE_PLACEHASH, record.position.hash.encode()),
        ]
        await self._send(
            sending, dead_letters.TOPIC, self._partition, letter.key, letter.dump(), headers
        )

    async def _send(
        self,
        sending: _PendingRecord,
        topic: str,
        partition: int,
        key: bytes,
        value: bytes,
        headers: RecordHeaders,
    ) -> None:
        sending.open_count += 1
        await self._publisher.send(
            topic, partition, key, value, headers, lambda: self._on_acknowledgement(sending)
        )
        self._publisher.sent[topic] += 1

    def _on_acknowledgement(self, sending: _PendingRecord) -> None:
        sending.open_count -= 1
        if sending.open_count:
            return
        while self._sending and self._sending[0].open_count == 0:
            first = self._sending.popleft()
            self._room.set()
            self._frontier = first.position
            for receiver, place in first.last.items():
                self._last = self._last.set(receiver, place)


def _read_place(headers: Sequence[tuple[str, bytes | None]]) -> Place | None:
    """Return the place of a record, or None, also for a record that Vigie did not write."""
    raw = dict(headers).get(ce.CE_PLACE)
    try:
        return None if raw is None else Place.parse(raw.decode())
    except ValueError:
        return None


_NOWHERE: Final = Place("", -1, -1, -1, -1)
