"""apprise as a client: json://, xml:// and form://, with every type of notification."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apprise
import orjson
import pytest

from tests.integration.clients.conftest import OpenDoor

pytestmark = pytest.mark.filterwarnings(
    "ignore:'imghdr' is deprecated:DeprecationWarning"
)  # apprise's own plugins


@pytest.mark.parametrize("scheme", ["json", "xml", "form"])
async def test_each_scheme_opens_informs_and_closes(door: OpenDoor, scheme: str) -> None:
    name = f"apprise-{scheme}"
    key = await door.source(name, "apprise")
    address = door.front.url.removeprefix("http://")
    client = apprise.Apprise()
    assert client.add(f"{scheme}://{address}/webhooks/apprise?+X-Token={key}")
    for kind in (
        apprise.NotifyType.FAILURE,
        apprise.NotifyType.FAILURE,
        apprise.NotifyType.INFO,
        apprise.NotifyType.SUCCESS,
    ):
        assert await asyncio.to_thread(
            client.notify,
            body="Baie 3, <étage> 2 & suivants",
            title="Climatisation",
            notify_type=kind,
        )
    report_types = [orjson.loads(r.value)["type"] for r in await door.reports_of(door.realm(name))]
    assert report_types == ["outage_it", "info", "reopening"]


@pytest.mark.parametrize("scheme", ["json", "xml", "form"])
async def test_a_notification_with_an_attachment_is_taken(
    door: OpenDoor, scheme: str, tmp_path: Path
) -> None:
    name = f"attached-{scheme}"
    key = await door.source(name, "apprise")
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2000))
    client = apprise.Apprise()
    assert client.add(
        f"{scheme}://{door.front.url.removeprefix('http://')}/webhooks/apprise?+X-Token={key}"
    )
    assert await asyncio.to_thread(
        client.notify,
        body="Baie 3",
        title="Climatisation",
        notify_type=apprise.NotifyType.FAILURE,
        attach=str(photo),
    )
    (report,) = [orjson.loads(r.value) for r in await door.reports_of(door.realm(name))]
    assert (report["type"], report["severity"]) == ("outage_it", 4)


async def test_a_wrong_token_is_a_failure_that_the_client_sees(door: OpenDoor) -> None:
    client = apprise.Apprise()
    client.add(f"json://{door.front.url.removeprefix('http://')}/webhooks/apprise?+X-Token=nobody")
    assert not await asyncio.to_thread(client.notify, body="x", title="y")
