"""The demonstration beside the services of `background`: it waits, serves, and harms nobody."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import typer

from services.appliance.supervisor.status import (
    State,
    SystemAddresses,
    format_now,
    write_status,
)
from services.cli.client import VigieUnreachable
from services.cli.system import demo
from services.cli.system.background import list_makers
from services.cli.system.demo import Demonstration
from services.runtime.process.sockets import find_free_ports
from services.watch.process import WatchSettings

REALM = "92~ex-demo-1"


class Effects:
    """Stand-ins for the player and for the feeds, which note each call."""

    def __init__(self) -> None:
        self.played: list[tuple[str, str, str]] = []
        self.feeds_opened = 0
        self.play_error: Exception | None = None
        self.feeds_error: Exception | None = None

    def play(self, scenario: str, *, speed: str, realm: str) -> None:
        self.played.append((scenario, speed, realm))
        if self.play_error is not None:
            raise self.play_error

    def open_feeds(self, _settings: WatchSettings, _folder: Path) -> str:
        self.feeds_opened += 1
        if self.feeds_error is not None:
            raise self.feeds_error
        return "92~ex-flux-1"


@pytest.fixture
def settings(tmp_path: Path) -> WatchSettings:
    settings = WatchSettings(
        data_dir=tmp_path,
        demo_realm=REALM,
        feeds_samples=f"http://127.0.0.1:{find_free_ports(1)[0]}",
    )
    settings.data.make()
    return settings


@pytest.fixture
def effects(monkeypatch: pytest.MonkeyPatch) -> Effects:
    effects = Effects()
    monkeypatch.setattr(demo, "LOOK_S", 0.001)
    monkeypatch.setattr(demo, "play", effects.play)
    monkeypatch.setattr(demo, "open_feed_demo", effects.open_feeds)
    return effects


def enter(settings: WatchSettings, state: State) -> None:
    write_status(
        settings.data.status,
        supervisor_pid=1,
        state=state,
        since=format_now(),
        addresses=SystemAddresses(kafka="", redis="", http="", console=""),
        processes=[],
    )


@asynccontextmanager
async def running(settings: WatchSettings) -> AsyncIterator[asyncio.Task[None]]:
    demonstration = Demonstration(settings)
    task = asyncio.create_task(demonstration.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await demonstration.close()


async def wait_for_feeds(effects: Effects, task: asyncio.Task[None]) -> None:
    async with asyncio.timeout(10):
        while not effects.feeds_opened:
            assert not task.done(), task.exception()
            await asyncio.sleep(0.001)


async def test_nothing_is_played_before_every_process_is_ready(
    settings: WatchSettings, effects: Effects
) -> None:
    async with running(settings) as task:
        enter(settings, "starting")
        await asyncio.sleep(0.01)
        assert effects.played == []
        enter(settings, "ready")
        await wait_for_feeds(effects, task)
    assert effects.played == [("S04", "20", REALM)]
    assert effects.feeds_opened == 1


async def test_the_watch_reads_samples_of_the_feeds(
    settings: WatchSettings, effects: Effects
) -> None:
    enter(settings, "ready")
    async with running(settings) as task, aiohttp.ClientSession() as client:
        await wait_for_feeds(effects, task)
        async with client.get(f"{settings.feeds_samples}/unknown/body") as answer:
            assert await answer.text() == '{"message":"no sample"}'


async def test_a_demonstration_that_fails_harms_no_service(
    settings: WatchSettings, effects: Effects
) -> None:
    effects.play_error = typer.Exit(1)
    effects.feeds_error = VigieUnreachable("away")
    enter(settings, "ready")
    async with running(settings) as task:
        await wait_for_feeds(effects, task)
        assert not task.done()
    assert Demonstration(settings).fault() is None


async def test_a_taken_port_harms_no_service(settings: WatchSettings, effects: Effects) -> None:
    enter(settings, "ready")
    async with running(settings) as first:
        await wait_for_feeds(effects, first)
        async with running(settings) as second:
            async with asyncio.timeout(10):
                while len(effects.played) < 2:
                    await asyncio.sleep(0.001)
            await asyncio.wait([second], timeout=0.05)
            assert not second.done()


def test_only_a_system_for_newcomers_plays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIGIE_DEMO_REALM", raising=False)
    services = set(list_makers())
    monkeypatch.setenv("VIGIE_DEMO_REALM", REALM)
    assert set(list_makers()) - services == {"demo"}
