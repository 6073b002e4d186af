"""Posts of the HTTP channels go through the proxy of the environment."""

from __future__ import annotations

import asyncio

import pytest

from services.delivery.channels.posting import HttpPoster

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


async def test_a_post_goes_through_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    request_lines: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request_lines.append(await reader.readline())
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        async with HttpPoster("sms") as poster:
            result = await poster.post("http://gateway.invalid/send", b"{}", {}, 5.0)
    assert result.outcome == "accepted"
    assert request_lines == [b"POST http://gateway.invalid/send HTTP/1.1\r\n"]
