"""Periodic work beside the sender."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from services.runtime.kafka.clients import BrokerAway

log = structlog.get_logger(__name__)


async def run_periodically(name: str, work: Callable[[], Awaitable[None]], every_s: float) -> None:
    """Repeat `work` every `every_s` seconds until cancelled; a failed round is logged."""
    while True:
        try:
            await work()
        except BrokerAway as error:
            log.warning("round.broker_away", of=name, error=str(error))
        except Exception as error:  # noqa: BLE001
            # The rounds must go on: nobody would notice their end.
            log.error("round.failed", of=name, error=type(error).__name__)
        await asyncio.sleep(every_s)
