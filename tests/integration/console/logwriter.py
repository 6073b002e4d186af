"""Writer of true log records, chained as by a worker, to test the read side alone."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from aiokafka import AIOKafkaProducer

from schemas.base import Fact, Message
from schemas.reference import ReferencePublished
from schemas.runtime import CommandApplied, LossDeclared, RealmOpened, Rebased, Tick
from schemas.topics import PARTITION_COUNT, derive_id, input_topic, log_topic, partition_of
from services.runtime.kafka.security import get_client_options
from services.runtime.log.chain import Position, advance_position
from services.runtime.log.reader import find_newest_logic
from services.runtime.log.transaction import FactRecord, Transaction, TransactionSource
from services.territory import Territory


def record(fact: Fact, id: str, at: int) -> FactRecord:
    return FactRecord(fact.wire_type(), id, at, fact.model_dump(mode="json"))


@dataclass
class Chains:
    """Builds Transactions of the three services; keeps the chain of every log partition."""

    positions: dict[tuple[str, int], Position] = field(default_factory=dict)
    applied: dict[tuple[str, int], int] = field(default_factory=dict)

    def make(
        self,
        service: str,
        realm: str,
        facts: Sequence[Fact],
        at: int,
        *,
        cause: type[Message] = Tick,
        id: str | None = None,
        source: str = "test",
        times: Sequence[int] = (),
        digest: str = "0" * 32,
    ) -> tuple[int, bytes]:
        """(partition, bytes) of the next record. `times`: own time per fact, if not `at`."""
        partition = partition_of(realm, PARTITION_COUNT)
        key = service, partition
        before = self.positions.get(key, Position())
        offset = self.applied[key] = self.applied.get(key, -1) + 1
        input_id = id or str(uuid.uuid4())
        src = TransactionSource(
            input_topic(service),
            partition,
            offset,
            digest,
            input_id,
            cause.wire_type(),
            source,
            at,
            input_id,
            input_id,
        )
        records = tuple(
            record(f, derive_id(realm, input_id, type(f).__name__, n), times[n] if times else at)
            for n, f in enumerate(facts)
        )
        history = before.history + (cause is LossDeclared)
        of = (
            "" if cause in (LossDeclared, Rebased) else realm
        )  # as `services.runtime.log.chain.declare`
        tx = Transaction(
            1, before.seq + 1, before.hash, history, "test", service, of, of, src, at, records, None
        )
        raw = tx.dump()
        after, accepted = advance_position(before, before.next, raw, find_newest_logic(service))
        assert accepted is not None
        self.positions[key] = after
        return partition, raw


class LogWriter:
    """Chains on a real broker without another writer."""

    def __init__(self, kafka: str) -> None:
        self.chains = Chains()
        self._producer = AIOKafkaProducer(
            bootstrap_servers=kafka,
            acks="all",
            enable_idempotence=True,
            linger_ms=2,
            **get_client_options(),
        )

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def append(self, service: str, realm: str, *facts: Fact, at: int, **more: object) -> None:
        """Append one Transaction and wait for its acknowledgement."""
        partition, raw = self.chains.make(service, realm, facts, at, **more)  # type: ignore[arg-type]
        await self._producer.send_and_wait(
            log_topic(service), raw, key=realm.encode(), partition=partition
        )

    async def append_vain(self, service: str, realm: str, at: int) -> None:
        """Append a record on an outdated head, as a worker with an unknown successor would.

        No reader accepts it.
        """
        chains = Chains(dict(self.chains.positions), dict(self.chains.applied))
        chains.positions[service, partition_of(realm, PARTITION_COUNT)] = Position()
        partition, raw = chains.make(service, realm, (), at)
        await self._producer.send_and_wait(
            log_topic(service), raw, key=realm.encode(), partition=partition
        )

    async def enqueue(self, service: str, realm: str, *facts: Fact, at: int) -> None:
        """Append without waiting."""
        partition, raw = self.chains.make(service, realm, facts, at)
        await self._producer.send(log_topic(service), raw, key=realm.encode(), partition=partition)

    async def flush(self) -> None:
        await self._producer.flush()

    async def open(self, realm: str, territory: Territory, at: int) -> None:
        """Open the realm as alerts records it, with its reference data."""
        opened = RealmOpened(territory="92", title_code="test", started_at=at, lineage=realm)
        applied = CommandApplied(
            command_id=f"open:{realm}", command="OpenRealm", result={"realm": realm}
        )
        await self.append("alerts", realm, opened, applied, at=at, id=f"open:{realm}")
        last = len(territory.sections) - 1
        for n, section in enumerate(territory.sections):
            await self.append(
                "alerts",
                realm,
                ReferencePublished(reference=territory.version, data=section, last=n == last),
                at=at,
            )
