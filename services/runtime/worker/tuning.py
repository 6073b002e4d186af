"""Numbers of a worker that tests and benchmarks change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from services.runtime.kafka.fetch_throttle import FETCH_INTERVAL_MS
from services.runtime.process.cluster import read_member
from services.runtime.process.settings import Settings

CLUSTER_SESSION_S: Final = 4.0
"""Time after which others take over from a lost worker in a cluster of machines.

Kafka's own least time is 6 s, so it is for the brokers of Vigie alone.
"""


@dataclass(frozen=True, slots=True)
class Tuning:
    """Numbers that tests and benchmarks change."""

    session_s: float = 10.0
    """Seconds without a sign of life after which a worker loses its partitions."""
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


def adapt_tuning(tuning: Tuning, settings: Settings) -> Tuning:
    """Return the numbers for the brokers that a worker uses."""
    member = read_member(settings.data.secrets)
    if member is None or not member.uses(settings.kafka):
        return tuning
    return replace(tuning, session_s=CLUSTER_SESSION_S)
