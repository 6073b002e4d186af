"""Tell the other fronts of a cluster when a source was heard, and the counts of limits.

A source sends to one front. Without this, every other front would report it as silent, and each
front would grant the whole limit. Both travel on the topic `fronts`, sealed with a key that derives
from the master key.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

import orjson
import structlog

from schemas.base import Instant
from services.intake.admission import Uses
from services.intake.integrations.source_stats import SourceStats
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.principals import Source
from services.runtime.kafka.clients import BrokerAway, KeyedWriter
from services.runtime.kafka.compacted_topic import KeyedEntry, TopicFollower
from services.runtime.process.tasks import cancel_and_wait
from services.runtime.secrets.keyring import MasterKey, decrypt, encrypt

TOPIC: Final = "fronts"
PURPOSE: Final = "intake.fronts"
KEY: Final = "signs"
USES_KEY: Final = "uses "
"""Beginning of the key of the counts of a front; its name follows."""
REPEAT_S: Final = 60.0
"""Seconds after which counts are sent again, for fronts that have started since."""
TURN_S: Final = 1.0
MAX_INTERVAL_MS: Final = 5000
"""Longest time for which a sign of life stays with the front that heard it."""
log = structlog.get_logger(__name__)


def calculate_interval(period_ms: int) -> int:
    """Return the time (ms) between two signs of a source that promised this period."""
    return min(period_ms // 4, MAX_INTERVAL_MS)


def calculate_grace(period_ms: int) -> int:
    """Return how much later (ms) a front of a cluster may believe that a source is silent."""
    return calculate_interval(period_ms) + 2 * int(TURN_S * 1000)


class SharedCount(Protocol):
    """A limit that holds for all fronts together."""

    def get_uses(self) -> Uses:
        """Return the counts of this front."""
        ...

    def hear(self, front: str, uses: Uses) -> None:
        """Replace the counts of another front."""
        ...


class SignExchange:
    """Sender and reader of signs of life and of counts, in each front of a cluster."""

    def __init__(
        self,
        kafka: str,
        access: AccessStore,
        book: SourceStats,
        writer: KeyedWriter,
        master: MasterKey,
        quotas: Mapping[str, SharedCount] = MappingProxyType({}),
        front: str = "",
    ) -> None:
        """Exchange signs, and the counts of `quotas` under the name of this front."""
        self._kafka = kafka
        self._quotas = quotas
        self._uses_key = f"{USES_KEY}{front}"
        self._sent_uses: dict[str, Uses] = {}
        self._repeat_at = 0.0
        self._access = access
        self._book = book
        self._writer = writer
        self._secret = master.derive_key(PURPOSE)
        self._told: dict[str, Instant] = {}
        """By source, the newest sign that every front has or will have."""

    async def run(self) -> None:
        """Exchange signs until cancelled."""
        # Older records do not matter: a start waits for a whole period
        follower = TopicFollower(self._kafka, [TOPIC], self._apply, from_end=True)
        following = asyncio.create_task(follower.run(), name="signs.follower")
        try:
            while True:
                try:
                    await self.send()
                except BrokerAway as error:
                    log.info("signs.postponed", why=str(error))
                await asyncio.sleep(TURN_S)
        finally:
            await cancel_and_wait([following])

    async def send(self) -> None:
        """Send counts, and the newest signs of sources with a promised period.

        Raises BrokerAway.
        """
        fresh = {}
        for source in self._access.all(Source):
            last_seen = self._book.health(source.id).last_seen
            if source.heartbeat_s is None or last_seen is None:
                continue
            interval = calculate_interval(source.heartbeat_s * 1000)
            if last_seen >= self._told.get(source.id, -interval) + interval:
                fresh[source.id] = last_seen
        if fresh:
            await self._put(KEY, fresh)
            self._told |= fresh
        await self._send_uses()

    async def _send_uses(self) -> None:
        uses = {name: quota.get_uses() for name, quota in self._quotas.items()}
        now = time.monotonic()
        if any(uses.values()) and (uses != self._sent_uses or now >= self._repeat_at):
            await self._put(self._uses_key, uses)
            self._sent_uses, self._repeat_at = uses, now + REPEAT_S

    async def _put(self, key: str, content: object) -> None:
        ciphertext = encrypt(self._secret, orjson.dumps(content), key.encode())
        await self._writer.put(TOPIC, key, ciphertext)

    async def _apply(self, entries: Sequence[KeyedEntry]) -> None:
        for entry in entries:
            self.apply_record(entry.key.encode(), entry.value)

    def apply_record(self, key: bytes, value: bytes | None) -> None:
        """Take a record of the topic; one of a stranger changes nothing."""
        try:
            content = orjson.loads(decrypt(self._secret, value or b"", key))
        except ValueError:
            log.warning("signs.foreign_record")
            return
        name = key.decode()
        if name == KEY:
            self._hear_signs(content)
        elif name != self._uses_key:
            for quota_name, quota in self._quotas.items():
                quota.hear(name, content.get(quota_name, {}))

    def _hear_signs(self, signs: Mapping[str, Instant]) -> None:
        for source, last_seen in signs.items():
            self._told[source] = max(last_seen, self._told.get(source, 0))
            self._book.hear_elsewhere(source, last_seen)
