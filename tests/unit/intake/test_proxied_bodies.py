"""Bodies that go to the console have a time limit, and a sender that is slow takes no place there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.intake.http.exchange import ClientDisconnected
from services.intake.http.proxy import BUFFERED_BYTES, TIMED_BYTES, ConsoleProxy, TimedBody
from services.runtime.http.problems import ProblemError
from services.runtime.secrets.front_mark import FrontMark
from services.runtime.secrets.keyring import MasterKey

MARK = FrontMark(MasterKey(b"k" * 32))
SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "POST",
    "path": "/connexion",
    "raw_path": b"/connexion",
    "headers": [(b"host", b"x"), (b"content-length", b"100000")],
}


class Sender:
    """Sends the pieces of a body, and says nothing more."""

    def __init__(self, *pieces: bytes, is_whole: bool = False) -> None:
        self._pieces = list(pieces)
        self._is_whole = is_whole

    async def __call__(self) -> dict[str, Any]:
        if not self._pieces:
            await asyncio.Event().wait()
        piece = self._pieces.pop(0)
        return {
            "type": "http.request",
            "body": piece,
            "more_body": bool(self._pieces) or not self._is_whole,
        }


class Console:
    """Server that counts connections and answers nothing."""

    def __init__(self) -> None:
        self.callers = 0
        self.address = ""

    async def serve(self) -> asyncio.Server:
        """Listen on a free port."""

        async def on_caller(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.callers += 1
            await reader.read()
            writer.close()

        server = await asyncio.start_server(on_caller, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return server


@pytest.fixture
async def console() -> AsyncIterator[Console]:
    made = Console()
    async with await made.serve():
        yield made


async def pass_on(console: Console, sender: Sender) -> str:
    """Return the code of the problem that ends the exchange."""
    proxy = ConsoleProxy(console.address, 2.0, 0.1, MARK)
    try:
        async with asyncio.timeout(10):
            with pytest.raises(ProblemError) as refused:
                await proxy.pass_on(SCOPE, sender, None)  # type: ignore[arg-type]
        return refused.value.problem.code
    finally:
        await proxy.stop()


async def test_a_body_that_stops_in_its_beginning_ends_and_the_console_is_not_asked(
    console: Console,
) -> None:
    assert await pass_on(console, Sender(b"abc")) == "request_timeout"
    assert console.callers == 0


async def test_a_long_body_that_stops_later_ends_too(console: Console) -> None:
    assert await pass_on(console, Sender(b"a" * BUFFERED_BYTES, b"b")) == "request_timeout"
    assert console.callers == 1


async def test_a_short_body_goes_in_one_piece() -> None:
    body = TimedBody(Sender(b"abc", b"def", is_whole=True), 5.0)
    await body.begin()
    assert body.rest() == b"abcdef"


async def test_a_long_body_has_more_time() -> None:
    """Two megabytes of reference data over a weak line take longer than a form."""
    body = TimedBody(Sender(b"a"), 1_000.0)
    body._began_at -= 1_500.0
    with pytest.raises(ProblemError):
        await body.begin()
    body = TimedBody(Sender(b"a" * TIMED_BYTES, b"b", b"c", is_whole=True), 1_000.0)
    await body.begin()
    body._began_at -= 1_500.0
    streamed = body.rest()
    assert not isinstance(streamed, bytes)
    assert [len(piece) async for piece in streamed] == [TIMED_BYTES, 1, 1]


async def test_a_sender_that_hangs_up_is_not_answered(console: Console) -> None:
    async def hang_up() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientDisconnected):
        await ConsoleProxy(console.address, 2.0, 5.0, MARK).pass_on(SCOPE, hang_up, None)  # type: ignore[arg-type]
    assert console.callers == 0
