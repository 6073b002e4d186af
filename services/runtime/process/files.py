"""Files of an installation: atomic replacement, and one `vigie up` per data directory.

The kernel releases the lock with its holder, so it is never stale.
"""

import errno
import fcntl
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

STALE_PART_S: Final = 60.0
"""Age of an unlocked, unwritten part file after which its writer counts as killed."""
_PART_NAME: Final = re.compile(r"\..+\.[0-9a-f]{8}\.vigie-part")
LOCK_ATTEMPTS: Final = 5
LOCK_RETRY_S: Final = 0.02
"""Pause between attempts: `is_locked` in another process takes the lock for a moment."""


@contextmanager
def open_atomic_file(file: Path, mode: int = 0o666) -> Iterator[IO[bytes]]:
    """Open a file that replaces `file` when the block ends without error.

    The umask lessens `mode`. Concurrent writers of the same file write different parts; the last
    complete one stays. Parts of killed writers in the folder are removed. Raises OSError, also if a
    device, a pipe or a folder has that name.
    """
    if file.exists() and not file.is_file():
        raise OSError(errno.EEXIST, "no ordinary file, so it is not replaced", str(file))
    _remove_stale_parts(file.parent)
    part = file.with_name(f".{file.name}.{secrets.token_hex(4)}.vigie-part")
    try:
        handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from error
    try:
        with os.fdopen(handle, "w+b") as target:
            _lock_part(target)
            yield target
            target.flush()
            os.fsync(handle)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _lock_part(part: IO[bytes]) -> bool:
    """Lock a part until it is closed, however this process ends; return False if it is locked."""
    try:
        fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove_stale_parts(folder: Path) -> None:
    with suppress(OSError):
        for part in [p for p in folder.iterdir() if _PART_NAME.fullmatch(p.name)]:
            with suppress(OSError):
                part_stat = part.lstat()
                if (
                    not stat.S_ISREG(part_stat.st_mode)
                    or part_stat.st_uid != os.geteuid()
                    or time.time() - part_stat.st_mtime < STALE_PART_S
                ):
                    continue
                with part.open("rb") as part_file:
                    if _lock_part(part_file):
                        part.unlink()


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
