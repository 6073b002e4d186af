"""Status of the sources, which the front keeps.

The console requests it with the reader's own credentials, so that the front alone decides about
access.
"""

from __future__ import annotations

from typing import Any, Final

import httpx
import structlog
from fastapi import Request

TIMEOUT_S: Final = 2.0
_CREDENTIALS: Final = ("cookie", "authorization")
log = structlog.get_logger(__name__)


class SourceClient:
    """Client for the sources of the front at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def of(self, request: Request) -> list[dict[str, Any]] | None:
        """Return the items of `GET /api/v1/sources`, or None if the front does not answer."""
        headers = {
            name: value for name in _CREDENTIALS if (value := request.headers.get(name)) is not None
        }
        try:
            async with httpx.AsyncClient(
                base_url=self._url, headers=headers, timeout=TIMEOUT_S, trust_env=False
            ) as client:
                sources, cursor = [], ""
                while cursor is not None:
                    page = (
                        (
                            await client.get(
                                "/api/v1/sources", params={"cursor": cursor} if cursor else {}
                            )
                        )
                        .raise_for_status()
                        .json()
                    )
                    sources += page["items"]
                    cursor = page["next"]
            return sources
        except (httpx.HTTPError, ValueError, KeyError) as error:
            log.warning("sources.unknown", error=type(error).__name__)
            return None
