"""Delay of 100,000 armed deadlines, fired exactly once through a kill; cost of one more."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from schemas.runtime import OpenRealm
from schemas.topics import (
    PARTITION_COUNT,
    Retention,
    Topic,
    input_topic,
    log_topic,
    partition_of,
    snapshot_topic,
)
from services.appliance.embedded.kafka import RunningKafka
from services.runtime.decider.protocol import Deadlines
from services.runtime.kafka.clients import RecordProducer
from services.runtime.log.reader import LogReader
from tests.bench.test_intake import machine
from tests.bench.timers_worker import ArmTimers, register
from tests.faults.runtime.harness import make_topics
from tests.marks import put_key

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]
ROOT = Path(__file__).resolve().parents[2]
COUNT, CHUNK, EVERY_US = 100_000, 100, 1_000
"""A thousand a second."""
AHEAD_S = 30
"""For the worker to arm them all."""


def test_one_more_deadline_costs_microseconds_among_any_number(
    capsys: pytest.CaptureFixture[str],
) -> None:
    costs_us = []
    for armed in (1_000, COUNT):
        agenda = Deadlines()
        for n in range(armed):
            agenda = agenda.arm(f"{n}", n * 7919 % 1_000_003)
        began = time.process_time()
        for n in range(900):
            agenda = agenda.arm(f"x{n}", n * 104_729 % 1_000_003).disarm(f"x{n}")
            first = agenda.first()
            assert first is not None
            agenda = agenda.disarm(first.key)
        costs_us.append((time.process_time() - began) / 900 * 1e6)
    with capsys.disabled():
        print(
            f"\n{machine()}\n  arm, disarm and fire one: {costs_us[0]:.0f} µs among 1,000, {costs_us[1]:.0f} µs among {COUNT:,}"
        )
    assert costs_us[1] < 10 * costs_us[0] + 100


async def test_a_hundred_thousand_deadlines_fire_on_time_and_once_through_a_kill(
    start_broker: Callable[[], Coroutine[None, None, RunningKafka]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kafka, service = (await start_broker()).address, register("b")
    await make_topics(
        kafka,
        [
            Topic(
                input_topic(service),
                "inputs",
                Retention.FOREVER,
                append_time=True,
                durable_each=True,
            ),
            Topic(log_topic(service), "log", Retention.FOREVER, durable_each=True),
            Topic(snapshot_topic(service), "snapshots", Retention.COMPACTED),
        ],
    )
    start = round(time.time() * 1000) + AHEAD_S * 1000
    async with RecordProducer(kafka, put_key(tmp_path / "data" / "secrets")) as producer:
        opened = OpenRealm(author="a", role="admin", territory="92", title_code="t", started_at=0)
        await producer.send(input_topic(service), "92", opened, id="open", source="/bench")
        for n in range(0, COUNT, CHUNK):
            arm = ArmTimers(
                name=f"{n}", due=start + n * EVERY_US // 1000, count=CHUNK, every_us=EVERY_US
            )
            await producer.send(input_topic(service), "92", arm, id=f"arm-{n}", source="/bench")
    worker = _worker(kafka, tmp_path)
    late: dict[str, list[int]] = {}
    killed_at: int | None = None
    try:
        async with LogReader(
            kafka, service, partitions=(partition_of("92", PARTITION_COUNT),)
        ) as reader:
            async for accepted in reader:
                for fact in accepted.transaction.facts:
                    if fact.name == "TimerFired":
                        late.setdefault(fact.data["key"], []).append(
                            accepted.transaction.at - fact.data["due"]
                        )
                if killed_at is None and len(late) >= COUNT // 2:
                    killed_at = len(late)
                    worker.kill()
                    worker.wait()
                    worker = _worker(kafka, tmp_path)
                if len(late) == COUNT:
                    break
    finally:
        worker.terminate()
        await asyncio.to_thread(worker.wait, 30)
    assert [key for key, times in late.items() if len(times) != 1] == [], "none twice"
    before = sorted(times[0] for times in list(late.values())[: COUNT // 2 - 2_000])
    after = [times[0] for times in late.values()]
    with capsys.disabled():
        print(
            f"\n{machine()}; aims: p50 50 ms, p99 250 ms\n  {COUNT:,} deadlines at {1_000_000 // EVERY_US:,}/s: decided − due p50 "
            f"{before[len(before) // 2]} ms, p99 {before[len(before) * 99 // 100]} ms; after the kill the latest {max(after) / 1000:.1f} s late"
        )


def _worker(kafka: str, folder: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "VIGIE_KAFKA": kafka,
        "VIGIE_INSTANCE": "timers-0",
        "VIGIE_DATA_DIR": str(folder / "data"),
        "TOY_SUFFIX": "b",
        "VIGIE_HEALTH_PORT": "0",
    }
    with (folder / "timers.log").open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.bench.timers_worker"],
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=out,
        )
