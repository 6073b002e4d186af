"""apprise as a client: json://, xml:// and form://, with every type of notification."""

from __future__ import annotations

import asyncio

import apprise
import orjson
import pytest

from tests.integration.clients.conftest import OpenDoor

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # apprise's own plugins


@pytest.mark.parametrize("scheme", ["json", "xml", "form"])
async def test_each_scheme_opens_informs_and_closes(door: OpenDoor, scheme: str) -> None:
    name = f"apprise-{scheme}"
    key = await door.source(name, "apprise")
    address = door.front.url.removeprefix("http://")
    client = apprise.Apprise()
    assert client.add(f"{scheme}://{address}/webhooks/apprise?+X-Token={key}")
    for kind in (apprise.NotifyType.FAILURE, apprise.NotifyType.FAILURE, apprise.NotifyType.INFO, apprise.NotifyType.SUCCESS):
        assert await asyncio.to_thread(client.notify, body="Baie 3, <étage> 2 & suivants", title="Climatisation", notify_type=kind)
    told = [orjson.loads(r.value)["type"] for r in await door.reports_of(door.realm(name))]
    assert told == ["outage_it", "info", "reopening"]


async def test_a_wrong_token_is_a_failure_that_the_client_sees(door: OpenDoor) -> None:
    client = apprise.Apprise()
    client.add(f"json://{door.front.url.removeprefix('http://')}/webhooks/apprise?+X-Token=nobody")
    assert not await asyncio.to_thread(client.notify, body="x", title="y")
