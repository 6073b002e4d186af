"""Run a command that ends with its parent: `python -ISS leash.py PARENT_PID COMMAND…` becomes COMMAND by exec.

On Linux the kernel sends SIGTERM to the command when the parent dies, however it dies. Elsewhere the next `vigie up` finds and
ends what is left (supervisor/orphans.py). Standard library only, and few of its modules: this runs before every process.
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def leash(parent: int) -> None:
    """This process ends with its parent. Ends at once when the parent is gone already."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel knew of the wish
        sys.exit(1)


def _main() -> None:
    parent, *command = sys.argv[1:]
    leash(int(parent))
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    try:
        os.execv(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


def leashed(command: list[str]) -> list[str]:
    """`command`, to be started by this process and to end with it."""
    return [sys.executable, "-ISS", __file__, str(os.getpid()), *command]


if __name__ == "__main__":
    _main()
