"""Look every few seconds whether a majority of the cluster is seen from this machine."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import structlog
from aiokafka.errors import KafkaError

from services.appliance.cluster.control import ClusterControl, ClusterRefused
from services.runtime.process.cluster import (
    ClusterMember,
    MajorityState,
    read_majority,
    read_member,
    write_majority,
)
from services.runtime.process.machine import now_ms
from services.runtime.process.settings import DataDir

INTERVAL_S: Final = 5.0
ANSWER_TIMEOUT_S: Final = 3.0
MAX_MISSES: Final = 2
"""Looks without an answer until a machine counts as cut off: another leader takes a moment."""
log = structlog.get_logger(__name__)
Look = Callable[[str], Awaitable[bool]]


class MajorityWatch:
    """Keeper of `run/cluster.json`."""

    def __init__(self, file: Path, look: Look | None = None) -> None:
        self._file = file
        self._look = look or knows_leader
        self._misses = 0

    async def look(self, member: ClusterMember) -> bool:
        """Look once, note a change, and return whether a majority is seen."""
        addresses = member.brokers.split(",")
        # One broker that is away or cut off says nothing of the others
        sees_majority = await self._look(addresses[0]) or any(
            await asyncio.gather(*(self._look(address) for address in addresses[1:]))
        )
        self._misses = 0 if sees_majority else self._misses + 1
        has_majority = self._misses < MAX_MISSES
        self._note(has_majority, member.other_fronts)
        return has_majority

    def _note(self, has_majority: bool, fronts: tuple[str, ...]) -> None:
        before = read_majority(self._file)
        same = before is not None and before.has_majority is has_majority
        if before is not None and same and before.fronts == fronts:
            return
        since_ms = before.since_ms if before is not None and same else now_ms()
        try:
            write_majority(self._file, MajorityState(has_majority, since_ms, fronts))
        except OSError as error:
            log.error("cluster.not_noted", file=str(self._file), why=error.strerror)
            return
        if not same and (before is not None or not has_majority):
            log.warning("cluster.majority_seen" if has_majority else "cluster.cut_off")


async def keep_looking(data: DataDir) -> None:
    """Look every few seconds, as long as this machine is part of a cluster."""
    watch = MajorityWatch(data.majority)
    while True:
        await asyncio.sleep(INTERVAL_S)
        member = await asyncio.to_thread(read_member, data.secrets)
        if member is not None:
            await watch.look(member)


async def knows_leader(address: str) -> bool:
    """Return whether a broker knows the leader of the cluster."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S), ClusterControl(address) as control:
            return (await control.describe_quorum()).leader >= 0
    except (ClusterRefused, KafkaError, OSError):
        return False
