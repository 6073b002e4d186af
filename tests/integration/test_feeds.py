"""The official feeds against the running system: from the shipped samples to the picture."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from aiohttp import web

from services.cli.system.feed import SAMPLES, open_feed_demo
from services.runtime.process.sockets import find_free_ports
from services.watch.connector import FetchVerdict, list_connectors
from services.watch.engine import FeedEngine
from services.watch.front import FrontClient, HttpFront
from services.watch.process import WatchSettings
from services.watch.samples import FIRST_STEP, create_sample_app
from services.watch.store import FeedStore
from services.watch.transport import FeedTransport
from services.watch.watched import load_watched
from tests.system import RunningVigie
from tests.waiting import until


@asynccontextmanager
async def serving_samples(port: int) -> AsyncIterator[None]:
    """Serve the samples on loopback, in the second step of their story: the warnings."""
    times = iter([datetime.now(UTC) - FIRST_STEP - timedelta(seconds=10)])
    app = create_sample_app(SAMPLES, lambda: next(times, datetime.now(UTC)))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def read_all(settings: WatchSettings, port: int) -> dict[str, FetchVerdict | None]:
    """Run one round of each feed, as the process of the watch does."""
    store = FeedStore(settings.feed_store)
    transport = FeedTransport(settings.feed_keys, "", base=settings.feeds_samples)
    front = HttpFront(FrontClient(lambda: [settings.url]), settings.feed_keys)
    engine = FeedEngine(store, transport, front, load_watched(settings.territory), samples=True)
    try:
        async with serving_samples(port):
            verdicts = {c.spec.name: await engine.run_round(c) for c in list_connectors()}
            unsent = [p.key for name in verdicts for p in store.list_unsent(name)]
    finally:
        await front.close()
        await transport.close()
        store.close()
    assert unsent == [], "the front took every report and every sign of life"
    return verdicts


def find_sources(vigie: RunningVigie, realm: str) -> dict[str, str]:
    """Return the hazards ahead, each with the source of its hours."""
    items = vigie.get(f"/api/v1/hazards?realm={realm}")["items"]
    return {item["hazard"]: item["source"] for item in items}


def test_samples_of_the_feeds_reach_the_picture(vigie: RunningVigie) -> None:
    port = find_free_ports(1)[0]
    settings = WatchSettings(
        data_dir=vigie.folder / "data",
        http=vigie.http_address,
        feeds_samples=f"http://127.0.0.1:{port}",
    )
    realm = open_feed_demo(settings)
    verdicts = asyncio.run(read_all(settings, port))
    assert set(verdicts.values()) == {FetchVerdict.OK}

    def find_level() -> int:
        items = vigie.get(f"/api/v1/levels?realm={realm}")["items"]
        return max(int(item["level"]) for item in items if item["id"] == "territory")

    until(lambda: find_level() >= 2, 60)
    titles = {i["title"] for i in vigie.get(f"/api/v1/incidents?realm={realm}")["items"]}
    assert any("crue" in title.lower() for title in titles), titles
    assert any("neige" in title.lower() for title in titles), titles
    until(lambda: find_sources(vigie, realm).get("flood") == "forecast", 60)
    assert find_sources(vigie, realm).keys() == {"flood", "power", "snow"}
    live = vigie.get("/api/v1/sources")["items"]
    of_run = [s for s in live if s["name"].endswith(realm.rpartition("-")[2])]
    assert len(of_run) == len(verdicts)
    assert all(source["last_seen"] for source in of_run), "reports, or a sign of life"
    assert sum(source["accepted"] > 0 for source in of_run) >= 5
    open_feed_demo(settings)
    later = {s["name"]: s["enabled"] for s in vigie.get("/api/v1/sources")["items"]}
    assert not any(later[source["name"]] for source in of_run), "an earlier demonstration stops"
