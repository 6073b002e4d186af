"""Determine which earlier runs of this sender have certainly ended, through a locked file.

The kernel releases the lock when the process ends, in any way, and keeps it for a process that is
only stopped. So the holder of the lock knows that no run in the file will call a provider any more.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger(__name__)

KEPT_RUNS: Final = 16
"""Runs in the file, newest last; runs that end shortly after each other may all have left calls."""


@contextmanager
def track_runs(path: Path, run: str) -> Iterator[tuple[str, ...]]:
    """Enter this run into the file while it lasts; yield the earlier runs, which have all ended.

    Yield none if another process holds the file or the disk refuses it: open calls are then left to
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
            ended = tuple(file.read().split())[-KEPT_RUNS:]
            file.truncate(0)
            file.write("\n".join((*ended, run)))
            file.flush()
        except OSError as error:
            log.warning("runs.not_kept", path=str(path), error=f"{type(error).__name__}: {error}")
            ended = ()
        yield ended
