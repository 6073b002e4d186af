"""Numbers of a worker that tests and benchmarks change."""

from dataclasses import dataclass, replace
from typing import Final

from services.runtime.kafka.fetch_throttle import FETCH_INTERVAL_MS
from services.runtime.process.cluster import read_member
from services.runtime.process.settings import Settings

CLUSTER_SESSION_S: Final = 3.0
"""Time after which others take over from a lost worker in a cluster of machines.

It begins again when the coordinator of the group was lost, too. Kafka's own least time is 6 s, so
it is for the brokers of Vigie alone.
"""
CLUSTER_HEARTBEAT_S: Final = 0.5
CLUSTER_STUCK_S: Final = 15.0
"""The longest wait of an append: a worker that is cut off ends rather than append it too late.

A late append makes the worker that has taken over start again.
"""


@dataclass(frozen=True, slots=True)
class Tuning:
    """Numbers that tests and benchmarks change."""

    session_s: float = 10.0
    """Seconds without a sign of life after which a worker loses its partitions."""
    heartbeat_s: float = 1.0
    """Seconds between signs of life, and the longest delay until a worker learns of a rebalance."""
    stuck_s: float = 300.0
    """Age of an unacknowledged append that ends the process."""
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
    return replace(
        tuning,
        session_s=CLUSTER_SESSION_S,
        heartbeat_s=CLUSTER_HEARTBEAT_S,
        stuck_s=CLUSTER_STUCK_S,
    )
