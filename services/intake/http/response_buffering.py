"""Send a response in one write.

uvicorn writes head and body separately, each with a system call. If the front is killed in between,
the sender gets half a response and cannot know whether its report was accepted. Not every client
retries then. `strace` shows one `write` instead of two.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from services.intake.http.connections import GuardedConnection

FLUSH_BYTES: Final = 64 * 1024
"""Bytes that are sent without waiting for more, so that streams flow on."""


class CoalescingTransport:
    """A transport that joins the writes of one event loop iteration."""

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Queue data; send it at the end of this iteration, or once AT_ONCE bytes wait."""
        if not self._parts:
            self._loop.call_soon(self.flush)
        self._parts.append(data)
        self._size += len(data)
        if self._size >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the queued data."""
        if self._parts:
            parts, self._parts, self._size = self._parts, [], 0
            self._transport.write(b"".join(parts))

    def close(self) -> None:
        """Flush, then close the transport."""
        self.flush()
        self._transport.close()


class BufferedConnection(GuardedConnection):
    """uvicorn's protocol over a transport that joins writes."""

    def connection_made(self, transport: Any) -> None:
        """Wrap the transport of a new connection."""
        super().connection_made(CoalescingTransport(transport, self.loop))  # type: ignore[arg-type]
