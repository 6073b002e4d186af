"""Tell systemd that Vigie is ready, that it still runs, and that it stops: `sd_notify(3)`."""

import asyncio
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Final, Self

import structlog

log = structlog.get_logger(__name__)

_SOCKET_VARIABLE: Final = "NOTIFY_SOCKET"
_WATCHDOG_VARIABLE: Final = "WATCHDOG_USEC"
_PROCESS_VARIABLE: Final = "WATCHDOG_PID"
SIGNS_PER_TIMEOUT: Final = 4
"""Signs of life within one timeout of the watchdog."""


@dataclass(frozen=True, slots=True)
class SystemdUnit:
    """The unit that runs this process. Without systemd every method is without effect."""

    address: str = ""
    """Socket of systemd; a leading @ stands for an abstract name."""
    watchdog_s: float = 0.0
    """Seconds without a sign of life after which systemd restarts the unit; 0 = never."""

    @classmethod
    def take_from(cls, environment: MutableMapping[str, str], pid: int) -> Self:
        """Read the unit of process `pid`, and hide it from the processes that this one starts."""
        address = environment.pop(_SOCKET_VARIABLE, "")
        watchdog_us = environment.pop(_WATCHDOG_VARIABLE, "")
        is_ours = environment.pop(_PROCESS_VARIABLE, str(pid)) == str(pid)
        return cls(address, int(watchdog_us) / 1e6 if is_ours and watchdog_us.isdecimal() else 0.0)

    def report_ready(self, status: str) -> None:
        """Report that the start has ended; `systemctl status` shows the text."""
        self._send("READY=1", f"STATUS={status}")

    def report_stop(self) -> None:
        """Report that the stop begins."""
        self._send("STOPPING=1", "STATUS=Stopping")

    async def keep_alive(self) -> None:
        """Send signs of life until cancelled. A loop that stands still sends none."""
        while self.watchdog_s:
            self._send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_s / SIGNS_PER_TIMEOUT)

    def _send(self, *assignments: str) -> None:
        if not self.address:
            return
        name = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as end:
                end.sendto("\n".join(assignments).encode(), name)
        except OSError as error:
            log.warning("systemd.not_told", error=str(error))
