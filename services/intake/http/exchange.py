"""Read requests and write responses in plain ASGI, at little cost per report."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_network
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlencode

import orjson

from services.intake.admission import BodyMemory
from services.runtime.http.pagination import MAX_LIMIT
from services.runtime.http.problems import (
    MEDIA_TYPE,
    Language,
    Problem,
    ProblemError,
    build_field_problem,
    describe_size,
)
from services.runtime.http.request_headers import choose_language, is_within
from services.runtime.identity.signed_links import hide_token

BINARY_TYPE: Final = "application/octet-stream"
"""Media type of content without one."""
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
FILE_SECURITY_HEADERS: Final[Headers] = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
]
"""Security headers of static files. Those for documents have no effect and only cost bytes."""
SECURITY_HEADERS: Final[Headers] = [
    *FILE_SECURITY_HEADERS,
    (b"x-frame-options", b"DENY"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
PAGE_CONTENT_POLICY: Final = (
    b"content-security-policy",
    (
        b"default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        b"frame-ancestors 'none'; form-action 'self'"
    ),
)
"""Content policy of console responses that bring none."""
DATA_CONTENT_POLICY: Final = (
    b"content-security-policy",
    b"default-src 'none'; frame-ancestors 'none'; sandbox",
)
_JSON: Final = (b"content-type", b"application/json")
_NO_STORE: Final = (b"cache-control", b"no-store")
MAX_DISCARDED_BYTES: Final = 16 << 20
"""Bytes of an oversized body that are read and discarded before the connection is cut."""
RETRY_S: Final = 2
"""Retry-After of a body that was too slow. Many senders do not repeat a 408."""
_SECRET_PARAMETERS: Final = frozenset({"token", "key", "code", "secret"})


@dataclass(frozen=True, slots=True)
class ListQuery:
    limit: int
    cursor: str | None
    filters: Mapping[str, str]
    """Other query parameters."""


def read_page_request(scope: Scope, default: int = MAX_LIMIT) -> ListQuery:
    """Read the page parameters of a query. Raises ProblemError `invalid`."""
    query_params = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
    cursor, limit = query_params.pop("cursor", None), query_params.pop("limit", str(default))
    if not (
        limit.isascii() and limit.isdecimal() and len(limit) < 9 and 1 <= int(limit) <= MAX_LIMIT
    ):
        raise build_field_problem("limit", "range", f"de 1 à {MAX_LIMIT}", f"1 to {MAX_LIMIT}")
    return ListQuery(int(limit), cursor, query_params)


class ClientDisconnected(Exception):
    """The client disconnected before its body was complete. No answer is possible."""


class ForwardedHost:
    """Application behind reverse proxies: `X-Forwarded-Host` of a known one becomes `Host`.

    It must see the address of the connection, so it stands before the middleware that replaces it.
    """

    def __init__(self, app: Any, proxies: str) -> None:
        """Take the host of the addresses and networks `proxies`, separated by commas."""
        self._app = app
        self._proxies = tuple(ip_network(part) for part in proxies.split(",") if part)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. The last host of a list is that of the nearest proxy."""
        host = get_header(scope, b"x-forwarded-host") if scope["type"] == "http" else None
        name = (host or "").rpartition(",")[2].strip()
        if name and scope.get("client") and is_within(scope["client"][0], self._proxies):
            others = [(k, v) for k, v in scope["headers"] if k != b"host"]
            scope = {**scope, "headers": [(b"host", name.encode("latin-1")), *others]}
        await self._app(scope, receive, send)


