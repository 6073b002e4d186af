"""The front door beside a bare route, and with the whole system behind it."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2 as httpx
import psutil
import pytest

from services.appliance.embedded.kafka import RunningKafka
from services.cli.system.bench import (
    CONNECTIONS,
    BenchmarkName,
    LoadResult,
    Reporter,
    generate_reports,
    run_benchmark,
)
from services.cli.system.prepare import prepare_system
from services.runtime.process.settings import Settings
from services.runtime.process.sockets import find_free_ports
from tests.system import RunningVigie
from tests.waiting import until

pytestmark = pytest.mark.bench

SITES = ["cen-1", "cen-2", "sst-05", "pmi-04", "clg-0920077J", "gym-07", "par-05"]
WARM_S = 3.0
SECONDS = 8.0


def machine() -> str:
    """Describe the measured machine."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{model}, {os.cpu_count()} cores, {psutil.virtual_memory().total >> 30} GiB, Python {platform.python_version()}"


@contextmanager
def server(module: str, settings: Settings) -> Iterator[str]:
    """Start one HTTP process on a free port and return its URL."""
    port = find_free_ports(1)[0]
    environment = {
        **os.environ,
        "VIGIE_DATA_DIR": str(settings.data_dir),
        "VIGIE_KAFKA": settings.kafka,
        "VIGIE_REDIS": settings.redis,
        "VIGIE_HTTP": f"127.0.0.1:{port}",
        "VIGIE_CONSOLE": f"127.0.0.1:{find_free_ports(1)[0]}",
    }
    with subprocess.Popen(
        [sys.executable, "-m", module], env=environment, stderr=subprocess.DEVNULL
    ) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            until(lambda: answers(url), 30)
            yield url
        finally:
            process.terminate()


def answers(url: str) -> bool:
    try:
        httpx.get(url, trust_env=False)
    except httpx.TransportError:
        return False
    return True


def flat_out(url: str, token: str) -> LoadResult:
    async def run() -> LoadResult:
        async with Reporter(url, token) as reporter:
            await post_at_full_speed(reporter, WARM_S)
            return await post_at_full_speed(reporter, SECONDS)

    return asyncio.run(run())


async def post_at_full_speed(reporter: Reporter, seconds: float) -> LoadResult:
    """Post reports in a closed loop: each connection waits for its last response."""
    reports, load_result = generate_reports(None, SITES), LoadResult()
    began = time.perf_counter()

    async def connection() -> None:
        while (start := time.perf_counter()) - began < seconds:
            if await reporter.post(next(reports)) is None:
                load_result.refused_count += 1
            else:
                load_result.latencies.append(time.perf_counter() - start)

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    load_result.seconds = time.perf_counter() - began
    return load_result


def test_the_front_door_beside_a_bare_route(
    start_broker: Callable[[], Coroutine[None, None, RunningKafka]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broker = asyncio.run(start_broker())
    settings = Settings(
        data_dir=tmp_path / "data", kafka=broker.address, redis="redis://127.0.0.1:1/0"
    )
    settings.data.make()
    asyncio.run(prepare_system(settings))
    token = (settings.data.secrets / "admin.token").read_text().strip()
    figures: dict[str, list[float]] = {"bare": [], "intake": []}
    for _ in range(2):
        for name, module in (("bare", "tests.bench.bare"), ("intake", "services.intake")):
            with server(module, settings) as url:
                load_result = flat_out(url, token)
            assert load_result.refused_count == 0
            figures[name].append(load_result.per_s)
    bare, intake = max(figures["bare"]), max(figures["intake"])
    with capsys.disabled():
        print(
            f"\nintake {intake:.0f}/s, bare FastAPI route {bare:.0f}/s, ratio {intake / bare:.2f} (aim: ≥ 0.7) on {machine()}"
        )


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningVigie]:
    with RunningVigie(tmp_path_factory.mktemp("bench")) as running:
        yield running


def every_site(system: RunningVigie) -> list[str]:
    return [site["id"] for site in system.get("/api/v1/sites?limit=1000")["items"]]


def test_a_report_is_seen_as_an_incident(
    system: RunningVigie, capsys: pytest.CaptureFixture[str]
) -> None:
    for seconds in (WARM_S, SECONDS):
        figures = asyncio.run(
            run_benchmark(
                BenchmarkName.LIVE, system.url, system.token, "92", every_site(system), 100, seconds
            )
        )
    with capsys.disabled():
        print(
            f"\nreport → incident on the live stream at 100/s: {figures} (aims: p50 < 60, p99 < 250 ms) on {machine()}"
        )
    assert figures["not_seen"] == 0


def test_acknowledged_at_500_per_second_with_everything_running(
    system: RunningVigie, capsys: pytest.CaptureFixture[str]
) -> None:
    until(
        lambda: not any(json.loads(system.cli("status", "--json").stdout)["lag"].values()), 60
    )  # of what was measured before
    for seconds in (WARM_S, SECONDS):
        figures = asyncio.run(
            run_benchmark(
                BenchmarkName.INTAKE,
                system.url,
                system.token,
                "92",
                every_site(system),
                500,
                seconds,
            )
        )
    with capsys.disabled():
        print(
            f"\nreport → 202 at 500/s with everything running: {figures} (aim: p99 < 30 ms) on {machine()}"
        )
    assert figures["refused"] == 0
