"""Run a process that follows logs and answers with inputs.

It is ready once it has caught up, and ends by name or on SIGTERM.
"""

import asyncio
import signal
from collections.abc import Callable
from typing import Protocol

import structlog
import uvloop

from services.runtime.process import health, logs
from services.runtime.process.exits import exit_now, stop_for_error
from services.runtime.process.settings import Settings

log = structlog.get_logger(__name__)


class BackgroundProcess(Protocol):
    """The work of such a process."""

    caught_up: bool

    async def run(self) -> None:
        """Run for ever.

        Raises Stop, HistoryChanged, KafkaError, OSError: restart the process then.
        """
        ...

    async def close(self) -> None:
        """Disconnect from the broker at the end of the process, even while the broker is away."""
        ...


def run_background(name: str, make: Callable[[Settings], BackgroundProcess]) -> None:
    """Run the process with settings from the environment, until SIGTERM."""
    logs.configure_logging(name)
    try:
        uvloop.run(_run_until_signal(name, make, Settings()))
    except* Exception as group:  # noqa: BLE001  the process ends by name
        stop_for_error(group.exceptions[0], "take.failed")


async def _run_until_signal(
    name: str, make: Callable[[Settings], BackgroundProcess], settings: Settings
) -> None:
    work = make(settings)
    server = await health.serve_health(
        settings, {"logs": lambda: None if work.caught_up else "still reading the logs"}
    )
    task = asyncio.create_task(work.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    has_stopped = False
    try:
        await task
    except asyncio.CancelledError:
        has_stopped = True
        log.info("process.stopped", process=name)
    finally:
        await work.close()
        await server.close()
    if has_stopped:
        exit_now()  # The interpreter would wait for a thread that computes at the lowest priority
