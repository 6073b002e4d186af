"""Processes that an earlier supervisor left behind when it was killed: ended before anything is started anew.

On Linux they end with it (embedded/leash.py); this finds those that were stopped, hung, or run elsewhere.
"""

from __future__ import annotations

from pathlib import Path

import psutil

MARK = "VIGIE_SUPERVISOR"
"""In the environment of every process that a supervisor starts."""
GRACE_S = 10.0


def find_orphans(data_dir: Path) -> list[psutil.Process]:
    """Processes of this user that a supervisor started on `data_dir`."""
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue
        if MARK in environment and environment.get("VIGIE_DATA_DIR") == str(data_dir):
            found.append(process)
    return found


def end_orphans(data_dir: Path, grace_s: float = GRACE_S) -> list[str]:
    """End them: SIGTERM, and SIGKILL after `grace_s`. Call only under the lock of the data directory. Returns what they were."""
    orphans = find_orphans(data_dir)
    described = []
    for process in orphans:
        try:
            described.append(
                f"{process.pid} {process.environ().get('VIGIE_PROCESS', process.name())}"
            )
            process.terminate()
            process.resume()
        except psutil.Error:
            continue
    _, alive = psutil.wait_procs(orphans, timeout=grace_s)
    for process in alive:
        try:
            process.kill()
        except psutil.Error:
            continue
    psutil.wait_procs(alive, timeout=GRACE_S)
    return described
