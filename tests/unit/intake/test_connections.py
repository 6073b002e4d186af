"""The front serves clients that offer another protocol over plain HTTP/1.1.

Heads are bounded in size, number of headers and by one host, connections by their address.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from services.intake.app import build_server_config
from services.intake.http.connections import (
    LINGER_BYTES,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    PIECE_BYTES,
    ConnectionLimiter,
    GuardedConnection,
)
from services.intake.settings import IntakeSettings
from tests.waiting import eventually

OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
SIZED = b"POST /a HTTP/1.1\r\nHost: x\r\n" + OFFER + b"Content-Length: 6\r\n\r\n"
CHUNKED = b"POST /b HTTP/1.1\r\nHost: x\r\n" + OFFER + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /c HTTP/1.1\r\nHost: x\r\n" + OFFER + b"\r\n"


class Heard:
    """Application that answers with its request and the received body."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        response_body = b"<%b %b %b>" % (scope["method"].encode(), scope["path"].encode(), body)
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", b"%d" % len(response_body))],
            }
        )
        await send({"type": "http.response.body", "body": response_body})


class Line:
    """Connection that keeps its output."""

    def __init__(self, caller: str | None = None) -> None:
        self.caller = caller
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def get_extra_info(self, name: str) -> Any:
        return (self.caller, 40_000) if name == "peername" and self.caller else None

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


@pytest.fixture
async def line(tmp_path: Path) -> tuple[GuardedConnection, Line]:
    config = build_server_config(Heard(), IntakeSettings(data_dir=tmp_path))
    config.load()
    protocol, line = GuardedConnection(config, ServerState(), {}), Line()
    protocol.connection_made(line)
    return protocol, line


async def answers(line: tuple[GuardedConnection, Line], *parts: bytes) -> list[bytes]:
    """Return the answers to parts that arrive one after the other on one connection."""
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
async def test_the_body_behind_an_offer_is_read(
    line: tuple[GuardedConnection, Line], parts: list[bytes]
) -> None:
    assert await answers(line, *parts) == [b"<POST /a report>"]


async def test_the_connection_goes_on_after_an_offer(line: tuple[GuardedConnection, Line]) -> None:
    responses = await answers(
        line, SIZED + b"report" + SIZED + b"second" + NEXT, NEXT, SIZED + b"fourth"
    )
    assert responses == [
        b"<POST /a report>",
        b"<POST /a second>",
        b"<GET /c >",
        b"<GET /c >",
        b"<POST /a fourth>",
    ]


async def test_no_tunnel_is_made(line: tuple[GuardedConnection, Line]) -> None:
    assert await answers(line, b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\nreport") == [
        b"HTTP/1.1 400 Bad Request"
    ]


@pytest.mark.parametrize(
    "parts",
    [[b""], [b"GET /"], [SIZED[:-4]], [NEXT, b"POST"]],
    ids=["nothing", "a line", "a head", "a second one"],
)
async def test_a_connection_without_a_whole_head_is_closed(
    line: tuple[GuardedConnection, Line], monkeypatch: pytest.MonkeyPatch, parts: list[bytes]
) -> None:
    protocol, wire = line
    monkeypatch.setattr("services.intake.http.connections.HEAD_TIMEOUT_S", 0.02)
    protocol.connection_made(wire)
    for part in parts:
        await answers(line, part)
    await eventually(lambda: wire.closed, 5)


