"""Doubt about a missing record: is it lost, or does a new leader not show it yet?

A topic with one copy answers at once. With several copies a leader can change: the new one shows the end of its log only when the
others have confirmed it, and a broker that was cut off may speak for a log that it no longer leads. A record that is missing is
therefore looked for again for VISIBLE_S. A record that is another one than before is damage whoever leads (docs/explanation/log-protocol.md).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog
from aiokafka.admin import AIOKafkaAdminClient

from services.runtime.kafka.security import client_options
from services.runtime.process.exits import Stop

T = TypeVar("T")
VISIBLE_S: Final = 30.0
"""Seconds for which a missing record of a topic with copies is looked for before it counts as lost."""
AGAIN_S: Final = 0.5
log = structlog.get_logger(__name__)


class Missing(Stop):
    """A record that was there is missing; with copies it may be not visible yet."""


async def look_until_visible(kafka: str, topic: str, look: Callable[[], Awaitable[T]]) -> T:
    """Return what `look` finds. Look again while it raises Missing, at most VISIBLE_S, when the topic has copies.

    Raises Missing when the time is over, and whatever else `look` raises, at once.
    """
    give_up: float | None = None
    while True:
        try:
            found = await look()
        except Missing as error:
            if give_up is None:
                give_up = time.monotonic() + (VISIBLE_S if await has_copies(kafka, topic) else 0.0)
                log.warning("record.not_visible", topic=topic, detail=error.detail)
            if time.monotonic() >= give_up:
                raise
            await asyncio.sleep(AGAIN_S)
        else:
            if give_up is not None:
                log.info("record.visible", topic=topic)
            return found


async def has_copies(kafka: str, topic: str) -> bool:
    """Return whether some partition of a topic is kept by more than one broker. Raises KafkaError."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka, **client_options())
    try:
        await admin.start()
        (described,) = await admin.describe_topics([topic])
    finally:
        await admin.close()
    return any(len(partition["replicas"]) > 1 for partition in described["partitions"])
