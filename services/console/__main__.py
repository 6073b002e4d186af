"""Run the console process: `python -m services.console`."""

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
import uvicorn
import uvloop

from services.console.app import open_console
from services.console.http.decisions import CommandDispatcher
from services.console.live.stream import StreamHub
from services.runtime.process import health, logs, tracing
from services.runtime.process.machine import freeze_long_lived
from services.runtime.process.settings import UNIX_PREFIX, Settings, split_host_port
from services.runtime.process.sockets import open_unix_socket
from services.runtime.secrets.front_mark import FrontGuard, FrontMark

GRACE_S = 3
log = structlog.get_logger(__name__)


class ConsoleServer(uvicorn.Server):
    """Run uvicorn without its signal handlers.

    `serve` handles signals, so live streams end before the server waits for open requests.
    """

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the caller."""
        yield


def build_server_config(app: Any) -> uvicorn.Config:
    """Return the uvicorn configuration.

    uvicorn trusts no proxy header: the front passes on the client address under its own mark
    (`FrontGuard`).
    """
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=GRACE_S,
        proxy_headers=False,
    )


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    freeze_long_lived()
    async with open_console(settings) as app:
        hub: StreamHub = app.state.hub
        decisions: CommandDispatcher = app.state.decisions
        server = ConsoleServer(
            build_server_config(FrontGuard(app, FrontMark.open(settings.data.secrets)))
        )

        def stop() -> None:
            hub.close()
            decisions.answers.end()
            server.should_exit = True

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        listening = _open_socket(settings)
        probes = await health.serve_health(
            settings, app.state.health.ready, live=app.state.health.live
        )
        log.info("console.listening", address=_format_address(listening))
        try:
            await server.serve(sockets=[listening])
        finally:
            await probes.close()


def _open_socket(settings: Settings) -> socket.socket:
    """Return the listening socket.

    The supervisor's socket wins if there is one: it queues connections while this process restarts.
    """
    if settings.console_fd is not None:
        return socket.socket(fileno=settings.console_fd)
    if settings.console.startswith(UNIX_PREFIX):
        return open_unix_socket(Path(settings.console.removeprefix(UNIX_PREFIX)))
    host, port = split_host_port(settings.console or "127.0.0.1:0")
    return socket.create_server((host, port), reuse_port=False, backlog=512)


def _format_address(listening: socket.socket) -> str:
    name = listening.getsockname()
    return f"{UNIX_PREFIX}{name}" if listening.family == socket.AF_UNIX else f"{name[0]}:{name[1]}"


def main() -> None:
    """Run the console until it is stopped."""
    logs.configure_logging("console")
    tracing.configure_tracing("console")
    uvloop.run(serve(Settings()))


if __name__ == "__main__":
    main()
