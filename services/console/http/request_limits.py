"""Bodies of requests have a bound (413): whoever is not logged in yet could fill the memory of the console with one."""

from __future__ import annotations

from typing import Final

from fastapi import Request
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.oncall.ics import MOST_BYTES
from services.runtime.http.problem_responses import problem_response
from services.runtime.http.problems import Problem

LIMIT: Final = 1 << 20
"""Bytes of a body."""
LONGER: Final = {
    "/api/v1/oncall/import": MOST_BYTES + LIMIT,
    "/api/v1/reference/changes": 2 * LIMIT,
}
"""Calendars, of which the route has a sentence of its own for one that is too long; versions of the reference data, which come whole."""


class Bounded:
    """Nothing reads on beyond the limit. A body that says how long it is is refused before it is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit, size = LONGER.get(scope["path"], LIMIT), 0
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            await problem_response(Problem("body_too_large", {"limit": limit}), Request(scope))(
                scope, receive, send
            )
            return

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > limit:
                raise HTTPException(413, str(limit))
            return message

        await self._app(scope, counted, send)
