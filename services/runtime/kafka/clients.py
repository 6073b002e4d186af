"""Kafka clients: CloudEvents headers, consumers and producers with the options that Vigie needs.

The in-memory log and Kafka use the same function for headers.
"""

import asyncio
import math
import time
import zlib
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Self

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, KafkaTimeoutError

from schemas import wire as ce
from schemas.base import END_OF_TIME, Instant, Message
from schemas.topics import (
    LARGE_MESSAGE_BYTES,
    PARTITION_COUNT,
    TOPICS_BY_NAME,
    is_input_topic,
    partition_of,
)
from schemas.wire import Place
from services.runtime.decider.inputs import InputMarks
from services.runtime.kafka.fetch_throttle import AWAITED_S
from services.runtime.kafka.metadata_update import MetadataUpdate
from services.runtime.kafka.security import get_client_options
from services.runtime.process.machine import now_ms
from services.runtime.process.tasks import retrieve_exception

ACK_TIMEOUT_S: Final = 5.0
log = structlog.get_logger(__name__)
RecordHeaders = list[tuple[str, bytes]]
LINGER_MS: Final = 2
"""Measured: each socket write costs 0.4 ms under load."""
BUSY_RECORDS: Final = 40
"""Recent sends above which records linger: more than 80 a second."""
RECENT_S: Final = 0.5
"""Time after which a send counts as recent by a third only."""
PATIENT_LINGER_MS: Final = 100
"""Linger of a stream on topics with readers that fetch ten times a second."""
UNAWAITED_LINGER_MS: Final = 250
"""Linger on topics that no process of Vigie reads."""
STREAM_RECORDS: Final = 10
"""Recent sends that make a stream: more than 20 a second."""
COMPRESSION: Final = "lz4"
"""Codec of all batches: facts are JSON, and shrink to a quarter for 0.15 ms per report.

gzip shrinks them by a quarter more, but then a report costs a sixth more of the processor, and its
202 takes a third longer (`docs/reference/benchmarks.md`).
"""
METADATA_AGE_MS: Final = 60_000
"""Age after which a client requests its metadata again.

It does so at once where a leader is missing, has moved or does not answer.
"""
GROUP_METADATA_AGE_MS: Final = 3000
"""The same for a member of a group.

A member that asks a starting broker may learn of a topic without leader, or not at all, and shares
out what it knows. With aiokafka's default, a worker owned no partition, silently, for five minutes.
"""
_JSON: Final = b"application/json"


class BrokerAway(Exception):
    """Kafka did not acknowledge in time. The record may still arrive: repeat with the same id."""


def build_headers(
    message_type: str,
    *,
    id: str,
    source: str,
    at: Instant | None = None,
    correlation_id: str | None = None,
    causation_id: str | None = None,
    place: Place | None = None,
    place_hash: str | None = None,
    time_ms: Instant | None = None,
    traceparent: str | None = None,
) -> RecordHeaders:
    """Return the headers of a message in CloudEvents binary mode.

    `at` is the logical time (simulated realms); `time_ms` only informs.
    """
    headers: RecordHeaders = [
        (ce.CE_SPECVERSION, b"1.0"),
        (ce.CE_ID, id.encode()),
        (ce.CE_SOURCE, source.encode()),
        (ce.CE_TYPE, message_type.encode()),
        (ce.CONTENT_TYPE, _JSON),
    ]
    # The time only informs: one that no calendar can express must not stop the record.
    if time_ms is not None and 0 <= time_ms < END_OF_TIME:
        headers.append((ce.CE_TIME, format_time(time_ms).encode()))
    if at is not None:
        headers.append((ce.CE_AT, b"%d" % at))
    if correlation_id is not None:
        headers.append((ce.CE_CORRELATION, correlation_id.encode()))
    if causation_id is not None:
        headers.append((ce.CE_CAUSATION, causation_id.encode()))
    if place is not None and place_hash is not None:
        headers.append((ce.CE_PLACE, str(place).encode()))
        headers.append((ce.CE_PLACEHASH, place_hash.encode()))
    if traceparent is not None:
        headers.append((ce.CE_TRACEPARENT, traceparent.encode()))
    return headers


