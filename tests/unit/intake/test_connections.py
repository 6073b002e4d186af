"""A client that offers another protocol (Java, Ktor, `curl --http2`) is served as it stands: body, next request and all. One that says nothing is left."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from uvicorn.server import ServerState

from services.intake.app import serving
from services.intake.settings import IntakeSettings
from services.intake.writing import OneWrite
from tests.waiting import eventually

OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
SIZED = b"POST /a HTTP/1.1\r\nHost: x\r\n" + OFFER + b"Content-Length: 6\r\n\r\n"
CHUNKED = b"POST /b HTTP/1.1\r\nHost: x\r\n" + OFFER + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /c HTTP/1.1\r\nHost: x\r\n" + OFFER + b"\r\n"


class Heard:
    """An application that answers with what it was asked, and with the body that it got."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        said = b"<%b %b %b>" % (scope["method"].encode(), scope["path"].encode(), body)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(said))]})
        await send({"type": "http.response.body", "body": said})


class Line:
    """Stands for the connection: keeps what is written to it."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def get_extra_info(self, name: str) -> Any:  # noqa: ARG002  nothing is known of who calls
        return None

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


@pytest.fixture
async def line(tmp_path: Path) -> tuple[OneWrite, Line]:
    config = serving(Heard(), IntakeSettings(data_dir=tmp_path))
    config.load()
    protocol, line = OneWrite(config, ServerState(), {}), Line()
    protocol.connection_made(line)
    return protocol, line


async def answers(line: tuple[OneWrite, Line], *parts: bytes) -> list[bytes]:
    """To the parts, which arrive one after the other on one connection."""
    protocol, wire = line
    for part in parts:
        protocol.data_received(part)
        await asyncio.sleep(0)
    while protocol.tasks:
        await asyncio.gather(*protocol.tasks)
        await asyncio.sleep(0)
    return re.findall(rb"<[^>]*>", wire.written) or [wire.written.partition(b"\r\n")[0]]


@pytest.mark.parametrize(
    "parts",
    [
        [SIZED + b"report"],
        [SIZED, b"rep", b"ort"],
        [bytes([byte]) for byte in SIZED + b"report"],
        [CHUNKED.replace(b"/b", b"/a") + b"3\r\nrep\r\n3\r\nort\r\n0\r\n\r\n"],
        [CHUNKED.replace(b"/b", b"/a"), b"6\r\nrepo", b"rt\r\n0\r\n", b"\r\n"],
    ],
    ids=["at once", "apart", "byte by byte", "chunked", "chunked apart"],
)
async def test_the_body_behind_an_offer_is_read(line: tuple[OneWrite, Line], parts: list[bytes]) -> None:
    assert await answers(line, *parts) == [b"<POST /a report>"]


async def test_the_connection_goes_on_after_an_offer(line: tuple[OneWrite, Line]) -> None:
    found = await answers(line, SIZED + b"report" + SIZED + b"second" + NEXT, NEXT, SIZED + b"fourth")
    assert found == [b"<POST /a report>", b"<POST /a second>", b"<GET /c >", b"<GET /c >", b"<POST /a fourth>"]


async def test_no_tunnel_is_made(line: tuple[OneWrite, Line]) -> None:
    assert await answers(line, b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\nreport") == [b"HTTP/1.1 400 Bad Request"]


@pytest.mark.parametrize("parts", [[b""], [b"GET /"], [SIZED[:-4]], [NEXT, b"POST"]], ids=["nothing", "a line", "a head", "a second one"])
async def test_a_connection_without_a_whole_head_is_closed(
    line: tuple[OneWrite, Line], monkeypatch: pytest.MonkeyPatch, parts: list[bytes]
) -> None:
    protocol, wire = line
    monkeypatch.setattr("services.intake.connections.HEAD_S", 0.02)
    protocol.connection_made(wire)
    for part in parts:
        await answers(line, part)
    await eventually(lambda: wire.closed, 5)


async def test_a_request_that_is_answered_slowly_keeps_its_connection(line: tuple[OneWrite, Line], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its head is here; whoever waits for the rest of its body has a patience of its own."""
    protocol, wire = line
    monkeypatch.setattr("services.intake.connections.HEAD_S", 0.02)
    protocol.connection_made(wire)
    protocol.data_received(SIZED)
    await asyncio.sleep(0.1)
    assert not wire.closed
    assert await answers(line, b"report") == [b"<POST /a report>"]
