"""Chat services through apprise, against a Matrix homeserver with the API of messages."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from services.delivery.channels.base import CallResult
from services.delivery.channels.chat import ChatDriver, ChatSettings, lint
from tests.integration.delivery.outgoing import LINK, outgoing
from tests.integration.delivery.serving import serving

ROOM = "!cellule:vigie.example"


class Homeserver:
    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.logins = 0
        self.said: list[dict[str, Any]] = []

    async def handle(self, request: web.Request) -> web.Response:
        path = request.path
        if path.endswith("/login"):
            self.logins += 1
            return web.json_response(
                {
                    "access_token": "t",
                    "user_id": "@vigie:vigie.example",
                    "home_server": "vigie.example",
                }
            )
        if "/join/" in path:
            return web.json_response({"room_id": ROOM})
        if "/send/m.room.message" in path:
            if self.status == 200:
                self.said.append(orjson.loads(await request.read()))
            return web.json_response(
                {"event_id": "$1"} if self.status == 200 else {"errcode": "M_FORBIDDEN"},
                status=self.status,
            )
        if path.endswith("/joined_rooms"):
            return web.json_response({"joined_rooms": [ROOM]})
        return web.json_response({}, status=404 if ".well-known" in path else 200)


def make_address(url: str, account: str) -> str:
    return f"matrix://{account}@{url.removeprefix('http://')}/{ROOM}?discovery=no&retry=0"


async def say(
    homeserver: Homeserver,
    schemes: str = "matrix",
    address: str = "",
    account: str = "vigie:secret",
) -> CallResult:
    async with serving(homeserver.handle) as url:
        to = address or make_address(url, account)
        return await ChatDriver(ChatSettings(chat_schemes=schemes).schemes).call(outgoing(to), 30)


async def test_a_matrix_room_receives_the_text_of_a_call() -> None:
    homeserver = Homeserver()
    assert (await say(homeserver)).outcome == "accepted"
    body = homeserver.said[0]["body"]
    assert "Ce qui vous est demandé" in body
    assert LINK in body


async def test_a_room_with_an_access_token_is_written_to_without_a_login() -> None:
    """Tchap refuses an account that opens a session for each message."""
    homeserver = Homeserver()
    for _ in range(2):
        assert (await say(homeserver, account="syt_token")).outcome == "accepted"
    assert len(homeserver.said) == 2
    assert homeserver.logins == 0


async def test_a_no_of_apprise_is_a_doubt() -> None:
    result = await say(Homeserver(status=403))
    assert (result.outcome, result.error) == ("ambiguous", "chat_refused_or_lost")


async def test_only_services_that_the_settings_name_are_spoken_to() -> None:
    homeserver = Homeserver()
    assert await say(homeserver, schemes="slack") == CallResult(
        "failed", error="chat_service_not_allowed"
    )
    assert await say(homeserver, address="matrix://") == CallResult(
        "failed", error="address_invalid"
    )
    assert homeserver.said == []


def test_the_linter_knows_services_and_rejects_local_ones() -> None:
    def found(schemes: str) -> list[tuple[str, bool]]:
        return [(f.what.split(" : ")[0], f.error) for f in lint(ChatSettings(chat_schemes=schemes))]

    assert found("") == []
    assert found("matrixs,slack") == []
    assert found("dbus,matrix,nosuch") == [("dbus", True), ("matrix", False), ("nosuch", True)]