async def test_a_request_that_is_answered_slowly_keeps_its_connection(
    line: tuple[GuardedConnection, Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its head has arrived; a slow body has its own time limit."""
    protocol, wire = line
    monkeypatch.setattr("services.intake.http.connections.HEAD_TIMEOUT_S", 0.02)
    protocol.connection_made(wire)
    protocol.data_received(SIZED)
    await asyncio.sleep(0.1)
    assert not wire.closed
    assert await answers(line, b"report") == [b"<POST /a report>"]


START = b"GET /a HTTP/1.1\r\nHost: x\r\n"
HUGE = b"a" * (4 << 20)


def status_of(wire: Line) -> int:
    """Return the status of the only answer."""
    (status,) = re.findall(rb"HTTP/1\.1 (\d{3}) ", wire.written)
    return int(status)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /" + HUGE, 414),
        (START + b"X: " + HUGE, 431),
        (START + HUGE, 431),
        (b"\r\n" * (1 << 20), 431),
        (b"".join([START, *(b"x%d: 1\r\n" % n for n in range(MAX_HEADERS)), b"\r\n"]), 431),
        (b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + HUGE, None),
        (b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;" + HUGE, None),
    ],
    ids=["address", "value", "name", "empty lines", "many", "trailer", "chunk extension"],
)
async def test_a_head_that_does_not_end_is_refused(
    line: tuple[GuardedConnection, Line], head: bytes, status: int | None
) -> None:
    """A stranger held gigabytes with it, and the parser copied all of them with each piece."""
    protocol, wire = line
    fed = 0
    parser = protocol.parser

    class Measured:
        def feed_data(self, data: bytes) -> None:
            nonlocal fed
            fed += len(data)
            parser.feed_data(data)

        def __getattr__(self, name: str) -> Any:
            return getattr(parser, name)

    protocol.parser = Measured()  # type: ignore[assignment]
    for at in range(0, len(head), 200_000):
        protocol.data_received(head[at : at + 200_000])
        await asyncio.sleep(0)
    assert fed <= MAX_HEAD_BYTES + PIECE_BYTES
    if status is None:
        assert wire.closed, "its request is being answered: nothing can be said"
    else:
        assert status_of(wire) == status
        assert (
            b'"code":"url_too_long"' in wire.written or b'"code":"head_too_large"' in wire.written
        )
    for task in protocol.tasks:
        task.cancel()


async def test_the_answer_to_a_long_head_can_be_read_before_the_connection_ends(
    line: tuple[GuardedConnection, Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol, wire = line
    monkeypatch.setattr("services.intake.http.connections.LINGER_S", 0.02)
    protocol.data_received(START + b"X: " + b"a" * MAX_HEAD_BYTES)
    await asyncio.sleep(0)
    assert status_of(wire) == 431
    assert not wire.closed
    await eventually(lambda: wire.closed, 5)


async def test_a_sender_that_continues_after_a_refusal_is_disconnected(
    line: tuple[GuardedConnection, Line],
) -> None:
    protocol, wire = line
    for _ in range(1 + (MAX_HEAD_BYTES + LINGER_BYTES) // 65_536):
        assert not wire.closed
        protocol.data_received(b"GET /" + b"a" * 65_531)
    protocol.data_received(b"a")
    assert wire.closed


@pytest.mark.parametrize("fault", [b"GET / HTTP/1.1\r\n\r\n", b"\x00 / HTTP/1.1\r\n"])
async def test_an_unreadable_request_behind_another_ends_both(
    line: tuple[GuardedConnection, Line], fault: bytes
) -> None:
    """The refusal was read as the answer to the first; that one met a closed transport."""
    connection, wire = line
    connection.data_received(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n" + fault)
    await asyncio.gather(*connection.tasks)
    assert (wire.closed, wire.written) == (True, b"")


async def test_an_unreadable_body_is_answered(line: tuple[GuardedConnection, Line]) -> None:
    connection, wire = line
    connection.data_received(CHUNKED.replace(OFFER, b"") + b"zz\r\n")
    assert wire.written.startswith(b"HTTP/1.1 400 ")


async def test_a_head_within_the_bounds_is_read(line: tuple[GuardedConnection, Line]) -> None:
    head = b"".join(
        [START, *(b"x%d: %b\r\n" % (n, b"a" * 646) for n in range(MAX_HEADERS - 1)), b"\r\n"]
    )
    assert MAX_HEAD_BYTES - 1_000 < len(head) < MAX_HEAD_BYTES
    assert await answers(line, head) == [b"<GET /a >"]
    assert (
        await answers(line, *(head[at : at + 500] for at in range(0, len(head), 500)))
        == [b"<GET /a >"] * 2
    )


async def test_bodies_and_requests_behind_each_other_do_not_count_as_a_head(
    line: tuple[GuardedConnection, Line],
) -> None:
    long = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" + b"b" * 300_000
    responses = await answers(line, long + START + b"\r\n" + long, b"")
    assert [len(answer) for answer in responses] == [300_010, 9, 300_010]
    assert (await answers(line, *[START + b"\r\n"] * 300))[3:] == [b"<GET /a >"] * 300


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /a HTTP/1.1\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET /a HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n", 400),
        (b"GET /a HTTP/1.0\r\n\r\n", 200),
        (b"GET /a HTTP/1.1\r\nHOST: x\r\n\r\n", 200),
        (b"GET /a HTTP/1.1\r\nHost: vigie.hauts-de-seine.fr:443\r\n\r\n", 200),
        (b"GET /a HTTP/1.1\r\nHost: [2001:db8::1]:8092\r\n\r\n", 200),
        (b"GET /a HTTP/1.1\r\nHost:\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: x y\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: x, y\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: u@x\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: x/a\r\n\r\n", 400),
        (b'GET /a HTTP/1.1\r\nHost: x"><script>\r\n\r\n', 400),
        (b"GET /a HTTP/1.1\r\nHost: x:http\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: x:65536\r\n\r\n", 400),
        (b"GET /a HTTP/1.0\r\nHost: x y\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nHost: é\r\n\r\n".encode(), 400),
    ],
)
async def test_a_request_names_one_host(
    line: tuple[GuardedConnection, Line], head: bytes, status: int
) -> None:
    await answers(line, head)
    assert status_of(line[1]) == status


IN_CHUNKS = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"GET /a HTTP/2.0\r\nHost: x\r\n",
        b"GET /a HTTP/0.9\r\nHost: x\r\n",
        b"GET /a\r\n",
        IN_CHUNKS.replace(b"chunked", b"gzip, chunked"),
        IN_CHUNKS.replace(b"1.1", b"1.0"),
        IN_CHUNKS + b"Transfer-Encoding: chunked\r\n",
        IN_CHUNKS + b"Content-Length: 6\r\n",
        START + b"Content-Length: 6\r\nContent-Length: 6\r\n",
        START + b"Authorization: Bearer a\r\nauthorization: Bearer b\r\n",
        START + b"Idempotency-Key: a\r\nIdempotency-Key: b\r\n",
        START + b"Content-Type: application/json\r\nContent-Type: text/plain\r\n",
        START + b"X-CSRF-Token: a\r\nX-CSRF-Token: b\r\n",
        START + b"X: a\r\n folded\r\n",
        b"GET /a HTTP/1.1\nHost: x\n",
    ],
)
async def test_a_head_that_can_be_read_in_two_ways_is_refused(
    line: tuple[GuardedConnection, Line], head: bytes
) -> None:
    await answers(line, head + b"\r\n6\r\nreport\r\n0\r\n\r\n")
    assert status_of(line[1]) == 400


async def test_fields_behind_a_body_are_no_headers(tmp_path: Path) -> None:
    """A proxy that takes off or sets `X-Forwarded-For` looks at the head alone."""
    scope_headers: list[Any] = []

    async def note(scope: Any, receive: Any, send: Any) -> None:
        scope_headers.extend(scope["headers"])
        await Heard()(scope, receive, send)

    config = build_server_config(note, IntakeSettings(data_dir=tmp_path))
    config.load()
    protocol, wire = GuardedConnection(config, ServerState(), {}), Line()
    protocol.connection_made(wire)
    trailers = b"Authorization: Bearer a\r\nX-Forwarded-For: 192.0.2.1\r\n"
    assert await answers(
        (protocol, wire), IN_CHUNKS + b"\r\n6\r\nreport\r\n0\r\n" + trailers + b"\r\n"
    ) == [b"<POST /a report>"]
    assert [name for name, _ in scope_headers] == [b"host", b"transfer-encoding"]
    assert await answers((protocol, wire), NEXT) == [b"<POST /a report>", b"<GET /c >"]


async def test_an_unread_body_does_not_hold_its_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request without a token is answered at once, so its body cannot hold the connection."""

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await send(
            {"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]}
        )
        await send({"type": "http.response.body"})

    config = build_server_config(refuse, IntakeSettings(data_dir=tmp_path))
    config.load()
    protocol, wire = GuardedConnection(config, ServerState(), {}), Line()
    monkeypatch.setattr("services.intake.http.connections.HEAD_TIMEOUT_S", 0.02)
    protocol.connection_made(wire)
    await answers((protocol, wire), SIZED, b"r")
    assert status_of(wire) == 401
    await eventually(lambda: wire.closed, 5)


class Callers:
    """Opens connections to one front from any address."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        read = IntakeSettings(data_dir=folder, **settings)
        self._config = build_server_config(Heard(), read)
        self._config.load()

    def connect(self, address: str) -> tuple[GuardedConnection, Line]:
        """Return a new connection from an address."""
        protocol = self._config.http_protocol_class(self._config, ServerState(), {})  # type: ignore[call-arg]
        assert isinstance(protocol, GuardedConnection)
        wire = Line(address)
        protocol.connection_made(wire)
        return protocol, wire


async def test_an_idle_connection_makes_way_for_a_new_one_of_its_address(tmp_path: Path) -> None:
    callers = Callers(tmp_path, connections_per_address=3)
    opened = [callers.connect("192.0.2.7") for _ in range(3)]
    other = callers.connect("192.0.2.8")
    await answers(opened[0], START + b"\r\n")  # it was the last to be used
    newest = callers.connect("192.0.2.7")
    assert [wire.closed for _, wire in opened] == [False, True, False]
    assert await answers(newest, START + b"\r\n") == [b"<GET /a >"]
    assert not other[1].closed


async def test_a_connection_at_work_is_never_closed_for_a_new_one(tmp_path: Path) -> None:
    callers = Callers(tmp_path, connections_per_address=2)
    busy = [callers.connect("2001:db8::1"), callers.connect("2001:db8::2")]
    for protocol, _ in busy:
        protocol.data_received(SIZED)
    turned_away = callers.connect("2001:db8::ffff")
    await asyncio.sleep(0)
    assert status_of(turned_away[1]) == 503
    assert b"retry-after: 2" in turned_away[1].written
    assert status_of((await answered(callers.connect("2001:db8:0:1::1")))[1]) == 200
    busy[0][0].connection_lost(None)
    assert status_of((await answered(callers.connect("2001:db8::ffff")))[1]) == 200


async def answered(connection: tuple[GuardedConnection, Line]) -> tuple[GuardedConnection, Line]:
    """Send a request on it."""
    connection[0].data_received(START + b"\r\n")
    await asyncio.gather(*connection[0].tasks)
    await asyncio.sleep(0)
    return connection


async def test_connections_of_a_reverse_proxy_are_not_counted(tmp_path: Path) -> None:
    callers = Callers(tmp_path, connections_per_address=1, proxies="10.0.0.0/8")
    opened = [callers.connect("10.1.2.3") for _ in range(5)]
    assert not any(wire.closed or wire.written for _, wire in opened)


async def test_closed_connections_are_forgotten(tmp_path: Path) -> None:
    addresses = ConnectionLimiter(1_000)
    config = uvicorn.Config(
        Heard(), http=type("Counted", (GuardedConnection,), {"addresses": addresses})
    )
    config.load()
    protocol = config.http_protocol_class(config, ServerState(), {})  # type: ignore[call-arg]
    protocol.connection_made(Line("192.0.2.7"))  # type: ignore[arg-type]
    assert addresses._open
    protocol.connection_lost(None)
    assert not addresses._open
