"""Everything that a realm's three logs hold, read by the reader's rule."""

from __future__ import annotations

from schemas.realms import partition_of
from schemas.topics import PARTITIONS, SERVICES
from services.runtime.reader import LogReader
from services.runtime.settings import Settings
from services.runtime.transaction import FactRecord


async def read_history(settings: Settings, realm: str) -> list[FactRecord]:
    """Facts of one realm, service after service in log order. Raises KafkaError, Stop."""
    facts: list[FactRecord] = []
    for service in SERVICES:
        async with LogReader(settings.kafka, service, partitions=[partition_of(realm, PARTITIONS)]) as reader:
            facts += [f async for a in reader.read_to_end() if a.transaction.realm == realm for f in a.transaction.facts]
    return facts
