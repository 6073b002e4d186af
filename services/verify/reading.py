"""Read a running system until its reading is a verdict: inputs, logs, dead letters and store.

Topics, logs and store of a running system are not read at one moment.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import orjson
import redis.asyncio as redis
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.topics import (
    SERVICES,
    SERVICES_WITH_URGENT_LANE,
    TOPICS_BY_NAME,
    input_topic,
    log_topic,
    urgent_topic,
)
from services.runtime.kafka.clients import assign_from, create_groupless_consumer
from services.verify.chain import LogFold, RouteLookup, hash_input
from services.verify.laws import Findings, InputEntry, InputRecords, LogFolds

_BATCH_BYTES = 4 << 20
EndOffsets = dict[TopicPartition, int]
PATIENCE_FACTOR: Final = 8
"""Times `patience_s` that one item may wait while other items move."""


@dataclass(frozen=True, slots=True)
class TopicRecord:
    offset: int
    key: bytes
    value: bytes
    headers: dict[str, bytes]
    """First value of each header name, as the deciders read it; empty without a value."""


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
    assign_from(consumer, {tp: at[tp] for tp in sorted(todo)})
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


async def read_rows(url: str) -> tuple[dict[tuple[str, str], dict[str, Any]], set[str]]:
    """Read ((realm, collection) → id → row, closed realms that were evicted from the store).

    The logs answer queries about evicted realms. Raises redis.RedisError when the store is away.
    """
    client: Any = redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=20)
    rows_by_collection: dict[tuple[str, str], dict[str, Any]] = {}
    try:
        async for key in client.scan_iter(match="vigie:*:rows:*", count=1000):
            _, realm, _, collection = key.decode().split(":", 3)
            rows = [orjson.loads(row) for row in await client.hvals(key)]
            rows_by_collection[realm, collection] = {row["id"]: row for row in rows}
        realms = await client.hgetall(
            "vigie:realms"
        )  # Read last: a realm that is evicted meanwhile was not seen whole.
    finally:
        await client.aclose()
    return rows_by_collection, {
        name.decode() for name, fields in realms.items() if orjson.loads(fields).get("aside")
    }


class ConvergenceJudge:
    """Judges one reading after the other.

    * A breach counts if the next reading still shows it, or if breaches have been seen without a
      break for `PATIENCE_FACTOR` times `patience_s`.
    * A pending item counts after `PATIENCE_FACTOR` times `patience_s`, or if nothing has moved for
      `patience_s`.
    * All is well if no breach is seen and each item that waited at the first reading has arrived.
      Newer items may wait: a busy system always has some.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._size = -1
        self._moved_at = 0.0
        self._since: dict[tuple[str, str], float] = {}
        self._first: frozenset[tuple[str, str]] | None = None
        self._suspected: set[tuple[str, str]] = set()
        self._sound_at: float | None = None

    def judge(self, findings: Findings, size: int, now: float) -> list[tuple[str, str]] | None:
        """Return the breaches (law, sentence) that count, or None to read on.

        An empty list means that all is well. `size` grows with everything read; `now` is in
        seconds.
        """
        if size != self._size:
            self._size, self._moved_at = size, now
        self._since = {item: self._since.get(item, now) for item in findings.pending}
        if self._first is None:
            self._first = frozenset(findings.pending)
        if not findings.broken or self._sound_at is None:
            self._sound_at = now
        confirmed_breaches = [breach for breach in findings.broken if breach in self._suspected]
        if now - self._sound_at > PATIENCE_FACTOR * self._patience_s:
            confirmed_breaches = findings.broken
        self._suspected = set(findings.broken)
        still = now - self._moved_at > self._patience_s
        late = [
            (law, sentence)
            for (law, item), sentence in findings.pending.items()
            if still or now - self._since[law, item] > PATIENCE_FACTOR * self._patience_s
        ]
        if confirmed_breaches or late:
            return list(dict.fromkeys(confirmed_breaches + late))
        if findings.broken or self._first & findings.pending.keys():
            return None
        return []