def format_time(at: Instant) -> str:
    """Return a time as `2027-02-11T07:42:00.000Z`."""
    return f"{_format_second(at // 1000)}.{at % 1000:03d}Z"


@lru_cache(maxsize=64)
def _format_second(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def encode_message(message: Message) -> bytes:
    """Return the JSON bytes of a message."""
    return message.model_dump_json().encode()


def choose_partition(topic: str, realm: str) -> int:
    """Return the partition of a realm's records on a topic."""
    listed_topic = TOPICS_BY_NAME.get(topic)
    return partition_of(realm, listed_topic.partitions if listed_topic else PARTITION_COUNT)


def create_groupless_consumer(
    kafka: str, *, fetch_bytes: int = 1 << 20, wait_ms: int = 500
) -> AIOKafkaConsumer:
    """Return a consumer of assigned partitions without group or commits, not started.

    It never jumps silently. Give it partitions with `assign_from`.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=fetch_bytes,
        fetch_max_wait_ms=wait_ms,
        metadata_max_age_ms=METADATA_AGE_MS,
        **get_client_options(),
    )
    MetadataUpdate(consumer._client)
    return consumer


def assign_from(consumer: Any, starts: Mapping[TopicPartition, int]) -> None:
    """Assign partitions to a started consumer without a group, each from its offset on.

    Await nothing in between. aiokafka looks for the position of a partition without one
    at its leader, fails, and keeps the failure for the next read. If the leader moves meanwhile, it
    fails twice, and its fetch task ends: the consumer reads nothing ever after, silently.
    """
    consumer.assign(list(starts))
    for tp, offset in starts.items():
        consumer.seek(tp, offset)


def create_expiring_producer(kafka: str, timeout_s: float) -> AIOKafkaProducer:
    """Return a producer that waits for all replicas and drops sends after a time, not started.

    So nothing piles up while the broker is away.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka,
        acks="all",
        compression_type=COMPRESSION,
        linger_ms=0,
        request_timeout_ms=int(timeout_s * 1000),
        max_request_size=2 * LARGE_MESSAGE_BYTES,
        metadata_max_age_ms=METADATA_AGE_MS,
        **get_client_options(),
    )
    MetadataUpdate(producer.client)
    return producer


class LoadAwareProducer(AIOKafkaProducer):  # type: ignore[misc]  # aiokafka is untyped
    """Producer without a linger, unless many records are sent.

    Under load, a batch saves socket writes. A single record would wait for nothing, at each of the
    six hops from a report to the first message. The records of a stream for `patient_topics` wait
    for each other, except while `hurry` holds. Those of `unawaited_topics` always do.
    """

    def __init__(
        self,
        *,
        linger_ms: int,
        patient_topics: Collection[str] = (),
        unawaited_topics: Collection[str] = (),
        **options: Any,
    ) -> None:
        super().__init__(linger_ms=linger_ms, **options)
        self._busy_linger_s = linger_ms / 1000
        self._patient_topics = frozenset(patient_topics)
        self._unawaited_topics = frozenset(unawaited_topics)
        self._hurry_until_s = 0.0
        self._recent_count = 0.0
        self._last_send_s = 0.0

    def hurry(self) -> None:
        """Send every record at once for AWAITED_S, because a caller waits for its effect."""
        self._hurry_until_s = time.monotonic() + AWAITED_S

    async def send(self, topic: str, *args: Any, **options: Any) -> asyncio.Future[Any]:
        """Append a record to a batch, as `AIOKafkaProducer.send`."""
        now_s = time.monotonic()
        self._recent_count *= math.exp((self._last_send_s - now_s) / RECENT_S)
        self._recent_count += 1
        self._last_send_s = now_s
        self._message_accumulator._linger_time = self._choose_linger_s(topic, now_s)
        acknowledgement: asyncio.Future[Any] = await super().send(topic, *args, **options)
        return acknowledgement

    def _choose_linger_s(self, topic: str, now_s: float) -> float:
        if topic in self._unawaited_topics:
            return UNAWAITED_LINGER_MS / 1000
        is_stream = self._recent_count > STREAM_RECORDS and now_s >= self._hurry_until_s
        if is_stream and topic in self._patient_topics:
            return PATIENT_LINGER_MS / 1000
        return self._busy_linger_s if self._recent_count > BUSY_RECORDS else 0.0


