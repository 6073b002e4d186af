"""Read every row of every realm from the store (`vigie:<realm>:rows:<collection>`)."""

from __future__ import annotations

from typing import Any

import orjson
import redis.asyncio as redis


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
