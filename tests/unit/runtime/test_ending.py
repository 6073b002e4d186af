"""A task ends even if something in it swallows a cancellation."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from services.runtime.ending import end


async def test_a_task_that_swallows_a_cancellation_ends_all_the_same() -> None:
    async def stubborn() -> None:
        for _ in range(2):
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end([task])
    assert task.cancelled()


async def test_tasks_that_failed_or_ended_before_do_no_harm() -> None:
    async def failing() -> None:
        raise ValueError

    failed = asyncio.create_task(failing())
    done = asyncio.create_task(asyncio.sleep(0))
    await asyncio.wait([failed, done])
    await end([failed, done])


async def test_a_cancelled_caller_goes_on_when_what_it_ends_has_closed_what_it_holds() -> None:
    closed, closing = asyncio.Event(), asyncio.Event()

    async def holding() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            closing.set()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.05)
            closed.set()

    task = asyncio.create_task(holding())
    await asyncio.sleep(0)
    ending = asyncio.create_task(end([task]))
    await closing.wait()
    ending.cancel()
    await asyncio.wait([ending])
    assert ending.cancelled()
    assert closed.is_set()
