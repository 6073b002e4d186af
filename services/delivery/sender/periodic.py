"""Work that is done again and again beside the sender."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from services.runtime.kafka.clients import BrokerAway

log = structlog.get_logger(__name__)


async def rounds(name: str, work: Callable[[], Awaitable[None]], every_s: float) -> None:
    """`work` every so many seconds until cancelled. A round that fails is told, and is not the last."""
    while True:
        try:
            await work()
        except BrokerAway as error:
            log.warning("round.broker_away", of=name, error=str(error))
        except Exception as error:  # noqa: BLE001  whatever it is: nobody would notice that no round comes any more
            log.error("round.failed", of=name, error=type(error).__name__)
        await asyncio.sleep(every_s)
