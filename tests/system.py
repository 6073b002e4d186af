"""The whole product in use: `vigie up` in a process, HTTP and the `vigie` command."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2 as httpx
import psutil

from services.runtime.process.settings import DataDir
from services.runtime.process.sockets import find_free_ports
from tests import forked
from tests.brokers import LOGIN, give_password, put_provisioned
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[1]
VIGIE = Path(sys.executable).parent / "vigie"
UP_S = 180.0
STOP_S = 40.0
SHARED = "shared.json"
FORESIGHT_AFTER_S = "3600"
"""Start of the planner's forecasts, too late for tests.

A planner fills a core for a minute and a half, and a quarter of one during a crisis. Only a
process started by one test does this.
"""


def stop_shared(folder: Path) -> None:
    """Kill the system started in this folder by `RunningVigie.shared` of any process."""
    shared_file = folder / SHARED
    if shared_file.exists():
        kill_tree(json.loads(shared_file.read_text(encoding="utf-8"))["pid"])


def kill_tree(pid: int) -> None:
    """Kill a process and its descendants: their data are thrown away, and no order counts.

    The process is suspended first, so that it starts no other meanwhile.
    """
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        root.suspend()
        tree = [*root.children(recursive=True), root]
        for process in tree:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        until(lambda: not any(_lives(process) for process in tree), STOP_S)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


_LEFT_RUNNING: list[object] = []
"""Processes that outlive the fixture: a process collected during its run is a ResourceWarning."""


class RunningVigie:
    """`with RunningVigie(tmp_path) as vigie`: ready when entered, killed when left."""

    def __init__(
        self,
        folder: Path,
        *,
        demo: bool = False,
        workers: int = 1,
        options: tuple[str, ...] = (),
        under: tuple[str, ...] = (),
        first: bool = False,
        verbose: bool = True,
        program: Path | None = None,
        **environment: str,
    ) -> None:
        """Prepare a system.

        `under`: a command that becomes `vigie up`. `first`: start by its command and make the
        topics, as on a new machine. `program`: the command of another installation, started so.
        """
        self.folder = folder
        self.http_address = f"127.0.0.1:{find_free_ports(1)[0]}"
        self.url = f"http://{self.http_address}"
        self._under = under
        self._arguments = [
            "up",
            "--demo" if demo else "--no-demo",
            "--workers",
            str(workers),
            *(["--verbose"] if verbose else []),
            *options,
        ]
        inherited_variables = {
            n: v
            for n, v in os.environ.items()
            if not n.startswith("VIGIE_") or n in ("VIGIE_CACHE_DIR", "VIGIE_JAVA")
        }
        self.environment = inherited_variables | {
            "VIGIE_DATA_DIR": str(folder / "data"),
            "VIGIE_HTTP": self.http_address,
            "NO_COLOR": "1",
        }
        self.environment |= {"VIGIE_FORESIGHT_AFTER_S": FORESIGHT_AFTER_S}
        if "--kafka" in options:
            self.environment |= LOGIN
        self.environment |= environment
        self._program = program or VIGIE
        self._first = first or program is not None or "--kafka" in options
        self._process: subprocess.Popen[bytes] | forked.Process | None = None
        self._client: httpx.Client | None = None
        self.up_s = 0.0

    @property
    def log(self) -> str:
        """What `vigie up` printed."""
        return (self.folder / "up.log").read_text(encoding="utf-8", errors="replace")

    def begin(self, *, outlives: bool = False) -> Self:
        """Start without waiting, for a system that must not become ready.

        `outlives`: it continues after the end of this process.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "up.log"
        if not (self._under or self._first or outlives):
            self._process = forked.begin(self._arguments, environment=self.environment, log=path)
            return self
        with path.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._under, str(self._program), *self._arguments],
                cwd=ROOT if self._program is VIGIE else self.folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    @classmethod
    def shared(cls, folder: Path) -> Self:
        """Return the one system in this folder for all processes of the test run.

        The first caller starts it, `stop_shared` stops it.
        """
        shared_file = folder / SHARED
        made = cls(folder)
        if shared_file.exists():
            shared_system = json.loads(shared_file.read_text(encoding="utf-8"))
            made.http_address, made.url = shared_system["http"], f"http://{shared_system['http']}"
            made.environment["VIGIE_HTTP"] = shared_system["http"]
        else:
            made.start(outlives=True)
            shared_file.write_text(
                json.dumps({"http": made.http_address, "pid": made.pid}), encoding="utf-8"
            )
            _LEFT_RUNNING.append(made._process)
        return made

    def ended(self) -> int:
        """Exit code of an `up` that ends by itself."""
        assert self._process is not None
        return self._process.wait(UP_S)

    @property
    def pid(self) -> int:
        """Of the supervisor."""
        if self._process is None:
            return int(json.loads((self.folder / SHARED).read_text(encoding="utf-8"))["pid"])
        return self._process.pid

    def start(self, *, outlives: bool = False) -> Self:
        """Start and wait until /readyz says yes. Raises AssertionError with the end of the log."""
        kafka = DataDir(self.folder / "data").kafka
        if not self._first and not kafka.exists():
            with ThreadPoolExecutor(1) as aside:  # in this thread Playwright may have a loop
                aside.submit(asyncio.run, put_provisioned(kafka)).result()
            give_password(kafka.parent / "secrets")
        began = time.monotonic()
        self.begin(outlives=outlives)
        while not self.ready():
            if (
                self._process is None
                or self._process.poll() is not None
                or time.monotonic() - began > UP_S
            ):
                self.stop()
                raise AssertionError(f"vigie up is not ready:\n{self.log[-3000:]}")
            time.sleep(0.1)
        self.up_s = time.monotonic() - began
        return self

    def leave(self) -> None:
        """Close this side's connections; it goes on."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def stop(self) -> int | None:
        """Send SIGINT, as Ctrl-C; return the exit code."""
        self.leave()
        if self._process is None:
            return None
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        return self._process.returncode

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()
        if self._process is not None and self._process.poll() is None:
            kill_tree(self._process.pid)
            self._process.wait()

    def ready(self) -> bool:
        """Return whether reports are accepted."""
        with closing(HTTPConnection(self.http_address, timeout=2)) as connection:
            try:
                connection.request("GET", "/readyz")
                return connection.getresponse().status == 200
            except (OSError, HTTPException):
                return False

    @property
    def token(self) -> str:
        """The data directory's own administrator token."""
        return (
            (self.folder / "data" / "secrets" / "admin.token").read_text(encoding="utf-8").strip()
        )

    @property
    def http(self) -> httpx.Client:
        """An authenticated client; to read the authorities of TLS would take 16 ms."""
        if self._client is None:
            headers = {"Authorization": f"Bearer {self.token}", "Accept-Language": "fr"}
            self._client = httpx.Client(
                base_url=self.url, headers=headers, timeout=20, trust_env=False, verify=False
            )
        return self._client

    def client(self) -> httpx.Client:
        """Return a client for another thread."""
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=20,
            trust_env=False,
            verify=False,
        )

    def get(self, path: str) -> Any:
        """Return the JSON of a read that must succeed."""
        answer = self.http.get(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:300])
        return answer.json()

    def cli(
        self, *arguments: str, timeout_s: float = 180, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one `vigie` command with additions to the system's environment."""
        return forked.run(
            arguments, environment=self.environment | environment, timeout_s=timeout_s
        )

    def service_environment(self) -> dict[str, str]:
        """Return the environment of a service of this system.

        A fork keeps it in its memory alone, where `/proc` does not show it.
        """
        status = self._read_status()
        addresses = {
            f"VIGIE_{name.upper()}": status[name] for name in ("kafka", "redis", "http", "console")
        }
        return self.environment | addresses

    def processes(self) -> dict[str, int]:
        """Return name → pid of running processes, from `vigie status`."""
        return {p["name"]: p["pid"] for p in self._read_status()["processes"] if p["pid"]}

    def _read_status(self) -> dict[str, Any]:
        content = (self.folder / "data" / "run" / "status.json").read_bytes()
        return dict(json.loads(content))

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Signal one process of the system; its pid."""
        pid = self.processes()[name]
        os.kill(pid, number)
        return pid


@contextmanager
def logged_in(vigie: RunningVigie, role: str) -> Iterator[httpx.Client]:
    """Return a browser of a new account."""
    made = vigie.http.post(
        "/api/v1/users", json={"login": f"u-{secrets.token_hex(4)}", "role": role}
    )
    assert made.status_code == 201, made.text
    headers = {"Accept-Language": "fr"}
    with httpx.Client(
        base_url=vigie.url, headers=headers, timeout=20, trust_env=False, verify=False
    ) as browser:
        assert browser.post("/connexion", data={"code": made.json()["code"]}).status_code == 303
        yield browser
