"""PagerDuty's official Python client over TLS."""

from __future__ import annotations

import asyncio

import orjson
import pagerduty
import pytest

from tests.integration.clients.conftest import Certificate, OpenDoor

KEY = "fedcba9876543210fedcba9876543210"


async def test_the_official_client_opens_acknowledges_and_closes(
    door: OpenDoor, certificate: Certificate
) -> None:
    await door.source("pd", "pagerduty", key=KEY)
    events = pagerduty.EventsApiV2Client(
        KEY, base_url=door.tls, verify=certificate.trust(), trust_env=False
    )
    try:
        key = await asyncio.to_thread(
            events.trigger, "Onduleur sur batterie", "ups-1", severity="critical"
        )
        assert key
        assert (
            await asyncio.to_thread(
                events.trigger, "Onduleur sur batterie", "ups-1", dedup_key=key, severity="critical"
            )
            == key
        )
        assert await asyncio.to_thread(events.acknowledge, key) == key
        assert await asyncio.to_thread(events.resolve, key) == key
        await asyncio.to_thread(
            events.send_change_event, {"summary": "mise à jour", "source": "ups-1"}
        )
    finally:
        events.close()
    reports = [orjson.loads(r.value) for r in await door.reports_of(door.realm("pd"))]
    assert [(m["type"], m["severity"]) for m in reports] == [
        ("outage_it", 4),
        ("info", 1),
        ("reopening", 1),
    ]


async def test_a_wrong_event_is_final_for_the_client_and_a_wrong_key_too(
    door: OpenDoor, certificate: Certificate
) -> None:
    for key, severity in ((KEY, ""), ("0" * 32, "critical")):
        events = pagerduty.EventsApiV2Client(
            key, base_url=door.tls, verify=certificate.trust(), trust_env=False
        )
        try:
            with pytest.raises(pagerduty.HttpError, match="400"):
                await asyncio.to_thread(
                    events.send_event,
                    "trigger",
                    None,
                    payload={"summary": "x", "source": "y", "severity": severity},
                )
        finally:
            events.close()
