"""Read the inputs, logs and dead letters up to their current ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.topics import (
    SERVICES,
    SERVICES_WITH_URGENT_LANE,
    TOPICS_BY_NAME,
    input_topic,
    log_topic,
    urgent_topic,
)
from services.runtime.kafka.clients import create_groupless_consumer
from services.verify.chain import LogFold, RouteLookup, hash_input
from services.verify.laws import Findings, InputEntry, InputRecords, LogFolds

_BATCH_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class TopicRecord:
    offset: int
    key: bytes
    value: bytes
    headers: dict[str, bytes]
    """First value of each header name, as the deciders read it; empty without a value."""


EndOffsets = dict[TopicPartition, int]


def _partitions(topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, p) for p in range(TOPICS_BY_NAME[topic].partitions)]


async def read_topic(
    consumer: AIOKafkaConsumer, topic: str, start: dict[int, int], ends: EndOffsets | None = None
) -> AsyncIterator[tuple[int, TopicRecord]]:
    """Yield (partition, record) from `start` up to `ends`, by default the end of the topic."""
    tps = _partitions(topic)
    begins = await consumer.beginning_offsets(tps)
    ends = await consumer.end_offsets(tps) if ends is None else ends
    at = {tp: max(start.get(tp.partition, 0), begins[tp]) for tp in tps}
    todo = {tp for tp in tps if at[tp] < ends[tp]}
    if not todo:
        return
    consumer.assign(sorted(todo))
    for tp in todo:
        consumer.seek(tp, at[tp])
    while todo:
        for tp, records in (await consumer.getmany(*todo, timeout_ms=500)).items():
            for r in records:
                if r.offset < ends[tp]:
                    yield (
                        tp.partition,
                        TopicRecord(
                            r.offset,
                            r.key or b"",
                            r.value or b"",
                            {name: value or b"" for name, value in reversed(r.headers)},
                        ),
                    )
        for tp in list(todo):
            if await consumer.position(tp) >= ends[tp]:
                todo.discard(tp)


def _locate_input(letter: bytes) -> tuple[str, int, int] | None:
    """Return (topic, partition, offset) of the input in a dead letter.

    The result is None for a dead letter of the front door and for bytes of another form.
    """
    try:
        head = orjson.loads(letter.partition(b"\n")[0])
        return (
            None
            if head.get("topic") is None
            else (head["topic"], head["partition"], head["offset"])
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _parse_input(record: TopicRecord) -> InputEntry:
    digest = hash_input(record.key, record.headers.get("ce_id", b""), record.value)
    kind, ident = (
        record.headers.get(name, b"").decode(errors="replace") for name in ("ce_type", "ce_id")
    )
    return InputEntry(digest, kind, ident, record.key.decode(errors="replace"))


class VerifiedLogs:
    """Everything that `vigie verify` examines, read incrementally by `advance`."""

    def __init__(
        self, kafka: str, findings: Findings, collections: dict[str, str], routes: RouteLookup
    ) -> None:
        self._kafka, self._found, self._collections, self._routes = (
            kafka,
            findings,
            collections,
            routes,
        )
        self.logs: LogFolds = {
            (s, p): LogFold(s, p, findings.breach)
            for s in SERVICES
            for p in range(TOPICS_BY_NAME[log_topic(s)].partitions)
        }
        self.inputs: InputRecords = {
            (s, p): {} for s in SERVICES for p in range(TOPICS_BY_NAME[input_topic(s)].partitions)
        }
        self.urgent: InputRecords = {
            (s, p): {}
            for s in SERVICES
            if s in SERVICES_WITH_URGENT_LANE
            for p in range(TOPICS_BY_NAME[urgent_topic(s)].partitions)
        }
        """Like `inputs`, for the urgent lanes."""
        self.letters: set[tuple[str, int, int]] = set()
        self._next: dict[str, dict[int, int]] = {}

    async def advance(self) -> None:
        """Read new inputs, then logs, then dead letters.

        Logs are read up to their ends before the inputs were read. So every input that a log record
        names is among those read, even while the system decides. Raises KafkaError when the broker
        is away.
        """
        consumer = create_groupless_consumer(self._kafka, fetch_bytes=_BATCH_BYTES, wait_ms=100)
        try:
            await consumer.start()
            ends = await consumer.end_offsets(
                [tp for s in SERVICES for tp in _partitions(log_topic(s))]
            )
            for service in SERVICES:
                async for partition, r in self._from(consumer, input_topic(service)):
                    self.inputs[service, partition][r.offset] = _parse_input(r)
            for service in (s for s in SERVICES if s in SERVICES_WITH_URGENT_LANE):
                async for partition, r in self._from(consumer, urgent_topic(service)):
                    self.urgent[service, partition][r.offset] = _parse_input(r)
            for service in SERVICES:
                async for partition, r in self._from(consumer, log_topic(service), ends):
                    self.logs[service, partition].feed(
                        r.offset, r.value, self._collections, self._routes
                    )
            async for _, r in self._from(consumer, "dead-letters"):
                if (place := _locate_input(r.value)) is not None:
                    self.letters.add(place)
        finally:
            await consumer.stop()

    async def _from(
        self, consumer: AIOKafkaConsumer, topic: str, ends: EndOffsets | None = None
    ) -> AsyncIterator[tuple[int, TopicRecord]]:
        start = self._next.setdefault(topic, {})
        async for partition, record in read_topic(consumer, topic, start, ends):
            start[partition] = record.offset + 1
            yield partition, record
