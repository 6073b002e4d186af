"""Bodies have a bound, in any encoding and from any sender."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2 as httpx
import pytest

from services.console.http.fair_queue import MAX_BYTES
from services.runtime.http.problems import describe_size
from tests.unit.console.held import LINKS, HeldModel, application


@pytest.mark.parametrize("path", ["/api/v1/level", "/api/v1/incidents/i-1/resolve", "/a/x", "/r/x"])
@pytest.mark.parametrize("declared", [True, False])
async def test_a_huge_body_does_not_fill_the_memory(path: str, declared: bool) -> None:
    """This holds without a login, too: the body is read before the sender is known."""
    read = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(64):
            read += 1
            yield b" " * (MAX_BYTES // 8)

    kind = "application/x-www-form-urlencoded" if path == "/a/x" else "application/json"
    headers = {"content-type": kind} | ({"content-length": str(MAX_BYTES * 8)} if declared else {})
    transport = httpx.ASGITransport(app=application(HeldModel(), LINKS))
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
        answer = await client.post(path, content=pieces(), headers=headers)
    assert answer.status_code == 413
    assert read <= 9, "not read to its end"
    if path.startswith("/api/"):
        assert answer.json()["code"] == "body_too_large"
        assert answer.json()["detail"].endswith(f": {describe_size(MAX_BYTES)['fr']} au plus.")


async def test_a_body_within_the_bound_is_read() -> None:
    transport = httpx.ASGITransport(app=application(HeldModel(), LINKS))
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
        answer = await client.post(
            "/api/v1/level",
            content=b'{"level":1}'.ljust(MAX_BYTES),
            headers={"content-type": "application/json"},
        )
    assert answer.status_code == 401
