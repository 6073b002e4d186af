"""A server of ours as a child of this process, for tests and tools; a supervisor starts its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping

import psutil

from services.appliance.embedded.leash import leashed


class Running:
    """Spawn, kill, spawn again, stop. It ends with this process."""

    def __init__(
        self, command: list[str], stop_s: float, environment: Mapping[str, str] | None = None
    ) -> None:
        """`stop_s`: patience with SIGTERM; `environment`: beside this process's own."""
        self._command, self._stop_s, self._environment = command, stop_s, environment or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start, without waiting for anything."""
        environment = {**os.environ, **self._environment}
        self._process = subprocess.Popen(
            leashed(self._command),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        return self._process

    def kill(self) -> None:
        """SIGKILL, for what it has started, too."""
        if self._process is None:
            return
        if self._process.poll() is None:
            server = psutil.Process(self._process.pid)
            server.suspend()  # it starts no other one meanwhile
            for started in server.children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    started.kill()
            self._process.kill()
        self._process.wait()

    def stop(self, patience_s: float | None = None) -> None:
        """SIGTERM, and SIGKILL when patience ends."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(patience_s or self._stop_s)
        except subprocess.TimeoutExpired:
            self.kill()
