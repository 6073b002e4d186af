"""A process with all common imports that forks itself into services, to save their import time.

    python -m services.appliance.supervisor.forkserver FD SUPERVISOR MODULE…

FD is its end of the socket for the supervisor's requests (`forking.py`); it ends when the other end
is closed. A service is forked twice, so that the supervisor inherits it and can wait for it like
for a child of its own. The end of this process ends no service. Linux only. See
`docs/adr/0026-fork-services-from-one-preloaded-process.md`.
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

from services.appliance.embedded.leash import bind_to_parent

REQUEST_BYTES: Final = 1 << 20
MAX_FDS: Final = 16
HANDOVER_TIMEOUT_S: Final = 10.0
"""Longest wait of a service for the death of its intermediate parent."""
FIRST_SPARE_FD: Final = 200
"""A number above every descriptor number that a service is promised."""

ForkRequest = dict[str, Any]
"""Request with `module`, `arguments`, `environment` and `fds`.

`fds` are the numbers under which the service finds the passed descriptors, its output first.
"""


def serve_requests(control: socket.socket) -> tuple[ForkRequest, list[int]]:
    """Answer requests with the pid of a new service. Returns in the service only."""
    while True:
        try:
            said, fds, _, _ = socket.recv_fds(control, REQUEST_BYTES, MAX_FDS)
        except ConnectionResetError:  # The supervisor was killed before it read the last answer
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


def run_service(request: ForkRequest, fds: list[int], supervisor: int) -> None:
    """Turn this process into the service, as if started by exec.

    Returns when the service ends by itself.
    """
    until = time.monotonic() + HANDOVER_TIMEOUT_S
    while os.getppid() != supervisor:
        if time.monotonic() > until:
            sys.exit(1)
        time.sleep(0.001)
    bind_to_parent(supervisor)
    os.setsid()
    _place_descriptors(fds, request["fds"])
    os.environ.clear()
    os.environ.update(request["environment"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [request["module"], *request["arguments"]]
    setproctitle.setproctitle(
        f"vigie: {' '.join([request['environment'].get('VIGIE_PROCESS', ''), *sys.argv])}"
    )
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def _place_descriptors(fds: list[int], numbers: list[int]) -> None:
    """Move each descriptor to its number, the first also to stdout and stderr; stdin is empty."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST_SPARE_FD) for fd in fds]
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
    """Import the modules and serve requests; in a service, run it."""
    fd, supervisor, *preload = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Set the title first: the library finds its memory only in the initial environment.
    setproctitle.setproctitle("vigie: fork server")
    for module in preload:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # Shared pages stay shared
    request, fds = serve_requests(socket.socket(fileno=int(fd)))
    run_service(request, fds, int(supervisor))


if __name__ == "__main__":
    main()
