"""Lag of each decider: inputs that its log has not applied yet, read from the topics alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.base import Instant
from schemas.runtime import Rebased
from schemas.topics import (
    PARTITION_COUNT,
    SERVICES,
    input_topics,
    is_urgent,
    live_partitions,
    log_topic,
)
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.log.transaction import Transaction


@dataclass(frozen=True, slots=True)
class DecidersProgress:
    """Progress of the deciders, by the newest record of each log partition."""

    lag: dict[str, int]
    """Service → inputs that are not applied yet, over all partitions and lanes."""
    next_due: Instant | None
    """Earliest deadline of the live realms that wrote last; None without one."""
    newest_at: Instant = 0
    """Newest broker time among the records of the logs; 0 without records."""

    def is_quiet(self, now: Instant, within_ms: int) -> bool:
        """Return whether no input waits and no deadline is due within `within_ms`."""
        return not any(self.lag.values()) and (
            self.next_due is None or self.next_due > now + within_ms
        )


async def read_system_progress(kafka: str) -> DecidersProgress:
    """Read the progress of all deciders with a reader of its own. Raises KafkaError, OSError."""
    async with PartitionReader(kafka) as reader:
        return await read_progress(reader)


async def read_progress(reader: PartitionReader) -> DecidersProgress:
    """Read the progress of all deciders. Raises KafkaError, OSError."""
    lag, dues, live = dict[str, int](), list[Instant](), live_partitions(PARTITION_COUNT)
    newest_at = 0
    for service in SERVICES:
        ends = {
            (topic, p): end
            for topic in input_topics(service)
            for p, (_, end) in (await reader.bounds(topic, range(PARTITION_COUNT))).items()
        }
        records = await _read_newest_records(reader, service, range(PARTITION_COUNT))
        newest_at = max([newest_at, *(record.timestamp for record in records.values())])
        newest = _parse_records(records)
        progress = {
            (topic, p): offset
            for p, transaction in newest.items()
            for topic, offset in list_applied_offsets(transaction, service).items()
        }
        lag[service] = sum(max(end - 1 - progress.get(place, -1), 0) for place, end in ends.items())
        dues += [t.next_due for p, t in newest.items() if p in live and t.next_due is not None]
    return DecidersProgress(lag, min(dues, default=None), newest_at)


async def read_newest_transactions(
    reader: PartitionReader, service: str, partitions: Iterable[int]
) -> dict[int, Transaction]:
    """Return partition → the Transaction at the end of its log, without empty partitions.

    Raises KafkaError, OSError.
    """
    return _parse_records(await _read_newest_records(reader, service, partitions))


async def _read_newest_records(
    reader: PartitionReader, service: str, partitions: Iterable[int]
) -> dict[int, Any]:
    """Return partition → the record at the end of its log, without empty partitions."""
    bounds = await reader.bounds(log_topic(service), partitions)
    return await reader.at(
        log_topic(service), {p: end - 1 for p, (begin, end) in bounds.items() if end > begin}
    )


def _parse_records(records: Mapping[int, Any]) -> dict[int, Transaction]:
    transactions = {p: _parse_transaction(record.value) for p, record in records.items()}
    return {p: transaction for p, transaction in transactions.items() if transaction is not None}


def list_applied_offsets(transaction: Transaction, service: str) -> dict[str, int]:
    """Return input topic → offset of the last applied input, after one record of the log."""
    normal, *others = input_topics(service)
    source = transaction.src
    if source.type == Rebased.wire_type():
        data = transaction.facts[0].data
        urgent_next = data.get("urgent_next_offset")
        urgent = {topic: int(urgent_next) - 1 for topic in others if urgent_next is not None}
        return {normal: int(data["next_offset"]) - 1} | urgent
    beside = -1 if source.beside is None else source.beside
    if is_urgent(source.topic):
        return {source.topic: source.offset, normal: beside}
    return {normal: source.offset} | dict.fromkeys(others, beside)


def _parse_transaction(raw: bytes) -> Transaction | None:
    try:
        return Transaction.load(raw)
    except (ValueError, KeyError):
        return None
