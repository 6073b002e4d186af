"""How far each decider is behind: inputs on its topic that its log has not applied yet. Read from the topics alone."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.base import Instant
from schemas.realms import live_partitions
from schemas.runtime import Rebased
from schemas.topics import PARTITIONS, SERVICES, inputs, log
from services.runtime.partitions import PartitionReader
from services.runtime.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the deciders stand, as the newest record of each log partition tells it."""

    lag: dict[str, int]
    """Service → inputs that are not applied yet, over all partitions."""
    next_due: Instant | None
    """The earliest deadline of the live realms that wrote last; None: there is none."""

    def is_quiet(self, now: Instant, within_ms: int) -> bool:
        """Return whether nothing waits to be decided, and nothing is due so soon."""
        return not any(self.lag.values()) and (self.next_due is None or self.next_due > now + within_ms)


async def read_lag(kafka: str) -> dict[str, int]:
    """Service → inputs that are not applied yet, over all partitions. Raises KafkaError, OSError."""
    async with PartitionReader(kafka) as reader:
        return (await read_standing(reader)).lag


async def newest_record_ms(kafka: str) -> int:
    """Return the newest time of the broker that a record of the logs carries, 0 without records. Raises KafkaError, OSError."""
    newest = 0
    async with PartitionReader(kafka) as reader:
        for service in SERVICES:
            bounds = await reader.bounds(log(service), range(PARTITIONS))
            last = await reader.at(log(service), {p: end - 1 for p, (begin, end) in bounds.items() if end > begin})
            newest = max([newest, *(record.timestamp for record in last.values())])
    return newest


async def read_standing(reader: PartitionReader) -> Standing:
    """Read where all deciders stand. Raises KafkaError, OSError."""
    lag, dues, live = dict[str, int](), list[Instant](), live_partitions(PARTITIONS)
    for service in SERVICES:
        partitions = range(PARTITIONS)
        ends = {p: end for p, (_, end) in (await reader.bounds(inputs(service), partitions)).items()}
        logged = {p: end for p, (begin, end) in (await reader.bounds(log(service), partitions)).items() if end > begin}
        found = await reader.at(log(service), {p: end - 1 for p, end in logged.items()})
        newest = {p: _transaction(record.value) for p, record in found.items()}
        applied = {p: _next_input(transaction) for p, transaction in newest.items()}
        lag[service] = sum(max(end - applied.get(p, 0), 0) for p, end in ends.items())
        dues += [t.next_due for p, t in newest.items() if p in live and t is not None and t.next_due is not None]
    return Standing(lag, min(dues, default=None))


def _transaction(raw: bytes) -> Transaction | None:
    try:
        return Transaction.load(raw)
    except (ValueError, KeyError):
        return None


def _next_input(transaction: Transaction | None) -> int:
    if transaction is None:
        return 0
    try:
        if transaction.src.type == Rebased.wire_type():
            return int(transaction.facts[0].data["next_offset"])
        return transaction.src.offset + 1
    except (ValueError, KeyError):
        return 0
