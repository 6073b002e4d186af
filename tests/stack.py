"""The whole system as a user starts it: `vigie up` in a process of its own, on a data directory of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from services.runtime.embedded.ports import free_ports
from services.runtime.settings import DataDir
from tests.waiting import until

READY_S = 150.0
STOP_S = 60.0


@dataclass
class Stack:
    folder: Path
    flags: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=lambda: free_ports(1)[0])
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def data(self) -> DataDir:
        return DataDir(self.folder / "data")

    @property
    def output(self) -> str:
        """Everything that `vigie up` has shown."""
        return (self.folder / "up.log").read_text()

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def _environment(self) -> dict[str, str]:
        kept = {n: v for n, v in os.environ.items() if not n.startswith("VIGIE_") or n in ("VIGIE_CACHE_DIR", "VIGIE_JAVA")}
        return kept | {"VIGIE_DATA_DIR": str(self.data.root), "VIGIE_HTTP": f"127.0.0.1:{self.port}"} | self.environment

    def begin(self) -> None:
        """Start it; returns at once."""
        with (self.folder / "up.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "services.cli", "up", *self.flags],
                env=self._environment(), stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def start(self) -> None:
        """Start it and wait for /readyz. Raises AssertionError with the output when it ends first, TimeoutError."""
        self.begin()
        until(self._ready_or_ended, READY_S)
        assert self._process is not None
        assert self._process.poll() is None, f"vigie up ended with {self._process.returncode}:\n{self.output[-4000:]}"

    def _ready_or_ended(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None or self.ready()

    def ready(self) -> bool:
        """What /readyz says now."""
        try:
            return httpx.get(f"{self.url}/readyz", timeout=2.0, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Signal its process group, as Ctrl-C does, and return the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)
        return self._process.wait(STOP_S)

    def close(self) -> None:
        """For the end of a test, whatever happened."""
        if self._process is not None and self._process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def vigie(self, *args: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a `vigie` command on this system."""
        return subprocess.run(
            [sys.executable, "-m", "services.cli", *args],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def status(self) -> dict[str, Any]:
        """What `vigie status --json` says."""
        found: dict[str, Any] = json.loads(self.vigie("status", "--json").stdout)
        return found

    def pids(self) -> dict[str, int]:
        """Process name → pid, from status.json."""
        content = json.loads(self.data.status.read_text())
        return {p["name"]: p["pid"] for p in content["processes"] if p["pid"] is not None}

    def client(self) -> httpx.Client:
        """An HTTP client with the administrator's token of this data directory."""
        token = (self.data.secrets / "admin.token").read_text().strip()
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=15.0, trust_env=False)
