"""Without DNS a channel with a name fails temporarily, and the next channel is tried.

A channel with an address continues.
"""

from __future__ import annotations

import asyncio
import socket

import pytest

from services.delivery.channels.sms.origin import parse_origin
from services.delivery.channels.sms.smpp.driver import SmppDriver
from services.delivery.channels.sms.smpp.session import Smsc as Address
from services.delivery.channels.webhook import WebhookDriver
from tests.integration.delivery.outgoing import outgoing
from tests.integration.delivery.test_email import driver
from tests.integration.delivery.test_sms_smpp import Box
from tests.integration.delivery.test_webhook import SECRET, Receiver

NAME = "gateway.example.org"


@pytest.fixture
async def no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail to resolve every name; addresses resolve to themselves."""
    loop = asyncio.get_running_loop()
    system_resolver = loop.getaddrinfo

    async def resolve(host: str, *rest: object, **options: object) -> object:
        if host == NAME:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return await system_resolver(host, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "getaddrinfo", resolve)


async def test_an_unresolved_name_is_a_passing_failure(no_names: None) -> None:
    async with WebhookDriver(SECRET) as webhook:
        posted = await webhook.call(outgoing(f"https://{NAME}/hook"), 2)
    mailed = await driver((NAME, 25)).call(outgoing("dir-sol@example.org"), 2)
    async with SmppDriver(
        Address(NAME, 2775, "vigie", "secret"), parse_origin("38000"), Box()
    ) as smpp:
        texted = await smpp.call(outgoing("+33600000000"), 1)
    for result in (posted, mailed, texted):
        assert (result.outcome, result.retry) == ("failed", True), result
        assert NAME not in str(result.error)


async def test_a_gateway_that_is_named_by_its_address_needs_no_names(no_names: None) -> None:
    receiver = Receiver()
    async with receiver.running() as url, WebhookDriver(SECRET) as webhook:
        result = await webhook.call(outgoing(url), 5)
    assert result.outcome == "accepted"
    assert len(receiver.got) == 1
