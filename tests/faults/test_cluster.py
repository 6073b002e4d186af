"""The leader dies under load on three real brokers: no loss, no false alarm, a short pause.

Full: all three copies are in step when the leader dies. Reduced: one follower is behind and
returns just then, so the new leader is alone in step and shows the newest records only after the
other one has caught up.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
import signal
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from schemas.topics import PARTITION_COUNT, SERVICES, log_topic, partition_of
from services.runtime.log.chain import Position, advance_position
from services.runtime.log.partition_reader import VISIBLE_S, PartitionReader
from services.runtime.log.transaction import Transaction
from services.runtime.worker.recovery import ANY_LOGIC
from tests.cluster import NODES, Cluster
from tests.faults.matrix import proves
from tests.faults.reporting import Reporter, kept, wait_until_settled
from tests.faults.runtime.test_damage import cut
from tests.system import RunningVigie
from tests.waiting import until

DOWN_S: Final = 15.0
LATE_MS: Final = 20_000
BESIDE_OTHERS: Final = 4
"""Times as long where four files of tests share the cores. The soak runs alone and allows no more."""
IN_STEP_S: Final = 150.0
"""Patience with brokers that start beside others."""
PAUSE_S: Final = 0.08
"""Between two reports of one reporter."""
REFUSALS: Final = {"InputFailed", "InputRefused"}
LOSSES: Final = ("log.truncated", "source.forked", "input.rewritten", "input.gap", "chain.stuck")


class Steady(Reporter):
    """Reports at a steady rate until stopped."""

    def __init__(self, vigie: RunningVigie, seed: int, enough: threading.Event) -> None:
        super().__init__(vigie, seed, 0)
        self._enough, self._attempt = enough, secrets.token_hex(4)

    def run(self) -> None:
        with self._vigie.client() as client:
            for number in itertools.count():
                if self._enough.wait(PAUSE_S):
                    return
                self._post(client, f"{self.name}-{self._attempt}-{number}")


class Watching(threading.Thread):
    """Measures how long each process of the system is not ready at a time."""

    def __init__(self, vigie: RunningVigie, enough: threading.Event) -> None:
        super().__init__(name="watching")
        self._status, self._enough = vigie.folder / "data" / "run" / "status.json", enough
        self._away: dict[str, float] = {}
        self.longest_s: dict[str, float] = {}

    def run(self) -> None:
        while not self._enough.wait(0.2):
            now = time.monotonic()
            for process in json.loads(self._status.read_text(encoding="utf-8"))["processes"]:
                self._note(process["name"], process["state"], now)

    def _note(self, name: str, state: str, now: float) -> None:
        if state in ("ready", "ended"):
            self._away.pop(name, None)
            return
        away_s = now - self._away.setdefault(name, now)
        self.longest_s[name] = max(self.longest_s.get(name, 0.0), away_s)


class Run:
    """A cluster, the product on it, and its load."""

    def __init__(self, cluster: Cluster, vigie: RunningVigie) -> None:
        self.cluster, self.vigie = cluster, vigie
        self._dead: list[int] = []

    def wait_in_step(self, wanted: set[int]) -> None:
        until(lambda: asyncio.run(self.cluster.is_in_step(wanted)), IN_STEP_S)

    def kill_leader(self, *, reduced: bool) -> None:
        """Start the broker killed before, wait until all are in step, and kill the leader."""
        for number in self._dead:
            self.cluster.revive(number)
        self.wait_in_step(set(NODES))
        leader = asyncio.run(self.cluster.leader())
        if reduced:
            behind = max(set(NODES) - {leader})
            self.cluster.kill(behind, signal.SIGSTOP)
            self.wait_in_step(set(NODES) - {behind})
            self.cluster.kill(leader)
            self.cluster.kill(behind, signal.SIGCONT)
        else:
            self.cluster.kill(leader)
        self._dead = [leader]
        until(lambda: asyncio.run(self.cluster.leader()) != leader, IN_STEP_S)

    def wait_for_reports(self, reporters: list[Steady]) -> None:
        """Return when each reporter got another report accepted."""
        before = [len(reporter.accepted) for reporter in reporters]
        until(
            lambda: all(len(r.accepted) > n for r, n in zip(reporters, before, strict=True)),
            IN_STEP_S,
        )

    def storm(
        self, kills: list[bool], record: Callable[[str, object], None], patience: int = 1
    ) -> None:
        """Kill the leader once per item (True: reduced) under load, then check every promise.

        `patience`: how many times the bounds of time are allowed.
        """
        enough = threading.Event()
        reporters = [Steady(self.vigie, n, enough) for n in (1, 2)]
        watching = Watching(self.vigie, enough)
        for thread in (*reporters, watching):
            thread.start()
        try:
            for reduced in kills:
                self.kill_leader(reduced=reduced)
                self.wait_for_reports(reporters)
        finally:
            enough.set()
            for thread in (*reporters, watching):
                thread.join()
        accepted = [id for reporter in reporters for id in reporter.accepted.values()]
        record("reports", len(accepted))
        record(
            "longest_down_s", {name: round(s, 1) for name, s in watching.longest_s.items() if s > 1}
        )
        assert [r.refused for r in reporters if r.refused] == []
        newest = [list(reporter.accepted.values())[-1] for reporter in reporters]
        assert wait_until_settled(self.vigie, newest) == []
        assert set(accepted) <= asyncio.run(applied_reports(self.cluster.addresses))
        assert losses(self.vigie.folder / "data" / "logs") == []
        late = asyncio.run(lateness(self.cluster.addresses))
        record("latest_ms", max(late.values()))
        assert {where: ms for where, ms in late.items() if ms > LATE_MS * patience} == {}
        assert {name: s for name, s in watching.longest_s.items() if s > DOWN_S * patience} == {}
        kept(self.vigie)


def losses(logs: Path) -> list[str]:
    """Return the lines with which some process called a record lost."""
    lines = (
        line
        for path in logs.glob("*.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
    )
    return [line for line in lines if any(f'"{name}"' in line for name in LOSSES)]


async def applied_reports(kafka: str) -> set[str]:
    """Return the reports that the log of alerts applied: to ask for thousands takes minutes."""
    async with PartitionReader(kafka) as reader:
        chain = [tx async for _, tx in read_accepted(reader, "alerts")]
    return {tx.src.id for tx in chain if not REFUSALS & {fact.name for fact in tx.facts}}


async def lateness(kafka: str, since_ms: int = 0) -> dict[str, int]:
    """Return the latest decision and the latest deadline per log, in ms of delay."""
    latest_delays: dict[str, int] = {}
    async with PartitionReader(kafka) as reader:
        for service in SERVICES:
            async for record, tx in read_accepted(reader, service):
                if record.timestamp < since_ms:
                    continue
                for what, late_ms in _lateness_of(record, tx):
                    latest_delays[f"{service} {what}"] = max(
                        latest_delays.get(f"{service} {what}", 0), late_ms
                    )
    return latest_delays


async def read_accepted(
    reader: PartitionReader, service: str
) -> AsyncIterator[tuple[Any, Transaction]]:
    """Yield each record that continues the chain of its partition.

    A worker that was cut off may append later what it had decided. No reader believes that.
    """
    topic, positions = log_topic(service), defaultdict[int, Position](Position)
    async for record in reader.read(topic, await reader.bounds(topic, range(PARTITION_COUNT))):
        positions[record.partition], tx = advance_position(
            positions[record.partition], record.offset, record.value, ANY_LOGIC
        )
        if tx is not None:
            yield record, tx


def _lateness_of(record: Any, tx: Transaction) -> Iterator[tuple[str, int]]:
    if tx.realm and "~" not in tx.realm:
        yield "decided", record.timestamp - tx.at
        if tx.facts and tx.facts[0].at < tx.at:
            yield "fired", tx.at - tx.facts[0].at


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run the product on a cluster of its own, bootstrapped from all three addresses."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        asyncio.run(cluster.start())
        options = ("--kafka", cluster.addresses)
        with RunningVigie(
            tmp_path_factory.mktemp("vigie"), options=options, VIGIE_KAFKA_REPLICATION="3"
        ) as vigie:
            yield Run(cluster, vigie)
    finally:
        cluster.stop()


@proves("broker", "kill", note="the leader of everything, of three brokers")
@pytest.mark.timeout(700)
def test_the_death_of_a_leader_loses_nothing_and_stops_no_service(
    run: Run, record_property: Callable[[str, object], None]
) -> None:
    run.storm([False, True], record_property, BESIDE_OTHERS)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_fifty_deaths_of_leaders_lose_nothing_and_stop_no_service(
    run: Run, record_property: Callable[[str, object], None]
) -> None:
    run.storm([n % 2 == 1 for n in range(50)], record_property)


@proves("broker", "corrupted", lost="named", note="the same log on all three brokers")
@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_log_that_was_cut_on_every_broker_is_named(run: Run) -> None:
    """A reader waits for a record that a leader hides; one that no broker has is a named loss."""
    enough = threading.Event()
    reporter = Steady(run.vigie, 9, enough)
    reporter.start()
    until(lambda: len(reporter.accepted) >= 50, IN_STEP_S)
    enough.set()
    reporter.join()
    assert wait_until_settled(run.vigie, list(reporter.accepted.values())) == []
    for number in NODES:
        run.cluster.kill(number)
        cut(run.cluster.brokers[number], log_topic("alerts"), partition_of("92", PARTITION_COUNT))
    for number in NODES:
        run.cluster.revive(number)
    logs = run.vigie.folder / "data" / "logs"
    until(lambda: any('"log.truncated"' in line for line in losses(logs)), VISIBLE_S + IN_STEP_S)
