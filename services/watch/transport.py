"""Fetch feeds within limits: listed hosts, bounded time and size, keys in headers only."""

import asyncio
import base64
import binascii
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpx2 as httpx
import orjson

from services.watch.connector import FeedBody, FeedRequest, FeedSpec, FetchVerdict

CONNECT_S: Final = 5.0
READ_S: Final = 30.0
WHOLE_S: Final = 60.0
MOST_REDIRECTS: Final = 3
LONGEST_WAIT_S: Final = 900.0
LONGEST_QUOTA_WAIT_S: Final = 86_400.0
BASE_WAIT_S: Final = 30.0
TOKEN_BYTES: Final = 100_000
"""Most bytes of an answer with a token."""
TOKEN_MARGIN_S: Final = 60.0
SUCCESS: Final = frozenset({200, 206})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_TRANSIENT: Final = frozenset({408, 425, 429})
_AUTH: Final = frozenset({401, 403, 407})
_AUTH_MARKS: Final = (b"900901", b"invalid_client")


@dataclass(frozen=True, slots=True)
class FeedResponse:
    """One answer of a feed, or the failure to get one."""

    verdict: FetchVerdict
    """OK: the body may be read. UNCHANGED: the server says that it has not changed."""
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 0
    fault: str = ""
    wait_s: float | None = None
    """Seconds for which the server asks not to be called again."""


def judge_status(status: int, headers: Mapping[str, str], content: bytes) -> FeedResponse:
    """Return the verdict of a status."""
    if status in SUCCESS:
        return FeedResponse(FetchVerdict.OK, content, headers, status)
    if status == 304:
        return FeedResponse(FetchVerdict.UNCHANGED, b"", headers, status)
    fault = f"http {status}"
    if status in _TRANSIENT or status >= 500:
        return FeedResponse(
            FetchVerdict.RETRY, b"", headers, status, fault, find_wait(status, headers)
        )
    if status in _AUTH or any(mark in content[:2000] for mark in _AUTH_MARKS):
        return FeedResponse(FetchVerdict.AUTH, b"", headers, status, fault)
    return FeedResponse(FetchVerdict.DRIFT, content, headers, status, fault)


def find_wait(status: int, headers: Mapping[str, str]) -> float | None:
    """Return the wait that a server asks for. A spent daily quota may last a day."""
    lower = {name.lower(): value for name, value in headers.items()}
    most = LONGEST_WAIT_S
    if lower.get("x-ratelimit-remaining-day") == "0":
        most = LONGEST_QUOTA_WAIT_S
    header = lower.get("retry-after", "").strip()
    if not header:
        return LONGEST_WAIT_S if status == 429 else None
    try:
        if header.isascii() and header.isdecimal():
            delay_s = float(header[:9])
        else:
            delay_s = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return LONGEST_WAIT_S if status == 429 else None
    return min(max(delay_s, 0.0), most)


def choose_wait(failures: int, requested_wait_s: float | None, chance: float) -> float:
    """Return the seconds until the next try: as asked, else 2ⁿ with full jitter, 15 min at most."""
    if requested_wait_s is not None:
        return requested_wait_s
    return chance * min(LONGEST_WAIT_S, BASE_WAIT_S * 2.0 ** min(failures, 10))


class HostRefused(ValueError):
    """An address leads outside the hosts of its feed."""


class KeyMissing(Exception):
    """The feed needs a key, and its file is missing."""


