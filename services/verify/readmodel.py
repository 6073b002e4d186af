"""What the store shows: every row of every realm, by the layout that the console documents (`vigie:<realm>:rows:<collection>`)."""

from __future__ import annotations

from typing import Any

import orjson
import redis.asyncio as redis


async def read_rows(url: str) -> tuple[dict[tuple[str, str], dict[str, Any]], set[str]]:
    """(realm, collection) → id → row; and the closed realms that were laid aside: whoever asks for those is answered from the logs.

    Raises redis.RedisError when the store is away.
    """
    client: Any = redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=20)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    try:
        async for key in client.scan_iter(match="vigie:*:rows:*", count=1000):
            _, realm, _, collection = key.decode().split(":", 3)
            rows = [orjson.loads(row) for row in await client.hvals(key)]
            found[realm, collection] = {row["id"]: row for row in rows}
        realms = await client.hgetall(
            "vigie:realms"
        )  # last: of one that is laid aside meanwhile not all was seen
    finally:
        await client.aclose()
    return found, {
        name.decode() for name, fields in realms.items() if orjson.loads(fields).get("aside")
    }
