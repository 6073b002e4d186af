"""`run/status.json`: what runs, where it answers. Written whole at every change, so a reader never sees half of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

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
"""unready: runs but says itself that it cannot work. ended, failed: a process that is not started again, exit 0 or not."""


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    name: str
    pid: int | None
    state: State
    since: str
    """ISO 8601, of the state."""
    restarts: int
    why: str | None = None
    """Why it is not ready."""


@dataclass(frozen=True, slots=True)
class Addresses:
    kafka: str
    redis: str
    http: str
    console: str
    replication: int = 1
    """Copies that the broker keeps of each partition."""


def iso_now() -> str:
    """Now, ISO 8601 with offset, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def write_status(
    file: Path,
    *,
    supervisor_pid: int,
    state: State,
    since: str,
    addresses: Addresses,
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
    """The last status written, or None when there is none. It may be older than its writer: see `lock.is_held`."""
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
