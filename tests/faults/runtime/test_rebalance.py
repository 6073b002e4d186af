"""Two workers of one service: the pause when one joins, restarts, leaves or dies.

Old code never writes after new code.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Final

import orjson
import pytest

from schemas.topics import PARTITION_COUNT, input_topics, log_topic
from services.runtime.process.exits import EXITS
from tests.faults.matrix import proves
from tests.faults.runtime.harness import Toys, Worker, until

SESSION_S: Final = 6.0
PATIENCE_S: Final = 150.0
"""With steps that have no bound of their own, on a machine that is busy with other tests."""
MOST_S: Final = {"join": 5.0, "restart": 5.0, "leave": 5.0, "return": 5.0, "crash": 3.0}
"""Longest pause; for a crash after the end of the session."""
BESIDE_OTHERS: Final = {"join": 2, "restart": 2, "leave": 2, "return": 2, "crash": 3}
"""Factors if other workers of the run share the cores."""
SHORT: Final = {"TOY_SESSION_S": str(SESSION_S)}
EVERYTHING: Final = set(range(PARTITION_COUNT))


def owned(worker: Worker) -> set[int]:
    """Return the partition that it took last."""
    partition_lists = re.findall(r"partitions\.taken.*?partitions=\[([^\]]*)\]", worker.said)
    return (
        {int(p) for p in partition_lists[-1].split(",") if p.strip()} if partition_lists else set()
    )


class Instance:
    """One worker with a supervisor that restarts it with the installed version."""

    def __init__(self, toys: Toys, name: str) -> None:
        self._toys, self._name = toys, name
        self.logic = 1
        self.worker = self._start()

    def _start(self) -> Worker:
        self.worker = self._toys.spawn("toy", self._name, logic=self.logic, **SHORT)
        return self.worker

    @property
    def owned(self) -> set[int]:
        return owned(self.worker) if self.running() else set()

    def running(self) -> bool:
        """Return whether it runs; restart it if that may repair its end."""
        code = self.worker.process.poll()
        if code in (70, 71):
            self._start()
        return code in (None, 70, 71)

    async def upgrade(self) -> None:
        """Upgrade it to the newer version, as in a rolling upgrade."""
        if self.worker.process.poll() is None:
            self.worker.kill(signal.SIGTERM)
            await self.worker.exit_code()
        self.logic = 2
        self._start()


async def shared(*instances: Instance) -> None:
    """Wait until these have everything, each something."""

    def done() -> bool:
        parts = [i.owned for i in instances]
        return (
            all(parts)
            and set.union(*parts) == EVERYTHING
            and sum(map(len, parts)) == PARTITION_COUNT
        )

    await until(done, PATIENCE_S, "nobody has everything")


@asynccontextmanager
async def reports_coming(toys: Toys) -> AsyncIterator[None]:
    """Send a hundred reports per second to every realm until the end of the block."""
    enough = asyncio.Event()

    async def feed() -> None:
        while not enough.is_set():
            await toys.feed(100, rate=100, seed=len(toys.fed))

    feeding = asyncio.create_task(feed())
    try:
        yield
    finally:
        enough.set()
        await feeding


async def decided_up_to_now(toys: Toys, *instances: Instance) -> None:
    """Wait until everything that had come when this was called is decided, by these."""
    async with toys.following() as followed:
        ends = await followed.ends(input_topics(toys.toy))

        async def done() -> bool:
            for instance in instances:
                instance.running()
            applied = await followed.applied(toys.toy)
            return all(end <= applied[place] + 1 for place, end in ends.items())

        await until(done, PATIENCE_S, "not decided")


async def silence_s(toys: Toys, since: float, before: float) -> float:
    """Return the longest wait of a report decided in this time, apart from waits for a step."""
    waited = [
        tx["written"] - tx["src"]["appended_at"]
        for chain in (await toys.chains(toys.toy)).values()
        for tx in chain
        if tx["src"]["topic"] and since * 1000 <= tx["written"] < before * 1000
    ]
    assert len(waited) > 50
    return float(max(waited)) / 1000


@proves(
    "worker", "kill", note="one of two, for good: a session of 6 s, and the other has everything"
)
async def test_decisions_pause_5_seconds_when_planned_and_a_session_and_3_after_a_crash(
    toys: Toys, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A worker joins, is restarted, leaves for good, comes back, and dies for good, while reports come."""
    first = Instance(toys, "toy-0")
    await toys.open()
    await shared(first)
    second: Instance | None = None
    began: dict[str, float] = {}
    async with reports_coming(toys):
        for step in MOST_S:
            began[step] = time.time()
            if second is not None:
                second.worker.kill(signal.SIGKILL if step == "crash" else signal.SIGTERM)
                await second.worker.exit_code()
                second = None
            if step in ("join", "restart", "return"):
                second = Instance(toys, "toy-1")
            instances = [first, second] if second else [first]
            await shared(*instances)
            await decided_up_to_now(toys, *instances)
    await toys.settle()
    began["end"] = time.time()
    await toys.check()
    steps = list(began)
    pauses = {
        step: await silence_s(toys, began[step], began[then]) for step, then in pairwise(steps)
    }
    record_property("recovered_s", pauses["crash"])
    with capsys.disabled():
        print(
            "\n  silence:",
            ", ".join(f"{step} {seconds:.1f} s" for step, seconds in pauses.items()),
            f"(session {SESSION_S:g} s)",
        )
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    most_s = {step: s * (1 if alone else BESIDE_OTHERS[step]) for step, s in MOST_S.items()}
    most_s["crash"] += SESSION_S
    assert {step: s for step, s in pauses.items() if s > most_s[step]} == {}


async def test_old_code_never_writes_after_new_in_any_order_of_upgrades(toys: Toys) -> None:
    """One of two is upgraded while the other is suspended.

    The new one takes its partitions; the old one wakes and stops by name at the new records.
    """
    old = Instance(toys, "toy-0")
    await toys.open()
    new = Instance(toys, "toy-1")
    await until(
        lambda: old.owned and new.owned and old.owned | new.owned == EVERYTHING,
        PATIENCE_S,
        "not shared",
    )
    async with reports_coming(toys):
        await new.upgrade()
        await until(
            lambda: new.running() and old.running() and old.owned and new.owned,
            PATIENCE_S,
            "not shared again",
        )
        await decided_up_to_now(toys, new, old)
        old.worker.kill(signal.SIGSTOP)
        await until(lambda: new.owned == EVERYTHING, PATIENCE_S, "the new one does not take over")
        await decided_up_to_now(toys, new)
        old.worker.kill(signal.SIGCONT)
        await until(lambda: new.running() and not old.running(), PATIENCE_S, "old code goes on")
        assert old.worker.process.returncode == EXITS["logic.newer"].code
        await old.upgrade()
        await until(
            lambda: new.running() and old.running() and old.owned and new.owned,
            PATIENCE_S,
            "not shared at last",
        )
    async with toys.following() as followed:
        await until(
            lambda: new.running() and old.running() and toys.is_settled(followed, echo=False),
            PATIENCE_S,
            "does not settle",
        )
    await toys.check()
    for p, records in (await toys.read(log_topic(toys.toy))).items():
        logic_versions = [orjson.loads(record.value)["logic"] for record in records]
        accepted = [tx["logic"] for tx in (await toys.chains(toys.toy))[p]]
        assert accepted == sorted(accepted), (
            "what old code wrote after new code is believed by nobody"
        )
        assert logic_versions.count(2) == accepted.count(2)
