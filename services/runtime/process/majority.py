"""The view of one machine on the majority of its cluster, kept in `run/cluster.json`.

`vigie up` writes the file, pages read it. Without a cluster there is none.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from services.runtime.process.atomic_file import open_atomic_file


@dataclass(frozen=True, slots=True)
class MajorityState:
    """View of a machine on its cluster."""

    has_majority: bool
    since_ms: int
    """Time of the last change."""
    fronts: tuple[str, ...]
    """Addresses of the fronts of the other machines."""


def write_majority(file: Path, state: MajorityState) -> None:
    """Replace the file. Raises OSError."""
    with open_atomic_file(file, 0o600) as target:
        target.write(json.dumps(asdict(state)).encode())


def read_majority(file: Path) -> MajorityState | None:
    """Return the state as it was written last; None without a cluster or a readable file."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return MajorityState(
            bool(content["has_majority"]),
            int(content["since_ms"]),
            tuple(str(front) for front in content["fronts"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def find_other_fronts(file: Path) -> tuple[str, ...]:
    """Return the addresses of the other machines' fronts; none without a cluster."""
    state = read_majority(file)
    return () if state is None else state.fronts
