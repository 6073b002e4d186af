"""The records of the logs that concern an incident, byte for byte, so that their chain can be checked without the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import Any, Final

import orjson

from services.console.evidence.bundle import Bundle
from services.console.logbook.lines import is_told_in
from services.runtime.log.chain import Position, follow
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.log.reader import newest_logic
from services.runtime.log.transaction import Transaction, digest

IN_MEMORY: Final = 8 << 20
SENT_FROM: Final = 256 << 10
BREATH: Final = 200
"""Records after which other requests get a turn."""


@dataclass(slots=True)
class Stretch:
    """What a bundle holds of one log: every record from the first that names the incident to the last.

    A record of another realm is withheld: its line tells its hash alone, and the chain goes on through it.
    """

    partition: int
    records: int = 0
    withheld: int = 0
    first: dict[str, Any] | None = None
    last: dict[str, Any] | None = None
    person: list[Transaction] = field(default_factory=list)
    """Transactions that a person's command caused and that name the incident."""

    def about(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "partition": self.partition,
            "records": self.records,
            "withheld": self.withheld,
            "first": self.first,
            "last": self.last,
        }


async def write_log(
    bundle: Bundle,
    reader: PartitionReader,
    service: str,
    topic: str,
    partition: int,
    realm: str,
    incident: str,
    stretch: Stretch,
) -> AsyncGenerator[bytes, None]:
    """Writes `log/<service>.jsonl` and fills `stretch`; yields what can be sent on the way.

    Line n is a record's bytes: BLAKE2b-128 of it is what line n + 1 has as `prev`. Raises KafkaError, OSError, Stop.
    """
    begin, end = (await reader.bounds(topic, [partition]))[partition]
    at, named, logic = Position(), incident.encode(), newest_logic(service)
    with bundle.entry(f"log/{service}.jsonl") as entry, SpooledTemporaryFile(IN_MEMORY) as tail:
        waiting: list[tuple[int, str, bool]] = []
        sent = 0
        async with aclosing(_records(reader, topic, partition, begin, end)) as records:
            async for offset, raw in records:
                at, tx = follow(at, offset, raw, logic)
                if offset % BREATH == 0:
                    await asyncio.sleep(0)
                if tx is None:
                    continue
                mine = is_told_in(realm, tx, partition)
                concerns = mine and named in raw
                if stretch.first is None and not concerns:
                    continue
                if stretch.first is None:
                    stretch.first = {"seq": tx.seq, "prev": tx.prev}
                line = (
                    raw
                    if mine
                    else orjson.dumps({"withheld": True, "seq": tx.seq, "hash": digest(raw)})
                )
                tail.write(line + b"\n")
                waiting.append((tx.seq, digest(raw), mine))
                if not concerns:
                    continue
                if tx.src.source.startswith("person:"):
                    stretch.person.append(tx)
                tail.seek(0)
                while block := tail.read(SENT_FROM):
                    entry.write(block)
                    sent += len(block)
                tail.seek(0)
                tail.truncate()
                stretch.records += len(waiting)
                stretch.withheld += sum(not own for _seq, _hash, own in waiting)
                seq, hash, _own = waiting[-1]
                stretch.last = {"seq": seq, "hash": hash}
                waiting.clear()
                if sent >= SENT_FROM:
                    sent = 0
                    yield bundle.take()


async def _records(
    reader: PartitionReader, topic: str, partition: int, begin: int, end: int
) -> AsyncGenerator[tuple[int, bytes], None]:
    async for record in reader.read(topic, {partition: (begin, end)}):
        yield record.offset, record.value
