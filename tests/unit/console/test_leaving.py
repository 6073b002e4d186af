"""A request that is open when the console must end gets an answer that says to come again."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import orjson
import pytest

from services.console.app import ShutdownMiddleware

SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/api/v1/realms/92~ex-1/step",
    "headers": [(b"accept-language", b"en")],
}


async def ended(*, begun: bool) -> list[MutableMapping[str, Any]]:
    """Return the response of a request cancelled as by uvicorn after its grace."""
    messages: list[MutableMapping[str, Any]] = []
    waits = asyncio.Event()

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        waits.set()
        await asyncio.Event().wait()

    async def send(message: MutableMapping[str, Any]) -> None:
        messages.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    task = asyncio.create_task(ShutdownMiddleware(app)(SCOPE, receive, send))
    await waits.wait()
    task.cancel()
    if begun:
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        await task
    return messages


async def test_an_open_request_gets_an_unknown_outcome() -> None:
    start, body = await ended(begun=False)
    assert (start["status"], orjson.loads(body["body"])["code"]) == (503, "outcome_unknown")
    assert (b"retry-after", b"1") in start["headers"]


async def test_a_started_answer_is_cut_and_not_continued() -> None:
    assert [message["type"] for message in await ended(begun=True)] == ["http.response.start"]
