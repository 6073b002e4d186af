"""The live stream gives every change, in order, resumable; a slow reader is informed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.console.live import stream as streams
from services.console.live.api import LiveResponse
from services.console.live.row_events import list_hidden_events
from services.console.live.stream import LiveStream, StreamHub
from services.console.read_model import store
from services.runtime.identity.permissions import PERMISSIONS_BY_ROLE, Role
from services.runtime.process.settings import Settings
from services.territory import Territory
from tests.integration.console import crisis
from tests.integration.console.conftest import appending, projecting, until
from tests.integration.console.crisis import MINUTE, START
from tests.integration.console.serving import Served, served
from tests.integration.console.test_projection import a_realm

pytestmark = pytest.mark.asyncio(loop_scope="module")
KIOSK = PERMISSIONS_BY_ROLE[Role.KIOSK].__contains__


class Listening:
    """Events of one stream as (event, data, id)."""

    def __init__(self, frames: LiveStream) -> None:
        self._frames, self.read = aiter(frames), []
        self._deadline = asyncio.get_running_loop().time() + 60

    async def next(self) -> tuple[str, Any, str | None]:
        while not self.read:
            async with asyncio.timeout_at(self._deadline):
                raw = await anext(self._frames)
            self.read += [parse(block) for block in raw.decode().split("\n\n") if block]
        return self.read.pop(0)

    async def until(self, event: str, **wanted: Any) -> tuple[Any, str | None]:
        """Return the next event of this name with these values; ids of earlier events are kept."""
        last: str | None = None
        while True:
            name, data, id = await self.next()
            last = id or last
            if name == event and all(data[key] == value for key, value in wanted.items()):
                return data, last


def parse(block: str) -> tuple[str, Any, str | None]:
    fields = dict(line.split(": ", 1) for line in block.split("\n"))
    return (
        fields.get("event", ""),
        json.loads(fields["data"]) if "data" in fields else None,
        fields.get("id"),
    )


@asynccontextmanager
async def listening(
    console: Served, realm: str, *, hidden: frozenset[str] = frozenset(), last_id: str | None = None
) -> AsyncIterator[Listening]:
    hub: StreamHub = console.app.state.hub
    frames = await hub.stream(realm, lang="fr", hidden_events=hidden, last_id=last_id)
    try:
        yield Listening(frames)
    finally:
        await frames.aclose()


async def test_changes_arrive_as_the_resources_that_rest_gives(
    console_settings: Settings, territory: Territory
) -> None:
    realm = a_realm()
    async with (
        appending(console_settings.kafka) as writer,
        projecting(console_settings),
        served(console_settings) as console,
    ):
        await writer.open(realm, territory, START)
        await until(lambda: opened(console, realm))
        async with (
            listening(console, realm) as reader,
            listening(console, realm, hidden=list_hidden_events(KIOSK)) as kiosk,
        ):
            _, hello, _ = await reader.next()
            assert hello["epoch"]
            assert hello["last_id"].startswith(hello["epoch"])
            at = START + MINUTE
            facts = [
                crisis.report("r-1", "cen-1", at),
                crisis.site("cen-1", at),
                crisis.incident(at, ("cen-1",), "opened"),
                crisis.ladder(at),
            ]
            await writer.append("alerts", realm, *facts, at=at)
            site, _ = await reader.until("sites", id="cen-1")
            headers = await console.as_role(Role.OBSERVER)
            assert (
                site
                == (
                    await console.http.get(f"/api/v1/sites/cen-1?realm={realm}", headers=headers)
                ).json()
            )
            incident, _ = await reader.until("incidents")
            assert incident["reports"] == ["r-1"]
            names = set()
            while not {"escalations", "log"} <= names:
                names.add((await reader.next())[0])
            await writer.append("alerts", realm, crisis.level(at, 2, 1), at=at)
            hidden = set()
            while "levels" not in hidden:
                hidden.add((await kiosk.next())[0])
            assert hidden & {"log", "escalations", "notifications", "reports"} == set()


async def opened(console: Served, realm: str) -> bool:
    return bool((await console.app.state.model.of(realm).realm()).reference)


async def test_a_returning_reader_misses_nothing(
    console_settings: Settings, territory: Territory
) -> None:
    realm = a_realm()
    async with (
        appending(console_settings.kafka) as writer,
        projecting(console_settings),
        served(console_settings) as console,
    ):
        await writer.open(realm, territory, START)
        await until(lambda: opened(console, realm))
        async with listening(console, realm) as reader:
            await writer.append("alerts", realm, crisis.site("pmi-04", START), at=START)
            _, last = await reader.until("sites", id="pmi-04")
            while last is None:
                last = (await reader.next())[2]
        await writer.append(
            "alerts", realm, crisis.site("cen-2", START + MINUTE), at=START + MINUTE
        )
        await writer.append(
            "alerts", realm, crisis.site("cen-3", START + MINUTE), at=START + MINUTE
        )

        async def projected() -> bool:
            return bool((await console.app.state.model.of(realm).site("cen-3")).status == "closed")

        await until(projected)
        async with listening(console, realm, last_id=last) as back:
            assert (await back.until("sites", id="cen-2"))[0]["status"] == "closed"
            await back.until("sites", id="cen-3")
        async with listening(console, realm, last_id="another-epoch.1-0") as stranger:
            await stranger.next()
            assert (await stranger.next())[0] == "resync"


async def test_a_slow_reader_is_bounded_and_asked_to_reload(
    console_settings: Settings, territory: Territory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MAX_QUEUED", 5)
    realm = a_realm()
    async with (
        appending(console_settings.kafka) as writer,
        projecting(console_settings),
        served(console_settings) as console,
    ):
        await writer.open(realm, territory, START)
        await until(lambda: opened(console, realm))
        async with listening(console, realm) as slow:
            await slow.next()
            for n in range(20):
                await writer.append(
                    "alerts", realm, crisis.report(f"r-{n}", "pmi-04", START), at=START
                )
            feed = console.app.state.hub._feeds[realm][0]

            async def overflowed() -> bool:
                return any(s.has_overflowed for s in feed.subscribers)

            await until(overflowed)
            data, _ = await slow.until("resync")
            assert data["why"] == "too_slow"


async def test_readers_that_join_during_a_round_miss_nothing(
    console_settings: Settings, territory: Territory, monkeypatch: pytest.MonkeyPatch
) -> None:
    realm = a_realm()
    async with (
        appending(console_settings.kafka) as writer,
        projecting(console_settings),
        served(console_settings) as console,
    ):
        await writer.open(realm, territory, START)
        await until(lambda: opened(console, realm))
        async with listening(console, realm) as reader:
            await reader.next()
            feed = console.app.state.hub._feeds[realm][0]
            made = feed.frames
            late = streams.Subscriber("en")

            async def slowly(*args: Any) -> list[streams.Frame]:
                feed.subscribers.add(late)
                return list(await made(*args))

            monkeypatch.setattr(feed, "frames", slowly)
            await writer.append("alerts", realm, crisis.site("cen-2", START), at=START)
            await reader.until("sites", id="cen-2")
            await until(lambda: told(late))
            feed.subscribers.discard(late)


async def told(reader: streams.Subscriber) -> bool:
    return b"cen-2" in b"".join(reader.frames)


async def test_a_change_that_cannot_be_sent_blocks_no_later_one(
    console_settings: Settings, territory: Territory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its readers are asked to reload.

    Before, the same change was retried forever, and no reader got any later one.
    """
    rendered = streams.render_events

    async def stumbles(model: Any, realm: str, lang: str, changed: Any, joined: Any) -> Any:
        if ("sites", "cen-2") in changed:
            raise ValueError("no word for it")
        return await rendered(model, realm, lang, changed, joined)

    monkeypatch.setattr(streams, "render_events", stumbles)
    realm = a_realm()
    async with (
        appending(console_settings.kafka) as writer,
        projecting(console_settings),
        served(console_settings) as console,
    ):
        await writer.open(realm, territory, START)
        await until(lambda: opened(console, realm))
        async with listening(console, realm) as reader:
            _, _, first = await reader.next()
            await writer.append("alerts", realm, crisis.site("cen-2", START), at=START)
            data, _ = await reader.until("resync")
            assert data["why"] == "untold"
            await writer.append("alerts", realm, crisis.site("cen-3", START), at=START)
            await reader.until("sites", id="cen-3")
        async with listening(console, realm, last_id=first) as back:
            data, _ = await back.until("resync")
            assert data["why"] == "too_long_away"


