"""What a computation freed goes back to the system, and computations that take much come one after the other."""

from __future__ import annotations

import asyncio
import platform
import threading
from typing import Any

import psutil
import pytest

from schemas.base import Message
from services.runtime.process.heap import release_memory
from services.runtime.simulation import conductor_process
from services.runtime.simulation.conductor import _RealmState
from services.runtime.simulation.conductor_process import ConductorProcess
from tests.marks import MARKS
from tests.unit.runtime.test_conductor import ToyJob, ToyPlanner

MB = 2**20


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other C libraries give back by themselves, or never"
)
def test_what_was_freed_below_something_that_stays_is_given_back() -> None:
    process = psutil.Process()
    blocks = [bytes(1000) for _ in range(100_000)]
    stays = blocks[-1]
    del blocks
    before = process.memory_info().rss
    release_memory()
    assert process.memory_info().rss < before - 50 * MB
    assert stays


async def test_the_conductor_solves_one_after_the_other_and_gives_back_after_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_once, most, given_back = 0, 0, 0
    both = threading.Barrier(2)

    class Solving(ToyPlanner):
        def solve(self, job: ToyJob) -> list[tuple[str, Message]]:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            try:
                both.wait(0.3)
            except threading.BrokenBarrierError:
                both.reset()
            at_once -= 1
            return super().solve(job)

    def given() -> None:
        nonlocal given_back
        given_back += 1

    monkeypatch.setattr(conductor_process, "release_memory", given)
    monkeypatch.setattr(conductor_process, "create_idempotent_producer", lambda *_, **__: None)
    driving: Any = ConductorProcess("127.0.0.1:1", MARKS, lambda _fact, _realm: (), Solving())
    names = ("92~ex-a", "92~ex-b")
    driving._conductor._realms = {name: _RealmState(name) for name in names}
    await asyncio.gather(*(driving._solve(ToyJob(name)) for name in names))
    driving._solver.shutdown()
    assert (most, given_back) == (1, 2)
    assert all(realm.solved[0] == "job" for realm in driving._conductor._realms.values())
