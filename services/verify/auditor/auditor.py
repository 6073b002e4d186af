"""Read the three logs continuously, track open items and judge every few seconds."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import orjson
import redis.asyncio as redis
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from schemas.topics import (
    PARTITION_COUNT,
    SERVICES,
    SERVICES_WITH_URGENT_LANE,
    input_topic,
    is_published,
    list_destinations,
    log_topic,
    urgent_topic,
)
from services.runtime.kafka.clients import assign_from, create_groupless_consumer
from services.runtime.kafka.fetch_throttle import FetchThrottle
from services.runtime.log.heads import HeadsByLog, format_log_name
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.process import metrics
from services.verify.auditor.open_items import Breach, OpenItems
from services.verify.auditor.verdict import LAWS, Judge, Verdict

JUDGEMENT_INTERVAL_S: Final = 5.0
FETCH_INTERVAL_MS: Final = 500
"""Pause between two fetches of an auditor that has caught up, ms.

It judges every few seconds, and nobody waits for a record.
"""
CAUGHT_UP_MS: Final = 30_000
"""Largest age, in ms, of the newest end that was read, for an auditor that has caught up.

A busy log is always a little ahead. The age is below `LATE_MS` of open_items (60 s), so a judgement
needs no newer record.
"""
RETRY_S: Final = 1.0
BROKER_AWAY_LIMIT_S: Final = 60.0
"""Seconds without an answer of the broker after which that is a breach of its own."""
STORE_KEY: Final = "vigie:audit"
"""Key of the verdict in the store; the console reads it (`store.AUDIT`).

It expires, so a dead auditor never shows green.
"""
STORE_TTL_S: Final = 60
_BATCH_RECORDS: Final = 500
_MAX_GOALS: Final = 64
_NEVER_MS: Final = 1 << 62
_FETCH_BYTES: Final = 1 << 20
"""Bytes fetched from one partition at once.

Fetches of 24 partitions wait in memory beside the batch in progress.
"""
TURN_S: Final = 0.02
"""Longest time for which records are read at a stretch, s.

