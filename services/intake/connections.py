"""How a connection is held, where uvicorn's own way loses requests or file descriptors.

An offer to speak another protocol is passed over, and the request is taken as it stands (RFC 9110 7.8). Java's HttpClient, Ktor and `curl --http2` offer
`Upgrade: h2c` with every request over plain HTTP. httptools stops at the end of such a head, and uvicorn hands on the request without its body: a report
would be refused as empty, and its body be taken for the next request.

A connection on which no request comes is closed. uvicorn waits for the first one, and for the rest of a head, for ever: every phone that left its network
at that moment would hold a file descriptor until the front is started again.
"""

from __future__ import annotations

import asyncio
from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S: Final = 30.0
"""For the head of a request to arrive: from the first byte of it, or from the beginning of the connection. Of bodies see `body_timeout_s`."""
_INVALID: Final = "Invalid HTTP request received."


class Connection(HttpToolsProtocol):
    """uvicorn's protocol, with patience that ends, and without upgrades."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by the loop."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        try:
            while data:
                data = self._parse(data)
        except httptools.HttpParserError:
            self.logger.warning(_INVALID)
            self.send_400_response(_INVALID)

    def _parse(self, data: bytes) -> bytes:
        """What is left to parse: nothing, or a head without its offer and what came after it. Raises HttpParserError."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as stopped:
            rest = data[stopped.args[0] :]
            head = b"".join(b"%b: %b\r\n" % (name, value) for name, value in self.headers if name != b"upgrade")
            line = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
            self.parser = httptools.HttpRequestParser(self)
            return line + head + b"\r\n" + rest
        return b""

    def on_message_begin(self) -> None:
        """Called by the parser, at the first byte of a request."""
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        """Called by the parser. Raises ValueError, which it makes an HttpParserError: no tunnel is made here."""
        self._unset_keepalive_if_required()
        if not self.parser.should_upgrade():
            super().on_headers_complete()
        elif self.parser.get_method() == b"CONNECT":
            raise ValueError("CONNECT")

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _expect_head(self) -> None:
        """In place of the patience with a connection that is kept alive, if that was running."""
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(HEAD_S, self._is_silent)

    def _is_silent(self) -> None:
        """While a request is being answered, a second one that is begun behind it may wait."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
