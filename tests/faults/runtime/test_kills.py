"""Kills of workers at any point lose, repeat and reorder nothing."""

from __future__ import annotations

import asyncio
import os
import random
import signal

import pytest

from services.appliance.embedded.kafka import RunningKafka
from services.runtime.process.exits import Point
from tests.faults.matrix import proves
from tests.faults.runtime.followed import FollowedLogs
from tests.faults.runtime.harness import REALMS, Toys, until

PASSES: dict[Point, int] = {
    "before-decide": 40,
    "after-append": 60,
    "before-publish": 50,
    "after-publish": 30,
    "during-snapshot": 2,
    "during-takeover": 3,
    "before-commit": 2,
}
"""Named points of a worker → at which pass it is killed there."""


@proves("worker", "kill")
async def test_a_kill_at_every_named_point_loses_and_repeats_nothing(toys: Toys) -> None:
    toys.spawn("toyecho")
    await toys.open()
    enough = asyncio.Event()

    async def feed() -> None:
        """Send inputs until the workers have started."""
        while not enough.is_set():
            await toys.feed(100, rate=100, seed=len(toys.fed))

    feeding = asyncio.create_task(feed())
    for point, passes in PASSES.items():
        worker = toys.spawn("toy", VIGIE_FAILPOINT=f"{point}:{passes}")
        assert await worker.exit_code() == -signal.SIGKILL, f"{point}: {worker.said[-2000:]}"
    toys.spawn("toy")
    enough.set()
    await feeding
    await toys.settle(60, echo=True)
    counts = await toys.check(echo=True)
    assert counts["reported"] > 500
    assert counts["escalated"] == counts["echoed"] > 100


async def _kill_at_random(
    toys: Toys, kills: int, workers: int, seed: int, pause_s: tuple[float, float]
) -> None:
    """Kill one worker, sometimes all, again and again; each is restarted at once."""
    rnd = random.Random(seed)
    running = [toys.spawn("toy", f"toy-{n}") for n in range(workers)]
    done = 0
    while done < kills:
        await asyncio.sleep(rnd.uniform(*pause_s))
        for n in rnd.sample(range(workers), rnd.choice([1] * 3 + [workers])):
            running[n].kill()
            await running[n].exit_code()
            running[n] = toys.spawn("toy", f"toy-{n}")
            done += 1
        for n, worker in enumerate(running):
            if (
                worker.process.poll() is not None
            ):  # a named exit, after which the supervisor starts it again
                running[n] = toys.spawn("toy", f"toy-{n}")


@proves("worker", "kill")
@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("seed", [1, 2])
async def test_fifty_random_kills_lose_and_repeat_nothing(
    toys: Toys, workers: int, seed: int
) -> None:
    toys.spawn("toyecho")
    await toys.open()
    feeding = asyncio.create_task(toys.feed(40_000, rate=200, seed=seed))
    await _kill_at_random(toys, 50, workers, seed, (0.2, 6))
    await feeding
    await _settle(toys, echo=True)
    counts = await toys.check(echo=True)
    assert counts["reported"] > 20_000


async def _settle(toys: Toys, *, echo: bool = False) -> None:
    """Settle like `settle`, but restart workers that end, like the supervisor."""

    async def is_settled(followed: FollowedLogs) -> bool:
        for worker in toys.workers:
            last = [w for w in toys.workers if w.instance == worker.instance][-1]
            if worker is last and worker.process.poll() is not None:
                toys.spawn(worker.service, worker.instance)
        return await toys.is_settled(followed, echo=echo)

    async with toys.following() as followed:
        await until(lambda: is_settled(followed), 120, "does not settle")


@proves("worker", "stop")
async def test_a_worker_that_was_stopped_past_its_session_writes_nothing_that_is_believed(
    toys: Toys,
) -> None:
    """SIGSTOP until the group has reassigned its partitions, then SIGCONT: a zombie."""
    short = {"TOY_SESSION_S": "6"}
    first = toys.spawn("toy", "toy-0", **short)
    await toys.open()
    feeding = asyncio.create_task(toys.feed(2400, rate=150))
    await until(lambda: "partitions.taken" in first.said, 90, "not taken")
    await until(lambda: len(toys.fed) > 400, 90, "not fed")
    first.kill(signal.SIGSTOP)
    second = toys.spawn("toy", "toy-1", **short)
    await until(lambda: "partitions=[0" in second.said, 90, "the second does not take over")
    first.kill(signal.SIGCONT)
    await feeding
    await _settle(toys)
    await toys.check()