def create_idempotent_producer(
    kafka: str,
    *,
    linger_ms: int = LINGER_MS,
    max_request_bytes: int = 1 << 20,
    patient_topics: Collection[str] = (),
    unawaited_topics: Collection[str] = (),
) -> LoadAwareProducer:
    """Return an ordered producer that waits for all replicas, not started.

    Its sends never expire while the broker is away: watch their age.
    """
    producer = LoadAwareProducer(
        bootstrap_servers=kafka,
        enable_idempotence=True,
        acks="all",
        compression_type=COMPRESSION,
        linger_ms=linger_ms,
        max_batch_size=256 << 10,
        max_request_size=max_request_bytes,
        request_timeout_ms=30_000,
        metadata_max_age_ms=METADATA_AGE_MS,
        patient_topics=patient_topics,
        unawaited_topics=unawaited_topics,
        **get_client_options(),
    )
    MetadataUpdate(producer.client)
    return producer


async def send_with_retry(
    producer: AIOKafkaProducer,
    topic: str,
    value: bytes | None,
    key: bytes | None,
    partition: int,
    headers: RecordHeaders | None = None,
    *,
    timestamp_ms: int | None = None,
) -> asyncio.Future[Any]:
    """Pass a record to an idempotent producer in order, however long the broker is away.

    Returns the future of its acknowledgement. aiokafka stops waiting for room in its buffer after
    the request timeout, without taking the record. So this function tries again.
    """
    while True:
        try:
            acknowledgement: asyncio.Future[Any] = await producer.send(
                topic,
                value,
                key=key,
                partition=partition,
                headers=headers,
                timestamp_ms=timestamp_ms,
            )
            return acknowledgement
        except KafkaTimeoutError:
            continue


def choose_key_partition(topic: str, key: str) -> int:
    """Return the partition of a key, the same for every writer."""
    return zlib.crc32(key.encode()) % TOPICS_BY_NAME[topic].partitions


class PendingSend:
    """A record that was passed to the producer."""

    def __init__(self, topic: str, acknowledgement: asyncio.Future[Any], until: float) -> None:
        self._topic = topic
        self._acked = acknowledgement
        self._until = until

    async def wait_for_acknowledgement(self) -> tuple[int, Instant]:
        """Return (offset, time of the record) once every replica has it.

        Raises BrokerAway: the record may still arrive.
        """
        try:
            async with asyncio.timeout_at(self._until):
                metadata = await asyncio.shield(self._acked)
        except (KafkaError, TimeoutError, OSError) as error:
            raise _build_away_error(self._topic, error) from error
        return metadata.offset, metadata.timestamp


