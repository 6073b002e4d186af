"""End processes that a killed supervisor left behind, before new ones start.

On Linux they end with it (`embedded/leash.py`). This finds those that were stopped, hung, or run
elsewhere.
"""

from pathlib import Path

import psutil

from services.appliance.supervisor.status import read_status
from services.runtime.process.settings import DataDir

TITLE = "vigie: "
"""Begin of the title of every fork, before the name of its process."""
SUPERVISOR_VARIABLE = "VIGIE_SUPERVISOR"
"""Variable in the environment of every program that a supervisor starts."""
GRACE_S = 10.0


def find_orphans(data_dir: Path) -> list[psutil.Process]:
    """Return the processes of this user that a supervisor started on `data_dir`.

    A program bears the mark in its environment. A fork of `vigie up` has the environment of the
    person who started that: the last status names it.
    """
    orphans = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue
        if SUPERVISOR_VARIABLE in environment and environment.get("VIGIE_DATA_DIR") == str(
            data_dir
        ):
            orphans.append(process)
    return [*orphans, *(p for p in _find_named(DataDir(data_dir).status) if p not in orphans)]


def _find_named(status: Path) -> list[psutil.Process]:
    """Return the forks that a status file names and that still run.

    A process with another title, or begun after the file was written, has got a number anew.
    """
    processes = []
    try:
        status_time = status.stat().st_mtime
    except OSError:
        return []
    for item in (read_status(status) or {}).get("processes", []):
        try:
            process = psutil.Process(item["pid"])
            title = " ".join(process.cmdline())
            if title.startswith(f"{TITLE}{item['name']} ") and process.create_time() <= status_time:
                processes.append(process)
        except (psutil.Error, OSError, TypeError, ValueError):
            continue
    return processes


def end_orphans(data_dir: Path, grace_s: float = GRACE_S) -> list[str]:
    """End left-over processes with SIGTERM, and SIGKILL after `grace_s`; return their descriptions.

    Call it only under the lock of the data directory.
    """
    orphans = find_orphans(data_dir)
    descriptions = []
    for process in orphans:
        try:
            descriptions.append(f"{process.pid} {_describe(process)}")
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
    return descriptions


def _describe(process: psutil.Process) -> str:
    title = " ".join(process.cmdline())
    if title.startswith(TITLE):
        return title.removeprefix(TITLE).partition(" ")[0]
    return str(process.environ().get("VIGIE_PROCESS", process.name()))
