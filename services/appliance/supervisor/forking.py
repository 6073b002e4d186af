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
import threading
from collections.abc import Iterator, Sequence
from typing import Final, Self

import structlog

from services.appliance.embedded.leash import leashed

_MODULE: Final = "services.appliance.supervisor.forkserver"
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


class _Inherited:
    """A child of this process by adoption: what is used here of `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = False

    def poll(self) -> int | None:
        """Not None when it has ended."""
        return self._look(os.WNOHANG)

    def wait(self) -> None:
        """Until it has ended."""
        self._look(0)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self._pid, number)

    def _look(self, how: int) -> int | None:
        if not self._over:
            try:
                self._over = os.waitpid(self._pid, how)[0] != 0
            except ChildProcessError:  # somebody else took note of its end
                self._over = True
        return 0 if self._over else None


class ForkServer:
    """Started when `begin` is called, and again by the next request when it has ended. With an `origin` it is a fork of that one."""

    def __init__(
        self, environment: dict[str, str], preload: Sequence[str], origin: Self | None = None
    ) -> None:
        self._environment = environment | {"SPT_NOENV": "1", "VIGIE_PROCESS": "forkserver"}
        self._preload = preload
        self._origin = origin
        self._warm: dict[str, Self] = {}
        self._process: subprocess.Popen[bytes] | _Inherited | None = None
        self._control: socket.socket | None = None
        self._turn = threading.Lock()
        self._usable = hasattr(os, "pidfd_open") and sys.platform == "linux"

    def warm(self, module: str) -> Self:
        """One that has imported this as well, and shares with this one what both have. It starts with the first request."""
        if module not in self._warm:
            self._warm[module] = type(self)(self._environment, (module,), self)
        return self._warm[module]

    def begin(self) -> None:
        """Start it; returns at once, it imports meanwhile."""
        if not self._usable:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(ANSWER_S)
        self._control = ours
        with theirs:
            arguments = [str(theirs.fileno()), str(os.getpid()), *self._preload]
            if self._origin is not None:
                fds = [2, theirs.fileno()]
                self._process = _Inherited(
                    self._origin.ask(
                        _MODULE, arguments, self._environment, fds, [1, theirs.fileno()]
                    )
                )
                return
            command = leashed([sys.executable, "-m", _MODULE, *arguments])
            self._process = subprocess.Popen(
                command,
                env=self._environment,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
            )

    async def fork(
        self,
        module: str,
        arguments: Sequence[str],
        environment: dict[str, str],
        fds: Sequence[int],
        limit: int,
    ) -> Forked:
        """`python -m module arguments…` with these descriptors under their own numbers; `limit`: bytes of a line of its output. Raises ForkFailed."""
        reading, writing = os.pipe()
        try:
            pid = await asyncio.to_thread(
                self.ask, module, arguments, environment, [writing, *fds], [1, *fds]
            )
        except ForkFailed:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        stdout = asyncio.StreamReader(limit=limit)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stdout), os.fdopen(reading, "rb")
        )
        return Forked(pid, stdout)

    def ask(
        self,
        module: str,
        arguments: Sequence[str],
        environment: dict[str, str],
        fds: Sequence[int],
        numbers: Sequence[int],
    ) -> int:
        """Pid of the new child, which finds `fds` under `numbers`. Blocks while the fork server imports. Raises ForkFailed."""
        if not self._usable:
            raise ForkFailed("not on this system")
        with self._turn:
            return self._ask(module, arguments, environment, fds, numbers)

    def _ask(
        self,
        module: str,
        arguments: Sequence[str],
        environment: dict[str, str],
        fds: Sequence[int],
        numbers: Sequence[int],
    ) -> int:
        request = {
            "module": module,
            "arguments": list(arguments),
            "environment": environment,
            "fds": list(numbers),
        }
        try:
            if self._process is None or self._process.poll() is not None:
                self._end()
                self.begin()
            assert self._control is not None
            with _inheriting():
                socket.send_fds(self._control, [json.dumps(request).encode()], list(fds))
                said = self._control.recv(4096)
            if not said:
                raise EOFError("the fork server ended")
            return int(json.loads(said)["pid"])
        except (OSError, ValueError, EOFError, ForkFailed) as error:
            self._end()
            raise ForkFailed(str(error) or type(error).__name__) from error

    def close(self) -> None:
        """End it and its own forks that are such servers. The services go on."""
        for warm in self._warm.values():
            warm.close()
        self._end()

    def _end(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


_guard = threading.Lock()
_heirs = 0


@contextlib.contextmanager
def _inheriting() -> Iterator[None]:
    """This process becomes the parent of what its children leave behind, as long as a thread is in here. Raises OSError if the system refuses."""
    _count_heirs(1)
    try:
        yield
    finally:
        _count_heirs(-1)


def _count_heirs(more: int) -> None:
    global _heirs
    with _guard:
        if ctypes.CDLL(None, use_errno=True).prctl(
            _PR_SET_CHILD_SUBREAPER, int(_heirs + more > 0), 0, 0, 0
        ):
            raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")
        _heirs += more
