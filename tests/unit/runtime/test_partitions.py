"""Faulty cancellation in a library neither ends nor blocks the caller that stops a consumer."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from services.runtime.log import partition_reader
from services.runtime.log.partition_reader import stop_consumer


class Consumer:
    """Stops as aiokafka's does: waits for a fetch that it has cancelled, then closes its client."""

    def __init__(self, *, swallow: int = 0, leak: bool = False, slow_s: float = 0.0) -> None:
        self.closed = False
        self._slow_s = slow_s
        self._connection: asyncio.Future[None] | None = None
        self._client = self
        self._swallow = swallow
        self._leak = leak

    async def _fetch(self) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if not self._swallow:
                    raise
                self._swallow -= 1

    async def stop(self) -> None:
        fetch = asyncio.create_task(self._fetch())
        await asyncio.sleep(0)
        fetch.cancel()
        if self._leak:
            await fetch
        with contextlib.suppress(asyncio.CancelledError):
            await fetch
        await self.close()

    async def close(self) -> None:
        """Close connections like aiokafka, and wait for the same futures again."""
        self.closed = True
        if self._connection is None:
            self._connection = connection = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(
                self._slow_s, lambda: connection.done() or connection.set_result(None)
            )
        await asyncio.gather(self._connection)


@pytest.mark.parametrize(
    "consumer",
    [
        Consumer(),
        Consumer(swallow=1),
        Consumer(swallow=2),
        Consumer(leak=True),
        Consumer(slow_s=0.05),
    ],
)
async def test_a_consumer_is_stopped_despite_its_cancellation(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition_reader, "STOP_RETRY_S", 0.01)
    await stop_consumer(consumer)
    assert consumer.closed
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_a_real_cancellation_still_ends_the_caller_once_the_consumer_is_closed() -> None:
    consumer = Consumer(swallow=1)
    task = asyncio.create_task(stop_consumer(consumer))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert consumer.closed
