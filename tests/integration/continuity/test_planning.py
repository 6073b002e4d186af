"""The planner's ranking reaches the API of the running system once, even with two planners."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import forked
from tests.faults.matrix import proves
from tests.system import RunningVigie
from tests.waiting import until

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def vigie(apart: RunningVigie) -> RunningVigie:
    """Return the system with a calm live realm: planners rank a crisis for minutes first."""
    return apart


@contextmanager
def foreseeing(vigie: RunningVigie, log: Path) -> Iterator[forked.Process]:
    """Start a planner beside that of the system, without rests."""
    own = {"VIGIE_PROCESS": "planner", "VIGIE_FORESIGHT_AFTER_S": "0", "VIGIE_HEALTH_PORT": "0"}
    environment = vigie.service_environment() | own
    module = "services.continuity.reassignment.planner_process"
    planner = forked.start(module, environment=environment, log=log)
    try:
        yield planner
    finally:
        planner.terminate()
        planner.wait(30)


def test_a_ranking_comes_to_the_api(vigie: RunningVigie, tmp_path: Path) -> None:
    def rankings() -> list[dict[str, Any]]:
        assert [planner.poll() for planner in planners] == [None, None], log.read_text(
            encoding="utf-8"
        )[-2000:]
        items: list[dict[str, Any]] = vigie.get("/api/v1/contingency?n=1&lost=people")["items"]
        return [r for r in items if r["present"] is None]

    log = tmp_path / "planners.log"
    with ExitStack() as stack:
        planners = [stack.enter_context(foreseeing(vigie, log)) for _ in range(2)]
        until(rankings, 300)
        (ranking,) = rankings()
    assert [planner.returncode for planner in planners] == [0, 0]
    assert (ranking["losses"], ranking["unmet"]) == (253, 50)
    worst = ranking["worst"][0]
    assert (worst["sites"], worst["u1"], worst["u2"], worst["u3"]) == (["cen-1"], 487, 276, 12)
    assert any(gap["outside_help"] for loss in ranking["worst"] for gap in loss["gaps"])


@proves("planner", "kill")
def test_a_planner_that_is_killed_begins_anew(vigie: RunningVigie) -> None:
    pid = vigie.kill("background", signal.SIGKILL)
    until(lambda: vigie.processes().get("background", pid) != pid)
