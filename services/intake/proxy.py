"""Everything that is not the front's own goes to the console, both ways as a stream: a live stream arrives event by event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import aiohttp
import structlog
from multidict import CIMultiDict
from yarl import URL

from services.intake.exchange import (
    FILE_SECURITY,
    PAGE_POLICY,
    SECURITY,
    Headers,
    Receive,
    Scope,
    Send,
    address_of,
    answer_problem,
    header,
    redacted,
)
from services.runtime import metrics
from services.runtime.problems import Problem

HOP_BY_HOP: Final = frozenset({
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te", b"trailer", b"trailers",
    b"transfer-encoding", b"upgrade", b"expect",
})  # fmt: skip
_OURS: Final = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded"})
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
SILENT_S: Final = 30.0
"""A console that says nothing for this long is away; its live streams ping every 5 s, or have nothing to promise."""
IDLE_S: Final = 4.0
"""Idle connections to the console are dropped before the console would: uvicorn's default is 5 s."""
RETRY_S: Final = 2
LIVE: Final = "text/event-stream"
DRAIN_S: Final = 1.0
"""For what the console has under way when this process is asked to stop: a step or a live stream may take longer than anybody waits for a stop."""
log = structlog.get_logger(__name__)


def end_to_end(headers: Headers, drop: frozenset[bytes] = frozenset()) -> Headers:
    """Without hop-by-hop headers (RFC 9110 7.6.1), those that `Connection` names, and `drop`."""
    named = {token.strip().lower() for key, value in headers if key.lower() == b"connection" for token in value.split(b",")}
    return [(k, v) for k, v in headers if (low := k.lower()) not in HOP_BY_HOP and low not in named and low not in drop]


class _Leaving(Exception):
    """This process stops, and the console has not answered."""


class Proxy:
    """Streams requests to the console at `address`."""

    def __init__(self, address: str, connect_s: float) -> None:
        self._base = f"http://{address}"
        self._connect_s = connect_s
        self._session: aiohttp.ClientSession | None = None
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """This process stops: after DRAIN_S whoever waits for the console is told to come again, and what is being streamed is cut."""
        self._leaving.set()

    async def _left(self) -> None:
        await self._leaving.wait()
        await asyncio.sleep(DRAIN_S)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_s, sock_read=SILENT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
                trust_env=False,
            )
        return self._session

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def status_of(self, path: str, timeout_s: float) -> int:
        """Status of a GET. Raises aiohttp.ClientError, TimeoutError."""
        async with asyncio.timeout(timeout_s), self._client().get(self._base + path) as found:
            return found.status

    async def get_json(self, path: str, timeout_s: float) -> Any:
        """One of the console's own documents. Raises aiohttp.ClientError (no success, too), TimeoutError, ValueError."""
        async with asyncio.timeout(timeout_s), self._client().get(self._base + path, raise_for_status=True) as found:
            return await found.json()

    async def ask(
        self, method: str, path: str, key: str, body: bytes | None = None, more: Mapping[str, str] | None = None, timeout_s: float = 10.0
    ) -> tuple[int, Any]:
        """(status, document) of a request of our own in the name of whoever showed `key`. Raises aiohttp.ClientError, TimeoutError, ValueError."""
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **(more or {})}
        async with asyncio.timeout(timeout_s), self._client().request(method, self._base + path, data=body, headers=headers) as found:
            return found.status, await found.json(content_type=None)

    async def pass_on(self, scope: Scope, receive: Receive, send: Send, *, instead_of_404: Any = None) -> None:
        """One exchange. The console away: 503 with Retry-After. `instead_of_404(send)` may answer what the console does not know yet; False leaves its 404."""
        doubt = "console_away" if scope["method"] in _SAFE else "outcome_unknown"
        try:
            response = await self._request(scope, receive)
        except _Leaving:
            await self._failed(scope, send, doubt)
            return
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            log.info("console.away", path=redacted(scope), error=type(error).__name__)
            await self._failed(scope, send, "console_away")
            return
        except (aiohttp.ClientError, OSError) as error:
            log.warning("console.silent", path=redacted(scope), error=type(error).__name__)
            await self._failed(scope, send, doubt)
            return
        if response is None:  # the client hung up
            return
        try:
            metrics.count("vigie_proxied_total", status=f"{response.status // 100}xx")
            if response.status == 404 and instead_of_404 is not None and await instead_of_404(send):
                return
            await self._stream_back(scope, receive, send, response)
        finally:
            response.close()

    async def _failed(self, scope: Scope, send: Send, code: str) -> None:
        metrics.count("vigie_proxied_total", status="5xx")
        await answer_problem(scope, send, Problem(code, retry_after_s=RETRY_S))

    async def _request(self, scope: Scope, receive: Receive) -> aiohttp.ClientResponse | None:
        headers = CIMultiDict([(k.decode("latin-1"), v.decode("latin-1")) for k, v in end_to_end(scope["headers"], _OURS)])
        headers["X-Forwarded-For"] = address_of(scope)
        headers["X-Forwarded-Proto"] = scope.get("scheme", "http")
        if (host := header(scope, b"host")) is not None:
            headers["X-Forwarded-Host"] = host
        path = (scope.get("raw_path") or scope["path"].encode()).split(b"?")[0].decode("latin-1")
        query = scope.get("query_string", b"").decode("latin-1")
        url = URL(f"{self._base}{path}" + (f"?{query}" if query else ""), encoded=True)
        has_body = header(scope, b"content-length") not in (None, "0") or header(scope, b"transfer-encoding") is not None
        sending = asyncio.ensure_future(
            self._client().request(scope["method"], url, headers=headers, data=_body(receive) if has_body else None, allow_redirects=False)
        )
        left = asyncio.ensure_future(self._left())
        gone = [] if has_body else [asyncio.ensure_future(_disconnected(receive))]  # who sends a body is heard of as it is read
        try:
            await asyncio.wait({sending, left, *gone}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                return sending.result()
            if left.done():
                raise _Leaving
            return None
        finally:
            for one in (left, *gone, sending):
                one.cancel()

    async def _stream_back(self, scope: Scope, receive: Receive, send: Send, response: aiohttp.ClientResponse) -> None:
        headers = end_to_end([(bytes(k), bytes(v)) for k, v in response.raw_headers], frozenset({b"date", b"server"}))
        have = {k.lower() for k, _ in headers}
        guards = FILE_SECURITY if scope["path"].startswith("/static/") else SECURITY
        headers = [(k.lower(), v) for k, v in headers] + [(k, v) for k, v in (*guards, PAGE_POLICY) if k not in have]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        streaming = asyncio.ensure_future(_copy(response, send))
        left, gone = asyncio.ensure_future(self._left()), asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait({streaming, left, gone}, return_when=asyncio.FIRST_COMPLETED)
            if streaming.done():
                streaming.result()
            elif left.done() and response.content_type == LIVE:
                streaming.cancel()
                await asyncio.wait({streaming})
                await send({"type": "http.response.body", "body": b""})  # its reader comes again
        except (aiohttp.ClientError, OSError) as error:
            # The response cannot be completed: returning without its end makes the server cut the connection, so that
            # the client sees a truncated answer and not a short one.
            log.warning("console.cut", path=redacted(scope), error=type(error).__name__)
        finally:
            for one in (streaming, left, gone):
                one.cancel()


async def _copy(response: aiohttp.ClientResponse, send: Send) -> None:
    async for chunk in response.content.iter_any():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionAbortedError("the client hung up")
        if chunk := message.get("body", b""):
            yield chunk
        if not message.get("more_body", False):
            return


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
