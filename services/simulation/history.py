"""Everything that a realm's three logs hold, read by the reader's rule."""

from __future__ import annotations

from schemas.realms import partition_of
from schemas.topics import PARTITIONS, SERVICES
from services.runtime.log.reader import LogReader
from services.runtime.log.transaction import FactRecord
from services.runtime.process.settings import Settings


async def read_history_by_service(settings: Settings, realm: str) -> dict[str, list[FactRecord]]:
    """Facts of one realm per service, in log order. Raises KafkaError, Stop."""
    facts: dict[str, list[FactRecord]] = {}
    for service in SERVICES:
        async with LogReader(
            settings.kafka, service, partitions=[partition_of(realm, PARTITIONS)]
        ) as reader:
            facts[service] = [
                f
                async for a in reader.read_to_end()
                if a.transaction.realm == realm
                for f in a.transaction.facts
            ]
    return facts


async def read_history(settings: Settings, realm: str) -> list[FactRecord]:
    """Facts of one realm, service after service in log order. Raises KafkaError, Stop."""
    return [
        fact
        for facts in (await read_history_by_service(settings, realm)).values()
        for fact in facts
    ]
