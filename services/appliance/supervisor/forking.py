"""The supervisor's side of the fork server: request a service, wait for it, read its output."""

import asyncio
import contextlib
import ctypes
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from services.appliance.embedded.leash import wrap_command
from services.appliance.supervisor.forkserver import REQUEST_BYTES, serve_as_fork

_MODULE: Final = "services.appliance.supervisor.forkserver"
_PR_SET_CHILD_SUBREAPER: Final = 36
ANSWER_TIMEOUT_S: Final = 150.0
"""Longest wait for a fork server that may still be importing, on a busy machine."""


class ForkFailed(Exception):
    """The fork server failed; start the process by exec."""


class ForkedProcess:
    """A process of the fork server, with the used part of `asyncio.subprocess.Process`."""

    def __init__(self, pid: int, stdout: asyncio.StreamReader) -> None:
        self.pid = pid
        self.stdout: asyncio.StreamReader | None = stdout
        self.returncode: int | None = None
        self._over = asyncio.Event()
        self._pidfd = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._note_end)

    def _note_end(self) -> None:
        _, status = os.waitpid(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._over.set()

    async def wait(self) -> int:
        """Return the exit code, negative for a signal."""
        await self._over.wait()
        assert self.returncode is not None
        return self.returncode


class _ForkedServer:
    """The server as a fork of this process, with the used part of `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = False

    def poll(self) -> int | None:
        """Return None while the process runs, else 0."""
        return self._reap(os.WNOHANG)

    def wait(self) -> None:
        """Wait until the process has ended."""
        self._reap(0)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self._pid, number)

    def _reap(self, options: int) -> int | None:
        if not self._over:
            try:
                self._over = os.waitpid(self._pid, options)[0] != 0
            except ChildProcessError:  # Another waiter has collected its exit status
                self._over = True
        return 0 if self._over else None


class ForkServer:
    """Fork server, restarted by the next request after it has ended."""

    def __init__(self, preload: Sequence[str]) -> None:
        self._preload = preload
        self._environment = dict(os.environ)
        self._process: subprocess.Popen[bytes] | _ForkedServer | None = None
        self._control: socket.socket | None = None
        self._turn = threading.Lock()
        self._usable = hasattr(os, "pidfd_open") and sys.platform == "linux"

    def set_environment(self, environment: dict[str, str]) -> None:
        """Set the environment of a server that is started by exec."""
        self._environment = environment | {"SPT_NOENV": "1", "VIGIE_PROCESS": "forkserver"}

    def begin_as_fork(self, check: Callable[[], str] = str) -> str:
        """Start the server as a fork of this process, and return the result of `check` there.

        It shares the memory and the imports of this process. What `check` imports stays out of this
        one. Call it in a process without threads and event loop. With threads it only checks,
        because a fork copies their locks but not them; `begin` is for such a process.
        """
        if not self._usable or threading.active_count() > 1:
            return check()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        supervisor = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        gc.collect()
        gc.freeze()  # Shared pages stay shared
        if not (pid := os.fork()):
            serve_as_fork(theirs, supervisor, self._preload, check)
        theirs.close()
        ours.settimeout(ANSWER_TIMEOUT_S)
        self._control, self._process = ours, _ForkedServer(pid)
        answer = ours.recv(REQUEST_BYTES)
        return str(json.loads(answer)) if answer else check()  # Without one, the server ended

    def begin(self) -> None:
        """Start the server by exec, unless it runs; returns at once, while it imports."""
        if not self._usable or self._process is not None:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(ANSWER_TIMEOUT_S)
        self._control = ours
        with theirs:
            arguments = [str(theirs.fileno()), str(os.getpid()), *self._preload]
            self._process = subprocess.Popen(
                wrap_command([sys.executable, "-m", _MODULE, *arguments]),
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
    ) -> ForkedProcess:
        """Run `python -m module arguments…` with these descriptors under their own numbers.

        `limit` is the greatest length of an output line in bytes. Raises ForkFailed.
        """
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
        return ForkedProcess(pid, stdout)

    def ask(
        self,
        module: str,
        arguments: Sequence[str],
        environment: dict[str, str],
        fds: Sequence[int],
        numbers: Sequence[int],
    ) -> int:
        """Return the pid of a new child, which finds `fds` under `numbers`.

        Blocks while the fork server imports. Raises ForkFailed.
        """
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
            with _adopt_orphans():
                socket.send_fds(self._control, [json.dumps(request).encode()], list(fds))
                answer = self._control.recv(4096)
            if not answer:
                raise EOFError("the fork server ended")
            return int(json.loads(answer)["pid"])
        except (OSError, ValueError, EOFError, ForkFailed) as error:
            self._end()
            raise ForkFailed(str(error) or type(error).__name__) from error

    def close(self) -> None:
        """End the server. The services continue."""
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


_subreaper_lock = threading.Lock()
_subreaper_count = 0


@contextlib.contextmanager
def _adopt_orphans() -> Iterator[None]:
    """Make this process the parent of orphaned descendants while a thread is in this context.

    Raises OSError if the system refuses.
    """
    _change_subreaper_count(1)
    try:
        yield
    finally:
        _change_subreaper_count(-1)


def _change_subreaper_count(more: int) -> None:
    global _subreaper_count
    with _subreaper_lock:
        if ctypes.CDLL(None, use_errno=True).prctl(
            _PR_SET_CHILD_SUBREAPER, int(_subreaper_count + more > 0), 0, 0, 0
        ):
            raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")
        _subreaper_count += more
