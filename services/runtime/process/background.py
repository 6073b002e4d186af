"""Run services that nobody waits for: one that is alone in its process, or several side by side.

One that is alone ends its process by name when it fails, and the supervisor starts it again. Side
by side, each is started again by itself, so a fault of one leaves the others at work. Only the end
of the process ends all of them. See `docs/adr/0073-run-four-services-in-one-process.md`.
"""

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog
import uvloop

from services.runtime.process import health, logs
from services.runtime.process.exits import EXITS, Stop, exit_now, stop_for_error
from services.runtime.process.restarts import RestartBackoff
from services.runtime.process.settings import Settings
from services.runtime.process.tasks import cancel_and_wait

log = structlog.get_logger(__name__)


class BackgroundService(Protocol):
    """A service that nobody waits for."""

    def fault(self) -> str | None:
        """Return why the service is not ready, None if it is."""
        ...

    async def run(self) -> None:
        """Run for ever.

        Raises Stop, HistoryChanged, KafkaError, OSError: start the service again then.
        """
        ...

    async def close(self) -> None:
        """Disconnect at the end, even while the broker is away."""
        ...


ServiceMaker = Callable[[], BackgroundService]
"""Makes a service with its settings from the environment."""


class _HostedService:
    """One service of this process: its life between two starts, and its state."""

    def __init__(self, name: str, make: ServiceMaker) -> None:
        self.name = name
        self._make = make
        self._service: BackgroundService | None = None
        self._why = ""
        self._starts_at = 0.0

    def fault(self) -> str | None:
        """Return why the service is not ready.

        Between two starts that is why it ended and when it starts again. The reason may be over by
        then, such as a full disk.
        """
        if self._service is not None:
            return self._service.fault()
        if not self._why:
            return "is starting"
        wait_s = max(round(self._starts_at - time.monotonic()), 0)
        return f"ended, starts again in {wait_s} s: {self._why}"

    async def run(self) -> None:
        self._service = self._make()
        await self._service.run()

    async def run_again_and_again(self) -> None:
        """Run the service until cancelled, and start it again after each failure."""
        structlog.contextvars.bind_contextvars(service=self.name)
        backoff = RestartBackoff()
        while True:
            began = time.monotonic()
            cause = await self._run_until_failure()
            self._why = f"{type(cause).__name__}: {cause}"
            code = EXITS[cause.name].code if isinstance(cause, Stop) else 1
            delay_s = backoff.next_delay_s(code, time.monotonic() - began)
            self._starts_at = time.monotonic() + delay_s
            log.error("service.failed", why=self._why, restart_in_s=delay_s, exc_info=cause)
            try:
                await self.close()
            except Exception:  # it is started again all the same
                log.exception("service.close_failed")
            await asyncio.sleep(delay_s)

    async def _run_until_failure(self) -> BaseException:
        """Run the service, and return why it ended. Raises CancelledError if this task is cancelled.

        A Kafka client that is stopped while the broker comes back may end with the cancellation of
        one of its own tasks.
        """
        try:
            await self.run()
        except asyncio.CancelledError as error:
            own = asyncio.current_task()
            if own is None or own.cancelling():
                raise
            return RuntimeError(f"one of its tasks was cancelled: {error!r}")
        except Exception as error:  # noqa: BLE001  it is started again
            return _find_cause(error)
        return RuntimeError("it ended by itself")

    async def close(self) -> None:
        service, self._service = self._service, None
        if service is not None:
            await service.close()


def run_background(process: str, makers: Mapping[str, ServiceMaker]) -> None:
    """Run services, by their names, in this process until SIGTERM."""
    logs.configure_logging(process)
    sys.setswitchinterval(0.001)  # The others wait for a thread of the planner
    try:
        uvloop.run(_run_until_signal(makers, Settings()))
    except ValueError:  # Settings that cannot be read: the hook of `logs` names them
        raise
    except Exception as error:  # noqa: BLE001  the process ends by name
        stop_for_error(_find_cause(error), "take.failed")
    log.info("process.stopped", process=process)
    exit_now()  # The interpreter would wait for a thread that computes a proposal


async def _run_until_signal(makers: Mapping[str, ServiceMaker], settings: Settings) -> None:
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await host_services(makers, settings, stopping)


async def host_services(
    makers: Mapping[str, ServiceMaker], settings: Settings, stopping: asyncio.Event
) -> None:
    """Run services, and their health at one port, until `stopping` is set.

    Raises the error of a service that is alone. Several are started again and again.
    """
    hosted = [_HostedService(name, make) for name, make in makers.items()]
    server = await health.serve_health(settings, {one.name: one.fault for one in hosted})
    is_alone = len(hosted) == 1
    tasks = [
        asyncio.create_task(one.run() if is_alone else one.run_again_and_again(), name=one.name)
        for one in hosted
    ]
    waiting = asyncio.create_task(stopping.wait(), name="stop")
    try:
        ended_tasks, _ = await asyncio.wait([*tasks, waiting], return_when=asyncio.FIRST_COMPLETED)
        for task in ended_tasks - {waiting}:
            task.result()
    finally:
        await cancel_and_wait([*tasks, waiting])
        await asyncio.gather(*(one.close() for one in hosted))
        await server.close()


def _find_cause(error: BaseException) -> BaseException:
    """Return the first error of a group of tasks, or the error itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
