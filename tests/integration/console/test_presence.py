"""The live stream announces presence to entitled readers at once, without a log record."""

from __future__ import annotations

import pytest

from services.console.live.presence import KEPT_MS, Entry, PresenceStore
from services.console.live.row_events import list_hidden_events
from services.console.read_model.store import build_realm_key, connect
from services.runtime.identity.permissions import PERMISSIONS_BY_ROLE, Role
from services.runtime.process.settings import Settings
from services.territory import Territory
from tests.integration.console.conftest import appending, projecting, until
from tests.integration.console.crisis import START
from tests.integration.console.serving import served
from tests.integration.console.test_projection import a_realm
from tests.integration.console.test_stream import listening, opened

pytestmark = pytest.mark.asyncio(loop_scope="module")
OBSERVER = PERMISSIONS_BY_ROLE[Role.OBSERVER].__contains__


async def test_arrivals_and_departures_appear_on_the_live_stream(
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
            listening(console, realm, hidden=list_hidden_events(OBSERVER)) as observer,
        ):
            client = connect(console_settings.redis)
            presence_store = PresenceStore(client)
            await presence_store.enter(realm, Entry("incident:i-1", "a-1"))
            await reader.until("presence", id="incident:i-1")
            assert await presence_store.entries(realm) == [Entry("incident:i-1", "a-1")]
            assert 0 < await client.pttl(build_realm_key(realm, "presence")) <= KEPT_MS
            await presence_store.leave(realm, Entry("incident:i-1", "a-1"))
            await reader.until("presence", id="incident:i-1")
            assert await presence_store.entries(realm) == []
            event_names = {name for name, _, _ in [await observer.next()]}
            while "ping" not in event_names:
                event_names.add((await observer.next())[0])
            assert "presence" not in event_names
            await client.aclose()
