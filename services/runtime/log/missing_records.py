"""Decide whether a missing record is lost or only not visible yet.

On a topic with one copy, a missing record is lost. With several copies the leader can change: a new
leader shows the end of its log only after its followers have confirmed it, and a broker that was
cut off may answer for a log that it no longer leads. So a missing record is looked for again for
VISIBLE_S. A record with other bytes than before is damage, under any leader. See
`docs/explanation/log-protocol.md`, "A leader change is not a loss".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog
from aiokafka.admin import AIOKafkaAdminClient

from services.runtime.kafka.security import get_client_options
from services.runtime.process.exits import Stop

T = TypeVar("T")
VISIBLE_S: Final = 30.0
"""Seconds after which a missing record of a replicated topic counts as lost."""
RETRY_S: Final = 0.5
log = structlog.get_logger(__name__)


class RecordMissing(Stop):
    """A record that existed is missing; on a replicated topic it may not be visible yet."""


async def retry_until_visible(kafka: str, topic: str, look: Callable[[], Awaitable[T]]) -> T:
    """Return the result of `look`; it is called again while it raises Missing.

    Gives up after VISIBLE_S, and at once if the topic has one copy. Other exceptions of `look` pass
    unchanged.
    """
    give_up: float | None = None
    while True:
        try:
            answer = await look()
        except RecordMissing as error:
            if give_up is None:
                give_up = time.monotonic() + (
                    VISIBLE_S if await is_replicated(kafka, topic) else 0.0
                )
                log.warning("record.not_visible", topic=topic, detail=error.detail)
            if time.monotonic() >= give_up:
                raise
            await asyncio.sleep(RETRY_S)
        else:
            if give_up is not None:
                log.info("record.visible", topic=topic)
            return answer


async def is_replicated(kafka: str, topic: str) -> bool:
    """Return whether several brokers keep some partition of a topic. Raises KafkaError."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka, **get_client_options())
    try:
        await admin.start()
        (description,) = await admin.describe_topics([topic])
    finally:
        await admin.close()
    return any(len(partition["replicas"]) > 1 for partition in description["partitions"])
