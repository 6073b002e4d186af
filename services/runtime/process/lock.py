"""One `vigie up` per data directory: a lock that the kernel releases with its holder.

So the lock is never stale.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO, Final

LOCK_ATTEMPTS: Final = 5
LOCK_RETRY_S: Final = 0.02
"""Pause between attempts: `is_locked` in another process takes the lock for a moment."""


class DataDirBusy(RuntimeError):
    """Another `vigie up` runs on this data directory."""


class DataDirLock:
    """Lock that is held from construction until `release` or the end of the process."""

    def __init__(self, file: Path) -> None:
        """Take the lock. Raises DataDirBusy, OSError."""
        self._file: IO[str] = file.open("a+")
        for look in range(1, LOCK_ATTEMPTS + 1):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if look == LOCK_ATTEMPTS:
                    self._file.seek(0)
                    holder = self._file.read().strip() or "unknown"
                    self._file.close()
                    raise DataDirBusy(f"process {holder}") from error
            time.sleep(LOCK_RETRY_S)
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        self._file.close()


def is_locked(file: Path) -> bool:
    """Return whether a `vigie up` runs on the directory of this lock file."""
    try:
        with file.open("r") as probe:
            fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
