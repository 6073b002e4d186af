"""Send reports to the front, under the key of each feed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import httpx2 as httpx
import orjson

from services.watch.engine import FrontAway

TIMEOUT_S: Final = 20.0
STRUCTURED: Final = "application/cloudevents+json"
_TAKEN_BEFORE: Final = frozenset({409, 422})
"""The same key came with other words, for example after an upgrade: the first ones stand."""


class HttpFront:
    """Client of `POST /api/v1/events`. The keys are files, read for each event."""

    def __init__(
        self, url: str, keys: Path, handler: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._keys = keys
        self._client = httpx.AsyncClient(
            base_url=url, timeout=TIMEOUT_S, trust_env=False, transport=handler
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def send(self, feed: str, event: dict[str, Any]) -> None:
        """Send one event. Raises FrontAway unless the front has it."""
        try:
            key = get_source_key_file(self._keys, feed).read_text(encoding="ascii").strip()
            answer = await self._client.post(
                "/api/v1/events",
                content=orjson.dumps(event),
                headers={"content-type": STRUCTURED, "authorization": f"Bearer {key}"},
            )
        except (OSError, UnicodeDecodeError) as error:
            raise FrontAway("no key of the source: vigie feed enable") from error
        except httpx.HTTPError as error:
            raise FrontAway(type(error).__name__) from error
        if answer.status_code >= 300 and answer.status_code not in _TAKEN_BEFORE:
            raise FrontAway(f"http {answer.status_code}")


def get_source_key_file(folder: Path, feed: str) -> Path:
    """Return the file of the key that a feed reports to the front with."""
    return folder / f"{feed}.source"
