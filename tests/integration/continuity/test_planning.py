"""The planner beside the running system: its ranking comes to the API, once, also with two planners."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest

from services.continuity.planning import Planning
from services.runtime.settings import Settings
from tests.faults.matrix import proves
from tests.system import RunningVigie
from tests.waiting import eventually, until

pytestmark = pytest.mark.timeout(400)


async def test_a_ranking_comes_to_the_api(vigie: RunningVigie) -> None:
    assert "planner" in vigie.processes()
    kafka = Settings(data_dir=vigie.folder / "data").kafka
    planning = [Planning(kafka, quiet_s=0) for _ in range(2)]
    tasks = [asyncio.create_task(p.run()) for p in planning]

    async def rankings() -> list[dict[str, Any]]:
        assert not any(task.done() for task in tasks)
        items: list[dict[str, Any]] = (await asyncio.to_thread(vigie.get, "/api/v1/contingency?n=1&lost=people"))["items"]
        return [r for r in items if r["present"] is None]  # other tests have a crisis here

    try:
        await eventually(rankings, timeout_s=300)
        (found,) = await rankings()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for p in planning:
            await p.close()
    assert (found["losses"], found["unmet"]) == (253, 50)
    worst = found["worst"][0]
    assert (worst["sites"], worst["u1"], worst["u2"], worst["u3"]) == (["cen-1"], 487, 276, 12)
    assert any(gap["outside_help"] for loss in found["worst"] for gap in loss["gaps"])


@proves("planner", "kill")
def test_a_planner_that_is_killed_begins_anew(vigie: RunningVigie) -> None:
    pid = vigie.kill("planner", signal.SIGKILL)
    until(lambda: vigie.processes().get("planner", pid) != pid)
