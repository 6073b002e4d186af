"""A delivery that was started by hand goes on as any coroutine does."""

from __future__ import annotations

import asyncio

import pytest

from services.runtime.faust_app import _resumed


async def test_a_delivery_that_waits_goes_on_in_its_task() -> None:
    ready = asyncio.Event()

    async def delivery() -> str:
        await ready.wait()
        await asyncio.sleep(0)
        return "delivered"

    started = delivery()
    task = asyncio.create_task(_resumed(started, started.send(None)))
    await asyncio.sleep(0)
    assert not task.done()
    ready.set()
    assert await task == "delivered"


async def test_a_delivery_that_is_dropped_while_it_waits_is_told() -> None:
    told = []

    async def delivery() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    started = delivery()
    task = asyncio.create_task(_resumed(started, started.send(None)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == ["cancelled"]


async def test_an_error_of_a_delivery_reaches_who_waits() -> None:
    async def delivery() -> None:
        await asyncio.sleep(0)
        raise ValueError("broken")

    started = delivery()
    with pytest.raises(ValueError, match="broken"):
        await _resumed(started, started.send(None))
