"""A task ends even if something in it swallows a cancellation."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import pytest

from services.runtime.process.tasks import cancel_and_wait, run_in_thread


async def test_a_task_that_swallows_a_cancellation_ends_all_the_same() -> None:
    async def stubborn() -> None:
        for _ in range(2):
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await cancel_and_wait([task])
    assert task.cancelled()


async def test_tasks_that_failed_or_ended_before_do_no_harm() -> None:
    async def failing() -> None:
        raise ValueError

    failed = asyncio.create_task(failing())
    done = asyncio.create_task(asyncio.sleep(0))
    await asyncio.wait([failed, done])
    await cancel_and_wait([failed, done])


async def test_a_cancelled_caller_continues_after_its_tasks_have_closed() -> None:
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
    ending = asyncio.create_task(cancel_and_wait([task]))
    await closing.wait()
    ending.cancel()
    await asyncio.wait([ending])
    assert ending.cancelled()
    assert closed.is_set()


async def test_a_cancelled_caller_continues_only_after_its_thread_ends() -> None:
    """A replica was closed while a thread wrote to it: the process ended by a segmentation fault."""
    began, may_end = threading.Event(), threading.Event()
    done: list[object] = []

    def work() -> None:
        began.set()
        may_end.wait(5)
        done.append(True)

    async def worker() -> None:
        try:
            await run_in_thread(work)
        finally:
            done.append("closed")

    task = asyncio.create_task(worker())
    await asyncio.to_thread(began.wait)
    task.cancel()
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.sleep(0.05)
    assert done == []
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [True, "closed"]


async def test_the_result_or_error_of_a_thread_is_passed_on() -> None:
    assert await run_in_thread(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await run_in_thread(divmod, 7, 0)
