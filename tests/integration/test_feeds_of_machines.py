"""Three machines on one broker: one reads each feed, and another goes on when it dies."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web

from services.appliance.embedded.kafka import RunningKafka
from services.cli.system.feed import SAMPLES
from services.runtime.process.settings import DataDir
from services.runtime.secrets.keyring import MasterKey
from services.watch.connector import list_connectors
from services.watch.engine import ALIVE_TYPE
from services.watch.front import get_source_key_file
from services.watch.samples import FIRST_STEP, STEP, create_sample_app
from services.watch.store import FeedStore
from tests import forked
from tests.brokers import LOGIN
from tests.waiting import eventually

NAMES: Final = ("first", "second", "third")
FEEDS: Final = tuple(connector.spec.name for connector in list_connectors())
VIGILANCE: Final = "meteofrance-vigilance"
WARNING: Final = FIRST_STEP + timedelta(seconds=10)
END: Final = FIRST_STEP + STEP + timedelta(seconds=5)
"""Ages of the story of the samples in which it warns, and takes the warning back."""
START_S: Final = 180.0
TAKE_OVER_S: Final = 40.0
"""The session of 10 s and a join; a machine with other work needs more."""


class Publishers:
    """The server of samples, with the number of requests for each address."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        self._app = _begin_story(WARNING)

    def create_app(self) -> web.Application:
        """Return a server; all of them tell the same story."""
        app = web.Application()
        app.router.add_get("/{feed}/{request}", self.answer)
        return app

    def move_on(self) -> None:
        self._app = _begin_story(END)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        feed, name = request.match_info["feed"], request.match_info["request"]
        self.requests[feed, name] += 1
        match = await self._app.router.resolve(request)
        return await match.handler(request)


def _begin_story(age: timedelta) -> web.Application:
    times = iter([datetime.now(UTC) - age])
    return create_sample_app(SAMPLES, lambda: next(times, datetime.now(UTC)))


class Front:
    """The front of all machines: it keeps each report, also a repeated one."""

    def __init__(self) -> None:
        self.reports: list[dict[str, Any]] = []
        self.refuses = ""
        """Feed whose reports are not accepted."""

    async def answer(self, request: web.Request) -> web.Response:
        event = await request.json()
        if event["source"].endswith(self.refuses or "nothing"):
            return web.Response(status=503)
        if event["type"] != ALIVE_TYPE:
            self.reports.append(event)
        return web.Response(status=202)

    def list_ends(self, feed: str) -> list[str]:
        """Return the reports of a feed that were taken back."""
        return [
            event["data"]["references"][0]
            for event in self.reports
            if event["source"].endswith(feed) and event["data"].get("msg_type") == "Cancel"
        ]


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Machine:
    """`python -m services.watch` on a data directory of its own."""

    def __init__(self, folder: Path, kafka: str, front: str, publishers: str) -> None:
        self.data = DataDir(folder / "data")
        self._log = folder / "watch.log"
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("VIGIE_")},
            **LOGIN,
            "VIGIE_DATA_DIR": str(self.data.root),
            "VIGIE_KAFKA": kafka,
            "VIGIE_CLUSTER": "1",
            "VIGIE_URL": front,
            "VIGIE_FEEDS_SAMPLES": publishers,
        }
        self._process: forked.Process | None = None

    @property
    def name(self) -> str:
        return self.data.machine.read_text(encoding="ascii").strip()

    def prepare(self, secrets: Path) -> None:
        """Give it the keys of the installation and of its sources, and switch all feeds on."""
        self.data.make()
        shutil.copytree(secrets, self.data.secrets, dirs_exist_ok=True)
        for feed in FEEDS:
            file = get_source_key_file(self.data.secrets / "feeds-samples", feed)
            file.parent.mkdir(exist_ok=True)
            file.write_text("key")
        self.ask_soon()

    def ask_soon(self) -> None:
        """Switch all feeds on, so that each is read as soon as it may be."""
        store = FeedStore(self.data.feed_samples)
        for feed in FEEDS:
            store.enable(feed, datetime.now(UTC).timestamp(), enabled=True)
        store.close()

    def start(self) -> None:
        self._process = forked.start("services.watch", environment=self._environment, log=self._log)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def find_readers(self) -> dict[str, str]:
        """Return the machine that reads each feed, as the page of this machine says."""
        try:
            items = json.loads(self.data.feed_status.read_bytes())["items"]
        except FileNotFoundError:
            return {}
        return {item["name"]: item["read_by"] for item in items if item["understood_at"]}

    def count_waiting(self, feed: str) -> int:
        store = FeedStore(self.data.feed_samples)
        try:
            return len(store.list_unsent(feed))
        finally:
            store.close()


