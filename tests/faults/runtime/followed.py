"""Accepted records of toy logs, read on from the last position for repeated checks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from types import TracebackType
from typing import Any, Self

import orjson

from schemas.topics import PARTITION_COUNT, input_topic, input_topics, log_topic, urgent_topic
from services.runtime.log.partition_reader import PartitionReader

Chains = dict[int, list[dict[str, Any]]]
"""Partition → accepted records, each with the time in ms when it was `written`."""


@dataclass
class Chain:
    """Accepted records of one partition by the reader's rule, written here once more."""

    records: list[dict[str, Any]] = field(default_factory=list)
    next_offset: int = 0
    head: str = "0" * 32
    logic: int = 0

    def take(self, record: Any) -> None:
        """Accept the next record of the partition, or pass over it."""
        self.next_offset = record.offset + 1
        tx = orjson.loads(record.value)
        if (
            tx["seq"] == len(self.records) + 1
            and tx["prev"] == self.head
            and tx["logic"] >= self.logic
        ):
            self.head, self.logic = blake2b(record.value, digest_size=16).hexdigest(), tx["logic"]
            self.records.append(tx | {"written": record.timestamp})


class FollowedLogs:
    """`async with FollowedLogs(kafka) as followed`; a log that was cut is read again from its beginning."""

    def __init__(self, kafka: str) -> None:
        self._reader = PartitionReader(kafka)
        self._chains: dict[tuple[str, int], Chain] = {}

    async def __aenter__(self) -> Self:
        await self._reader.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._reader.__aexit__(kind, error, trace)

    async def chains(self, service: str) -> Chains:
        """Return everything that is accepted up to now."""
        topic = log_topic(service)
        bounds = await self._reader.bounds(topic, range(PARTITION_COUNT))
        ranges = {
            p: (max(begin, self._next_offset(topic, p, end)), end)
            for p, (begin, end) in bounds.items()
        }
        async for record in self._reader.read(topic, ranges):
            self._chains[topic, record.partition].take(record)
        return {p: self._chains[topic, p].records for p in range(PARTITION_COUNT)}

    def _next_offset(self, topic: str, partition: int, end: int) -> int:
        """Return where to read on."""
        chain = self._chains.get((topic, partition))
        if chain is None or chain.next_offset > end:
            chain = self._chains[topic, partition] = Chain()
        return chain.next_offset

    async def ends(self, topics: Iterable[str]) -> dict[tuple[str, int], int]:
        """Return (topic, partition) → next offset to be written."""
        end_offsets = {}
        for topic in topics:
            bounds = await self._reader.bounds(topic, range(PARTITION_COUNT))
            end_offsets |= {(topic, p): end for p, (_, end) in bounds.items()}
        return end_offsets

    async def applied(self, service: str) -> dict[tuple[str, int], int]:
        """Return (input topic, partition) → offset of the last applied input; -1 before the first."""
        return _applied(service, await self.chains(service))

    async def is_settled(self, service: str) -> bool:
        """Return whether every input is applied and no ladder of a live realm is left."""
        chains = await self.chains(service)
        ends = await self.ends(input_topics(service))
        return not _has_live_ladders(chains) and _applied(service, chains) == {
            place: end - 1 for place, end in ends.items()
        }


def _applied(service: str, chains: Chains) -> dict[tuple[str, int], int]:
    applied = {(topic, p): -1 for topic in input_topics(service) for p in chains}
    for p, chain in chains.items():
        for tx in chain:
            if (source := tx["src"])["topic"]:
                applied[source["topic"], p] = source["offset"]
            elif tx["facts"][0]["type"] == "vigie.Rebased.v1":
                applied |= _rebased(service, p, tx["facts"][0]["data"])
    return applied


def _has_live_ladders(chains: Chains) -> bool:
    newest = {tx["realm"]: tx["next_due"] for chain in chains.values() for tx in chain}
    return any(due is not None for realm, due in newest.items() if realm and "~" not in realm)


def _rebased(service: str, partition: int, data: dict[str, Any]) -> dict[tuple[str, int], int]:
    """Return the positions that a record declares as applied after a loss."""
    positions = {(input_topic(service), partition): data["next_offset"] - 1}
    if data.get("urgent_next_offset") is not None:
        positions[urgent_topic(service), partition] = data["urgent_next_offset"] - 1
    return positions
