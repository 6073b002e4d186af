"""Log records that concern an incident, byte for byte, so that their chain can be checked alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import Any, Final

import orjson

from services.console.evidence.bundle import Bundle
from services.console.logbook.lines import is_shown_in
from services.runtime.log.chain import Position, advance_position
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.log.reader import find_newest_logic
from services.runtime.log.transaction import Transaction, compute_digest

MEMORY_BYTES: Final = 8 << 20
CHUNK_BYTES: Final = 256 << 10
RECORDS_PER_TURN: Final = 200
"""Number of records after which other requests get a turn."""


@dataclass(slots=True)
class LogExcerpt:
    """Part of one log in a bundle: every record from the first to the last that names the incident.

    A record of another realm is withheld: its line gives the hash only, so the chain stays
    complete.
    """

    partition: int
    records: int = 0
    withheld: int = 0
    first: dict[str, Any] | None = None
    last: dict[str, Any] | None = None
    person: list[Transaction] = field(default_factory=list)
    """Transactions of personal commands that name the incident."""

    def about(self) -> dict[str, Any]:
        """Return the description for the manifest."""
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
    stretch: LogExcerpt,
) -> AsyncGenerator[bytes, None]:
    """Write `log/<service>.jsonl`, fill `stretch`, and yield bytes to send on the way.

    Line n holds the bytes of a record; their BLAKE2b-128 is `prev` of line n + 1. Raises
    KafkaError, OSError, Stop.
    """
    begin, end = (await reader.bounds(topic, [partition]))[partition]
    at, incident_bytes, logic = Position(), incident.encode(), find_newest_logic(service)
    with bundle.entry(f"log/{service}.jsonl") as entry, SpooledTemporaryFile(MEMORY_BYTES) as tail:
        waiting: list[tuple[int, str, bool]] = []
        byte_count = 0
        async with aclosing(_read_records(reader, topic, partition, begin, end)) as records:
            async for offset, raw in records:
                at, tx = advance_position(at, offset, raw, logic)
                if offset % RECORDS_PER_TURN == 0:
                    await asyncio.sleep(0)
                if tx is None:
                    continue
                mine = is_shown_in(realm, tx, partition)
                concerns = mine and incident_bytes in raw
                if stretch.first is None and not concerns:
                    continue
                if stretch.first is None:
                    stretch.first = {"seq": tx.seq, "prev": tx.prev}
                line = (
                    raw
                    if mine
                    else orjson.dumps(
                        {"withheld": True, "seq": tx.seq, "hash": compute_digest(raw)}
                    )
                )
                tail.write(line + b"\n")
                waiting.append((tx.seq, compute_digest(raw), mine))
                if not concerns:
                    continue
                if tx.src.source.startswith("person:"):
                    stretch.person.append(tx)
                tail.seek(0)
                while block := tail.read(CHUNK_BYTES):
                    entry.write(block)
                    byte_count += len(block)
                tail.seek(0)
                tail.truncate()
                stretch.records += len(waiting)
                stretch.withheld += sum(not own for _seq, _hash, own in waiting)
                seq, hash, _own = waiting[-1]
                stretch.last = {"seq": seq, "hash": hash}
                waiting.clear()
                if byte_count >= CHUNK_BYTES:
                    byte_count = 0
                    yield bundle.drain()


async def _read_records(
    reader: PartitionReader, topic: str, partition: int, begin: int, end: int
) -> AsyncGenerator[tuple[int, bytes], None]:
    async for record in reader.read(topic, {partition: (begin, end)}):
        yield record.offset, record.value
