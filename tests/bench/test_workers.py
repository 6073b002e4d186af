"""Workers on a real broker: cost per input, share of the deciders, restart on a long log.

The baseline of each run is a bare aiokafka loop in a process of its own: read a batch, write each
record's bytes to another topic, wait for all.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from schemas.runtime import OpenRealm
from schemas.topics import PARTITION_COUNT, input_topic, log_topic, partition_of
from schemas.wire import Place
from services.alerts.decider import AlertsDecider
from services.appliance.embedded.kafka import RunningKafka
from services.continuity.decider import ContinuityDecider
from services.delivery.decider import DeliveryDecider
from services.runtime.decider.inputs import InputRecord
from services.runtime.decider.machine import Machine
from services.runtime.kafka.clients import build_headers, create_idempotent_producer, encode_message
from services.runtime.log.chain import apply_input, create_empty_view
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.log.snapshots import read_newest_manifests
from services.runtime.testing import MemoryService
from services.runtime.worker.housekeeping import IDLE_RECORDS
from tests.bench.test_intake import machine
from tests.faults.runtime.harness import make_topics, topics_of
from tests.faults.runtime.toy import ToyReport, register
from tests.marks import MARKS, put_key
from tests.scenarios.memory import MemoryPlayer, scenario
from tests.waiting import eventually

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

ROOT = Path(__file__).resolve().parents[2]
REALMS = 100
TOY_INPUTS = 60_000
LONG_LOG = 1_000_000
MINUTES = 260
"""Minutes of S04 with all its expectations."""

DECIDERS: dict[str, Callable[[], Any]] = {
    "alerts": AlertsDecider,
    "continuity": ContinuityDecider,
    "delivery": DeliveryDecider,
}

Record = tuple[int, bytes, bytes, list[tuple[str, bytes]]]
"""(partition, key, value, headers)."""


class Run(NamedTuple):
    count: int
    wall_s: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        return self.count / self.wall_s

    @property
    def cpu_us(self) -> float:
        return self.cpu_s / self.count * 1e6

    def __str__(self) -> str:
        return f"{self.count} inputs: {self.per_s:,.0f}/s, {self.cpu_us:.0f} µs CPU each"


def keyed(folder: Path) -> str:
    """Return the workers' data directory, with the key used by `fill`."""
    put_key(folder / "data" / "secrets")
    return str(folder / "data")


async def fill(kafka: str, topic: str, records: Iterable[Record]) -> int:
    """Write records; returns how many."""
    producer = create_idempotent_producer(kafka, linger_ms=5)
    await producer.start()
    count, pending_sends = 0, []
    try:
        for partition, key, value, headers in records:
            marked = MARKS.sign(topic, key, value, headers)
            pending_sends.append(
                await producer.send(topic, value, key=key, partition=partition, headers=marked)
            )
            count += 1
            if len(pending_sends) == 5000:
                await asyncio.gather(*pending_sends)
                pending_sends.clear()
        await asyncio.gather(*pending_sends)
    finally:
        await producer.stop()
    return count


async def ends(kafka: str, topic: str) -> int:
    async with PartitionReader(kafka) as reader:
        return sum(end for _, end in (await reader.bounds(topic, range(PARTITION_COUNT))).values())


@contextmanager
def process(*command: str, log_file: Path, **environment: str) -> Iterator[psutil.Process]:
    inherited_variables = {n: v for n, v in os.environ.items() if not n.startswith("VIGIE_")}
    with (
        log_file.open("wb") as out,
        subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**inherited_variables, **environment},
            stdout=out,
            stderr=out,
        ) as started,
    ):
        try:
            yield psutil.Process(started.pid)
        finally:
            started.terminate()
            started.wait(20)


