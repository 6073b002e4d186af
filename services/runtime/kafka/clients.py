"""Records on the way into Kafka: CloudEvents headers, and the producer that waits for all replicas.

The headers of the in-memory log and of Kafka come from the same function.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError

from schemas import envelope as ce
from schemas.base import END_OF_TIME, Instant, Message
from schemas.envelope import Place
from schemas.realms import partition_of
from schemas.topics import BY_NAME, PARTITIONS, is_input
from services.runtime.decider.input_marks import InputMarks
from services.runtime.kafka.security import client_options

RecordHeaders = list[tuple[str, bytes]]
LINGER_MS: Final = 2
"""Measured: each socket write costs 0.4 ms under load."""
METADATA_AGE_MS: Final = 3000
"""A client that asked a broker which was just starting may learn of a topic without leader, or not at all, and asks again only after
this. aiokafka's five minutes were seen: a worker that held no partition, and was silent, for as long.
"""
_JSON: Final = b"application/json"


class BrokerAway(Exception):
    """Kafka did not acknowledge in time. The record may still arrive later: repeat with the same id."""


def headers_of(
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
    """CloudEvents binary mode. `at` is the logical time (simulated realms); `time_ms` only informs."""
    headers: RecordHeaders = [
        (ce.CE_SPECVERSION, b"1.0"),
        (ce.CE_ID, id.encode()),
        (ce.CE_SOURCE, source.encode()),
        (ce.CE_TYPE, message_type.encode()),
        (ce.CONTENT_TYPE, _JSON),
    ]
    if (
        time_ms is not None and 0 <= time_ms < END_OF_TIME
    ):  # it only informs: what no calendar names must not hold up what follows
        headers.append((ce.CE_TIME, iso(time_ms).encode()))
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


def iso(at: Instant) -> str:
    """`2027-02-11T07:42:00.000Z`."""
    return f"{_iso_second(at // 1000)}.{at % 1000:03d}Z"


@lru_cache(maxsize=64)
def _iso_second(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def value_of(message: Message) -> bytes:
    """JSON bytes of a message."""
    return message.model_dump_json().encode()


def partition_for(topic: str, realm: str) -> int:
    """Partition of a realm's records on a topic."""
    known = BY_NAME.get(topic)
    return partition_of(realm, known.partitions if known else PARTITIONS)


def groupless_consumer(
    kafka: str, *, fetch_bytes: int = 1 << 20, wait_ms: int = 500
) -> AIOKafkaConsumer:
    """A consumer of assigned partitions, without group, commits or a silent jump. Not started; `assign` and `seek` with no await between."""
    return AIOKafkaConsumer(
        bootstrap_servers=kafka,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=fetch_bytes,
        fetch_max_wait_ms=wait_ms,
        metadata_max_age_ms=METADATA_AGE_MS,
        **client_options(),
    )


def expiring_producer(
    kafka: str, timeout_s: float, *, max_request_bytes: int = 1 << 20
) -> AIOKafkaProducer:
    """A producer that waits for all replicas and whose sends expire: nothing piles up while the broker is away. Not started."""
    return AIOKafkaProducer(
        bootstrap_servers=kafka,
        acks="all",
        linger_ms=0,
        request_timeout_ms=int(timeout_s * 1000),
        max_request_size=max_request_bytes,
        metadata_max_age_ms=METADATA_AGE_MS,
        **client_options(),
    )


def idempotent_producer(
    kafka: str,
    *,
    linger_ms: int = LINGER_MS,
    timeout_ms: int = 30_000,
    max_request_bytes: int = 1 << 20,
) -> AIOKafkaProducer:
    """An ordered producer that waits for all replicas. Its sends never expire while the broker is away: watch their age."""
    return AIOKafkaProducer(
        bootstrap_servers=kafka,
        enable_idempotence=True,
        acks="all",
        linger_ms=linger_ms,
        max_batch_size=256 << 10,
        max_request_size=max_request_bytes,
        request_timeout_ms=timeout_ms,
        metadata_max_age_ms=METADATA_AGE_MS,
        **client_options(),
    )


async def send_patiently(
    producer: AIOKafkaProducer,
    topic: str,
    value: bytes | None,
    key: bytes | None,
    partition: int,
    headers: RecordHeaders | None = None,
    *,
    timestamp_ms: int | None = None,
) -> asyncio.Future[Any]:
    """Hand a record to an idempotent producer, in order, however long the broker is away; the result is its acknowledgement.

    aiokafka gives up waiting for room in its buffer after the request timeout; the record is not taken then, so it is tried again.
    """
    while True:
        try:
            sent: asyncio.Future[Any] = await producer.send(
                topic,
                value,
                key=key,
                partition=partition,
                headers=headers,
                timestamp_ms=timestamp_ms,
            )
            return sent
        except KafkaTimeoutError:
            continue


class RecordProducer:
    """Sends messages; a returned send is acknowledged by all replicas. `async with RecordProducer(kafka) as producer`.

    Records for deciders take `marks`, which say that they are of this installation.
    """

    def __init__(
        self, kafka: str, marks: InputMarks | None = None, *, timeout_s: float = 10.0
    ) -> None:
        self._marks = marks
        self._timeout_s = timeout_s
        self._producer = expiring_producer(kafka, timeout_s)

    async def start(self) -> None:
        """Raises BrokerAway."""
        try:
            await self._producer.start()
        except (KafkaError, OSError) as error:
            await self._producer.stop()
            raise BrokerAway(f"no broker: {error}") from error

    async def stop(self) -> None:
        """Sends what is buffered, then closes."""
        await self._producer.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def send(
        self,
        topic: str,
        realm: str,
        message: Message,
        *,
        id: str,
        source: str,
        at: Instant | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        place: Place | None = None,
        place_hash: str | None = None,
        traceparent: str | None = None,
    ) -> tuple[int, int]:
        """(partition, offset) once all replicas have it. Raises BrokerAway: repeat with the same `id`, receivers deduplicate."""
        headers = headers_of(
            message.wire_type(),
            id=id,
            source=source,
            at=at,
            correlation_id=correlation_id,
            causation_id=causation_id,
            place=place,
            place_hash=place_hash,
            time_ms=time.time_ns() // 1_000_000,
            traceparent=traceparent,
        )
        return await self.send_raw(
            topic, partition_for(topic, realm), realm.encode(), value_of(message), headers
        )

    async def send_raw(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: RecordHeaders,
    ) -> tuple[int, int]:
        """As `send`, for bytes that are made already."""
        if is_input(topic):
            if self._marks is None:
                raise ValueError(
                    f"{topic} takes records with a mark alone: this producer was made without"
                )
            headers = self._marks.sign(topic, key, value, headers)
        try:
            async with asyncio.timeout(self._timeout_s):
                done = await self._producer.send_and_wait(
                    topic, value, key=key, partition=partition, headers=headers
                )
        except (KafkaError, OSError, TimeoutError) as error:
            raise BrokerAway(f"{topic}: {type(error).__name__} {error}") from error
        return done.partition, done.offset
