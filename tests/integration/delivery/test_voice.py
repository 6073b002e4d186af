"""Voice against a telephone gateway: requests, and the meaning of its answers."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from aiohttp import web

from services.delivery.channels.base import CallResult
from services.delivery.channels.voice import VoiceDriver, VoiceSettings, lint
from services.messages import MessageNames, compose_message, load_phrases
from tests.faults.matrix import proves
from tests.integration.delivery.outgoing import LINK, RETURNS, outgoing
from tests.integration.delivery.serving import serving

TO = "+33612345678"


async def call(handle: Any, timeout_s: float = 10, **changes: Any) -> CallResult:
    async with (
        serving(handle) as url,
        VoiceDriver(f"{url}/calls", "t0k3n", "+33140000000", 40) as voice,
    ):
        return await voice.call(outgoing(changes.pop("to", TO), **changes), timeout_s)


async def test_the_gateway_is_asked_to_speak_and_to_listen_for_two_keys() -> None:
    orders: list[tuple[dict[str, Any], dict[str, str]]] = []

    async def handle(request: web.Request) -> web.Response:
        orders.append(
            (orjson.loads(await request.read()), {k.lower(): v for k, v in request.headers.items()})
        )
        return web.json_response({"id": "call-7"}, status=202)

    assert await call(handle) == CallResult("accepted", provider_id="call-7")
    order, headers = orders[0]
    assert (order["to"], order["from"], order["keys"], order["callback"]) == (
        TO,
        "+33140000000",
        ["1", "2"],
        RETURNS,
    )
    assert (headers["authorization"], headers["idempotency-key"]) == ("Bearer t0k3n", "a1")
    assert "Appuyez sur 1" in order["text"]
    assert LINK not in order["text"], "nobody can open what is read to them"
    assert not set("[]«»\n") & set(order["text"])


async def test_a_headcount_listens_for_each_of_its_three_answers() -> None:
    orders = []

    async def handle(request: web.Request) -> web.Response:
        orders.append(orjson.loads(await request.read()))
        return web.json_response({"id": "call-7"})

    row = outgoing(TO).row.model_copy(update={"template": "headcount"})
    await call(handle, row=row, text=compose_message(row, MessageNames(), load_phrases("fr"), LINK))
    assert (orders[0]["keys"], "Appuyez sur 1 si vous allez bien, sur 2" in orders[0]["text"]) == (
        ["1", "2", "3"],
        True,
    )


async def test_a_number_is_dialled_in_any_form_of_the_directory() -> None:
    orders = []

    async def handle(request: web.Request) -> web.Response:
        orders.append(orjson.loads(await request.read()))
        return web.json_response({"id": "call-7"})

    await call(handle, to="06 12 34 56 78")
    assert orders[0]["to"] == "+33612345678"


async def test_information_waits_for_no_key() -> None:
    orders = []

    async def handle(request: web.Request) -> web.Response:
        orders.append(orjson.loads(await request.read()))
        return web.json_response({"id": "call-7"})

    row = outgoing(TO).row.model_copy(update={"answer_expected": False})
    text = compose_message(row, MessageNames(), load_phrases("fr"), None)
    assert (await call(handle, text=text)).outcome == "accepted"
    assert (orders[0]["keys"], "Appuyez" in orders[0]["text"]) == ([], False)


@pytest.mark.parametrize(
    ("status", "retry"), [(429, True), (503, True), (400, False), (402, False)]
)
async def test_refusals_are_reported_by_code(status: int, retry: bool) -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.json_response({"message": f"no credit for {TO}"}, status=status)

    assert await call(handle) == CallResult("failed", error=f"voice_{status}", retry=retry)


async def test_a_proxy_that_heard_nothing_more_from_the_gateway_leaves_a_doubt() -> None:
    """The telephone may be ringing: a second call would cut into the first."""

    async def handle(_: web.Request) -> web.Response:
        return web.Response(status=504)

    assert await call(handle) == CallResult("ambiguous", error="voice_504")


@proves("provider", "stop", doubled="said")
async def test_silence_and_an_answer_that_breaks_off_are_doubts() -> None:
    async def silent(_: web.Request) -> web.Response:
        return await asyncio.Event().wait() or web.Response()

    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(status=202)
        await answer.prepare(request)
        await answer.write(b'{"id": "c')
        await asyncio.Event().wait()
        return answer

    assert await call(silent, 0.5) == CallResult("ambiguous", error="voice_no_answer")
    assert await call(endless, 0.5) == CallResult("ambiguous", error="voice_answer_unreadable")


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"<html>Welcome to the hotel</html>",
        b"{}",
        b'{"id": ""}',
        b'{"id": null}',
        b'{"id": true}',
    ],
)
async def test_a_yes_that_is_not_the_documented_answer_is_a_doubt(garbage: bytes) -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=garbage)

    assert await call(handle) == CallResult("ambiguous", error="voice_answer_unreadable")


async def test_the_settings_say_where_a_gateway_writes_the_id_of_a_call() -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.json_response({"call": {"sid": "CA7"}})

    async with (
        serving(handle) as url,
        VoiceDriver(f"{url}/calls", "t", "+33140000000", 40, "/call/sid") as voice,
    ):
        assert await voice.call(outgoing(TO), 10) == CallResult("accepted", provider_id="CA7")


async def test_a_number_that_is_none_rings_nowhere() -> None:
    async def never(_: web.Request) -> web.Response:
        raise AssertionError("asked to ring")

    assert await call(never, to="12 34 56") == CallResult("failed", error="address_invalid")


def test_the_linter_wants_a_caller_that_phones_let_pass() -> None:
    def found(**values: Any) -> list[str]:
        return [f.variable for f in lint(VoiceSettings(**values))]

    assert found() == []
    assert found(voice_url="https://v.example", voice_token="t", voice_caller="+33140000000") == []
    assert found(voice_url="http://v.example", voice_caller="0140000000") == [
        "VIGIE_VOICE_URL",
        "VIGIE_VOICE_TOKEN",
        "VIGIE_VOICE_CALLER",
    ]
