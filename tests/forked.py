"""Processes of the product, forked from one with all imports, as the supervisor does (ADR 0026)."""

from __future__ import annotations

import atexit
import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from services.appliance.supervisor.forking import ForkServer
from services.appliance.supervisor.plan import PRELOADED_MODULES
from services.cli.__main__ import COMMANDS
from services.runtime.process.exits import SETTING

ROOT: Final = Path(__file__).resolve().parents[1]
SERVICES: Final = (
    "services.runtime.worker.worker",
    "services.delivery.__main__",
    "services.intake.app",
)
"""Code of the processes that die at failpoints."""
COMMAND_MODULES: Final = (
    *sorted({object.partition(":")[0] for object in COMMANDS.values()}),
    *PRELOADED_MODULES,
)
COMMAND: Final = "services.cli.__main__"
_servers: dict[tuple[tuple[str, ...], bool], ForkServer] = {}


class Process:
    """The part of `subprocess.Popen` that the tests use."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Raises subprocess.TimeoutExpired."""
        if self.poll() is None:
            ended = os.pidfd_open(self.pid)
            try:
                select.select([ended], [], [], timeout)
            finally:
                os.close(ended)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(
    module: str,
    *arguments: str,
    environment: dict[str, str],
    log: Path,
    pass_fds: tuple[int, ...] = (),
) -> Process:
    """Start `python -m module arguments…` at the root; its output goes to the end of `log`.

    Whether failpoints are armed is known when they are imported: their processes have a fork
    server of their own. All others come from that of the commands, whose imports take seconds.
    """
    armed = bool(environment.get(SETTING))
    if armed:
        module, arguments = "tests.failpoint", (module, *arguments)
    with log.open("ab") as out:
        server = _server(SERVICES, armed=True) if armed else _server(COMMAND_MODULES)
        return Process(
            server.ask(module, arguments, environment, [out.fileno(), *pass_fds], [1, *pass_fds])
        )


def begin(arguments: Sequence[str], *, environment: dict[str, str], log: Path) -> Process:
    """Start `vigie arguments…` with its output at the end of `log`; it ends with this process."""
    with log.open("ab") as out:
        return Process(
            _server(COMMAND_MODULES).ask(COMMAND, arguments, environment, [out.fileno()], [1])
        )


def run(
    arguments: Sequence[str], *, environment: dict[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run `vigie arguments…` to its end, without input.

    Raises subprocess.TimeoutExpired after killing it.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = Process(
            _server(COMMAND_MODULES).ask(
                COMMAND, arguments, environment, [out.fileno(), err.fileno()], [1, 2]
            )
        )
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        outputs = []
        for file in (out, err):
            file.seek(0)
            outputs.append(file.read().decode())
        return subprocess.CompletedProcess(list(arguments), code, *outputs)


def _server(preload: tuple[str, ...], *, armed: bool = False) -> ForkServer:
    if (preload, armed) not in _servers:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)} | ({SETTING: "none"} if armed else {})
        _servers[preload, armed] = made = ForkServer(preload)
        made.set_environment(environment)
        atexit.register(made.close)
    return _servers[preload, armed]
