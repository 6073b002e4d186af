"""The conductor solves one job after the other, so that memory for one is enough."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from schemas.base import Message
from services.runtime.simulation import conductor_process
from services.runtime.simulation.conductor import _RealmState
from services.runtime.simulation.conductor_process import ConductorProcess
from tests.marks import MARKS
from tests.unit.runtime.test_conductor import ToyJob, ToyPlanner


async def test_the_conductor_solves_one_job_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_once, most = 0, 0
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

    monkeypatch.setattr(conductor_process, "create_idempotent_producer", lambda *_, **__: None)
    driving: Any = ConductorProcess("127.0.0.1:1", MARKS, lambda _fact, _realm: (), Solving())
    names = ("92~ex-a", "92~ex-b")
    driving._conductor._realms = {name: _RealmState(name) for name in names}
    await asyncio.gather(*(driving._solve(ToyJob(name)) for name in names))
    driving._solver.shutdown()
    assert most == 1
    assert all(realm.solution[0] == "job" for realm in driving._conductor._realms.values())
