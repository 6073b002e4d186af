"""Run a command that ends with its parent.

`python -ISS leash.py PARENT_PID COMMAND…` becomes COMMAND by exec. On Linux the kernel sends
SIGTERM to the command when the parent dies, in any way. Elsewhere the next `vigie up` finds and
ends left-over processes (`supervisor/orphans.py`). Uses few modules, all of the standard library,
because it runs before every process.
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def bind_to_parent(parent: int) -> None:
    """Bind this process to its parent, and end at once if the parent is gone already."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # It died before the kernel knew of the request
        sys.exit(1)


def _main() -> None:
    parent, *command = sys.argv[1:]
    bind_to_parent(int(parent))
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    try:
        os.execv(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


def wrap_command(command: list[str]) -> list[str]:
    """Return a command line that starts `command` and ends it with this process."""
    return [sys.executable, "-ISS", __file__, str(os.getpid()), *command]


if __name__ == "__main__":
    _main()
