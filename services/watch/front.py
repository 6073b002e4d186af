"""Send reports to the front, under the key of each feed."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import httpx2 as httpx
import orjson

from services.runtime.process.cluster import find_other_fronts
from services.runtime.process.settings import Settings
from services.watch.engine import FrontAway

TIMEOUT_S: Final = 20.0
STRUCTURED: Final = "application/cloudevents+json"
_AWAY: Final = frozenset({502, 503, 504})
_TAKEN_BEFORE: Final = frozenset({409, 422})
"""The same key came with other words, for example after an upgrade: the first ones stand."""


ListFronts = Callable[[], Sequence[str]]
"""Returns the addresses of the fronts that may take a report, the own one first."""


def list_fronts(settings: Settings) -> Sequence[str]:
    """Return the addresses of this machine's front and of the others of its cluster."""
    return [*settings.urls, *find_other_fronts(settings.data.majority)]


class FrontClient:
    """Client that turns to the front of another machine while the own one is away."""

    def __init__(
        self, list_fronts: ListFronts, handler: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._list_fronts = list_fronts
        self._handler = handler

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        """The client, made for the first event: its certificates take 3 MB."""
        return httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False, transport=self._handler)

    async def close(self) -> None:
        if "_client" in vars(self):
            await self._client.aclose()

    async def post(self, path: str, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """Return the first answer of a front that is not away. Raises FrontAway.

        A request that a front took without an answer is repeated at the next one: both know its
        key.
        """
        fault = "no front"
        for url in self._list_fronts():
            try:
                answer = await self._client.post(
                    f"{url.rstrip('/')}{path}", content=content, headers=dict(headers)
                )
            except httpx.HTTPError as error:
                fault = type(error).__name__
                continue
            if answer.status_code not in _AWAY:
                return answer
            fault = f"http {answer.status_code}"
        raise FrontAway(fault)


class HttpFront:
    """Client of `POST /api/v1/events`. The keys are files, read for each event."""

    def __init__(self, client: FrontClient, keys: Path) -> None:
        self._keys = keys
        self._client = client

    async def close(self) -> None:
        await self._client.close()

    async def send(self, feed: str, event: dict[str, Any]) -> None:
        """Send one event. Raises FrontAway unless the front has it."""
        try:
            key = get_source_key_file(self._keys, feed).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise FrontAway("no key of the source: vigie feed enable") from error
        headers = {"content-type": STRUCTURED, "authorization": f"Bearer {key}"}
        answer = await self._client.post("/api/v1/events", orjson.dumps(event), headers)
        if answer.status_code >= 300 and answer.status_code not in _TAKEN_BEFORE:
            raise FrontAway(f"http {answer.status_code}")


def get_source_key_file(folder: Path, feed: str) -> Path:
    """Return the file of the key that a feed reports to the front with."""
    return folder / f"{feed}.source"
