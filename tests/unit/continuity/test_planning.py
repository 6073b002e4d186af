"""The planner serves every live realm: what breaks in one computation is noted and stops nobody else's."""

from __future__ import annotations

import math
from typing import Any

import pytest

from services.continuity.contingency import Lost
from services.continuity.planner import Job
from services.continuity.planning import Planning


@pytest.mark.parametrize("gains", [False, True])
async def test_a_ranking_that_breaks_is_given_up_and_the_planner_goes_on(gains: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> None:
        math.sqrt(-1)

    monkeypatch.setattr(Planning, "_gains" if gains else "_ranking", broken)
    planning, job = Planning("", quiet_s=0), Job("92", "v1", 1, Lost.PEOPLE, gains=gains)
    await planning._carry_out(job)  # the whole of its work on a job; it would raise
    assert job in planning._given_up