async def test_another_life_of_the_store_is_a_resync(
    console_settings: Settings, territory: Territory
) -> None:
    realm = a_realm()
    client = store.connect(console_settings.redis)
    async with (
        appending(console_settings.kafka) as writer,
        projecting(console_settings),
        served(console_settings) as console,
    ):
        await writer.open(realm, territory, START)
        await until(lambda: opened(console, realm))
        async with listening(console, realm) as reader:
            before = (await reader.next())[1]["epoch"]
            await client.flushall()
            data, _ = await reader.until("resync")
            assert data["why"] == "epoch"
            assert data["epoch"] != before
            await writer.append("alerts", realm, crisis.site("cen-2", START), at=START)
            await reader.until("sites", id="cen-2")
    await client.aclose()


async def test_a_quiet_stream_pings(
    console_settings: Settings, territory: Territory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PING_S", 0.05)
    realm = a_realm()
    async with (
        appending(console_settings.kafka) as writer,
        projecting(console_settings),
        served(console_settings) as console,
    ):
        await writer.open(realm, territory, START)
        await until(lambda: opened(console, realm))
        async with listening(console, realm) as reader:
            data, _ = await reader.until("ping")
            assert data["server_time"].endswith("Z")


async def test_a_reader_of_the_store_that_gets_no_answer_begins_again_and_one_that_has_ended_ends_its_streams(
    console_settings: Settings, territory: Territory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PING_S", 0.05)
    monkeypatch.setattr(streams, "TURN_TIMEOUT_S", 0.5)
    realm = a_realm()
    async with (
        appending(console_settings.kafka) as writer,
        projecting(console_settings),
        served(console_settings) as console,
    ):
        await writer.open(realm, territory, START)
        await until(lambda: opened(console, realm))
        async with listening(console, realm) as old:
            await old.until("ping")
            hub: StreamHub = console.app.state.hub
            feed, reading = hub._feeds[realm]
            turn, lost = feed._deliver_changes, asyncio.Event()

            async def loses_its_way() -> float:
                monkeypatch.setattr(feed, "_deliver_changes", turn)
                lost.set()
                return float(await asyncio.get_running_loop().create_future())

            monkeypatch.setattr(feed, "_deliver_changes", loses_its_way)
            await lost.wait()
            await writer.append("alerts", realm, crisis.site("cen-2", START), at=START)
            _, last = await old.until("sites", id="cen-2")
            reading.cancel()
            with pytest.raises(StopAsyncIteration):
                while True:
                    await old.next()
            await writer.append("alerts", realm, crisis.site("cen-3", START), at=START)
            async with listening(console, realm, last_id=last) as back:
                await back.until("sites", id="cen-3")
                assert hub._feeds[realm][0] is not feed


async def test_a_browser_that_went_before_its_first_frame_is_forgotten(
    console_settings: Settings, territory: Territory
) -> None:
    realm = a_realm()
    async with (
        appending(console_settings.kafka) as writer,
        projecting(console_settings),
        served(console_settings) as console,
    ):
        await writer.open(realm, territory, START)
        await until(lambda: opened(console, realm))
        hub: StreamHub = console.app.state.hub
        response = LiveResponse(
            await hub.stream(realm, lang="fr", hidden_events=frozenset(), last_id=None),
            media_type="text/event-stream",
        )
        assert hub.clients == 1

        async def gone() -> dict[str, str]:
            return {"type": "http.disconnect"}

        async def send(_: Any) -> None:
            return None

        await response({"type": "http", "asgi": {"spec_version": "2.3"}}, gone, send)
        assert (hub.clients, hub._feeds) == (0, {})


async def test_without_a_projector_nothing_is_called_current(
    console_settings: Settings, territory: Territory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PING_S", 0.05)
    realm = a_realm()
    client = store.connect(console_settings.redis)
    async with appending(console_settings.kafka) as writer, served(console_settings) as console:
        async with projecting(console_settings):
            await writer.open(realm, territory, START)
            await until(lambda: opened(console, realm))
            reading = listening(console, realm)
            reader = await reading.__aenter__()
            await reader.until("ping")
        feed = console.app.state.hub._feeds[realm][0]

        async def frozen() -> bool:
            return not feed.current

        assert 0 < await client.ttl(store.PROJECTOR) <= store.PROJECTOR_KEPT_S
        await client.delete(store.PROJECTOR)  # as its time does
        await until(frozen)
        for subscriber in feed.subscribers:
            subscriber.drain()  # of before
        reader.read.clear()
        waiting = asyncio.create_task(reader.next())
        assert await asyncio.wait({waiting}, timeout=10 * streams.PING_S) == (set(), {waiting})
        headers = await console.as_role(Role.OBSERVER)
        refused = await console.http.get(f"/api/v1/stream?realm={realm}", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (503, "picture_frozen")
        async with projecting(console_settings):
            await waiting
            await writer.append("alerts", realm, crisis.site("cen-2", START), at=START)
            await reader.until("sites", id="cen-2")
        await reading.__aexit__(None, None, None)
    await client.aclose()
