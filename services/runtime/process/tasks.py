"""End tasks reliably.

aiokafka swallows a cancellation that arrives while it closes a fetch. A task that is cancelled only
once may then run for ever, and its waiters wait for ever. That was seen: `vigie up` never became
ready.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, ParamSpec, TypeVar

import structlog

RETRY_S: Final = 0.5
TIMEOUT_S: Final = 5.0
P = ParamSpec("P")
R = TypeVar("R")
log = structlog.get_logger(__name__)


async def cancel_and_wait(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they have ended, at most PATIENCE_S, and drop their results.

    A cancellation of the caller waits until then, so that the tasks close their resources first.
    """
    remaining_tasks = set(tasks)
    interruption: asyncio.CancelledError | None = None
    give_up = time.monotonic() + TIMEOUT_S
    while remaining_tasks and time.monotonic() < give_up:
        for task in remaining_tasks:
            task.cancel()
        try:
            await asyncio.wait(remaining_tasks, timeout=RETRY_S)
        except asyncio.CancelledError as error:
            interruption = error
        for task in [t for t in remaining_tasks if t.done()]:
            remaining_tasks.discard(task)
            if not task.cancelled():
                task.exception()
    if remaining_tasks:
        log.warning("task.unended", tasks=sorted(task.get_name() for task in remaining_tasks))
    if interruption is not None:
        raise interruption


async def run_in_thread(do: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a function like `asyncio.to_thread`, but end only after the thread has ended.

    A cancelled caller closes the resources that it used. Closing a database while a thread uses it
    ends the process (SQLite: a segmentation fault).
    """
    running = asyncio.ensure_future(asyncio.to_thread(do, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            try:
                await asyncio.wait([running])
            except asyncio.CancelledError:
                continue
        if not running.cancelled():
            running.exception()
        raise


def retrieve_exception(future: asyncio.Future[Any]) -> None:
    """Retrieve the exception of a result that nobody awaits, so that asyncio does not log it."""
    if not future.cancelled():
        future.exception()
