"""CPU of the console per page with ten thousand open incidents, beside an empty realm."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import psutil
import pytest

from services.runtime.identity.permissions import Role
from services.runtime.identity.sessions import COOKIE
from services.runtime.process.machine import freeze_long_lived
from services.runtime.process.settings import Settings
from services.territory import Territory
from tests.integration.console import crisis
from tests.integration.console.conftest import (  # noqa: F401  fixtures
    appending,
    cache,
    console_settings,
    logs_broker,
    projecting,
    territory,
    until,
)
from tests.integration.console.crisis import INCIDENT, MINUTE, START
from tests.integration.console.serving import Served, served
from tests.integration.console.test_projection import a_realm, play

INCIDENTS = 10_000
TOGETHER = 100
REQUESTS = 200
GROWN_MB = 100
ALLOWED_MS = {"/api/v1/overview": 50.0, f"/incidents/{INCIDENT}": 80.0}


async def cpu_ms(ask: Callable[[], Awaitable[int]]) -> tuple[float, float]:
    """Return CPU of this process per request (median, 99th percentile), in ms, after a warm-up."""
    spent = []
    for n in range(REQUESTS + 5):
        began = time.process_time()
        assert await ask() == 200
        if n >= 5:
            spent.append((time.process_time() - began) * 1000)
    spent.sort()
    return spent[len(spent) // 2], spent[int(len(spent) * 0.99)]


@pytest.mark.bench
async def test_ten_thousand_open_incidents(
    console_settings: Settings,  # noqa: F811
    territory: Territory,  # noqa: F811
) -> None:
    full, calm = a_realm(), a_realm()
    async with appending(console_settings.kafka) as writer:
        for realm in (full, calm):
            await play(writer, realm, territory)
        at = START + 3 * MINUTE
        for first in range(0, INCIDENTS, TOGETHER):
            rows = [
                crisis.incident(
                    at,
                    ("pmi-04",),
                    "opened",
                    id=f"{n:08d}-0000-5000-8000-000000000002",
                    number=f"92-2027-0211-{n}",
                    level=1 + n % 2,
                )
                for n in range(first, first + TOGETHER)
            ]
            await writer.append("alerts", full, *rows, at=at)
    freeze_long_lived()
    async with projecting(console_settings), served(console_settings) as console:
        headers = await _as_coordinator(console)

        async def there() -> bool:
            overview = (
                await console.http.get("/api/v1/overview", params={"realm": full}, headers=headers)
            ).json()
            return bool(overview["counts"]["incidents_open"] == INCIDENTS + 1)

        await until(there, 300)
        before_mb = psutil.Process().memory_info().rss >> 20
        print()
        late = []
        for path in (
            "/api/v1/overview",
            "/api/v1/incidents",
            f"/incidents/{INCIDENT}",
            "/",
            "/activites",
        ):
            figures = []
            for realm in (full, calm):

                async def ask(realm: str = realm, path: str = path) -> int:
                    answer = await console.http.get(
                        path,
                        params={"realm": realm, "n": str(time.perf_counter_ns())},
                        headers=headers,
                    )
                    return answer.status_code

                figures.append(await cpu_ms(ask))
            (median, p99), (calm_median, _) = figures
            print(
                f"{path[:24]:26}{median:7.1f} ms CPU, p99 {p99:7.1f} with {INCIDENTS} open incidents; {calm_median:7.1f} ms with one"
            )
            if median > ALLOWED_MS.get(path, 1e9):
                late.append(f"{path}: {median:.1f} ms")
        grown_mb = (psutil.Process().memory_info().rss >> 20) - before_mb
        print(f"{grown_mb} MB more after {10 * (REQUESTS + 5)} requests")
    assert late == []


async def _as_coordinator(console: Served) -> dict[str, str]:
    """Return cookies for pages and a token for the API in one."""
    bearer = await console.as_role(Role.COORDINATOR)
    principal = console.access.bearer(bearer["Authorization"].removeprefix("Bearer "))
    assert principal is not None
    return {**bearer, "Cookie": f"{COOKIE}={console.app.state.sessions.admit(principal).cookie}"}
