"""The supervisor's side of the fork server: ask for a service, wait for it, read what it says."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Final

import structlog

from services.runtime.embedded.leash import leashed

_PR_SET_CHILD_SUBREAPER: Final = 36
ANSWER_S: Final = 60.0
"""Patience with a fork server that may still be importing, on a busy machine."""

log = structlog.get_logger(__name__)


class ForkFailed(Exception):
    """The fork server did not do it; start the process by exec."""


class Forked:
    """A process that the fork server made: what is used here of `asyncio.subprocess.Process`."""

    def __init__(self, pid: int, stdout: asyncio.StreamReader) -> None:
        self.pid = pid
        self.stdout: asyncio.StreamReader | None = stdout
        self.returncode: int | None = None
        self._over = asyncio.Event()
        self._pidfd = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._ended)

    def _ended(self) -> None:
        _, status = os.waitpid(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._over.set()

    async def wait(self) -> int:
        """Exit code, negative for a signal."""
        await self._over.wait()
        assert self.returncode is not None
        return self.returncode


class ForkServer:
    """Started when `begin` is called, and again by the next request when it has ended."""

    def __init__(self, environment: dict[str, str], preload: Sequence[str]) -> None:
        self._environment = environment | {"SPT_NOENV": "1", "VIGIE_PROCESS": "forkserver"}
        self._preload = preload
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._turn = asyncio.Lock()
        self._usable = hasattr(os, "pidfd_open") and sys.platform == "linux"

    def begin(self) -> None:
        """Start it; returns at once, it imports meanwhile."""
        if not self._usable:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [
                sys.executable,
                "-m",
                "services.runtime.supervisor.forkserver",
                str(theirs.fileno()),
                str(os.getpid()),
                *self._preload,
            ]
            self._process = subprocess.Popen(
                leashed(command), env=self._environment, pass_fds=(theirs.fileno(),), start_new_session=True, stdin=subprocess.DEVNULL
            )
        ours.settimeout(ANSWER_S)
        self._control = ours

    async def fork(self, module: str, arguments: Sequence[str], environment: dict[str, str], fds: Sequence[int], limit: int) -> Forked:
        """`python -m module arguments…` with these descriptors under their own numbers; `limit`: bytes of a line of its output. Raises ForkFailed."""
        reading, writing = os.pipe()
        try:
            async with self._turn:
                pid = await asyncio.to_thread(self.ask, module, arguments, environment, [writing, *fds], [1, *fds])
        except ForkFailed:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        stdout = asyncio.StreamReader(limit=limit)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdout), os.fdopen(reading, "rb"))
        return Forked(pid, stdout)

    def ask(self, module: str, arguments: Sequence[str], environment: dict[str, str], fds: Sequence[int], numbers: Sequence[int]) -> int:
        """Pid of the new child, which finds `fds` under `numbers`. Blocks while the fork server imports. One at a time. Raises ForkFailed."""
        if not self._usable:
            raise ForkFailed("not on this system")
        request = {"module": module, "arguments": list(arguments), "environment": environment, "fds": list(numbers)}
        try:
            if self._process is None or self._process.poll() is not None:
                self.close()
                self.begin()
            assert self._control is not None
            with _inheriting():
                socket.send_fds(self._control, [json.dumps(request).encode()], list(fds))
                said = self._control.recv(4096)
            if not said:
                raise EOFError("the fork server ended")
            return int(json.loads(said)["pid"])
        except (OSError, ValueError, EOFError) as error:
            self.close()
            raise ForkFailed(str(error) or type(error).__name__) from error

    def close(self) -> None:
        """End it. The services go on."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def _inheriting() -> Iterator[None]:
    """This process becomes the parent of what its children leave behind. Raises OSError if the system refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")
    try:
        yield
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