class World:
    """Three machines, their publishers and their front."""

    def __init__(self) -> None:
        self.publishers, self.front = Publishers(), Front()
        self.machines: list[Machine] = []

    def are_spread(self) -> bool:
        """Return whether every machine says that each reads its share of the feeds."""
        readers = [machine.find_readers() for machine in self.machines]
        shares = Counter(readers[0].values())
        return (
            all(each == readers[0] for each in readers)
            and set(readers[0]) == set(FEEDS)
            and sorted(shares.values()) == [2, 3, 3]
        )

    def find_reader(self, feed: str) -> Machine:
        name = self.machines[0].find_readers()[feed]
        return next(machine for machine in self.machines if machine.name == name)


@pytest.fixture
async def world(broker: RunningKafka, tmp_path: Path) -> AsyncIterator[World]:
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    MasterKey.open(secrets)
    made = World()
    publishers, front = made.publishers.create_app(), web.Application()
    front.router.add_post("/api/v1/events", made.front.answer)
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(serving(app)) for app in (front, publishers)]
        for name in NAMES:
            machine = Machine(tmp_path / name, broker.address, *urls)
            stack.callback(machine.stop)
            machine.prepare(secrets)
            machine.start()
            made.machines.append(machine)
        yield made


@pytest.mark.timeout(400)
async def test_one_machine_reads_each_feed_and_another_goes_on_when_it_dies(world: World) -> None:
    await eventually(world.are_spread, START_S)
    assert set(world.publishers.requests.values()) == {1}
    assert world.front.reports
    warnings = [event["id"] for event in world.front.reports if event["source"].endswith(VIGILANCE)]

    lost = world.find_reader(VIGILANCE)
    lost.kill()
    world.machines.remove(lost)
    world.publishers.move_on()
    world.publishers.requests.clear()
    lost_name = lost.name
    await eventually(
        lambda: lost_name not in world.machines[0].find_readers().values(), TAKE_OVER_S
    )
    assert world.publishers.requests.total() == 0, "no round is due"
    heir = world.find_reader(VIGILANCE)

    world.front.refuses = VIGILANCE
    heir.ask_soon()
    await eventually(lambda: heir.count_waiting(VIGILANCE) > 0, 30)
    last = next(machine for machine in world.machines if machine is not heir)
    await eventually(lambda: last.count_waiting(VIGILANCE) > 0, 30)
    heir.signal(signal.SIGSTOP)
    world.machines.remove(heir)
    await eventually(lambda: set(last.find_readers().values()) == {last.name}, TAKE_OVER_S)
    world.front.refuses = ""  # a request of the frozen machine was answered before
    await eventually(lambda: last.count_waiting(VIGILANCE) == 0, 30)
    assert sorted(world.front.list_ends(VIGILANCE)) == sorted(warnings)
    assert world.publishers.requests[VIGILANCE, "main"] == 1

    heir.signal(signal.SIGCONT)
    await eventually(lambda: set(heir.find_readers().values()) != {heir.name}, 30)
    ids = [event["id"] for event in world.front.reports]
    assert len(ids) == len(set(ids)), "each report was sent once"