class KeyedWriter:
    """Writer of entries, one per process, that connects at the first one.

    Unacknowledged entries expire, so nothing piles up while the broker is away. Records that are
    sent without awaiting an acknowledgement in between go to the broker in one request.
    """

    def __init__(self, kafka: str, *, ack_timeout_s: float = ACK_TIMEOUT_S) -> None:
        self._kafka = kafka
        self._timeout_s = ack_timeout_s
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def put(self, topic: str, key: str, value: bytes | None) -> tuple[int, int]:
        """Write an entry and return (partition, offset) once every replica has it.

        Raises BrokerAway if no acknowledgement came in time. The entry may still arrive, so the
        caller repeats the same.
        """
        partition = choose_key_partition(topic, key)
        pending_send = await self.send(topic, partition, key, value)
        offset, _ = await pending_send.wait_for_acknowledgement()
        return partition, offset

    async def send(
        self,
        topic: str,
        partition: int,
        key: str | bytes | None,
        value: bytes | None,
        headers: RecordHeaders | None = None,
    ) -> PendingSend:
        """Send a record; `PendingSend.wait_for_acknowledgement` waits for it.

        Raises BrokerAway.
        """
        until = asyncio.get_running_loop().time() + self._timeout_s
        try:
            async with asyncio.timeout_at(until):
                producer = self._producer or await self._start_producer()
                raw_key = key.encode() if isinstance(key, str) else key
                acknowledgement = await producer.send(
                    topic, value, key=raw_key, partition=partition, headers=headers
                )
        except (KafkaError, TimeoutError, OSError) as error:
            raise _build_away_error(topic, error) from error
        acknowledgement.add_done_callback(retrieve_exception)
        return PendingSend(topic, acknowledgement, until)

    async def connect(self, *topics: str) -> None:
        """Connect now instead of at the first entry. Raises KafkaError, OSError.

        `topics` are those that it will write to. Without any, each request for metadata is answered
        with those of all topics.
        """
        producer = await self._start_producer()
        for topic in topics:
            await producer.client.add_topic(topic)

    async def reachable(self) -> bool:
        """Return whether a broker responds; False before the first connection."""
        return self._producer is not None and bool(
            await self._producer.client.force_metadata_update()
        )

    async def _start_producer(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = create_expiring_producer(self._kafka, self._timeout_s)
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
        return self._producer

    async def stop(self) -> None:
        """Flush sent records, at most for 2 s, and disconnect."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            try:
                await asyncio.wait_for(producer.stop(), 2)
            except TimeoutError:
                log.warning("writer.unflushed")


class RecordProducer:
    """Producer of messages; a returned send is acknowledged by all replicas.

    It connects at the first record, and again after the broker was away. `async with
    RecordProducer(kafka) as producer` connects at once. Inputs of deciders need `marks`, which
    prove that they come from this installation.
    """

    def __init__(
        self, kafka: str, marks: InputMarks | None = None, *, timeout_s: float = 10.0
    ) -> None:
        self._marks = marks
        self._writer = KeyedWriter(kafka, ack_timeout_s=timeout_s)

    async def stop(self) -> None:
        """Send buffered records, at most for 2 s, and close."""
        await self._writer.stop()

    async def __aenter__(self) -> Self:
        """Connect. Raises BrokerAway."""
        try:
            await self._writer.connect()
        except (KafkaError, OSError) as error:
            raise BrokerAway(f"no broker: {error}") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def send(
        self,
        topic: str,
        realm: str,
        message: Message,
        *,
        id: str,
        source: str,
        correlation_id: str | None = None,
        traceparent: str | None = None,
    ) -> tuple[int, int]:
        """Send a message and return (partition, offset) once all replicas have it.

        Raises BrokerAway: repeat with the same `id`, receivers deduplicate.
        """
        headers = build_headers(
            message.wire_type(),
            id=id,
            source=source,
            correlation_id=correlation_id,
            time_ms=now_ms(),
            traceparent=traceparent,
        )
        return await self.send_raw(
            topic, choose_partition(topic, realm), realm.encode(), encode_message(message), headers
        )

    async def send_raw(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: RecordHeaders,
    ) -> tuple[int, int]:
        """Send serialized bytes like `send`."""
        if is_input_topic(topic):
            if self._marks is None:
                raise ValueError(
                    f"{topic} takes records with a mark alone: this producer was made without"
                )
            headers = self._marks.sign(topic, key, value, headers)
        pending_send = await self._writer.send(topic, partition, key, value, headers)
        offset, _ = await pending_send.wait_for_acknowledgement()
        return partition, offset


def _build_away_error(topic: str, error: Exception) -> BrokerAway:
    return BrokerAway(f"topic {topic}: no acknowledgement ({type(error).__name__})")
