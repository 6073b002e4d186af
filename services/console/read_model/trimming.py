"""Keep Redis bounded.

Remove the oldest lines of a realm beyond `LINES_KEPT`, and nearly all keys of evicted realms.
"""

from __future__ import annotations

from collections.abc import Collection

import orjson

from services.console.read_model import store
from services.console.read_model.store import Client

CHECK_EVERY = 1_000
"""Lines written to a realm between two checks of its length."""
KEYS_PER_COMMAND = 500
"""Keys in one command."""


class Trimmer:
    """Remover of old keys. Idempotent; several may trim the same realm."""

    def __init__(
        self, client: Client, kept: int = store.LINES_KEPT, slack: int = store.LINES_SLACK
    ) -> None:
        self._client, self._kept, self._slack = client, kept, slack
        self._since: dict[str, int] = {}

    async def written(self, realm: str, count: int) -> None:
        """Count lines that were added, and trim when a check is due."""
        since = self._since.get(realm, CHECK_EVERY) + count
        self._since[realm] = since
        if since >= CHECK_EVERY:
            self._since[realm] = 0
            await self.trim(realm)

    async def lay_aside(self, realms: Collection[str]) -> int:
        """Delete all keys of these realms except `store.LEFT`; return how many."""
        lasting_keys = {
            store.realm_key(realm, part).encode() for realm in realms for part in store.KEPT_PARTS
        }
        realm_names = {realm.encode() for realm in realms}
        gone = [
            key
            async for key in self._client.scan_iter(match="vigie:*~*:*", count=1000)
            if key.split(b":", 2)[1] in realm_names and key not in lasting_keys
        ]
        for start in range(0, len(gone), KEYS_PER_COMMAND):
            await self._client.unlink(*gone[start : start + KEYS_PER_COMMAND])
        for realm in realms:
            self._since.pop(realm, None)
        return len(gone)

    async def trim(self, realm: str) -> int:
        """Remove the lines beyond the limit; return how many."""
        timeline, lines = store.realm_key(realm, "timeline"), store.realm_key(realm, "lines")
        surplus = int(await self._client.zcard(timeline)) - self._kept
        if surplus <= self._slack:
            return 0
        keys = await self._client.zrange(timeline, 0, surplus - 1)
        raw = await self._client.hmget(lines, keys)
        pipe = self._client.pipeline(transaction=True)
        pipe.set(store.realm_key(realm, "floor"), keys[-1])
        pipe.zremrangebyrank(timeline, 0, surplus - 1)
        pipe.hdel(lines, *keys)
        for key, one in zip(keys, raw, strict=True):
            incident = None if one is None else orjson.loads(one).get("incident")
            if incident is not None:
                pipe.zrem(store.timeline_key(realm, incident), key)
        await pipe.execute()
        return surplus