def get_header(scope: Scope, name: bytes) -> str | None:
    """Return the first header of this lower-case name, or None."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value).decode("latin-1")
    return None


def parse_cookies(scope: Scope) -> dict[str, str]:
    """Return cookies by name; a malformed header gives none."""
    try:
        return {
            name: morsel.value
            for name, morsel in SimpleCookie(get_header(scope, b"cookie") or "").items()
        }
    except CookieError:
        return {}


def split_path(scope: Scope) -> list[str]:
    """Split the path into decoded parts. An encoded `/` stays in its part (`DOMAINE%2Fjean`)."""
    raw = scope.get("raw_path")
    if raw is None:
        return str(scope["path"]).split("/")
    return [unquote(part) for part in bytes(raw).split(b"?")[0].decode("latin-1").split("/")]


def get_response_language(scope: Scope) -> Language:
    return choose_language(get_header(scope, b"accept-language"))


def redact_url(scope: Scope) -> str:
    """Return path and query for logs, without secrets. A `?` in the path stays encoded."""
    path, query = (
        hide_token(str(scope["path"])).replace("%", "%25").replace("?", "%3F"),
        scope.get("query_string", b""),
    )
    if not query:
        return path
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    redacted_query = urlencode(
        [(k, "***" if k.lower() in _SECRET_PARAMETERS else v) for k, v in pairs], safe="*"
    )
    return f"{path}?{redacted_query}"


def get_client_address(scope: Scope) -> str:
    """Return the client address, or `?`."""
    client = scope.get("client")
    return str(client[0]) if client else "?"


@dataclass(slots=True)
class BodyReader:
    """Read bodies within limits: of one (`limit`), of all (`room`), and in time (`timeout_s`)."""

    limit: int
    timeout_s: float
    room: BodyMemory

    async def read(self, scope: Scope, receive: Receive) -> bytes:
        """Read the whole body. The caller gives `len(body)` back to `room`.

        Raises ProblemError `body_too_large`, `request_timeout`, `overloaded`, `content_encoding`;
        ClientGone.
        """
        declared_length = get_header(scope, b"content-length")
        if (
            declared_length is not None
            and declared_length.isdecimal()
            and int(declared_length) > self.limit
        ):
            if get_header(scope, b"expect") is None:
                await self._discard(receive)
            raise ProblemError("body_too_large", limit=describe_size(self.limit))
        if (get_header(scope, b"content-encoding") or "identity").lower() != "identity":
            raise ProblemError("content_encoding")
        message = await self._next(receive)
        if not message.get("more_body", False):
            body: bytes = message.get("body", b"")
            if len(body) > self.limit:
                raise ProblemError("body_too_large", limit=describe_size(self.limit))
            self.room.reserve_bytes(len(body))
            return body
        return await self._rest(message.get("body", b""), receive)

    async def _rest(self, first: bytes, receive: Receive) -> bytes:
        parts, size = [first], len(first)
        self.room.reserve_bytes(size)
        try:
            async with asyncio.timeout(self.timeout_s):
                more = True
                while more:
                    message = await self._next(receive)
                    chunk, more = message.get("body", b""), message.get("more_body", False)
                    if size + len(chunk) > self.limit:
                        await self._discard(receive, more=more)
                        raise ProblemError("body_too_large", limit=describe_size(self.limit))
                    self.room.reserve_bytes(len(chunk))
                    size += len(chunk)
                    parts.append(chunk)
        except BaseException as error:
            self.room.give_back(size)
            if isinstance(error, TimeoutError):
                raise ProblemError(
                    "request_timeout", retry_after_s=RETRY_S, limit_s=f"{self.timeout_s:g}"
                ) from None
            raise
        return b"".join(parts)

    async def _discard(self, receive: Receive, *, more: bool = True) -> None:
        """Read and discard the rest of a body.

        A sender that is cut off while sending does not see the answer.
        """
        remaining_bytes = MAX_DISCARDED_BYTES
        try:
            async with asyncio.timeout(self.timeout_s):
                while more and remaining_bytes > 0:
                    message = await self._next(receive)
                    remaining_bytes -= len(message.get("body", b""))
                    more = message.get("more_body", False)
        except TimeoutError:
            return

    async def _next(self, receive: Receive) -> MutableMapping[str, Any]:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        return message


async def send_response(send: Send, status: int, body: bytes, headers: Headers) -> None:
    """Send a complete response with security headers."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, (b"content-length", b"%d" % len(body)), *SECURITY_HEADERS],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, status: int, document: Any, extra: Headers | None = None) -> None:
    """Send JSON with `no-store`."""
    await send_response(send, status, orjson.dumps(document), [_JSON, _NO_STORE, *(extra or [])])


async def send_problem(scope: Scope, send: Send, problem: Problem) -> None:
    """Send a problem document in the sender's language.

    A problem about the body closes the connection, because the rest of the body is not read.
    """
    language = get_response_language(scope)
    headers: Headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        _NO_STORE,
        (b"content-language", language.encode()),
    ]
    if problem.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % problem.retry_after_s))
    if problem.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if problem.code == "method_not_allowed":
        headers.append((b"allow", str(problem.values["allowed"]).encode()))
    if problem.code in ("body_too_large", "request_timeout"):
        headers.append((b"connection", b"close"))
    await send_response(send, problem.status, problem.body(language, str(scope["path"])), headers)
