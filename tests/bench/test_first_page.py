"""Time from a report that opens an incident to the first message, on the running system."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiohttp import web

from services.cli.system.bench import LoadResult, Reporter
from tests.bench.test_intake import machine
from tests.shipped import FOLDER, territory
from tests.system import RunningVigie
from tests.waiting import eventually, until

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

RATE, WARM, COUNT = 50, 25, 225
"""Reports per second, unmeasured first ones, and measured ones: every site once."""
TAKEN_S = 60.0
"""Patience with the last page."""
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_a_report_leads_to_a_call_at_fifty_reports_per_second(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    posted, calls = dict[str, float](), Calls()
    paged = calls.first

    async def run(vigie: RunningVigie) -> tuple[LoadResult, dict[str, float]]:
        async with provider(calls) as address, Reporter(vigie.url, vigie.token) as reporter:
            await asyncio.to_thread(everybody_by_webhook, vigie, address)
            reports = one_incident_each()
            await reporter.at_rate(reports, RATE, WARM / RATE)
            await taken(lambda: len(paged) >= WARM)
            before = cpu_of(vigie)
            load_result = await reporter.at_rate(reports, RATE, COUNT / RATE, posted)
            await taken(lambda: len(paged) >= WARM + COUNT)
            return load_result, {
                name: (after - before[name]) / COUNT * 1000 for name, after in cpu_of(vigie).items()
            }

    with RunningVigie(tmp_path, VIGIE_WEBHOOK_SECRET=SECRET) as vigie:
        load_result, cpu_ms = asyncio.run(run(vigie))
        of_report = incident_by_report(vigie, posted)
    delays = LoadResult(
        [
            paged[of_report[report]] - due
            for report, due in posted.items()
            if of_report[report] in paged
        ]
    )
    with capsys.disabled():
        print(
            f"\nreport → first message at the provider, {COUNT} incidents at {RATE} reports/s: p50 {delays.quantile(0.5):.0f}, p99 "
            f"{delays.quantile(0.99):.0f} ms (aims: 150, 500 ms); answered {load_result.document()}; CPU per report {sum(cpu_ms.values()):.0f} ms "
            f"({', '.join(f'{name} {ms:.1f}' for name, ms in sorted(cpu_ms.items(), key=lambda one: -one[1]) if ms >= 0.1)}), load {psutil.getloadavg()[0]:.1f} on {machine()}"
        )
    assert len(delays.latencies) == COUNT, "every incident called somebody"


@pytest.mark.parametrize("victim", [None, "delivery", "everything"])
def test_a_burst_of_one_report_per_site_calls_all_people(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], victim: str | None
) -> None:
    """253 reports in one second; a victim is killed when a third of the first pages have come.

    Reports that the killed front has not accepted call nobody.
    """
    calls = Calls()

    async def run(
        vigie: RunningVigie,
    ) -> tuple[LoadResult, dict[str, float], dict[str, str], dict[str, float], float | None]:
        async with provider(calls) as address, Reporter(vigie.url, vigie.token) as reporter:
            await asyncio.to_thread(everybody_by_webhook, vigie, address)
            await settled(vigie)
            set_niceness(-20)
            reports, posted = list(one_incident_each()), dict[str, float]()
            before, killed = cpu_of(vigie), None
            burst = asyncio.create_task(reporter.at_rate(iter(reports), len(reports), 1.0, posted))
            if victim is not None:
                await taken(lambda: len(calls.first) >= len(reports) // 3)
                killed = time.perf_counter()
                await asyncio.to_thread(kill_and_restart, vigie, victim)
            load_result = await burst
            await taken(lambda: len(calls.first) >= len(posted))
            cpu_ms = {
                name: (after - before.get(name, 0)) * 1000 / len(reports)
                for name, after in cpu_of(vigie).items()
            }
            of_report = await asyncio.to_thread(incident_by_report, vigie, posted)
            await taken(lambda: calls.first.keys() >= {of_report[r] for r in posted})
            return load_result, posted, of_report, cpu_ms, killed

    with RunningVigie(tmp_path, VIGIE_WEBHOOK_SECRET=SECRET) as vigie:
        load_result, posted, of_report, cpu_ms, killed = asyncio.run(run(vigie))
    delays = LoadResult(
        [
            calls.first[of_report[r]] - due
            for r, due in posted.items()
            if of_report[r] in calls.first
        ]
    )
    late = sorted(at - killed for at in calls.first.values() if killed is not None and at > killed)
    with capsys.disabled():
        print(
            f"\nburst of {len(posted)} in one second, killed: {victim}: first page p50 {delays.quantile(0.5):.0f}, p95 "
            f"{delays.quantile(0.95):.0f}, p99 {delays.quantile(0.99):.0f} ms; {len(late)} first pages after the kill, the last "
            f"{late[-1] if late else 0:.1f} s after it; {calls.twice()} people called twice of {calls.count}; answered "
            f"{load_result.document()}; CPU per report {sum(cpu_ms.values()):.0f} ms "
            f"({', '.join(f'{name} {ms:.1f}' for name, ms in sorted(cpu_ms.items(), key=lambda one: -one[1]) if ms >= 0.1)})"
            f", load {psutil.getloadavg()[0]:.1f} on {machine()}"
        )
    assert len(delays.latencies) == len(posted), "every incident called somebody"


def set_niceness(nice: int) -> None:
    """Set the niceness of this thread and its children, where granted.

    Sites and providers are other machines: the system must not keep the processor from them.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, nice)


