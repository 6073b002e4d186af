"""`python -m services.console`: the console process."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI

from services.console.app import console
from services.console.decisions import Decisions
from services.console.stream import Hub
from services.runtime import health, logs, tracing
from services.runtime.collecting import collecting
from services.runtime.ending import end, in_thread
from services.runtime.settings import DataDir, Settings, split_host_port

GRACE_S = 3
STARTED_EVERY_S = 0.5
log = structlog.get_logger(__name__)


class Server(uvicorn.Server):
    """uvicorn that leaves signals to `serve`, so that live streams end before it waits for open requests."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are handled by the caller."""
        yield


def serving(app: Any) -> uvicorn.Config:
    """The front alone speaks to it, wherever it runs, and says who called: it lets no caller's own word through (services/intake/proxy.py)."""
    return uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, lifespan="off", timeout_graceful_shutdown=GRACE_S,
        proxy_headers=True, forwarded_allow_ips="*",
    )  # fmt: skip


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    async with collecting(), console(settings) as app:
        hub: Hub = app.state.hub
        decisions: Decisions = app.state.decisions
        server = Server(serving(app))

        def stop() -> None:
            hub.close()
            decisions.answers.end()
            server.should_exit = True

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        listening = _listening(settings)
        probes = await health.serve(settings.health_port, app.state.health.ready, live=app.state.health.live)
        host, port = listening.getsockname()[:2]
        log.info("console.listening", address=f"{host}:{port}")
        describing = asyncio.create_task(_describe(app, settings.data), name="openapi")
        try:
            await server.serve(sockets=[listening])
        finally:
            await end([describing])
            await probes.close()


async def _describe(app: FastAPI, data: DataDir) -> None:
    """`/openapi.json` takes a second to make: not on anybody's time, so neither while the system starts nor in the loop."""
    starting = health.system_started(data)
    while starting() is not None:
        await asyncio.sleep(STARTED_EVERY_S)
    await in_thread(app.openapi)


def _listening(settings: Settings) -> socket.socket:
    """The supervisor's socket when it gave one: connections queue in it while this process restarts."""
    if settings.console_fd is not None:
        return socket.socket(fileno=settings.console_fd)
    host, port = split_host_port(settings.console or "127.0.0.1:0")
    return socket.create_server((host, port), reuse_port=False, backlog=512)


def main() -> None:
    """Entry point."""
    logs.configure("console")
    tracing.configure("console")
    uvloop.run(serve(Settings()))


if __name__ == "__main__":
    main()
