"""Voice against Asterisk: requests to its REST interface, and the dialplan that they name."""

from __future__ import annotations

import re
from base64 import b64encode
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from services.delivery.channels.base import CallResult
from services.delivery.channels.voice import (
    AsteriskVoice,
    VoiceDriver,
    VoiceSettings,
    create_driver,
    lint,
)
from tests.integration.delivery.outgoing import RETURNS, outgoing
from tests.integration.delivery.serving import serving

TO = "+33612345678"
DIALPLAN = Path(__file__).parents[3] / "deploy" / "asterisk" / "extensions_vigie.conf"
FIELDS = {
    "endpoint",
    "extension",
    "context",
    "priority",
    "label",
    "app",
    "appArgs",
    "callerId",
    "timeout",
    "variables",
    "channelId",
    "otherChannelId",
    "originator",
    "formats",
}
"""Parameters of `POST /channels` in the documentation of ARI; it ignores others silently."""


class Exchange:
    """Asterisk as its documentation has it: Basic, one channel for an id, JSON answers."""

    def __init__(self) -> None:
        self.orders: list[dict[str, Any]] = []

    async def handle(self, request: web.Request) -> web.Response:
        """Answer `POST /ari/channels`."""
        granted = "Basic " + b64encode(b"vigie:secret").decode()
        if request.headers.get("authorization") != granted:
            return web.json_response({"message": "Authentication required"}, status=401)
        if (request.method, request.path) != ("POST", "/ari/channels"):
            return web.json_response({"message": "Resource not found"}, status=404)
        order = orjson.loads(await request.read())
        assert set(order) <= FIELDS
        assert all(isinstance(value, str) for value in order["variables"].values())
        if order["channelId"] in {one["channelId"] for one in self.orders}:
            return web.json_response(
                {"message": "Channel with given unique ID already exists"}, status=409
            )
        self.orders.append(order)
        return web.json_response({"id": order["channelId"], "state": "Down"})


async def call(exchange: Exchange, times: int = 1, token: str = "vigie:secret") -> list[CallResult]:
    """Ring the same attempt once or more often."""
    async with (
        serving(exchange.handle) as url,
        AsteriskVoice(f"{url}/ari/", token, "+33140000000", 40) as voice,
    ):
        return [await voice.call(outgoing(TO), 10) for _ in range(times)]


async def test_a_call_names_the_number_the_words_and_where_the_key_goes() -> None:
    exchange = Exchange()
    assert await call(exchange) == [CallResult("accepted", provider_id="a1")]
    (order,) = exchange.orders
    assert (order["endpoint"], order["callerId"]) == (f"Local/{TO}@vigie-ring/n", "+33140000000")
    variables = order["variables"]
    assert (variables["CALL_KEYS"], variables["CALL_CALLBACK"]) == ("12", RETURNS)
    assert "Appuyez sur 1" in variables["CALL_TEXT"]
    assert order["timeout"] > int(variables["CALL_RING_S"]), "the speech is made before it rings"


async def test_a_repeated_attempt_rings_once() -> None:
    exchange = Exchange()
    assert await call(exchange, times=2) == [CallResult("accepted", provider_id="a1")] * 2
    assert len(exchange.orders) == 1


async def test_a_wrong_password_is_a_refusal() -> None:
    assert await call(Exchange(), token="vigie:no") == [CallResult("failed", error="voice_401")]


async def test_the_dialplan_has_the_contexts_and_reads_the_variables_of_a_call() -> None:
    exchange = Exchange()
    await call(exchange)
    (order,) = exchange.orders
    plan = DIALPLAN.read_text(encoding="utf-8")
    contexts = set(re.findall(r"^\[([a-z-]+)\]", plan, re.MULTILINE))
    assert {order["context"], order["endpoint"].rpartition("@")[2].removesuffix("/n")} <= contexts
    assert set(re.findall(r"\b(?:Gosub|Goto)\(([a-z]+-[a-z]+),", plan)) <= contexts
    assert set(re.findall(r"\$\{(CALL_[A-Z_]+)\}", plan)) == set(order["variables"])


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, []),
        ({"voice_url": "https://pbx.example:8089/"}, ["VIGIE_VOICE_URL"]),
        ({"voice_token": "secret"}, ["VIGIE_VOICE_TOKEN"]),
    ],
)
def test_the_linter_knows_the_address_and_the_user_of_asterisk(
    changes: dict[str, str], wrong: list[str]
) -> None:
    settings = VoiceSettings(
        voice_provider="asterisk",
        voice_caller="+33140000000",
        **{"voice_url": "https://pbx.example:8089/ari", "voice_token": "vigie:secret"} | changes,
    )
    assert [fault.variable for fault in lint(settings)] == wrong
    assert isinstance(create_driver(settings), AsteriskVoice)
    assert type(create_driver(VoiceSettings())) is VoiceDriver
