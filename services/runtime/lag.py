"""How far each decider is behind: inputs on its topic that its log has not applied yet. Read from the topics alone."""

from __future__ import annotations

from schemas.runtime import Rebased
from schemas.topics import PARTITIONS, SERVICES, inputs, log
from services.runtime.partitions import PartitionReader
from services.runtime.transaction import Transaction


async def read_lag(kafka: str) -> dict[str, int]:
    """Service → inputs that are not applied yet, over all partitions. Raises KafkaError, OSError."""
    async with PartitionReader(kafka) as reader:
        return {service: await _lag(reader, service) for service in SERVICES}


async def newest_record_ms(kafka: str) -> int:
    """Return the newest time of the broker that a record of the logs carries, 0 without records. Raises KafkaError, OSError."""
    newest = 0
    async with PartitionReader(kafka) as reader:
        for service in SERVICES:
            bounds = await reader.bounds(log(service), range(PARTITIONS))
            last = await reader.at(log(service), {p: end - 1 for p, (begin, end) in bounds.items() if end > begin})
            newest = max([newest, *(record.timestamp for record in last.values())])
    return newest


async def _lag(reader: PartitionReader, service: str) -> int:
    partitions = range(PARTITIONS)
    ends = {p: end for p, (_, end) in (await reader.bounds(inputs(service), partitions)).items()}
    logged = {p: end for p, (begin, end) in (await reader.bounds(log(service), partitions)).items() if end > begin}
    newest = await reader.at(log(service), {p: end - 1 for p, end in logged.items()})
    applied = {p: _next_input(record.value) for p, record in newest.items()}
    return sum(max(end - applied.get(p, 0), 0) for p, end in ends.items())


def _next_input(raw: bytes) -> int:
    try:
        transaction = Transaction.load(raw)
        if transaction.src.type == Rebased.wire_type():
            return int(transaction.facts[0].data["next_offset"])
        return transaction.src.offset + 1
    except (ValueError, KeyError):
        return 0
