"""Which earlier runs of this sender have surely ended: a file that a run locks for as long as its process lives.

The kernel releases the lock with the process, however it ends, and keeps it for a process that is only
stopped. So whoever gets the lock knows that no run in the file will call a provider any more.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger(__name__)

KEPT: Final = 16
"""Runs that the file names, the newest last: those that end soon after each other may all have left calls."""


@contextmanager
def ended_runs(path: Path, run: str) -> Iterator[tuple[str, ...]]:
    """Enter this run into the file for as long as it lasts; give the earlier runs, all of which have ended.

    Gives none when another process holds the file or the disk refuses it: then open calls are left to
    their deadlines, as after the loss of the machine.
    """
    try:
        file = path.open("a+", encoding="utf-8", errors="ignore")
    except OSError as error:
        log.warning("runs.not_kept", path=str(path), error=str(error))
        yield ()
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.seek(0)
            ended = tuple(file.read().split())[-KEPT:]
            file.truncate(0)
            file.write("\n".join((*ended, run)))
            file.flush()
        except OSError as error:
            log.warning("runs.not_kept", path=str(path), error=f"{type(error).__name__}: {error}")
            ended = ()
        yield ended
