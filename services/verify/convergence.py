"""Decide when a reading of a running system becomes a verdict, and read rows of the store.

Topics, logs and store of a running system are not read at one moment.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
import redis.asyncio as redis

from services.verify.laws import Findings

PATIENCE_FACTOR: Final = 8
"""Times `patience_s` that one item may wait while other items move."""


async def read_rows(url: str) -> tuple[dict[tuple[str, str], dict[str, Any]], set[str]]:
    """Read ((realm, collection) → id → row, closed realms that were evicted from the store).

    The logs answer queries about evicted realms. Raises redis.RedisError when the store is away.
    """
    client: Any = redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=20)
    rows_by_collection: dict[tuple[str, str], dict[str, Any]] = {}
    try:
        async for key in client.scan_iter(match="vigie:*:rows:*", count=1000):
            _, realm, _, collection = key.decode().split(":", 3)
            rows = [orjson.loads(row) for row in await client.hvals(key)]
            rows_by_collection[realm, collection] = {row["id"]: row for row in rows}
        realms = await client.hgetall(
            "vigie:realms"
        )  # Read last: a realm that is evicted meanwhile was not seen whole.
    finally:
        await client.aclose()
    return rows_by_collection, {
        name.decode() for name, fields in realms.items() if orjson.loads(fields).get("aside")
    }


class ConvergenceJudge:
    """Judges one reading after the other.

    * A breach counts if the next reading still shows it, or if breaches have been seen without a
      break for `PATIENCE_FACTOR` times `patience_s`.
    * A pending item counts after `PATIENCE_FACTOR` times `patience_s`, or if nothing has moved for
      `patience_s`.
    * All is well if no breach is seen and each item that waited at the first reading has arrived.
      Newer items may wait: a busy system always has some.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._size = -1
        self._moved_at = 0.0
        self._since: dict[tuple[str, str], float] = {}
        self._first: frozenset[tuple[str, str]] | None = None
        self._suspected: set[tuple[str, str]] = set()
        self._sound_at: float | None = None

    def judge(self, findings: Findings, size: int, now: float) -> list[tuple[str, str]] | None:
        """Return the breaches (law, sentence) that count, or None to read on.

        An empty list means that all is well. `size` grows with everything read; `now` is in
        seconds.
        """
        if size != self._size:
            self._size, self._moved_at = size, now
        self._since = {item: self._since.get(item, now) for item in findings.pending}
        if self._first is None:
            self._first = frozenset(findings.pending)
        if not findings.broken or self._sound_at is None:
            self._sound_at = now
        confirmed_breaches = [breach for breach in findings.broken if breach in self._suspected]
        if now - self._sound_at > PATIENCE_FACTOR * self._patience_s:
            confirmed_breaches = findings.broken
        self._suspected = set(findings.broken)
        still = now - self._moved_at > self._patience_s
        late = [
            (law, sentence)
            for (law, item), sentence in findings.pending.items()
            if still or now - self._since[law, item] > PATIENCE_FACTOR * self._patience_s
        ]
        if confirmed_breaches or late:
            return list(dict.fromkeys(confirmed_breaches + late))
        if findings.broken or self._first & findings.pending.keys():
            return None
        return []
