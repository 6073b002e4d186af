"""Turn CloudEvents of the topic `events.external` into reports, as if they came over HTTP.

Kafka's ACL decides which producers may write there. The event's `source` names the registered
source (integration cloudevents, `speaks_for`). Each record takes effect exactly once, whenever this
process dies:

1. Its reports are on `alerts.inputs`, or it is kept as refused with a reason.

2. Only then does the position in `intake/sources.db` advance. The next record of the partition
waits.

So after kill -9 at most one record per partition is processed again, and its (source, id) is
recognised. Temporary failures are retried. An invalid record blocks nothing.
"""

import asyncio
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.base import Instant
from schemas.topics import TOPICS_BY_NAME
from services.intake.admission import UNLIMITED
from services.intake.dead_letters.dead_letter_store import (
    CORRECTED_BY,
    CORRECTOR_HEADER,
    TOKEN_CHARS,
    DeadLetterStore,
    RefusedMessage,
)
from services.intake.http.exchange import BINARY_TYPE
from services.intake.integrations import cloudevents
from services.intake.integrations.dispatcher import TRANSIENT_STATUSES, Dispatcher
from services.intake.integrations.request import IntegrationRequest
from services.intake.integrations.source_stats import SourceStats
from services.intake.reports.deduplication import KEPT_MS, AnswerIndex
from services.runtime.http.problems import Problem, ProblemError, build_field_problem
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Principal, Source
from services.runtime.kafka.clients import BrokerAway, assign_from, create_groupless_consumer
from services.runtime.kafka.fetch_throttle import FETCH_INTERVAL_MS, FetchThrottle
from services.runtime.log.partition_reader import stop_consumer
from services.runtime.process import metrics, tracing
from services.runtime.process.machine import now_ms

TOPIC: Final = "events.external"
RETRY_S: Final = 0.5
SOURCE_WAIT_S: Final = 2.0
"""Seconds to wait for a source that another process may just have registered."""
POLL_MS: Final = 5000
MAX_RECORDS: Final = 500
UNKNOWN_PRODUCER: Final = Principal(
    id=TOPIC, role=Role.SOURCE, label="producers of events.external without a registered source"
)
"""Principal of refused records without a known source."""
log = structlog.get_logger(__name__)


