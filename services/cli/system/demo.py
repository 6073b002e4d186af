"""Play the demonstration of `vigie up --demo`: an exercise, and samples of the official feeds.

It runs in the process `background`. Two processes of its own would hold 91 MB.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

import structlog
import typer
from aiohttp import web

from services.appliance.supervisor.status import read_status
from services.cli.client import ApiRefused, VigieUnreachable
from services.cli.exercises.play import play
from services.cli.system.feed import SAMPLES, open_feed_demo
from services.runtime.process.settings import split_host_port
from services.watch.process import WatchSettings
from services.watch.samples import create_sample_app

LOOK_S: Final = 1.0
"""Seconds between two looks whether all of Vigie is ready."""
SCENARIO: Final = "S04"
SPEED: Final = "20"

log = structlog.get_logger(__name__)


class Demonstration:
    """One exercise for newcomers, played once, and a server of samples, which the watch reads.

    Its failures make nothing unready. After a restart of the process it continues the exercise and
    opens another one for the feeds.
    """

    def __init__(self, settings: WatchSettings, samples: Path = SAMPLES) -> None:
        self._settings = settings
        self._samples = samples
        self._server: web.AppRunner | None = None

    @classmethod
    def open(cls) -> Self:
        """Return the demonstration with settings from the environment."""
        return cls(WatchSettings())

    def fault(self) -> str | None:
        """Return None: nobody waits for a demonstration."""
        return None

    async def run(self) -> None:
        """Play for ever, once every process is ready: a call to one that starts may be lost."""
        status = self._settings.data.status
        while (read_status(status) or {}).get("state") != "ready":
            await asyncio.sleep(LOOK_S)
        _begin(self._play)
        try:
            await self._serve_samples()
        except OSError as error:
            log.warning("demo.no_feeds", why=str(error))
        else:
            _begin(self._open_feeds)
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Stop the server of samples."""
        server, self._server = self._server, None
        if server is not None:
            await server.cleanup()

    def _play(self) -> None:
        try:
            play(SCENARIO, speed=SPEED, realm=self._settings.demo_realm)
        except typer.Exit as error:  # It has printed why
            log.warning("demo.ended", code=error.exit_code)

    async def _serve_samples(self) -> None:
        host, port = split_host_port(self._settings.feeds_samples.rpartition("/")[2])
        # Open connections of the watch are not waited for
        self._server = web.AppRunner(
            create_sample_app(self._samples), access_log=None, shutdown_timeout=1.0
        )
        await self._server.setup()
        await web.TCPSite(self._server, host, port).start()

    def _open_feeds(self) -> None:
        try:
            realm = open_feed_demo(self._settings, self._samples)
            log.info("demo.feeds_opened", realm=realm)
        except (VigieUnreachable, ApiRefused, OSError) as error:
            log.warning("demo.no_feeds", why=str(error))


def _begin(work: Callable[[], None]) -> None:
    """Start work that the end of the process does not wait for. Its log lines name the service."""
    run = contextvars.copy_context().run
    threading.Thread(target=run, args=(work,), daemon=True).start()
