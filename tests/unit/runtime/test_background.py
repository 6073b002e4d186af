"""Services side by side in one process: a fault of one leaves the others at work."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from services.runtime.process.background import BackgroundService, host_services
from services.runtime.process.exits import Stop
from services.runtime.process.settings import Settings
from services.runtime.process.sockets import find_free_ports
from services.runtime.secrets.local_secrets import build_header


class Works:
    """A service without a fault."""

    def __init__(self) -> None:
        self.starts = 0
        self.closes = 0
        self.running = asyncio.Event()

    def open(self) -> BackgroundService:
        self.starts += 1
        return self

    def fault(self) -> str | None:
        return None if self.running.is_set() else "still reading the logs"

    async def run(self) -> None:
        self.running.set()
        await asyncio.Event().wait()

    async def close(self) -> None:
        self.running.clear()
        self.closes += 1


class Fails(Works):
    """A service that fails `failures` times, each time as a group of tasks does."""

    def __init__(self, error: Exception, failures: int) -> None:
        super().__init__()
        self._error, self._failures = error, failures

    async def run(self) -> None:
        if self.starts <= self._failures:
            raise ExceptionGroup("tasks", [self._error])
        await super().run()


class Waits(Fails):
    """A service that waits half a second after its third failure."""

    def __init__(self, error: Exception, failures: int) -> None:
        super().__init__(error, failures)
        self.waiting = asyncio.Event()

    async def close(self) -> None:
        await super().close()
        if self.closes == 3:
            self.waiting.set()


class Breaks(Works):
    """A service that fails once with the cancellation of a task of its client, and on closing."""

    async def run(self) -> None:
        if self.starts == 1:
            fetch = asyncio.ensure_future(asyncio.sleep(60))
            fetch.cancel()
            await fetch
        await super().run()

    async def close(self) -> None:
        await super().close()
        if self.closes == 1:
            raise OSError("away")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(data_dir=tmp_path, health_port=find_free_ports(1)[0])
    settings.data.make()
    return settings


@asynccontextmanager
async def hosting(settings: Settings, **services: Works) -> AsyncIterator[asyncio.Task[None]]:
    stopping = asyncio.Event()
    makers = {name: service.open for name, service in services.items()}
    task = asyncio.create_task(host_services(makers, settings, stopping))
    try:
        yield task
    finally:
        stopping.set()
        await asyncio.wait([task])


async def ask_health(settings: Settings) -> tuple[int, dict[str, str]]:
    url = f"http://127.0.0.1:{settings.health_port}/readyz"
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers=build_header(settings.data.secrets)) as answer,
    ):
        return answer.status, (await answer.json())["checks"]


async def test_a_service_that_fails_is_started_again_and_the_others_go_on(
    settings: Settings,
) -> None:
    fails, works = Fails(OSError("away"), failures=2), Works()
    async with hosting(settings, fails=fails, works=works):
        await asyncio.wait_for(fails.running.wait(), 5)
        assert await ask_health(settings) == (200, {"fails": "ok", "works": "ok"})
        assert (fails.starts, fails.closes) == (3, 2)
        assert (works.starts, works.closes) == (1, 0)
    assert (fails.closes, works.closes) == (3, 1)


async def test_a_cancelled_task_of_a_client_ends_no_other_service(settings: Settings) -> None:
    """A broker came back on a disk with room again: all four services of the process ended."""
    breaks, works = Breaks(), Works()
    async with hosting(settings, breaks=breaks, works=works) as task:
        await asyncio.wait_for(breaks.running.wait(), 5)
        assert not task.done()
        assert (breaks.starts, works.starts) == (2, 1)
    assert task.result() is None


async def test_a_fault_that_needs_a_person_is_shown_while_the_others_go_on(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Its repair is awaited slowly, as by the supervisor."""
    fails, works = Fails(Stop("log.truncated", "offset 7"), failures=9), Works()
    with caplog.at_level(logging.CRITICAL):
        async with hosting(settings, fails=fails, works=works):
            await asyncio.wait_for(works.running.wait(), 5)
            while fails.closes < 1:
                await asyncio.sleep(0)
            status, checks = await ask_health(settings)
    assert (status, checks["works"]) == (503, "ok")
    assert "log.truncated: offset 7" in checks["fails"]
    assert (fails.starts, works.starts) == (1, 1)


async def test_a_service_that_is_alone_ends_its_process(settings: Settings) -> None:
    fails = Fails(Stop("log.truncated", "offset 7"), failures=1)
    async with hosting(settings, fails=fails) as task:
        await asyncio.wait([task])
        with pytest.raises(ExceptionGroup):
            task.result()
    assert (fails.starts, fails.closes) == (1, 1)


async def test_a_service_that_waits_says_that_its_reason_is_a_past_one(settings: Settings) -> None:
    """The status told of a full disk for a minute after there was room again."""
    fails, works = Waits(OSError("No space left on device"), failures=9), Works()
    async with hosting(settings, fails=fails, works=works):
        await asyncio.wait_for(fails.waiting.wait(), 5)
        status, checks = await ask_health(settings)
        assert status == 503
        reason = checks["fails"]
    assert re.fullmatch(r"ended, starts again in \d+ s: OSError: No space left on device", reason)
