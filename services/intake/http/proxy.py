"""Stream requests and responses between clients and the console.

A live stream arrives event by event. A body has a time limit. The console gets the request once the
first 64 KiB of the body have arrived, which is nearly always all of it: so a phone that sends
slowly takes no connection of the console.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import aiohttp
import structlog
from multidict import CIMultiDict
from yarl import URL

from services.intake.http.exchange import (
    FILE_SECURITY_HEADERS,
    PAGE_CONTENT_POLICY,
    SECURITY_HEADERS,
    ClientDisconnected,
    Headers,
    Receive,
    Scope,
    Send,
    get_client_address,
    get_header,
    redact_url,
    send_problem,
)
from services.runtime.http.problems import Problem, ProblemError
from services.runtime.process import metrics
from services.runtime.process.settings import UNIX_PREFIX
from services.runtime.secrets.front_mark import HEADER, FrontMark

HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"trailers",
        b"transfer-encoding",
        b"upgrade",
        b"expect",
    }
)
_FRONT_HEADERS: Final = frozenset(
    {
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"forwarded",
        HEADER.lower().encode(),
    }
)
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
CONSOLE_TIMEOUT_S: Final = 30.0
"""Seconds of silence after which the console counts as away. Its live streams ping every 5 s."""
IDLE_S: Final = 4.0
"""Seconds after which idle connections close: before uvicorn's default of 5 s closes them."""
RETRY_S: Final = 2
BUFFERED_BYTES: Final = 64 * 1024
"""Bytes of a body that arrive before the console gets the request."""
TIMED_BYTES: Final = 1 << 20
"""Bytes that get the time limit. Each further piece of this size gets it again."""
EVENT_STREAM: Final = "text/event-stream"
DRAIN_S: Final = 1.0
"""Seconds that requests to the console get when this process is asked to stop.

A step or a live stream may take longer than a stop can wait.
"""
log = structlog.get_logger(__name__)


def filter_headers(headers: Headers, drop: frozenset[bytes] = frozenset()) -> Headers:
    """Remove hop-by-hop headers (RFC 9110 7.6.1), those that `Connection` names, and `drop`."""
    connection_headers = {
        token.strip().lower()
        for key, value in headers
        if key.lower() == b"connection"
        for token in value.split(b",")
    }
    return [
        (k, v)
        for k, v in headers
        if (low := k.lower()) not in HOP_BY_HOP
        and low not in connection_headers
        and low not in drop
    ]


def _has_body(scope: Scope) -> bool:
    return (
        get_header(scope, b"content-length") not in (None, "0")
        or get_header(scope, b"transfer-encoding") is not None
    )


