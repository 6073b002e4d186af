"""The planner serves every live realm.

A failed computation is noted and stops no other, and a crisis does not keep a core busy for hours.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
from collections.abc import Collection
from typing import Any

import psutil
import pytest

from schemas.crisis.contingency import ContingencyComputed
from schemas.reference import Sites, Staffing
from services.continuity.contingency.ranking import LossKind
from services.continuity.reassignment.planner import RankingJob, RankingTask, compute_in_steps
from services.continuity.reassignment.planner_process import PlannerProcess, WorkSlice
from services.continuity.reassignment.ranking_worker import (
    RankingFailed,
    RankingWorker,
    WorkerEnded,
)
from tests.marks import MARKS
from tests.unit.continuity.reassignment.cases import cell, rule, site


async def test_a_failing_ranking_is_abandoned_and_the_planner_continues(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(*_: Any) -> None:
        math.sqrt(-1)

    monkeypatch.setattr(PlannerProcess, "_compute", broken)
    planning, job = (
        PlannerProcess("", MARKS, quiet_s=0),
        RankingJob("92", "v1", 1, LossKind.PEOPLE),
    )
    await planning._carry_out(job)  # the whole of its work on a job; it would raise
    assert job in planning._given_up


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


def build_task(*, gains: bool = False, activity: str = "SOL-04") -> RankingTask:
    """Return a task for two sites. The only nurse works at the first."""
    staffing = Staffing(
        cells=(cell("a", activity, "infirmier", 1, 1),),
        rules=(rule("SOL-04", 1),),
        substitutions=(),
    )
    task = RankingTask(
        job=RankingJob("92", "v1", 1, LossKind.PEOPLE, gains=gains),
        sites=Sites(sites=(site("a"), site("b", 500))),
        staffing=staffing,
        crisis=None,
        row=None,
    )
    if gains:
        task.row = compute_here(build_task()).row
    return task


def compute_here(task: RankingTask) -> ContingencyComputed:
    """Return the answer, computed in this process."""
    work = compute_in_steps(task)
    while True:
        try:
            next(work)
        except StopIteration as end:
            answer: ContingencyComputed = end.value
            return answer


class OneTask:
    """Realm with one task, wanted as long as `asked` has answers."""

    def __init__(self, task: RankingTask, *asked: bool) -> None:
        self._task, self._asked = task, list(asked)

    def task(self, _: RankingJob) -> RankingTask:
        return self._task

    def is_wanted(self, _: RankingJob) -> bool:
        return self._asked.pop(0) if self._asked else True


async def compute_one(
    task: RankingTask, *asked: bool, quiet_s: float = 0
) -> tuple[ContingencyComputed | None, list[WorkSlice], PlannerProcess]:
    """Return the answer of a planner, and its rests."""
    planning: Any = PlannerProcess("", MARKS, quiet_s=quiet_s)
    rests: list[WorkSlice] = []

    async def rest(worked: WorkSlice) -> None:
        rests.append(worked)

    planning._leisure.rest = rest
    planning._planner = OneTask(task, *asked)
    return await planning._compute(task.job), rests, planning


@pytest.mark.parametrize("gains", [False, True])
async def test_the_process_of_a_ranking_gives_the_same_answer(gains: bool) -> None:
    """Every slice is followed by its rest."""
    task = build_task(gains=gains)
    answer, rests, planning = await compute_one(task)
    assert answer == compute_here(task)
    assert planning._computed_s == sum(worked.computed_s for worked in rests) > 0


async def test_a_ranking_that_is_no_longer_wanted_ends_with_its_process() -> None:
    answer, rests, _ = await compute_one(build_task(), False)
    assert (answer, rests) == (None, [])
    assert psutil.Process().children() == []


async def test_a_ranking_tells_why_it_failed() -> None:
    task = build_task(activity="SOL-05")  # without a rule
    async with RankingWorker(task, gives_way=False) as worker:
        with pytest.raises(RankingFailed, match="TablesInvalid"):
            await worker.compute_slice()


@pytest.mark.parametrize("gives_way", [False, True])
async def test_a_ranking_gives_way_to_all_other_work(gives_way: bool) -> None:
    async with RankingWorker(build_task(), gives_way=gives_way) as worker:
        niceness = os.getpriority(os.PRIO_PROCESS, worker.pid)
    assert niceness == (19 if gives_way else os.nice(0))


async def test_a_killed_ranking_differs_from_one_that_fails() -> None:
    """It may have been killed for its memory, and another attempt may succeed."""
    async with RankingWorker(build_task(), gives_way=False) as worker:
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(WorkerEnded):
            await worker.compute_slice()


async def test_a_ranking_ends_with_a_killed_planner() -> None:
    """The kernel closes the pipes of a killed process, as here."""
    async with RankingWorker(build_task(), gives_way=False) as worker:
        process = worker._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 60) == 0
