"""A Tick is sent for each deadline without other inputs, under any clock of the machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.runtime.worker import owned_partition as ticker
from services.runtime.worker.owned_partition import Ticker
from tests.faults.matrix import proves
from tests.waiting import eventually

T0, HOUR = 1_800_000_000_000, 3_600_000


class Wall:
    """The clock on the wall."""

    now = T0


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    clock = Wall()
    monkeypatch.setattr(ticker, "now_ms", lambda: clock.now)
    return clock


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Ticker, list[str]]]:
    ticked_realms: list[str] = []

    async def send(_partition: int, realm: str, _id: str) -> None:
        ticked_realms.append(realm)

    made = Ticker(send, "run")
    task = asyncio.create_task(made.run())
    try:
        yield made, ticked_realms
    finally:
        task.cancel()


@proves("worker", "clock", note="its own is set forward, or its machine slept")
async def test_deadlines_due_during_sleep_fire_after_waking(wall: Wall) -> None:
    async with running() as (made, ticked_realms):
        made.arm(0, "92", T0 + 2 * HOUR)
        await asyncio.sleep(0.05)
        assert ticked_realms == []
        wall.now = T0 + 3 * HOUR
        await eventually(lambda: ticked_realms == ["92"], timeout_s=5)


async def test_no_tick_comes_before_its_deadline(wall: Wall) -> None:
    async with running() as (made, ticked_realms):
        made.arm(0, "92", T0 + 100)
        made.arm(1, "75", T0 + 50)
        wall.now = T0 + 60
        await eventually(lambda: ticked_realms == ["75"], timeout_s=5)
        made.arm(1, "75", None)
        wall.now = T0 + 100
        await eventually(lambda: ticked_realms == ["75", "92"], timeout_s=5)


async def test_a_partition_of_another_owner_is_no_longer_ticked(wall: Wall) -> None:
    async with running() as (made, ticked_realms):
        made.arm(0, "92", T0 + 50)
        made.arm(1, "75", T0 + 50)
        made.forget(0)
        assert len(made) == 1
        wall.now = T0 + 100
        await eventually(lambda: ticked_realms == ["75"], timeout_s=5)
