"""How soon somebody is called: from a report that opens an incident to the first message at a provider, with everything running."""

from __future__ import annotations

import asyncio
import csv
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiohttp import web

from services.cli.load import Measured, Reporter
from tests.bench.test_intake import machine
from tests.shipped import FOLDER, territory
from tests.system import RunningVigie

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

RATE, WARM, COUNT = 50, 25, 225
"""Reports per second, those before the measured ones, and the measured ones: every site of the territory once."""
TAKEN_S = 60.0
"""Patience with the last page."""
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_a_report_calls_somebody_at_fifty_reports_per_second(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    posted, paged = dict[str, float](), dict[str, float]()

    async def run(vigie: RunningVigie) -> tuple[Measured, dict[str, float]]:
        async with provider(paged) as address, Reporter(vigie.url, vigie.token) as reporter:
            await asyncio.to_thread(everybody_by_webhook, vigie, address)
            reports = one_incident_each()
            await reporter.at_rate(reports, RATE, WARM / RATE)
            await taken(paged, WARM)
            before = cpu_of(vigie)
            found = await reporter.at_rate(reports, RATE, COUNT / RATE, posted)
            await taken(paged, WARM + COUNT)
            return found, {name: (after - before[name]) / COUNT * 1000 for name, after in cpu_of(vigie).items()}

    with RunningVigie(tmp_path, VIGIE_WEBHOOK_SECRET=SECRET) as vigie:
        found, cpu_ms = asyncio.run(run(vigie))
        incidents = vigie.get("/api/v1/incidents?realm=92&limit=1000")["items"]
    of_report = {report: i["id"] for i in incidents for report in i["reports"]}
    delays = Measured([paged[of_report[report]] - due for report, due in posted.items() if of_report[report] in paged])
    with capsys.disabled():
        print(
            f"\nreport → first message at the provider, {COUNT} incidents at {RATE} reports/s: p50 {delays.quantile(0.5):.0f}, p99 "
            f"{delays.quantile(0.99):.0f} ms (aims: 150, 500 ms); answered {found.document()}; CPU per report {sum(cpu_ms.values()):.0f} ms "
            f"({', '.join(f'{name} {ms:.1f}' for name, ms in sorted(cpu_ms.items(), key=lambda one: -one[1]) if ms >= 0.1)}), load {psutil.getloadavg()[0]:.1f} on {machine()}"
        )
    assert len(delays.latencies) == COUNT, "every incident called somebody"


def one_incident_each() -> Iterator[dict[str, Any]]:
    """The heating of one site after the other: each is an incident of its own, of the lowest level."""
    for site in territory().sites:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        yield {"site_id": site.id, "type": "outage_heating", "severity": 2, "occurred_at": at, "capacity_lost_pct": 10}


@asynccontextmanager
async def provider(paged: dict[str, float]) -> AsyncIterator[str]:
    """An address that takes webhooks; `paged` gets incident → time of its first message."""

    async def take(request: web.Request) -> web.Response:
        incident = (await request.json())["data"]["incident"]
        paged.setdefault(incident, time.perf_counter())
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


def everybody_by_webhook(vigie: RunningVigie, address: str) -> None:
    """The directory: all that the roster names, each with this one address."""
    with (FOLDER / "reachability.csv").open(encoding="utf-8") as known:
        people = [row["person"] for row in csv.DictReader(known)]
    file, today = vigie.folder / "people.csv", datetime.now(UTC).date().isoformat()
    lines = ["person,name,language,channel,address,verified_at", *(f"{person},,fr,webhook,{address},{today}" for person in people)]
    file.write_text("\n".join(lines), encoding="utf-8")
    imported = vigie.cli("directory", "import", str(file))
    assert imported.returncode == 0, imported.stderr


async def taken(paged: dict[str, float], count: int) -> None:
    give_up = time.perf_counter() + TAKEN_S
    while len(paged) < count and time.perf_counter() < give_up:
        await asyncio.sleep(0.02)


def cpu_of(vigie: RunningVigie) -> dict[str, float]:
    """Process → seconds that it has computed."""
    return {name: sum(psutil.Process(pid).cpu_times()[:2]) for name, pid in vigie.processes().items()}
