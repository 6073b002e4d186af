"""One user's costly requests wait for each other and delay no other user."""

from __future__ import annotations

import asyncio

import pytest

from services.console.http.fair_queue import ExpensiveWork, FairQueue, WaitingRequests
from services.runtime.http.problems import ProblemError


class Work:
    """Requests that take until `done` is set."""

    def __init__(self, turns: FairQueue) -> None:
        self._turns = turns
        self.done = asyncio.Event()
        self.running: list[str] = []
        self.most = 0
        self.finished: list[str] = []

    async def request(self, user: str) -> None:
        async with self._turns.hold_place(user):
            self.running.append(user)
            self.most = max(self.most, self.running.count("eager"))
            await self.done.wait()
            self.running.remove(user)
        self.finished.append(user)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_an_eager_user_delays_only_their_own_requests() -> None:
    work = Work(FairQueue(2, 3))
    tasks = [asyncio.create_task(work.request("eager")) for _ in range(5)]
    await settled()
    tasks.append(asyncio.create_task(work.request("other")))
    await settled()
    assert sorted(work.running) == ["eager", "eager", "other"]
    with pytest.raises(ProblemError) as caught:
        await work.request("eager")
    assert (caught.value.problem.code, caught.value.problem.status) == ("too_much_at_once", 429)
    work.done.set()
    await asyncio.gather(*tasks)
    assert work.finished.count("eager") == 5
    assert work.most == 2
    assert work._turns._queues == {}, "who has nothing under way is forgotten"


async def test_an_abandoned_request_leaves_its_place() -> None:
    work = Work(FairQueue(1, 1))
    tasks = [asyncio.create_task(work.request("eager")) for _ in range(2)]
    await settled()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    work.done.set()
    await work.request("eager")
    assert work.finished == ["eager"]


def test_a_user_with_many_waiting_requests_is_answered_at_once() -> None:
    waits = WaitingRequests(2)
    with waits.patience("eager", 60.0) as first, waits.patience("eager", 60.0) as second:
        assert (first, second) == (60.0, 60.0)
        with waits.patience("eager", 60.0) as third, waits.patience("other", 60.0) as others:
            assert (third, others) == (0.0, 60.0)
    with waits.patience("eager", 60.0) as again:
        assert again == 60.0


def test_every_kind_of_work_has_its_own_queue() -> None:
    costs = ExpensiveWork()
    assert len({id(costs.past), id(costs.documents), id(costs.calendars)}) == 3, (
        "a document of the past needs both"
    )
