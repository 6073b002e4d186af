"""Publish a territory to a realm, one input per section.

Reference data is ordered like any other input.
"""

from typing import Protocol

from schemas.base import Instant, Message
from schemas.reference import PublishReference
from schemas.runtime import OpenRealm
from schemas.topics import select_urgent_topic
from services.territory import Territory


class RecordSender(Protocol):
    """The part of `RecordProducer` that publishing needs."""

    async def send(
        self, topic: str, realm: str, message: Message, *, id: str, source: str
    ) -> tuple[int, int]: ...


def build_reference_commands(
    territory: Territory, realm: str, author: str, role: str
) -> list[tuple[str, PublishReference]]:
    """Build (input id, command) for each section, in order.

    Ids carry the version, so publishing a version twice changes nothing.
    """
    last = len(territory.sections) - 1
    return [
        (
            f"reference:{realm}:{territory.version}:{section.section}",
            PublishReference(
                author=author, role=role, reference=territory.version, data=section, last=n == last
            ),
        )
        for n, section in enumerate(territory.sections)
    ]


async def publish_territory(producer: RecordSender, territory: Territory, realm: str) -> None:
    """Send every section to alerts, which forwards them to the other services.

    Returns when all are accepted. Raises BrokerAway.
    """
    author = "system:reference"
    for input_id, command in build_reference_commands(territory, realm, author, "admin"):
        await producer.send(
            select_urgent_topic("alerts", realm), realm, command, id=input_id, source=f"/{author}"
        )


async def open_live_realm(producer: RecordSender, territory: Territory, now: Instant) -> None:
    """Open the territory's live realm and publish the reference data.

    Opening it again changes nothing.
    """
    command = OpenRealm(
        author="system:up",
        role="admin",
        territory=territory.code,
        title_code="live",
        started_at=now,
    )
    await producer.send(
        select_urgent_topic("alerts", territory.code),
        territory.code,
        command,
        id=f"open:{territory.code}",
        source="/system:up",
    )
    await publish_territory(producer, territory, territory.code)