@proves("worker", "network", note="two owners, as a cut-off group makes them")
async def test_two_workers_that_both_own_everything_append_one_history(toys: Toys) -> None:
    """Two groups on one log: neither knows of the other. The chain alone keeps the history right."""
    await toys.open()
    rivals = [toys.spawn("toy", f"toy-{n}", TOY_GROUP=f"group-{n}") for n in range(2)]
    codes: list[int] = []

    async def conflicts() -> bool:
        await toys.feed(100, rate=300, seed=len(toys.fed))
        for n, worker in enumerate(rivals):
            if (code := worker.process.poll()) is not None:
                codes.append(code)
                rivals[n] = toys.spawn("toy", f"toy-{n}", TOY_GROUP=f"group-{n}")
        return codes.count(71) >= 2

    await until(conflicts, 120, "append.conflict was never met")
    rivals[1].kill()
    await rivals[1].exit_code()
    toys.workers.remove(rivals[1])
    await _settle(toys)
    await toys.check()
    assert set(codes) <= {70, 71}


@proves("broker", "kill")
@pytest.mark.soak
async def test_a_broker_that_is_killed_and_comes_back_loses_nothing(
    toys: Toys, fault_broker: RunningKafka
) -> None:
    toys.spawn("toy")
    toys.spawn("toyecho")
    await toys.open()
    feeding = asyncio.create_task(toys.feed(2000, rate=200))
    await until(lambda: len(toys.fed) > 500, 90, "not fed")
    fault_broker.kill()
    await fault_broker.start()
    await feeding
    await _settle(toys, echo=True)
    await toys.check(echo=True)


async def test_a_worker_stops_on_request_while_the_broker_is_away(
    toys: Toys, fault_broker: RunningKafka
) -> None:
    """After the kill of a supervisor, all its processes and the broker end at the same moment."""
    worker = toys.spawn("toy")
    await toys.open()
    await until(lambda: "partitions.taken" in worker.said, 90, "not taken")
    await toys.feed(200, rate=400)
    fault_broker.kill()
    worker.kill(signal.SIGTERM)
    code = await worker.exit_code()
    await fault_broker.start()
    assert code == 0, (
        f"by itself, and not by the watch that finds a broker away for too long: {worker.said[-2000:]}"
    )
    toys.spawn("toy")
    await _settle(toys)
    await toys.check()


@proves("broker", "stop")
async def test_a_broker_that_stands_still_past_every_session_goes_on_and_nothing_is_lost(
    toys: Toys, fault_broker: RunningKafka
) -> None:
    """SIGSTOP keeps connections open without answers. Workers wait, or end and return."""
    toys.spawn("toy", TOY_SESSION_S="6")
    await toys.open()
    feeding = asyncio.create_task(toys.feed(1200, rate=200))
    await until(lambda: len(toys.fed) > 300, 90, "not fed")
    clock = asyncio.get_running_loop().time
    goes_on = clock() + 8
    os.kill(fault_broker.pid, signal.SIGSTOP)
    try:
        await until(lambda: clock() > goes_on, 60, "time stands still")
        before = len(toys.fed)
    finally:
        os.kill(fault_broker.pid, signal.SIGCONT)
    assert before < 1200, "it stood still while reports came"
    await feeding
    await _settle(toys)
    await toys.check()


async def test_a_failed_input_is_applied_when_it_is_sent_again_after_the_fix(toys: Toys) -> None:
    worker = toys.spawn("toy", logic=1)
    await toys.open(REALMS[:1])
    await toys.feed(300, realms=REALMS[:1])
    await toys.settle()
    failed = (await toys.check())["failed"]
    assert failed > 0
    worker.kill(signal.SIGTERM)
    assert await worker.exit_code() == 0
    toys.spawn("toy", logic=2)
    before = await toys.count(toys.toy, "ToyReported")
    await toys.feed_again([fed for fed in toys.fed if getattr(fed[2], "does", "") == "raise"])
    await toys.settle()
    again = await toys.count(toys.toy, "ToyReported") - before
    assert again == len({id for _, id, m in toys.fed if getattr(m, "does", "") == "raise"})