class TimedBody:
    """Request body on its way to the console, with a time limit."""

    def __init__(self, receive: Receive, timeout_s: float) -> None:
        self._receive = receive
        self._timeout_s = timeout_s
        self._began_at = asyncio.get_running_loop().time()
        self._size = 0
        self._first: list[bytes] = []
        self._has_more = True
        self.is_late = False

    async def begin(self) -> None:
        """Read the first part. Raises ProblemError `request_timeout`, ClientGone."""
        while self._has_more and self._size < BUFFERED_BYTES:
            try:
                self._first.append(await self._next())
            except TimeoutError:
                raise self.too_slow() from None

    def rest(self) -> bytes | AsyncIterator[bytes]:
        """Return the whole body if it has arrived, else a stream.

        An OSError ends the stream if the client disconnects.
        """
        return self._stream() if self._has_more else b"".join(self._first)

    def too_slow(self) -> ProblemError:
        """Return the problem for a body that is too slow."""
        return ProblemError(
            "request_timeout", retry_after_s=RETRY_S, limit_s=f"{self._timeout_s:g}"
        )

    async def _stream(self) -> AsyncIterator[bytes]:
        for chunk in self._first:
            yield chunk
        while self._has_more:
            try:
                chunk = await self._next()
            except ClientDisconnected:
                raise ConnectionAbortedError("the client hung up") from None
            if chunk:
                yield chunk

    async def _next(self) -> bytes:
        """Return the next piece. Raises TimeoutError, ClientGone."""
        allowance_s = self._timeout_s * (1 + self._size // TIMED_BYTES)
        try:
            async with asyncio.timeout_at(self._began_at + allowance_s):
                message = await self._receive()
        except TimeoutError:
            self.is_late = True
            raise
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        chunk: bytes = message.get("body", b"")
        self._size += len(chunk)
        self._has_more = message.get("more_body", False)
        return chunk


class _FrontStopping(Exception):
    """The process stops, and the console has not answered."""


class ConsoleProxy:
    """Stream requests to the console at `address`: `host:port`, or `unix:/path`."""

    def __init__(
        self, address: str, connect_s: float, body_timeout_s: float, mark: FrontMark
    ) -> None:
        self._mark = mark
        self._socket = (
            address.removeprefix(UNIX_PREFIX) if address.startswith(UNIX_PREFIX) else None
        )
        self._base = f"http://{'console' if self._socket else address}"
        self._connect_s = connect_s
        self._body_timeout_s = body_timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """Announce that this process stops.

        After DRAIN_S, waiting clients are asked to try again, and live streams are closed.
        """
        self._leaving.set()

    async def _wait_for_drain(self) -> None:
        await self._leaving.wait()
        await asyncio.sleep(DRAIN_S)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=self._connector(),
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=self._connect_s, sock_read=CONSOLE_TIMEOUT_S
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
                trust_env=False,
            )
        return self._session

    def _connector(self) -> aiohttp.BaseConnector:
        if self._socket is not None:
            return aiohttp.UnixConnector(self._socket, limit=0, keepalive_timeout=IDLE_S)
        return aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S)

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def status_of(self, path: str, timeout_s: float) -> int:
        """Return the status of a GET. Raises aiohttp.ClientError, TimeoutError."""
        async with asyncio.timeout(timeout_s), self._client().get(self._base + path) as response:
            return response.status

    async def get_json(self, path: str, timeout_s: float) -> Any:
        """Return one of the console's documents.

        Raises aiohttp.ClientError, also for an error status, TimeoutError, ValueError.
        """
        async with (
            asyncio.timeout(timeout_s),
            self._client().get(self._base + path, raise_for_status=True) as response,
        ):
            return await response.json()

    async def ask(
        self,
        method: str,
        path: str,
        key: str,
        body: bytes | None = None,
        more: Mapping[str, str] | None = None,
        timeout_s: float = 10.0,
    ) -> tuple[int, Any]:
        """Send a request under the caller's `key` and return the status and document.

        Raises aiohttp.ClientError, TimeoutError, ValueError.
        """
        headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            **(more or {}),
        }
        async with (
            asyncio.timeout(timeout_s),
            self._client().request(
                method, self._base + path, data=body, headers=headers
            ) as response,
        ):
            return response.status, await response.json(content_type=None)

    async def pass_on(
        self, scope: Scope, receive: Receive, send: Send, *, instead_of_404: Any = None
    ) -> None:
        """Pass one request to the console; answer 503 with Retry-After while it is away.

        `instead_of_404(send)` may answer a request that the console answers with 404. It returns
        False to leave the 404.

        Raises ProblemError `request_timeout`, ClientGone.
        """
        doubt = "console_away" if scope["method"] in _SAFE_METHODS else "outcome_unknown"
        body = TimedBody(receive, self._body_timeout_s) if _has_body(scope) else None
        if body is not None:
            await body.begin()
        try:
            response = await self._request(scope, receive, body)
        except _FrontStopping:
            await self._send_failure(scope, send, doubt)
            return
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            log.info("console.away", path=redact_url(scope), error=type(error).__name__)
            await self._send_failure(scope, send, "console_away")
            return
        except (aiohttp.ClientError, OSError) as error:
            if body is not None and body.is_late:
                raise body.too_slow() from None
            log.warning("console.silent", path=redact_url(scope), error=type(error).__name__)
            await self._send_failure(scope, send, doubt)
            return
        # The client disconnected.
        if response is None:
            return
        try:
            metrics.count("vigie_proxied_total", status=f"{response.status // 100}xx")
            if response.status == 404 and instead_of_404 is not None and await instead_of_404(send):
                return
            await self._stream_back(scope, receive, send, response)
        finally:
            response.close()

    async def _send_failure(self, scope: Scope, send: Send, code: str) -> None:
        metrics.count("vigie_proxied_total", status="5xx")
        await send_problem(scope, send, Problem(code, retry_after_s=RETRY_S))

    async def _request(
        self, scope: Scope, receive: Receive, body: TimedBody | None
    ) -> aiohttp.ClientResponse | None:
        headers = CIMultiDict(
            [
                (k.decode("latin-1"), v.decode("latin-1"))
                for k, v in filter_headers(scope["headers"], _FRONT_HEADERS)
            ]
        )
        headers[HEADER] = self._mark.make()
        headers["X-Forwarded-For"] = get_client_address(scope)
        headers["X-Forwarded-Proto"] = scope.get("scheme", "http")
        if (host := get_header(scope, b"host")) is not None:
            headers["X-Forwarded-Host"] = host
        path = (scope.get("raw_path") or scope["path"].encode()).split(b"?")[0].decode("latin-1")
        query = scope.get("query_string", b"").decode("latin-1")
        url = URL(f"{self._base}{path}" + (f"?{query}" if query else ""), encoded=True)
        sending = asyncio.ensure_future(
            self._client().request(
                scope["method"],
                url,
                headers=headers,
                data=None if body is None else body.rest(),
                allow_redirects=False,
            )
        )
        shutdown = asyncio.ensure_future(self._wait_for_drain())
        disconnect = (
            [] if body is not None else [asyncio.ensure_future(_wait_for_disconnect(receive))]
            # A disconnect during a body is noticed while the body is read.
        )
        try:
            await asyncio.wait(
                {sending, shutdown, *disconnect}, return_when=asyncio.FIRST_COMPLETED
            )
            if sending.done():
                return sending.result()
            if shutdown.done():
                raise _FrontStopping
            return None
        finally:
            for one in (shutdown, *disconnect, sending):
                one.cancel()

    async def _stream_back(
        self, scope: Scope, receive: Receive, send: Send, response: aiohttp.ClientResponse
    ) -> None:
        headers = filter_headers(
            [(bytes(k), bytes(v)) for k, v in response.raw_headers], frozenset({b"date", b"server"})
        )
        have = {k.lower() for k, _ in headers}
        guards = FILE_SECURITY_HEADERS if scope["path"].startswith("/static/") else SECURITY_HEADERS
        headers = [(k.lower(), v) for k, v in headers] + [
            (k, v) for k, v in (*guards, PAGE_CONTENT_POLICY) if k not in have
        ]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        streaming = asyncio.ensure_future(_copy_body(response, send))
        shutdown, disconnect = (
            asyncio.ensure_future(self._wait_for_drain()),
            asyncio.ensure_future(_wait_for_disconnect(receive)),
        )
        try:
            await asyncio.wait(
                {streaming, shutdown, disconnect}, return_when=asyncio.FIRST_COMPLETED
            )
            if streaming.done():
                streaming.result()
            elif shutdown.done() and response.content_type == EVENT_STREAM:
                streaming.cancel()
                await asyncio.wait({streaming})
                # The client reconnects.
                await send({"type": "http.response.body", "body": b""})
        except (aiohttp.ClientError, OSError) as error:
            # The response cannot be completed. Without its end the server cuts the connection, so
            # the client sees a truncated response and not a short one.
            log.warning("console.cut", path=redact_url(scope), error=type(error).__name__)
        finally:
            for one in (streaming, shutdown, disconnect):
                one.cancel()


async def _copy_body(response: aiohttp.ClientResponse, send: Send) -> None:
    async for chunk in response.content.iter_any():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
