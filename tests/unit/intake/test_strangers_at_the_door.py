"""Strangers see no counters if configured so, and HSTS over TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2 as httpx
import pytest

from services.runtime.identity.permissions import Role
from tests.unit.intake.conftest import Door

TECHNICAL = ("/metrics", "/openapi.json", "/asyncapi.json", "/measures.json")


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[Door]:
    """Build a front that hides counters from strangers."""
    made = Door(tmp_path, metrics_public=False)
    yield made
    await made.close()


@pytest.mark.parametrize("path", TECHNICAL)
async def test_counters_and_descriptions_are_closed_where_it_is_set_so(
    closed: Door, path: str
) -> None:
    async with closed.client() as http:
        assert (await http.get(path)).status_code == 401
    async with await closed.as_(Role.SOURCE) as http:
        assert (await http.get(path)).status_code == 403
    async with await closed.as_(Role.OBSERVER) as http:
        assert (await http.get(path)).status_code in (200, 503), "the console is away in this test"


async def test_readiness_shows_strangers_only_the_state(closed: Door) -> None:
    async with closed.client() as http:
        assert set((await http.get("/readyz")).json()) == {"status"}
        assert (await http.get("/livez")).status_code == 200
    async with await closed.as_(Role.OBSERVER) as http:
        assert "checks" in (await http.get("/readyz")).json()


async def test_a_browser_over_tls_gets_hsts(door: Door) -> None:
    transport = httpx.ASGITransport(door.intake.front)
    for address, expected_header in (("https://vigie", "max-age=31536000"), ("http://vigie", None)):
        async with httpx.AsyncClient(transport=transport, base_url=address) as http:
            for path in ("/livez", "/nowhere", "/api/v1/whoami"):
                answer = await http.get(path)
                assert answer.headers.get("strict-transport-security") == expected_header, (
                    address,
                    path,
                )


async def test_an_installation_may_ask_for_none(tmp_path: Path) -> None:
    made = Door(tmp_path, hsts_s=0)
    transport = httpx.ASGITransport(made.intake.front)
    async with httpx.AsyncClient(transport=transport, base_url="https://vigie") as http:
        assert "strict-transport-security" not in (await http.get("/livez")).headers
    await made.close()