Exercises and feeds wait for the next one: they share the process (ADR 73).
"""
log = structlog.get_logger(__name__)


class ReadingGoals:
    """Ends of the logs at the last judgements, oldest first.

    Ends that were read are dropped.
    """

    def __init__(self) -> None:
        self._ends: deque[tuple[int, dict[TopicPartition, int]]] = deque(maxlen=_MAX_GOALS)
        self._reached_ms: int | None = None

    def set(self, now: int, ends: dict[TopicPartition, int]) -> None:
        """Record the current ends of the logs; drop the oldest if there are too many."""
        self._ends.append((now, ends))

    def are_reached(self, offsets: dict[TopicPartition, int]) -> bool:
        """Return whether everything was read up to the newest known end."""
        while self._ends and all(offsets[tp] >= end for tp, end in self._ends[0][1].items()):
            self._reached_ms = self._ends.popleft()[0]
        return not self._ends

    def age_ms(self, offsets: dict[TopicPartition, int], now: int) -> int:
        """Return the age of the newest end that was read, in ms.

        Very large before the first end is reached.
        """
        self.are_reached(offsets)
        return _NEVER_MS if self._reached_ms is None else now - self._reached_ms


class Auditor:
    """Audits the logs of all services.

    Iterate over `verdicts`; `verdict` is the newest one. Memory grows with open items, not with the
    logs.
    """

    def __init__(self, kafka: str, store_url: str) -> None:
        self._kafka = kafka
        self._store: redis.Redis = redis.Redis.from_url(
            store_url,
            socket_connect_timeout=2,
            socket_timeout=5,
            # The client would read the package's metadata for its version, which takes 2 MB
            driver_info=None,
        )
        self._books = {
            p: OpenItems(p, list_destinations, is_published, since=_now())
            for p in range(PARTITION_COUNT)
        }
        self._tps = {
            TopicPartition(log_topic(s), p): s for s in SERVICES for p in range(PARTITION_COUNT)
        }
        self._judge = Judge(Verdict(since=_now()))
        self._goals = ReadingGoals()
        self._read_at = time.monotonic()
        self._records = 0

    @property
    def verdict(self) -> Verdict:
        return self._judge.verdict

    @property
    def heads(self) -> HeadsByLog:
        """Position and hash of every log, as far as it was read."""
        chains = {(s, p): books.chain(s) for p, books in self._books.items() for s in SERVICES}
        return {
            format_log_name(s, p): (chain.seq, chain.head)
            for (s, p), chain in chains.items()
            if chain.seq
        }

    async def close(self) -> None:
        """Close the connection to the store."""
        await self._store.aclose()

    async def verdicts(self) -> AsyncIterator[Verdict]:
        """Yield one verdict after the other, without end.

        A broker that is away for more than AWAY_S is a breach.
        """
        while True:
            try:
                async with (
                    self._consumer() as (consumer, pace),
                    # The consumer's connection answers only after its running fetch
                    PartitionReader(self._kafka, fetch_bytes=1) as reader,
                ):
                    async for verdict in self._follow(consumer, pace, reader):
                        yield verdict
            except (KafkaError, OSError) as error:
                log.warning("audit.broker_away", error=type(error).__name__)
            if time.monotonic() - self._read_at > BROKER_AWAY_LIMIT_S:
                yield await self._publish_verdict(
                    [Breach("logs", f"the broker has not answered for {BROKER_AWAY_LIMIT_S:g} s")],
                    caught_up=False,
                )
            elif self._is_caught_up():
                # The broker is away for a moment: the last verdict still stands.
                yield self.verdict
            else:
                yield await self._publish_verdict([], caught_up=False)
            await asyncio.sleep(RETRY_S)
            for books in self._books.values():
                books.since = _now()

    @contextlib.asynccontextmanager
    async def _consumer(self) -> AsyncIterator[tuple[AIOKafkaConsumer, FetchThrottle]]:
        consumer = create_groupless_consumer(self._kafka, fetch_bytes=_FETCH_BYTES)
        try:
            await consumer.start()
            yield consumer, FetchThrottle(consumer, FETCH_INTERVAL_MS)
        finally:
            await consumer.stop()

    async def _follow(
        self, consumer: AIOKafkaConsumer, pace: FetchThrottle, reader: PartitionReader
    ) -> AsyncIterator[Verdict]:
        begins = await consumer.beginning_offsets(list(self._tps))
        for tp, service in self._tps.items():
            chain = self._books[tp.partition].chain(service)
            chain.offset = max(begins[tp], chain.offset)
        assign_from(
            consumer,
            {tp: self._books[tp.partition].chain(s).offset for tp, s in self._tps.items()},
        )
        judged_at, behind = float("-inf"), True
        input_tps = _list_input_partitions()
        self._goals.set(_now(), await reader.ends(self._tps))
        while True:
            record_batches = await consumer.getmany(timeout_ms=1000, max_records=_BATCH_RECORDS)
            await self._fold_batches(record_batches)
            self._read_at = time.monotonic()
            if not self._goals.are_reached(self._offsets()):
                pace.hurry()
            if self._read_at - judged_at >= JUDGEMENT_INTERVAL_S or (
                behind and self._goals.are_reached(self._offsets())
            ):
                caught_up = self._is_caught_up()
                ends = await reader.ends([*self._tps, *input_tps])
                self._goals.set(_now(), {tp: ends[tp] for tp in self._tps})
                if caught_up and behind:
                    behind = False
                if caught_up:
                    await self._compare_readers()
                by_partition: dict[int, dict[str, int]] = {}
                for tp, (service, partition) in input_tps.items():
                    by_partition.setdefault(partition, {})[service] = ends[tp]
                breaches = list(self._breaches(by_partition)) if caught_up else []
                yield await self._publish_verdict(breaches, caught_up=caught_up)
                judged_at = time.monotonic()

    def _is_caught_up(self) -> bool:
        return self._goals.age_ms(self._offsets(), _now()) <= CAUGHT_UP_MS

    def _offsets(self) -> dict[TopicPartition, int]:
        return {
            tp: self._books[tp.partition].chain(service).offset for tp, service in self._tps.items()
        }

    async def _fold_batches(self, batches: dict[TopicPartition, list[Any]]) -> None:
        now, turn_end = _now(), time.monotonic() + TURN_S
        for tp, records in batches.items():
            books, service = self._books[tp.partition], self._tps[tp]
            for record in records:
                books.feed(
                    service,
                    record.offset,
                    record.value or b"",
                    _parse_transaction(record.value),
                    now,
                )
                if time.monotonic() >= turn_end:
                    await asyncio.sleep(0)
                    turn_end = time.monotonic() + TURN_S
            self._records += len(records)

    def _breaches(self, input_ends: dict[int, dict[str, int]]) -> Iterator[Breach]:
        now = _now()
        for partition, books in self._books.items():
            yield from books.breaches(now, input_ends[partition])

    async def _compare_readers(self) -> None:
        """Compare the projector's positions with the audited chains.

        An absent store is no breach: it may be lost at any time.
        """
        keys = [(s, p, f"vigie:position:{s}:{p}") for s in SERVICES for p in range(PARTITION_COUNT)]
        with contextlib.suppress(RedisError, OSError, ValueError, KeyError):
            values = await self._store.mget([key for *_, key in keys])
            for (service, partition, _), raw in zip(keys, values, strict=True):
                if raw is not None:
                    position = orjson.loads(raw)
                    self._books[partition].compare(
                        service, "projector", position["seq"], position["hash"]
                    )

    async def _publish_verdict(self, breaches: list[Breach], *, caught_up: bool) -> Verdict:
        verdict = self._judge.judge(breaches, _now(), caught_up=caught_up)
        metrics.set_gauge("vigie_audit_green", 1.0 if verdict.state == "green" else 0.0)
        for law in LAWS:
            metrics.set_gauge(
                "vigie_audit_breaches", sum(b.law == law for b in verdict.breaches), law=law
            )
        metrics.set_gauge("vigie_audit_records", self._records)
        body = {
            "state": verdict.state,
            "at": verdict.at,
            "since": verdict.since,
            "breaches": [[b.law, b.what] for b in verdict.breaches[:20]],
        }
        with contextlib.suppress(RedisError, OSError):
            await self._store.set(STORE_KEY, orjson.dumps(body), ex=STORE_TTL_S)
        return verdict


def _list_input_partitions() -> dict[TopicPartition, tuple[str, int]]:
    """Return partition of an input → (service, or topic of an urgent lane; number)."""
    ordinary = {
        TopicPartition(input_topic(s), p): (s, p) for s in SERVICES for p in range(PARTITION_COUNT)
    }
    urgent = {
        TopicPartition(urgent_topic(s), p): (urgent_topic(s), p)
        for s in SERVICES
        if s in SERVICES_WITH_URGENT_LANE
        for p in range(PARTITION_COUNT)
    }
    return ordinary | urgent


def _parse_transaction(raw: bytes | None) -> dict[str, Any] | None:
    try:
        tx = orjson.loads(raw or b"")
    except ValueError:
        return None
    return (
        tx
        if isinstance(tx, dict) and {"seq", "prev", "logic", "facts", "src", "realm"} <= tx.keys()
        else None
    )


def _now() -> int:
    return round(time.time() * 1000)
