"""The client that openapi-python-client makes of our document posts a report."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from importlib import import_module

import orjson
import pytest

from tests.generated_client import generate_client
from tests.integration.clients.conftest import OpenDoor


async def test_a_generated_client_posts_a_report_and_repeats_it(
    door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str((await asyncio.to_thread(generate_client)).folder))
    vigie, models = import_module("vigie_client"), import_module("vigie_client.models")
    post_report = import_module("vigie_client.api.reports.post_report")
    token = (door.front.data.secrets / "admin.token").read_text(encoding="utf-8").strip()
    body = models.NativeReport(
        realm=door.realm("client"),
        type_=models.EventType.OUTAGE_POWER,
        severity=3,
        site_id="cen-1",
        occurred_at=datetime.now(UTC),
        headline="Panne de courant",
    )
    with vigie.AuthenticatedClient(base_url=door.front.url, token=token) as client:
        first = await asyncio.to_thread(
            post_report.sync, client=client, body=body, idempotency_key="gtb-7f3a"
        )
        again = await asyncio.to_thread(
            post_report.sync_detailed, client=client, body=body, idempotency_key="gtb-7f3a"
        )
    assert isinstance(first, models.Receipt)
    assert again.status_code == 202
    assert again.parsed.report_id == first.report_id
    (report,) = [orjson.loads(r.value) for r in await door.reports_of(door.realm("client"))]
    assert (report["type"], report["severity"]) == ("outage_power", 3)
    assert not report.get("zone"), "a default of the client is no value"
