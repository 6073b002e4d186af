"""One user's costly requests wait for each other and delay no other user."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx2 as httpx
import pytest

from services.console.evidence import api as evidence_api
from services.console.http.fair_queue import ExpensiveWork, FairQueue, WaitingRequests
from services.console.read_model.queries import ReadModel
from services.console.web.pages import WebPage
from services.console.web.screen_context import ScreenPage
from services.runtime.http.problems import ProblemError
from tests.unit.console.held import Browser, browsing
from tests.unit.console.test_every_screen import REALM, crisis


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


class Slow:
    """Work of the console that takes until `done` is set."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self.running = self.most = 0

    async def work(self, *_: Any, **__: Any) -> Any:
        self.running += 1
        self.most = max(self.most, self.running)
        await self.done.wait()
        self.running -= 1
        raise ProblemError("not_found")


async def ask(browser: Browser, slow: Slow, path: str, turns: FairQueue, at_once: int) -> list[int]:
    """Return the statuses of 60 requests of one user at once, and of one of another user.

    That of the other is at work while those of the first wait.
    """

    def begin(role: str, n: int) -> asyncio.Task[httpx.Response]:
        accept = "application/json" if "/api/" in path else "text/html"
        return asyncio.create_task(browser.get(path.format(n=n), role=role, accept=accept))

    tasks = [begin("cell", n) for n in range(60)]
    async with asyncio.timeout(60):
        while sum(task.done() for task in tasks) + count_places(turns) < len(tasks):
            await asyncio.sleep(0)
        tasks.append(begin("director", 99))
        while slow.running <= at_once:
            await asyncio.sleep(0)
    slow.done.set()
    answers = await asyncio.gather(*tasks)
    return sorted(answer.status_code for answer in answers)


def count_places(turns: FairQueue) -> int:
    return sum(queue.there for queue in turns._queues.values())


@pytest.mark.parametrize("path", ["/sites?n={n}", "/sites?as_of=18023380{n:02}000", "/depenses"])
async def test_one_user_has_two_new_pages_made_at_once(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty pages of the past of one site manager stopped the screens of the cell for 20 s."""
    browser, _ = browsing(crisis())
    slow = Slow()
    for kind in (WebPage, ScreenPage):
        monkeypatch.setattr(kind, "collect_values", slow.work)
    sign = "&" if "?" in path else "?"
    turns = browser.app.state.costs.pages
    statuses = await ask(browser, slow, f"{path}{sign}realm={REALM}", turns, 2)
    assert slow.most == 3
    assert statuses == [404] * 33 + [429] * 28


async def test_readers_of_one_page_share_its_making(monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait for no place."""
    browser, _ = browsing(crisis())
    slow = Slow()
    for kind in (WebPage, ScreenPage):
        monkeypatch.setattr(kind, "collect_values", slow.work)
    requests = [asyncio.create_task(browser.get(f"/sites?realm={REALM}")) for _ in range(60)]
    async with asyncio.timeout(30):
        while not slow.running:
            await asyncio.sleep(0)
    slow.done.set()
    answers = await asyncio.gather(*requests)
    assert {answer.status_code for answer in answers} == {404}
    assert slow.most == 1


@pytest.mark.parametrize(
    ("path", "query", "turns", "at_once"),
    [
        ("/api/v1/changes?since=18023380{n:02}000", "changes", "past", 2),
        ("/api/v1/sitreps/draft?n={n}", "draft_sitrep", "documents", 1),
        ("/api/v1/handovers/1/document?n={n}", "handover", "documents", 1),
    ],
)
async def test_one_user_has_few_documents_made_at_once(
    path: str, query: str, turns: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, _ = browsing(crisis())
    slow = Slow()
    monkeypatch.setattr(ReadModel, query, slow.work)
    queue = getattr(browser.app.state.costs, turns)
    statuses = await ask(browser, slow, f"{path}&realm={REALM}", queue, at_once)
    assert slow.most == at_once + 1
    assert statuses.count(429) == 60 - at_once - 8


async def test_one_user_has_one_evidence_bundle_made_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A refusal comes as a status, not as a bundle that breaks off."""
    browser, _ = browsing(crisis())
    slow = Slow()

    async def write_bundle(*_: object) -> AsyncIterator[bytes]:
        yield b""
        await slow.work()

    async def find_incident(*_: object) -> SimpleNamespace:
        return SimpleNamespace(number=1)

    async def find_merged(*_: object) -> list[str]:
        return []

    monkeypatch.setattr(evidence_api, "write_bundle", write_bundle)
    monkeypatch.setattr(ReadModel, "incident", find_incident)
    monkeypatch.setattr(ReadModel, "merged_incidents", find_merged)
    browser.app.state.signing_key = lambda: None
    browser.app.state.typesetter = browser.app.state.kafka = None
    path = f"/api/v1/incidents/i-{{n}}/export?realm={REALM}"
    statuses = await ask(browser, slow, path, browser.app.state.costs.documents, 1)
    assert slow.most == 2
    assert statuses.count(429) == 60 - 1 - 8
    assert count_places(browser.app.state.costs.documents) == 0
