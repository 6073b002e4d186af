"""A process that follows logs and answers with inputs: it reads, tells when it has caught up, and ends by name or when told."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Protocol

import structlog
import uvloop

from services.runtime.process import health, logs
from services.runtime.process.exits import leave, stop_for
from services.runtime.process.settings import Settings

log = structlog.get_logger(__name__)


class Background(Protocol):
    """What such a process does."""

    caught_up: bool

    async def run(self) -> None:
        """For ever. Raises Stop, HistoryChanged, KafkaError, OSError: the process must begin anew."""
        ...

    async def close(self) -> None:
        """Let go of the broker, also when it is away. For the end of the process."""
        ...


def run_background(name: str, make: Callable[[Settings], Background]) -> None:
    """Entry point of the process: settings from the environment, until SIGTERM."""
    logs.configure(name)
    try:
        uvloop.run(_until_told(name, make, Settings()))
    except* Exception as group:  # noqa: BLE001  whatever ended it, the process ends by name
        stop_for(group.exceptions[0], "take.failed")


async def _until_told(
    name: str, make: Callable[[Settings], Background], settings: Settings
) -> None:
    work = make(settings)
    server = await health.serve(
        settings, {"logs": lambda: None if work.caught_up else "still reading the logs"}
    )
    task = asyncio.create_task(work.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    stopped = False
    try:
        await task
    except asyncio.CancelledError:
        stopped = True
        log.info("process.stopped", process=name)
    finally:
        await work.close()
        await server.close()
    if stopped:
        leave()  # the interpreter would wait for what a thread computes at the lowest priority
