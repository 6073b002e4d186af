"""`run/status.json`: running processes and addresses, replaced as a whole at every change.

So a reader never sees half of it.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from services.runtime.process.settings import DataDir

State = Literal[
    "waiting",
    "starting",
    "ready",
    "unready",
    "backing_off",
    "stopping",
    "stopped",
    "ended",
    "failed",
]
"""unready: runs but reports that it cannot work. ended, failed: will not restart, exit 0 or not."""
MIN_FREE_MB: Final = 200
"""Free space on the data directory's disk below which a start is refused.

It is also the likely reason of an end.
"""


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    name: str
    pid: int | None
    state: State
    since: str
    """Start of the state, ISO 8601."""
    restarts: int
    why: str | None = None
    """Reason why it is not ready."""


@dataclass(frozen=True, slots=True)
class SystemAddresses:
    kafka: str
    redis: str
    http: str
    console: str
    replication: int = 1
    """Number of copies that the broker keeps of each partition."""


def read_free_mb(data: DataDir) -> int:
    """Return free space in MB for this user on the disk of the data directory."""
    return shutil.disk_usage(data.root).free // 1_000_000


def format_now() -> str:
    """Return the current time in ISO 8601 with offset, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def write_status(
    file: Path,
    *,
    supervisor_pid: int,
    state: State,
    since: str,
    addresses: SystemAddresses,
    processes: Sequence[ProcessStatus],
) -> None:
    """Replace the file. Raises OSError."""
    content = {
        "pid": supervisor_pid,
        "state": state,
        "since": since,
        "processes": [asdict(p) for p in processes],
        **asdict(addresses),
    }
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps(content, indent=1))
    temporary.replace(file)


def read_status(file: Path) -> dict[str, Any] | None:
    """Return the last status written, or None.

    It may be older than its writer: see `lock.is_held`.
    """
    try:
        status = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return status if isinstance(status, dict) else None