class ExternalEventReader:
    """The only reader of the topic in one front."""

    def __init__(
        self,
        kafka: str,
        access: AccessStore,
        machines: Dispatcher,
        ledger: AnswerIndex,
        dead_letters: DeadLetterStore,
        book: SourceStats,
    ) -> None:
        self._kafka = kafka
        self._access = access
        self._machines = machines
        self._ledger = ledger
        self._refused = dead_letters
        self._book = book

    async def run(self) -> None:
        """Process records until cancelled; reconnect while the broker is away."""
        await self._ledger.caught_up.wait()
        await self._access.caught_up.wait()
        while True:
            try:
                await self._follow()
            except (KafkaError, OSError, sqlite3.Error) as error:
                log.warning("external.away", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(RETRY_S)

    async def _follow(self) -> None:
        partitions = [TopicPartition(TOPIC, p) for p in range(TOPICS_BY_NAME[TOPIC].partitions)]
        consumer: Any = create_groupless_consumer(self._kafka)
        try:
            await consumer.start()
            FetchThrottle(consumer, FETCH_INTERVAL_MS)
            begins, ends = (
                await consumer.beginning_offsets(partitions),
                await consumer.end_offsets(partitions),
            )
            young = await consumer.offsets_for_times(dict.fromkeys(partitions, now_ms() - KEPT_MS))
            starts = self._starts(begins, ends, young)
            assign_from(consumer, starts)
            while True:
                batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=MAX_RECORDS)
                await asyncio.gather(
                    *(self._take_in_order(tp.partition, records) for tp, records in batches.items())
                )
                for tp in batches:
                    lag = (consumer.highwater(tp) or 0) - await consumer.position(tp)
                    metrics.set_gauge(
                        "vigie_external_lag_records", max(lag, 0), partition=str(tp.partition)
                    )
        finally:
            await stop_consumer(consumer)

    def _starts(
        self, begins: Mapping[Any, int], ends: Mapping[Any, int], young: Mapping[Any, Any]
    ) -> dict[TopicPartition, int]:
        """Return the offsets where the last run stopped.

        If unknown, or if the topic was recreated, start at the oldest event that the index of
        answers can still recognise.
        """
        positions, starts = self._book.positions(), {}
        for tp, begin in begins.items():
            position = positions.get(tp.partition)
            if position is not None and begin <= position <= ends[tp]:
                starts[tp] = position
                continue
            if position is not None:
                log.error(
                    "external.position_lost",
                    partition=tp.partition,
                    next=position,
                    begin=begin,
                    end=ends[tp],
                )
            starts[tp] = max(begin, young[tp].offset if young[tp] is not None else ends[tp])
        return starts

    async def _take_in_order(self, partition: int, records: list[Any]) -> None:
        for record in records:
            tracing.set_caller(tracing.read_traceparent(record.headers))
            await self._process(record)
            await self._book.save_position(partition, record.offset + 1)

    async def _process(self, record: Any) -> None:
        """Process a record until it takes effect or is refused. Its content never raises."""
        principal = UNKNOWN_PRODUCER
        while True:
            try:
                request = convert_record(record)
                principal, source = await self._speaker(cloudevents.read_source(request))
                self._book.heard(principal.id, now_ms())
                CORRECTED_BY.set(read_corrector(record))
                await self._machines.take_all(
                    principal,
                    source,
                    cloudevents.NAME,
                    request,
                    cloudevents.signals(request, source),
                )
                metrics.count("vigie_reports_total", dialect=cloudevents.NAME, status="202")
                return
            except BrokerAway:
                pass
            except ProblemError as error:
                if error.problem.status not in TRANSIENT_STATUSES:
                    await self._refuse(record, principal, error.problem)
                    return
            except Exception:
                reference = f"{TOPIC}/{record.partition}/{record.offset}"
                log.exception("external.failed", record=reference)
                await self._refuse(record, principal, Problem("internal", {"reference": reference}))
                return
            await asyncio.sleep(RETRY_S)

    async def _speaker(self, name: str) -> tuple[Principal, Source]:
        """Return the source that reports under a name, and its principal.

        Raises ProblemError `invalid` if no enabled source has this name.
        """
        if (speaker := self._find(name)) is None:
            await self._access.wait_until_current(SOURCE_WAIT_S)
            speaker = self._find(name)
        if speaker is None:
            raise build_field_problem(
                "source",
                "unknown",
                "aucune source en service ne parle pour ce nom (vigie source add … --speaks-for)",
                "no enabled source has this name (vigie source add … --speaks-for)",
            )
        return speaker

    def _find(self, name: str) -> tuple[Principal, Source] | None:
        best: tuple[int, Principal, Source] | None = None
        for source in self._access.all(Source):
            width = max((len(p) for p in source.speaks_for if is_match(p, name)), default=-1)
            if (
                source.dialect != cloudevents.NAME
                or width < 0
                or (best is not None and best[0] >= width)
            ):
                continue
            if (principal := self._access.principal(source.id)) is not None:
                best = width, principal, source
        if best is None:
            return None
        # A rate limit would hold up records of other sources behind this one. Danger overtakes in
        # the decider's urgent lane.
        return best[1].model_copy(update={"rate_per_s": UNLIMITED}), best[2]

    async def _refuse(self, record: Any, principal: Principal, problem: Problem) -> None:
        metrics.count("vigie_reports_total", dialect=cloudevents.NAME, status=str(problem.status))
        self._book.count_refused(principal.id, problem, now_ms())
        place = (TOPIC, record.partition, record.offset)
        await self._refused.keep_now(
            RefusedMessage(
                principal,
                problem,
                record.value or b"",
                read_content_type(record),
                cloudevents.NAME,
                place=place,
                at=read_timestamp(record),
            )
        )


def is_match(pattern: str, name: str) -> bool:
    """Return whether a name equals a pattern, or begins like one that ends with `*`."""
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def read_timestamp(record: Any) -> Instant | None:
    """Return when the producer wrote the record, or None if it is not plausible.

    A wrong unit or clock must not affect the order of lists or the erasure.
    """
    now = now_ms()
    return record.timestamp if now - KEPT_MS < record.timestamp <= now else None


def read_corrector(record: Any) -> str | None:
    """Return the author of a correction; None for an original record."""
    return next(
        (
            _decode(value)[:TOKEN_CHARS]
            for name, value in record.headers
            if name == CORRECTOR_HEADER
        ),
        None,
    )


def read_content_type(record: Any) -> str:
    """Return the content type that the producer gave."""
    return next(
        (_decode(v)[:200] for n, v in record.headers if n.lower() == "content-type"), BINARY_TYPE
    )


def convert_record(record: Any) -> IntegrationRequest:
    """Convert a record to the equivalent HTTP request.

    Raises ProblemError `invalid` if it is no CloudEvent.
    """
    headers = {name.lower(): _decode(value) for name, value in reversed(record.headers)}
    event_headers = {
        f"ce-{name[3:]}": quote(value, safe=" ")
        for name, value in headers.items()
        if name.startswith("ce_")
    }
    came = read_timestamp(record)
    request = IntegrationRequest(
        "POST",
        TOPIC,
        (),
        {"content-type": headers.get("content-type", ""), **event_headers},
        record.value or b"",
        came=None if came is None else datetime.fromtimestamp(came / 1000, UTC),
    )
    if request.kind == cloudevents.BATCHED:
        raise build_field_problem(
            "content-type",
            "enum",
            "un enregistrement porte un seul événement",
            "a record holds a single event",
        )
    if request.kind != cloudevents.STRUCTURED and "ce-specversion" not in event_headers:
        raise build_field_problem(
            "ce_specversion",
            "missing",
            "ni en-têtes ce_* ni application/cloudevents+json",
            "neither ce_* headers nor application/cloudevents+json",
        )
    return request


def _decode(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")
