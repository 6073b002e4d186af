"""Disk space and cost of one more report in a long storm on few sites.

`pytest -m soak -s tests/bench/test_growth.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from schemas.topics import TOPICS_BY_NAME
from services.cli.system.bench import Reporter
from services.runtime.process.settings import DataDir
from tests.bench.test_intake import SITES, machine
from tests.system import RunningVigie
from tests.waiting import until

pytestmark = [pytest.mark.soak, pytest.mark.bench, pytest.mark.timeout(1800)]

STEP, STEPS = 1_000, 10
RATE = 50.0
TYPES = ("outage_power", "outage_water", "outage_it", "damage_report")
DISK = 20 * 1024
"""Bytes of all topics per report."""
RECORD = 4 * 1024
"""Mean bytes of a record of alerts.log, its batch around it."""
FLAT = 1.2
SETTLED_S = 600.0


def storm() -> Iterator[dict[str, Any]]:
    """Yield reports of four types on seven sites, without any closure."""
    for n in itertools.count():
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        yield {
            "site_id": SITES[n % len(SITES)],
            "type": TYPES[n % len(TYPES)],
            "severity": 2,
            "occurred_at": at,
            "headline": f"essai {n}",
        }


def on_disk(vigie: RunningVigie) -> Counter[str]:
    """Return the bytes of each topic."""
    sizes: Counter[str] = Counter()
    for file in DataDir(vigie.folder / "data").kafka.rglob("*.log"):
        topic = file.parent.name.rpartition("-")[0]
        if topic in TOPICS_BY_NAME:
            sizes[topic] += file.stat().st_size
    return sizes


def spent_s(vigie: RunningVigie) -> Counter[str]:
    """Return the CPU seconds of each process so far."""
    cpu_seconds: Counter[str] = Counter()
    for name, pid in vigie.processes().items():
        with suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            cpu_seconds[name] = times.user + times.system
    return cpu_seconds


def settle(vigie: RunningVigie) -> None:
    """Wait until every service has applied its inputs."""

    def is_settled() -> bool:
        lag = json.loads(vigie.cli("status", "--json").stdout)["lag"]
        return lag is not None and set(lag.values()) == {0}

    until(is_settled, SETTLED_S)


def test_a_storm_on_few_sites_costs_as_much_per_report_at_its_end_as_at_its_beginning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = storm()

    async def reported(vigie: RunningVigie) -> int:
        async with Reporter(vigie.url, vigie.token) as reporter:
            return len((await reporter.at_rate(source, RATE, STEP / RATE)).latencies)

    with RunningVigie(tmp_path) as vigie:
        settle(vigie)
        begun, grown, costs = on_disk(vigie), list[Counter[str]](), list[Counter[str]]()
        for _ in range(STEPS):
            disk, cpu = on_disk(vigie), spent_s(vigie)
            assert asyncio.run(reported(vigie)) == STEP
            settle(vigie)
            grown.append(on_disk(vigie) - disk)
            costs.append(spent_s(vigie) - cpu)
        ended = on_disk(vigie) - begun
        verdict = vigie.cli("verify", timeout_s=600)
        chronicle = sum(
            file.stat().st_size
            for file in DataDir(tmp_path / "data").chronicle.parent.glob("chronicle.db*")
        )
    reports = STEP * STEPS
    per_report = {topic: round(size / reports) for topic, size in ended.most_common()}
    with capsys.disabled():
        print(
            f"\n{reports:,} reports on {len(SITES)} sites of {len(TYPES)} types: bytes per report {per_report}, together"
        )
        print(
            f"  {sum(ended.values()) / reports:,.0f} (aim {DISK:,}); chronicle {chronicle / reports:,.0f}; {machine()}"
        )
        for n, (disk, cpu) in enumerate(zip(grown, costs, strict=True)):
            each = {name: round(s * 1000 / STEP, 1) for name, s in cpu.most_common(6)}
            print(
                f"  up to {(n + 1) * STEP:6,}: alerts.log {disk['alerts.log'] / STEP:6,.0f} B, CPU {cpu.total() * 1000 / STEP:.1f} ms {each}"
            )
    assert verdict.returncode == 0, verdict.stdout[-3000:]
    assert ended["alerts.log"] / reports <= RECORD
    assert sum(ended.values()) / reports <= DISK
    assert grown[-1]["alerts.log"] <= grown[1]["alerts.log"] * FLAT
    assert costs[-1]["alerts"] <= costs[1]["alerts"] * FLAT
