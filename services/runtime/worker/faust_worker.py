"""Faust's worker as a quiet process of Vigie that keeps its title and stops soon after SIGTERM."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Final

import faust
import structlog

from services.runtime.process.exits import exit_now

STOP_TIMEOUT_S: Final = 10.0
"""Longest time from SIGTERM to the end of the process.

Faust may wait for ever for a broker that is away, and a hard end loses nothing.
"""
log = structlog.get_logger(__name__)


class StoppingWorker(faust.Worker):
    """Worker that keeps the process title and stops on request, even while the broker is away."""

    def _setproctitle(self, info: str, *, ident: str = "") -> None:
        pass

    def _schedule_shutdown(self, signal: Any) -> None:
        timer = threading.Timer(STOP_TIMEOUT_S, _cut_stop_short)
        timer.daemon = True
        timer.start()
        super()._schedule_shutdown(signal)


def _cut_stop_short() -> None:
    log.warning("worker.stop_cut_short", after_s=STOP_TIMEOUT_S)
    exit_now()


def run_faust_app(app: Any, loop: asyncio.AbstractEventLoop) -> None:
    """Run a Faust app until the process gets a signal to stop."""
    worker = StoppingWorker(
        app,
        loop=loop,
        loglevel="WARNING",
        redirect_stdouts=False,
        override_logging=False,
        quiet=True,
    )
    worker.spinner = None  # It writes escape sequences to a stream that is no terminal
    worker.execute_from_commandline()
