"""Post one JSON message per call, and interpret status codes and timeouts in one place."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil
from typing import Final, Self
from urllib.parse import urlsplit
from urllib.request import getproxies

import aiohttp
import orjson

from services.delivery.channels.base import CallResult

_PASSING_STATUSES: Final = frozenset({408, 425, 429})
_GATEWAY_TIMEOUT: Final = 504
"""Status of a proxy that forwarded the request and got no answer."""
_ANSWER_BYTES: Final = 65_536
UNREADABLE_SUFFIX: Final = "answer_unreadable"
"""Ends the error codes of gateways with an unreadable answer to a 2xx."""
LONGEST_RETRY_AFTER_S: Final = 86_400
"""Longest pause that a provider can ask for."""
_ERRORS_BEFORE_SENDING: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)
"""Errors before anything of the request was sent; any other error may come afterwards."""


def parse_retry_after(headers: Mapping[str, str]) -> int | None:
    """Return the seconds that `Retry-After` asks for (RFC 9110 10.2.3); None if unreadable.

    It is a number, or a date by the clock of the server.
    """
    header = headers.get("Retry-After", "").strip()
    if header.isascii() and header.isdecimal():
        return min(int(header[:9]), LONGEST_RETRY_AFTER_S)
    until, now = (
        parse_http_date(header),
        parse_http_date(headers.get("Date", "")) or datetime.now(UTC),
    )
    return (
        None
        if until is None
        else min(max(ceil((until - now).total_seconds()), 0), LONGEST_RETRY_AFTER_S)
    )


def parse_http_date(text: str) -> datetime | None:
    """Parse an HTTP date into an aware time; None if unreadable."""
    try:
        parsed_time = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return parsed_time if parsed_time.tzinfo is not None else parsed_time.replace(tzinfo=UTC)


class HttpPoster:
    """Connection pool while entered; error codes are `<name>_<code>`.

    Subclasses build the message.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers={"user-agent": "Vigie"},
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=bool(getproxies()),  # aiohttp asks a thread for each call
            connector=self.open_connector(),
        )
        return self

    def open_connector(self) -> aiohttp.BaseConnector | None:
        """Return the connector of the pool, None for that of aiohttp."""
        return None

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> CallResult:
        """Post a message and interpret the answer.

        2xx is accepted if the body is the provider's (see `interpret_answer`). 408, 425, 429
        and 5xx are passing failures, with the pause of `Retry-After`. No answer after the request
        was sent is a doubt, also if a proxy before the gateway reports it.
        """
        assert self._session is not None, "entered before it posts"
        request_headers = {"content-type": "application/json", **headers}
        status, content, retry_after_s = 0, b"", None
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._session.post(
                    url, data=body, headers=request_headers, allow_redirects=False
                ) as answer,
            ):
                status, retry_after_s = answer.status, parse_retry_after(answer.headers)
                async for part in answer.content.iter_any():
                    content += part
                    if len(content) >= _ANSWER_BYTES:
                        break
        except _ERRORS_BEFORE_SENDING:
            return CallResult("failed", error=f"{self._name}_connection", retry=True)
        except (aiohttp.ClientError, TimeoutError):
            if not status:
                return CallResult("ambiguous", error=f"{self._name}_no_answer")
            content = b""  # the status is the answer, even without the rest
        if 200 <= status < 300:
            return self.interpret_answer(content)
        if status == _GATEWAY_TIMEOUT:
            return CallResult("ambiguous", error=f"{self._name}_{status}")
        passing = status in _PASSING_STATUSES or status >= 500
        return CallResult(
            "failed",
            error=f"{self._name}_{status}",
            retry=passing,
            retry_after_s=retry_after_s if passing else None,
        )

    async def connects(self, url: str, timeout_s: float) -> str | None:
        """Connect to the gateway and send nothing; over HTTPS, check its certificate."""
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        try:
            async with asyncio.timeout(timeout_s):
                _, writer = await asyncio.open_connection(
                    parts.hostname, parts.port or (443 if tls else 80), ssl=tls or None
                )
        except (OSError, TimeoutError) as fault:
            return f"{self._name}_{'timeout' if isinstance(fault, TimeoutError) else 'connection'}"
        writer.close()
        return None

    def interpret_answer(self, content: bytes) -> CallResult:  # noqa: ARG002
        """Interpret the body of a 2xx; drivers with a documented answer override it."""
        return CallResult("accepted")

    def unreadable(self) -> CallResult:
        """Return the result of a 2xx without the documented answer.

        A proxy, a captive portal or another service may have answered, so it is unknown whether the
        message was taken.
        """
        return CallResult("ambiguous", error=f"{self._name}_{UNREADABLE_SUFFIX}")


def read_json_pointer(content: bytes, pointer: str) -> str | None:
    """Return the text or whole number at a JSON Pointer (RFC 6901); None if there is none."""
    try:
        node = orjson.loads(content)
        for step in pointer.split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            node = node[int(key)] if isinstance(node, list) else node[key]
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    if isinstance(node, bool) or not isinstance(node, (str, int)) or node == "":
        return None
    return str(node)[:64]
