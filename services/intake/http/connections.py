"""Hold connections where uvicorn's own way loses requests or file descriptors.

An offer to speak another protocol is passed over, and the request is taken as it stands (RFC 9110
7.8). Java's HttpClient, Ktor and `curl --http2` offer `Upgrade: h2c` with every request over plain
HTTP. httptools stops at the end of such a head, and uvicorn hands on the request without its body:
a report would be refused as empty, and its body be taken for the next request.

A connection on which no request comes is closed. uvicorn waits for the first one, and for the rest
of a head, for ever: every phone that left its network at that moment would hold a file descriptor
until the front is started again.

The head of a request is bounded: 64 KiB and 100 headers, then 414 or 431. httptools copies the
field that it reads with each piece that arrives, and uvicorn has no bound: six connections of a
stranger took a fire report from 6 ms to 8 s.

A request is read in one way or not at all (RFC 9112 3.2, 6.1; RFC 9110 5.3, 6.5). It is of HTTP/1.0
or 1.1. It names one host, and one of 1.1 must. A body comes with a length or in chunks, and in no
other coding. A header of which there is one comes once. Fields behind a body (trailers) are no
headers: uvicorn adds them to the head, where a proxy before us has not looked.

Open connections are bounded by address: beyond the bound the one that has been idle for longest
makes way, and a new one is turned away only where all others of its address are at work.
"""

import asyncio
import re
from collections import Counter
from http import HTTPStatus
from ipaddress import ip_network
from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.intake.http.exchange import get_response_language
from services.runtime.http.problems import MEDIA_TYPE, Problem, build_bilingual
from services.runtime.http.request_headers import find_network, is_within
from services.runtime.process import metrics

MAX_HEAD_BYTES: Final = 64 * 1024
"""Maximum size of a head, of trailers, or of the framing between two pieces of a body."""
MAX_HEADERS: Final = 100
"""Maximum number of headers, including the trailers of a request."""
PIECE_BYTES: Final = 16 * 1024
"""Size of pieces fed to the parser, so that it never holds much more than a head."""
LINGER_S: Final = 2.0
"""Seconds for which bytes of a refused sender are discarded.

A sender that is cut off at once does not see the reason.
"""
LINGER_BYTES: Final = 1 << 20
"""Maximum number of bytes that are discarded."""
HEAD_TIMEOUT_S: Final = 30.0
"""Seconds for a head to arrive, from its first byte or from the start of the connection.

`body_timeout_s` limits bodies.
"""
MAX_METHOD_BYTES: Final = 32
"""Maximum number of bytes before the URL in the first line of a request."""
HOSTLESS: Final = "1.0"
"""Version of HTTP with requests that need not name a host."""
VERSIONS: Final = frozenset({HOSTLESS, "1.1"})
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~%-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{0,5}))?")
"""A name or an address with a port. Other characters that RFC 3986 allows are in no name of a host."""
_LAST_PORT: Final = 65_535
_SINGLE: Final = frozenset({b"authorization", b"content-type", b"idempotency-key", b"x-csrf-token"})
"""Headers of which front and console read one."""
RETRY_S: Final = 2
_LIMITS: Final = {"limit": MAX_HEAD_BYTES, "headers": MAX_HEADERS}
_INVALID: Final = "Invalid HTTP request received."


