"""A disk that flushes slowly, for a process and its children.

The kernel asks us before each fsync, fdatasync and msync. `python -m tests.faults.slow_disk SOCKET
COMMAND…` installs a seccomp filter (user notification, needs no rights), hands the questions of
the kernel to the listener at SOCKET, and becomes COMMAND. `SlowDisk` answers the questions one
after the other, like a disk, after `flush_s`. The flushes are real, only later.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import select
import socket
import struct
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_FLUSHES: Final = {"x86_64": (74, 75, 26), "aarch64": (82, 83, 227)}
"""Numbers of fsync, fdatasync and msync."""
_SECCOMP: Final = {"x86_64": 317, "aarch64": 277}
_NEW_LISTENER, _SET_FILTER, _NO_NEW_PRIVS = 1 << 3, 1, 38
_ASK, _ALLOW = 0x7FC00000, 0x7FFF0000
_RECEIVE, _SEND, _CONTINUE = 0xC0502100, 0xC0182101, 1
_QUESTION_BYTES: Final = 80


def _filter() -> bytes:
    """Build the filter (classic BPF): flushes ask, all other calls pass."""
    numbers = _FLUSHES[platform.machine()]
    load = struct.pack("HBBI", 0x20, 0, 0, 0)  # the number of the call
    jumps = (
        struct.pack("HBBI", 0x15, len(numbers) - n, 0, number) for n, number in enumerate(numbers)
    )
    return (
        load
        + b"".join(jumps)
        + struct.pack("HBBI", 0x06, 0, 0, _ALLOW)
        + struct.pack("HBBI", 0x06, 0, 0, _ASK)
    )


def become(listener: str, command: list[str]) -> None:
    """Make this process and its children ask before each flush. Does not return."""
    libc = ctypes.CDLL(None, use_errno=True)
    program = ctypes.create_string_buffer(_filter(), len(_filter()))
    filter_program = struct.pack("HxxxxxxP", len(_filter()) // 8, ctypes.addressof(program))
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    questions = libc.syscall(
        _SECCOMP[platform.machine()], _SET_FILTER, _NEW_LISTENER, filter_program
    )
    if questions < 0:
        sys.exit(f"the kernel does not let us slow a disk down: {os.strerror(ctypes.get_errno())}")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(listener)
        socket.send_fds(connection, [b"q"], [questions])
    os.close(questions)
    os.execv(command[0], command)


class SlowDisk:
    """Use `with SlowDisk() as disk`: start `[*disk.command, …]`, then set `disk.flush_s`.

    The process must end before the block does.
    """

    def __init__(self) -> None:
        self.flush_s = 0.0
        """How long each flush takes."""
        self.flushes = 0
        """How many were slow."""
        self._folder = tempfile.TemporaryDirectory(prefix="vigie-disk-")
        self._path = Path(self._folder.name) / "asked"
        self._listening = socket.socket(socket.AF_UNIX)
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._take, name="disk", daemon=True)]

    @property
    def command(self) -> tuple[str, ...]:
        return (sys.executable, "-m", "tests.faults.slow_disk", str(self._path))

    def __enter__(self) -> Self:
        self._listening.bind(str(self._path))
        self._listening.listen()
        self._listening.settimeout(0.2)
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.flush_s = 0.0
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._listening.close()
        self._folder.cleanup()

    def _take(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listening.accept()
            except TimeoutError:
                continue
            with client:
                _, (questions,), _, _ = socket.recv_fds(client, 1, 1)
            self._threads.append(
                threading.Thread(target=self._answer, args=(questions,), name="disk", daemon=True)
            )
            self._threads[-1].start()

    def _answer(self, questions: int) -> None:
        """Answer until no process is left that could ask."""
        polled = select.poll()
        polled.register(questions, select.POLLIN)
        while not self._over.is_set():
            for _, what in polled.poll(200):
                if what & select.POLLHUP:
                    os.close(questions)
                    return
                self._one(questions)
        os.close(questions)

    def _one(self, questions: int) -> None:
        question = bytearray(_QUESTION_BYTES)
        try:
            fcntl.ioctl(questions, _RECEIVE, question)
            if self.flush_s:
                self.flushes += 1
                time.sleep(self.flush_s)
            fcntl.ioctl(
                questions,
                _SEND,
                bytearray(
                    struct.pack("QqiI", struct.unpack_from("Q", question)[0], 0, 0, _CONTINUE)
                ),
            )
        except OSError as error:
            if error.errno != errno.ENOENT:  # it was killed meanwhile
                raise


if __name__ == "__main__":
    become(sys.argv[1], sys.argv[2:])
