"""Voice against a gateway that telephones: what it is asked, and what its answers mean."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from aiohttp import web

from services.delivery.channels.base import Result
from services.delivery.channels.voice import Voice, lint
from services.delivery.channels.voice.settings import VoiceSettings
from services.delivery.messages import Names, compose, translator
from tests.faults.matrix import proves
from tests.integration.delivery.outgoing import LINK, RETURNS, outgoing
from tests.integration.delivery.serving import serving

TO = "+33612345678"


async def call(handle: Any, timeout_s: float = 10, **changes: Any) -> Result:
    async with serving(handle) as url, Voice(f"{url}/calls", "t0k3n", "+33140000000", 40) as voice:
        return await voice.call(outgoing(changes.pop("to", TO), **changes), timeout_s)


async def test_the_gateway_is_asked_to_speak_and_to_listen_for_two_keys() -> None:
    orders: list[tuple[dict[str, Any], dict[str, str]]] = []

    async def handle(request: web.Request) -> web.Response:
        orders.append((orjson.loads(await request.read()), {k.lower(): v for k, v in request.headers.items()}))
        return web.json_response({"id": "call-7"}, status=202)

    assert await call(handle) == Result("accepted", provider_id="call-7")
    order, headers = orders[0]
    assert (order["to"], order["from"], order["keys"], order["callback"]) == (TO, "+33140000000", ["1", "2"], RETURNS)
    assert (headers["authorization"], headers["idempotency-key"]) == ("Bearer t0k3n", "a1")
    assert "Appuyez sur 1" in order["text"]
    assert LINK not in order["text"], "nobody can open what is read to them"
    assert not set("[]«»\n") & set(order["text"])


async def test_a_headcount_listens_for_each_of_its_three_answers() -> None:
    orders = []

    async def handle(request: web.Request) -> web.Response:
        orders.append(orjson.loads(await request.read()))
        return web.Response(status=204)

    row = outgoing(TO).row.model_copy(update={"template": "headcount"})
    await call(handle, row=row, text=compose(row, Names(), translator("fr"), LINK))
    assert (orders[0]["keys"], "Appuyez sur 1, 2 ou 3" in orders[0]["text"]) == (["1", "2", "3"], True)


async def test_a_number_is_dialled_however_the_directory_writes_it() -> None:
    orders = []

    async def handle(request: web.Request) -> web.Response:
        orders.append(orjson.loads(await request.read()))
        return web.Response(status=204)

    await call(handle, to="06 12 34 56 78")
    assert orders[0]["to"] == "+33612345678"


async def test_information_waits_for_no_key() -> None:
    orders = []

    async def handle(request: web.Request) -> web.Response:
        orders.append(orjson.loads(await request.read()))
        return web.Response(status=204)

    row = outgoing(TO).row.model_copy(update={"answer_expected": False})
    text = compose(row, Names(), translator("fr"), None)
    assert (await call(handle, text=text)).outcome == "accepted"
    assert (orders[0]["keys"], "Appuyez" in orders[0]["text"]) == ([], False)


@pytest.mark.parametrize(("status", "retry"), [(429, True), (503, True), (400, False), (402, False)])
async def test_refusals_are_told_by_code(status: int, retry: bool) -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.json_response({"message": f"no credit for {TO}"}, status=status)

    assert await call(handle) == Result("failed", error=f"voice_{status}", retry=retry)


async def test_a_proxy_that_heard_nothing_more_from_the_gateway_leaves_a_doubt() -> None:
    """The telephone may be ringing: a second call would cut into the first."""

    async def handle(_: web.Request) -> web.Response:
        return web.Response(status=504)

    assert await call(handle) == Result("ambiguous", error="voice_504")


@proves("provider", "stop", doubled="said")
async def test_silence_is_a_doubt_but_a_status_is_an_answer() -> None:
    async def silent(_: web.Request) -> web.Response:
        return await asyncio.Event().wait() or web.Response()

    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(status=202)
        await answer.prepare(request)
        await answer.write(b'{"id": "c')
        await asyncio.Event().wait()
        return answer

    assert await call(silent, 0.5) == Result("ambiguous", error="voice_no_answer")
    assert await call(endless, 0.5) == Result("accepted")


async def test_a_number_that_is_none_rings_nowhere() -> None:
    async def never(_: web.Request) -> web.Response:
        raise AssertionError("asked to ring")

    assert await call(never, to="12 34 56") == Result("failed", error="address_invalid")


def test_the_linter_wants_a_caller_that_phones_let_pass() -> None:
    def found(**values: Any) -> list[str]:
        return [f.variable for f in lint(VoiceSettings(**values))]

    assert found() == []
    assert found(voice_url="https://v.example", voice_token="t", voice_caller="+33140000000") == []
    assert found(voice_url="http://v.example", voice_caller="0140000000") == ["VIGIE_VOICE_URL", "VIGIE_VOICE_TOKEN", "VIGIE_VOICE_CALLER"]
