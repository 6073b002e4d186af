"""Whole pages are compressed on request; streams and other answers are not."""

from __future__ import annotations

import gzip as standard

import httpx2 as httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse

from services.console.http.compression import (
    MIN_BYTES,
    CompressionMiddleware,
    accepts_gzip,
    compress_gzip,
)

PAGE = "<p>Rien d’ouvert</p>" * 200


@pytest.mark.parametrize(
    ("accepted", "yes"),
    [
        ("gzip", True),
        ("gzip, deflate, br", True),
        ("br;q=1, GZIP;q=0.5", True),
        ("*", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("identity, gzipped", False),
    ],
)
def test_responses_are_compressed_for_clients_that_accept_it(accepted: str, yes: bool) -> None:
    assert accepts_gzip(accepted) is yes


def test_the_same_page_is_the_same_bytes() -> None:
    assert compress_gzip(PAGE.encode()) == compress_gzip(PAGE.encode())
    assert standard.decompress(compress_gzip(PAGE.encode())) == PAGE.encode()


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    app.add_middleware(CompressionMiddleware)
    app.get("/page")(lambda: HTMLResponse(PAGE, headers={"Vary": "Cookie"}))
    app.get("/small")(lambda: HTMLResponse("x" * (MIN_BYTES - 1)))
    app.get("/data")(lambda: JSONResponse({"text": PAGE}))
    app.get("/encoded")(lambda: HTMLResponse(b"y" * 5_000, headers={"Content-Encoding": "br"}))
    app.get("/stream")(
        lambda: StreamingResponse(iter([b"a" * 2_000, b"b" * 2_000]), media_type="text/html")
    )
    return app


async def test_only_large_pages_are_compressed(app: FastAPI) -> None:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://console"
    ) as http:
        answer = await http.get("/page", headers={"Accept-Encoding": "gzip"})
        assert (answer.headers["content-encoding"], answer.headers["vary"], answer.text) == (
            "gzip",
            "Cookie, Accept-Encoding",
            PAGE,
        )
        assert int(answer.headers["content-length"]) < len(PAGE) / 10
        plain = await http.get("/page", headers={"Accept-Encoding": "identity"})
        assert ("content-encoding" in plain.headers, plain.text) == (False, PAGE)
        for path in ("/small", "/data", "/stream"):
            assert (
                "content-encoding"
                not in (await http.get(path, headers={"Accept-Encoding": "gzip"})).headers
            ), path
        async with http.stream("GET", "/encoded", headers={"Accept-Encoding": "gzip"}) as encoded:
            assert encoded.headers["content-encoding"] == "br"
            assert b"".join([piece async for piece in encoded.aiter_raw()]) == b"y" * 5_000