class ConnectionLimiter:
    """Open connections by client address.

    `limit` counts those of one address (IPv6: of one /64). Connections of reverse proxies in
    `proxies` are not counted, because many clients share them.
    """

    def __init__(self, limit: int, proxies: str = "") -> None:
        self._limit = limit
        self._proxies = tuple(ip_network(part) for part in proxies.split(",") if part)
        self._open: dict[str, dict[GuardedConnection, None]] = {}

    def enter(self, connection: "GuardedConnection") -> bool:
        """Count a new connection. Returns False if its address has too many, all busy."""
        address = connection.address
        if address is None or is_within(address, self._proxies):
            return True
        others = self._open.setdefault(find_network(address), {})
        if len(others) >= self._limit and not self._close_idle(others):
            metrics.count("vigie_connections_refused_total")
            return False
        others[connection] = None
        return True

    def touch(self, connection: "GuardedConnection") -> None:
        """Mark a connection as used, so that it is the last of its address to be closed."""
        others = self._open.get(find_network(connection.address or ""), {})
        if connection in others:
            del others[connection]
            others[connection] = None

    def leave(self, connection: "GuardedConnection") -> None:
        """Remove a closed connection."""
        network = find_network(connection.address or "")
        others = self._open.get(network, {})
        others.pop(connection, None)
        if not others:
            self._open.pop(network, None)

    def _close_idle(self, others: "dict[GuardedConnection, None]") -> bool:
        idle = next((one for one in others if one.is_idle), None)
        if idle is None:
            return False
        del others[idle]
        idle.transport.close()
        return True