class FeedTransport:
    """Client for all feeds. It reaches only the hosts that a feed lists."""

    def __init__(
        self,
        keys: Path,
        contact: str,
        *,
        base: str = "",
        proxy: str = "",
        handler: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._keys = keys
        self._base = base.rstrip("/")
        self._tokens: dict[str, tuple[str, float]] = {}
        self._contact = contact
        self._proxy = proxy
        self._handler = handler

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        """The client, made for the first feed: its certificates take 3 MB."""
        who = self._contact or "sans contact"
        return httpx.AsyncClient(
            http1=True,
            http2=False,
            trust_env=False,
            follow_redirects=False,
            proxy=self._proxy or None,
            transport=self._handler,
            timeout=httpx.Timeout(READ_S, connect=CONNECT_S),
            headers={
                "user-agent": f"Vigie (veille des flux officiels; {who})",
                "accept-encoding": "gzip, deflate",
            },
        )

    async def close(self) -> None:
        if "_client" in vars(self):
            await self._client.aclose()

    async def fetch(
        self, spec: FeedSpec, request: FeedRequest, validators: Mapping[str, str]
    ) -> FeedResponse:
        """Fetch one address. Raises KeyMissing; any other failure is a verdict."""
        try:
            async with asyncio.timeout(WHOLE_S):
                answer = await self._ask(spec, request, validators)
                if (
                    answer.verdict is FetchVerdict.AUTH
                    and spec.key is not None
                    and spec.key.token_url
                ):
                    self._tokens.pop(spec.name, None)  # an expired token is renewed once
                    answer = await self._ask(spec, request, validators)
                return answer
        except HostRefused as error:
            return FeedResponse(FetchVerdict.REFUSED, fault=str(error))
        except (httpx.HTTPError, TimeoutError, OSError, ValueError) as error:
            return FeedResponse(FetchVerdict.RETRY, fault=type(error).__name__)

    async def _ask(
        self, spec: FeedSpec, request: FeedRequest, validators: Mapping[str, str]
    ) -> FeedResponse:
        url = self._place(spec, request)
        headers = dict(validators)
        for _ in range(MOST_REDIRECTS + 1):
            self.check_host(spec, url)
            # A key goes to the host that gave it, never to where it redirects.
            request_headers = (
                headers | await self._authorize(spec) if self._is_home(spec, url) else headers
            )
            async with self._client.stream("GET", url, headers=request_headers) as response:
                if response.status_code in _REDIRECTS:
                    url = urljoin(url, response.headers.get("location", ""))
                    continue
                content = await _read_bounded(response, spec.max_bytes)
            if content is None:
                return FeedResponse(FetchVerdict.REFUSED, fault="body too large")
            return judge_status(response.status_code, dict(response.headers), content)
        return FeedResponse(FetchVerdict.DRIFT, fault="too many redirects")

    def _place(self, spec: FeedSpec, request: FeedRequest) -> str:
        return f"{self._base}/{spec.name}/{request.name}" if self._base else request.url

    def _is_home(self, spec: FeedSpec, url: str) -> bool:
        return bool(self._base) or urlsplit(url).hostname == spec.hosts[0]

    def check_host(self, spec: FeedSpec, url: str) -> None:
        """Refuse an address outside the allow-list. Raises HostRefused."""
        if self._base:
            if not url.startswith(f"{self._base}/"):
                raise HostRefused("outside the sample server")
            return
        parts = urlsplit(url)
        if parts.scheme != "https" or parts.hostname not in spec.hosts or parts.port:
            raise HostRefused(f"outside the allow-list: {parts.hostname or url[:80]}")

    async def _authorize(self, spec: FeedSpec) -> dict[str, str]:
        if spec.key is None or self._base:
            return {}
        key = read_key(self._keys, spec.name)
        if not spec.key.token_url:
            return {spec.key.header: key}
        return {spec.key.header: f"Bearer {await self._get_token(spec, key)}"}

    async def _get_token(self, spec: FeedSpec, key: str) -> str:
        """Return a valid token, a new one if needed. Raises httpx.HTTPError, ValueError."""
        assert spec.key is not None
        token, until = self._tokens.get(spec.name, ("", 0.0))
        if time.monotonic() < until:
            return token
        self.check_host(spec, spec.key.token_url)
        async with self._client.stream(
            "POST",
            spec.key.token_url,
            headers={"authorization": f"Basic {_encode_basic(key)}"},
            data={"grant_type": "client_credentials"},
        ) as answer:
            answer.raise_for_status()
            content = await _read_bounded(answer, TOKEN_BYTES)
        if content is None:
            raise ValueError("token answer too large")
        token_answer = orjson.loads(content)
        token = str(token_answer["access_token"])
        lifetime = max(float(token_answer.get("expires_in", 0)) - TOKEN_MARGIN_S, 0.0)
        self._tokens[spec.name] = (token, time.monotonic() + lifetime)
        return token


def read_key(folder: Path, feed: str) -> str:
    """Return the key of a feed from its file. Raises KeyMissing."""
    try:
        key = (folder / f"{feed}.key").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyMissing(feed) from error
    if not key or any(letter.isspace() for letter in key):
        raise KeyMissing(feed)
    return key


def _encode_basic(key: str) -> str:
    """Return `id:secret` in Base64, as the portal gives it or as it is spelt out."""
    if ":" in key:
        return base64.b64encode(key.encode()).decode()
    try:
        base64.b64decode(key, validate=True)
    except binascii.Error as error:
        raise ValueError("the key is neither id:secret nor Base64") from error
    return key


async def _read_bounded(response: httpx.Response, most: int) -> bytes | None:
    """Return the decompressed body, None if it is larger than `most`."""
    parts, size = [], 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > most:
            return None
        parts.append(part)
    return b"".join(parts)


def create_body(request: FeedRequest, answer: FeedResponse) -> FeedBody:
    return FeedBody(request.name, answer.content, answer.headers)
