"""A process with the code of all services that forks itself into them, which saves imports.

    python -m services.appliance.supervisor.forkserver FD SUPERVISOR MODULE…

The first one is a fork of `vigie up` (`serve_as_fork`); after its end, this command starts one. FD
is its end of the socket for the supervisor's requests (`forking.py`); it ends when the other end is
closed. A service is forked twice, so that the supervisor inherits it and can wait for it like for a
child of its own. The end of this process ends no service. Linux only. See
`docs/adr/0026-fork-services-from-one-preloaded-process.md`.
"""

import atexit
import contextlib
import ctypes
import fcntl
import gc
import importlib
import io
import json
import os
import runpy
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import setproctitle

from services.appliance.embedded.leash import bind_to_parent
from services.appliance.supervisor.orphans import TITLE
from services.runtime.process.machine import return_freed_memory

REQUEST_BYTES: Final = 1 << 20
MAX_FDS: Final = 16
HANDOVER_TIMEOUT_S: Final = 10.0
"""Longest wait of a service for the death of its intermediate parent."""
FIRST_SPARE_FD: Final = 200
"""A number above every descriptor number that a service is promised."""

ARENAS: Final = 2
"""Memory pools of the C library. Its eight per core keep freed memory apart from each other."""
_M_ARENA_MAX: Final = -8
"""Number of that parameter in `malloc.h`."""

ForkRequest = dict[str, Any]
"""Request with `module`, `arguments`, `environment` and `fds`.

`fds` are the numbers under which the service finds the passed descriptors, its output first.
"""


def serve_requests(control: socket.socket) -> tuple[ForkRequest, list[int]]:
    """Answer requests with the pid of a new service. Returns in the service only."""
    while True:
        try:
            message, fds, _, _ = socket.recv_fds(control, REQUEST_BYTES, MAX_FDS)
        except ConnectionResetError:  # The supervisor was killed before it read the last answer
            sys.exit(0)
        if not message:
            sys.exit(0)
        read_end, tell = os.pipe()
        between = os.fork()
        if not between:
            service = os.fork()
            if service:
                os.write(tell, b"%d" % service)
                os._exit(0)
            os.close(read_end)
            os.close(tell)
            control.close()
            return json.loads(message), fds
        os.close(tell)
        pid = int(os.read(read_end, 32))
        os.close(read_end)
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
        f"{TITLE}{' '.join([request['environment'].get('VIGIE_PROCESS', ''), *sys.argv])}"
    )
    _forget_module(request["module"])
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def _forget_module(module: str) -> None:
    """Undo the import of a program, of which `python -m` warns. Its own imports stay."""
    for name in (module, f"{module}.__main__"):
        if not hasattr(sys.modules.get(name), "__path__"):
            sys.modules.pop(name, None)


def _place_descriptors(fds: list[int], numbers: list[int]) -> None:
    """Move each descriptor to its number, the first also to stdout and stderr; stdin is empty."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST_SPARE_FD) for fd in fds]
    for fd in fds:
        os.close(fd)
    _empty_stdin()
    os.dup2(high[0], 2)
    for fd, number in zip(high, numbers, strict=True):
        os.dup2(fd, number)
        os.close(fd)


def _empty_stdin() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def serve_as_fork(
    control: socket.socket, supervisor: int, preload: Sequence[str], check: Callable[[], str]
) -> NoReturn:
    """Serve requests in a new fork of the supervisor; in a service, run it. Ends the process.

    The supervisor's modules stay imported. Its open files, session and buffers do not stay. The
    result of `check` is sent first.
    """
    code: object = 1
    try:
        bind_to_parent(supervisor)
        os.setsid()
        _limit_arenas()
        _close_files(control.fileno())
        sys.stdout, sys.stderr = _open_unbuffered(1), _open_unbuffered(2)
        control.send(json.dumps(check()).encode())
        _serve(control, supervisor, preload)
        code = 0
    except SystemExit as exit_request:
        code = exit_request.code
        if code is not None and not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:  # noqa: BLE001  as at the end of a program
        traceback.print_exc()
    finally:
        # Leaves without the frames of the supervisor, which would handle its exceptions
        _exit_process(code if isinstance(code, int) else 0)


def _exit_process(code: int) -> NoReturn:
    """End the process as an interpreter does at the end of its program."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _limit_arenas() -> None:
    """Limit the memory pools of the C library, as MALLOC_ARENA_MAX does for a new program."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, ARENAS)


def _close_files(keep: int) -> None:
    """Close everything but `keep` and the output; stdin is empty."""
    for name in list(Path("/proc/self/fd").iterdir()):
        if (fd := int(name.name)) > 2 and fd != keep:
            with contextlib.suppress(OSError):  # The one that listed the folder is closed already
                os.close(fd)
    _empty_stdin()


def _open_unbuffered(fd: int) -> io.TextIOWrapper:
    """Return the text stream that PYTHONUNBUFFERED gives a program."""
    return io.TextIOWrapper(
        io.FileIO(fd, "w", closefd=False), errors="backslashreplace", write_through=True
    )


def _serve(control: socket.socket, supervisor: int, preload: Sequence[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Set the title first: the library finds its memory only in the initial environment.
    setproctitle.setproctitle(f"{TITLE}fork server")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy starts its threads at import
    gc.disable()  # A quarter of the time of imports, which make hardly any garbage
    for module in preload:
        try:
            importlib.import_module(module)
        except ImportError as error:  # A service that needs it says so itself
            print(f"fork server: {module} cannot be imported: {error}", file=sys.stderr)
    gc.collect()
    # Each service fills this cache of attribute names anew, and would write to each name it drops
    sys._clear_type_cache()
    return_freed_memory()
    gc.freeze()  # Shared pages stay shared
    gc.enable()
    request, fds = serve_requests(control)
    run_service(request, fds, supervisor)


def main() -> None:
    """Import the modules and serve requests; in a service, run it."""
    fd, supervisor, *preload = sys.argv[1:]
    _serve(socket.socket(fileno=int(fd)), int(supervisor), preload)


if __name__ == "__main__":
    main()
