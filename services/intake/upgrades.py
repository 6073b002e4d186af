"""An offer to speak another protocol is passed over, and the request is taken as it stands (RFC 9110 7.8).

Java's HttpClient, Ktor and `curl --http2` offer `Upgrade: h2c` with every request over plain HTTP. httptools stops at the end of such a head, and uvicorn
hands on the request without its body: a report would be refused as empty, and its body be taken for the next request.
"""

from __future__ import annotations

from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_INVALID: Final = "Invalid HTTP request received."


class PlainHttp(HttpToolsProtocol):
    """uvicorn's protocol, to which a request that offers an upgrade is one that does not."""

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._unset_keepalive_if_required()
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

    def on_headers_complete(self) -> None:
        """Called by the parser. Raises ValueError, which it makes an HttpParserError: no tunnel is made here."""
        if not self.parser.should_upgrade():
            super().on_headers_complete()
        elif self.parser.get_method() == b"CONNECT":
            raise ValueError("CONNECT")

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if not self.parser.should_upgrade():
            super().on_message_complete()
