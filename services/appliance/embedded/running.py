"""A server as a child of this process, for tests and tools; a supervisor starts its own."""

import contextlib
import os
import subprocess
from collections.abc import Mapping

import psutil

from services.appliance.embedded.leash import wrap_command


class ServerProcess:
    """A server that can be spawned, killed, spawned again and stopped.

    It ends with this process.
    """

    def __init__(
        self, command: list[str], stop_s: float, environment: Mapping[str, str] | None = None
    ) -> None:
        """Prepare a server.

        `stop_s` is the time between SIGTERM and SIGKILL, `environment` is added to this process's
        own.
        """
        self._command, self._stop_s, self._environment = command, stop_s, environment or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the server without waiting."""
        environment = {**os.environ, **self._environment}
        self._process = subprocess.Popen(
            wrap_command(self._command),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        return self._process

    def kill(self) -> None:
        """Send SIGKILL to the server and to its children."""
        if self._process is None:
            return
        if self._process.poll() is None:
            server = psutil.Process(self._process.pid)
            server.suspend()  # It must start no other one meanwhile
            for child in server.children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            self._process.kill()
        self._process.wait()

    def stop(self, patience_s: float | None = None) -> None:
        """Send SIGTERM, and SIGKILL after `patience_s`."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(patience_s or self._stop_s)
        except subprocess.TimeoutExpired:
            self.kill()
