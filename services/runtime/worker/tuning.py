"""Numbers of a worker that tests and benchmarks change."""

from __future__ import annotations

from dataclasses import dataclass

from services.runtime.kafka.fetch_throttle import FETCH_INTERVAL_MS


@dataclass(frozen=True, slots=True)
class Tuning:
    """Numbers that tests and benchmarks change."""

    session_s: float = 10.0
    snapshot_every: int = 2000
    """Least number of records between snapshots."""
    snapshot_pause_s: float = 2.0
    """Least seconds between snapshots. Ten times the duration of the last snapshot also applies."""
    snapshot_s: float = 3600.0
    """Seconds after which a snapshot is taken if anything has changed."""
    group: str = ""
    """Consumer group; empty = `vigie-<service>`."""
    every_ms: int = FETCH_INTERVAL_MS
    """Milliseconds between fetches in a stream (`services.runtime.kafka.fetch_throttle`)."""
