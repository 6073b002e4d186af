"""The front is ready once it accepts reports; other processes that fail to start do not matter."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from services.appliance.supervisor import up
from services.appliance.supervisor.up import _wait_for_front
from services.runtime.process.health import HealthChecks


class Child:
    """A process of the supervisor as readiness sees it."""

    def __init__(self, name: str, *, is_ready: bool = True, has_ended: bool = False) -> None:
        self.status = SimpleNamespace(name=name, state="starting", why="log.truncated")
        self.ready, self.has_ended = asyncio.Event(), has_ended
        if is_ready:
            self.ready.set()


async def is_over(children: list[Any], *, is_new: bool, after: Any = lambda: None) -> bool:
    """Return whether the front is ready after `after`, with each process checked a few times."""
    waiting = asyncio.create_task(_wait_for_front(children, is_new=is_new))
    for _ in range(3):
        await asyncio.sleep(0)
    after()
    done, _ = await asyncio.wait({waiting}, timeout=0.5)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return waiting in done and not waiting.cancelled()


async def test_a_decider_that_ends_at_the_start_is_not_waited_for() -> None:
    assert await is_over(
        [Child("intake"), Child("alerts-0", is_ready=False, has_ended=True), Child("console")],
        is_new=False,
    )


async def test_a_decider_that_is_starting_is_waited_for() -> None:
    """The first request after /readyz finds a decider that answers."""
    alerts = Child("alerts-0", is_ready=False)
    assert not await is_over([Child("intake"), alerts], is_new=False)
    assert await is_over([Child("intake"), alerts], is_new=False, after=alerts.ready.set)


async def test_a_decider_that_hangs_is_waited_for_until_patience_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(up, "OTHERS_TIMEOUT_S", 0.05)
    assert await is_over([Child("intake"), Child("alerts-0", is_ready=False)], is_new=False)


async def test_a_front_that_does_not_accept_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "OTHERS_TIMEOUT_S", 0.05)
    assert not await is_over([Child("intake", is_ready=False), Child("alerts-0")], is_new=False)


async def test_a_new_installation_is_ready_when_all_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the deciders have applied the territory there is nothing to report to."""
    monkeypatch.setattr(up, "OTHERS_TIMEOUT_S", 0.05)
    alerts = Child("alerts-0", is_ready=False, has_ended=True)
    assert not await is_over([Child("intake"), alerts], is_new=True)
    assert await is_over([Child("intake"), alerts], is_new=True, after=alerts.ready.set)


async def test_parts_shown_for_information_do_not_decide_readiness() -> None:
    answer = await HealthChecks(
        ready={"log": lambda: None}, shown_checks={"console": lambda: "does not answer"}
    ).answer("/readyz")
    assert answer is not None
    assert (answer.status, orjson.loads(answer.body)) == (
        200,
        {"status": "ok", "checks": {"console": "does not answer", "log": "ok"}},
    )
