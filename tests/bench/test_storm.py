"""The worst hour at the front door: every site in one second, a thousand reports per second.

The latter for a minute (`pytest -m bench -s`).
"""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from services.appliance.embedded.kafka import RunningKafka
from services.cli.system.bench import LoadResult, Reporter, generate_reports, watch_live_stream
from services.cli.system.prepare import prepare_system
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.process.settings import Settings
from tests.bench.test_intake import SITES, machine, server
from tests.faults.reporting import wait_until_settled
from tests.faults.test_cluster import read_accepted
from tests.shipped import territory
from tests.system import RunningVigie

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

RATE, SECONDS = 1000, 60.0
SHOWN_S = 60.0
"""Patience with the last report that has not been seen."""
FLOOD_S, FLOODING, BATCH, FIRE_MS = 10.0, 4, 500, 2000
"""Duration of a flood, its connections, reports of one request, and the time to decide a fire."""


def every_site_cut() -> Iterator[dict[str, Any]]:
    for site in territory().sites:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        yield {
            "site_id": site.id,
            "type": "outage_power",
            "severity": 3,
            "occurred_at": at,
            "capacity_lost_pct": 100,
        }


def test_253_sites_within_one_second_are_the_right_incidents(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sites, posted, arrival_times = len(territory().sites), dict[str, float](), dict[str, float]()

    async def storm(vigie: RunningVigie) -> tuple[LoadResult, float]:
        async with (
            Reporter(vigie.url, vigie.token) as reporter,
            watch_live_stream(vigie.url, vigie.token, "92", arrival_times),
        ):
            load_result = await reporter.at_rate(every_site_cut(), sites, 1.0, posted)
            last, give_up = time.perf_counter(), time.perf_counter() + SHOWN_S
            while posted.keys() - arrival_times.keys() and time.perf_counter() < give_up:
                await asyncio.sleep(0.02)
            return load_result, last

    with RunningVigie(tmp_path) as vigie:
        load_result, last = asyncio.run(storm(vigie))
        incidents = vigie.get("/api/v1/incidents?realm=92&limit=1000")["items"]
    with capsys.disabled():
        delays = LoadResult(
            [arrival_times[id] - due for id, due in posted.items() if id in arrival_times]
        )
        print(
            f"\n{sites} sites within one second: answered {load_result.document()}; on the live stream p50 {delays.quantile(0.5):.0f}, p99 "
            f"{delays.quantile(0.99):.0f} ms, the last {(max(arrival_times.values()) - last) * 1000:.0f} ms after the last answer (aim < 1000); "
            f"{len(incidents)} incidents on {machine()}"
        )
    assert (len(posted), load_result.refused_count) == (sites, 0)
    assert not posted.keys() - arrival_times.keys()
    assert {i["kind"] for i in incidents} == {"power"}
    assert sum(i["members"] for i in incidents) == sites, (
        "every site is a member of exactly one incident (D24)"
    )


def test_a_fire_beside_a_flood_is_decided_within_two_seconds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The delay is that between two times of the broker: the input and its transaction."""
    fires, accepted = list[str](), list[str]()

    with RunningVigie(tmp_path) as vigie, ThreadPoolExecutor(FLOODING) as flood:
        ends = time.monotonic() + FLOOD_S
        floods = [flood.submit(post_batches, vigie, n, ends) for n in range(FLOODING)]
        with vigie.client() as source:
            while time.monotonic() < ends:
                fires.append(post_fire(source))
                time.sleep(0.25)
        for batches in floods:
            accepted += batches.result()
        assert wait_until_settled(vigie, [fires[-1], *accepted[-1:]]) == []
        delays = asyncio.run(decision_delays(vigie.service_environment()["VIGIE_KAFKA"]))
    of_fires = LoadResult([delays.pop(id) for id in fires])
    of_flood = LoadResult([delays[id] for id in accepted])
    with capsys.disabled():
        print(
            f"\n{len(fires)} fires beside a flood of {len(accepted)} reports in {FLOOD_S:.0f} s: "
            f"fires decided after p50 {of_fires.quantile(0.5):.0f}, at most "
            f"{of_fires.quantile(1):.0f} ms, the flood after p50 {of_flood.quantile(0.5):.0f}, at most {of_flood.quantile(1):.0f} ms on {machine()}"
        )
    assert of_fires.quantile(1) <= FIRE_MS


def post_batches(vigie: RunningVigie, flood: int, ends: float) -> list[str]:
    """Post requests of reports about nothing grave until `ends`; return the accepted ids."""
    accepted = list[str]()
    with vigie.client() as sender:
        for number in itertools.count():
            if time.monotonic() > ends:
                return accepted
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            items = [
                {"site_id": SITES[n % len(SITES)], "type": "info", "severity": 1}
                | {"occurred_at": at, "headline": f"essai {flood}.{number}.{n}"}
                for n in range(BATCH)
            ]
            answer = sender.post("/api/v1/reports:batch", json={"reports": items}, timeout=60)
            accepted += [
                item["report_id"] for item in answer.json()["items"] if item["status"] == 202
            ]
    raise AssertionError


def post_fire(source: httpx.Client) -> str:
    answer = source.post(
        "/api/v1/reports",
        json={
            "site_id": SITES[0],
            "type": "fire",
            "severity": 5,
            "occurred_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        },
        headers={"Idempotency-Key": uuid.uuid4().hex},
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["report_id"])


async def decision_delays(kafka: str) -> dict[str, float]:
    """Return input → seconds from its record to its transaction, of the live realm."""
    async with PartitionReader(kafka) as reader:
        return {
            tx.src.id: (record.timestamp - tx.at) / 1000
            async for record, tx in read_accepted(reader, "alerts")
            if tx.realm == "92"
        }


def at_rate(url: str, token: str, seconds: float) -> LoadResult:
    async def run() -> LoadResult:
        async with Reporter(url, token) as reporter:
            await reporter.at_rate(generate_reports(None, SITES), RATE, 3.0)
            return await reporter.at_rate(generate_reports(None, SITES), RATE, seconds)

    return asyncio.run(run())


def test_a_thousand_reports_per_second_for_a_minute_beside_a_bare_route(
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
    figures: dict[str, LoadResult] = {}
    for name, module, seconds in (
        ("bare", "tests.bench.bare", 10.0),
        ("intake", "services.intake", SECONDS),
    ):
        with server(module, settings) as url:
            figures[name] = at_rate(url, token, seconds)
    bare, intake = figures["bare"], figures["intake"]
    with capsys.disabled():
        print(
            f"\n{RATE} reports/s for {SECONDS:g} s: intake {intake.document()}; bare FastAPI route {bare.document()}; accepted per second, ratio "
            f"{intake.per_s / bare.per_s:.2f} on {machine()}"
        )
    assert len(intake.latencies) + intake.refused_count == RATE * SECONDS, (
        "every report is answered"
    )
