"""A gateway is tried by a connection, and asked for nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.delivery.channels.base import ProbingDriver
from services.delivery.channels.email import EmailDriver
from services.delivery.channels.voice import VoiceDriver
from services.delivery.channels.webhook import WebhookDriver
from services.runtime.process.sockets import find_free_ports


@pytest.fixture
async def gateway() -> AsyncIterator[tuple[int, list[bytes]]]:
    """Run a gateway; return its port and its requests."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], requests
    server.close()


async def test_a_reachable_gateway_answers_without_a_message(
    gateway: tuple[int, list[bytes]],
) -> None:
    port, requests = gateway
    async with VoiceDriver(f"http://127.0.0.1:{port}/calls", "t", "0100000000", 30) as voice:
        assert await voice.probe(10) is None
    while not requests:
        await asyncio.sleep(0)
    assert requests == [b""]


async def test_a_gateway_that_is_away_or_without_tls_is_reported_by_code(
    gateway: tuple[int, list[bytes]],
) -> None:
    async with VoiceDriver(
        f"http://127.0.0.1:{find_free_ports(1)[0]}/calls", "t", "0100000000", 30
    ) as voice:
        assert await voice.probe(10) == "voice_connection"
    async with VoiceDriver(f"https://127.0.0.1:{gateway[0]}/calls", "t", "0100000000", 30) as voice:
        assert await voice.probe(1) in ("voice_connection", "voice_timeout")


def test_channels_with_a_silent_test_are_known() -> None:
    assert isinstance(EmailDriver("smtp://127.0.0.1:25", "v@example.net"), ProbingDriver)
    assert not issubclass(WebhookDriver, ProbingDriver), "its addresses are people's"
