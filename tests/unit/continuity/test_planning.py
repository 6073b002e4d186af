"""The planner serves every live realm.

A failed computation is noted and stops no other, and a crisis does not keep a core busy for hours.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
from collections.abc import Collection
from typing import Any

import pytest

from services.continuity.contingency.ranking import LossKind
from services.continuity.reassignment.planner import RankingJob
from services.continuity.reassignment.planner_process import PlannerProcess, WorkSlice
from tests.marks import MARKS


@pytest.mark.parametrize("gains", [False, True])
async def test_a_failing_ranking_is_abandoned_and_the_planner_continues(
    gains: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> None:
        math.sqrt(-1)

    monkeypatch.setattr(PlannerProcess, "_gains" if gains else "_ranking", broken)
    planning, job = (
        PlannerProcess("", MARKS, quiet_s=0),
        RankingJob("92", "v1", 1, LossKind.PEOPLE, gains=gains),
    )
    await planning._carry_out(job)  # the whole of its work on a job; it would raise
    assert job in planning._given_up


@pytest.mark.parametrize(("quiet_s", "gives_way"), [(0.0, False), (60.0, True)])
async def test_a_planner_without_rests_waits_for_no_processor(
    quiet_s: float, gives_way: bool
) -> None:
    """It never gets idle scheduling: a thread that waits for ever may hold the interpreter's lock."""
    planning = PlannerProcess("", MARKS, quiet_s=quiet_s)
    niceness = await planning._quietly(os.nice, 0)
    assert niceness == (19 if gives_way else os.nice(0))
    await planning.close()


class Unquiet:
    """Realm in a crisis that is never ranked; its quiet day is to be ranked once."""

    def __init__(self) -> None:
        self.quiet_day: RankingJob | None = RankingJob("92", "v1", 1, LossKind.PEOPLE)

    def next_job(self, without: Collection[RankingJob], *, crises: bool) -> RankingJob | None:  # noqa: ARG002  the protocol
        return RankingJob("92", "v1", 1, LossKind.PEOPLE, "crisis") if crises else self.quiet_day


async def test_an_endless_crisis_leaves_time_for_a_quiet_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planning = PlannerProcess("", MARKS, quiet_s=0)
    unquiet: Any = Unquiet()
    planning._planner = unquiet
    ranked: list[str] = []

    async def carry_out(job: RankingJob) -> None:
        ranked.append(job.stamp)
        if not job.stamp:
            unquiet.quiet_day = None
        planning._computed_s = 0.1
        planning._news.set()  # the crisis moves on

    monkeypatch.setattr(planning, "_carry_out", carry_out)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            await planning._work()
    assert ranked[:3] == ["crisis", "", "crisis"]
    assert len(ranked) > 3, "it goes on by itself after each rest"


async def test_every_slice_of_work_is_followed_by_its_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    planning: Any = PlannerProcess("", MARKS, quiet_s=60)
    rests: list[WorkSlice] = []

    async def rest(worked: WorkSlice) -> None:
        rests.append(worked)

    monkeypatch.setattr(planning._leisure, "rest", rest)
    monkeypatch.setattr(planning._planner, "is_wanted", lambda _: True)
    monkeypatch.setattr("services.continuity.reassignment.planner_process.SLICE_S", 0)
    slices = await planning._collect_results(
        iter(range(4)), RankingJob("92", "v1", 1, LossKind.PEOPLE)
    )
    assert slices == [0, 1, 2, 3]
    assert len(rests) >= 4
    assert planning._computed_s == sum(worked.computed_s for worked in rests)
