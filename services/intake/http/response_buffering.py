"""A response leaves in one write.

uvicorn writes head and body one after the other, each with a system call. A front that was killed in between has sent half an answer: the sender
cannot tell what was accepted, and not every client tries again after that. Measured: strace shows one `write` where there were two.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from services.intake.http.connections import Connection

AT_ONCE: Final = 64 * 1024
"""Bytes that are not kept for company: a stream flows on."""


class JoinedWrites:
    """A transport whose writes of one turn of the loop go out together; in all else the transport itself."""

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Goes out at the end of this turn, or with what makes AT_ONCE full."""
        if not self._parts:
            self._loop.call_soon(self.flush)
        self._parts.append(data)
        self._size += len(data)
        if self._size >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Hand over what waits."""
        if self._parts:
            parts, self._parts, self._size = self._parts, [], 0
            self._transport.write(b"".join(parts))

    def close(self) -> None:
        """After what waits."""
        self.flush()
        self._transport.close()


class OneWrite(Connection):
    """uvicorn's protocol over a transport that joins writes."""

    def connection_made(self, transport: Any) -> None:
        """Called by the loop."""
        super().connection_made(JoinedWrites(transport, self.loop))  # type: ignore[arg-type]
