"""Read all facts of a realm from its three logs."""

from __future__ import annotations

from schemas.topics import PARTITION_COUNT, SERVICES, partition_of
from services.runtime.log.reader import LogReader
from services.runtime.log.transaction import FactRecord
from services.runtime.process.settings import Settings


async def read_history_by_service(settings: Settings, realm: str) -> dict[str, list[FactRecord]]:
    """Read the facts of one realm by service, in log order.

    Raises KafkaError and Stop.
    """
    facts: dict[str, list[FactRecord]] = {}
    for service in SERVICES:
        async with LogReader(
            settings.kafka, service, partitions=[partition_of(realm, PARTITION_COUNT)]
        ) as reader:
            facts[service] = [
                f
                async for a in reader.read_to_end()
                if a.transaction.realm == realm
                for f in a.transaction.facts
            ]
    return facts


async def read_history(settings: Settings, realm: str) -> list[FactRecord]:
    """Read the facts of one realm, service after service in log order.

    Raises KafkaError and Stop.
    """
    return [
        fact
        for facts in (await read_history_by_service(settings, realm)).values()
        for fact in facts
    ]
