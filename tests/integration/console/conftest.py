"""A broker and a store for the read side alone.

These tests flush the store and forge records on the broker.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.appliance.embedded.kafka import RunningKafka
from services.console.read_model import store
from services.console.read_model.projector import Projector
from services.console.read_model.queries import ReadModel
from services.console.read_model.time_travel import History
from services.console.sites.geometry import load_outlines
from services.runtime.process.settings import Settings
from services.runtime.process.tasks import cancel_and_wait
from services.territory import Territory
from tests import shipped
from tests.brokers import RunningStore, starting_brokers, starting_stores
from tests.integration.console.logwriter import Chains, LogWriter


@pytest.fixture(scope="session")
def territory() -> Territory:
    return shipped.territory()


@pytest.fixture(scope="session")
def logs_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningKafka]:
    with starting_brokers(tmp_path_factory) as start:
        yield asyncio.run(start())


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStore]:
    with starting_stores(tmp_path_factory) as start:
        yield asyncio.run(start())


_CHAINS: dict[str, Chains] = {}


@asynccontextmanager
async def appending(kafka: str) -> AsyncIterator[LogWriter]:
    """Yield a writer to the logs of a broker; chains continue between blocks."""
    async with LogWriter(kafka) as made:
        made.chains = _CHAINS.setdefault(kafka, made.chains)
        yield made


@pytest.fixture
async def writer(logs_broker: RunningKafka) -> AsyncIterator[LogWriter]:
    """Yield a writer, see `appending`."""
    async with appending(logs_broker.address) as made:
        yield made


@pytest.fixture(scope="session")
def console_settings(
    logs_broker: RunningKafka, cache: RunningStore, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    made = Settings(
        data_dir=tmp_path_factory.mktemp("data"),
        kafka=logs_broker.address,
        redis=cache.url,
        territory=shipped.FOLDER,
    )
    made.data.make()
    return made


@asynccontextmanager
async def projecting(settings: Settings) -> AsyncIterator[Projector]:
    """Run a projector for the length of the block."""
    projector = Projector(settings)
    task = asyncio.create_task(projector.run())
    try:
        yield projector
    finally:
        await cancel_and_wait([task])


@pytest.fixture
async def model(console_settings: Settings, tmp_path: Path) -> AsyncIterator[ReadModel]:
    client = store.connect(console_settings.redis)
    history = History(console_settings.kafka, tmp_path / "chronicle.db")
    yield ReadModel(client, load_outlines(shipped.FOLDER), history=history)
    history.close()
    await client.aclose()


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float = 60.0) -> None:
    """Wait for a condition; it may raise while it does not hold yet."""
    give_up = asyncio.get_running_loop().time() + timeout_s
    while True:
        error: Exception | None = None
        try:
            if await condition():
                return
        except Exception as raised:  # noqa: BLE001  whatever it is, it may pass
            error = raised
        if asyncio.get_running_loop().time() > give_up:
            raise AssertionError("the condition never held") from error
        await asyncio.sleep(0.02)
