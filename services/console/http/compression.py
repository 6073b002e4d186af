"""Compress pages and live streams (RFC 9110 8.4), for phones on weak networks.

Whole pages and pieces of a live stream, never content that is already encoded. A page with many
readers is one object (`services.console.web.routes`), so it is compressed once. No page holds
a secret beside text that a stranger chose (the CSRF token is in a cookie), so its length leaks
nothing.
"""

import zlib
from functools import lru_cache
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MIN_BYTES: Final = 1_000
"""Bytes; below, the header costs more than it saves."""
LEVEL: Final = 6
"""Hardly larger than level 9, in half the time."""
_GZIP: Final = 31
"""zlib's code for the gzip format with its largest window."""
STREAM_LEVEL: Final = 3
"""A sixth of the size for 3 ms per 100 KB; level 6 takes 12 ms for an eighth less."""
STREAM_HEAD: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Head of a gzip stream without a name or time (RFC 1952 2.3)."""


def compress_gzip(body: bytes, level: int = LEVEL) -> bytes:
    """Compress to the same bytes each time: no time of day in them."""
    packing = zlib.compressobj(level, zlib.DEFLATED, _GZIP)
    return packing.compress(body) + packing.flush()


def compress_piece(piece: bytes) -> bytes:
    """Compress a piece of a stream that began with `STREAM_HEAD`.

    A piece refers to no earlier one and ends on a whole byte (RFC 1951 3.2.4), so all subscribers
    of the same content get the same bytes. The stream is never finished; it ends with its
    connection.
    """
    packing = zlib.compressobj(STREAM_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packing.compress(piece) + packing.flush(zlib.Z_FULL_FLUSH)


_compress_cached = lru_cache(maxsize=16)(compress_gzip)


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether an `Accept-Encoding` header allows gzip."""
    for choice in accept_encoding.lower().split(","):
        name, _, weight = choice.partition(";")
        if name.strip() in ("gzip", "*"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


class CompressionMiddleware:
    """Middleware that compresses HTML answers of one piece, for clients that accept it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not accepts_gzip(
            Headers(scope=scope).get("accept-encoding", "")
        ):
            await self._app(scope, receive, send)
            return
        starts: list[Message] = []

        async def send_compressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                starts.append(message)
                return
            if starts:
                start = starts.pop()
                await send(
                    start if message.get("more_body") else _compress_response(start, message)
                )
            await send(message)

        await self._app(scope, receive, send_compressed)


def _compress_response(start: Message, body: Message) -> Message:
    """Compress the body and adjust the headers where it is worth it."""
    headers = MutableHeaders(scope=start)
    if (
        headers.get("content-type", "").startswith("text/html")
        and "content-encoding" not in headers
        and len(body.get("body", b"")) >= MIN_BYTES
    ):
        body["body"] = _compress_cached(body["body"])
        headers["Content-Encoding"], headers["Content-Length"] = "gzip", str(len(body["body"]))
        headers.add_vary_header("Accept-Encoding")
    return start
