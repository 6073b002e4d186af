"""A cable to pull: a TCP proxy on loopback before a server, which may listen at a unix socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

CHUNK: Final = 1 << 16


class Wire:
    """`with Wire("127.0.0.1:9092") as wire`: clients use `wire.address`. Runs in a thread of its own."""

    def __init__(self, server: str | Path) -> None:
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name=f"wire-{server}", daemon=True
        )
        self._through = asyncio.Event()
        self._listening: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._pairs: set[asyncio.Task[None]] = set()
        self._port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self.mend()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def silence(self) -> None:
        """Stop all data; connections stay open, and new ones are accepted and not answered."""
        self._do(self._silence())

    def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        self._do(self._cut())

    def mend(self) -> None:
        """Pass everything again, also data held back by `silence`, like TCP."""
        self._do(self._mend())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        done: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        done.result(10)

    async def _silence(self) -> None:
        self._through.clear()

    async def _cut(self) -> None:
        self._through.clear()
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        for end in self._ends:
            end.transport.abort()
        for pair in self._pairs:
            pair.cancel()
        await asyncio.gather(*self._pairs, return_exceptions=True)

    async def _mend(self) -> None:
        self._through.set()
        if self._listening is None:
            self._listening = await asyncio.start_server(self._join, "127.0.0.1", self._port)
            self._port = self._listening.sockets[0].getsockname()[1]

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = asyncio.current_task()
        assert pair is not None
        self._pairs.add(pair)
        self._ends.add(writer)
        try:
            await self._through.wait()
            there, back = await self._connect()
            self._ends.add(back)
            try:
                await asyncio.gather(self._carry(reader, back), self._carry(there, writer))
            finally:
                self._ends.discard(back)
                back.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._pairs.discard(pair)
            self._ends.discard(writer)
            writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._server, Path):
            return await asyncio.open_unix_connection(self._server)
        host, _, port = self._server.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry data until one side ends; then end both."""
        while content := await reader.read(CHUNK):
            await self._through.wait()
            writer.write(content)
            await writer.drain()
        raise ConnectionResetError
