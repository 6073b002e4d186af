"""A process that has imported what all services need and turns forks of itself into services: none pays for the same imports again.

    python -m services.appliance.supervisor.forkserver FD SUPERVISOR MODULE…

FD is its end of the socket on which the supervisor asks (`forking.py`); when the other end is closed it ends. A service is forked twice, so
that the supervisor inherits it: it waits for it and outlives it as if it had started it, and the end of this process ends no service. Linux only.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
import time
from typing import Any, Final

import setproctitle

from services.appliance.embedded.leash import leash

REQUEST_BYTES: Final = 1 << 20
MOST_FDS: Final = 16
HANDED_S: Final = 10.0
"""Patience of a service with its grandparent's death."""
HIGH_FD: Final = 200
"""Above every descriptor number that a service is promised."""

Request = dict[str, Any]
"""`module`, `arguments`, `environment`, `fds`: the numbers under which the service finds the descriptors that came along, its output first."""


def serve(control: socket.socket) -> tuple[Request, list[int]]:
    """Answer requests with the pid of a new service. Returns in the service only."""
    while True:
        try:
            said, fds, _, _ = socket.recv_fds(control, REQUEST_BYTES, MOST_FDS)
        except ConnectionResetError:  # the supervisor was killed before it had read the last answer
            sys.exit(0)
        if not said:
            sys.exit(0)
        told, tell = os.pipe()
        between = os.fork()
        if not between:
            service = os.fork()
            if service:
                os.write(tell, b"%d" % service)
                os._exit(0)
            os.close(told)
            os.close(tell)
            control.close()
            return json.loads(said), fds
        os.close(tell)
        pid = int(os.read(told, 32))
        os.close(told)
        os.waitpid(between, 0)
        for fd in fds:
            os.close(fd)
        control.send(json.dumps({"pid": pid}).encode())


def become(request: Request, fds: list[int], supervisor: int) -> None:
    """Turn this process into the service, as if it had been started by exec. Returns when the service ends by itself."""
    until = time.monotonic() + HANDED_S
    while os.getppid() != supervisor:
        if time.monotonic() > until:
            sys.exit(1)
        time.sleep(0.001)
    leash(supervisor)
    os.setsid()
    _place(fds, request["fds"])
    os.environ.clear()
    os.environ.update(request["environment"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [request["module"], *request["arguments"]]
    setproctitle.setproctitle(
        f"vigie: {' '.join([request['environment'].get('VIGIE_PROCESS', ''), *sys.argv])}"
    )
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def _place(fds: list[int], numbers: list[int]) -> None:
    """Each descriptor under its number, the first also as output and error output; nothing to read."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH_FD) for fd in fds]
    for fd in fds:
        os.close(fd)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(high[0], 2)
    for fd, number in zip(high, numbers, strict=True):
        os.dup2(fd, number)
        os.close(fd)


def main() -> None:
    """Import, then serve; in a service: run it."""
    fd, supervisor, *preload = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    setproctitle.setproctitle(
        "vigie: fork server"
    )  # here first: it finds its place only while the environment is as at the start
    for module in preload:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # shared pages stay shared
    request, fds = serve(socket.socket(fileno=int(fd)))
    become(request, fds, int(supervisor))


if __name__ == "__main__":
    main()