async def measured(
    kafka: str,
    out: str,
    count: int,
    command: Sequence[str],
    log_file: Path,
    environment: dict[str, str],
) -> Run:
    """Measure from the first record on `out` to the last, wall clock and CPU."""
    before = await ends(kafka, out)
    with process(*command, log_file=log_file, **environment) as worker:
        async with PartitionReader(kafka) as reader:

            async def written() -> int:
                return (
                    sum(
                        end
                        for _, end in (await reader.bounds(out, range(PARTITION_COUNT))).values()
                    )
                    - before
                )

            await eventually(lambda: _more(written, count // 20), 60)
            first, began, cpu = await written(), time.perf_counter(), sum(worker.cpu_times()[:2])
            while (done := await written()) < count:
                assert worker.is_running(), f"the process ended, see {log_file}"
                await asyncio.sleep(0.05)
            return Run(done - first, time.perf_counter() - began, sum(worker.cpu_times()[:2]) - cpu)


async def _more(written: Callable[[], Coroutine[Any, Any, int]], than: int) -> bool:
    return await written() > than


def toy_inputs(count: int, realms: Sequence[str], *, blob: str = "") -> Iterator[Record]:
    """Yield openings, then reports round-robin."""
    for realm in realms:
        opening = OpenRealm(
            author="bench", role="admin", territory=realm.split("~")[0], started_at=0
        )
        yield (
            partition_of(realm, PARTITION_COUNT),
            realm.encode(),
            encode_message(opening),
            build_headers(opening.wire_type(), id=f"o-{realm}", source="b"),
        )
    for n in range(count):
        realm = realms[n % len(realms)]
        message = ToyReport(incident=f"i{n % 997}", n=n, blob=blob)
        yield (
            partition_of(realm, PARTITION_COUNT),
            realm.encode(),
            encode_message(message),
            build_headers(message.wire_type(), id=f"r{n}", source="b"),
        )


def s04_inputs(service: str) -> list[tuple[bytes, list[tuple[str, bytes]]]]:
    """Return the inputs of the service in S04 (value, headers), from the deciders in memory."""
    recorded_inputs: list[tuple[bytes, list[tuple[str, bytes]]]] = []

    class Recorded(MemoryService[Any]):
        def feed_raw(
            self, partition: int, key: Any, value: Any, headers: Any, timestamp: Any = None
        ) -> Any:
            if self.service == service:
                recorded_inputs.append((value, list(headers)))
            return super().feed_raw(partition, key, value, headers, timestamp)

    patch = pytest.MonkeyPatch()
    patch.setattr("services.runtime.testing.MemoryService", Recorded)
    played = scenario("S04")
    MemoryPlayer(played, "92~ex-bench").play(played.opening + MINUTES * 60_000)
    patch.undo()
    return recorded_inputs


def of_realm(given: list[tuple[bytes, list[tuple[str, bytes]]]], realm: str) -> Iterator[Record]:
    """Return the same inputs for another realm, with other ids."""
    partition = partition_of(realm, PARTITION_COUNT)
    for value, headers in given:
        own = dict(headers)
        own["ce_id"] += realm.encode()
        if (
            place := own.get("ce_place")
        ) is not None:  # forwarded by the source's worker of the same partition
            own["ce_place"] = str(
                replace(Place.parse(place.decode()), partition=partition)
            ).encode()
        yield partition, realm.encode(), value, list(own.items())


async def bare(kafka: str, source: str, suffix: str, count: int, folder: Path) -> Run:
    """Run the same inputs through a bare loop."""
    out = f"bare{suffix}.log"
    await make_topics(
        kafka,
        [
            t.__class__(out, "log", t.retention, durable_each=True)
            for t in topics_of(suffix)
            if t.name == log_topic(f"toy{suffix}")
        ],
    )
    return await measured(
        kafka,
        out,
        count,
        ("-m", "tests.bench.bare_loop", kafka, source, out),
        folder / f"bare{suffix}.log",
        {},
    )


async def test_the_runtime_alone(
    start_broker: Callable[[], Coroutine[None, None, RunningKafka]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kafka = (await start_broker()).address
    lines = []
    for round in range(3):
        suffix = f"b{round}"
        register(suffix)
        await make_topics(kafka, topics_of(suffix))
        count = await fill(
            kafka,
            input_topic(f"toy{suffix}"),
            toy_inputs(TOY_INPUTS, ("92", "75", "93", "94", "92~ex-1", "92~ex-2")),
        )
        base = await bare(kafka, input_topic(f"toy{suffix}"), suffix, count, tmp_path)
        runtime_run = await measured(
            kafka,
            log_topic(f"toy{suffix}"),
            count,
            ("-m", "tests.faults.runtime.toy_worker", "toy"),
            tmp_path / f"toy{suffix}.log",
            {
                "VIGIE_KAFKA": kafka,
                "VIGIE_INSTANCE": "toy-0",
                "VIGIE_DATA_DIR": keyed(tmp_path),
                "TOY_SUFFIX": suffix,
                "TOY_PUBLIC": "0",
            },
        )
        lines.append(
            f"bare loop {base}; runtime {runtime_run}; {runtime_run.cpu_us / base.cpu_us:.1f} × the CPU, {runtime_run.per_s / base.per_s:.2f} × the speed"
        )
    with capsys.disabled():
        print(f"\n{machine()}; aims: 120 µs CPU, 6,000/s", *lines, sep="\n  ")


@pytest.mark.parametrize("service", ["alerts", "continuity", "delivery"])
async def test_s04_in_a_hundred_realms(
    start_broker: Callable[[], Coroutine[None, None, RunningKafka]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    service: str,
) -> None:
    inputs = s04_inputs(service)
    realms = [f"92~ex-{n}" for n in range(REALMS)]
    where, alone = _in_memory(service, inputs)
    kafka = (await start_broker()).address
    count = await fill(
        kafka,
        input_topic(service),
        (record for realm in realms for record in of_realm(inputs, realm)),
    )
    base = await bare(kafka, input_topic(service), service, count, tmp_path)
    settings = {
        "VIGIE_KAFKA": kafka,
        "VIGIE_INSTANCE": f"{service}-0",
        "VIGIE_DATA_DIR": keyed(tmp_path),
        "VIGIE_HEALTH_PORT": "0",
    }
    service_run = await measured(
        kafka,
        log_topic(service),
        count,
        ("-m", f"services.{service}"),
        tmp_path / "worker.log",
        settings,
    )
    assert "input.refused" not in (tmp_path / "worker.log").read_text()
    with capsys.disabled():
        print(
            f"\n{machine()}\n  {service}, S04 in {REALMS} realms: {service_run}; bare loop {base}; {service_run.cpu_us / base.cpu_us:.1f} × its CPU"
        )
        print(
            f"  decide, evolve and encode alone {alone:.0f} µs; the rest is Kafka, Faust and forwarding. Where it goes: {where}"
        )


def _in_memory(
    service: str, given: list[tuple[bytes, list[tuple[str, bytes]]]]
) -> tuple[str, float]:
    """(share by type of input, µs CPU per input) of decide, evolve and encode, without Kafka."""
    best, shares = float("inf"), Counter[str]()
    for _ in range(3):
        made, view, spent, began = (
            Machine(DECIDERS[service]()),
            create_empty_view(),
            Counter[str](),
            time.process_time(),
        )
        for n, (partition, key, value, headers) in enumerate(of_realm(given, "92~ex-0")):
            at = time.perf_counter()
            view, _ = apply_input(
                made,
                view,
                InputRecord(input_topic(service), partition, n, key, value, headers, 0),
                "bench",
            )
            spent[dict(headers)["ce_type"].decode().split(".")[1]] += time.perf_counter() - at
        if (took := time.process_time() - began) < best:
            best, shares = took, spent
    total = sum(shares.values())
    return ", ".join(
        f"{name} {spent / total:.0%}" for name, spent in shares.most_common(4)
    ), best / len(given) * 1e6


async def test_two_workers_share_the_realms(
    start_broker: Callable[[], Coroutine[None, None, RunningKafka]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With enough cores the second worker adds 0.7; otherwise it costs no more CPU per input."""
    kafka = (await start_broker()).address
    runs = []
    for workers in (1, 2):
        suffix = f"w{workers}"
        register(suffix)
        await make_topics(kafka, topics_of(suffix))
        realms = [_realm_of(p) for p in range(PARTITION_COUNT)]
        count = await fill(kafka, input_topic(f"toy{suffix}"), toy_inputs(TOY_INPUTS, realms))
        settings = {
            "VIGIE_KAFKA": kafka,
            "VIGIE_DATA_DIR": keyed(tmp_path),
            "TOY_SUFFIX": suffix,
            "TOY_PUBLIC": "0",
        }
        command = ("-m", "tests.faults.runtime.toy_worker", "toy")
        if workers == 1:
            runs.append(
                await measured(
                    kafka,
                    log_topic(f"toy{suffix}"),
                    count,
                    command,
                    tmp_path / "one.log",
                    settings | {"VIGIE_INSTANCE": "toy-0"},
                )
            )
            continue
        with process(
            *command, log_file=tmp_path / "other.log", **settings, VIGIE_INSTANCE="toy-1"
        ) as other:
            cpu = sum(other.cpu_times()[:2])
            both = await measured(
                kafka,
                log_topic(f"toy{suffix}"),
                count,
                command,
                tmp_path / "two.log",
                settings | {"VIGIE_INSTANCE": "toy-0"},
            )
            runs.append(both._replace(cpu_s=both.cpu_s + sum(other.cpu_times()[:2]) - cpu))
    one, two = runs
    with capsys.disabled():
        print(
            f"\n{machine()}\n  one worker {one}\n  two workers {two}: {two.per_s / one.per_s:.2f} × the speed, {two.cpu_us / one.cpu_us:.2f} × the CPU"
        )


async def _snapshotted(kafka: str, service: str) -> bool:
    """Return True if every partition has a snapshot of its end, except tiny ones."""
    async with PartitionReader(kafka) as reader:
        for partition, (_, end) in (
            await reader.bounds(log_topic(service), range(PARTITION_COUNT))
        ).items():
            newest = next(iter(await read_newest_manifests(reader, service, partition)), None)
            if end - (0 if newest is None else newest.position.next) >= IDLE_RECORDS:
                return False
    return True


def _realm_of(partition: int) -> str:
    """Return a realm on this partition."""
    names = (
        (f"{n:02d}" for n in range(10, 96))
        if partition < PARTITION_COUNT // 2
        else (f"92~ex-{n}" for n in range(200))
    )
    return next(name for name in names if partition_of(name, PARTITION_COUNT) == partition)


async def test_a_worker_comes_back_on_a_log_of_a_million_records(
    start_broker: Callable[[], Coroutine[None, None, RunningKafka]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kafka = (await start_broker()).address
    suffix = "long"
    register(suffix)
    await make_topics(kafka, topics_of(suffix))
    count = await fill(kafka, input_topic(f"toy{suffix}"), toy_inputs(LONG_LOG, ("92", "92~ex-1")))
    settings = {
        "VIGIE_KAFKA": kafka,
        "VIGIE_INSTANCE": "toy-0",
        "VIGIE_DATA_DIR": keyed(tmp_path),
        "TOY_SUFFIX": suffix,
        "TOY_PUBLIC": "0",
    }
    command = ("-m", "tests.faults.runtime.toy_worker", "toy")
    with process(*command, log_file=tmp_path / "first.log", **settings) as worker:
        await eventually(
            lambda: _more(lambda: ends(kafka, log_topic(f"toy{suffix}")), count - 1), 600
        )
        await eventually(lambda: _snapshotted(kafka, f"toy{suffix}"), 60)
        worker.kill()
        worker.wait()
    began = time.perf_counter()
    second_log = tmp_path / "second.log"
    with process(*command, log_file=second_log, **settings):
        await eventually(
            lambda: second_log.exists() and "partitions.taken" in second_log.read_text(),
            60,
            longest_s=0.0,
        )
        took = time.perf_counter() - began
    with capsys.disabled():
        print(
            f"\n{machine()}\n  back after {took:.2f} s on a log of {count:,} records (whole process, from its start; aim: 5 s)"
        )