def kill_and_restart(vigie: RunningVigie, victim: str) -> None:
    """Kill one process, which its supervisor restarts, or all of them as in a power cut."""
    set_niceness(0)  # Its processes inherit it
    if victim != "everything":
        vigie.kill(victim)
        return
    pids = [vigie.pid, *vigie.processes().values()]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    vigie.leave()
    until(
        lambda: all(
            not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
            for pid in pids
        )
    )
    vigie.start()


@dataclass
class Calls:
    """Webhooks that were taken."""

    first: dict[str, float] = field(default_factory=dict)
    """Incident → time of its first message."""
    told: Counter[str] = field(default_factory=Counter)
    """Notification → how often it came."""

    @property
    def count(self) -> int:
        return sum(self.told.values())

    def twice(self) -> int:
        """Count notifications received more than once."""
        return sum(count > 1 for count in self.told.values())


async def settled(vigie: RunningVigie) -> None:
    """Wait for the end of the start: two seconds with a tenth of a core in use."""
    give_up = time.perf_counter() + TAKEN_S
    while time.perf_counter() < give_up:
        before = sum(cpu_of(vigie).values())
        await asyncio.sleep(2)
        if sum(cpu_of(vigie).values()) - before < 2 * 0.2:
            return


def one_incident_each() -> Iterator[dict[str, Any]]:
    """Report the heating of one site after the other, each an incident of the lowest level."""
    for site in territory().sites:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        yield {
            "site_id": site.id,
            "type": "outage_heating",
            "severity": 2,
            "occurred_at": at,
            "capacity_lost_pct": 10,
        }


@asynccontextmanager
async def provider(calls: Calls) -> AsyncIterator[str]:
    """Start a receiver of webhooks that counts them in `calls`."""

    async def take(request: web.Request) -> web.Response:
        notification = (await request.json())["data"]
        if notification["incident"] is not None:
            calls.first.setdefault(notification["incident"], time.perf_counter())
        calls.told[notification["notification"]] += 1
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
    """Return a directory with this one address for all people of the roster."""
    with (FOLDER / "reachability.csv").open(encoding="utf-8") as roster:
        people = [row["person"] for row in csv.DictReader(roster)]
    file, today = vigie.folder / "people.csv", datetime.now(UTC).date().isoformat()
    lines = [
        "person,name,language,channel,address,verified_at",
        *(f"{person},,fr,webhook,{address},{today}" for person in people),
    ]
    file.write_text("\n".join(lines), encoding="utf-8")
    imported = vigie.cli("directory", "import", str(file))
    assert imported.returncode == 0, imported.stderr


def incident_by_report(vigie: RunningVigie, posted: Collection[str]) -> dict[str, str]:
    """Return report → incident once the read model shows an incident of every posted report."""
    incident_ids = dict[str, str]()

    def is_complete() -> bool:
        incidents = vigie.get("/api/v1/incidents?realm=92&limit=1000")["items"]
        incident_ids.update((report, i["id"]) for i in incidents for report in i["reports"])
        return incident_ids.keys() >= set(posted)

    until(is_complete)
    return incident_ids


async def taken(are_taken: Callable[[], bool]) -> None:
    """Wait for pages, for TAKEN_S at most."""
    with contextlib.suppress(TimeoutError):
        await eventually(are_taken, TAKEN_S)


def cpu_of(vigie: RunningVigie) -> dict[str, float]:
    """Process → seconds that it has computed."""
    return {
        name: sum(psutil.Process(pid).cpu_times()[:2]) for name, pid in vigie.processes().items()
    }
