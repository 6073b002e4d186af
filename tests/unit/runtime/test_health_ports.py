"""A stranger on the machine learns from a health port whether its process is well, and no more."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2 as httpx
import pytest

from services.appliance.supervisor.plan import HttpProbe
from services.runtime.process import health, metrics
from services.runtime.process.health import HealthServer
from services.runtime.process.settings import Settings, find_version
from services.runtime.secrets.local_secrets import (
    TOKEN_FILE,
    build_header,
    get_or_create_token,
    is_token_valid,
)

WHY = "lacks the records of source-secrète"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[HealthServer]:
    """Run a process that is alive and not ready, with counters."""
    metrics.count("vigie_dead_letters_total", service="healthy", reason="invalid")
    settings = Settings(data_dir=tmp_path, health_port=0)
    running = await health.serve_health(settings, {"log": lambda: WHY}, live={"loop": lambda: None})
    yield running
    await running.close()


@pytest.fixture
async def http(server: HealthServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client:
        yield client


STRANGERS = [
    {},
    {"Authorization": "Bearer guessed"},
    {"Authorization": "Basic Og=="},
    {"Authorization": "Bearer"},
]


@pytest.mark.parametrize("headers", STRANGERS)
async def test_a_stranger_gets_401_and_reads_no_counter(
    http: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    answer = await http.get("/metrics", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "vigie_" not in answer.text


@pytest.mark.parametrize("headers", STRANGERS)
async def test_a_probe_without_the_token_gets_only_the_state(
    http: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    ready, live = [await http.get(path, headers=headers) for path in ("/readyz", "/livez")]
    assert (ready.status_code, ready.json()) == (503, {"status": "unavailable"})
    assert (live.status_code, live.json()) == (200, {"status": "ok"})


async def test_the_token_opens_counters_and_reasons(
    http: httpx.AsyncClient, tmp_path: Path
) -> None:
    http.headers.update(build_header(tmp_path / "secrets"))
    counted, ready = await http.get("/metrics"), await http.get("/readyz")
    assert counted.status_code == 200
    assert "vigie_dead_letters_total" in counted.text
    assert ready.json() == {"status": "unavailable", "checks": {"loop": "ok", "log": WHY}}


async def test_the_supervisor_reads_why_a_process_is_not_ready(
    server: HealthServer, tmp_path: Path
) -> None:
    trusted = HttpProbe(server.port, tmp_path / "secrets")
    stranger = HttpProbe(server.port, tmp_path / "elsewhere")
    assert await trusted() == f"log: {WHY}"
    assert await stranger() == "not ready"
    await trusted.close()
    await stranger.close()


def test_the_token_is_the_owners_alone_and_stays(tmp_path: Path) -> None:
    token = get_or_create_token(tmp_path)
    assert get_or_create_token(tmp_path) == token
    assert len(token) >= 43, "32 random bytes"
    assert stat.S_IMODE((tmp_path / TOKEN_FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize("authorization", ["Bearer t0k", "bearer t0k"])
def test_the_whole_token_counts(authorization: str) -> None:
    assert is_token_valid(authorization, "t0k")


@pytest.mark.parametrize("other", ["Bearer t0", "Bearer t0kk", "Bearer é", "t0k", "", None])
def test_nothing_else_counts(other: str | None) -> None:
    assert not is_token_valid(other, "t0k")


async def test_a_process_reports_its_version_and_its_memory(
    http: httpx.AsyncClient, tmp_path: Path
) -> None:
    http.headers.update(build_header(tmp_path / "secrets"))
    metrics_text = (await http.get("/metrics")).text
    assert f'version="{find_version()}"' in metrics_text
    assert "process_resident_memory_bytes" in metrics_text
    assert "_created" not in metrics_text


async def test_silent_connections_make_way_for_a_probe(server: HealthServer) -> None:
    """A stranger on the machine could use up the files of a decider, for they never closed."""
    address = "127.0.0.1", server.port
    silent = [await asyncio.open_connection(*address) for _ in range(health.MAX_CONNECTIONS + 1)]
    silent[1][1].write(b"GET /livez HTTP/1.1\r\nHost: a\r\nX: ")
    assert await asyncio.wait_for(silent[0][0].read(), 5) == b""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client:
        assert (await client.get("/livez")).status_code == 200
    assert await asyncio.wait_for(silent[1][0].read(), 5) == b""
    for _, writer in silent:
        writer.close()


async def test_a_connection_of_a_health_port_closes_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "CONNECTION_S", 0.1)
    running = await health.serve_health(Settings(data_dir=tmp_path, health_port=0), {})
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\nX: ")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    await running.close()