class GuardedConnection(HttpToolsProtocol):
    """uvicorn's protocol with time limits, limited heads, and without upgrades."""

    addresses = ConnectionLimiter(limit=1 << 30)
    """Connections of the front, shared by all instances; a subclass sets the limit."""
    _unframed = 0
    """Bytes since the parser last completed a head, a piece of a body, or a request."""
    _problem: Problem | None = None
    """The problem for which our own checks stopped the parser."""
    _trailers: int | None = None
    """Number of fields behind the body; None while the head is read."""
    _refused = False
    _discarded = 0

    @property
    def address(self) -> str | None:
        """Address of the other end."""
        return None if self.client is None else self.client[0]

    @property
    def is_idle(self) -> bool:
        """True if no request is being received or answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout of the first head, and refuse the connection beyond the limit."""
        super().connection_made(transport)
        self.url = b""
        self.headers = []
        self._expect_head()
        if not self.addresses.enter(self):
            self._refuse(Problem("too_many_connections", retry_after_s=RETRY_S))

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the place of the connection."""
        self.addresses.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse data in pieces, or discard it after a refusal."""
        at = 0
        while at < len(data) and not self._refused:
            piece = data[at : at + min(PIECE_BYTES, MAX_HEAD_BYTES - self._unframed)]
            at += len(piece)
            self._feed(piece)
        if self._refused:
            self._discard(len(data) - at)

    def _feed(self, piece: bytes) -> None:
        try:
            while piece:
                self._unframed += len(piece)
                piece = self._parse(piece)
        except httptools.HttpParserError:
            if self._problem is not None:
                self._refuse(self._problem)
                return
            self.logger.warning(_INVALID)
            self._refused = True
            if self._is_answering:
                self._cut_off()
            else:
                self.send_400_response(_INVALID)
            return
        if self._unframed >= MAX_HEAD_BYTES:
            in_url = self._unframed - len(self.url) <= MAX_METHOD_BYTES and not self.headers
            self._refuse(Problem("url_too_long" if in_url else "head_too_large", _LIMITS))

    def _refuse(self, problem: Problem) -> None:
        """Answer with a problem and close. Cuts an earlier request that is still being answered."""
        self._unset_keepalive_if_required()
        self._refused = True
        if not self.is_idle:
            self._cut_off()
            return
        language = get_response_language({"headers": self.headers})
        body = problem.body(language)
        lines = [
            f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}",
            f"content-type: {MEDIA_TYPE}",
            f"content-language: {language}",
            f"content-length: {len(body)}",
            "cache-control: no-store",
            "connection: close",
        ]
        if problem.retry_after_s is not None:
            lines.append(f"retry-after: {problem.retry_after_s}")
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.timeout_keep_alive_task = self.loop.call_later(LINGER_S, self.transport.close)

    @property
    def _is_answering(self) -> bool:
        """True while a request that arrived as a whole is answered: another answer would mix in."""
        return not self.is_idle and (self.cycle.response_started or not self.cycle.more_body)

    def _cut_off(self) -> None:
        """Close the connection under an answer. The rest of the answer goes nowhere."""
        self.cycle.disconnected = (
            True  # before the event loop reports it: the transport takes no more
        )
        self.transport.close()

    def _discard(self, size: int) -> None:
        """Count data discarded after a refusal; close beyond LINGER_BYTES."""
        self._discarded += size
        if self._discarded > LINGER_BYTES:
            self.transport.close()

    def _parse(self, data: bytes) -> bytes:
        """Parse data and return the rest to parse. Raises HttpParserError.

        The rest is empty, or a head without its upgrade offer and the data after it.
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as stop:
            rest = data[stop.args[0] :]
            head = b"".join(
                b"%b: %b\r\n" % (name, value) for name, value in self.headers if name != b"upgrade"
            )
            line = b"%b %b HTTP/%b\r\n" % (
                self.parser.get_method(),
                self.url,
                self.parser.get_http_version().encode(),
            )
            self.parser = httptools.HttpRequestParser(self)
            return line + head + b"\r\n" + rest
        return b""

    def on_message_begin(self) -> None:
        """Start the timeout of a head at its first byte."""
        super().on_message_begin()
        self._trailers = None
        self._expect_head()
        self.addresses.touch(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header. Raises ValueError beyond HEADERS.

        The parser makes it an HttpParserError.
        """
        if len(self.headers) + (self._trailers or 0) >= MAX_HEADERS:
            self._problem = Problem("head_too_large", _LIMITS)
            raise ValueError("headers")
        if self._trailers is None:
            super().on_header(name, value)
        else:
            self._trailers += 1

    def on_body(self, body: bytes) -> None:
        """Reset the count of unframed bytes."""
        self._unframed = 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """Check the Host header, and pass the head on unless it offers an upgrade.

        Raises ValueError, also for CONNECT; the parser makes it an HttpParserError.
        """
        self._unset_keepalive_if_required()
        self._unframed = 0
        self._trailers = 0
        self._problem = _find_fault(self.headers, self.parser.get_http_version())
        if self._problem is not None:
            raise ValueError(self._problem.code)
        if not self.parser.should_upgrade():
            super().on_headers_complete()
        elif self.parser.get_method() == b"CONNECT":
            raise ValueError("CONNECT")

    def on_message_complete(self) -> None:
        """Pass the end of a request on, unless it offers an upgrade."""
        self._unframed = 0
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Handle the end of an answer."""
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None and self.cycle.more_body:
            self._expect_head()  # answered before its body has come: the rest has no longer than a head

    def _expect_head(self) -> None:
        """Start the timeout of the next head in place of the keep-alive timeout."""
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(HEAD_TIMEOUT_S, self._is_silent)

    def _is_silent(self) -> None:
        """Close the connection, unless a response is in progress.

        A pipelined request may wait for that response.
        """
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def _find_fault(headers: list[tuple[bytes, bytes]], version: str) -> Problem | None:
    """Return why two readers could take a head for different requests; None for a clear one."""
    if version not in VERSIONS:
        return _unclear(f"HTTP/{version} n’est pas parlé ici", f"HTTP/{version} is not spoken here")
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) > 1 or not (hosts or version == HOSTLESS) or not all(map(_is_host, hosts)):
        return Problem("host_required")
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    if codings and (version == HOSTLESS or [c.strip().lower() for c in codings] != [b"chunked"]):
        return _unclear(
            "« Transfer-Encoding » vaut « chunked » seul", "“Transfer-Encoding” is “chunked” alone"
        )
    counts = Counter(name for name, _ in headers if name in _SINGLE)
    for name, count in counts.items():
        if count > 1:
            header_name = name.decode()
            return _unclear(f"« {header_name} » vient deux fois", f"“{header_name}” comes twice")
    return None


def _is_host(value: bytes) -> bool:
    """Tell whether this is a name or an address, perhaps with a port."""
    host_match = _HOST.fullmatch(value.strip(b" \t"))
    return host_match is not None and int(host_match[1] or 0) <= _LAST_PORT


def _unclear(french: str, english: str) -> Problem:
    return Problem("head_unclear", {"what": build_bilingual(french, english)})
