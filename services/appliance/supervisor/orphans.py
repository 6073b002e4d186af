"""End processes that a killed supervisor left behind, before new ones start.

On Linux they end with it (`embedded/leash.py`). This finds those that were stopped, hung, or run
elsewhere.
"""

from __future__ import annotations

from pathlib import Path

import psutil

SUPERVISOR_VARIABLE = "VIGIE_SUPERVISOR"
"""Variable in the environment of every process that a supervisor starts."""
GRACE_S = 10.0


def find_orphans(data_dir: Path) -> list[psutil.Process]:
    """Return the processes of this user that a supervisor started on `data_dir`."""
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue
        if SUPERVISOR_VARIABLE in environment and environment.get("VIGIE_DATA_DIR") == str(
            data_dir
        ):
            found.append(process)
    return found


def end_orphans(data_dir: Path, grace_s: float = GRACE_S) -> list[str]:
    """End left-over processes with SIGTERM, and SIGKILL after `grace_s`; return their descriptions.

    Call it only under the lock of the data directory.
    """
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
